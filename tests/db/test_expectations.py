"""Expectations of whole datasets: planted faults are found once, clean data and old data alert nobody."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from days import instant, load_day, load_weeks, prepare, refresh
from staging import cdr, refine

from telestream.db.sqlstate import SqlState

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
# The first day that tests judge, with this many weeks before it.
TUESDAY = date(2026, 6, 2)
WEEKS = 4


def check(connection: psycopg.Connection, now: datetime) -> dict[tuple[str, str, str], str]:
    """Run a check, and return what it judged: rule, subject and bucket."""
    rows = connection.execute(
        "SELECT rule, subject, to_char(bucket AT TIME ZONE 'UTC', 'MM-DD HH24'), outcome"
        " FROM quality.check_expectations(%s, 'cdr')",
        (now,),
    ).fetchall()
    return {(rule, subject, bucket): outcome for rule, subject, bucket, outcome in rows}


def failed(found: dict[tuple[str, str, str], str]) -> set[tuple[str, str, str]]:
    return {what for what, outcome in found.items() if outcome in {"failed", "error"}}


def alerts(connection: psycopg.Connection) -> list[tuple[str, str, str | None]]:
    return connection.execute(
        "SELECT payload ->> 'kpi', payload ->> 'status', payload ->> 'subject' FROM ops.outbox ORDER BY outbox_id"
    ).fetchall()


def rule(connection: psycopg.Connection, name: str, kind: str, **parameters: Any) -> None:
    """Add an expectation of CDRs."""
    connection.execute(
        "INSERT INTO quality.rule (dataset, rule, dimension, severity, message)"
        " VALUES ('cdr', %s, 'validity', 'error', 'a rule of a test')",
        (name,),
    )
    names = ["dataset", "rule", "kind", *parameters]
    connection.execute(
        f"INSERT INTO quality.expectation ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})",
        ["cdr", name, kind, *parameters.values()],
    )


@pytest.fixture
def usual(connection: psycopg.Connection) -> psycopg.Connection:
    """Weeks of usual days before TUESDAY, and a usual check in them: sources are known to be on time."""
    prepare(connection)
    load_weeks(connection, TUESDAY, WEEKS)
    assert failed(check(connection, instant(TUESDAY, 7))) == set()
    return connection


def test_clean_weeks_alert_nobody(connection: psycopg.Connection) -> None:
    prepare(connection)
    load_weeks(connection, TUESDAY, WEEKS + 3)
    outcomes = set()
    for back in range(21, -1, -1):
        found = check(connection, instant(TUESDAY - back * DAY, 7))
        outcomes |= {(name, outcome) for (name, _, _), outcome in found.items()}
    measured = {
        "rows_per_day", "unknown_cells", "unknown_plans", "unknown_customers", "plan_mix", "record_type_mix",
    }  # fmt: skip
    assert {name for name, outcome in outcomes if outcome == "passed"} == measured | {"source_on_time"}
    assert not {name for name, outcome in outcomes if outcome in {"failed", "error"}}
    assert alerts(connection) == []


def test_a_day_at_40_per_cent_is_one_incident_and_ends_with_the_rest_of_it(usual: psycopg.Connection) -> None:
    load_day(usual, TUESDAY, 40)
    refresh(usual)
    morning = instant(TUESDAY + DAY, 7)
    assert failed(check(usual, morning)) == {("rows_per_day", "", "06-02 00")}
    usual.execute("UPDATE ops.batch SET finished_at = finished_at - interval '1 hour'")
    check(usual, morning)
    # What no load has touched since is neither measured nor judged again.
    assert check(usual, morning + HOUR).keys() == {("source_on_time", "msc-01", "06-03 08")}
    assert alerts(usual) == [("rows_per_day", "opened", None)]
    (message, observed, normal) = usual.execute("SELECT message, observed, normal FROM quality.incident").fetchone()
    assert observed == 40
    assert 80 <= normal <= 125
    assert message.startswith("cdr: records of a day against the same weekday: 40.00, expected ")
    # The rest of the day arrives late: measured anew once Gold has it, and the alert is taken back.
    load_day(usual, TUESDAY, 60)
    assert ("rows_per_day", "", "06-02 00") not in check(usual, morning + 2 * HOUR)
    refresh(usual)
    assert check(usual, morning + 3 * HOUR)["rows_per_day", "", "06-02 00"] == "passed"
    assert alerts(usual) == [("rows_per_day", "opened", None), ("rows_per_day", "ended", None)]
    both = usual.execute("SELECT count(DISTINCT key), count(DISTINCT alert_id) FROM ops.outbox").fetchone()
    assert both == (1, 2)


def test_a_silent_source_is_missed_and_its_return_noticed(usual: psycopg.Connection) -> None:
    load_day(usual, TUESDAY, 50, source="msc-01")
    load_day(usual, TUESDAY, 50, source="msc-02")
    refresh(usual)
    assert failed(check(usual, instant(TUESDAY, 20))) == set()
    wednesday = TUESDAY + DAY
    load_day(usual, wednesday, 100, source="msc-01")
    refresh(usual)
    assert failed(check(usual, instant(wednesday, 17))) == set()
    assert failed(check(usual, instant(wednesday, 19))) == {("source_on_time", "msc-02", "06-03 19")}
    assert failed(check(usual, instant(wednesday, 21))) == {("source_on_time", "msc-02", "06-03 21")}
    load_day(usual, wednesday, 50, source="msc-02")
    refresh(usual)
    assert failed(check(usual, instant(wednesday, 22))) == set()
    assert alerts(usual) == [("source_on_time", "opened", "msc-02"), ("source_on_time", "ended", "msc-02")]


def test_a_feed_that_lost_its_cells_is_found(usual: psycopg.Connection) -> None:
    load_day(usual, TUESDAY, 100, cell="cell-4")
    refresh(usual)
    assert failed(check(usual, instant(TUESDAY + DAY, 7))) == {("unknown_cells", "", "06-02 00")}


def test_another_mix_of_plans_is_found_and_says_what_moved(usual: psycopg.Connection) -> None:
    load_day(usual, TUESDAY, 100, plans=(10, 10, 20, 60))
    refresh(usual)
    assert failed(check(usual, instant(TUESDAY + DAY, 7))) == {("plan_mix", "", "06-02 00")}
    row = usual.execute(
        "SELECT p.plan_code FROM quality.expectation_result AS x INNER JOIN silver.dim_service_plan AS p"
        " ON p.plan_key::text = x.details ->> 'moved' WHERE x.rule = 'plan_mix' AND x.outcome = 'failed'"
    ).fetchone()
    assert row == ("plan-4",)


def test_old_days_that_are_loaded_later_alert_nobody(connection: psycopg.Connection) -> None:
    """Half a year of history, odd days in it, checked as of today: no source was ever on time, no day is judged."""
    prepare(connection)
    load_weeks(connection, TUESDAY - timedelta(days=150), 6)
    load_day(connection, TUESDAY - timedelta(days=150), 5, cell="cell-4")
    refresh(connection)
    for day in range(4):
        found = check(connection, instant(TUESDAY + day * DAY, 7))
        assert set(found.values()) == {"no_history"}
    assert alerts(connection) == []


def test_a_day_is_not_judged_while_a_file_is_being_loaded(usual: psycopg.Connection) -> None:
    load_day(usual, TUESDAY, 40)
    refresh(usual)
    usual.execute(
        "INSERT INTO ops.source_file (dataset, content_hash, uri, size_bytes, modified_at, profile, profile_hash,"
        " segment_size, code_version) VALUES ('cdr', 'h', 'u', 1, now(), 'p', 'p', 1, 'test')"
    )
    assert failed(check(usual, instant(TUESDAY + DAY, 7))) == set()
    usual.execute("UPDATE ops.source_file SET status = 'loaded'")
    assert failed(check(usual, instant(TUESDAY + DAY, 7))) == {("rows_per_day", "", "06-02 00")}


def test_planned_maintenance_is_not_judged_and_is_no_history(usual: psycopg.Connection) -> None:
    usual.execute(
        "INSERT INTO quality.maintenance (dataset, from_at, to_at, reason) VALUES ('cdr', %s, %s, 'switch replaced')",
        (instant(TUESDAY, 9), instant(TUESDAY, 15)),
    )
    load_day(usual, TUESDAY, 5, cell="cell-4")
    refresh(usual)
    found = check(usual, instant(TUESDAY + DAY, 7))
    assert {outcome for (_, _, bucket), outcome in found.items() if bucket == "06-02 00"} == {"maintenance"}
    for days, rows in ((5, 60), (6, 100), (7, 100)):
        load_day(usual, TUESDAY + days * DAY, rows)
    refresh(usual)
    check(usual, instant(TUESDAY + 8 * DAY, 7))
    row = usual.execute(
        "SELECT outcome, details ->> 'weeks' FROM quality.expectation_result"
        " WHERE rule = 'rows_per_day' AND bucket = %s",
        (instant(TUESDAY + 7 * DAY),),
    ).fetchone()
    assert row == ("passed", "4")
    assert [name for name, _, _ in alerts(usual) if name != "source_on_time"] == []


def test_with_too_little_history_nothing_passes_or_fails(connection: psycopg.Connection) -> None:
    prepare(connection)
    load_weeks(connection, TUESDAY, 2)
    load_day(connection, TUESDAY, 5)
    refresh(connection)
    check(connection, instant(TUESDAY + DAY, 7))
    reason = connection.execute(
        "SELECT outcome, reason FROM quality.expectation_status WHERE rule = 'rows_per_day'"
    ).fetchall()
    assert reason == [("no_history", "2 of 3 past weeks have records")]


def test_volume_per_source_and_hour_finds_the_one_that_is_missing(connection: psycopg.Connection) -> None:
    prepare(connection)
    rule(
        connection, "rows_per_source", "volume", relation="fact", statistic="rows", by_column="source_system",
        grain="hour", grace=HOUR, below=50, min_weeks=2,
    )  # fmt: skip
    for week in (2, 1):
        load_day(connection, TUESDAY - 7 * week * DAY, 60, source="msc-01")
        load_day(connection, TUESDAY - 7 * week * DAY, 60, source="msc-02")
    load_day(connection, TUESDAY, 60, source="msc-01")
    refresh(connection)
    found = check(connection, instant(TUESDAY, 12))
    assert failed(found) == {("rows_per_source", "msc-02", "06-02 10")}
    assert found["rows_per_source", "msc-01", "06-02 10"] == "passed"


def test_mean_share_and_distinct_are_measured_as_sql_says(connection: psycopg.Connection) -> None:
    prepare(connection)
    common = {"relation": "fact", "grain": "day", "at_most": 1000}
    rule(connection, "mean", "distribution", statistic="mean", column_name="duration_s", **common)
    rule(connection, "distinct", "distribution", statistic="distinct", column_name="plan_key", **common)
    rule(connection, "nulls", "distribution", statistic="null_share", column_name="answered_at", **common)
    rule(connection, "sms", "distribution", statistic="share", column_name="record_type", among=["sms"], **common)
    load_day(connection, TUESDAY, 80)
    connection.execute("UPDATE silver.fact_cdr SET answered_at = started_at WHERE source_line < 20")
    refresh(connection)
    check(connection, instant(TUESDAY + DAY, 7))
    measured = connection.execute(
        "SELECT rule, value FROM quality.measurement WHERE rule = ANY (%s) AND bucket = %s ORDER BY rule",
        (["mean", "distinct", "nulls", "sms"], instant(TUESDAY)),
    ).fetchall()
    assert measured == [("distinct", 4), ("mean", 60), ("nulls", 75), ("sms", 25)]


def test_a_bad_day_of_loading_alerts_and_the_score_is_that_of_the_view(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE quality.expectation SET min_support = 1 WHERE kind = 'score'")
    rule(connection, "valid", "score", statistic="score", column_name="validity", grain="day", at_least=60)
    now = connection.execute("SELECT now()").fetchone()[0]  # type: ignore[index]
    good = [cdr(native_key=f"k{n}", started_at=now - HOUR, answered_at=None, ended_at=None) for n in range(3)]
    refine(connection, [*good, cdr(native_key="bad", started_at=now - HOUR, record_type="fax")])
    connection.execute("UPDATE ops.batch SET finished_at = %s", (instant(TUESDAY, 12),))
    connection.execute("UPDATE ops.batch SET max_event_at = %s", (instant(TUESDAY, 11),))
    found = check(connection, instant(TUESDAY + DAY, 7))
    assert found["daily_score", "", "06-02 00"] == "failed"
    assert found["valid", "", "06-02 00"] == "passed"
    scores = connection.execute("SELECT score, validity FROM quality.score_by_day").fetchone()
    assert scores == (75, 75)
    values = connection.execute(
        "SELECT value FROM quality.measurement WHERE bucket = %s AND rule IN ('daily_score', 'valid')",
        (instant(TUESDAY),),
    ).fetchall()
    assert values == [(75,), (75,)]
    assert alerts(connection) == [("daily_score", "opened", None)]


def test_a_load_of_old_days_does_not_count_in_the_score(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE quality.expectation SET min_support = 1 WHERE kind = 'score'")
    refine(connection, [cdr(), cdr(native_key="bad", record_type="fax")])
    connection.execute("UPDATE ops.batch SET finished_at = %s", (instant(TUESDAY, 12),))
    found = check(connection, instant(TUESDAY + DAY, 7))
    assert found["daily_score", "", "06-02 00"] == "no_history"
    assert alerts(connection) == []


def test_a_named_source_that_never_comes_is_missed_once_the_rule_is_old_enough(
    connection: psycopg.Connection,
) -> None:
    connection.execute("UPDATE quality.rule SET is_enabled = false")
    rule(
        connection, "nightly_file", "freshness", source="msc-09", every=12 * HOUR, due_at="06:00",
        weekdays=[1, 2, 3, 4, 5], time_zone="Europe/London", grace=HOUR, created_at=instant(TUESDAY, 12),
    )  # fmt: skip
    assert check(connection, instant(TUESDAY, 13)) == {("nightly_file", "msc-09", "06-02 05"): "no_history"}
    # Due at six in the summer of London, which is five in UTC, and judged an hour later.
    assert check(connection, instant(TUESDAY + DAY, 5, 59)) == {("nightly_file", "msc-09", "06-02 05"): "no_history"}
    assert check(connection, instant(TUESDAY + DAY, 6)) == {("nightly_file", "msc-09", "06-03 05"): "failed"}
    # Of the weekend nothing is expected: on Sunday the file of Friday is still the last one due.
    connection.execute(
        "INSERT INTO ops.watermark (dataset, source, event_at) VALUES ('cdr', 'msc-09', %s)",
        (instant(date(2026, 6, 5)),),
    )
    sunday = check(connection, instant(date(2026, 6, 7), 20))
    assert sunday == {("nightly_file", "msc-09", "06-05 05"): "passed"}
    assert alerts(connection) == [("nightly_file", "opened", "msc-09"), ("nightly_file", "ended", "msc-09")]


def test_a_due_time_follows_summer_time(connection: psycopg.Connection) -> None:
    for before, due in (
        ("2026-03-28 12:00+00", "2026-03-28 06:00+00"),
        ("2026-03-29 05:00+00", "2026-03-29 05:00+00"),
        ("2026-03-29 04:59+00", "2026-03-28 06:00+00"),
        ("2026-10-24 23:00+00", "2026-10-24 05:00+00"),
        ("2026-10-25 06:00+00", "2026-10-25 06:00+00"),
    ):
        row = connection.execute(
            "SELECT quality._due_at('06:00', NULL, 'Europe/London', %s) = %s::timestamptz", (before, due)
        ).fetchone()
        assert row == (True,), before


def test_days_and_weeks_follow_the_calendar(connection: psycopg.Connection) -> None:
    """The day on which summer time begins has 23 hours, and Monday a week after it begins at another hour of UTC."""
    row = connection.execute(
        "SELECT quality._bucket_end('day', 'Europe/London', '2026-03-29 00:00+00') = '2026-03-29 23:00+00',"
        " quality._weeks_before('day', 'Europe/London', '2026-04-05 23:00+00', 2)"
        " = ARRAY['2026-03-29 23:00+00', '2026-03-23 00:00+00']::timestamptz[],"
        " quality._weeks_before('hour', 'Europe/London', '2026-04-05 08:00+00', 2)"
        " = ARRAY['2026-03-29 08:00+00', '2026-03-22 09:00+00']::timestamptz[]"
    ).fetchone()
    assert row == (True, True, True)


def test_switching_a_rule_off_ends_its_incident(usual: psycopg.Connection) -> None:
    load_day(usual, TUESDAY, 40)
    refresh(usual)
    check(usual, instant(TUESDAY + DAY, 7))
    usual.execute("UPDATE quality.rule SET is_enabled = false WHERE rule = 'rows_per_day'")
    check(usual, instant(TUESDAY + DAY, 8))
    assert alerts(usual) == [("rows_per_day", "opened", None), ("rows_per_day", "ended", None)]


def test_a_rule_that_cannot_run_is_noted_and_stops_no_other(usual: psycopg.Connection) -> None:
    rule(
        usual, "broken", "distribution", relation="fact", statistic="mean", column_name="duration_s", grain="day",
        at_most=1000,
    )  # fmt: skip
    usual.execute("ALTER TABLE quality.expectation DISABLE TRIGGER expectation_guard")
    usual.execute("UPDATE quality.expectation SET column_name = 'gone' WHERE rule = 'broken'")
    load_day(usual, TUESDAY, 40)
    refresh(usual)
    found = check(usual, instant(TUESDAY + DAY, 7))
    assert failed(found) == {("rows_per_day", "", "06-02 00"), ("broken", "", "06-03 07")}
    (reason,) = usual.execute("SELECT reason FROM quality.expectation_status WHERE rule = 'broken'").fetchone()  # type: ignore[misc]
    assert "gone" in reason


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("freshness", {}, "every is missing"),
    ("freshness", {"every": DAY, "time_zone": "Mars/Olympus"}, "time zone Mars/Olympus is not known"),
    ("freshness", {"every": DAY, "weekdays": [1]}, "weekdays need due_at"),
    ("volume", {"statistic": "rows", "relation": "fact", "grain": "day"}, "there is no bound"),
    ("volume", {"statistic": "rows", "relation": "secrets", "grain": "day", "below": 1}, "no rollup secrets"),
    ("volume", {"statistic": "rows", "relation": "network_1h", "weight": "events", "grain": "day", "below": 1},
     "network_1h is not of cdr"),
    ("volume", {"statistic": "psi", "relation": "fact", "grain": "day", "below": 1}, "has no statistic psi"),
    ("volume", {"statistic": "rows", "relation": "cell_traffic_1d", "weight": "attempts", "grain": "hour",
                "below": 1}, "longer than an hour"),
    ("volume", {"statistic": "rows", "relation": "cell_traffic_1d", "weight": "a; DROP TABLE x", "grain": "day",
                "below": 1}, "does not exist"),
    ("distribution", {"statistic": "psi", "relation": "fact", "column_name": "subscriber_id", "grain": "day",
                      "at_most": 1}, "column subscriber_id is personal"),
    ("distribution", {"statistic": "distinct", "relation": "fact", "column_name": "tac", "grain": "day",
                      "at_most": 1}, "column tac is personal"),
    ("referential", {"statistic": "unknown_share", "relation": "fact", "column_name": "batch_id", "grain": "day",
                     "at_most": 1}, "no key that can be unknown"),
    ("score", {"statistic": "score", "column_name": "beauty", "grain": "day", "at_least": 1}, "a score has"),
]  # fmt: skip


def test_a_rule_that_cannot_be_judged_is_refused(connection: psycopg.Connection) -> None:
    for kind, parameters, wrong in WRONG:
        with connection.transaction(force_rollback=True), pytest.raises(psycopg.Error) as caught:
            rule(connection, "r", kind, **parameters)
        assert caught.value.sqlstate == SqlState.EXPECTATION_UNUSABLE, wrong
        assert caught.value.diag.message_primary is not None
        assert caught.value.diag.message_primary.startswith("expectation r of cdr cannot be used: ")
        assert wrong in caught.value.diag.message_primary
        assert caught.value.diag.message_hint


def test_changing_what_is_measured_forgets_what_was(usual: psycopg.Connection) -> None:
    count = "SELECT count(*) FROM quality.measurement WHERE rule = 'plan_mix'"
    assert usual.execute(count).fetchone() != (0,)
    usual.execute("UPDATE quality.expectation SET at_most = 0.3 WHERE rule = 'plan_mix'")
    assert usual.execute(count).fetchone() != (0,)
    usual.execute("UPDATE quality.expectation SET column_name = 'region_key' WHERE rule = 'plan_mix'")
    assert usual.execute(count).fetchone() == (0,)


def test_results_go_after_the_time_that_is_set(usual: psycopg.Connection) -> None:
    usual.execute("UPDATE ops.setting SET value = '10 days' WHERE name = 'quality_history'")
    check(usual, instant(TUESDAY + 5 * DAY, 7))
    row = usual.execute(
        "SELECT min(bucket) >= %(since)s FROM quality.expectation_result", {"since": instant(TUESDAY - 5 * DAY, 7)}
    ).fetchone()
    assert row == (True,)


def test_one_check_at_a_time(usual: psycopg.Connection, database: str) -> None:
    with psycopg.connect(database) as other:
        assert other.execute("SELECT pg_try_advisory_xact_lock(7301017)").fetchone() == (True,)
        assert check(usual, instant(TUESDAY, 8)) == {}
    assert check(usual, instant(TUESDAY, 8)) != {}
