"""Parquet and Avro: typed records by name, in batches, resumable, with the record as JSON where it is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import Read, profile_of, read, source_of

from telestream.errors import ProfileError, SourceError
from telestream.loaders.profile import Profile
from telestream.loaders.readers import open_segments
from telestream.loaders.readers.segment import RECORD_BYTES, DoneSegment

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIELDS = {"native_key": "key", "caller": "note", "started_at": "at", "duration_s": "seconds", "charge": "cost"}
COUNT = 1_000


def by_name(form: str, **changes: Any) -> Profile:
    return profile_of(**{"format": form, "dialect": {}, "columns": None, "fields": FIELDS, **changes})


def records() -> list[dict[str, Any]]:
    return [
        {
            "key": f"k{number}",
            "note": None if number % 7 == 0 else f"n{number}",
            "at": NOON + timedelta(seconds=number),
            "seconds": number,
            "cost": Decimal(number) / 10_000,
            "unread": number,
        }
        for number in range(COUNT)
    ]


def write_parquet(path: Path, rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=170)


AVRO_SCHEMA = {
    "type": "record",
    "name": "Cdr",
    "fields": [
        {"name": "key", "type": "string"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "seconds", "type": "int"},
        {"name": "cost", "type": {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}},
        {"name": "unread", "type": "long"},
    ],
}


def write_avro(path: Path, rows: list[dict[str, Any]], schema: dict[str, Any] | None = None) -> None:
    with path.open("wb") as out:
        fastavro.writer(out, schema or AVRO_SCHEMA, rows, codec="deflate", sync_interval=2_000)


@pytest.fixture(params=["parquet", "avro"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(form: str, tmp_path: Path) -> Path:
    (write_parquet if form == "parquet" else write_avro)(tmp_path / f"day.{form}", records())
    return tmp_path / f"day.{form}"


def rows_of(found: Read) -> list[tuple[Any, ...]]:
    names = ("native_key", "caller", "started_at", "duration_s", "charge_micro")
    return [tuple(row[name] for name in names) for _, row in sorted(found.rows.items())]


def test_all_records(path: Path, form: str) -> None:
    found = read(path, by_name(form))
    assert rows_of(found) == [
        (row["key"], row["note"], row["at"], row["seconds"], int(row["cost"] * 1_000_000)) for row in records()
    ]
    assert list(found.rows) == list(range(1, COUNT + 1))
    [segment] = found.segments
    assert (segment.start, segment.end, segment.first_line, segment.next_line) == (0, COUNT, 1, COUNT + 1)


def test_segments_and_resuming(path: Path, form: str) -> None:
    whole = read(path, by_name(form))
    size = 90 * RECORD_BYTES
    every = read(path, by_name(form), segment_bytes=size)
    assert rows_of(every) == rows_of(whole)
    assert [segment.end for segment in every.segments] == [*range(90, COUNT, 90), COUNT]
    for kept in ([1], [1, 2, 3], [2, 5], list(range(1, len(every.segments) + 1))):
        done = {number: DoneSegment(min(number * 90, COUNT), number * 90 + 1) for number in kept}
        again = read(path, by_name(form), segment_bytes=size, resume=done).segments
        expected = [segment for segment in every.segments if segment.number not in done]
        assert [segment.table for segment in again] == [segment.table for segment in expected]
        for segment in again[-2:]:
            line = segment.next_line - 1
            assert f'"key": "k{line - 1}"' in segment.raw_lines([line])[line]


def test_what_cannot_be_taken(form: str, tmp_path: Path) -> None:
    rows = records()[:5]
    rows[1]["note"] = "a\0b"
    rows[3]["seconds"] = 2**40
    path = tmp_path / f"bad.{form}"
    if form == "parquet":
        write_parquet(path, rows)
    else:
        fields = [*AVRO_SCHEMA["fields"][:3], {"name": "seconds", "type": "long"}, *AVRO_SCHEMA["fields"][4:]]
        write_avro(path, rows, {**AVRO_SCHEMA, "fields": fields})
    found = read(path, by_name(form))
    assert found.column("native_key") == ["k0", "k2", "k4"]
    assert found.rules == {2: "nul_byte", 4: "unparsable_value"}
    assert found.rejects[2]["reason"] == "a NUL character in column note"
    assert '"key": "k3"' in found.rejects[4]["raw"]
    assert '"unread": 3' in found.rejects[4]["raw"]
    assert "\0" not in found.rejects[2]["raw"]


def test_columns_that_are_missing(path: Path, form: str) -> None:
    fields = {**FIELDS, "apn": "access_point"}
    with pytest.raises(ProfileError, match=rf"day.{form}: .*no column access_point"):
        read(path, by_name(form, fields=fields))
    assert set(read(path, by_name(form, fields=fields, optional=["access_point"])).column("apn")) == {None}


def test_the_wrong_format(path: Path, form: str, tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="reads csv, the file is not that"):
        read(path, profile_of())
    (tmp_path / "text").write_text("a,1\n")
    with pytest.raises(ProfileError, match=f"reads {form}"):
        read(tmp_path / "text", by_name(form))


def test_a_half_written_file(path: Path, form: str, tmp_path: Path) -> None:
    whole = path.read_bytes()
    half = tmp_path / f"half.{form}"
    half.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=rf"half.{form}: the {form.capitalize()} file is") as caught:
        source_of(half).fingerprint()
    assert caught.value.hint


def test_no_records(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"none.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(records()[:1]).slice(0, 0), path)
    else:
        write_avro(path, [])
    assert read(path, by_name(form)).segments == []


def test_parquet_types(tmp_path: Path) -> None:
    local = datetime(2026, 7, 1, 12)
    table = pa.table(
        {
            "key": pa.array(["a", "b", "-"]).dictionary_encode(),
            "note": pa.array([12, None, 14], pa.uint16()),
            "at": pa.array([local, None, local], pa.timestamp("ns")),
            "seconds": pa.array([1.0, 2.0, 2.5]),
            "cost": pa.array([0.1, None, 3.0]),
            "roams": pa.array([True, None, False]),
            "more": pa.array([{"x": 1}, None, {"x": 2}]),
            "up": pa.array([date(2026, 7, 1)] * 3),
        }
    )
    pq.write_table(table, tmp_path / "typed.parquet")
    fields = {**FIELDS, "is_roaming": "roams", "extras": "more", "ended_at": "up", "cell_id": {"expr": "more.x"}}
    found = read(tmp_path / "typed.parquet", by_name("parquet", fields=fields, time_zone="Europe/Berlin", nulls=["-"]))
    assert found.rejects[3]["reason"] == "duration_s: cannot read '2.5' as a whole number"
    first = found.rows[1]
    assert (first["native_key"], first["caller"], first["cell_id"]) == ("a", "12", "1")
    assert first["started_at"] == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert first["ended_at"] == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert (first["duration_s"], first["charge_micro"], first["is_roaming"]) == (1, 100_000, True)
    assert first["extras"] == '{"x":1}'


def test_avro_types(tmp_path: Path) -> None:
    schema = {
        "type": "record",
        "name": "Odd",
        "fields": [
            {"name": "key", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
            {"name": "note", "type": ["null", "string", "long"]},
            {"name": "at", "type": ["null", {"type": "long", "logicalType": "local-timestamp-millis"}]},
            {"name": "seconds", "type": "double"},
            {"name": "cost", "type": ["null", "string"]},
            {"name": "more", "type": {"type": "map", "values": "long"}},
        ],
    }
    rows = [
        {"key": "A", "note": 7, "at": 0, "seconds": 3.0, "cost": "0.5", "more": {"x": 1}},
        # A time far outside Python's years must not break the block it is in.
        {"key": "B", "note": "n", "at": 2**53, "seconds": 0.0, "cost": None, "more": {}},
        {"key": "B", "note": None, "at": None, "seconds": 4.0, "cost": None, "more": {}},
    ]
    write_avro(tmp_path / "odd.avro", rows, schema)
    profile = by_name("avro", fields={**FIELDS, "extras": "more"}, time_zone="Asia/Shanghai")
    found = read(tmp_path / "odd.avro", profile)
    assert found.column("native_key") == ["A", "B"]
    assert found.column("caller") == ["7", None]
    assert found.rows[1]["started_at"] == datetime(1969, 12, 31, 16, tzinfo=UTC)
    assert found.rows[1]["extras"] == '{"x": 1}'
    assert found.rejects[2]["field"] == "started_at"


def test_times_outside_pythons_years(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"far.{form}"
    if form == "parquet":
        times = pa.array([0, 2**62, None], pa.int64()).cast(pa.timestamp("us", "UTC"))
        pq.write_table(pa.table({"key": ["a", "b", "c"], "at": times}), path)
    else:
        at = {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]}
        schema = {"type": "record", "name": "Far", "fields": [{"name": "key", "type": "string"}, at]}
        write_avro(path, [{"key": "a", "at": 0}, {"key": "b", "at": 2**62}, {"key": "c", "at": None}], schema)
    found = read(path, by_name(form, fields={"native_key": "key", "started_at": "at"}))
    assert found.column("native_key") == ["a", "c"]
    assert found.rejects[2]["field"] == "started_at"
    assert str(2**62) in found.rejects[2]["raw"]


def test_damaged_avro_blocks_are_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged.avro"
    write_avro(path, records())
    data = bytearray(path.read_bytes())
    sync = bytes(data[-16:])
    third = data.index(sync, data.index(sync, data.index(sync) + 1) + 1)
    data[third] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"damaged.avro: the Avro file is damaged in block 2"):
        source_of(path).fingerprint()
    with pytest.raises(SourceError, match=r"damaged in block 2"):
        list(open_segments(source_of(path), by_name("avro")))
