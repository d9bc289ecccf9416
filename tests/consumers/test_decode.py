"""The decoder against fastavro: the same rows, and no bad message touches another one."""

from __future__ import annotations

import copy
import io
import itertools
import json
import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telestream.consumers.decode import AvroDecoder, Decoded
from telestream.consumers.registry import UnknownSchemaError, packaged_schema
from telestream.consumers.wire import AvroEncoder, frame
from telestream.errors import TransientError
from telestream.loaders import canonical

MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
NOON = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
MAX_BYTES = 4096


class Schemas:
    """A registry in memory, by id."""

    def __init__(self, schemas: dict[int, dict[str, Any]]) -> None:
        self.schemas = schemas
        self.asked: list[int] = []

    def schema(self, schema_id: int) -> dict[str, Any]:
        self.asked.append(schema_id)
        if schema_id not in self.schemas:
            raise UnknownSchemaError("unknown")
        return self.schemas[schema_id]

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        raise NotImplementedError

    def latest(self, subject: str) -> tuple[int, dict[str, Any]] | None:
        raise NotImplementedError


def record(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "Record", "namespace": "test", "fields": list(fields)}


def field(name: str, type_: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **more}


def encode(schema: dict[str, Any], schema_id: int, *records: dict[str, Any]) -> list[bytes]:
    encoder = AvroEncoder(copy.deepcopy(schema), schema_id)
    return [encoder.encode(one) for one in records]


def decode(writer: dict[str, Any], reader: dict[str, Any], values: Sequence[bytes | None]) -> Decoded:
    return AvroDecoder(Schemas({1: writer}), reader, max_bytes=MAX_BYTES).decode(values)


def reasons(decoded: Decoded) -> list[tuple[int, str]]:
    return [(bad.index, bad.reason) for bad in decoded.bad]


# fastavro as oracle -------------------------------------------------------------------------------

READER = record(
    field("text", "string"),
    field("maybe_text", ["null", "string"], default=None),
    field("raw", ["bytes", "null"]),
    field("small", "int"),
    field("large", ["null", "long"], default=None),
    field("real", ["null", "double"], default=None),
    field("short_real", ["null", "float"], default=None),
    field("flag", ["null", "boolean"], default=None),
    field("at", MICROS),
    field("maybe_at", ["null", MICROS], default=None),
    field("added", "string", default="none"),
    field("added_number", "double", default=1.5),
    field("new_name", ["null", "string"], default=None, aliases=["old_name"]),
)
WRITABLE: dict[str, list[list[Any]]] = {
    "string": [["string"], ["bytes"], ["string", "bytes"]],
    "bytes": [["bytes"], ["string"]],
    "int": [["int"]],
    "long": [["long"], ["int"], ["int", "long"]],
    "float": [["float"], ["int"], ["long"]],
    "double": [["double"], ["float"], ["int"], ["long"], ["long", "double"]],
    "boolean": [["boolean"]],
    "timestamp-micros": [[MICROS], ["long"], [MILLIS]],
}
# What fastavro takes for good and the specification does not, or what we refuse on purpose.
STRICTER = (
    "neither true nor false",
    "no such branch",
    "no such symbol",
    "more than 32 bits",
    "more than 64 bits",
    "more items than bytes",
    "NUL character",
    "outside the years",
)


def without_logical(schema: Any) -> Any:
    if isinstance(schema, list):
        return [without_logical(part) for part in schema]
    if isinstance(schema, dict):
        return {key: without_logical(value) for key, value in schema.items() if key != "logicalType"}
    return schema


def numbered(schema: Any, names: itertools.count[int]) -> Any:
    """Give every named type a name of its own."""
    if isinstance(schema, list):
        return [numbered(part, names) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: numbered(value, names) for key, value in schema.items()}
    if out.get("type") in ("record", "enum", "fixed"):
        out["name"] = f"Type{next(names)}"
    return out


