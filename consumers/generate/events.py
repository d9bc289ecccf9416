"""Makes the events of a spec as Arrow tables: any stretch of the stream, vectorised, always the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from telestream.consumers.generate.manifest import Sent, Tally
from telestream.consumers.generate.mixing import F64, I64, Mask, below, bits, mix, slots, stream_key
from telestream.consumers.generate.network import HAS_RSRP, TECHNOLOGIES, make_cells, subscriber_numbers
from telestream.consumers.generate.spec import AnomalyKind, BadKind, NetworkSpec
from telestream.consumers.generate.timeline import MICROSECOND, Timeline, epoch_us
from telestream.errors import UsageError

EVENT_SCHEMA = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("event_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("source_system", pa.string(), nullable=False),
        pa.field("event_type", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in ("outcome", "cell_id", "technology", "severity", "subscriber")),
        *(
            pa.field(name, pa.float64())
            for name in (
                "rsrp_dbm", "rsrq_db", "sinr_db", "latency_ms", "throughput_up_kbps", "throughput_down_kbps",
                "packet_loss_pct",
            )
        ),
        pa.field("cause", pa.string()),
        pa.field("payload", pa.string()),
    ]
)  # fmt: skip
"""The fields of the Avro record telestream.NetworkEvent, in its order."""

SOURCE_SYSTEM = "ran-oss"

_TYPES = ("kpi_sample", "rrc_setup", "handover", "attach", "detach", "drop", "alarm", "other", "teleport")
KPI_SAMPLE, RRC_SETUP, HANDOVER, ATTACH, DETACH, DROP, ALARM, OTHER, UNKNOWN_TYPE = range(len(_TYPES))
_MIX = [4500, 2000, 1500, 800, 600, 100, 20, 480]
"""Share of each event type in ten-thousandths."""
_CONGESTED_MIX = [4500, 2000, 1500, 800, 580, 600, 20, 0]
_FAILURES = [0, 150, 300, 100, 0, 0, 0, 0]
"""Failures among ten thousand events of each type."""
_CONGESTED_FAILURES = [0, 150, 1500, 100, 0, 0, 0, 0]

_CAUSES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (RRC_SETUP, ("no_radio_resource", "timer_t300_expired", "transport_unavailable")),
    (HANDOVER, ("too_late", "too_early", "wrong_cell", "preparation_failure")),
    (ATTACH, ("congestion", "network_failure", "roaming_not_allowed")),
    (DROP, ("radio_link_failure", "s1_reset", "max_retransmissions", "handover_failure")),
    (ALARM, ("high_temperature", "vswr_threshold", "s1_link_flapping", "clock_drift", "mains_failure")),
)
_OUTAGE_CAUSE = "cell_unavailable"
_SEVERITIES = ("info", "warning", "minor", "major", "critical")
_SEVERITY_WEIGHTS = [300, 350, 200, 120, 30]
_CRITICAL = len(_SEVERITIES) - 1
_OUTCOMES = ("success", "failure")
_OTHER_PAYLOADS = ('{"kind": "paging"}', '{"kind": "tracking_area_update"}', '{"kind": "service_request"}')
_BROKEN_PAYLOAD = '{"kind": '
_BROKEN_NUMBER = "unknown"

_DELAY_US = 2_000_000
"""An event is sent up to this long after it happened, so the stream is only roughly in order."""
_LATE_LOW_US, _LATE_HIGH_US = 15 * 60_000_000, 40 * 60_000_000
_FAR_US = 8 * 60_000_000
"""A duplicate repeats a message of at most this long before, so that it is not late as well."""
_WARM_UP = 2_000
"""The first messages of a stream are on time: an event can only be late behind one that came before."""
_OLD_US = 30 * 365 * 86_400_000_000
_HOUR_US = 3_600_000_000

_ON_TIME, _DUPLICATE, _LATE, _FIRST_BAD = range(4)
_BAD_KINDS = tuple(BadKind)

_STEPS = 1 << 14
_NORMAL = np.array([NormalDist().inv_cdf((step + 0.5) / _STEPS) for step in range(_STEPS)])
"""Quantiles of the normal distribution; array functions such as exp may differ in the last bit by machine."""
_SPREAD = {sigma: np.array([math.exp(sigma * value) for value in _NORMAL.tolist()]) for sigma in (0.2, 0.25, 0.5)}

Codes = npt.NDArray[np.int64]
_NONE = -1


def batches(spec: NetworkSpec, rows: int = 50_000, tally: Tally | None = None) -> Iterator[pa.Table]:
    """Make the messages of a spec in the order of the stream.

    Args:
        spec: what to make.
        rows: messages in a table, fewer where an anomaly swallows some; it does not change the messages.
        tally: is told what each table holds before the table is handed out.

    Yields:
        Tables of EVENT_SCHEMA, none of them empty.
    """
    maker = _Maker(spec)
    for first in range(0, spec.events, rows):
        table, sent = maker.stretch(first, min(rows, spec.events - first))
        if tally is not None:
            tally.add(sent)
        if table.num_rows:
            yield table


@dataclass(frozen=True)
class _Window:
    """A planted anomaly, in microseconds since 1970."""

    kind: AnomalyKind
    cell: int
    start: int
    end: int


@dataclass
class _Events:
    """What events are, before the texts; a code of -1 is null."""

    at: I64
    cell: I64
    technology: I64
    kind: Codes
    outcome: Codes
    severity: Codes
    subscriber: Codes
    cause: Codes
    payload: Codes
    numbers: dict[str, F64]
    """By column; NaN is null."""
    silenced: Mask


class _Maker:
    def __init__(self, spec: NetworkSpec) -> None:
        self._spec = spec
        self._timeline = Timeline(spec.events, spec.start, spec.duration)
        self._cells = make_cells(spec.cells, spec.seed)
        slot_bits = max(16, (16 * spec.cells - 1).bit_length())
        self._slot_bits = slot_bits
        self._cell_of_slot = slots(self._cells.weight, 1 << slot_bits)
        self._type_of_slot = np.stack([slots(shares, 1 << 16) for shares in (_MIX, _CONGESTED_MIX)])
        self._failures = np.array([_FAILURES, _CONGESTED_FAILURES], dtype=np.int64) * (1 << 16) // 10_000
        self._severity_of_slot = slots(_SEVERITY_WEIGHTS, 1 << 10)
        self._keys = {name: stream_key(spec.seed, "network event", name) for name in _STREAMS}
        self._identity = stream_key("event id", repr(spec)) % 2**32
        self._bounds = np.cumsum([round(share * 2**32) for share in (spec.bad, spec.duplicates, spec.late)])
        self._warm_up = min(_WARM_UP, spec.events // 4)
        self._windows = [self._window(number) for number in range(len(spec.anomalies))]
        self._first_cause, self._cause_count, causes = _cause_codes()
        self._outage_cause = len(causes) - 1
        self._subscriber_texts = pa.array([*subscriber_numbers(spec.subscribers, spec.seed), _BROKEN_NUMBER])
        ids = self._cells.cell_id
        targets = [f'{{"target": "{ids[(number + 1) % len(ids)]}"}}' for number in range(len(ids))]
        self._texts = {
            "event_type": pa.array(_TYPES),
            "outcome": pa.array(_OUTCOMES),
            "cell_id": pa.array(ids),
            "technology": pa.array(TECHNOLOGIES),
            "severity": pa.array(_SEVERITIES),
            "subscriber": self._subscriber_texts,
            "cause": pa.array(causes),
            "payload": pa.array([*targets, *_OTHER_PAYLOADS, _BROKEN_PAYLOAD]),
        }
        outages = [window for window in self._windows if window.kind is AnomalyKind.OUTAGE]
        self._outage_alarms = np.array([index for window in outages for index in self._first_in(window)], np.int64)

    def _window(self, number: int) -> _Window:
        planted = self._spec.anomalies[number]
        technology = int(self._cells.technology[planted.cell])
        if planted.kind is AnomalyKind.DRIFT and not HAS_RSRP[technology]:
            fitting = np.flatnonzero(HAS_RSRP[self._cells.technology])[:5].tolist()
            raise UsageError(
                f"cell {planted.cell} is {TECHNOLOGIES[technology]} and has no RSRP that could drift",
                hint=f"Take a cell of 4g or 5g, such as {', '.join(map(str, fitting))}." if fitting else None,
            )
        start = epoch_us(planted.start)
        return _Window(planted.kind, planted.cell, start, start + planted.duration // MICROSECOND)

    def _first_in(self, window: _Window) -> list[int]:
        """Return the number of the first message that a cell would send on time in a window, if there is one."""
        low, high = self._timeline.index(np.array([window.start, window.end + _DELAY_US]))
        for first in range(int(low), min(int(high) + 1, self._spec.events), 1 << 16):
            index = np.arange(first, min(first + (1 << 16), self._spec.events), dtype=np.int64)
            index = index[self._kinds(index) == _ON_TIME]
            _, at, cell = self._place(index)
            found = index[(cell == window.cell) & (at >= window.start) & (at < window.end)]
            if len(found):
                return [int(found[0])]
        return []

    def stretch(self, first: int, rows: int) -> tuple[pa.Table, Sent]:
        """Make `rows` messages from number `first` on, and say what they are."""
        position = np.arange(first, first + rows, dtype=np.int64)
        kinds = self._kinds(position)
        index = position
        if repeats := np.flatnonzero(kinds == _DUPLICATE).tolist():
            index = position.copy()
            index[repeats] = self._sources(position[repeats])
        late = kinds == _LATE
        events = self._events(index, late)
        table = self._table(index, events, self._spoil(kinds, events))
        keep = ~events.silenced
        sent = Sent(
            silenced=int(events.silenced.sum()),
            duplicates=int((keep & (kinds == _DUPLICATE)).sum()),
            late=int((keep & late).sum()),
            bad={kind: int((keep & (kinds == _FIRST_BAD + code)).sum()) for code, kind in enumerate(_BAD_KINDS)},
            good_at=events.at[keep & ((kinds == _ON_TIME) | late)],
            good_types=np.bincount(
                events.kind[keep & ((kinds == _ON_TIME) | late)], minlength=len(_TYPES)
            ).tolist()[:UNKNOWN_TYPE],
        )  # fmt: skip
        return (table if sent.silenced == 0 else table.filter(pa.array(keep))), sent

    def _kinds(self, position: I64) -> Codes:
        """Return what each message is: on time, a duplicate, late, or bad in one of the ways."""
        word = mix(self._keys["kind"], position)
        drawn = np.searchsorted(self._bounds, bits(word, 0, 32), side="right")
        kinds: Codes = np.array([_FIRST_BAD, _DUPLICATE, _LATE, _ON_TIME])[drawn]
        kinds[(kinds == _LATE) & (position < self._warm_up)] = _ON_TIME
        kinds[position == 0] = _ON_TIME
        bad = kinds == _FIRST_BAD
        if bad.any():
            kinds[bad] += below(len(_BAD_KINDS), bits(word[bad], 32, 16), 16)
        return kinds

    def _sources(self, position: I64) -> I64:
        """Return the message that each duplicate repeats: half of them the one before, half one further back."""
        word = mix(self._keys["source"], position)
        back = np.where(bits(word, 0, 1) == 1, below(_FAR_US, bits(word, 1, 30), 30), 0)
        sent = self._timeline.at(position.astype(np.float64) + 0.5).at
        source = np.minimum(self._timeline.index(sent - back), position - 1)
        while (wrong := self._kinds(source) != _ON_TIME).any():
            source = source - wrong
        return source

    def _place(self, index: I64) -> tuple[F64, I64, I64]:
        """Return load, event time if on time, and cell of each message."""
        word = mix(self._keys["place"], index)
        sent, load = self._timeline.at(index + bits(word, 0, 16) / 2**16)
        at = np.maximum(sent - below(_DELAY_US, bits(word, 16, 16), 16), epoch_us(self._spec.start))
        return load, at, self._cell_of_slot[bits(word, 32, self._slot_bits)]

    def _events(self, index: I64, late: Mask) -> _Events:
        load, at, cell = self._place(index)
        if late.any():
            span = below(_LATE_HIGH_US - _LATE_LOW_US, bits(mix(self._keys["late"], index[late]), 0, 30), 30)
            at[late] -= _LATE_LOW_US + span
        congested, asleep, silent, drift_hours = self._anomalies(at, cell)

        word = mix(self._keys["event"], index)
        mode = congested.view(np.uint8)
        kind = self._type_of_slot[mode, bits(word, 0, 16)]
        failed = bits(word, 16, 16) < self._failures[mode, kind]
        has_outcome = (kind == RRC_SETUP) | (kind == HANDOVER) | (kind == ATTACH)
        outcome = np.where(has_outcome, failed.view(np.int8), _NONE)
        choice = bits(word, 32, 16)
        cause = np.where(
            failed | (kind == DROP) | (kind == ALARM),
            self._first_cause[kind] + ((self._cause_count[kind] * choice) >> 16),
            _NONE,
        )
        severity = np.where(kind == ALARM, self._severity_of_slot[bits(word, 48, 10)], _NONE)
        # The square makes some people far more active than others.
        activity = bits(mix(self._keys["subscriber"], index), 0, 20)
        person = (((activity * activity) >> 20) * self._spec.subscribers) >> 20
        subscriber = np.where((kind == KPI_SAMPLE) | (kind == ALARM), _NONE, person)
        payload = np.where(kind == HANDOVER, cell, _NONE)
        others = kind == OTHER
        payload[others] = self._spec.cells + below(len(_OTHER_PAYLOADS), choice[others], 16)

        silenced = silent | (asleep & (kind != KPI_SAMPLE))
        alarm = np.isin(index, self._outage_alarms) if len(self._outage_alarms) else np.zeros(len(index), dtype=bool)
        if alarm.any():
            silenced &= ~alarm
            kind[alarm], severity[alarm], cause[alarm] = ALARM, _CRITICAL, self._outage_cause
            for codes in (outcome, subscriber, payload):
                codes[alarm] = _NONE
        technology = self._cells.technology[cell]
        numbers = self._numbers(index, kind, cell, technology, load, congested, drift_hours)
        return _Events(
            at, cell, technology, kind, outcome, severity, subscriber, cause, payload, numbers, silenced
        )  # fmt: skip

    def _anomalies(self, at: I64, cell: I64) -> tuple[Mask, Mask, Mask, F64]:
        """Return which events meet a congestion, a sleeping cell, an outage, and hours of drift (0: none)."""
        congested, asleep, silent = (np.zeros(len(at), dtype=bool) for _ in range(3))
        drift = np.zeros(len(at))
        for window in self._windows:
            struck = (cell == window.cell) & (at >= window.start) & (at < window.end)
            if window.kind is AnomalyKind.CONGESTION:
                congested |= struck
            elif window.kind is AnomalyKind.SLEEPING:
                asleep |= struck
            elif window.kind is AnomalyKind.OUTAGE:
                silent |= struck
            else:
                drift[struck] += (at[struck] - window.start) / _HOUR_US
        return congested, asleep, silent, drift

    def _numbers(
        self, index: I64, kind: Codes, cell: I64, technology: I64, load: F64, congested: Mask, drift_hours: F64
    ) -> dict[str, F64]:
        # A handover and a drop report the signal they met, a KPI sample everything.
        rows = np.flatnonzero((kind == KPI_SAMPLE) | (kind == HANDOVER) | (kind == DROP))
        cell, load, drift = cell[rows], load[rows], drift_hours[rows]
        signal, service = mix(self._keys["signal"], index[rows]), mix(self._keys["service"], index[rows])
        strength = _NORMAL[bits(signal, 0, 14)]
        values = {
            "rsrp_dbm": np.clip(self._cells.rsrp[cell] + 4 * strength - 0.5 * drift, -140, -44),
            "rsrq_db": np.clip(-11 - 2 * load + strength + 1.5 * _NORMAL[bits(signal, 14, 14)], -19.5, -3),
            "sinr_db": np.clip(
                14 - 5 * load + 2.5 * strength - 0.5 * drift + 2 * _NORMAL[bits(signal, 28, 14)], -20, 40
            ),
        }
        made = {name: self._column(rows, value, len(index)) for name, value in values.items()}
        blind = ~HAS_RSRP[technology]
        for column in made.values():
            column[blind] = np.nan

        samples = kind[rows] == KPI_SAMPLE
        rows, cell, load, drift, service = (part[samples] for part in (rows, cell, load, drift, service))
        busy = np.where(congested[rows], 4.0, 1.0)
        speed = (1 - 0.4 * load) * np.maximum(1 - 0.04 * drift, 0.2) / busy
        loss = _SPREAD[0.5][bits(service, 42, 14)] * (0.1 + 0.2 * load) + np.where(congested[rows], 3.0, 0.0)
        down = self._cells.down[cell] * speed * _SPREAD[0.25][bits(service, 14, 14)]
        values = {
            "latency_ms": self._cells.latency[cell] * (1 + 0.4 * load) * busy * _SPREAD[0.2][bits(service, 0, 14)],
            "throughput_up_kbps": 0.2 * down * _SPREAD[0.25][bits(service, 28, 14)],
            "throughput_down_kbps": down,
            "packet_loss_pct": np.minimum(loss, 100.0),
        }
        return made | {name: self._column(rows, value, len(index)) for name, value in values.items()}

    @staticmethod
    def _column(rows: I64, values: F64, size: int) -> F64:
        column = np.full(size, np.nan)
        column[rows] = np.rint(values * 100) / 100
        return column

    def _spoil(self, kinds: Codes, events: _Events) -> Mask:
        """Give each bad event its one defect; return which lose their id."""
        for code, bad in enumerate(_BAD_KINDS):
            rows = np.flatnonzero(kinds == _FIRST_BAD + code)
            if bad is BadKind.UNKNOWN_EVENT_TYPE:
                events.kind[rows] = UNKNOWN_TYPE
            elif bad is BadKind.SUBSCRIBER_NOT_E164:
                events.subscriber[rows] = self._spec.subscribers
            elif bad is BadKind.RADIO_OUT_OF_RANGE:
                events.numbers["rsrp_dbm"][rows] = 99.0
            elif bad is BadKind.SERVICE_OUT_OF_RANGE:
                events.numbers["latency_ms"][rows] = -1.0
            elif bad is BadKind.PAYLOAD_NOT_JSON:
                events.payload[rows] = self._spec.cells + len(_OTHER_PAYLOADS)
            elif bad is BadKind.EVENT_TIME_WINDOW:
                events.at[rows] -= _OLD_US
        no_id: Mask = kinds == _FIRST_BAD + _BAD_KINDS.index(BadKind.MISSING_EVENT_ID)
        return no_id

    def _table(self, index: I64, events: _Events, no_id: Mask) -> pa.Table:
        codes = {
            "event_type": events.kind,
            "outcome": events.outcome,
            "cell_id": events.cell,
            "technology": events.technology,
            "severity": events.severity,
            "subscriber": events.subscriber,
            "cause": events.cause,
            "payload": events.payload,
        }
        columns = {name: self._texts[name].take(_nullable(code)) for name, code in codes.items()}
        columns["event_id"] = _event_ids(self._identity, index, no_id)
        columns["event_at"] = pa.array(events.at, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        columns["source_system"] = pa.repeat(pa.scalar(SOURCE_SYSTEM), len(index))
        for name, values in events.numbers.items():
            columns[name] = pa.array(values, from_pandas=True)
        return pa.table([columns[name] for name in EVENT_SCHEMA.names], schema=EVENT_SCHEMA)


_STREAMS = ("kind", "source", "place", "late", "event", "subscriber", "signal", "service")


def _cause_codes() -> tuple[I64, I64, list[str]]:
    """Return by event type the first cause and their number, and all causes, the one of an outage last."""
    first, count = np.zeros(len(_TYPES), dtype=np.int64), np.zeros(len(_TYPES), dtype=np.int64)
    texts: list[str] = []
    for kind, causes in _CAUSES:
        first[kind], count[kind] = len(texts), len(causes)
        texts += causes
    return first, count, [*texts, _OUTAGE_CAUSE]


def _nullable(codes: Codes) -> pa.Array:
    return pa.array(codes, pa.int64(), mask=codes == _NONE)


_HEX = np.array([f"{value:02x}".encode() for value in range(256)]).view(np.uint16)
_ID_WIDTH = 21


def _event_ids(identity: int, index: I64, empty: Mask) -> pa.Array:
    """Return ids of 8 hexadecimal digits of the stream, a dash, and 12 of the message; some of them empty."""
    text = np.empty((len(index), _ID_WIDTH), dtype=np.uint8)
    text[:, :9] = np.frombuffer(f"{identity:08x}-".encode(), dtype=np.uint8)
    octets = index.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:]
    text[:, 9:] = _HEX[octets].view(np.uint8)
    lengths = np.where(empty, 0, _ID_WIDTH)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    data = text[~empty] if empty.any() else text
    return pa.StringArray.from_buffers(len(index), pa.py_buffer(offsets), pa.py_buffer(data))
