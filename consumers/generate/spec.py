"""What stream of network events is to be generated: how many, when, with which defects and anomalies."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from telestream.errors import UsageError

MAX_EVENTS = 2_000_000_000
MAX_CELLS = 100_000
MAX_SUBSCRIBERS = 5_000_000
MAX_DEFECTS = 0.5
"""A duplicate needs a good message before it to repeat."""


class AnomalyKind(enum.StrEnum):
    """What can go wrong with a cell."""

    OUTAGE = "outage"
    """The cell sends one critical alarm and then nothing at all."""
    CONGESTION = "congestion"
    """Latency x 4, throughput / 4, packet loss up, drops x 6, handover failures x 5."""
    SLEEPING = "sleeping"
    """KPI samples go on as before, everything that subscribers do vanishes, and no alarm tells of it."""
    DRIFT = "drift"
    """RSRP falls by 0.5 dB an hour, throughput declines with it."""


class BadKind(enum.StrEnum):
    """What can be wrong with an event, each the name of the rule that refuses it."""

    MISSING_EVENT_ID = "missing_event_id"
    UNKNOWN_EVENT_TYPE = "unknown_event_type"
    SUBSCRIBER_NOT_E164 = "subscriber_not_e164"
    RADIO_OUT_OF_RANGE = "radio_out_of_range"
    SERVICE_OUT_OF_RANGE = "service_out_of_range"
    PAYLOAD_NOT_JSON = "payload_not_json"
    EVENT_TIME_WINDOW = "event_time_window"


@dataclass(frozen=True)
class Planted:
    """An anomaly of one cell, in event time.

    Raises:
        UsageError: the kind is unknown, or the time is empty or without a time zone.
    """

    kind: AnomalyKind
    cell: int
    """Number of the cell, from 0."""
    start: datetime
    duration: timedelta

    def __post_init__(self) -> None:
        if self.kind not in set(AnomalyKind):
            raise UsageError(f"no such anomaly: {self.kind}", hint=f"Use one of {', '.join(AnomalyKind)}.")
        object.__setattr__(self, "kind", AnomalyKind(self.kind))
        _check_time("the start of an anomaly", self.start, self.duration)
        object.__setattr__(self, "start", self.start.astimezone(UTC))


@dataclass(frozen=True)
class NetworkSpec:
    """One stream of generated events; equal specs give equal messages, other specs other event ids.

    `events` counts messages: good + duplicates + bad = events, less those that an outage or a sleeping cell
    swallows. The shares are probabilities of a message.

    Raises:
        UsageError: a value is out of its range.
    """

    events: int
    start: datetime
    duration: timedelta
    cells: int = 200
    """The first cells of those that the CDRs of the same seed name."""
    seed: int = 1
    duplicates: float = 0.0
    """Share that repeats an earlier message of the last minutes: same event_id, same event_at, same bytes."""
    late: float = 0.0
    """Share that is good but comes 15 to 40 minutes after its event time."""
    bad: float = 0.0
    """Share that must be refused, each for exactly one reason."""
    subscribers: int = 20_000
    anomalies: tuple[Planted, ...] = ()

    def __post_init__(self) -> None:
        _check_time("start", self.start, self.duration)
        # The same moment is the same spec, in whatever zone it is written.
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        for name, value, low, high in (
            ("events", self.events, 1, MAX_EVENTS),
            ("cells", self.cells, 1, MAX_CELLS),
            ("subscribers", self.subscribers, 1, MAX_SUBSCRIBERS),
            ("seed", self.seed, 0, 2**63 - 1),
        ):
            if not low <= value <= high:
                raise UsageError(f"{name} must be from {low} to {high}, not {value}")
        for name, share in (("duplicates", self.duplicates), ("late", self.late), ("bad", self.bad)):
            if not 0 <= share <= MAX_DEFECTS:
                raise UsageError(f"share of {name} must be from 0 to {MAX_DEFECTS}, not {share}")
        if self.duplicates + self.late + self.bad > MAX_DEFECTS + 1e-9:
            raise UsageError(
                f"duplicates, late and bad messages are more than {MAX_DEFECTS:.0%}",
                detail="A duplicate needs a good message before it to repeat.",
            )
        for planted in self.anomalies:
            if not 0 <= planted.cell < self.cells:
                raise UsageError(
                    f"no cell {planted.cell} to plant an anomaly in", hint=f"Cells are numbered 0 to {self.cells - 1}."
                )


def _check_time(what: str, start: datetime, duration: timedelta) -> None:
    if start.utcoffset() is None:
        raise UsageError(f"{what} has no time zone")
    if duration <= timedelta():
        raise UsageError(f"the duration after {what} must be positive, not {duration}")