def union_of(types: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A union has each kind of type once at most, and no union."""

    def kind(type_: Any) -> str:
        return str(type_["type"] if isinstance(type_, dict) else type_)

    plain = types.filter(lambda type_: not isinstance(type_, list))
    return st.lists(plain, min_size=1, max_size=3, unique_by=kind)


def fields_of(types: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(types, min_size=0, max_size=3)
    return lists.map(lambda found: [field(f"f{number}", type_) for number, type_ in enumerate(found)])


TYPES = st.recursive(
    st.sampled_from(
        [
            "null",
            "boolean",
            "int",
            "long",
            "float",
            "double",
            "bytes",
            "string",
            MILLIS,
            {"type": "enum", "name": "E", "symbols": ["A", "B", "C"]},
            {"type": "fixed", "name": "F", "size": 3},
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        ]
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"type": st.just("map"), "values": inner}),
        st.fixed_dictionaries({"type": st.just("record"), "name": st.just("R"), "fields": fields_of(inner)}),
        union_of(inner),
    ),
    max_leaves=4,
)


@st.composite
def writers(draw: st.DrawFn) -> dict[str, Any]:
    """A schema whose records can be read as READER: evolved, with other fields, in another order."""
    fields = []
    for wanted in READER["fields"]:
        if "default" in wanted and draw(st.integers(0, 4)) == 0:
            continue
        type_ = wanted["type"]
        if isinstance(type_, list):
            (type_,) = (branch for branch in type_ if branch != "null")
        kind = type_["logicalType"] if isinstance(type_, dict) else type_
        branches = [*draw(st.sampled_from(WRITABLE[kind])), *draw(st.sampled_from([[], ["null"]]))]
        branches = draw(st.permutations(branches))
        name = draw(st.sampled_from([wanted["name"], *wanted.get("aliases", [])]))
        fields.append(field(name, branches if len(branches) > 1 or draw(st.booleans()) else branches[0]))
    extra = draw(st.lists(TYPES, max_size=2))
    fields += [field(f"extra{number}", type_) for number, type_ in enumerate(extra)]
    return numbered(record(*draw(st.permutations(fields))), itertools.count()) | {"name": "Record"}


TEXT = st.text(max_size=12) | st.text("ab", min_size=60, max_size=200)
TIMES = st.integers(-2_208_988_800_000, 253_402_300_799_999)


def values_of(type_: Any) -> st.SearchStrategy[Any]:
    if isinstance(type_, list):
        return st.one_of([values_of(branch) for branch in type_])
    kind = type_["type"] if isinstance(type_, dict) else type_
    if isinstance(type_, dict) and str(type_.get("logicalType")).startswith("timestamp"):
        return TIMES.map(lambda value: value * (1000 if type_ == MICROS else 1))
    simple: dict[str, st.SearchStrategy[Any]] = {
        "null": st.none(),
        "boolean": st.booleans(),
        "int": st.integers(-(2**31), 2**31 - 1) | st.integers(-70, 70),
        "long": st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70) | TIMES,
        "float": st.floats(width=32),
        "double": st.floats(),
        "bytes": st.binary(max_size=8),
        "string": TEXT,
    }
    if kind in simple:
        return simple[kind]
    if kind == "enum":
        return st.sampled_from(type_["symbols"])
    if kind == "fixed":
        return st.binary(min_size=type_["size"], max_size=type_["size"])
    if kind == "array":
        return st.lists(values_of(type_["items"]), max_size=3)
    if kind == "map":
        return st.dictionaries(TEXT, values_of(type_["values"]), max_size=3)
    return st.fixed_dictionaries({part["name"]: values_of(part["type"]) for part in type_["fields"]})


@st.composite
def damaged(draw: st.DrawFn, message: bytes) -> bytes | None:
    at = draw(st.integers(0, len(message) - 1))
    bit = draw(st.integers(1, 255))
    return draw(
        st.sampled_from(
            [
                message,
                message[:at],
                message + b"\0" * draw(st.integers(1, 9)),
                message[:at] + bytes([message[at] ^ bit]) + message[at + 1 :],
                message[:5] + bytes([message[at] ^ bit]) + message[5:],
                message[:5] + b"\xff" * at,
                message[:5] + draw(st.binary(max_size=60)),
                b"\1" + message[1:],
                message + bytes(MAX_BYTES),
                None,
            ]
        )
    )


def oracle(writer: dict[str, Any], message: bytes | None) -> dict[str, Any] | None:
    """Return what fastavro makes of a message, times as microseconds; nothing if it is bad."""
    if message is None or len(message) < 5 or len(message) > MAX_BYTES or message[:5] != b"\0\0\0\0\1":
        return None
    body = io.BytesIO(message[5:])
    try:
        read: Any = fastavro.schemaless_reader(
            body, fastavro.parse_schema(without_logical(writer)), fastavro.parse_schema(without_logical(READER))
        )
    except Exception:
        return None
    if body.read(1):
        return None
    for part in writer["fields"]:
        branches = part["type"] if isinstance(part["type"], list) else [part["type"]]
        if part["name"] in ("at", "maybe_at") and MILLIS in branches and read[part["name"]] is not None:
            read[part["name"]] *= 1000
    return dict(read)


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row so that two are equal exactly if all values are the same."""

    def plain(name: str, value: Any) -> Any:
        if isinstance(value, float) and math.isnan(value):
            return "NaN"
        if name == "short_real" and value is not None:
            return struct.pack("<f", value)
        return (type(value), value, math.copysign(1, value)) if isinstance(value, float) else (type(value), value)

    return {name: plain(name, value) for name, value in row.items()}


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_it_reads_what_fastavro_reads(data: st.DataObject) -> None:
    writer = data.draw(writers())
    fields = {part["name"]: values_of(part["type"]) for part in writer["fields"]}
    physical = fastavro.parse_schema(without_logical(writer))
    messages: list[bytes | None] = []
    for values in data.draw(st.lists(st.fixed_dictionaries(fields), min_size=1, max_size=12)):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, physical, values)
        message = frame(1, out.getvalue())
        messages.append(data.draw(damaged(message)) if data.draw(st.booleans()) else message)

    decoded = decode(writer, READER, messages)

    table = decoded.table
    for name in ("at", "maybe_at"):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(pa.int64()))
    rows = dict(zip(decoded.index.tolist(), table.to_pylist(), strict=True))
    bad = {message.index: message for message in decoded.bad}
    assert rows.keys().isdisjoint(bad)
    assert list(rows) == sorted(rows)
    for index, message in enumerate(messages):
        expected = oracle(writer, message)
        if index in rows:
            assert expected is not None
            assert comparable(rows[index]) == comparable(expected)
        elif expected is not None:
            assert any(reason in bad[index].detail for reason in STRICTER), bad[index]
        else:
            assert index in bad


