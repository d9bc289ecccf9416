"""Fingerprints of cells: what counts as which hour, what a lack of data does, what is alike, what drifts."""

from __future__ import annotations

import datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from command import telestream
from psycopg.types.json import Jsonb

from telestream.db import analytics

UTC = datetime.UTC
MONDAY = datetime.datetime(2026, 3, 2, tzinfo=UTC)
HOUR = datetime.timedelta(hours=1)
WEEK = datetime.timedelta(weeks=1)


def office(at: datetime.datetime) -> int:
    return 60 if at.weekday() < 5 and 8 <= at.hour < 18 else 2


def home(at: datetime.datetime) -> int:
    return 60 if at.weekday() >= 5 or at.hour >= 18 else 10


def flat(at: datetime.datetime) -> int:
    return 10


def put(
    connection: psycopg.Connection,
    cell: str,
    curve: Any = flat,
    *,
    start: datetime.datetime = MONDAY,
    hours: int = 168,
    failed: float = 0.0,
) -> None:
    """Put hours of traffic of a cell into hourly Gold, and mark them as a refresh does."""
    connection.execute(
        "INSERT INTO silver.dim_network_cell (cell_id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING", (cell, cell)
    )
    rows = [(at, curve(at)) for n in range(hours) if curve(at := start + n * HOUR)]
    connection.execute(
        "INSERT INTO rollup.cell_traffic_1h_v1 SELECT (r->>0)::timestamptz, c.cell_key, 0, 'voice', 'GBP',"
        " (r->>1)::int, (r->>1)::int, floor((r->>1)::int * %s)::int, 0, 0, 0, 0, 0, 0, 0"
        " FROM silver.dim_network_cell AS c CROSS JOIN jsonb_array_elements(%s) AS r WHERE c.cell_id = %s",
        (failed, Jsonb([(at.isoformat(), load) for at, load in rows]), cell),
    )
    connection.execute(
        "UPDATE rollup.watermark SET materialised_to = greatest(materialised_to, %s)", (start + hours * HOUR,)
    )
    refreshed(connection, *(at for at, _ in rows))


def refreshed(connection: psycopg.Connection, *hours: datetime.datetime) -> None:
    """Let the marks of hours come and go, as a refresh does."""
    connection.execute(
        "INSERT INTO rollup.pending SELECT 'cell_traffic_1h', h, 0 FROM unnest(%s::timestamptz[]) AS h"
        " ON CONFLICT DO NOTHING",
        (list(hours),),
    )
    connection.execute("DELETE FROM rollup.pending")


@pytest.fixture
def gold(connection: psycopg.Connection) -> psycopg.Connection:
    connection.execute("SET timezone = 'UTC'")
    connection.execute("SET ROLE telestream_owner")
    return connection


def run(connection: psycopg.Connection) -> str:
    connection.execute("CALL analytics.run_task('cell_fingerprint')")
    row = connection.execute("SELECT status, result FROM analytics.run ORDER BY run_id DESC LIMIT 1").fetchone()
    assert row is not None
    assert row[0] == "done"
    return str(row[1])


def fingerprint(connection: psycopg.Connection, cell: str) -> dict[str, Any] | None:
    cursor = connection.execute("SELECT * FROM gold.cell_fingerprint WHERE cell_id = %s", (cell,))
    row = cursor.fetchone()
    return row and dict(zip([column.name for column in cursor.description or ()], row, strict=True))


def similar(connection: psycopg.Connection, cell: str, *arguments: Any, **named: Any) -> list[str]:
    values = ", ".join(["%s"] * (1 + len(arguments)) + [f"{name} => %s" for name in named])
    return [
        cell_id
        for (cell_id,) in connection.execute(
            f"SELECT cell_id FROM analytics.similar_cells({values})", (cell, *arguments, *named.values())
        )
    ]


