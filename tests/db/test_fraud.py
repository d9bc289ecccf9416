"""Fraud: what is planted is found, what only looks like it is not, and a case stays what it is."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.csv
import pytest
from command import telestream
from fraud_calls import HOME, call, cases, find, ring, sim_box, steps_between
from psycopg import errors
from staging import cdr, refine

from telestream.db import analytics
from telestream.loaders.bench_task import surrogates
from telestream.loaders.generate import GenerateSpec, cells, generate_cdr, regions
from telestream.loaders.generate.fraud import SOURCE, Planted, write_fraud
from telestream.loaders.generate.planted import read_truth

LAST_DAY = date(2026, 3, 30)
DAYS = 10
START = datetime(2026, 3, 10, 20, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def load(*arguments: str | Path) -> None:
    result = telestream("load", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr


def again(connection: psycopg.Connection) -> None:
    """Let the next run see everything as new."""
    connection.execute("SET ROLE telestream_owner")
    connection.execute("TRUNCATE analytics.fraud_batch")
    connection.execute("UPDATE analytics.fraud_progress SET evaluated_to = NULL")
    connection.execute("RESET ROLE")


def test_what_is_planted_is_found_and_what_looks_like_it_is_not(
    database: str, connection: psycopg.Connection, tmp_path: Path
) -> None:
    """On the days around the beginning of summer time, among people who do nothing."""
    spec = GenerateSpec(rows=1_000, day=LAST_DAY, cells=150, subscribers=400, settled=True)
    for name, table in (("regions", regions()), ("cells", cells(spec))):
        pyarrow.csv.write_csv(table, tmp_path / f"{name}.csv")
        load(name, tmp_path / f"{name}.csv")
    _, beside = write_fraud(spec, DAYS, 2, 1, tmp_path / "fraud.csv")
    for number in range(2):
        generate_cdr(replace(spec, day=LAST_DAY - timedelta(days=number)), tmp_path / f"people{number}.csv")
    load("cdr", tmp_path / "fraud.csv", *tmp_path.glob("people*.csv"), "--profile", "canonical")
    truth = list(read_truth(beside, Planted))
    who = surrogates(connection, SOURCE, [one.native_key for one in truth])
    assert len(who) == len(truth)
    planted = {(one.kind, who[one.native_key]) for one in truth if one.is_fraud}

    analytics.run(database, "fraud")
    found = cases(connection)
    assert {(rule, subscriber) for _, rule, subscriber, *_ in found} == planted
    assert len(found) == len(planted)
    spans = {(one.kind, who[one.native_key]): one for one in truth}
    for _, rule, subscriber, started_at, last_seen_at, _, _ in found:
        span = spans[rule, subscriber]
        assert started_at <= datetime.fromisoformat(span.last_at)
        assert last_seen_at >= datetime.fromisoformat(span.first_at)
    lines = connection.execute(
        "SELECT case_id, measure, seen, threshold, explanation FROM gold.fraud_evidence"
    ).fetchall()
    assert {line[0] for line in lines} == {case[0] for case in found}
    assert [line for line in lines if re.search(r"\+\d|\d{9}", line[4])] == []

    # Nothing new: nothing happens. Everything anew: the same cases, the same evidence.
    still_open = sum(closed_at is None for *_, closed_at in found)
    nothing = f"0 cases opened, 0 grew, 0 closed, {still_open} are open"
    assert still_open > 0
    assert find(connection) == (0, f"0 days judged: {nothing}")
    again(connection)
    rows, words = find(connection)
    assert (rows, words.split(": ")[1]) == (0, nothing)
    assert cases(connection) == found

    # Erasure: their cases go, and nobody else's.
    gone_case, _, gone, *_ = next(case for case in found if case[1] == "sim_box")
    (removed,) = connection.execute("SELECT analytics.forget(ARRAY[%s, 0]::bigint[])", (gone,)).fetchone()
    assert removed == 2
    assert cases(connection) == [case for case in found if case[2] != gone]
    left = connection.execute(
        "SELECT (SELECT count(*) FROM analytics.fraud_first_seen WHERE subscriber_id = %(gone)s),"
        " (SELECT count(*) FROM analytics.fraud_evidence WHERE case_id = %(case)s)",
        {"gone": gone, "case": gone_case},
    ).fetchone()
    assert left == (0, 0)


def test_a_case_grows_closes_and_opens_anew(connection: psycopg.Connection) -> None:
    assert find(connection) == (0, "there are no records yet")
    number = "+447800000001"
    refine(connection, sim_box(number, START, 110))
    # At a time before most of it nothing is there to be seen.
    assert find(connection, START + HOUR)[0] == 0
    find(connection)
    [(first, rule, subscriber, started_at, last_seen_at, score, closed_at)] = cases(connection)
    assert (rule, started_at, closed_at) == ("sim_box", START, None)
    # Over midnight, and 110 numbers against 80.
    assert last_seen_at.date() > started_at.date()
    assert score == pytest.approx(50 * 110 / 80)

    # A day later it goes on; a replay of what is known adds nothing; what is late makes it longer at the other end.
    refine(connection, sim_box(number, START + 24 * HOUR, 130))
    find(connection)
    refine(connection, sim_box(number, START, 110))
    refine(connection, sim_box(number, START - 5 * HOUR, 20))
    find(connection)
    [(case, *_, grown_from, grown_to, higher, _)] = cases(connection)
    assert (case, grown_from) == (first, START - 5 * HOUR)
    assert grown_to > START + 24 * HOUR
    assert higher > score
    [(seen,)] = connection.execute("SELECT seen FROM gold.fraud_evidence WHERE measure = 'numbers_called'").fetchall()
    assert seen == pytest.approx(higher * 80 / 50)

    # Two quiet days close it. What comes then is another case, until late records show that it is the same.
    find(connection, START + 90 * HOUR)
    assert [row[0] for row in cases(connection) if row[6] is None] == []
    refine(connection, sim_box(number, START + 100 * HOUR, 110))
    find(connection)
    assert [row[0] == first for row in cases(connection)] == [True, False]
    refine(connection, sim_box(number, START + 65 * HOUR, 110))
    find(connection)
    [(case, *_, began, _, _, closed_at)] = cases(connection)
    assert (case, began, closed_at) == (first, START - 5 * HOUR, None)
    assert connection.execute("SELECT count(*), count(merged_into) FROM analytics.fraud_case").fetchone() == (2, 1)
    before = cases(connection)
    again(connection)
    find(connection)
    assert cases(connection) == before
    assert connection.execute("SELECT day, cases FROM gold.fraud_daily").fetchall() == [(START.date(), 1)]
    # Erasure takes also what was merged.
    connection.execute("SELECT analytics.forget(ARRAY[%s]::bigint[])", (subscriber,))
    assert connection.execute("SELECT count(*) FROM analytics.fraud_case").fetchone() == (0,)


def test_what_a_rule_needs_and_is_not_there(connection: psycopg.Connection) -> None:
    """Cells without a place, hidden numbers, records at the same instant, a single customer without a past."""
    dear = {"charge_micro": 30_000_000, "billed_s": 600, "duration_s": 605}
    alone = [
        cdr(
            native_key=f"a{n}",
            called=f"+88{n % 2}",
            started_at=START + n * HOUR / 2,
            answered_at=None,
            ended_at=None,
            **dear,
        )
        for n in range(12)
    ]
    refine(connection, alone)
    # One customer is its own peer: nothing is unusual. Nor is it new where records begin with it.
    assert find(connection)[0] == 0

    hidden = [row | {"called": None} for row in sim_box("+447800000002", START, 120)]
    placeless = [row | {"cell_id": None} for row in sim_box("+447800000003", START, 120)]
    busy = [row | {"direction": "mt", "called": "+447800000004", "caller": f"+4420{n:08d}", "native_key": f"in{n}"}
            for n, row in enumerate(sim_box("+447800000004", START, 20))]  # fmt: skip
    refine(connection, hidden + placeless + busy + sim_box("+447800000004", START, 120))
    # To and fro between places that nobody knows, and twice at the same instant in one.
    unknown = steps_between("+447800000005", START, "234-15-8", "234-15-9", 12)
    refine(connection, unknown)
    find(connection)
    # Now that there are others, the minutes of the first one are dear.
    assert [row[1] for row in cases(connection)] == ["revenue_share"]

    connection.execute(
        "UPDATE silver.dim_network_cell SET latitude = 51.5, longitude = CASE cell_id WHEN '234-15-8' THEN -0.1 ELSE 4 END"
        " WHERE cell_id IN ('234-15-8', '234-15-9')"
    )
    again(connection)
    find(connection)
    assert [row[1] for row in cases(connection)] == ["revenue_share", "impossible_travel"]
    # Both sides of the 180th meridian are near each other.
    near = steps_between("+447800000006", START, "234-15-6", "234-15-7", 12)
    refine(connection, near)
    connection.execute(
        "UPDATE silver.dim_network_cell SET latitude = -17, longitude = CASE cell_id WHEN '234-15-6' THEN 179.9 ELSE -179.9 END"
        " WHERE cell_id IN ('234-15-6', '234-15-7')"
    )
    find(connection)
    assert len(cases(connection)) == 2


def test_what_never_changes_accuses_nobody(connection: psycopg.Connection) -> None:
    """Meters that report to one number at the same price all day: nothing varies, and nothing is unusual."""

    def meter(number: int, price: int) -> list[dict[str, Any]]:
        caller = f"+4478000003{number:02d}"
        return [
            call(caller, START + n * HOUR / 6, "+881600000000", f"{caller} {n}", charge_micro=price, billed_s=60)
            for n in range(144)
        ]

    refine(connection, [row for number in range(25) for row in meter(number, 2_000_000)])
    assert find(connection)[0] == 0
    # The same but for its price.
    refine(connection, meter(25, 20_000_000))
    find(connection)
    assert [row[1] for row in cases(connection)] == ["revenue_share"]


def test_a_cell_in_the_wrong_place_accuses_nobody(connection: psycopg.Connection) -> None:
    rows = [
        row
        for n in range(25)
        for row in steps_between(f"+4478000001{n:02d}", START + n * HOUR / 12, HOME, "234-15-5", 6)
    ]
    refine(connection, rows)
    connection.execute(
        "UPDATE silver.dim_network_cell SET latitude = 51.5, longitude = CASE cell_id WHEN %s THEN -0.1 ELSE 40 END"
        " WHERE cell_id IN (%s, '234-15-5')",
        (HOME, HOME),
    )
    assert find(connection)[0] == 0
    connection.execute("UPDATE analytics.fraud_threshold SET value = 30 WHERE threshold = 'max_visitors'")
    again(connection)
    assert find(connection)[0] == 25


def test_rings_count_once_whichever_side_recorded_them(connection: psycopg.Connection) -> None:
    caller = "+2321000001"
    rows = ring(caller, START, 45, callbacks=4)
    # The same calls, as the switch of the caller saw them.
    outgoing = [
        row | {"direction": "mo", "native_key": f"o{row['native_key']}"} for row in rows if row["caller"] == caller
    ]
    refine(connection, rows + outgoing)
    refine(connection, ring("+2321000002", START, 45, callbacks=2))
    refine(connection, ring("+2321000003", START, 35, callbacks=10))
    find(connection)
    [(case, rule, *_, score, _)] = cases(connection)
    assert (rule, score) == ("wangiri", pytest.approx(50 * 45 / 40))
    assert connection.execute(
        "SELECT measure, seen, threshold FROM gold.fraud_evidence WHERE case_id = %s ORDER BY position", (case,)
    ).fetchall() == [("numbers_rung", 45, 40), ("ring_share", 1, 0.7), ("callbacks", 4, 3)]


def test_closed_cases_go_after_a_while(connection: psycopg.Connection) -> None:
    for number, days in ((1, 402), (2, 398), (3, 0)):
        refine(connection, sim_box(f"+44780000000{number}", START - timedelta(days=days), 110))
    connection.execute("UPDATE ops.setting SET value = '500 days' WHERE name = 'fraud_horizon'")
    connection.execute("UPDATE ops.setting SET value = '1000 days' WHERE name = 'fraud_history'")
    find(connection)
    assert len(cases(connection)) == 3
    # A case is kept from the time it closed on, in event time.
    connection.execute("UPDATE analytics.fraud_case SET closed_at = last_seen_at WHERE closed_at IS NOT NULL")
    connection.execute("UPDATE ops.setting SET value = '400 days' WHERE name = 'fraud_history'")
    find(connection)
    kept = connection.execute("SELECT started_at, closed_at IS NULL FROM analytics.fraud_case ORDER BY 1").fetchall()
    assert kept == [(START - timedelta(days=398), False), (START, True)]
    evidence = connection.execute("SELECT count(DISTINCT case_id) FROM analytics.fraud_evidence").fetchone()
    assert evidence == (2,)


def test_thresholds_are_rows_that_cannot_be_made_useless(connection: psycopg.Connection) -> None:
    refine(connection, sim_box("+447800000001", START, 110))
    update = "UPDATE analytics.fraud_threshold SET value = {} WHERE (rule, threshold) = ('sim_box', 'min_calls')"
    for value in ("0", "'NaN'", "'Infinity'"):
        with pytest.raises(errors.DatabaseError, match="out of bounds") as caught:
            connection.execute(update.format(value))
        assert caught.value.sqlstate == "TS046"
    for statement in (
        "DELETE FROM analytics.fraud_rule",
        "INSERT INTO analytics.fraud_threshold VALUES ('sim_box', 'x', 1, 0, 2, '', '')",
        "UPDATE analytics.fraud_threshold SET threshold = threshold || 'x'",
    ):
        with pytest.raises(errors.DatabaseError, match="not added, renamed or removed"):
            connection.execute(statement)
    connection.execute(update.format(111))
    assert find(connection)[0] == 0
    connection.execute(update.format(110))
    connection.execute("UPDATE analytics.fraud_rule SET is_enabled = false")
    again(connection)
    assert find(connection)[0] == 0
    connection.execute("UPDATE analytics.fraud_rule SET is_enabled = true")
    again(connection)
    assert find(connection)[0] == 1


def test_chunks_before_the_look_back_are_not_opened(connection: psycopg.Connection) -> None:
    """A number of last year is not new, and its records are not judged."""
    number = "+447800000001"
    refine(connection, sim_box(number, START - timedelta(days=200), 110))
    refine(connection, [cdr(started_at=START, answered_at=None, ended_at=None)])
    connection.execute("CALL rollup.refresh_pending()")
    find(connection)
    assert cases(connection) == []
    rows: list[tuple[Any, ...]] = connection.execute(
        "SELECT first_seen_at < %s FROM analytics.fraud_first_seen ORDER BY 1", (START - timedelta(days=199),)
    ).fetchall()
    assert rows == [(False,), (True,)]
