"""Fingerprints, similar cells and places are the same on both editions, and the job runs."""

from __future__ import annotations

import datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql
from staging import cdr, refine

from telestream.db import migrate
from telestream.db.forecast import HISTORY
from telestream.db.schedule import schedule

pytestmark = pytest.mark.community

START = datetime.datetime(2026, 3, 23, tzinfo=datetime.UTC)


def rows(part: int) -> list[dict[str, Any]]:
    """Return CDRs of four cells over two weeks, the later part with late ones for the first week."""
    return [
        cdr(
            native_key=f"{part}-{n}",
            started_at=(START + datetime.timedelta(hours=(n * 5 + n // 3 * part) % 336)).isoformat(),
            answered_at=None,
            ended_at=None,
            cell_id=f"234-15-{n % 4}",
            disposition=("answered", "failed", "dropped")[n % 3],
        )
        for n in range(150)
    ]


def alike(one: Any, other: Any) -> bool:
    """Say whether two values are equal; the last digits of a number depend on the mathematical library."""
    if isinstance(one, float | list) and one and other:
        return bool(one == pytest.approx(other, abs=1e-4))
    return bool(one == other)


def run(url: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SET timezone = 'UTC'")
        found: list[Any] = []
        for part in range(2):
            refine(connection, rows(part))
            connection.execute("SET ROLE telestream_owner")
            connection.execute("CALL rollup.refresh_pending()")
            connection.execute("UPDATE ops.setting SET value = '10' WHERE name = 'fingerprint_min_records'")
            connection.execute("CALL analytics.run_task()")
            found += connection.execute("SELECT status, rows, result FROM analytics.run ORDER BY run_id").fetchall()
            connection.execute("RESET ROLE")
        found += connection.execute(
            "SELECT cell_id, weeks, slots, records, peer_distance, fingerprint::real[]"
            " FROM analytics.cell_fingerprint AS f INNER JOIN silver.dim_network_cell AS c USING (cell_key) ORDER BY 1"
        ).fetchall()
        connection.execute("SET ROLE telestream_owner")
        connection.execute(
            "UPDATE silver.dim_network_cell SET latitude = 51 + cell_key % 2, longitude = cell_key / 2 % 2,"
            " region_key = 0 WHERE cell_key <> 0"
        )
        found += forecast_of(connection)
        connection.execute("RESET ROLE")
        connection.execute("SET ROLE telestream_analyst")
        for arguments in ("'234-15-1'", "'234-15-1', 2, p_within_km => 500"):
            found += connection.execute(
                f"SELECT cell_id, distance FROM analytics.similar_cells({arguments})"
            ).fetchall()
        found += connection.execute("SELECT count(*), sum(distance_km) FROM gold.cells_near(51, 0, 80)").fetchall()
        found += connection.execute(
            "SELECT latitude, longitude, nearest_cell_id, distance_km FROM gold.coverage_gap('unknown', 40, 20)"
        ).fetchall()
        connection.execute("RESET ROLE")
    return found


def forecast_of(connection: psycopg.Connection) -> list[Any]:
    """Return what a capacity forecast would be made from, and what readers see of one."""
    forecast_id, first_day, history_from = (
        connection.execute(
            "SELECT f.forecast_id, f.first_day, f.history_from"
            " FROM analytics.open_forecast('2027-01-01 00:00+00', 14, 'm') AS f"
        ).fetchone()
        or [None] * 3
    )
    weeks = connection.execute("SELECT analytics.take_busy_hours(%s)", (history_from,)).fetchone()
    history = sql.SQL(HISTORY).format(history_from=sql.Literal(history_from), first_day=sql.Literal(first_day))
    found: list[Any] = [(first_day, history_from), weeks, *connection.execute(history).fetchall()]
    connection.execute(
        "INSERT INTO analytics.capacity_forecast SELECT %s, cell_key, 'erlangs', '2026-04-06', 1, 'model', 4, 2, 6, 1, 9"
        " FROM silver.dim_network_cell WHERE cell_key <> 0",
        (forecast_id,),
    )
    connection.execute("UPDATE silver.dim_network_cell SET capacity_erlangs = 3 + cell_key WHERE cell_key <> 0")
    connection.execute("SELECT analytics.close_forecast(%s, 4)", (forecast_id,))
    return found + connection.execute("SELECT day, probability_pct FROM gold.capacity_risk ORDER BY 1, 2").fetchall()


def test_the_editions_agree_on_cells(fresh_community_url: str, database: str, vault_key_file: str) -> None:
    assert vault_key_file
    migrate.upgrade(fresh_community_url)
    community, apache = run(fresh_community_url), run(database)
    for ours, other in zip(community, apache, strict=True):
        assert len(ours) == len(other)
        assert all(map(alike, ours, other)), (ours, other)
    # Three runs, four cells, the similar ones asked for twice, cells near a point, and gaps.
    assert len(community) > 3 + 4 + 3 + 2 + 1
    with psycopg.connect(fresh_community_url, autocommit=True, prepare_threshold=None) as connection:
        assert schedule(connection) == "timescaledb jobs"
        connection.execute("SET ROLE telestream_owner")
        [(job,)] = connection.execute(
            "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'run_job'"
        ).fetchall()
        connection.execute("CALL public.run_job(%s)", (job,))
        runs = connection.execute("SELECT status FROM analytics.run WHERE task = 'cell_fingerprint'").fetchall()
        assert runs == [("done",)] * 3