def test_the_profile_is_the_share_of_each_hour_of_the_week(gold: psycopg.Connection) -> None:
    put(gold, "office", office)
    put(gold, "flat", flat)
    assert "2 fingerprints" in run(gold)
    found = fingerprint(gold, "office")
    assert found is not None
    shares = found["load_shares"]
    assert len(shares) == 168
    assert sum(shares) == pytest.approx(1, abs=1e-4)
    # Monday 12:00 is within the day on both sides; each hour lends a quarter to its neighbours.
    total = 50 * 60 + 118 * 2
    assert shares[12] == pytest.approx(60 / total, rel=1e-3)
    assert shares[8] == pytest.approx((0.75 * 60 + 0.25 * 2) / total, rel=1e-3)
    assert (found["slots"], found["weeks"], found["records"]) == (168, 1, total)
    constant = fingerprint(gold, "flat")
    assert constant is not None
    assert constant["load_shares"] == pytest.approx([1 / 168] * 168, abs=1e-5)
    # Quality: nothing failed; no network event tells of lost connections.
    assert constant["failed_pct"] == 0
    assert constant["lost_pct"] == pytest.approx(4)


def test_cells_of_a_kind_are_alike_whatever_their_size(gold: psycopg.Connection) -> None:
    for number in range(3):
        put(gold, f"office-{number}", lambda at, n=number: office(at) * (n + 1))
        put(gold, f"home-{number}", lambda at, n=number: home(at) * (n + 1))
    run(gold)
    assert set(similar(gold, "office-0", 2)) == {"office-1", "office-2"}
    assert set(similar(gold, "home-2", 2)) == {"home-0", "home-1"}
    assert len(similar(gold, "home-2")) == 5
    distances = [d for (d,) in gold.execute("SELECT distance FROM analytics.similar_cells('office-0')").fetchall()]
    assert distances == sorted(distances)
    assert distances[0] == pytest.approx(0, abs=1e-3)


def test_quality_tells_cells_of_one_curve_apart(gold: psycopg.Connection) -> None:
    put(gold, "good-1", flat)
    put(gold, "good-2", flat)
    put(gold, "bad-1", flat, failed=0.5)
    put(gold, "bad-2", flat, failed=0.4)
    run(gold)
    assert similar(gold, "bad-1", 1) == ["bad-2"]
    assert similar(gold, "good-1", 1) == ["good-2"]
    found = fingerprint(gold, "bad-1")
    assert found is not None
    assert found["failed_pct"] == pytest.approx(50)


def test_too_little_history_is_no_fingerprint(gold: psycopg.Connection) -> None:
    put(gold, "plenty", flat)
    put(gold, "little", flat, hours=16)
    put(gold, "silent", flat, hours=0)
    run(gold)
    assert fingerprint(gold, "little") is None
    assert similar(gold, "little") == similar(gold, "silent") == similar(gold, "no such cell") == []
    # One cell has nobody to be held against.
    assert similar(gold, "plenty") == []
    found = fingerprint(gold, "plenty")
    assert found is not None
    assert found["peer_distance"] is None


def test_hours_without_any_data_are_filled_in_and_hours_without_load_are_not(gold: psycopg.Connection) -> None:
    # Gold has nothing at all of Tuesday noon to midnight; the cell alone is silent on Friday.
    def gap(at: datetime.datetime) -> bool:
        return at.weekday() == 1 and at.hour >= 12

    put(gold, "other", lambda at: 0 if gap(at) else 10)
    put(gold, "cell", lambda at: 0 if gap(at) or at.weekday() == 4 else 10)
    run(gold)
    found = fingerprint(gold, "cell")
    assert found is not None
    assert found["slots"] == 156
    shares = found["load_shares"]
    assert shares[24 + 18] == pytest.approx(shares[18] * 6 / 7, rel=0.2)  # as the other days at 18:00
    assert shares[24 + 18] > 0
    assert shares[4 * 24 + 12] == 0
    # One day of data in all is a fingerprint, too: the other days are taken to be like it.
    day = MONDAY + 8 * WEEK
    put(gold, "young", lambda at: at.hour + 1, start=day, hours=24)
    run(gold)
    young = fingerprint(gold, "young")
    assert young is not None
    assert young["slots"] == 24
    assert young["load_shares"][12] == pytest.approx(young["load_shares"][6 * 24 + 12])


