"""Every query of the dashboards runs as the role of Grafana against loaded data, brings rows, and reads few chunks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grafana_sample
import psycopg
import pytest
import yaml
from command import ROOT
from fix_db import copied_database
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from telestream import bench_grafana
from telestream.grafana.macros import Range, Value, expand
from telestream.grafana.queries import Board, Query, boards

BOARDS = {board.name: board for board in boards()}
QUERIES = [(board.name, query) for board in BOARDS.values() for query in board.sql()]
IDS = [f"{name}, {query.owner}" for name, query in QUERIES]
# What is about loading happens when the test runs, all else in the time of the sample.
_OF_LOADS = re.compile(r"ops\.load\b|quality\.")
FLOAT8 = 701
# Names of columns that would show one person, or what stands for one.
_PERSON = re.compile(r"subscriber|caller|called|msisdn|imsi|imei|customer_id|birth")


class Grafana:
    """Runs queries as Grafana would: macros and variables expanded, as the analyst."""

    def __init__(self, connection: psycopg.Connection, superuser: psycopg.Connection) -> None:
        self.connection = connection
        self.superuser = superuser
        self.now = datetime.now(UTC)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, prepare=False).fetchall()

    def shown(self, board: Board, query: str) -> Range:
        return board.range_to(self.now if _OF_LOADS.search(query) else grafana_sample.END)

    def sql(self, name: str, query: Query, chosen: dict[str, Value] | None = None) -> str:
        board = BOARDS[name]
        shown = self.shown(board, query.text)
        return expand(query.text, shown, board.values(shown, self.ask, chosen or {}))


@pytest.fixture(scope="module")
def grafana(
    superuser_url: str, template_database: str, vault_key_file: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Grafana]:
    with copied_database(superuser_url, template_database) as url:
        as_superuser = make_conninfo(superuser_url, dbname=conninfo_to_dict(url)["dbname"])
        with (
            psycopg.connect(as_superuser, autocommit=True) as superuser,
            psycopg.connect(url, autocommit=True) as connection,
        ):
            grafana_sample.load(url, superuser, Path(tmp_path_factory.mktemp("grafana")))
            connection.execute("SET ROLE telestream_analyst")
            yield Grafana(connection, superuser)


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=IDS)
def test_a_query_brings_rows_and_names_nobody(grafana: Grafana, name: str, query: Query) -> None:
    cursor = grafana.connection.execute(grafana.sql(name, query), prepare=False)
    columns = [column.name for column in cursor.description or ()]
    rows = cursor.fetchall()
    assert rows
    assert any(value is not None for row in rows for value in row)
    assert not [column for column in columns if _PERSON.search(column)]
    assert len(set(columns)) == len(columns)
    if query.owner.startswith("annotation"):
        assert {"time", "text"} <= set(columns)


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=IDS)
def test_a_query_runs_for_some_values_as_well(grafana: Grafana, name: str, query: Query) -> None:
    every = {one["name"]: one for one in BOARDS[name].variables if one.get("includeAll")}
    shown = grafana.shown(BOARDS[name], query.text)
    known = BOARDS[name].values(shown, grafana.ask)
    some = {one: [str(row[0]) for row in grafana.ask(expand(every[one]["query"], shown, known))[:2]] for one in every}
    assert all(some.values())
    grafana.ask(grafana.sql(name, query, {**some}))
    grafana.ask(grafana.sql(name, query, {one: ["it's none"] for one in every}))


NETWORK = {"grain": "1h", "total_grain": "1h", "cell_grain": "1h", "network_grain": "1h"}


@pytest.mark.parametrize(
    ("name", "hours", "cell", "expected"),
    [
        ("network-operations", 3, "'*'", NETWORK | {"grain": "5m", "network_grain": "5m"}),
        ("network-operations", 6, "'*'", NETWORK),
        ("network-operations", 48, "'234-15-1'", NETWORK | {"grain": "5m", "network_grain": "5m", "cell_grain": "1d"}),
        ("network-operations", 24 * 30, "'234-15-1'", dict.fromkeys(NETWORK, "1d") | {"network_grain": "1h"}),
        ("executive-kpi", 24 * 7, None, {"grain": "1h"}),
        ("executive-kpi", 24 * 30, None, {"grain": "1d"}),
    ],
)
def test_the_grain_follows_the_range(
    grafana: Grafana, name: str, hours: int, cell: str | None, expected: dict[str, str]
) -> None:
    shown = Range(grafana_sample.END - timedelta(hours=hours), grafana_sample.END)
    values = BOARDS[name].values(shown, grafana.ask, {"cell": cell} if cell else {})
    assert {variable: value for variable, value in values.items() if variable.endswith("grain")} == expected
    for query in BOARDS[name].sql():
        grafana.ask(expand(query.text, shown, values))


def scanned(node: dict[str, Any]) -> Iterator[str]:
    """Yield the tables that a plan reads."""
    if "Relation Name" in node:
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from scanned(child)


IN_GOLD = [(name, query) for name, query in QUERIES if "$__timeFilter(t.bucket)" in query.text]


@pytest.mark.parametrize(("name", "query"), IN_GOLD, ids=[f"{name}, {query.owner}" for name, query in IN_GOLD])
@pytest.mark.parametrize("hours", [3, 24])
def test_a_query_of_gold_reads_only_chunks_of_its_range(grafana: Grafana, name: str, query: Query, hours: int) -> None:
    shown = Range(grafana_sample.END - timedelta(hours=hours), grafana_sample.END)
    sql = expand(query.text, shown, BOARDS[name].values(shown, grafana.ask))
    [(plan,)] = grafana.ask(f"EXPLAIN (FORMAT JSON) {sql}")
    ranges = {
        chunk: (table, start, end)
        for chunk, table, start, end in grafana.superuser.execute(
            "SELECT chunk_name, hypertable_name, range_start, range_end FROM timescaledb_information.chunks"
        )
    }
    read = {ranges[table] for table in scanned(plan[0]["Plan"]) if table in ranges}
    assert read
    # A bucket that began before the range is not of it; a day is the longest.
    outside = [one for one in read if one[1] > shown.end or one[2] <= shown.start - timedelta(days=1)]
    assert outside == []
    left_out = {one for one in ranges.values() if one[0] in {table for table, _, _ in read}} - read
    assert left_out


@pytest.mark.parametrize("name", BOARDS)
def test_the_benchmark_times_every_query(grafana: Grafana, name: str) -> None:
    table, times = bench_grafana.measured(grafana.connection, BOARDS[name], 1, 24)
    assert table.row_count == len(times) == len(BOARDS[name].sql())
    assert all(taken > 0 for taken in times)


RULES = [
    rule
    for group in yaml.safe_load((ROOT / "grafana/provisioning/alerting/rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_the_query_of_an_alert_gives_a_number_per_set_of_labels(grafana: Grafana, rule: dict[str, Any]) -> None:
    cursor = grafana.connection.execute(rule["data"][0]["model"]["rawSql"], prepare=False)
    rows = cursor.fetchall()
    numeric = [column.name for column in cursor.description or () if column.type_code == FLOAT8]
    assert [column.name for column in cursor.description or ()][-1:] == numeric
    labels = [row[:-1] for row in rows]
    assert len(set(labels)) == len(labels)
    assert all(isinstance(label, str) for row in labels for label in row)
    # Nothing of the sample is late, and its outage was found just now.
    assert rows or rule["uid"] in {"telestream-source-late", "telestream-unattended"}
