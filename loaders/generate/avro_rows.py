"""Renders blocks as the records of an Avro container file (Avro 1.11 specification)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from telestream.loaders.generate.block import (
    ABSENT,
    CODED,
    COLUMNS,
    CURRENCY,
    KEY_LENGTH,
    NUMBERS,
    TIMES,
    Block,
    key_text,
)
from telestream.loaders.generate.layout import Layout, Rows, as_field
from telestream.loaders.generate.mixing import I64
from telestream.loaders.generate.population import Text

_REQUIRED = ("source_system", "leg", "record_type", "started_at", "charge", "currency", "is_roaming")
_INT = ("leg", "duration_s", "billed_s")
_FILLER = 0x100
# Bytes that the longest number of a column needs, at seven bits a byte.
_VARINT_BYTES = {"duration_s": 3, "billed_s": 3, "bytes_up": 6, "bytes_down": 6, **dict.fromkeys(TIMES, 8)}
_CHARGE_BYTES = 8
"""A decimal may have leading sign bytes, so one length serves all."""


def _type_of(name: str) -> str | dict[str, Any]:
    if name in TIMES:
        return {"type": "long", "logicalType": "timestamp-micros"}
    if name == "charge":
        return {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}
    if name == "is_roaming":
        return "boolean"
    if name in _INT:
        return "int"
    return "long" if name in NUMBERS else "string"


SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Cdr",
    "namespace": "telestream",
    "fields": [
        {"name": name, "type": _type_of(name)}
        if name in _REQUIRED
        else {"name": name, "type": ["null", _type_of(name)], "default": None}
        for name in COLUMNS
    ],
}
# The branch of a union as a byte: zigzag, so the second branch is 2.
_NULL, _VALUE = 0, 2


def _table(texts: Text, *, required: bool) -> Rows:
    """Return texts as Avro strings, null at the end; all are below 64 bytes, so the length is one byte."""
    lengths = np.char.str_len(texts)
    width = texts.itemsize
    letters = texts.view(np.uint8).reshape(-1, width).astype(np.uint16)
    letters[np.arange(width) >= lengths[:, None]] = _FILLER
    head = [] if required else [np.full(len(texts), _VALUE)]
    entries = np.column_stack([*head, 2 * lengths, letters]).astype(np.uint16)
    null = np.full((1, entries.shape[1]), _FILLER, dtype=np.uint16)
    null[0, 0] = _NULL
    return as_field(np.concatenate([entries, null]))


class AvroRenderer:
    """Renders blocks as records of SCHEMA. Threads may share it."""

    def __init__(self, texts: dict[str, Text]) -> None:
        self._texts = {name: _table(texts[name], required=name in _REQUIRED) for name in CODED}
        self._layout = self._make_layout()

    def _make_layout(self) -> Layout:
        layout = Layout(binary=True)
        for name in COLUMNS:
            if name in CODED:
                layout.field(name, self._texts[name].itemsize // 2)
            elif name == "native_key":
                layout.field(name, 2 + KEY_LENGTH)
            elif name == "leg":
                layout.constant(b"\0")
            elif name == "charge":
                layout.constant(bytes([2 * _CHARGE_BYTES]))
                layout.field(name, _CHARGE_BYTES)
            elif name == "currency":
                layout.constant(bytes([2 * len(CURRENCY)]) + CURRENCY.encode())
            elif name == "is_roaming":
                layout.field(name, 1)
            else:
                layout.field(name, (name not in _REQUIRED) + _VARINT_BYTES[name])
        return layout

    def render(self, block: Block) -> npt.NDArray[np.uint8]:
        """Return the bytes of the block's records, one after another."""
        rows = self._layout.blank(block.rows)
        for name in CODED:
            rows[name] = self._texts[name][block.codes[name]]
        for name in TIMES:
            seconds = block.times[name]
            micros = (seconds * 1_000 + block.millisecond) * 1_000
            rows[name] = _numbers(name, np.where(seconds == ABSENT, ABSENT, micros))
        for name in NUMBERS:
            rows[name] = _numbers(name, block.numbers[name])
        rows["native_key"] = _keys(block)
        rows["charge"] = as_field(
            block.charge.astype(">i8").view(np.uint8).reshape(-1, _CHARGE_BYTES).astype(np.uint16)
        )
        rows["is_roaming"] = as_field(block.roaming.astype(np.uint16)[:, None])
        return self._layout.pack(rows)


def _keys(block: Block) -> Rows:
    units = np.empty((block.rows, 2 + KEY_LENGTH), dtype=np.uint16)
    units[:, 0] = _VALUE
    units[:, 1] = 2 * KEY_LENGTH
    units[:, 2:] = key_text(block.key)
    units[block.key_missing, 0] = _NULL
    units[block.key_missing, 1:] = _FILLER
    return as_field(units)


def _numbers(name: str, values: I64) -> Rows:
    """Return a column of numbers as zigzag varints, behind the branch of the union where there is one."""
    head = int(name not in _REQUIRED)
    absent = values == ABSENT
    rest = (values << 1) ^ (values >> 63)
    rest[absent] = 0
    units = np.empty((len(values), head + _VARINT_BYTES[name]), dtype=np.uint16)
    for place in range(head, units.shape[1]):
        above = rest >> 7
        units[:, place] = (rest & 0x7F) | ((above > 0) << 7)
        if place > head:
            units[rest == 0, place] = _FILLER
        rest = above
    if head:
        units[:, 0] = _VALUE
        units[absent, 0] = _NULL
        units[absent, 1] = _FILLER
    return as_field(units)


def encoded(number: int) -> bytes:
    """Return a non-negative number as an Avro long."""
    number <<= 1
    out = bytearray()
    while number > 0x7F:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
