"""`telestream load customers`: formats, bad lines, files known by content, a crash in the middle."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import assert_clear_error, kill_when, start, telestream
from staging import cdr, refine

from telestream.db import rollups
from telestream.loaders.customers import load_customers
from telestream.loaders.sources import discover

_LOAD = """
import sys
from telestream.loaders.customers import load_customers
from telestream.loaders.sources import discover
load_customers(discover([sys.argv[1]]), batch_rows=200)
"""
HEADER = "customer_id,changed_at,msisdn,plan_code,region_code,segment,status,birth_year,is_deleted,name"
LINES = [
    "C1,2026-01-01T00:00:00Z,+447900000001,basic,GB-LND,consumer,active,1980,,Ada Example",
    "C1,2026-02-01T00:00:00Z,+447900000001,plus,GB-LND,consumer,active,1980,false,Ada Example",
    "C2,2026-01-01 02:00:00+02:00,+447900000002,basic,,business,active,,0,Bob",
    "C2,2026-02-01,,,,,,,yes,Bob",
]
WANTED = [
    ("C1", "2026-01-01T00:00:00+00:00", "basic", "GB-LND", "consumer", "active", 1980),
    ("C1", "2026-02-01T00:00:00+00:00", "plus", "GB-LND", "consumer", "active", 1980),
    ("C2", "2026-01-01T00:00:00+00:00", "basic", "unknown", "business", "active", None),
    ("C2", "2026-02-01T00:00:00+00:00", "unknown", "unknown", None, "terminated", None),
]


@pytest.fixture
def plans(connection: psycopg.Connection) -> psycopg.Connection:
    connection.execute("SET ROLE telestream_owner")
    connection.execute("INSERT INTO silver.dim_service_plan (plan_code, name) VALUES ('basic', 'b'), ('plus', 'p')")
    connection.execute("INSERT INTO silver.dim_region (region_code, name) VALUES ('GB-LND', 'London')")
    connection.execute("RESET ROLE")
    return connection


def versions(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    rows = connection.execute(
        "SELECT d.customer_id, d.valid_from, p.plan_code, r.region_code, d.segment, d.status, d.birth_year"
        " FROM silver.dim_customer AS d INNER JOIN silver.dim_service_plan AS p USING (plan_key)"
        " INNER JOIN silver.dim_region AS r USING (region_key) WHERE d.customer_key <> 0 ORDER BY 1, 2"
    ).fetchall()
    return [(row[0], row[1].astimezone(datetime.UTC).isoformat(), *row[2:]) for row in rows]


def as_records() -> list[dict[str, Any]]:
    names = HEADER.split(",")
    return [{name: value or None for name, value in zip(names, line.split(","), strict=True)} for line in LINES]


def write(path: Path, kind: str) -> Path:
    if kind == "csv":
        path.write_text("\n".join([HEADER, *LINES]) + "\n")
    elif kind == "semicolons":
        path.write_bytes(("\ufeff" + "\r\n".join([HEADER, *LINES]).replace(",", ";")).encode())
    elif kind == "jsonl":
        records = [record | ({"birth_year": 1980} if record["birth_year"] else {}) for record in as_records()]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        table = pa.Table.from_pylist(as_records())
        moments = [datetime.datetime.fromisoformat(record["changed_at"]) for record in as_records()]
        moments = [moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC) for moment in moments]
        table = table.set_column(1, "changed_at", pa.array(moments, pa.timestamp("us", "UTC")))
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize("kind", ["csv", "semicolons", "jsonl", "parquet"])
def test_every_format_gives_the_same_history(tmp_path: Path, plans: psycopg.Connection, kind: str) -> None:
    [result] = load_customers(discover([str(write(tmp_path / "customers", kind))]))
    assert result.outcome == "loaded", result.error
    assert (result.counts.rows_in, result.counts.loaded) == (4, 4)
    assert versions(plans) == WANTED


def test_the_command_shows_counts_and_brings_facts_and_gold_up_to_date(
    tmp_path: Path, plans: psycopg.Connection, database: str
) -> None:
    refine(plans, [cdr(plan_code=None)])
    path = write(tmp_path / "customers.csv", "csv")
    result = telestream("load", "customers", path)
    assert result.returncode == 0, result.stderr
    assert "1 numbers lead to another version" in result.stdout or "2 numbers lead to another version" in result.stdout
    assert plans.execute("SELECT plan_code FROM gold.fact_customer_usage_daily").fetchall() == [("plus",)]
    assert rollups.check(database) == []
    copy = tmp_path / "copy.csv"
    copy.write_bytes(path.read_bytes())
    again = telestream("load", "customers", copy)
    assert "already loaded" in again.stdout
    assert plans.execute("SELECT count(*) FROM ops.batch WHERE dataset = 'customer'").fetchone() == (1,)


def test_bad_lines_go_to_quarantine_with_place_and_reason(tmp_path: Path, plans: psycopg.Connection) -> None:
    path = tmp_path / "bad.csv"
    bad = [
        b"C3,yesterday,+447900000003,basic,,,,,,Eve",
        b"C4,2026-01-01T00:00:00Z,+447900000004,basic,,,,,",
        b'C5,2026-01-01T00:00:00Z,"+447900000005,basic,,,,,,Eve',
        b"C6,2026-01-01T00:00:00Z,+447900000006,basic,\xff,,,,,",
        b"C7,2026-01-01T00:00:00Z,+447900000007,ba\x00sic,,,,,,",
        b"C8,2026-01-01T00:00:00Z,+447900000008,basic,,,,19.5,,",
        b"C9,2026-01-01T00:00:00Z,+447900000009,basic,,,,,maybe,",
        b",2026-01-01T00:00:00Z,+447900000009,basic,,,,,,",
        b"C1,2026-01-01T00:00:00Z,+447900000009,lost,,,,,,Eve",
    ]
    path.write_bytes(b"\n".join([HEADER.encode(), LINES[0].encode(), b"", *bad]) + b"\n" + b"x" * (1 << 21))
    [result] = load_customers(discover([str(path)]))
    assert (result.counts.rows_in, result.counts.loaded, result.counts.quarantined) == (11, 1, 10)
    rows = plans.execute("SELECT line, rules[1], reason, raw FROM quality.quarantine ORDER BY line").fetchall()
    assert [(line, rule) for line, rule, *_ in rows] == [
        (4, "unparsable_value"), (5, "field_count"), (6, "unbalanced_quote"), (7, "encoding"), (8, "nul_byte"),
        (9, "unparsable_value"), (10, "unparsable_value"), (11, "missing_customer_id"), (12, "unknown_plan"),
        (13, "line_too_long"),
    ]  # fmt: skip
    assert all(reason and raw for *_, reason, raw in rows)
    # Of a line that could be taken apart only the fields we know are kept.
    assert "Eve" not in rows[0][3] + rows[8][3]
    odd = tmp_path / "odd.csv"
    odd.write_text("a,b\n1,2\n")
    strict = telestream("load", "customers", path, odd, "--strict")
    assert_clear_error(strict, "already loaded", "odd.csv: no column customer_id", "known columns are")
    assert strict.returncode == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"a,b\n1,2\n", "no column customer_id, changed_at"),
        (b"customer_id,changed_at,customer_id\n", "stands in the header twice"),
        (b"Obj\x01aaaa", "Avro"),
        (b"PAR1aaaaPAR1", "Parquet"),
        (b"\n\n", "holds no customers"),
    ],
)
def test_a_file_that_is_none_of_customers_is_refused_with_its_name(
    tmp_path: Path, plans: psycopg.Connection, content: bytes, words: str
) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    [result] = load_customers(discover([str(path)]))
    assert result.outcome == "failed"
    assert result.error is not None
    assert "odd.csv" in str(result.error)
    assert words in f"{result.error} {result.error.detail}"
    assert plans.execute("SELECT count(*) FROM ops.source_file").fetchone() == (0,)


def test_kill_9_in_the_middle_then_the_same_command(tmp_path: Path, plans: psycopg.Connection) -> None:
    path = tmp_path / "many.csv"
    rows = [
        f"C{n % 700},{2010 + n // 700}-01-01T00:00:00Z,+4479{n % 700:08d},{('basic', 'plus')[n // 700 % 2]}"
        for n in range(7_000)
    ]
    path.write_text("\n".join(["customer_id,changed_at,msisdn,plan_code", *rows]) + "\n")

    def committed() -> int:
        row = plans.execute("SELECT count(*) FROM ops.batch WHERE status = 'done'").fetchone()
        return int(row[0]) if row else 0

    assert kill_when(start(_LOAD, str(path)), lambda: committed() >= 3)
    assert committed() < 35
    assert kill_when(start(_LOAD, str(path)), lambda: committed() >= 9)
    result = telestream("load", "customers", path)
    assert result.returncode == 0, result.stderr
    assert plans.execute("SELECT sum(rows_in), sum(rows_loaded) FROM ops.batch").fetchone() == (7_000, 7_000)
    assert plans.execute("SELECT count(*), count(DISTINCT customer_id) FROM silver.dim_customer").fetchone() == (
        7_001, 701,
    )  # fmt: skip
    assert plans.execute("SELECT count(*) FROM silver.customer_rekey").fetchone() == (0,)


def test_a_replay_of_customers_reaches_the_facts(tmp_path: Path, plans: psycopg.Connection, database: str) -> None:
    refine(plans, [cdr(plan_code=None)])
    path = tmp_path / "lost.csv"
    path.write_text("customer_id,changed_at,msisdn,plan_code\nC1,2026-01-01,+447900000001,new\n")
    [result] = load_customers(discover([str(path)]))
    assert result.counts.quarantined == 1
    described = tmp_path / "plans.csv"
    described.write_text("plan_code,name\nnew,New\n")
    for command in (("load", "plans", described), ("quality", "replay", "--rule", "unknown_plan")):
        done = telestream(*command)
        assert done.returncode == 0, done.stderr
    assert plans.execute("SELECT plan_code FROM gold.fact_customer_usage_daily").fetchall() == [("new",)]
    assert rollups.check(database) == []
