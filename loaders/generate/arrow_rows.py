"""Turns blocks into Arrow record batches of the canonical CDR."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from telestream.loaders.generate.block import (
    ABSENT,
    CODED,
    COLUMNS,
    CURRENCY,
    KEY_LENGTH,
    NONE,
    NUMBERS,
    TIMES,
    Block,
    key_text,
)
from telestream.loaders.generate.mixing import I64
from telestream.loaders.generate.population import Text

_INT32 = ("leg", "duration_s", "billed_s")
_TYPES = {
    **{name: pa.string() for name in (*CODED, "native_key", "currency")},
    **{name: pa.timestamp("us", tz="UTC") for name in TIMES},
    **{name: pa.int32() for name in _INT32},
    **{name: pa.int64() for name in ("bytes_up", "bytes_down")},
    "charge": pa.decimal128(18, 4),
    "is_roaming": pa.bool_(),
}
SCHEMA = pa.schema([pa.field(name, _TYPES[name]) for name in COLUMNS])


class ArrowRenderer:
    """Renders blocks as record batches of SCHEMA. Threads may share it."""

    def __init__(self, texts: dict[str, Text]) -> None:
        self._texts = {name: pa.array(texts[name].tolist(), pa.binary()).cast(pa.string()) for name in CODED}

    def render(self, block: Block) -> pa.RecordBatch:
        """Return the rows of a block."""
        arrays = {
            "native_key": _keys(block),
            "leg": pa.array(np.zeros(block.rows, dtype=np.int32)),
            "charge": _decimals(block.charge),
            "currency": pa.repeat(CURRENCY, block.rows),
            "is_roaming": pa.array(block.roaming),
        }
        for name in CODED:
            codes = block.codes[name]
            arrays[name] = self._texts[name].take(pa.array(codes, mask=codes == NONE))
        for name in TIMES:
            seconds = block.times[name]
            micros = (seconds * 1_000 + block.millisecond) * 1_000
            arrays[name] = pa.array(micros, mask=seconds == ABSENT).cast(_TYPES[name])
        for name in NUMBERS:
            absent = block.numbers[name] == ABSENT
            values = np.where(absent, 0, block.numbers[name])
            arrays[name] = pa.array(values.astype(np.int32) if name in _INT32 else values, mask=absent)
        return pa.RecordBatch.from_arrays([arrays[name] for name in COLUMNS], schema=SCHEMA)


def _keys(block: Block) -> pa.Array:
    text = key_text(block.key)
    offsets = np.arange(block.rows + 1, dtype=np.int32) * KEY_LENGTH
    valid = np.ones(block.rows, dtype=np.bool_)
    valid[block.key_missing] = False
    packed = np.packbits(valid, bitorder="little")
    buffers = [pa.py_buffer(packed), pa.py_buffer(offsets), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.string(), block.rows, buffers)


def _decimals(values: I64) -> pa.Array:
    """Return decimals with four places; Arrow's are 128 bits, the lower half first."""
    halves: npt.NDArray[np.int64] = np.stack([values, values >> 63], axis=1)
    return pa.Array.from_buffers(_TYPES["charge"], len(values), [None, pa.py_buffer(halves)])