@given(st.lists(st.binary(max_size=300), max_size=40))
@settings(max_examples=150, deadline=None)
def test_garbage_is_bad_and_nothing_more(bodies: list[bytes]) -> None:
    schema = packaged_schema("network_event")
    good = encode(schema, 1, EVENT)[0]
    messages = [message for body in bodies for message in (frame(1, body), good)]
    decoded = decode(schema, schema, messages)
    assert set(range(1, len(messages), 2)) <= set(decoded.index.tolist())


# single facts -------------------------------------------------------------------------------------

EVENT = {
    "event_id": "e-1",
    "event_at": NOON,
    "source_system": "oss",
    "event_type": "kpi_sample",
    "cell_id": "234-15-1",
    "rsrp_dbm": -95.5,
}


def test_the_columns_are_those_of_the_reader() -> None:
    schema = packaged_schema("network_event")
    decoded = decode(schema, schema, encode(schema, 1, EVENT))
    assert decoded.table.schema.names == [part["name"] for part in schema["fields"]]
    assert decoded.table.schema.field("event_id").type == pa.string()
    assert decoded.table.schema.field("event_at").type == pa.timestamp("us", "UTC")
    assert decoded.table.schema.field("rsrp_dbm").type == pa.float64()
    (row,) = decoded.table.to_pylist()
    assert {name: value for name, value in row.items() if value is not None} == EVENT


