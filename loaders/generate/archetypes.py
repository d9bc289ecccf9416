"""Kinds of cells with a curve of the week each, planted so that who groups cells by behaviour can be judged."""

from __future__ import annotations

from datetime import date

import numpy as np

from telestream.loaders.generate.mixing import I32, I64, bits, mix, stream_key

NAMES = ("business", "residential", "stadium", "motorway", "rural")
_SHARES = (30, 35, 5, 10, 20)
"""Cells of each, in percent."""

# How much each kind draws people, by hour of a working day and of a weekend, 100 at most. Traffic follows the curve of
# the day that all share, times this.
_WORKING = (
    (4, 4, 4, 4, 4, 6, 18, 45, 85, 100, 100, 95, 80, 90, 95, 92, 85, 55, 25, 12, 8, 6, 5, 4),
    (70, 70, 70, 70, 70, 65, 60, 50, 30, 22, 20, 20, 24, 22, 22, 28, 40, 60, 80, 95, 100, 100, 90, 80),
    (2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5, 6, 6, 5, 4, 3, 2),
    (12, 10, 10, 12, 20, 45, 90, 100, 90, 45, 35, 32, 32, 34, 40, 65, 95, 100, 80, 45, 30, 22, 18, 14),
    (30, 28, 26, 28, 40, 60, 70, 62, 50, 44, 42, 44, 50, 46, 42, 44, 50, 56, 60, 56, 48, 42, 36, 32),
)
_WEEKEND = (
    (3, 3, 3, 3, 3, 3, 4, 5, 7, 9, 10, 10, 10, 9, 9, 8, 7, 6, 5, 4, 4, 3, 3, 3),
    (80, 80, 78, 75, 72, 68, 62, 60, 66, 74, 80, 82, 84, 82, 80, 80, 82, 86, 92, 98, 100, 98, 92, 85),
    (2, 2, 2, 2, 2, 2, 2, 3, 5, 8, 12, 20, 40, 80, 100, 100, 95, 90, 100, 95, 60, 20, 6, 3),
    (15, 12, 10, 10, 12, 18, 28, 40, 55, 68, 78, 80, 76, 72, 72, 76, 80, 82, 76, 60, 42, 32, 26, 20),
    (32, 30, 28, 28, 32, 42, 52, 58, 62, 66, 66, 66, 68, 66, 62, 60, 60, 60, 58, 54, 48, 42, 38, 34),
)


def of_cells(count: int, seed: int) -> I32:
    """Return which of NAMES each cell of a seed is."""
    word = bits(mix(stream_key(seed, "archetype"), np.arange(count, dtype=np.uint64)), 0, 32)
    kinds: I32 = np.searchsorted(np.cumsum(_SHARES), word * 100 >> 32, side="right").astype(np.int32)
    return kinds


def weights(kinds: I32, day: date) -> I64:
    """Return how much each cell draws people in each hour of a day, shape (24, cells), 1 to 100."""
    curves = np.array(_WEEKEND if day.weekday() >= 5 else _WORKING, dtype=np.int64)
    return curves.T[:, kinds]
