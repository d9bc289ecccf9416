"""What Grafana alerts of and whom it tells: the files fit together, and hold no secret."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from command import ROOT

from telestream.grafana.queries import boards

FOLDER = ROOT / "grafana" / "provisioning" / "alerting"
CONTACTS = ROOT / "grafana" / "contacts"


def read(name: str) -> dict[str, Any]:
    found = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert found.pop("apiVersion") == 1
    return found


RULES = [rule for group in read("rules")["groups"] for rule in group["rules"]]
POINTS = read("contacts")["contactPoints"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_a_rule_compares_a_query_and_leads_to_a_panel_that_shows_it(rule: dict[str, Any]) -> None:
    query, limit = rule["data"]
    assert query["datasourceUid"] == "telestream"
    assert (limit["refId"], limit["model"]["expression"]) == (rule["condition"], query["refId"])
    assert all(one["refId"] == one["model"]["refId"] for one in rule["data"])
    [board] = [one for one in boards() if one.model["uid"] == rule["dashboardUid"]]
    [panel] = [one for one in board.panels if one["id"] == rule["panelId"]]
    [commented] = re.findall(
        rf"uid: {rule['uid']}\n(?:.*\n)*?.*panelId: \d+ # (.*)", (FOLDER / "rules.yaml").read_text()
    )
    assert panel["title"] == commented
    assert rule["labels"]["severity"] in {"minor", "major", "critical"}
    assert rule["annotations"]["summary"]
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert f"\n## {anchor.capitalize()}\n" in (text := (ROOT / page).read_text())
    assert f"| {rule['title']} | {rule['labels']['severity']} |" in text


def test_uids_are_their_own() -> None:
    uids = [rule["uid"] for rule in RULES] + [one["uid"] for point in POINTS for one in point["receivers"]]
    assert len(set(uids)) == len(uids)


def test_people_are_told_by_contacts_that_exist() -> None:
    [policy] = read("policies")["policies"]
    told = [policy["receiver"], *(route["receiver"] for route in policy["routes"])]
    assert set(told) == {point["name"] for point in POINTS} == {"Slack", "PagerDuty", "E-mail"}
    assert all(matcher[0] == "severity" for route in policy["routes"] for matcher in route.get("object_matchers", []))
    # Each severity reaches somebody: the last route takes all.
    assert "object_matchers" not in policy["routes"][-1]
    assert all(route.get("continue") for route in policy["routes"][:-1])


def test_secrets_are_in_files_that_are_mounted_and_those_of_the_repository_reach_nobody() -> None:
    read_files = re.findall(r"\$__file\{/etc/grafana/contacts/(\w+)\}", json.dumps(POINTS))
    assert len(read_files) == len(POINTS)
    assert {path.name for path in CONTACTS.iterdir()} == set(read_files)
    for path in CONTACTS.iterdir():
        assert "not-set" in path.read_text()
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert any(
        volume.endswith(":-./grafana/contacts}:/etc/grafana/contacts:ro")
        for volume in compose["services"]["grafana"]["volumes"]
    )
