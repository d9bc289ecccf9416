"""`telestream quality check|show|rules`, and what a load does by itself."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import fastavro
import psycopg
from command import ROOT, assert_clear_error, telestream
from days import load_day, prepare, refresh

from telestream.consumers.outbox import alert_record
from telestream.consumers.registry import packaged_schema
from telestream.consumers.wire import AvroEncoder

TUESDAY = date(2026, 6, 2)
MORNING = "2026-06-03T07:00Z"


def test_check_shows_what_fails_and_its_exit_code_says_so(connection: psycopg.Connection) -> None:
    prepare(connection)
    for week in (3, 2, 1):
        load_day(connection, TUESDAY - timedelta(weeks=week), 100)
    refresh(connection)
    good = telestream("quality", "check", "--at", MORNING)
    assert good.returncode == 1, "a day without any record"
    load_day(connection, TUESDAY, 100)
    refresh(connection)
    good = telestream("quality", "check", "--at", MORNING)
    assert (good.returncode, "nothing fails" in good.stdout) == (0, True), good.stdout + good.stderr
    load_day(connection, TUESDAY, 300)
    refresh(connection)
    bad = telestream("quality", "check", "--at", MORNING)
    assert bad.returncode == 1
    assert "rows_per_day" in bad.stdout
    shown = telestream("quality", "show", "--dataset", "cdr")
    assert shown.returncode == 0
    assert "since 2026-06-02" in shown.stdout
    listed = telestream("quality", "rules")
    assert listed.returncode == 0
    assert "freshness" in listed.stdout
    assert "record" in listed.stdout
    assert_clear_error(telestream("quality", "check", "--at", "soon"), "soon is no time")
    # What waits in the outbox fits the schema that the topic has.
    encoder = AvroEncoder(packaged_schema("alert"), 1)
    for (payload,) in connection.execute("SELECT payload FROM ops.outbox").fetchall():
        assert payload["anomaly_id"] < 0
        assert encoder.encode(alert_record(payload))


def test_a_reader_of_the_former_schema_reads_an_alert_of_quality(connection: psycopg.Connection) -> None:
    """The fields that were added have defaults: the new schema reads old alerts, and the old one new alerts."""
    new = packaged_schema("alert")
    added = {"kind", "dataset", "subject"}
    old = new | {"fields": [part for part in new["fields"] if part["name"] not in added]}
    assert all("default" in part for part in new["fields"] if part["name"] in added)
    for reader in (old, new):
        assert fastavro.parse_schema(dict(reader))


def test_a_load_checks_what_it_has_loaded(connection: psycopg.Connection, vault_key_file: str) -> None:
    assert vault_key_file
    sample = next(path for path in sorted((ROOT / "samples").rglob("*.csv")) if "cdr" in path.name)
    result = telestream("load", "cdr", Path(sample))
    assert result.returncode == 0, result.stdout + result.stderr
    rows = connection.execute(
        "SELECT DISTINCT outcome FROM quality.expectation_result WHERE dataset = 'cdr'"
    ).fetchall()
    assert rows == [("no_history",)]
    assert connection.execute("SELECT count(*) FROM ops.outbox").fetchone() == (0,)
