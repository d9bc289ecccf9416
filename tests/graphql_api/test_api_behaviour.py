"""Fingerprints, drift and similar cells over GraphQL; cells by region and by place."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from graphql_api.fix_api import Api, add_anomalies, reads

from telestream.graphql.principal import Scope

ALL = (
    "{ cells { nodes { cellId fingerprint { weeks slots records loadShares failedPct peerDistance }"
    " drift { week distance isDrifting pastWeeks } similar { distance awayKm cell { cellId } } } } }"
)


@pytest.fixture
def cells(connection: psycopg.Connection) -> psycopg.Connection:
    """Three cells at 51.5° north with three weeks, and a fourth without a history."""
    connection.execute(
        "INSERT INTO silver.dim_region (region_key, region_code, name, parent_key)"
        " VALUES (1, 'GB', 'Britain', NULL), (2, 'GB-LND', 'London', 1);"
        " INSERT INTO silver.dim_network_cell (cell_key, cell_id, name, technology, latitude, longitude, region_key)"
        " SELECT n, 'c' || n, 'Cell ' || n, '4g', 51.5, n / 10.0, 1 + n % 2 FROM generate_series(1, 4) AS n"
    )
    connection.execute("SET ROLE telestream_owner")
    connection.execute(
        "INSERT INTO rollup.cell_traffic_1h_v1 SELECT h, c, 0, 'voice', 'GBP', 1 + extract(HOUR FROM h) * c,"
        " 1, 0, 0, 0, 0, 0, 0, 0, 0 FROM generate_series(1, 3) AS c"
        " CROSS JOIN generate_series('2026-03-02Z'::timestamptz, '2026-03-22T23:00Z', '1 hour') AS h;"
        " INSERT INTO analytics.stale_week SELECT '2026-03-02'::date + 7 * n, 0 FROM generate_series(0, 2) AS n"
    )
    connection.execute("CALL analytics.run_task()")
    connection.execute("RESET ROLE")
    return connection


def test_behaviour_of_cells_takes_a_statement_for_each_field(
    cells: psycopg.Connection, api: Api, statements: list[str]
) -> None:
    nodes: list[dict[str, Any]] = api.query(ALL).data["cells"]["nodes"]
    assert [node["cellId"] for node in nodes] == ["c1", "c2", "c3", "c4"]
    first, *_, without = nodes
    assert (first["fingerprint"]["weeks"], first["fingerprint"]["slots"]) == (3, 168)
    assert sum(first["fingerprint"]["loadShares"]) == pytest.approx(1, abs=1e-3)
    assert first["drift"] == {
        "week": "2026-03-16", "distance": pytest.approx(0, abs=1e-3), "isDrifting": False, "pastWeeks": 2
    }  # fmt: skip
    assert [one["cell"]["cellId"] for one in first["similar"]] == ["c2", "c3"]
    assert first["similar"][0]["awayKm"] == pytest.approx(6.9, abs=0.1)
    assert (without["fingerprint"], without["drift"], without["similar"]) == (None, None, [])
    assert len(reads(statements)) == 4


def test_similar_cells_are_chosen_and_refused(cells: psycopg.Connection, api: Api) -> None:
    def similar(arguments: str) -> list[str]:
        text = f'{{ cell(id: "c1") {{ cell {{ similar({arguments}) {{ cell {{ cellId }} }} }} }} }}'
        return [one["cell"]["cellId"] for one in api.query(text).data["cell"]["cell"]["similar"]]

    assert similar("first: 1") == ["c2"]
    assert similar('region: "GB-LND"') == ["c3"]
    assert similar('region: "GB"') == ["c2", "c3"]
    assert similar('technology: "5g"') == []
    assert similar("withinKm: 10") == ["c2"]
    for wrong in ("first: 0", "first: 101", "withinKm: 0", "withinKm: 1e9", 'region: "\\u0000"'):
        text = f'{{ cell(id: "c1") {{ cell {{ similar({wrong}) {{ distance }} }} }} }}'
        assert api.query(text).code == "BAD_ARGUMENT", wrong
    many = "{ cells(first: 500) { nodes { similar { distance } } } }"
    assert api.query(many).code == "COST_EXCEEDED"
    assert api.query(ALL, api.key("api", Scope.QUALITY)).code == "FORBIDDEN"
    assert len(api.query(ALL, api.key("analyst")).data["cells"]["nodes"]) == 4


def test_cells_of_a_region_and_across_the_180th_meridian(cells: psycopg.Connection, api: Api) -> None:
    def found(arguments: str) -> list[str]:
        return [
            one["cellId"]
            for one in api.query(f"{{ cells({arguments}) {{ nodes {{ cellId }} }} }}").data["cells"]["nodes"]
        ]

    assert found('region: "GB"') == ["c1", "c2", "c3", "c4"]
    assert found('region: "GB-LND"') == ["c1", "c3"]
    cells.execute("UPDATE silver.dim_network_cell SET latitude = -17, longitude = 179.99 WHERE cell_id = 'c2'")
    assert found("near: { latitude: -17, longitude: -179.99, radiusKm: 5 }") == ["c2"]
    assert found('near: { latitude: 51.5, longitude: 0.1, radiusKm: 25 }, region: "GB-LND"') == ["c1", "c3"]


def test_an_anomaly_has_a_second_opinion(cells: psycopg.Connection, api: Api) -> None:
    add_anomalies(cells, "c%")
    cells.execute(
        "INSERT INTO analytics.baseline SELECT date_trunc('hour', a.peak_at, 'UTC'), a.cell_key, 'events', 100, 1, 100, 24,"
        " true FROM analytics.anomaly AS a"
    )
    text = "{ anomalies { nodes { cellId secondOpinion { opinion peers alike } } } }"
    nodes = api.query(text).data["anomalies"]["nodes"]
    # Two others are too few to judge by, though they are as silent; the fourth cell has no fingerprint.
    assert {node["cellId"]: tuple(node["secondOpinion"].values()) for node in nodes} == {
        **{f"c{n}": ("UNKNOWN", 2, 2) for n in (1, 2, 3)},
        "c4": ("UNKNOWN", 0, 0),
    }