def test_summer_time_begins_and_ends(connection: psycopg.Connection) -> None:
    connection.execute("SET timezone = 'UTC'")
    connection.execute("SET ROLE telestream_owner")
    connection.execute("UPDATE ops.setting SET value = 'Europe/London' WHERE name = 'time_zone'")
    zone = ZoneInfo("Europe/London")
    monday = datetime.datetime(2026, 3, 23, tzinfo=zone).astimezone(UTC)
    put(connection, "spring", start=monday, hours=167)
    run(connection)
    hours = connection.execute("SELECT hours::real[], slots FROM analytics.week").fetchone()
    assert hours is not None
    # 1:00 of the last Sunday of March does not exist.
    missing = 6 * 24 + 1
    assert hours[0][missing] == 0
    assert (sum(hours[0]), hours[1]) == (167, 167)
    found = fingerprint(connection, "spring")
    assert found is not None
    assert found["load_shares"] == pytest.approx([1 / 168] * 168, abs=1e-5)

    autumn = datetime.datetime(2026, 10, 19, tzinfo=zone).astimezone(UTC)
    put(connection, "spring", start=autumn, hours=169)
    run(connection)
    row = connection.execute(
        "SELECT w.hours::real[], c.load::real[] FROM analytics.week AS w INNER JOIN analytics.cell_week AS c USING (week)"
    ).fetchall()
    # 1:00 of the last Sunday of October comes twice: one hour of the profile, the mean of the two.
    assert [(hours[missing], load[missing]) for hours, load in row] == [(2, 20)]
    found = fingerprint(connection, "spring")
    assert found is not None
    assert found["load_shares"] == pytest.approx([1 / 168] * 168, abs=1e-5)


def test_a_holiday_does_not_make_another_cell_of_it(gold: psycopg.Connection) -> None:
    """It is a day like others: of six weeks one day that is a Sunday shows, and changes nobody's kind."""
    holiday = (MONDAY + 3 * WEEK).date()

    def on_holiday(at: datetime.datetime) -> int:
        return 2 if at.date() == holiday else office(at)

    for cell, curve in (("usual", office), ("holiday", on_holiday), ("home", home)):
        put(gold, cell, curve, hours=6 * 168)
    run(gold)
    found = dict(gold.execute("SELECT cell_id, distance FROM analytics.similar_cells('holiday', 2)").fetchall())
    assert list(found) == ["usual", "home"]
    assert found["usual"] < found["home"] / 5
    shown = fingerprint(gold, "holiday")
    assert shown is not None
    # A sixth less on that weekday's hours, as much as one of six weeks can.
    monday, tuesday = shown["load_shares"][12], shown["load_shares"][24 + 12]
    assert monday / tuesday == pytest.approx((5 * 60 + 2) / (6 * 60), abs=0.01)


def test_a_run_takes_up_just_what_was_refreshed(gold: psycopg.Connection) -> None:
    put(gold, "a", office)
    put(gold, "b", home)
    assert "1 weeks of Gold read, 2 fingerprints" in run(gold)
    assert "0 weeks of Gold read, 0 fingerprints" in run(gold)
    # A late row of one cell.
    before = fingerprint(gold, "b")
    gold.execute(
        "UPDATE rollup.cell_traffic_1h_v1 SET attempts = 500 WHERE bucket = %s AND cell_key ="
        " (SELECT cell_key FROM silver.dim_network_cell WHERE cell_id = 'a')",
        (MONDAY + 3 * HOUR,),
    )
    assert "0 weeks" in run(gold)
    refreshed(gold, MONDAY + 3 * HOUR)
    assert "1 weeks of Gold read, 1 fingerprints" in run(gold)
    after = fingerprint(gold, "b")
    assert before is not None
    assert after is not None
    assert before["built_at"] == after["built_at"]
    # A crash leaves the marks; here a setting that cannot be used.
    refreshed(gold, MONDAY)
    gold.execute("UPDATE ops.setting SET value = 'x' WHERE name = 'fingerprint_weeks'")
    with pytest.raises(psycopg.Error) as caught:
        gold.execute("CALL analytics.run_task('cell_fingerprint')")
    assert caught.value.sqlstate == "TS045"
    assert gold.execute("SELECT status FROM analytics.run ORDER BY run_id DESC LIMIT 1").fetchone() == ("failed",)
    gold.execute("UPDATE ops.setting SET value = '6' WHERE name = 'fingerprint_weeks'")
    assert "1 weeks of Gold read" in run(gold)


