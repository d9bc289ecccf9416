"""The files are what the code builds, and what Grafana and its readers need of a dashboard."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import yaml
from command import ROOT

from telestream import metrics
from telestream.grafana import build
from telestream.grafana.queries import Board, boards

BOARDS = boards()
PANELS = [(board, panel) for board in BOARDS for panel in board.panels]
IDS = [f"{board.name}: {panel['title']}" for board, panel in PANELS]
SOURCES = yaml.safe_load((ROOT / "grafana/provisioning/datasources/telestream.yaml").read_text())["datasources"]


def known_metrics() -> set[str]:
    """Return the names of all metrics as they are scraped."""
    return {metric.full_name for metric in metrics.METRICS}


def test_the_files_are_as_the_code_builds_them() -> None:
    texts = build.built()
    assert {path.name: path.read_text() for path in build.FOLDER.glob("*.json")} == texts, "run `make dashboards`"
    assert [board.model["title"] for board in BOARDS] == [
        "Customer Analytics", "Data Quality", "Executive KPI", "Network Operations", "Platform",
    ]  # fmt: skip


def test_addresses_of_dashboards_are_their_own_and_stay() -> None:
    assert [board.model["uid"] for board in BOARDS] == [
        "telestream-customers", "telestream-quality", "telestream-executive", "telestream-network",
        "telestream-platform",
    ]  # fmt: skip
    assert all(not board.model["editable"] for board in BOARDS)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_panels_have_ids_of_their_own_and_do_not_overlap(board: Board) -> None:
    panels = board.model["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    assert min(ids) > 0
    boxes = [panel["gridPos"] for panel in panels]
    assert all(box["x"] + box["w"] <= 24 and box["w"] > 0 and box["h"] > 0 for box in boxes)
    for one, other in itertools.combinations(boxes, 2):
        apart = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        )  # fmt: skip
        assert apart, (one, other)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=IDS)
def test_a_panel_says_what_it_shows_in_which_unit_from_where(board: Board, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    refs = [target["refId"] for target in panel["targets"]]
    assert len(set(refs)) == len(refs)
    known = {one["uid"]: one["type"] for one in SOURCES}
    for one in (panel, *panel["targets"]):
        assert known[one["datasource"]["uid"]] == one["datasource"]["type"]
    thresholds = panel["fieldConfig"]["defaults"].get("thresholds")
    if thresholds is not None:
        values = [step["value"] for step in thresholds["steps"]]
        assert values[0] is None
        assert values[1:] == sorted(values[1:])


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_link_leads_to_a_dashboard_with_variables_it_has(board: Board) -> None:
    known = {one.model["uid"]: {each["name"] for each in one.model["templating"]["list"]} for one in BOARDS}
    links = [
        link["url"]
        for panel in board.panels
        for override in panel["fieldConfig"]["overrides"]
        for change in override["properties"]
        if change["id"] == "links"
        for link in change["value"]
    ]
    for url in links:
        if inside := re.match(r"/d/([\w-]+)\?(.*)", url):
            assert set(re.findall(r"var-(\w+)=", inside[2])) <= known[inside[1]]
        else:
            assert url.startswith("${operations:raw}/")
    assert board.name != "network-operations" or len(links) >= 3
    assert {link["type"] for link in board.model["links"]} == {"dashboards", "link"}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_metric_that_is_asked_for_exists(board: Board) -> None:
    known = known_metrics()
    for query in board.promql():
        names = re.findall(r"telestream_\w+", query.text)
        assert names, query
        for name in names:
            assert name in known or re.sub(r"_(bucket|sum|count)$", "", name) in known, name
    assert len(board.promql()) == 0 or board.name == "platform"


def test_every_metric_is_on_the_dashboard() -> None:
    [platform] = [board for board in BOARDS if board.name == "platform"]
    asked = " ".join(query.text for query in platform.promql())
    # Follows dead_letters, which is shown.
    assert {name for name in known_metrics() if name not in asked} == {
        "telestream_consumer_dead_letters_published_total"
    }
