"""The columns of a stretch of generated rows, the form in which they wait for a writer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from telestream.loaders.generate.defects import Placement
from telestream.loaders.generate.mixing import I32, I64, U64

Mask = npt.NDArray[np.bool_]

NONE = -1
"""Code of a missing text. As an index it is the last entry of a table: writers put their null there."""
ABSENT = -(2**62)
"""A missing number or time; nothing that is generated comes near it."""

CODED = (
    "source_system", "record_type", "direction", "caller", "called", "imsi", "imei", "cell_id", "region_code",
    "technology", "plan_code", "disposition", "cause", "apn",
)  # fmt: skip
TIMES = ("started_at", "answered_at", "ended_at")
NUMBERS = ("duration_s", "billed_s", "bytes_up", "bytes_down")
COLUMNS = (
    "source_system", "native_key", "leg", "record_type", "direction", "caller", "called", "imsi", "imei",
    "started_at", "answered_at", "ended_at", "duration_s", "billed_s", "bytes_up", "bytes_down",
    "cell_id", "region_code", "technology", "plan_code", "charge", "currency", "disposition", "cause",
    "is_roaming", "apn",
)  # fmt: skip
"""The canonical CDR, in order."""
CURRENCY = "GBP"
KEY_LENGTH = 36

_HEX = np.array([f"{byte:02x}".encode() for byte in range(256)]).view(np.uint16)


def uuid_halves(high: U64, low: U64) -> tuple[U64, U64]:
    """Make a version 8 UUID (RFC 9562) of two words; it keeps all 64 bits of `high`, so it is as distinct."""
    versioned = (high & np.uint64(0xFFFF_FFFF_FFFF_0FFF)) | np.uint64(0x8000)
    displaced = ((high >> np.uint64(12)) & np.uint64(0xF)) << np.uint64(58)
    return versioned, (low >> np.uint64(6)) | displaced | np.uint64(1 << 63)


def key_text(key: tuple[U64, U64]) -> npt.NDArray[np.uint8]:
    """Return the two halves of keys as text, shape (rows, 36)."""
    halves = np.stack(key, axis=1).astype(">u8").view(np.uint8).reshape(-1, 16)
    digits = _HEX[halves].view(np.uint8)
    text = np.full((len(digits), KEY_LENGTH), ord("-"), dtype=np.uint8)
    for dashes, (start, end) in enumerate(((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))):
        text[:, start + dashes : end + dashes] = digits[:, start:end]
    return text


@dataclass
class Block:
    """A stretch of rows; what is missing is NONE in codes and ABSENT in numbers and times."""

    first: int
    """Place of the first row in the file, from 0."""
    placement: Placement
    good: Mask
    """Rows that are neither duplicate nor bad."""
    record_type: I32
    """What a row is, also where its written record type is not known."""
    codes: dict[str, I32]
    """By column of CODED: indexes into the texts of the column."""
    key: tuple[U64, U64]
    key_missing: I64
    """Offsets of the rows without a native_key."""
    millisecond: I64
    """Of all three times alike: they are whole seconds apart."""
    times: dict[str, I64]
    """By column of TIMES: seconds since 1970."""
    numbers: dict[str, I64]
    """By column of NUMBERS."""
    charge: I64
    """In ten-thousandths of the currency."""
    roaming: Mask

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.good)
