"""The manifests, as kustomize renders them: against the schemas of Kubernetes and its operators, and what they refer to."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import kubernetes_validate
import pytest
import yaml
from command import ROOT
from command_lines import complaint, script_lines, secrets_of_make
from community.community_server import CommunityUnavailableError, find_node, installed

from telestream import __version__
from telestream.metrics import LAG
from telestream.settings import Settings
from telestream.topics import TOPICS

Manifest = dict[str, Any]
OVERLAYS = ("dev", "prod")
KUBERNETES = "1.34"
# Read by typer, and by libpq.
OPTIONS = {"TELESTREAM_SUPERUSER_URL", "PGSSLMODE", "PGSSLROOTCERT"}
# What the operators make: CloudNativePG, Strimzi.
MADE_SECRETS = {
    "database-ca": {"ca.crt"},
    "database-superuser": {"password"},
    "telestream-kafka": {"password"},
    "events-cluster-ca-cert": {"ca.crt"},
}
# The packages of types that are made of the operators' definitions, by group of custom resources.
TYPES = {
    "external-secrets.io": "external-secrets",
    "kafka.strimzi.io": "strimzi-kafka-operator",
    "keda.sh": "keda",
    "monitoring.coreos.com": "prometheus-operator",
    "postgresql.cnpg.io": "cloudnative-pg",
}
# What ours must have, whether their definitions ask for it or not; no package has the types of Barman Cloud.
CUSTOM = {
    ("barmancloud.cnpg.io/v1", "ObjectStore"): {"configuration"},
    ("external-secrets.io/v1", "ExternalSecret"): {"secretStoreRef", "target", "dataFrom"},
    ("kafka.strimzi.io/v1", "Kafka"): {"kafka"},
    ("kafka.strimzi.io/v1", "KafkaNodePool"): {"replicas", "roles", "storage"},
    ("kafka.strimzi.io/v1", "KafkaUser"): {"authentication"},
    ("keda.sh/v1alpha1", "ScaledObject"): {"scaleTargetRef", "triggers"},
    ("monitoring.coreos.com/v1", "PodMonitor"): {"selector", "podMetricsEndpoints"},
    ("monitoring.coreos.com/v1", "PrometheusRule"): {"groups"},
    ("monitoring.coreos.com/v1", "ServiceMonitor"): {"selector", "endpoints"},
    ("postgresql.cnpg.io/v1", "Cluster"): {"instances", "storage", "imageName", "postgresUID", "postgresGID"},
    ("postgresql.cnpg.io/v1", "ScheduledBackup"): {"cluster", "schedule", "method"},
}


@functools.cache
def rendered(overlay: str) -> list[Manifest]:
    """Return what kustomize makes of an overlay."""
    built = subprocess.run(
        [Path(sys.executable).with_name("kubectl"), "kustomize", ROOT / "k8s" / "overlays" / overlay],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return list(yaml.safe_load_all(built.stdout))


def named(overlay: str) -> dict[tuple[str, str], Manifest]:
    """Return the manifests of an overlay by kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in rendered(overlay)}


def pods(overlay: str) -> Iterator[tuple[str, dict[str, str], Manifest]]:
    """Yield name, labels and specification of the pods of an overlay."""
    for one in rendered(overlay):
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "containers" in spec.get("template", {}).get("spec", {}):
            yield one["metadata"]["name"], spec["template"]["metadata"]["labels"], spec["template"]["spec"]


