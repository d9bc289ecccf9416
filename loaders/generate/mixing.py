"""Random numbers as pure functions of (key, index), so that any row can be made at any time, in any order.

The mixing function is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
Generators, 2014). numpy's own generators promise no stable stream between versions; integer arithmetic does.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_SLOT_BITS = 12
_SLOTS = 1 << _SLOT_BITS
_FRACTION_BITS = 32 - _SLOT_BITS


def stream_key(*parts: object) -> int:
    """Return the 64-bit key of the stream with this name; other names give independent streams."""
    name = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def mix(key: int, index: U64) -> U64:
    """Return 64 random bits for each index; with one key, different indexes give different values."""
    word = index * _GAMMA
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


class Quantiles:
    """A distribution of integers, sampled with 32 random bits: a table of quantiles, linear between them.

    The table is rounded to integers, so that the last bit of a libm does not show. The highest value is the
    quantile of 1 - 2**-14, the lowest that of 2**-14: tails end there.
    """

    def __init__(self, quantile: Callable[[float], float]) -> None:
        edge = 1 / (4 * _SLOTS)
        points = (min(max(slot / _SLOTS, edge), 1 - edge) for slot in range(_SLOTS + 1))
        edges = np.array([round(quantile(point)) for point in points], dtype=np.int64)
        self._low = edges[:-1].copy()
        self._step = np.diff(edges)

    @classmethod
    def lognormal(cls, median: float, sigma: float, low: int, high: int) -> Quantiles:
        """Return a lognormal distribution, cut to [low, high]."""
        normal = NormalDist()
        return cls(lambda p: min(max(median * math.exp(sigma * normal.inv_cdf(p)), low), high))

    def sample(self, random: I64) -> I64:
        """Return a value for each 32 random bits."""
        slot = random >> _FRACTION_BITS
        fraction = random & ((1 << _FRACTION_BITS) - 1)
        values: I64 = self._low[slot] + ((self._step[slot] * fraction) >> _FRACTION_BITS)
        return values
