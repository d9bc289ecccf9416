"""Plants fraud, and what only looks like it, in a file of CDRs of its own that is loaded beside those of a spec.

A planted number is none of the spec's population, its cells are the spec's. Each has a little ordinary use on every
day, so that only a number of the rule `new_number_velocity` is new.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from telestream.errors import UsageError
from telestream.loaders.generate.planted import write_planted
from telestream.loaders.generate.population import make_cells
from telestream.loaders.generate.spec import GenerateSpec

SOURCE = "fraud-plant"
"""Source system of the planted CDRs."""
RULES = ("sim_box", "wangiri", "revenue_share", "impossible_travel", "new_number_velocity")
LOOKALIKES = (
    "call_centre", "dispatcher", "diallers_long_ring", "rung_without_callback", "holiday", "steady_exporter",
    "traveller", "wrong_clock", "new_and_moderate",
)  # fmt: skip
HISTORY_DAYS = 8
"""A number can be called new only when records go back so far."""
_PRICE = 0.05
_DEAR = 1.5
_SITE = 3
"""Cells of a site lie at one place."""


@dataclass(frozen=True)
class Planted:
    """A number that was planted: what it does, and when (of look-alikes: nothing must be found)."""

    kind: str
    """One of RULES or LOOKALIKES."""
    native_key: str
    """Of a record that it made: tells the surrogate that the database gave it."""
    first_at: str
    last_at: str

    @property
    def is_fraud(self) -> bool:
        """Whether a rule must find it."""
        return self.kind in RULES


class _Planter:
    def __init__(self, spec: GenerateSpec, days: int) -> None:
        self.random = random.Random(f"{spec.seed} {spec.day} fraud")
        self.days = days
        self.last_day = datetime(spec.day.year, spec.day.month, spec.day.day, tzinfo=UTC)
        self.first_day = self.last_day - timedelta(days=days - 1)
        made = make_cells(spec.cells, spec.seed)
        self.cells = [(cell_id.decode(), technology) for cell_id, technology in zip(
            made.cell_id.tolist(), ["4g"] * spec.cells, strict=True
        )]  # fmt: skip
        self.places = list(zip(made.latitude.tolist(), made.longitude.tolist(), strict=True))
        self.rows: list[dict[str, Any]] = []
        self.truth: list[Planted] = []
        self._numbers = 0

    def number(self, prefix: str = "+4478") -> str:
        """Return a number that nobody else has."""
        self._numbers += 1
        return f"{prefix}{self._numbers:08d}"

    def site(self) -> int:
        return self.random.randrange(len(self.cells)) // _SITE * _SITE

    def far_from(self, site: int) -> int:
        """Return a site 3 degrees or more away, else the farthest."""
        latitude, longitude = self.places[site]

        def apart(other: int) -> float:
            return float(abs(self.places[other][0] - latitude) + abs(self.places[other][1] - longitude))

        far = [other for other in range(0, len(self.cells), _SITE) if apart(other) >= 3]
        return self.random.choice(far) if far else max(range(0, len(self.cells), _SITE), key=apart)

    def neighbourhood(self, kilometres: float = 60) -> tuple[int, list[int]]:
        """Return a site and the sites near it, of some sites the one with the most of them."""
        tries = [self.site() for _ in range(20)]
        all_near = {
            site: [
                other
                for other in range(0, len(self.cells), _SITE)
                if sum(abs(a - b) for a, b in zip(self.places[site], self.places[other], strict=True))
                < kilometres / 111
            ]
            for site in tries
        }
        home = max(tries, key=lambda site: len(all_near[site]))
        return home, all_near[home][:12]

    def day(self, earliest: int = 0) -> datetime:
        return self.first_day + timedelta(days=self.random.randrange(min(earliest, self.days - 1), self.days))

    def times(self, start: datetime, hours: float, count: int) -> list[datetime]:
        seconds = sorted(self.random.uniform(0, hours * 3600) for _ in range(count))
        return [start + timedelta(seconds=round(second)) for second in seconds]

    def call(
        self, at: datetime, caller: str, called: str, site: int, *, direction: str = "mo", talk_s: int = 0,
        ring_s: int = 4, price: float = _PRICE,
    ) -> str:  # fmt: skip
        """Add a call; one of no seconds is not answered. Returns its key."""
        key = f"f{len(self.rows):07d}"
        answered = at + timedelta(seconds=ring_s)
        cell = self.cells[min(site + self.random.randrange(_SITE), len(self.cells) - 1)]
        charge = Decimal(round(talk_s * price / 60, 4)).quantize(Decimal("0.0001")) if direction == "mo" else Decimal(0)
        self.rows.append({
            "source_system": SOURCE, "native_key": key, "leg": 0, "record_type": "voice", "direction": direction,
            "caller": caller, "called": called, "imsi": "", "imei": "", "started_at": at.isoformat(),
            "answered_at": answered.isoformat() if talk_s else "",
            "ended_at": (answered + timedelta(seconds=talk_s)).isoformat(),
            "duration_s": ring_s + talk_s, "billed_s": talk_s, "bytes_up": "", "bytes_down": "",
            "cell_id": cell[0], "region_code": "", "technology": cell[1],
            "plan_code": "ECO5", "charge": str(charge), "currency": "GBP",
            "disposition": "answered" if talk_s else "no_answer", "cause": "", "is_roaming": "false",
            "apn": "",
        })  # fmt: skip
        return key

    def ordinary(self, number: str, site: int, first: datetime | None = None) -> str:
        """Add a call or two on each day, made and received, at home. Returns the key of one that it made."""
        friends = [self.number("+4420") for _ in range(3)]
        key = ""
        day = first or self.first_day
        while day <= self.last_day:
            for at in self.times(day + timedelta(hours=9), 10, 2):
                key = self.call(at, number, self.random.choice(friends), site, talk_s=self.random.randrange(20, 200))
            at = day + timedelta(hours=20)
            self.call(at, self.random.choice(friends), number, site, direction="mt", talk_s=60)
            day += timedelta(days=1)
        return key

    def note(self, kind: str, key: str, times: list[datetime]) -> None:
        self.truth.append(Planted(kind, key, min(times).isoformat(), max(times).isoformat()))


def _many_calls(planter: _Planter, calls: int, numbers: int, hours: float, talk_s: int) -> tuple[Any, ...]:
    number, site = planter.number(), planter.site()
    key = planter.ordinary(number, site)
    called = [planter.number("+4420") for _ in range(numbers)]
    # It may well begin in the evening: midnight is no border.
    times = planter.times(planter.day() + timedelta(hours=planter.random.uniform(0, 22)), hours, calls)
    for index, at in enumerate(times):
        planter.call(at, number, called[index % numbers], site, talk_s=planter.random.randrange(talk_s // 2, talk_s))
    return number, site, key, times


def _sim_box(planter: _Planter) -> None:
    calls = planter.random.randrange(150, 350)
    *_, key, times = _many_calls(planter, calls, round(calls * 0.9), 14, 150)
    planter.note("sim_box", key, times)


def _call_centre(planter: _Planter) -> None:
    number, site, key, times = _many_calls(planter, 250, 220, 10, 150)
    for at in planter.times(times[0], 10, 60):
        planter.call(at, planter.number("+4420"), number, site, direction="mt", talk_s=90)
    planter.note("call_centre", key, times)


def _dispatcher(planter: _Planter) -> None:
    number, key = planter.number(), ""
    home, near = planter.neighbourhood()
    planter.ordinary(number, home)
    times = planter.times(planter.day() + timedelta(hours=7), 10, 160)
    for index, at in enumerate(times):
        key = planter.call(at, number, planter.number("+4420"), near[index * len(near) // len(times)], talk_s=40)
    planter.note("dispatcher", key, times)


def _rings(planter: _Planter, ring_s: tuple[int, int], callbacks: int) -> tuple[str, list[datetime]]:
    number = planter.number("+2321")
    count = planter.random.randrange(70, 160)
    victims = [(planter.number(), planter.site()) for _ in range(count)]
    times = planter.times(planter.day() + timedelta(hours=planter.random.uniform(0, 20)), 5, count)
    key = ""
    for at, (victim, site) in zip(times, victims, strict=True):
        key = planter.call(at, number, victim, site, direction="mt", ring_s=planter.random.randrange(*ring_s))
    for victim, site in victims[:callbacks]:
        at = times[-1] + timedelta(minutes=planter.random.randrange(1, 120))
        planter.call(at, victim, number, site, talk_s=planter.random.randrange(60, 240), price=_DEAR)
    return key, times


def _wangiri(planter: _Planter) -> None:
    planter.note("wangiri", *_rings(planter, (1, 6), planter.random.randrange(8, 25)))


def _diallers_long_ring(planter: _Planter) -> None:
    planter.note("diallers_long_ring", *_rings(planter, (20, 40), 10))


def _rung_without_callback(planter: _Planter) -> None:
    planter.note("rung_without_callback", *_rings(planter, (1, 6), 0))


def _dear_calls(
    planter: _Planter, start: datetime, calls: int, numbers: int, talk_s: int, number: str, site: int
) -> list[datetime]:
    called = [planter.number("+8823") for _ in range(numbers)]
    times = planter.times(start, 8, calls)
    for at in times:
        talk = planter.random.randrange(talk_s, talk_s + 60)
        planter.call(at, number, planter.random.choice(called), site, talk_s=talk, price=_DEAR)
    return times


def _revenue_share(planter: _Planter) -> None:
    number, site = planter.number(), planter.site()
    key = planter.ordinary(number, site)
    start = planter.day(1) + timedelta(hours=planter.random.uniform(0, 20))
    planter.note(
        "revenue_share", key, _dear_calls(planter, start, planter.random.randrange(30, 70), 4, 240, number, site)
    )


def _holiday(planter: _Planter) -> None:
    number, site = planter.number(), planter.site()
    key = planter.ordinary(number, site)
    planter.note("holiday", key, _dear_calls(planter, planter.day() + timedelta(hours=12), 5, 1, 300, number, site))


def _steady_exporter(planter: _Planter) -> None:
    number, site = planter.number(), planter.site()
    key, times = planter.ordinary(number, site), []
    for index in range(planter.days):
        day = planter.first_day + timedelta(days=index, hours=8)
        # Below the threshold while there is no history that excuses it, more of it later.
        times += _dear_calls(planter, day, 10 if index < 3 else 30, 5, 100, number, site)
    planter.note("steady_exporter", key, times)


def _impossible_travel(planter: _Planter) -> None:
    number, site = planter.number(), planter.site()
    key, far = planter.ordinary(number, site), planter.far_from(site)
    times = planter.times(planter.day() + timedelta(hours=planter.random.uniform(0, 20)), 4, 24)
    # Two SIMs, each in its place; they take turns.
    for index, at in enumerate(times):
        planter.call(at, number, planter.number("+4420"), far if index % 2 else site, talk_s=30)
    planter.note("impossible_travel", key, times)


def _traveller(planter: _Planter) -> None:
    number, site = planter.number(), planter.site()
    far = planter.far_from(site)
    key = planter.ordinary(number, site)
    # There after the last call at home in the evening, and back hours before the first one of the next day.
    start = planter.day() + timedelta(hours=20, minutes=30)
    times = [start, start + timedelta(hours=2), start + timedelta(hours=2, minutes=10), start + timedelta(hours=4)]
    for at, where in zip(times, (site, far, far, site), strict=True):
        planter.call(at, number, planter.number("+4420"), where, talk_s=30)
    planter.note("traveller", key, times)


def _wrong_clock(planter: _Planter) -> None:
    number, site = planter.number(), planter.site()
    key, far = planter.ordinary(number, site), planter.far_from(site)
    start = planter.day() + timedelta(hours=2)
    times = [start, start + timedelta(minutes=3), start + timedelta(minutes=6)]
    for at, where in zip(times, (site, far, site), strict=True):
        planter.call(at, number, planter.number("+4420"), where, talk_s=30)
    planter.note("wrong_clock", key, times)


def _new(planter: _Planter, kind: str, calls: int, talk_s: int) -> None:
    number, site = planter.number(), planter.site()
    called = [planter.number("+4420") for _ in range(30)]
    start = planter.day(HISTORY_DAYS) + timedelta(hours=planter.random.uniform(1, 8))
    times, key = planter.times(start, 12, calls), ""
    for at in times:
        talk = planter.random.randrange(talk_s, 2 * talk_s)
        key = planter.call(at, number, planter.random.choice(called), site, talk_s=talk, price=0.3)
    planter.note(kind, key, times)


def _new_number_velocity(planter: _Planter) -> None:
    _new(planter, "new_number_velocity", 70, 450)


def _new_and_moderate(planter: _Planter) -> None:
    _new(planter, "new_and_moderate", 10, 120)


_MAKERS: dict[str, Callable[[_Planter], None]] = {
    "sim_box": _sim_box, "wangiri": _wangiri, "revenue_share": _revenue_share,
    "impossible_travel": _impossible_travel, "new_number_velocity": _new_number_velocity,
    "call_centre": _call_centre, "dispatcher": _dispatcher, "diallers_long_ring": _diallers_long_ring,
    "rung_without_callback": _rung_without_callback, "holiday": _holiday, "steady_exporter": _steady_exporter,
    "traveller": _traveller, "wrong_clock": _wrong_clock, "new_and_moderate": _new_and_moderate,
}  # fmt: skip


def plant_fraud(spec: GenerateSpec, days: int, cases: int, lookalikes: int) -> tuple[pa.Table, list[Planted]]:
    """Return the CDRs of planted numbers in the order of their start, and the truth.

    Args:
        spec: seed and cells of the CDRs they are loaded with; its day is the last.
        days: how many days they are spread over.
        cases: numbers planted for each rule.
        lookalikes: numbers planted of each kind that only looks like fraud.

    Raises:
        UsageError: there are too few days for a number to be new in.
    """
    if days <= HISTORY_DAYS:
        raise UsageError(
            f"planting takes {HISTORY_DAYS + 1} days at least, not {days}",
            detail="Before, no number can be told to be new.",
        )
    planter = _Planter(spec, days)
    for kind, count in (*((rule, cases) for rule in RULES), *((kind, lookalikes) for kind in LOOKALIKES)):
        for _ in range(count):
            _MAKERS[kind](planter)
    rows = sorted(planter.rows, key=lambda row: (row["started_at"], row["native_key"]))
    columns = list(rows[0]) if rows else []
    return pa.table({name: [row[name] for row in rows] for name in columns}), planter.truth


def write_fraud(spec: GenerateSpec, days: int, cases: int, lookalikes: int, out: Path) -> tuple[int, Path]:
    """Write the planted CDRs as canonical CSV, and the truth beside it; returns the rows and the file of the truth.

    Raises:
        UsageError: there are too few days, or the file cannot be written.
    """
    table, truth = plant_fraud(spec, days, cases, lookalikes)
    return write_planted([table], truth, out)
