"""What the nightly runs have found, over GraphQL and on the operations page: tasks, drift, capacity, gaps in coverage."""

from __future__ import annotations

import psycopg
import pytest
from graphql_api.fix_api import Api, reads
from graphql_api.fix_browser import Visit
from graphql_api.test_browser import on_board, visit  # noqa: F401
from playwright.sync_api import expect

from telestream.db import analytics
from telestream.graphql.principal import Scope

FOUND = (
    "{ analyticsTasks { name isEnabled isOverdue status rows seconds result }"
    " driftingCells { cell { cellId } drift { week distance byChance isDrifting } }"
    " capacityRisks { cell { cellId } firstDay likeliestDay probabilityPct capacityErlangs expected } }"
)


@pytest.fixture
def found(connection: psycopg.Connection, database: str) -> psycopg.Connection:
    """Four cells of a region around an empty middle, of which one has changed and one may be full; a run."""
    analytics.run(database, "cell_fingerprint")
    connection.execute(
        "INSERT INTO silver.dim_region (region_key, region_code, name) VALUES (1, 'GB', 'Britain');"
        " INSERT INTO silver.dim_network_cell (cell_key, cell_id, name, technology, latitude, longitude, region_key,"
        " capacity_erlangs) SELECT 100 + n, 'c' || n, 'Cell ' || n, '4g', 51 + n % 2, n / 2 % 2, 1, 10"
        " FROM generate_series(1, 4) AS n"
    )
    connection.execute("SET ROLE telestream_owner")
    connection.execute(
        "INSERT INTO analytics.cell_drift (week, cell_key, distance, by_chance, records, past_records, past_weeks)"
        " VALUES ('2026-03-09', 101, 0.9, 0.1, 500, 900, 2), ('2026-03-16', 101, 0.1, 0.1, 500, 900, 2),"
        " ('2026-03-16', 102, 0.4, 0.1, 500, 900, 2), ('2026-03-16', 103, 0.6, 0.1, 500, 900, 2)"
    )
    (forecast,) = connection.execute(
        "INSERT INTO analytics.forecast (first_day, horizon, history_from, model)"
        " VALUES ('2026-03-20', 14, '2026-01-01', 'm') RETURNING forecast_id"
    ).fetchone() or (0,)
    connection.execute(
        "INSERT INTO analytics.capacity_forecast SELECT %s, 102, 'erlangs', '2026-03-20'::date + n - 1, n, 'model',"
        " 4 + n, 2, 20, 2, 32 FROM generate_series(1, 3) AS n",
        (forecast,),
    )
    connection.execute("SELECT analytics.close_forecast(%s, 4)", (forecast,))
    connection.execute("RESET ROLE")
    return connection


def test_tasks_drift_and_capacity(found: psycopg.Connection, api: Api, statements: list[str]) -> None:
    data = api.query(FOUND).data
    assert len(reads(statements)) == 3
    tasks = {one["name"]: one for one in data["analyticsTasks"]}
    assert list(tasks)[:2] == ["cell_fingerprint", "fraud"]
    assert tasks["cell_fingerprint"]["status"] == "done"
    assert not tasks["cell_fingerprint"]["isOverdue"]
    assert tasks["fraud"] == {
        "name": "fraud", "isEnabled": True, "isOverdue": True, "status": None, "rows": None, "seconds": None,
        "result": None,
    }  # fmt: skip
    # Of the newest week alone, the furthest from chance first.
    assert [one["cell"]["cellId"] for one in data["driftingCells"]] == ["c3", "c2"]
    [risk] = data["capacityRisks"]
    assert (risk["cell"]["cellId"], risk["firstDay"], risk["likeliestDay"]) == ("c2", "2026-03-20", "2026-03-22")
    assert 0 < risk["probabilityPct"] < 100
    assert (risk["capacityErlangs"], risk["expected"]) == (10, 7)
    assert api.query("{ driftingCells(first: 1) { cell { cellId } } }").data["driftingCells"] == [
        {"cell": {"cellId": "c3"}}
    ]
    assert api.query("{ capacityRisks(first: 0) { firstDay } }").code == "BAD_ARGUMENT"
    assert api.query(FOUND, api.key("api", Scope.FRAUD)).code == "FORBIDDEN"


def test_gaps_in_coverage(found: psycopg.Connection, api: Api) -> None:
    text = "query Gaps($region: String!, $gap: Float, $step: Float, $technology: String, $first: Int) { coverageGaps("
    text += "region: $region, gapKm: $gap, stepKm: $step, technology: $technology, first: $first)"
    text += " { latitude longitude nearestCellId distanceKm } }"

    def gaps(**more: object) -> list[dict[str, float]]:
        wanted = {"region": "GB", "gap": 40, "step": 20, "technology": None, "first": 200} | more
        return list(api.query(text, **wanted).data["coverageGaps"])

    all_of_them = gaps()
    distances = [one["distanceKm"] for one in all_of_them]
    assert distances == sorted(distances, reverse=True)
    assert min(distances) > 40
    assert gaps(first=2) == all_of_them[:2]
    assert gaps(gap=500) == []
    assert {one["nearestCellId"] for one in gaps(technology="5g")} == {None}
    assert gaps(region="nowhere") == []
    for wrong in ({"step": 0.01}, {"step": 0}, {"gap": -1}, {"first": 501}, {"region": "\0"}):
        wanted = {"region": "GB", "gap": 5, "step": 20, "technology": None, "first": 20} | wrong
        assert api.query(text, **wanted).code == "BAD_ARGUMENT", wrong


def test_the_operations_page_shows_them(found: psycopg.Connection, api: Api, visit: Visit) -> None:  # noqa: F811
    from staging import event, refine_events

    refine_events(found, [event(event_id=f"e{n}", event_at=f"2026-03-01T10:{n:02d}:00Z") for n in range(10)])
    page = on_board(visit, api.key())
    expect(page.locator("#tasks tbody tr")).to_have_count(5)
    expect(page.locator('#tasks tr[data-task="cell_fingerprint"]')).to_contain_text("done")
    expect(page.locator('#tasks tr[data-task="fraud"]')).to_contain_text("never ran, overdue")
    expect(page.locator("#drifts li")).to_have_count(2)
    expect(page.locator("#drifts li").first).to_contain_text("Cell 3 in the week of 2026-03-16: 6.0 times")
    expect(page.locator("#risks li")).to_have_text([r"Cell 2 from 2026-03-20 on, most likely on 2026-03-22: 36.8 %"])
    expect(page.locator("#risks-empty")).to_be_hidden()
