"""The forecast of a cell over GraphQL."""

from __future__ import annotations

import psycopg
import pytest
from graphql_api.fix_api import Api, reads

from telestream.graphql.principal import Scope

QUERY = (
    "query($first: Int = 50, $days: Int = 14) { cells(first: $first) { nodes { cellId forecast(days: $days) { measure method"
    " madeAt model capacityErlangs firstDayAtRisk days expected lower80 upper80 lower95 upper95 } } } }"
)


@pytest.fixture
def forecasts(connection: psycopg.Connection) -> psycopg.Connection:
    """Three cells: one that fills up, one without enough history, one that no forecast knows."""
    connection.execute("SET ROLE telestream_owner")
    connection.execute(
        "INSERT INTO silver.dim_network_cell (cell_key, cell_id, name, capacity_erlangs) VALUES"
        " (1, 'a', 'A', 10), (2, 'b', 'B', 10), (3, 'c', 'C', NULL)"
    )
    for end in ("now()", "NULL"):
        # The second is not complete: nobody sees it.
        connection.execute(
            "WITH v AS (INSERT INTO analytics.forecast (first_day, horizon, history_from, model, finished_at)"
            f" VALUES ('2026-03-01', 14, '2026-01-01', 'm', {end}) RETURNING forecast_id)"
            " INSERT INTO analytics.capacity_forecast"
            " SELECT v.forecast_id, c.key, m.measure, date '2026-02-28' + h, h, c.method, c.k * h, c.k * h, c.k * h,"
            " c.k * h, c.k * (h + 1) FROM v, generate_series(1, 14) AS h,"
            " (VALUES (1, 'model', 1.0), (2, 'not_enough_history', NULL)) AS c (key, method, k),"
            " (VALUES ('erlangs'), ('megabytes')) AS m (measure)"
        )
    return connection


def test_a_cell_has_its_forecast_as_columns(forecasts: psycopg.Connection, api: Api, statements: list[str]) -> None:
    rising, unknown, new = api.query(QUERY, days=11).data["cells"]["nodes"]
    found = rising["forecast"]
    assert found.pop("madeAt")
    assert found == {
        "measure": "ERLANGS", "method": "MODEL", "model": "m", "capacityErlangs": 10.0, "firstDayAtRisk": "2026-03-10",
        "days": [f"2026-03-{n:02d}" for n in range(1, 12)],
        **{name: [float(n) for n in range(1, 12)] for name in ("expected", "lower80", "upper80", "lower95")},
        "upper95": [float(n + 1) for n in range(1, 12)],
    }  # fmt: skip
    assert unknown["forecast"]["method"] == "NOT_ENOUGH_HISTORY"
    assert unknown["forecast"]["expected"] == [None] * 11
    assert unknown["forecast"]["firstDayAtRisk"] is None
    assert new["forecast"] is None
    # One statement for all of a measure and number of days, however often it is asked for.
    statements.clear()
    twice = api.query(
        '{ cell(id: "a") { cell { forecast { days } again: forecast { method } data: forecast(days: 1, measure: MEGABYTES)'
        ' { measure capacityErlangs days } } } other: cell(id: "b") { cell { forecast { method } } } }'
    ).data
    assert twice["cell"]["cell"]["again"] == {"method": "MODEL"}
    assert twice["cell"]["cell"]["data"] == {"measure": "MEGABYTES", "capacityErlangs": None, "days": ["2026-03-01"]}
    assert len([one for one in reads(statements) if "capacity_forecast" in one]) == 2


def test_a_new_forecast_is_seen_through_the_cache(forecasts: psycopg.Connection, api: Api) -> None:
    def version() -> str:
        [found] = forecasts.execute("SELECT version FROM api.gold_version() WHERE tag = 'network_map'").fetchone() or [
            ""
        ]
        return str(found)

    forecasts.execute("RESET ROLE")
    forecasts.execute("SET ROLE telestream_gateway")
    before = version()
    forecasts.execute("SET ROLE telestream_owner")
    forecasts.execute("UPDATE analytics.forecast SET finished_at = now()")
    forecasts.execute("SET ROLE telestream_gateway")
    assert version() != before


def test_days_are_bounded_and_the_scope_is_needed(forecasts: psycopg.Connection, api: Api) -> None:
    for days in (0, 15):
        answer = api.query(QUERY, days=days)
        assert answer.code == "BAD_ARGUMENT", answer.body
    assert api.query(QUERY, api.key("api", Scope.QUALITY)).code == "FORBIDDEN"
