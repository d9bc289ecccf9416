"""Turns framed Avro messages into Arrow tables, by column, and says of each bad message why it is bad."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from telestream.consumers.avro_columns import PADDING, Records
from telestream.consumers.avro_types import Plan, UnresolvableError, resolve, targets
from telestream.consumers.registry import SchemaRegistry, UnknownSchemaError
from telestream.consumers.wire import HEADER_BYTES, MAGIC

# What is decoded in one go: few enough rows for a core's cache, and bytes that 32-bit offsets can count.
_ROWS = 8192
_BYTES = 64 << 20
_LARGEST_ID = (1 << 31) - 1

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Undecodable:
    """A bad message: its place in the input, and why, as a code and for people; `detail` holds none of its contents.

    Codes: null_value, too_short, wrong_magic, unknown_schema, incompatible_schema, undecodable, oversized, nul_byte,
    time_out_of_range.
    """

    index: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Decoded:
    """The good messages as rows, the place of each row's message in the input, and the bad messages; all in order."""

    table: pa.Table
    index: Integers
    bad: list[Undecodable]


class AvroDecoder:
    """Decodes messages of any schema of a registry to the columns of one reader's schema.

    Strings with a NUL, which PostgreSQL cannot hold, and times outside the years 1900 to 9999 make a message bad.

    Args:
        registry: where the schemas of the messages are found.
        reader_schema: an Avro record of primitives, timestamp-micros, and unions of null with one of them.
        max_bytes: size of the largest message that is decoded, less than 1 GiB.

    Raises:
        ValueError: the reader's schema is something else.
    """

    def __init__(self, registry: SchemaRegistry, reader_schema: dict[str, Any], *, max_bytes: int = 1 << 20) -> None:
        self._registry = registry
        self._targets = targets(reader_schema)
        self._max_bytes = max_bytes
        self._plans: dict[int, Plan | tuple[str, str]] = {}
        self.schema = pa.schema([pa.field(target.name, target.arrow) for target in self._targets])
        """Schema of the tables: the fields of the reader's schema, in its order."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode messages; a bad one does not touch the others.

        Raises:
            TransientError: the registry does not answer; no message is condemned for that.
        """
        sizes = np.array([-1 if value is None else len(value) for value in values], np.int64)
        readable, bad = self._judge_sizes(sizes)
        tables: list[pa.Table] = []
        indexes: list[Integers] = []
        for places in _chunks(readable, sizes):
            data = b"".join([values[place] or b"" for place in places.tolist()]) + PADDING
            ends = np.cumsum(sizes[places])
            starts = ends - sizes[places]
            framed = np.frombuffer(data, np.uint8)[starts] == MAGIC
            bad += _all_bad(places[~framed], "wrong_magic", "the first byte is not zero")
            ids = np.ndarray((len(data) - 3,), ">u4", data, strides=(1,))[starts + 1]
            for schema_id in np.unique(ids[framed]).tolist():
                rows = np.flatnonzero(framed & (ids == schema_id))
                plan = self._plan(schema_id)
                if not isinstance(plan, Plan):
                    bad += _all_bad(places[rows], *plan)
                    continue
                records = Records(data, starts[rows] + HEADER_BYTES, ends[rows])
                tables.append(self._table(plan, records))
                indexes.append(places[rows[records.good]])
                bad += [Undecodable(int(places[rows[row]]), *why) for row, why in records.problems.items()]
        bad.sort(key=lambda message: message.index)
        return Decoded(*_in_order(self.schema, tables, indexes), bad)

    def _judge_sizes(self, sizes: Integers) -> tuple[Integers, list[Undecodable]]:
        """Return the places of messages of a possible size, and the other messages."""
        null, large = sizes < 0, sizes > self._max_bytes
        short = (sizes < HEADER_BYTES) & ~null
        bad = _all_bad(np.flatnonzero(null), "null_value", "the message has no value")
        bad += _all_bad(np.flatnonzero(short), "too_short", f"fewer than {HEADER_BYTES} bytes")
        bad += _all_bad(np.flatnonzero(large), "oversized", f"more than {self._max_bytes} bytes")
        return np.flatnonzero(~(null | short | large)), bad

    def _plan(self, schema_id: int) -> Plan | tuple[str, str]:
        """Return how to read messages of a schema, or reason and detail why they cannot be read."""
        known = self._plans.get(schema_id)
        if known is not None:
            return known
        if schema_id > _LARGEST_ID:
            return "unknown_schema", "the schema id is negative"
        try:
            writer_schema = self._registry.schema(schema_id)
        except UnknownSchemaError:  # not remembered: it may be registered by the next time
            return "unknown_schema", f"schema {schema_id} is not in the registry"
        try:
            plan: Plan | tuple[str, str] = resolve(writer_schema, self._targets)
        except UnresolvableError as exc:
            plan = "incompatible_schema", f"schema {schema_id}: {exc}"
        self._plans[schema_id] = plan
        return plan

    def _table(self, plan: Plan, records: Records) -> pa.Table:
        """Read all records of a schema; return the good ones."""
        columns = {target.name: pa.repeat(target.default, len(records)) for target in plan.defaults}
        for field in plan.fields:
            column = records.read(field)
            if field.target is not None:
                columns[field.target.name] = column
        records.finish()
        table = pa.table([columns[name] for name in self.schema.names], schema=self.schema)
        return table if records.good.all() else table.filter(pa.array(records.good))


def _chunks(places: Integers, sizes: Integers) -> Iterator[Integers]:
    """Cut the places of messages into what is decoded in one go."""
    before = np.concatenate([[0], np.cumsum(sizes[places])])
    first = 0
    while first < len(places):
        last = int(np.searchsorted(before, before[first] + _BYTES, "right")) - 1
        last = max(first + 1, min(last, first + _ROWS))
        yield places[first:last]
        first = last


def _all_bad(places: Integers, reason: str, detail: str) -> list[Undecodable]:
    return [Undecodable(place, reason, detail) for place in places.tolist()]


def _in_order(schema: pa.Schema, tables: list[pa.Table], indexes: list[Integers]) -> tuple[pa.Table, Integers]:
    """Join tables and the places of their rows, in the order of the places."""
    if not tables:
        return schema.empty_table(), np.empty(0, np.int64)
    table, index = pa.concat_tables(tables), np.concatenate(indexes)
    if (index[1:] < index[:-1]).any():
        order = np.argsort(index)
        table, index = table.combine_chunks().take(pa.array(order)), index[order]
    return table, index
