"""CDRs over Kafka take the way of files: the same rules, the same keys, and one that comes both ways counts once."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import psycopg
import pytest
from streams import Record, Stream, offsets, rows, value, wait_for
from truth import assert_truth, generated

from telestream.consumers.registry import ensure_schema, open_registry, packaged_schema
from telestream.consumers.wire import AvroEncoder
from telestream.db import rollups

ROWS = 6_000
SILVER = (
    "SELECT f.cdr_id, f.started_at, f.answered_at, f.ended_at, f.subscriber_id, f.caller_id, f.called_id, f.bytes_up,"
    " f.bytes_down, f.charge_micro, f.duration_s, f.billed_s, c.cell_id, r.region_code, p.plan_code, f.is_roaming,"
    " f.source_system, f.record_type, f.direction, f.technology, f.disposition, f.cause, f.currency, f.tac, f.apn,"
    " f.extras FROM silver.fact_cdr AS f"
    " INNER JOIN silver.dim_network_cell AS c ON f.cell_key = c.cell_key"
    " INNER JOIN silver.dim_region AS r ON f.region_key = r.region_key"
    " INNER JOIN silver.dim_service_plan AS p ON f.plan_key = p.plan_key"
)
QUARANTINE = "SELECT rules, count(*) FROM quality.quarantine GROUP BY 1 ORDER BY 1"


@pytest.fixture
def stream(kafka_bootstrap: str, redis_url: str, tmp_path: Path) -> Stream:
    return Stream.make(kafka_bootstrap, redis_url, tmp_path)


def read_file(path: Path) -> tuple[Any, list[dict[str, Any]]]:
    with path.open("rb") as file:
        reader = fastavro.reader(file)
        return reader.writer_schema, [row for row in reader if isinstance(row, dict)]


def write_file(path: Path, schema: Any, cdrs: Sequence[dict[str, Any]]) -> Path:
    with path.open("wb") as file:
        fastavro.writer(file, schema, cdrs)
    return path


def send(stream: Stream, cdrs: Sequence[dict[str, Any]]) -> None:
    """Send CDRs as a switch would: the charge in millionths, keyed by caller."""
    schema_id = ensure_schema(open_registry(), stream.topic, "cdr")
    encode = AvroEncoder(packaged_schema("cdr"), schema_id).encode
    names = [one["name"] for one in packaged_schema("cdr")["fields"]]
    records = []
    for number, cdr in enumerate(cdrs):
        fields = {**cdr, "charge_micro": int(cdr["charge"] * Decimal(1_000_000))}
        records.append(Record(number % stream.partitions, None, encode({name: fields.get(name) for name in names})))
    stream.send(records)


def silver(database: str) -> list[tuple[Any, ...]]:
    return sorted(rows(database, SILVER), key=str)


def test_a_cdr_that_comes_by_file_and_by_kafka_counts_once(
    database: str, connection: psycopg.Connection, stream: Stream, tmp_path: Path
) -> None:
    truth = generated(tmp_path / "day.avro", rows=ROWS)
    schema, cdrs = read_file(tmp_path / "day.avro")
    assert len(cdrs) == ROWS
    # Some by file alone, some both ways, some by Kafka alone.
    stream.run("load", "cdr", write_file(tmp_path / "part.avro", schema, cdrs[: ROWS * 2 // 3]))
    send(stream, cdrs[ROWS // 3 :])
    stream.drain(dataset="cdr")
    assert offsets(database, stream.topic) == stream.log_ends()
    assert value(database, "SELECT sum(rows_in) FROM ops.batch WHERE source_kind = 'kafka'") == ROWS - ROWS // 3
    assert rows(database, "SELECT count(*), count(DISTINCT cdr_id) FROM silver.fact_cdr") == [(truth.good, truth.good)]
    stream.run("gold", "refresh")
    assert rollups.check(database) == []
    assert value(database, "SELECT sum(attempts) FROM gold.cell_traffic_5m") == truth.good

    # Everything once more, both ways, changes nothing.
    before = silver(database)
    send(stream, cdrs)
    stream.drain(dataset="cdr")
    stream.run("load", "cdr", tmp_path / "day.avro")
    assert silver(database) == before
    assert rollups.check(database) == []


def test_kafka_alone_gives_what_a_file_alone_gives(
    database: str, connection: psycopg.Connection, stream: Stream, tmp_path: Path
) -> None:
    truth = generated(tmp_path / "day.avro", rows=ROWS, seed=2)
    _, cdrs = read_file(tmp_path / "day.avro")
    send(stream, cdrs)
    with stream.consume("--batch-rows", "700", dataset="cdr") as consumer:
        read = "SELECT coalesce(sum(rows_in), 0) FROM ops.batch"
        wait_for(lambda: value(database, read) >= 2_000, "some of it is read", consumer)
        consumer.kill()
    stream.drain(dataset="cdr")
    stream.run("gold", "refresh")
    assert_truth(connection, truth)
    assert rollups.check(database) == []
    by_kafka = silver(database), rows(database, QUARANTINE)
    connection.execute("SET ROLE telestream_owner")
    connection.execute(
        "TRUNCATE silver.fact_cdr, bronze.cdr, quality.quarantine, quality.rule_result, ops.kafka_slice,"
        " ops.dead_letter, ops.batch, ops.source_file, ops.watermark, rollup.pending"
    )
    connection.execute("RESET ROLE")
    stream.run("load", "cdr", tmp_path / "day.avro")
    assert (silver(database), rows(database, QUARANTINE)) == by_kafka
