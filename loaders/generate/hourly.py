"""Hourly traffic of cells over months with a known course: growth, the curve of the week of each kind, noise, outages.

For the capacity forecast: it reads hourly Gold, and months of CDRs of thousands of cells would take hours to load.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from telestream.loaders.generate import archetypes

Floats = npt.NDArray[np.float64]

# Of the logarithm: a day is off by about this, and remembers so much of the day before.
_DAY_NOISE = 0.09
_DAY_MEMORY = 0.4
_HOUR_NOISE = 0.06
# Growth of a cell in a day: most stand still, some double in a few months.
_GROWTH = (0.001, 0.0015)
_OUTAGES_PER_DAY = 1 / 120
_LEFT_IN_OUTAGE = 0.05
_MEGABYTES_PER_ERLANG = 900.0


@dataclass(frozen=True)
class HourlyTraffic:
    """What cells carry, made day by day; the same seed gives the same.

    Attributes:
        cells: how many.
        first_day: the day with number 0.
        days: how many.
        seed: of the random numbers.
    """

    cells: int
    first_day: date
    days: int
    seed: int = 1

    def kinds(self) -> npt.NDArray[np.int32]:
        """Return which of the archetypes each cell is."""
        return archetypes.of_cells(self.cells, self.seed)

    def levels(self) -> Floats:
        """Return the course of each cell without its week, Erlangs: a row a day, a column a cell."""
        random = np.random.default_rng(self.seed)
        start = np.exp(random.normal(2.0, 0.9, self.cells))
        growth = random.normal(*_GROWTH, self.cells)
        shock = random.normal(0, _DAY_NOISE, (self.days, self.cells))
        noise = np.zeros_like(shock)
        for number in range(1, self.days):
            noise[number] = _DAY_MEMORY * noise[number - 1] + shock[number]
        out = random.random((self.days, self.cells)) < _OUTAGES_PER_DAY
        course = start * np.exp(growth * np.arange(self.days)[:, np.newaxis] + noise)
        return np.asarray(np.where(out, course * _LEFT_IN_OUTAGE, course))

    def hours(self, number: int, level: Floats) -> Floats:
        """Return Erlangs by hour and cell of a day, for a row of the levels."""
        curves = archetypes.weights(self.kinds(), self.first_day + timedelta(days=number)) / 100
        noise = np.random.default_rng((self.seed, number)).normal(0, _HOUR_NOISE, curves.shape)
        return np.asarray(level * curves * np.exp(noise))

    def busy_hours(self) -> Floats:
        """Return Erlangs of the busy hour: a row a cell, a column a day."""
        return np.stack([self.hours(number, level).max(axis=0) for number, level in enumerate(self.levels())], axis=1)

    @staticmethod
    def bytes_of(erlangs: Floats) -> Floats:
        """Return the bytes that go with voice traffic."""
        return erlangs * _MEGABYTES_PER_ERLANG * 1e6