def test_the_columns_of_a_cdr_are_those_of_a_file() -> None:
    schema = packaged_schema("cdr")
    decoded = decode(schema, schema, encode(schema, 1, {"leg": 2, "started_at": NOON, "is_roaming": True}))
    mapped = [(column.name, column.type) for column in canonical.SCHEMA if column.name != "line"]
    assert [(column.name, column.type) for column in decoded.table.schema] == mapped
    (row,) = decoded.table.to_pylist()
    assert {name: value for name, value in row.items() if value is not None} == {
        "leg": 2,
        "started_at": NOON,
        "is_roaming": True,
    }


def test_nothing_gives_an_empty_table() -> None:
    schema = packaged_schema("network_event")
    decoded = decode(schema, schema, [])
    assert decoded.table.num_rows == 0
    assert decoded.table.schema.names == [part["name"] for part in schema["fields"]]
    assert decoded.index.dtype == np.int64


def test_a_record_without_fields_has_no_bytes() -> None:
    reader = record(field("kind", "string", default="none"))
    decoded = decode(record(), reader, [frame(1, b""), frame(1, b"\0"), frame(1, b"")])
    assert decoded.table.to_pydict() == {"kind": ["none", "none"]}
    assert reasons(decoded) == [(1, "undecodable")]


def test_every_reason_has_its_code() -> None:
    writer = record(field("text", "string"), field("at", MICROS))
    known = {1: writer, 2: record(field("text", "long"), field("at", MICROS)), 3: record(field("text", "string"))}
    good = encode(writer, 1, {"text": "é", "at": NOON})[0]
    messages = [
        good,
        None,
        b"\0\0\0",
        b"\1" + good[1:],
        frame(9, good[5:]),
        b"\0\xff\xff\xff\xff" + good[5:],
        good[:-1],
        good + b"\0",
        good + bytes(MAX_BYTES),
        frame(1, b"\x80\x80\x80\x80\x80\x80\x80\x01" + good[6:]),
        *encode(known[2], 2, {"text": 1, "at": NOON}),
        *encode(known[3], 3, {"text": "a"}),
        *encode(writer, 1, {"text": "a\0b", "at": NOON}),
        *encode(writer, 1, {"text": "a", "at": -(2**62)}),
        *encode(writer, 1, {"text": "a", "at": 253_402_300_800_000_000}),
        frame(1, b"\x04\xff\xfe" + good[-8:]),
        good,
    ]
    decoded = AvroDecoder(Schemas(known), writer, max_bytes=MAX_BYTES).decode(messages)
    assert [bad.reason for bad in decoded.bad] == [
        "null_value",
        "too_short",
        "wrong_magic",
        "unknown_schema",
        "unknown_schema",
        "undecodable",
        "undecodable",
        "oversized",
        "undecodable",
        "incompatible_schema",
        "incompatible_schema",
        "nul_byte",
        "time_out_of_range",
        "time_out_of_range",
        "undecodable",
    ]
    assert [bad.index for bad in decoded.bad] == list(range(1, len(messages) - 1))
    assert decoded.index.tolist() == [0, len(messages) - 1]
    assert decoded.table["text"].to_pylist() == ["é", "é"]


def test_the_years_1900_to_9999_are_taken() -> None:
    schema = record(field("at", ["null", MILLIS]))
    times = [datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)]
    messages = encode(schema, 1, *({"at": at} for at in times), {"at": -2_208_988_800_001})
    decoded = decode(schema, record(field("at", ["null", MICROS])), messages)
    assert decoded.table["at"].to_pylist() == times
    assert reasons(decoded) == [(2, "time_out_of_range")]


