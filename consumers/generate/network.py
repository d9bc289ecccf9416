"""The network that events come from: its cells, what is normal for each, and its subscribers' numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from telestream.consumers.generate.mixing import F64, I64, bits, mix, slots, stream_key

TECHNOLOGIES = ("4g", "5g", "3g", "2g")
_TECHNOLOGY_WEIGHTS = [60, 25, 10, 5]
HAS_RSRP = np.array([True, True, False, False])
"""By technology: the reference signal belongs to LTE and NR."""

# By technology, in the order of TECHNOLOGIES, on an idle cell.
_LATENCY_MS = (28.0, 12.0, 80.0, 350.0)
_DOWN_KBPS = (25_000.0, 120_000.0, 2_500.0, 120.0)

_HOME_NETWORK = "234-15"
_HOME_PREFIX = "+4479"
_SECTORS = 3
_SIZE_SIGMA = 0.5
"""Spread of the cells' traffic: 95 of 100 are within a factor 2.7 of the median."""


@dataclass(frozen=True)
class Cells:
    """The cells, one entry each in every array."""

    cell_id: list[str]
    technology: I64
    """Index into TECHNOLOGIES."""
    weight: list[int]
    """Relative traffic."""
    rsrp: F64
    """Usual RSRP, dBm."""
    latency: F64
    """Usual latency when idle, ms."""
    down: F64
    """Usual throughput to subscribers when idle, kbit/s."""


def make_cells(count: int, seed: int) -> Cells:
    """Make the first cells of a seed: identifiers and technologies are those of the CDR generator's cells."""
    index = np.arange(count, dtype=np.int64)
    site, sector = index // _SECTORS, index % _SECTORS
    key = stream_key(seed, "base station")
    station = (site * (key % 2**20 | 1) + key % 2**20) % 2**20
    technology = slots(_TECHNOLOGY_WEIGHTS, 1 << 10)[bits(mix(stream_key(seed, "cell"), index), 0, 10)]

    traits = mix(stream_key(seed, "cell traits"), index)
    normal = NormalDist()
    size, place, fit = (
        [normal.inv_cdf((value + 0.5) / 2**16) for value in bits(traits, shift, 16).tolist()] for shift in (0, 16, 32)
    )
    return Cells(
        cell_id=[f"{_HOME_NETWORK}-{value}" for value in (station * 256 + sector + 1).tolist()],
        technology=technology,
        weight=[max(1, round(1_000 * math.exp(_SIZE_SIGMA * value))) for value in size],
        rsrp=np.array([-92 + 5 * value for value in place]),
        latency=np.array(_LATENCY_MS)[technology] * np.array([math.exp(0.1 * value) for value in fit]),
        down=np.array(_DOWN_KBPS)[technology] * np.array([math.exp(0.2 * value) for value in place]),
    )


def cell_ids(cells: int, seed: int = 1) -> list[str]:
    """Return the identifiers of the first cells of a seed, by number."""
    return make_cells(cells, seed).cell_id


def subscriber_numbers(count: int, seed: int) -> list[str]:
    """Return the E.164 numbers of the first subscribers of a seed, those of the CDR generator's subscribers."""
    key = stream_key(seed, "msisdn")
    # A multiplier that ends in 7 has no factor in common with a power of ten.
    factor = key % 10**8 // 10 * 10 + 7
    numbers = (np.arange(count, dtype=np.int64) * factor + key % 10**8) % 10**8
    return [f"{_HOME_PREFIX}{number:08d}" for number in numbers.tolist()]
