"""Random numbers as pure functions of (key, index), so that any event can be made at any time, in any order.

The CDR generator mixes in the same way; equal names and seeds give both the same cells and the same people.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# The finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)


def stream_key(*parts: object) -> int:
    """Return the 64-bit key of the stream with this name; other names give independent streams."""
    name = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def mix(key: int, index: I64) -> U64:
    """Return 64 random bits for each index (not negative); with one key, other indexes give other values."""
    word = index.view(np.uint64) * _GAMMA
    word += np.uint64(key)
    word ^= word >> np.uint64(30)
    word *= _M1
    word ^= word >> np.uint64(27)
    word *= _M2
    word ^= word >> np.uint64(31)
    return word


def bits(word: U64, shift: int, width: int) -> I64:
    """Return `width` (at most 63) bits of each word, from bit `shift` up, as non-negative integers."""
    part = word >> np.uint64(shift) if shift else word
    return (part & np.uint64((1 << width) - 1)).view(np.int64)


def below(limit: int, random: I64, width: int) -> I64:
    """Scale `width` random bits to 0 … limit - 1 (limit x 2**width must stay below 2**63)."""
    return (random * limit) >> width


def slots(weights: list[int], count: int) -> I64:
    """Return `count` indexes into `weights`, each as often as its weight says, in order."""
    total = np.cumsum(np.array(weights, dtype=np.int64))
    middles = (2 * np.arange(count, dtype=np.int64) + 1) * total[-1] // (2 * count)
    indexes: I64 = np.searchsorted(total, middles, side="right").astype(np.int64)
    return indexes