def containers(overlay: str) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Yield pod name, pod and container."""
    for name, _, pod in pods(overlay):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            yield f"{name}/{container['name']}", pod, container


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_manifest_fits_its_schema(overlay: str) -> None:
    for one in rendered(overlay):
        key = (one["apiVersion"], one["kind"])
        if key in CUSTOM:
            assert CUSTOM[key] <= set(one["spec"]), key
        else:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
        if one["kind"] != "Namespace":
            assert one["metadata"]["namespace"] == "telestream"


def is_custom(manifest: Manifest) -> bool:
    """Tell whether the types of a manifest come with an operator."""
    return manifest["apiVersion"].split("/")[0] in TYPES


def type_errors(manifests: list[Manifest], folder: Path) -> list[str]:
    """Return what the TypeScript compiler says of custom resources: missing, misspelt and wrong fields."""
    try:
        node = find_node()
        packages = installed(node, ROOT / "tests" / "custom_resources")
    except CommunityUnavailableError as exc:
        pytest.skip(str(exc))
    (folder / "node_modules").symlink_to(packages / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    lines = []
    for number, one in enumerate(manifests):
        kind, version = one["kind"], one["apiVersion"]
        source = f"@kubernetes-models/{TYPES[version.split('/')[0]]}/{version}/{kind}"
        lines.append(f'import type {{ I{kind} as Type{number} }} from "{source}";')
        lines.append(f"export const manifest{number}: Type{number} = {json.dumps(one)};")
    (folder / "manifests.ts").write_text("\n".join(lines))
    done = subprocess.run(
        [*node.node, "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--target", "es2022",
         "--module", "nodenext", "--pretty", "false", "manifests.ts"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert bool(done.returncode) == bool(done.stdout), done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_custom_resource_is_what_its_operator_defines(overlay: str, tmp_path: Path) -> None:
    recovery = yaml.safe_load((ROOT / "k8s/examples/recovery.yaml").read_text())
    custom = [one for one in [*rendered(overlay), recovery] if is_custom(one)]
    assert {one["apiVersion"].split("/")[0] for one in custom} == set(TYPES)
    assert type_errors(custom, tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "said"),
    [
        ("Cluster", ("instances",), "three", "'string' is not assignable to type 'number'"),
        ("Cluster", ("storage", "sise"), "1Gi", "'\"sise\"' does not exist in type"),
        ("Cluster", ("storage",), None, "'null' is not assignable"),
        ("KafkaUser", ("authentication", "type"), "scram", "'\"scram\"' is not assignable to type"),
        ("ServiceMonitor", ("selector",), {"matchLabel": {}}, "'\"matchLabel\"' does not exist in type"),
    ],
)
def test_a_mistake_in_a_custom_resource_is_found(
    kind: str, path: tuple[str, ...], value: object, said: str, tmp_path: Path
) -> None:
    manifest = json.loads(json.dumps(next(one for one in rendered("prod") if one["kind"] == kind)))
    *way, last = path
    functools.reduce(lambda found, name: found[name], way, manifest["spec"])[last] = value
    (error,) = type_errors([manifest], tmp_path)
    assert said in error


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_container_can_do_little_and_takes_no_more_than_it_says(overlay: str) -> None:
    for name, pod, container in containers(overlay):
        assert pod["securityContext"]["runAsNonRoot"], name
        assert not pod["automountServiceAccountToken"], name
        assert not pod["enableServiceLinks"], name
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"], name
        assert not rights["allowPrivilegeEscalation"], name
        assert rights["capabilities"]["drop"] == ["ALL"], name
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        assert "memory" in container["resources"]["limits"], name
        assert re.search(r":\d+\.\d+[\w.-]*$", container["image"]), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_commands_settings_and_secrets_exist(overlay: str) -> None:
    (settings,) = [one["data"] for one in rendered(overlay) if one["kind"] == "ConfigMap"]
    fields = {f"TELESTREAM_{name.upper()}" for name in Settings.model_fields} | OPTIONS
    assert set(settings) <= fields
    known = {"telestream": secrets_of_make(ROOT), **MADE_SECRETS}
    for name, pod, container in containers(overlay):
        for variable in container.get("env", []):
            assert "PASSWORD" not in variable["name"] or "secretKeyRef" in variable["valueFrom"], name
            assert not re.search(r"://[^/]*:[^/@]*@", variable.get("value", "")), name
            assert not variable["name"].startswith("TELESTREAM_") or variable["name"] in fields, name
        paths = set()
        for volume in pod["volumes"]:
            sources = [one["secret"] for one in volume.get("projected", {}).get("sources", [])]
            sources += [volume["secret"]] if "secret" in volume else []
            for source in sources:
                for item in source.get("items", []):
                    assert item["key"] in known[source.get("name") or source["secretName"]], name
                    paths.add(item["path"])
                    field = item["path"].removeprefix("telestream_")
                    assert field == item["path"] or field in Settings.model_fields, name
        if not container["image"].endswith(f"/telestream:{__version__}"):
            continue
        assert {"telestream_database_password", "database_ca"} <= paths, name
        if "args" in container:
            assert complaint(container["args"]) == "", name
        elif name == "migrate/telestream":
            assert container["command"] == ["sh", "/app/db/deploy.sh"]
        else:
            lines = script_lines(container["command"][-1])
            assert [complaint(line) for line in lines] == [""] * len(lines), name
            assert lines, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_but_the_migration_wait_for_it(overlay: str) -> None:
    for name, _, pod in pods(overlay):
        if pod["containers"][0]["name"] == "telestream" and name != "migrate":
            (gate,) = pod["initContainers"]
            assert gate["args"][:2] == ["db", "wait"], name
            assert gate["env"][0] == pod["containers"][0]["env"][0], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_selects_pods_finds_some(overlay: str) -> None:
    labels = [{**found, "app.kubernetes.io/part-of": "telestream"} for _, found, _ in pods(overlay)]
    labels.append({"cnpg.io/cluster": "database"})
    selectors = []
    for one in rendered(overlay):
        spec = one.get("spec", {})
        if one["kind"] == "Service":
            selectors.append(spec["selector"])
        if one["kind"] in {"PodMonitor", "PodDisruptionBudget"}:
            selectors.append(spec["selector"]["matchLabels"])
        if one["kind"] == "NetworkPolicy":
            peers = [
                peer["podSelector"]
                for rule in spec.get("ingress", [])
                for peer in rule["from"]
                if "podSelector" in peer
            ]
            for selector in [spec["podSelector"], *peers]:
                selectors.append(selector.get("matchLabels", {}))
                selectors += [
                    {one["key"]: value} for one in selector.get("matchExpressions", []) for value in one["values"]
                ]
        if one["kind"] == "Kafka":
            peers = [peer for listener in spec["kafka"]["listeners"] for peer in listener["networkPolicyPeers"]]
            selectors += [peer["podSelector"]["matchLabels"] for peer in peers]
    for selector in selectors:
        assert any(selector.items() <= found.items() for found in labels), selector


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_consumers_are_scaled_by_their_lag_to_the_partitions(overlay: str) -> None:
    manifests = named(overlay)
    scaled = {one["metadata"]["name"]: one["spec"] for one in rendered(overlay) if one["kind"] == "ScaledObject"}
    topics = {spec.name: spec.partitions for spec in TOPICS}
    for name, spec in scaled.items():
        pod = manifests["Deployment", spec["scaleTargetRef"]["name"]]["spec"]["template"]["spec"]
        topic = pod["containers"][0]["args"][1]
        assert spec["maxReplicaCount"] == topics[topic], name
        assert spec["triggers"][0]["metadata"]["query"] == f'sum({LAG.full_name}{{topic="{topic}"}})'
    assert len(scaled) == 2


def test_production_has_spare_servers_backups_and_limits() -> None:
    manifests = named("prod")
    scaler = manifests["HorizontalPodAutoscaler", "api"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 10)
    assert "replicas" not in manifests["Deployment", "api"]["spec"]
    assert ("PodDisruptionBudget", "api") in manifests
    assert manifests["NetworkPolicy", "default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    database = manifests["Cluster", "database"]["spec"]
    assert database["instances"] == 3
    assert ("ObjectStore", database["plugins"][0]["parameters"]["barmanObjectName"]) in manifests
    assert manifests["ScheduledBackup", "database"]["spec"]["cluster"]["name"] == "database"
    assert manifests["Kafka", "events"]["spec"]["kafka"]["config"]["min.insync.replicas"] == 2


def test_the_recovery_is_of_the_database_that_runs() -> None:
    recovered = yaml.safe_load((ROOT / "k8s/examples/recovery.yaml").read_text())
    database = named("prod")["Cluster", "database"]["spec"]
    for field in ("imageName", "postgresUID", "postgresGID", "serviceAccountTemplate", "storage", "walStorage"):
        assert recovered["spec"][field] == database[field], field
    (source,) = recovered["spec"]["externalClusters"]
    assert source["name"] == recovered["spec"]["bootstrap"]["recovery"]["source"]
    stored = database["plugins"][0]["parameters"]["barmanObjectName"]
    assert source["plugin"]["parameters"] == {"barmanObjectName": stored, "serverName": "database"}
    assert "plugins" not in recovered["spec"]  # or it would write into the archive of the other


def test_versions_are_those_of_compose() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    manifests = named("prod")
    for name in ("registry", "cache"):
        (container,) = manifests["Deployment", name]["spec"]["template"]["spec"]["containers"]
        assert container["image"] == services[name]["image"]
    tag = services["database"]["image"].partition(":")[2]
    assert manifests["Cluster", "database"]["spec"]["imageName"].endswith(f":{tag}")
    assert f"timescaledb-ha:pg{tag}\n" in (ROOT / "db/Dockerfile").read_text()
    assert services["broker"]["image"].endswith(f":{manifests['Kafka', 'events']['spec']['kafka']['version']}")


def test_terraform_makes_what_the_manifests_name() -> None:
    folder = ROOT / "k8s" / "terraform"
    parsed = {path.name: hcl2.loads(path.read_text()) for path in folder.glob("*.tf")}
    main = (folder / "main.tf").read_text()
    declared = {name.strip('"') for one in parsed["variables.tf"]["variable"] for name in one}
    assert set(re.findall(r"\bvar\.(\w+)", main)) == declared
    buckets = re.search(r"toset\(\[(.*?)\]\)", main)
    assert buckets is not None
    named_buckets = set(
        re.findall(r"s3://telestream-(\w+)", "".join(path.read_text() for path in (ROOT / "k8s/base").glob("*.yaml")))
    )
    assert named_buckets == set(re.findall(r'"(\w+)"', buckets[1]))
    assert "telestream-object-store" in (ROOT / "k8s/overlays/prod/kustomization.yaml").read_text()
