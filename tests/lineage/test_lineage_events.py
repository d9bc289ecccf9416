"""Lineage events: valid, with the numbers of what was committed, one end per run, whatever happens on the way."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from command import kill_when, start
from crm_server import TOKEN, CrmServer, crm_server
from lineage.openlineage_spec import events, facets_of, parameters, read, types, violated, written
from lineage.quick_command import quick
from staging import cdr, event, refine, refine_events
from truth import generated

from telestream.consumers.kafka_options import broker_name
from telestream.db import rollups
from telestream.db.archive import Archiver
from telestream.db.lineage_runs import failing, problem_of
from telestream.db.retention import exclusive
from telestream.errors import TelestreamError, TerminalError, TransientError
from telestream.loaders.crm import sync
from telestream.loaders.crm_client import CrmClient
from telestream.loaders.customers import load_customers
from telestream.loaders.pipeline import CdrLoader
from telestream.loaders.sources import discover

SEGMENT = 1 << 20
_LOAD = """
import sys
from telestream.loaders.pipeline import CdrLoader
from telestream.loaders.sources import discover
with CdrLoader(segment_bytes=int(sys.argv[2])) as loader:
    loader.load(discover([sys.argv[1]]))
"""
CUSTOMER = {
    "customer_id": "C1", "changed_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    "msisdn": "+447900000001", "plan_code": "basic", "segment": "consumer", "status": "active", "birth_year": 1980,
}  # fmt: skip
# A telephone number, an IMSI or an IMEI; ids of runs and hashes are told from them by the letters around.
PERSONAL = re.compile(r"(?<![0-9a-f])\+?\d{11,15}(?![0-9a-f])")


def load(path: Path, database: str) -> None:
    with CdrLoader(database, segment_bytes=SEGMENT) as loader:
        loader.load(discover([str(path)]))


def age_marks(connection: psycopg.Connection) -> None:
    """Let the minute of what was noted be over."""
    connection.execute("UPDATE ops.lineage_mark SET noted_at = noted_at - interval '1 minute'")


@pytest.fixture
def crm() -> Iterator[CrmServer]:
    with crm_server() as server:
        server.customers = [CUSTOMER]
        yield server


def test_the_load_of_a_file(tmp_path: Path, connection: psycopg.Connection, database: str) -> None:
    path = tmp_path / "day.csv"
    truth = generated(path, rows=12_000)
    load(path, database)
    rollups.refresh(database)
    found = events(connection)
    run, *_ = found
    assert types(found)[0] == ("load.cdr", "START")
    assert run["inputs"] == [{"namespace": "file", "name": str(path)}]
    assert parameters(run)["profile"] == "canonical"
    assert len(parameters(run)["content_sha256"]) == 64

    batches = connection.execute(
        "SELECT batch_id::text, rows_in, rows_loaded, rows_quarantined, (SELECT count(*) FROM bronze.cdr AS c"
        " WHERE c.batch_id = b.batch_id) FROM ops.batch AS b ORDER BY 1"
    ).fetchall()
    assert len(batches) > 1
    staged = [one for one in found if types([one]) == [("load.cdr.segment", "COMPLETE")]]
    assert sorted(
        (parameters(one)["first_batch_id"], read(one)[str(path)], written(one)["bronze.cdr"]) for one in staged
    ) == [(number, rows_in, bronze) for number, rows_in, _, _, bronze in batches]
    refined = [one for one in found if types([one]) == [("refine.cdr", "COMPLETE")]]
    assert sorted(
        (parameters(one)["first_batch_id"], written(one)["silver.fact_cdr"], written(one)["quality.quarantine"])
        for one in refined
    ) == [(number, loaded, refused) for number, _, loaded, refused, _ in batches]
    assert {one["run"]["facets"]["parent"]["run"]["runId"] for one in staged + refined} == {run["run"]["runId"]}

    violations: Counter[str] = Counter()
    for one in refined:
        violations.update(violated(one))
    assert violations == dict(
        connection.execute("SELECT rule, sum(violations)::int FROM quality.rule_result GROUP BY 1").fetchall()
    )
    assert sum(one["inputs"][0]["inputFacets"]["dataQualityMetrics"]["rowCount"] for one in refined) == truth.rows_in

    [end] = [one for one in found if types([one]) == [("load.cdr", "COMPLETE")]]
    assert end["run"]["runId"] == run["run"]["runId"]
    assert read(end) == {str(path): truth.rows_in}
    refreshed = {one["job"]["name"]: one for one in found if one["job"]["name"].startswith("refresh.")}
    assert set(refreshed) == {
        f"refresh.{name}"
        for (name,) in connection.execute(
            "SELECT rollup_name FROM rollup.definition WHERE rollup_name NOT LIKE 'network%'"
        ).fetchall()
    }
    hourly = refreshed["refresh.cell_traffic_1h"]
    assert set(read(hourly)) == {"rollup.cell_traffic_5m_v1"}
    assert set(written(hourly)) == {"rollup.cell_traffic_1h_v1", "gold.cell_traffic_1h", "gold.network_kpi_hourly"}
    stored = connection.execute("SELECT count(*) FROM rollup.cell_traffic_1h_v1").fetchone()
    assert stored == (written(hourly)["rollup.cell_traffic_1h_v1"],)

    load(path, database)  # the same content again
    assert len(events(connection, "load%")) == len([one for one in found if one["job"]["name"].startswith("load")])


def test_a_file_refused_as_a_whole_has_failed(tmp_path: Path, connection: psycopg.Connection, database: str) -> None:
    path = tmp_path / "other.csv"
    generated(path, rows=50)
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *(line + ",one,too,many" for line in lines)]) + "\n")
    load(path, database)
    found = events(connection, "load.cdr")
    assert types(found) == [("load.cdr", "START"), ("load.cdr", "FAIL")]
    reason = connection.execute("SELECT reason FROM ops.source_file").fetchone()
    assert reason == (found[1]["run"]["facets"]["errorMessage"]["message"],)


def test_kill_9_and_again_gives_one_end_per_batch(
    tmp_path: Path, connection: psycopg.Connection, database: str
) -> None:
    path = tmp_path / "day.csv"
    generated(path, rows=60_000)

    def committed() -> int:
        row = connection.execute("SELECT count(*) FROM ops.batch WHERE status = 'done'").fetchone()
        return int(row[0]) if row else 0

    assert kill_when(start(_LOAD, str(path), str(SEGMENT)), lambda: committed() > 0)
    load(path, database)
    found = events(connection)
    batches = committed()
    assert batches > 3
    for job in ("load.cdr.segment", "refine.cdr"):
        ended = [parameters(one)["first_batch_id"] for one in found if types([one]) == [(job, "COMPLETE")]]
        assert len(ended) == len(set(ended)) == batches
    runs = events(connection, "load.cdr")
    assert [one["eventType"] for one in runs] == ["START", "ABORT", "START", "COMPLETE"]
    assert connection.execute("SELECT count(*) FROM ops.lineage_run").fetchone() == (0,)


def test_a_stream_has_an_event_a_minute(connection: psycopg.Connection) -> None:
    for number in range(5):
        refine_events(connection, [event(event_id=f"e{number}"), event(event_id=f"f{number}", event_at=None)])
    assert events(connection) == []  # this minute is not over
    age_marks(connection)
    refine_events(connection, [event(event_id="late")])  # the next batch closes it
    found = events(connection)
    assert types(found) == [
        (job, kind) for job in ("stream.network_event", "refine.network_event") for kind in ("START", "COMPLETE")
    ]
    assert parameters(found[1])["batches"] == "5"
    assert written(found[1]) == {"bronze.network_event": 10}
    assert written(found[3])["silver.fact_network_event"] == 5
    assert written(found[3])["quality.quarantine"] == 5
    assert {"rollup.network_5m_v1", "gold.network_5m"} <= set(written(found[3]))
    assert found[3]["job"]["facets"]["jobType"]["processingType"] == "STREAMING"
    assert violated(found[3]) == {"missing_event_at": 5}
    age_marks(connection)
    assert connection.execute("SELECT ops.close_lineage()").fetchone() == (1,)
    assert [parameters(one)["batches"] for one in events(connection, "stream%") if one["eventType"] == "COMPLETE"] == [
        "5",
        "1",
    ]


def test_a_batch_that_rolls_back_leaves_no_event(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.Error):
        refine(connection, [cdr()], rows_in=2)
    assert connection.execute("SELECT count(*) FROM ops.lineage_mark").fetchone() == (0,)
    assert events(connection) == []


def test_a_minute_is_closed_by_one_while_the_others_go_on(connection: psycopg.Connection, database: str) -> None:
    refine(connection, [cdr()])
    age_marks(connection)
    with psycopg.connect(database) as other:
        assert other.execute("SELECT ops.close_lineage()").fetchone() == (1,)
        refine(connection, [cdr(native_key="k2")])  # does not wait for the other
        assert connection.execute("SELECT ops.close_lineage()").fetchone() == (0,)
    assert len(events(connection, "refine.cdr")) == 2


def test_customers_from_a_file_and_from_a_crm(
    tmp_path: Path, connection: psycopg.Connection, database: str, crm: CrmServer
) -> None:
    connection.execute("SET ROLE telestream_owner")
    connection.execute("INSERT INTO silver.dim_service_plan (plan_code, name) VALUES ('basic', 'b')")
    connection.execute("RESET ROLE")
    path = tmp_path / "customers.jsonl"
    path.write_text(json.dumps(CUSTOMER) + "\nnonsense\n")
    load_customers(discover([str(path)]))
    found = events(connection)
    assert types(found)[:1] + types(found)[-1:] == [("load.customer", "START"), ("load.customer", "COMPLETE")]
    [refined] = [one for one in found if types([one]) == [("refine.customer", "COMPLETE")]]
    assert written(refined) == {"silver.customer_change": 1, "silver.dim_customer": None, "quality.quarantine": 1}

    crm.failures = [b"no json"]
    client = CrmClient(crm.url, TOKEN, sleep=lambda _: None)
    with pytest.raises(TerminalError):
        sync(client)
    sync(client)
    runs = events(connection, "sync.customer")
    assert [one["eventType"] for one in runs] == ["START", "FAIL", "START", "COMPLETE"]
    pages = events(connection, "sync.customer.page")
    assert pages[1]["run"]["facets"]["parent"]["run"]["runId"] == runs[3]["run"]["runId"]
    assert [(one["namespace"], one["name"]) for one in pages[1]["inputs"]] == [
        (f"http://127.0.0.1:{crm.server_port}", "/api/customers")
    ]
    assert TOKEN not in json.dumps(events(connection))


def test_a_day_of_the_archive_and_a_replay(tmp_path: Path, connection: psycopg.Connection, database: str) -> None:
    refine(connection, [cdr(), cdr(native_key="k2", direction="sideways")])
    with exclusive(database) as owner:
        archiver = Archiver(owner, database, "cdr", str(tmp_path))
        [day] = archiver.due(1)
        archiver.archive(day)
        archiver.archive(day)  # nothing is written again
    found = events(connection, "archive.cdr")
    assert types(found) == [("archive.cdr", "START"), ("archive.cdr", "COMPLETE")]
    assert read(found[1]) == {"silver.fact_cdr": 1}
    assert [(one["namespace"], one["name"]) for one in found[1]["outputs"]] == [("file", f"{tmp_path}/fact_cdr")]
    assert found[1]["run"]["facets"]["nominalTime"]["nominalStartTime"].startswith("2026-03-01T00:00:00")

    connection.execute("SET ROLE telestream_owner")
    connection.execute("UPDATE quality.rule SET is_enabled = false WHERE rule = 'unknown_direction'")
    connection.execute("RESET ROLE")
    quick(tmp_path, "quality", "replay")
    replayed = events(connection, "replay.cdr")
    assert read(replayed[1]) == {"quality.quarantine": 1}
    assert written(events(connection, "refine.cdr")[-1])["silver.fact_cdr"] == 1


def test_no_event_holds_personal_data_or_a_secret(
    tmp_path: Path, connection: psycopg.Connection, database: str
) -> None:
    path = tmp_path / "day.csv"
    generated(path, rows=2_000)
    load(path, database)
    refine(connection, [cdr(), cdr(native_key="+447900000009", caller="nonsense", extras='{"ip": "10.1.2.3"}')])
    refine_events(connection, [event(subscriber="+447900000003", payload='{"imsi": "234150000000001"}')])
    age_marks(connection)
    connection.execute("SELECT ops.close_lineage()")
    found = events(connection)
    assert found
    for one in found:
        for number, parameter in parameters(one).items():
            if number in ("content_sha256", "profile_sha256"):
                assert re.fullmatch("[0-9a-f]{64}", parameter)
    text = re.sub(r"[0-9a-f-]{36}|[0-9a-f]{64}|ts_test_\d+_\d+", "", json.dumps(found))
    assert PERSONAL.findall(text) == []
    assert "10.1.2.3" not in text
    # Names and types of columns, and nothing of what is in them.
    schema = next(facet for name, facet in facets_of(found[-1]) if name == "schema")
    assert {frozenset(column) for column in schema["fields"]} == {frozenset({"name", "type"})}


@pytest.mark.parametrize(
    ("uri", "namespace", "name"),
    [
        ("/in/day 1.csv", "file", "/in/day 1.csv"),
        ("file:///in/day.csv", "file", "/in/day.csv"),
        ("s3://bucket/a/b.csv", "s3://bucket", "a/b.csv"),
        ("https://crm.example:8443/api/customers", "https://crm.example:8443", "/api/customers"),
        ("https://user:secret@crm.example/api?token=secret#secret", "https://crm.example", "/api"),
        ("https://secret@crm.example", "https://crm.example", "/"),
        ("s3://key:secret@bucket/a?X-Amz-Signature=secret", "s3://bucket", "a"),
    ],
)
def test_what_a_place_is_called(connection: psycopg.Connection, uri: str, namespace: str, name: str) -> None:
    assert connection.execute("SELECT ops.lineage_place(%s)", (uri,)).fetchone() == (
        {"namespace": namespace, "name": name},
    )


def test_a_broker_is_called_after_its_first_server() -> None:
    assert broker_name({"bootstrap_servers": "127.0.0.1:9092"}) == "kafka://127.0.0.1:9092"
    assert broker_name({"bootstrap_servers": ["a:1", "b:2"]}) == "kafka://a:1"


def test_why_a_run_failed_quotes_no_record(connection: psycopg.Connection) -> None:
    errors: list[tuple[TelestreamError | psycopg.Error, str]] = [
        (TerminalError("the file is truncated", detail="Line 5: +447900000001."), "the file is truncated"),
    ]
    try:
        connection.execute("SELECT '+447900000001'::bool")
    except psycopg.Error as exc:
        outer: Any = TransientError(str(exc))
        outer.__cause__ = exc
        text = "the database refused or broke off: InvalidTextRepresentation (22P02)"
        errors += [(exc, text), (outer, text)]
    for error, text in errors:
        assert problem_of(error) == text
    assert len(errors) == 3


@pytest.mark.parametrize(
    ("error", "kind"),
    [(TerminalError("no"), "FAIL"), (psycopg.OperationalError("no"), "FAIL"), (KeyboardInterrupt(), "ABORT")],
)
def test_a_run_that_is_broken_off_says_how(connection: psycopg.Connection, error: BaseException, kind: str) -> None:
    connection.execute("SELECT ops.begin_run('x', 'load.cdr', 'test', '[]', '[]', NULL, NULL, '{}')")
    with pytest.raises(type(error)), failing(connection, "x"):
        raise error
    assert [one["eventType"] for one in events(connection)] == ["START", kind]


def test_old_months_go_and_missing_ones_are_made(connection: psycopg.Connection) -> None:
    refine(connection, [cdr()])
    age_marks(connection)
    connection.execute("SELECT ops.queue_lineage(true), ops.close_lineage()")
    connection.execute("SELECT ops.begin_run('x', 'load.cdr', 'test', '[]', '[]', NULL, NULL, '{}')")
    connection.execute("UPDATE ops.lineage_run SET started_at = started_at - interval '8 days'")
    connection.execute("SET ROLE telestream_owner")
    insert = (
        "INSERT INTO ops.lineage_event (job, run_id, event_type, event, recorded_at)"
        " SELECT job, gen_random_uuid(), event_type, event, now() + %s::interval FROM ops.lineage_event"
        " WHERE job = 'refine.cdr' AND event_type = 'COMPLETE' ORDER BY event_id LIMIT 1"
    )
    connection.execute(insert, ("2 years",))  # nobody has made that month
    connection.execute(insert, ("-70 days",))
    connection.execute(
        "INSERT INTO ops.lineage_outbox (event_id, recorded_at, run_id)"
        " SELECT event_id, recorded_at, run_id FROM ops.lineage_event ORDER BY recorded_at LIMIT 1"
    )
    assert connection.execute("SELECT count(*) FROM ops.lineage_event_default").fetchone() == (1,)
    (before,) = connection.execute("SELECT count(*) FROM ops.lineage_event").fetchone() or (0,)
    connection.execute("SELECT ops.maintain_lineage()")
    assert connection.execute("SELECT count(*) FROM ops.lineage_event_default").fetchone() == (0,)
    assert [one["eventType"] for one in events(connection, "load.cdr")] == ["START", "ABORT"]
    waiting = "SELECT count(*) FROM ops.lineage_outbox WHERE recorded_at < now() - interval '60 days'"
    assert connection.execute(waiting).fetchone() == (1,)
    connection.execute("UPDATE ops.setting SET value = '1 day' WHERE name = 'lineage_retention'")
    connection.execute("SELECT * FROM ops.maintain()")
    assert connection.execute("SELECT count(*) FROM ops.lineage_event").fetchone() == (before,)  # one gone, ABORT come
    assert connection.execute(
        "SELECT count(*) FROM ops.lineage_event WHERE recorded_at < now() - interval '60 days'"
    ).fetchone() == (0,)
    assert connection.execute(waiting).fetchone() == (0,)
