"""docker-compose.yml and the images: nothing here runs Docker, so what they name is looked up where it is made."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import ROOT
from command_lines import complaint, deploy_lines, secrets_of_make

from telestream import __version__
from telestream.settings import Settings

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == f"telestream:{__version__}"}
# Read by typer, not by Settings.
OPTIONS = {"TELESTREAM_SUPERUSER_URL"}


def targets(service: dict[str, Any]) -> dict[str, str]:
    """Return the secrets of a service: the name of the file it sees to the secret."""
    return {
        one if isinstance(one, str) else one["target"]: one if isinstance(one, str) else one["source"]
        for one in service.get("secrets", [])
    }


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("vendor.compose-spec", "docker-compose.yml"),
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
        ("vendor.dependabot", ".github/dependabot.yml"),
    ],
)
def test_the_file_fits_its_schema(schema: str, path: str) -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", schema, ROOT / path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_services_wait_for_services_that_can_become_what_they_wait_for() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            awaited = SERVICES[other]
            if how["condition"] == "service_healthy":
                assert "test" in awaited["healthcheck"], f"{name} waits for {other}"
            else:
                assert how["condition"] == "service_completed_successfully", f"{name} waits for {other}"
                assert awaited["restart"].startswith("on-failure"), other
    assert {name for name in OURS if "migrate" not in OURS[name]["depends_on"]} == {"migrate"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_kept_to_this_machine_and_knows_no_password(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+[\w.-]*$", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    environment = service.get("environment", {})
    assert not [key for key in environment if "PASSWORD" in key and not key.endswith("_FILE")]
    assert not [value for value in environment.values() if re.search(r"://[^/]*:[^/@]*@", str(value))]
    for target, source in targets(service).items():
        assert source in COMPOSE["secrets"]
        if target.startswith("telestream_"):
            assert target.removeprefix("telestream_") in Settings.model_fields
    read = re.findall(
        r"/run/secrets/(\w+)", json.dumps([environment, service.get("command"), service.get("healthcheck")])
    )
    assert set(read) - {"vault_key"} <= set(targets(service))


def test_secrets_are_those_that_make_makes() -> None:
    files = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert files == secrets_of_make(ROOT)
    assert {source for service in SERVICES.values() for source in targets(service).values()} == set(COMPOSE["secrets"])
    assert "secrets/" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_runs_a_command_with_settings_that_exist(name: str) -> None:
    service = OURS[name]
    if name == "migrate":
        assert service["entrypoint"] == ["sh", "/app/db/deploy.sh"]
    else:
        assert complaint(service["command"]) == ""
    for key in service["environment"]:
        if key.startswith("TELESTREAM_"):
            assert key in OPTIONS or key.removeprefix("TELESTREAM_").lower() in Settings.model_fields
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("arguments", deploy_lines(ROOT), ids=" ".join)
def test_a_step_of_the_deployment_is_a_command(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELESTREAM_SUPERUSER_URL", OURS["migrate"]["environment"]["TELESTREAM_SUPERUSER_URL"])
    assert complaint(arguments) == ""


def test_what_is_mounted_exists() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).partition(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"], name


def test_grafana_can_read_its_provisioning_and_takes_the_password_from_a_secret() -> None:
    for path in (ROOT / "grafana" / "provisioning").rglob("*.yaml"):
        assert yaml.safe_load(path.read_text())["apiVersion"] == 1, path
    sources = yaml.safe_load((ROOT / "grafana/provisioning/datasources/telestream.yaml").read_text())["datasources"]
    [database] = [one for one in sources if one["uid"] == "telestream"]
    file = database["secureJsonData"]["password"].removeprefix("$__file{/run/secrets/").removesuffix("}")
    assert file in targets(SERVICES["grafana"])
    for name in ("url", "user"):
        assert database[name].removeprefix("$") in SERVICES["grafana"]["environment"]


def test_prometheus_scrapes_services_at_ports_they_serve() -> None:
    settings = yaml.safe_load((ROOT / "k8s/prometheus/prometheus.yml").read_text())
    for job in settings["scrape_configs"]:
        for target in job["static_configs"][0]["targets"]:
            name, _, port = target.partition(":")
            assert port in {"8080", *SERVICES[name]["command"]}


@pytest.mark.parametrize("path", ["Dockerfile", "db/Dockerfile"])
def test_an_image_is_built_on_versions_by_nobody_special(path: str) -> None:
    lines = (ROOT / path).read_text().replace("\\\n", " ").splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert all(re.search(r":(pg)?\d+\.\d+", base) for base in bases)
    assert [line for line in lines if line.startswith("USER ")][-1].split()[1].partition(":")[0] not in {"root", "0"}
    assert not re.search(r"PASSWORD|SECRET|TOKEN", "".join(line for line in lines if line.startswith(("ENV", "ARG"))))


def test_the_application_image_says_what_it_is_and_how_it_is() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert f"ARG VERSION={__version__}\n" in text
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in text
    assert "\nHEALTHCHECK " in text
    (command,) = re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)
    assert complaint(json.loads(command)) == ""


def test_an_image_gets_what_the_application_runs_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    taken = {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / name).exists() for name in taken)
    assert {link.name for link in (ROOT / "src" / "telestream").iterdir() if link.is_symlink()} <= taken


def test_the_lock_of_the_image_is_part_of_the_lock() -> None:
    def entries(name: str) -> set[str]:
        text = re.sub(r"^ *#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
        # A marker says for whom a package is, and more packages want it than an image has.
        return set(re.split(r"\n(?=\S)", re.sub(r" ; .* \\\n", r" \\\n", text.strip())))

    image, everything = entries("requirements-runtime.lock"), entries("requirements.lock")
    assert image < everything
    assert not any(entry.startswith("pytest==") for entry in image)


def test_actions_are_pinned_and_may_read_only() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(re.search(r"@[0-9a-f]{40}$", step["uses"]) for step in steps if "uses" in step)
    assert "bash .ci/run" in [step.get("run") for step in steps]
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_dependabot_looks_where_something_is() -> None:
    for update in yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]:
        for folder in update.get("directories", [update.get("directory")]):
            assert (ROOT / folder.lstrip("/")).is_dir(), folder