def test_a_null_where_a_value_is_required_is_bad() -> None:
    writer = record(field("text", ["null", "string"]))
    decoded = decode(writer, record(field("text", "string")), encode(writer, 1, {"text": "a"}, {"text": None}))
    assert decoded.table["text"].to_pylist() == ["a"]
    assert reasons(decoded) == [(1, "incompatible_schema")]


def test_an_enum_is_read_as_text() -> None:
    enum = {"type": "enum", "name": "Kind", "symbols": ["ATTACH", "DROP"]}
    writer = record(field("kind", enum), field("other", ["null", "string", "Kind"]))
    reader = record(field("kind", "string"), field("other", ["null", "string"]))
    records = [{"kind": "DROP", "other": "free"}, {"kind": "ATTACH", "other": None}]
    messages = encode(writer, 1, *records) + [frame(1, b"\x02\x04\x00"), frame(1, b"\x04\x00"), frame(1, b"\x01\x00")]
    decoded = decode(writer, reader, messages)
    assert decoded.table.to_pylist() == [*records, {"kind": "DROP", "other": "ATTACH"}]
    assert reasons(decoded) == [(3, "undecodable"), (4, "undecodable")]


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        ("boolean", b"\x02"),
        (["null", "string"], b"\x04"),
        (["null", "string"], b"\x0a\x02a"),
        (["null", "string"], b"\x01\x02a"),
        ("int", b"\x80\x80\x80\x80\x10"),
        ("int", b"\x81\x80\x80\x80\x10"),
        ({"type": "enum", "name": "Kind", "symbols": ["A"]}, b"\x02"),
        ({"type": "enum", "name": "Kind", "symbols": ["A"]}, b"\x01"),
    ],
)
@pytest.mark.parametrize("wanted", [True, False])
def test_what_the_specification_forbids_is_bad(type_: Any, body: bytes, wanted: bool) -> None:
    kind = "string" if isinstance(type_, dict) else type_
    reader = record(field("a", kind)) if wanted else record(field("b", "string", default=""))
    assert reasons(decode(record(field("a", type_)), reader, [frame(1, body)])) == [(0, "undecodable")]
    nested = {"type": "array", "items": type_}
    decoded = decode(
        record(field("a", nested)), record(field("b", "string", default="")), [frame(1, b"\2" + body + b"\0")]
    )
    assert reasons(decoded) == [(0, "undecodable")]


@pytest.mark.parametrize("logical", ["timestamp-nanos", "local-timestamp-micros", "time-micros"])
def test_another_kind_of_time_is_not_taken_for_microseconds(logical: str) -> None:
    writer = record(field("at", {"type": "long", "logicalType": logical}))
    decoded = decode(writer, record(field("at", MICROS)), [frame(1, b"\x02")])
    assert reasons(decoded) == [(0, "incompatible_schema")]


