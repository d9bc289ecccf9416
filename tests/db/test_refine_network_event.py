"""The refine of network events: rules, duplicates, surrogates, late rows, and windows that are right at once."""

from __future__ import annotations

import datetime
import json
import threading
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from staging import cdr, event, refine, refine_events

from telestream.db import rollups

BAD: dict[str, dict[str, Any]] = {
    "missing_event_id": {"event_id": ""},
    "missing_source_system": {"source_system": None},
    "missing_event_at": {"event_at": None},
    "unknown_event_type": {"event_type": "party"},
    "subscriber_not_e164": {"subscriber": "07900 000001"},
    "radio_out_of_range": {"rsrp_dbm": 99.0},
    "service_out_of_range": {"latency_ms": float("nan")},
    "payload_not_json": {"payload": "{"},
    "event_time_window": {"event_at": "2036-03-01T09:15:00Z"},
}
WARNINGS: dict[str, dict[str, Any]] = {
    "missing_cell": {"cell_id": None},
    "unknown_outcome": {"outcome": "perhaps"},
    "unknown_technology": {"technology": "6g"},
    "unknown_severity": {"severity": "dire"},
    "late": {"is_late": True},
}


@pytest.mark.parametrize("rule", BAD)
def test_each_error_rule_refuses_its_event_and_no_other(connection: psycopg.Connection, rule: str) -> None:
    assert refine_events(connection, [event(), event(event_id="bad") | BAD[rule]])[1:] == (1, 0, 1)
    [(rules, reason, record)] = connection.execute("SELECT rules, reason, record FROM quality.quarantine").fetchall()
    assert rules == [rule]
    assert reason
    assert record["cell_id"] == "234-15-1"


@pytest.mark.parametrize("rule", WARNINGS)
def test_a_warning_is_loaded_and_counted(connection: psycopg.Connection, rule: str) -> None:
    assert refine_events(connection, [event(), event(event_id="odd") | WARNINGS[rule]])[1:] == (2, 0, 0)
    assert connection.execute("SELECT rule, violations FROM quality.rule_result").fetchall() == [(rule, 1)]


def test_every_rule_is_tested(connection: psycopg.Connection) -> None:
    rules = connection.execute(
        "SELECT rule FROM quality.rule WHERE dataset = 'network_event' AND predicate IS NOT NULL"
    ).fetchall()
    assert {rule for (rule,) in rules} == BAD.keys() | WARNINGS.keys() | {"before_horizon"}


def test_an_event_counts_once_however_often_it_comes(connection: psycopg.Connection, database: str) -> None:
    assert refine_events(connection, [event(), event()])[1:] == (1, 1, 0)
    assert refine_events(connection, [event(), event(event_id="e2")])[1:] == (1, 1, 0)
    assert connection.execute("SELECT sum(events) FROM gold.network_5m").fetchone() == (2,)
    assert rollups.check(database) == []


def test_a_subscriber_is_the_same_surrogate_as_in_cdrs(connection: psycopg.Connection) -> None:
    refine(connection, [cdr(caller="+447900000001")])
    refine_events(connection, [event(subscriber="+447900000001"), event(event_id="e2", subscriber=None)])
    [(caller,)] = connection.execute("SELECT caller_id FROM silver.fact_cdr").fetchall()
    ids = connection.execute("SELECT subscriber_id FROM silver.fact_network_event ORDER BY source_line").fetchall()
    assert ids == [(caller,), (0,)]


def test_quarantined_events_are_replayed_after_the_rule_is_put_right(
    connection: psycopg.Connection, database: str
) -> None:
    refine_events(connection, [event(event_id="far", rsrp_dbm=5.0), event()])
    connection.execute("UPDATE quality.rule SET is_enabled = false WHERE rule = 'radio_out_of_range'")
    [row] = connection.execute("SELECT rows_in, rows_loaded, rows_quarantined FROM quality.replay()").fetchall()
    assert row == (1, 1, 0)
    assert connection.execute("SELECT payload FROM silver.fact_network_event LIMIT 1").fetchone() == ({"vendor": 1},)
    assert rollups.check(database) == []