def test_data_that_left_gold_leaves_the_fingerprints(gold: psycopg.Connection) -> None:
    put(gold, "a", office)
    put(gold, "b", office)
    run(gold)
    gold.execute(
        "DELETE FROM rollup.cell_traffic_1h_v1 WHERE cell_key ="
        " (SELECT cell_key FROM silver.dim_network_cell WHERE cell_id = 'a')"
    )
    refreshed(gold, MONDAY)
    run(gold)
    assert fingerprint(gold, "a") is None
    assert fingerprint(gold, "b") is not None


def test_drift_is_the_way_from_the_cells_own_past(gold: psycopg.Connection) -> None:
    for week in range(3):
        put(gold, "steady", office, start=MONDAY + week * WEEK)
        put(gold, "moved", office if week < 2 else home, start=MONDAY + week * WEEK)
    put(gold, "new", home, start=MONDAY + 2 * WEEK)
    # The week under way is not judged.
    put(gold, "moved", home, start=MONDAY + 3 * WEEK, hours=30)
    assert "1 drifting in the week of 2026-03-16" in run(gold)
    rows = gold.execute(
        "SELECT cell_id, week, is_drifting, past_weeks FROM gold.cell_drift ORDER BY cell_id"
    ).fetchall()
    week = (MONDAY + 2 * WEEK).date()
    assert rows == [("moved", week, True, 2), ("steady", week, False, 2)]
    distances = dict(gold.execute("SELECT cell_id, distance FROM gold.cell_drift").fetchall())
    assert distances["steady"] == pytest.approx(0, abs=1e-3)
    assert distances["moved"] > 0.4


def test_similar_cells_of_a_kind_a_region_or_a_neighbourhood(gold: psycopg.Connection) -> None:
    gold.execute(
        "INSERT INTO silver.dim_region (region_code, name) VALUES ('GB', 'Britain'), ('FR', 'France');"
        " INSERT INTO silver.dim_region (region_code, name, parent_key)"
        " SELECT 'GB-LND', 'London', region_key FROM silver.dim_region WHERE region_code = 'GB'"
    )
    for number, (technology, region, longitude) in enumerate(
        [("4g", "GB-LND", 0.0), ("4g", "GB-LND", 0.1), ("5g", "GB", 1.0), ("4g", "FR", 2.3), ("5g", "FR", None)]
    ):
        gold.execute(
            "INSERT INTO silver.dim_network_cell (cell_id, name, technology, latitude, longitude, region_key)"
            " SELECT %s, 'x', %s, 51.5, %s, region_key FROM silver.dim_region WHERE region_code = %s",
            (f"c{number}", technology, longitude, region),
        )
        put(gold, f"c{number}", lambda at, n=number: office(at) + n)
    run(gold)
    assert similar(gold, "c0") == ["c1", "c2", "c3", "c4"]
    assert similar(gold, "c0", p_technology="4g") == ["c1", "c3"]
    assert similar(gold, "c0", p_region_code="GB") == ["c1", "c2"]
    assert similar(gold, "c0", p_region_code="nowhere") == []
    assert similar(gold, "c0", p_within_km=20) == ["c1"]
    assert similar(gold, "c0", 10, "5g", "GB", 100) == ["c2"]
    assert similar(gold, "c4", p_within_km=20_000) == []
    for wrong in (0, 501, None):
        with pytest.raises(psycopg.Error) as caught:
            similar(gold, "c0", wrong)
        assert caught.value.sqlstate == "TS045"


