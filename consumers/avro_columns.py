"""Decodes many Avro records of one schema at a time into Arrow columns: each step reads one field of all records."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from telestream.consumers.avro_skip import MalformedError, is_utf8, skip
from telestream.consumers.avro_types import NUMBERS, TEXTS, TIME, FieldPlan, Target, kind_of, unit_of

PADDING = bytes(16)
"""What must follow the last record: a field may be read past its end before that is noticed, by at most this much."""

_MICROS = {"timestamp-micros": 1, "timestamp-millis": 1000}
_EARLIEST = int(np.datetime64("1900-01-01", "us").astype(np.int64))
_END = int(np.datetime64("10000-01-01", "us").astype(np.int64))
_INT_MIN, _INT_MAX = -(1 << 31), (1 << 31) - 1
_CONTINUES = np.uint64(0x8080808080808080)
_LONGEST_VARINT = 10
_LARGEST_FIXED = 1 << 40  # more than any message has, and far from overflowing
_TOO_SHORT = "the message ends too early"

Rows = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Sizes = npt.NDArray[np.uint8]


class Records:
    """The records of one schema, read field by field; a record found bad does not touch the others.

    `places` is where each record will be read on. It only moves forward and never past the record's end, so whatever
    the bytes say, nothing outside of the data is read and no record's value begins before the one of the record before.

    Args:
        data: the bytes of all records, in order, with `PADDING` behind the last one.
        starts: where each record begins; rising.
        ends: where each ends, at most where the next begins.
    """

    def __init__(self, data: bytes, starts: Integers, ends: Integers) -> None:
        self._data = data
        self._octets = np.frombuffer(data, np.uint8)
        windows = len(data) - 7
        # Every eight bytes, also those that begin at an odd place, as one number.
        self._words = np.ndarray((windows,), "<u8", data, strides=(1,))
        self._doubles = np.ndarray((windows,), "<f8", data, strides=(1,))
        self._floats = np.ndarray((windows,), "<f4", data, strides=(1,))
        self._places = starts.copy()
        self._ends = ends
        self._all = np.ones(len(starts), np.bool_)
        self.good = self._all.copy()
        """Which records are good so far."""
        self.problems: dict[int, tuple[str, str]] = {}
        """Number of each bad record → reason and detail."""

    def __len__(self) -> int:
        return len(self._ends)

    def read(self, field: FieldPlan) -> pa.Array | None:
        """Read the next field of every record.

        Returns:
            Its values as the type the reader asks for, of any value for bad records; nothing if nobody asks.
        """
        if field.skip_one_by_one:
            self._skip(field)
            return None
        values = self._value(field, field.type, self._all, field.target)
        if values is not None and field.target is not None and not field.target.nullable:
            missing = values.is_null().to_numpy(zero_copy_only=False)
            self._refuse(missing, "incompatible_schema", f"field {field.name} is null, but must have a value")
        return values

    def finish(self) -> None:
        """Refuse the records that have bytes left after the last field."""
        left = self._ends > self._places
        self._refuse(left, "undecodable", "bytes are left after the last field")

    def _refuse(self, rows: Rows, reason: str, detail: str) -> None:
        rows = rows & self.good
        if rows.any():
            self.good &= ~rows
            self.problems.update(dict.fromkeys(np.flatnonzero(rows).tolist(), (reason, detail)))

    def _malformed(self, rows: Rows, field: FieldPlan, what: str) -> None:
        self._refuse(rows, "undecodable", f"field {field.name}: {what}")

    def _advance(self, field: FieldPlan, sizes: Integers | Sizes) -> None:
        self._places += sizes
        beyond = self._places > self._ends
        if beyond.any():
            self._malformed(beyond, field, _TOO_SHORT)
            np.minimum(self._places, self._ends, out=self._places)

    def _value(self, field: FieldPlan, type_: Any, present: Rows, target: Target | None) -> pa.Array | None:
        """Read one value of the records that have it; null for the others."""
        if isinstance(type_, list):
            return self._union(field, type_, present, target)
        kind = kind_of(type_)
        if kind in TEXTS:
            return self._text(field, kind, present, target)
        if kind == "null":
            return None
        if kind == "record":
            for part in type_["fields"]:
                self._value(field, field.names.resolve(part["type"]), present, None)
            return None
        if kind == "fixed":
            self._advance(field, present * np.int64(min(type_["size"], _LARGEST_FIXED)))
            return None
        if kind == "enum":
            return self._enum(field, type_["symbols"], present, target)
        if kind == "boolean":
            numbers: npt.NDArray[Any] = self._octets[self._places]
            self._malformed(present & (numbers > 1), field, "neither true nor false")
            self._advance(field, present.view(np.uint8))
        elif kind == "double":
            numbers = self._doubles[self._places]
            self._advance(field, present.view(np.uint8) << 3)
        elif kind == "float":
            numbers = self._floats[self._places]
            self._advance(field, present.view(np.uint8) << 2)
        else:
            numbers = self._integer(field, present)
            if kind == "int":
                self._malformed((numbers < _INT_MIN) | (numbers > _INT_MAX), field, "more than 32 bits")
        if target is None:
            return None
        if target.kind == TIME:
            numbers = self._time(field, numbers, present, _MICROS[unit_of(type_)])
        return self._array(numbers.astype(NUMBERS[target.kind], copy=False), present, target)

    def _union(self, field: FieldPlan, branches: list[Any], present: Rows, target: Target | None) -> pa.Array | None:
        index = self._integer(field, present)
        self._malformed(present & ((index < 0) | (index >= len(branches))), field, "no such branch of its union")
        found = [
            self._value(field, field.names.resolve(branch), present & (index == number), target)
            for number, branch in enumerate(branches)
            if branch != "null"
        ]
        if target is None:
            return None
        if not found:
            return pa.nulls(len(self), target.arrow)
        return found[0] if len(found) == 1 else pc.coalesce(*found)

    def _integer(self, field: FieldPlan, present: Rows) -> Integers:
        """Read a zigzag number of variable length; 0 for the records that have none."""
        first = self._octets[self._places]
        first *= present
        if int(first.max(initial=0)) < 0x80:
            self._advance(field, present.view(np.uint8))
            half = (first >> 1).astype(np.int64)
            first &= 1
            return half ^ -first.astype(np.int64)
        words: Words = self._words[self._places]
        # The lowest bit is the highest of the last byte; below it are the bytes of the number.
        stop = ~words & _CONTINUES
        lowest = stop & -stop
        mask = lowest - np.uint64(1)  # all ones where no byte of the eight is the last
        sizes: Sizes = np.bitwise_count(mask) // np.uint8(8) + np.uint8(1)
        bits: Words = words & (mask & ~_CONTINUES)
        # Close the gaps between groups of 7, then 14, then 28 bits.
        bits = (bits & np.uint64(0x007F007F007F007F)) | ((bits & np.uint64(0x7F007F007F007F00)) >> np.uint64(1))
        bits = (bits & np.uint64(0x00003FFF00003FFF)) | ((bits & np.uint64(0x3FFF00003FFF0000)) >> np.uint64(2))
        bits = (bits & np.uint64(0x000000000FFFFFFF)) | ((bits & np.uint64(0x0FFFFFFF00000000)) >> np.uint64(4))
        longer = (stop == 0) & present
        if longer.any():
            self._finish_long(field, longer, bits, sizes)
        bits *= present
        sizes *= present
        self._advance(field, sizes)
        return ((bits >> np.uint64(1)) ^ -(bits & np.uint64(1))).view(np.int64)

    def _finish_long(self, field: FieldPlan, rows: Rows, bits: Words, sizes: Sizes) -> None:
        """Add bytes nine and ten of numbers that have them."""
        numbers = np.flatnonzero(rows)
        ninth = self._octets[self._places[numbers] + 8]
        tenth = self._octets[self._places[numbers] + 9]
        more = ninth >= 0x80
        bits[numbers] |= (ninth & 0x7F).astype(np.uint64) << np.uint64(56)
        bits[numbers[more]] |= tenth[more].astype(np.uint64) << np.uint64(63)
        sizes[numbers] = np.where(more, _LONGEST_VARINT, _LONGEST_VARINT - 1)
        too_long = numbers[more & (tenth > 1)]
        self._malformed(_mask(too_long, len(self)), field, "more than 64 bits")

    def _time(self, field: FieldPlan, numbers: Integers, present: Rows, micros: int) -> Integers:
        outside = present & ((numbers < _EARLIEST // micros) | (numbers >= _END // micros))
        self._refuse(outside, "time_out_of_range", f"field {field.name} is outside the years 1900 to 9999")
        return numbers * micros

    def _array(self, numbers: npt.NDArray[Any], present: Rows, target: Target) -> pa.Array:
        values = _bitmap(numbers != 0) if target.kind == "boolean" else pa.py_buffer(np.ascontiguousarray(numbers))
        return pa.Array.from_buffers(target.arrow, len(self), [_validity(present), values])

    def _enum(self, field: FieldPlan, symbols: list[str], present: Rows, target: Target | None) -> pa.Array | None:
        index = self._integer(field, present)
        unknown = present & ((index < 0) | (index >= len(symbols)))
        self._malformed(unknown, field, "no such symbol of its enum")
        if target is None:
            return None
        return pa.array(symbols, target.arrow).take(pa.array(index, mask=~present | unknown))

    def _text(self, field: FieldPlan, kind: str, present: Rows, target: Target | None) -> pa.Array | None:
        lengths = self._integer(field, present)
        self._malformed(lengths < 0, field, "a negative length")
        beyond = (lengths < 0) | (lengths > self._ends - self._places)
        if beyond.any():
            self._malformed(beyond, field, _TOO_SHORT)
            lengths = np.where(beyond, 0, lengths)
        starts = self._places.copy()
        self._places += lengths
        values = _slices(self._data, starts, self._places)
        if "string" in (kind, target and target.kind):
            wrong = _not_utf8(values)
            if wrong.any():
                self._malformed(wrong, field, "no UTF-8")
                values = _slices(self._data, starts, np.where(wrong, starts, self._places))
        if target is None:
            return None
        _, offsets, octets = values.buffers()
        if target.kind == "string" and b"\0" in octets.to_pybytes():
            nul = pc.match_substring(values, b"\0").to_numpy(zero_copy_only=False)
            self._refuse(nul, "nul_byte", f"field {field.name} has a NUL character")
        return pa.Array.from_buffers(target.arrow, len(self), [_validity(present), offsets, octets])

    def _skip(self, field: FieldPlan) -> None:
        ends = self._ends.tolist()
        for row in np.flatnonzero(self.good).tolist():
            try:
                self._places[row] = skip(field.type, field.names, self._data, int(self._places[row]), ends[row])
            except MalformedError as exc:
                self._malformed(_mask(np.array([row]), len(self)), field, str(exc))


def _mask(numbers: npt.NDArray[Any], length: int) -> Rows:
    rows = np.zeros(length, np.bool_)
    rows[numbers] = True
    return rows


def _bitmap(rows: Rows) -> pa.Buffer:
    return pa.py_buffer(np.packbits(rows, bitorder="little"))


def _validity(present: Rows) -> pa.Buffer | None:
    return None if present.all() else _bitmap(present)


def _slices(data: bytes, starts: Integers, stops: Integers) -> pa.Array:
    """Return the bytes from each start to its stop; the next start is never before a stop.

    Arrow copies them: the values and the gaps between them are a column over the data as they lie there, of which
    every other entry is taken.
    """
    offsets = np.empty(2 * len(starts), np.int32)
    offsets[0::2] = starts
    offsets[1::2] = stops
    both = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    return both.take(pa.array(np.arange(0, len(offsets), 2)))


def _not_utf8(values: pa.Array) -> Rows:
    """Return which values are not UTF-8."""
    wrong = np.zeros(len(values), np.bool_)
    text = pa.Array.from_buffers(pa.string(), len(values), values.buffers())
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        for row in np.flatnonzero(~pc.string_is_ascii(text).to_numpy(zero_copy_only=False)).tolist():
            wrong[row] = not is_utf8(values[row].as_py())
    return wrong