TIMES = st.integers(0, 40).map(
    lambda n: (datetime.datetime(2026, 3, 1, 9, tzinfo=datetime.UTC) + datetime.timedelta(minutes=n)).isoformat()
)
EVENTS = st.builds(
    event,
    event_id=st.integers(0, 12).map(str),
    event_at=TIMES,
    cell_id=st.sampled_from(["a", "b", None]),
    technology=st.sampled_from(["4g", "5g", None]),
    event_type=st.sampled_from(["kpi_sample", "handover", "drop", "attach"]),
    outcome=st.sampled_from([None, "success", "failure"]),
    is_late=st.booleans(),
    latency_ms=st.none() | st.floats(0, 2000, width=32),
    rsrp_dbm=st.none() | st.floats(-150, -1, width=32),
    throughput_down_kbps=st.none() | st.floats(0, 1e6, width=32),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(EVENTS, max_size=12), min_size=1, max_size=4))
def test_windows_equal_silver_after_every_batch(
    connection: psycopg.Connection, database: str, batches: list[list[dict[str, Any]]]
) -> None:
    for rows in batches:
        _, loaded, duplicate, quarantined = refine_events(connection, rows)
        assert (loaded + duplicate, quarantined) == (len(rows), 0)
        assert rollups.check(database) == []


def test_hours_follow_and_a_deleted_event_leaves_the_windows(connection: psycopg.Connection, database: str) -> None:
    refine_events(connection, [event(event_id=str(n), event_at=f"2026-03-01T09:{n:02d}:00Z") for n in range(30)])
    rollups.refresh(database)
    assert connection.execute("SELECT events FROM gold.network_1h").fetchone() == (30,)
    connection.execute("DELETE FROM silver.fact_network_event WHERE event_at < '2026-03-01T09:05:00Z'")
    assert len(rollups.check(database)) == 1
    connection.execute(
        "INSERT INTO rollup.pending (rollup_name, bucket, batch_id) VALUES ('network_5m', '2026-03-01T09:00:00Z', 0)"
    )
    rollups.refresh(database)
    assert rollups.check(database) == []
    assert connection.execute("SELECT events FROM gold.network_1h").fetchone() == (25,)


def test_two_batches_into_one_window_at_once_lose_nothing(connection: psycopg.Connection, database: str) -> None:
    def load(part: int) -> None:
        with psycopg.connect(database, autocommit=True) as other:
            for batch in range(5):
                refine_events(other, [event(event_id=f"{part}-{batch}-{n}", cell_id=f"c{n % 7}") for n in range(40)])

    def recompute() -> None:
        with psycopg.connect(database, autocommit=True) as other:
            for _ in range(8):
                other.execute(
                    "INSERT INTO rollup.pending VALUES ('network_5m', '2026-03-01T09:15:00Z', 0) ON CONFLICT DO NOTHING"
                )
                other.execute("SELECT rollup.refresh_table('network_5m')")

    threads = [threading.Thread(target=load, args=(part,)) for part in range(3)] + [threading.Thread(target=recompute)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert connection.execute("SELECT sum(events) FROM gold.network_5m").fetchone() == (600,)
    assert rollups.check(database) == []


def test_means_and_percentile_of_a_window(connection: psycopg.Connection) -> None:
    refine_events(
        connection, [event(event_id=str(n), latency_ms=float(n), rsrp_dbm=-80.0 - n / 100) for n in range(1, 101)]
    )
    row = connection.execute(
        "SELECT events, latency_ms_mean::float, latency_ms_p95, latency_ms_max, rsrp_dbm_mean::float, rsrp_dbm_min"
        " FROM gold.network_5m"
    ).fetchone()
    assert row is not None
    assert row[:2] == (100, 50.5)
    assert row[2] == pytest.approx(95, abs=1)
    assert row[3] == 100
    assert row[4:] == (pytest.approx(-80.505, abs=0.006), -81.0)


def test_hot_windows_are_the_newest(connection: psycopg.Connection) -> None:
    refine_events(
        connection,
        [event(event_at="2026-03-01T08:00:00Z"), event(event_id="e2"), event(event_id="e3", cell_id="z")],
    )
    rows = connection.execute("SELECT cell_id, technology, events FROM ops.hot_windows() ORDER BY cell_id").fetchall()
    assert rows == [("234-15-1", "4g", 1), ("z", "4g", 1), (None, None, 2)]


def test_the_payload_reaches_no_analyst(connection: psycopg.Connection) -> None:
    refine_events(connection, [event(payload=json.dumps({"number": "+447900000001"}))])
    connection.execute("SET ROLE telestream_analyst")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT payload FROM silver.fact_network_event")