def test_what_is_ignored_need_not_be_columnar() -> None:
    node = {"type": "record", "name": "Node", "fields": [field("next", ["null", "Node"]), field("n", "int")]}
    writer = record(
        field("tags", {"type": "map", "values": {"type": "array", "items": "string"}}),
        field("text", "string"),
        field("node", node),
        field("again", ["null", "Node"]),
    )
    chain = {"next": {"next": None, "n": 1}, "n": 2}
    good = encode(writer, 1, {"tags": {"a": ["b", "c"], "d": []}, "text": "x", "node": chain, "again": chain})[0]
    body = good[5:]
    messages = [
        good,
        frame(1, b"\x02" + body[1:]),
        frame(1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f" + body[1:]),  # 2⁶² tags
        frame(1, b"\x00\x02x" + b"\x02" * 3000),  # a chain of 3000
        good,
    ]
    decoded = decode(writer, record(field("text", "string")), messages)
    assert decoded.table["text"].to_pylist() == ["x", "x"]
    assert reasons(decoded) == [(1, "undecodable"), (2, "undecodable"), (3, "undecodable")]


def test_nothing_is_without_end() -> None:
    writer = record(field("nothing", {"type": "array", "items": "null"}), field("large", "bytes"))
    endless = frame(1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00")
    huge = frame(1, b"\x00\x80\x80\x80\x80\x80\x80\x01abc")
    decoded = decode(writer, record(field("large", "bytes")), [endless, huge])
    assert reasons(decoded) == [(0, "undecodable"), (1, "undecodable")]


def test_many_messages_of_several_schemas_stay_in_order() -> None:
    older = record(field("number", "int"))
    newer = record(field("note", ["null", "string"], default=None), field("number", "long"))
    one, two = AvroEncoder(copy.deepcopy(older), 1), AvroEncoder(copy.deepcopy(newer), 2)
    messages: list[bytes | None] = [
        one.encode({"number": number}) if number % 3 else two.encode({"number": number, "note": str(number)})
        for number in range(20_000)
    ]
    messages[7] = messages[9_000] = b"\0\0\0\0\1"
    registry = Schemas({1: older, 2: newer})
    decoded = AvroDecoder(registry, newer).decode(messages)
    expected = [number for number in range(20_000) if number not in (7, 9_000)]
    assert decoded.index.tolist() == expected
    assert decoded.table["number"].to_pylist() == expected
    assert decoded.table["note"].to_pylist() == [None if number % 3 else str(number) for number in expected]
    assert reasons(decoded) == [(7, "undecodable"), (9_000, "undecodable")]
    assert sorted(registry.asked) == [1, 2]


def test_large_messages_are_decoded_a_few_at_a_time() -> None:
    schema = record(field("large", "string"))
    messages = encode(schema, 1, *({"large": letter * 40_000_000} for letter in "abc"))
    decoded = AvroDecoder(Schemas({1: schema}), schema, max_bytes=1 << 26).decode(messages)
    assert [text[0] for text in decoded.table["large"].to_pylist()] == ["a", "b", "c"]


def test_an_unknown_schema_is_asked_for_again() -> None:
    schema = record(field("text", "string"))
    registry = Schemas({})
    decoder = AvroDecoder(registry, schema)
    messages = encode(schema, 1, {"text": "a"})
    assert reasons(decoder.decode(messages)) == [(0, "unknown_schema")]
    registry.schemas[1] = schema
    assert decoder.decode(messages).bad == []


def test_a_silent_registry_condemns_nothing() -> None:
    class Silent(Schemas):
        def schema(self, schema_id: int) -> dict[str, Any]:
            raise TransientError("the schema registry does not answer")

    schema = record(field("text", "string"))
    with pytest.raises(TransientError):
        AvroDecoder(Silent({}), schema).decode(encode(schema, 1, {"text": "a"}))


@pytest.mark.parametrize("schema", [{"type": "string"}, record(field("a", "nonsense")), record(field("a", ["b"]))])
def test_a_schema_that_makes_no_sense_makes_its_messages_bad(schema: dict[str, Any]) -> None:
    decoded = decode(schema, record(field("text", "string", default="")), [frame(1, b"\x02a")])
    assert reasons(decoded) == [(0, "incompatible_schema")]


def test_a_field_takes_over_the_old_name_of_another() -> None:
    writer = record(field("a", "string"))
    reader = record(field("b", "string", aliases=["a"], default="new"), field("a", "string"))
    decoded = decode(writer, reader, encode(writer, 1, {"a": "x"}))
    assert decoded.table.to_pylist() == [{"b": "new", "a": "x"}]


def test_a_reader_can_only_ask_for_what_is_a_column() -> None:
    with pytest.raises(ValueError, match="tags"):
        AvroDecoder(Schemas({}), record(field("tags", {"type": "array", "items": "string"})))


def test_details_hold_no_contents() -> None:
    schema = packaged_schema("network_event")
    secret = "+447700900123"
    messages = encode(schema, 1, EVENT | {"subscriber": secret + "\0"}, EVENT | {"subscriber": secret})
    decoded = decode(schema, schema, [messages[0], messages[1][:-4], messages[1] + b"x"])
    assert len(decoded.bad) == 3
    assert secret not in json.dumps([bad.detail for bad in decoded.bad])