def test_the_index_finds_what_comparing_all_finds(gold: psycopg.Connection) -> None:
    gold.execute(
        "INSERT INTO silver.dim_network_cell (cell_id, name, latitude, longitude)"
        " SELECT 'n' || i, 'x', 51, 0 FROM generate_series(1, 600) AS i"
    )
    gold.execute(
        "INSERT INTO analytics.cell_fingerprint (cell_key, fingerprint, last_week, weeks, slots, records)"
        " SELECT c.cell_key, v.v, '2026-03-02', 1, 168, 1000 FROM silver.dim_network_cell AS c CROSS JOIN LATERAL"
        " (SELECT array_agg(sin(c.cell_key * 7.3 + i) + sin(c.cell_key * i)) AS v FROM generate_series(1, 172) AS i) AS v"
        " WHERE c.cell_id LIKE 'n%'"
    )
    gold.execute("ANALYZE analytics.cell_fingerprint")
    asked = [f"n{n}" for n in range(1, 600, 20)]
    hits = sum(len(set(similar(gold, one, 10)) & set(similar(gold, one, 10, p_within_km=20_000))) for one in asked)
    assert hits >= 0.95 * 10 * len(asked)
    plan = gold.execute(
        "EXPLAIN SELECT cell_key FROM analytics.cell_fingerprint ORDER BY fingerprint <->"
        " (SELECT fingerprint FROM analytics.cell_fingerprint LIMIT 1) LIMIT 10"
    ).fetchall()
    assert "cell_fingerprint_nearest" in str(plan)


@pytest.mark.parametrize(("cells", "opinion"), [(1, "unknown"), (8, "shared"), (-8, "alone")])
def test_a_second_opinion_on_an_anomaly(gold: psycopg.Connection, cells: int, opinion: str) -> None:
    """Cells of a kind lose their events together, or one alone while the others have theirs."""
    peak = MONDAY + WEEK
    for number in range(abs(cells)):
        put(gold, f"c{number}", office)
    run(gold)
    gold.execute(
        "INSERT INTO analytics.baseline SELECT %s, cell_key, 'events', 100, 1, 100, 24, true"
        " FROM silver.dim_network_cell WHERE cell_id LIKE 'c%%'",
        (peak,),
    )
    if cells < 0:
        columns = gold.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'rollup.network_5m_v1'::regclass AND attnum > 4"
            " AND NOT attisdropped ORDER BY attnum"
        ).fetchall()
        zeros = ", ".join("0" for _ in columns)
        gold.execute(
            f"INSERT INTO rollup.network_5m_v1 SELECT %s, cell_key, '4g', 100, {zeros} FROM silver.dim_network_cell"
            " WHERE cell_id LIKE 'c%%' AND cell_id <> 'c0'",
            (peak,),
        )
    (number,) = gold.execute(
        "INSERT INTO analytics.anomaly (cell_key, kpi, direction, severity, started_at, peak_at, peak_value, peak_z,"
        " seen_to, median, mad, query, from_at, to_at) SELECT cell_key, 'events', 'low', 'critical', %(at)s, %(at)s, 0, 9,"
        " %(at)s, 100, 1, '', %(at)s, %(at)s FROM silver.dim_network_cell WHERE cell_id = 'c0' RETURNING anomaly_id",
        {"at": peak},
    ).fetchone() or (0,)
    gold.execute("SET ROLE telestream_analyst")
    found = gold.execute("SELECT * FROM analytics.second_opinion(%s)", (number,)).fetchall()
    peers = abs(cells) - 1
    assert found == [(opinion, peers, peers if cells > 0 else 0)]
    assert gold.execute("SELECT * FROM analytics.second_opinion(-1)").fetchall() == []


def test_the_commands_run_a_task_and_tell_how_it_went(gold: psycopg.Connection) -> None:
    put(gold, "a", office)
    done = telestream("analytics", "run", "cell_fingerprint")
    assert done.returncode == 0, done.stderr
    assert "1 fingerprints made of 1 cells" in done.stdout
    assert "cell_fingerprint" in telestream("analytics", "list").stdout
    assert "done" in telestream("analytics", "show", "cell_fingerprint").stdout
    assert telestream("analytics", "run", "nonsense").returncode == 2


def test_runs_are_kept_and_an_unknown_task_is_refused(database: str, gold: psycopg.Connection) -> None:
    task, *_ = analytics.tasks(gold)
    assert (task.name, task.last) == ("cell_fingerprint", None)
    put(gold, "a", office)
    analytics.run(database, "cell_fingerprint")
    task, *_ = analytics.tasks(gold)
    assert task.last is not None
    assert (task.last.status, task.last.rows) == ("done", 1)
    assert [one.number for one in analytics.runs(gold, "cell_fingerprint", 5)] == [task.last.number]
    with pytest.raises(psycopg.Error) as caught:
        gold.execute("CALL analytics.run_task('nonsense')")
    assert caught.value.sqlstate == "TS045"
