"""Keeps the truth about a generated stream: what was sent, what of it is good, and how much falls where."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from telestream.consumers.generate.mixing import I64
from telestream.consumers.generate.spec import AnomalyKind, BadKind, NetworkSpec, Planted
from telestream.errors import UsageError

GENERATOR_VERSION = 1
"""Raised whenever the same spec gives other messages than before."""

EVENT_TYPES = ("kpi_sample", "rrc_setup", "handover", "attach", "detach", "drop", "alarm", "other")
BUCKET = timedelta(minutes=5)
_BUCKET_US = BUCKET // timedelta(microseconds=1)


@dataclass(frozen=True)
class Manifest:
    """The truth about one stream: messages = good + duplicates + bad; the late ones are good."""

    spec: NetworkSpec
    messages: int
    """Everything that is sent."""
    good: int
    """Events that must be stored, each once."""
    duplicates: int
    """Messages that repeat an earlier good one."""
    late: int
    """Good events that come 15 to 40 minutes after their event time."""
    bad: dict[BadKind, int]
    """Messages that must be refused, by the rule that refuses them."""
    silenced: int
    """Messages that planted anomalies swallowed: spec.events - messages."""
    by_type: dict[str, int]
    """Good events by event type."""
    buckets: dict[datetime, int]
    """Good events by the 5 minutes of their event time, those without any left out."""

    @property
    def bad_messages(self) -> int:
        """Messages that must be refused."""
        return sum(self.bad.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the manifest as it is written to a file: times as ISO 8601, durations in seconds."""
        spec = asdict(self.spec)
        _plain_times(spec)
        for planted in spec["anomalies"]:
            _plain_times(planted)
        return {
            "generator_version": GENERATOR_VERSION,
            **asdict(self),
            "spec": spec,
            "buckets": {bucket.isoformat(): count for bucket, count in self.buckets.items()},
        }

    def save(self, path: Path) -> None:
        """Write the manifest as JSON.

        Raises:
            UsageError: the file cannot be written.
        """
        try:
            path.write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")
        except OSError as exc:
            raise UsageError(f"cannot write {path}", hint="Name a file in a folder you can write to.") from exc

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a manifest back.

        Raises:
            UsageError: the file is missing or is no manifest of this generator.
        """
        try:
            made = json.loads(path.read_text(encoding="utf-8"))
            if made.pop("generator_version") != GENERATOR_VERSION:
                raise ValueError("another version of the generator wrote it")
            spec = made.pop("spec")
            anomalies = tuple(
                Planted(**{**_real_times(planted), "kind": AnomalyKind(planted["kind"])})
                for planted in spec.pop("anomalies")
            )
            return cls(
                **{
                    **made,
                    "spec": NetworkSpec(**_real_times(spec), anomalies=anomalies),
                    "bad": {BadKind(kind): count for kind, count in made["bad"].items()},
                    "buckets": {datetime.fromisoformat(at): count for at, count in made["buckets"].items()},
                }
            )
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise UsageError(f"{path} is not a manifest of network events", detail=f"{exc}.") from exc


def _plain_times(fields: dict[str, Any]) -> None:
    fields["start"] = fields["start"].isoformat()
    fields["duration"] = fields["duration"].total_seconds()


def _real_times(fields: dict[str, Any]) -> dict[str, Any]:
    start, duration = datetime.fromisoformat(fields["start"]), timedelta(seconds=fields["duration"])
    return {**fields, "start": start, "duration": duration}


@dataclass(frozen=True)
class Sent:
    """What a stretch of the stream holds."""

    silenced: int
    duplicates: int
    late: int
    bad: dict[BadKind, int]
    good_at: I64
    """Event times of the good events, microseconds since 1970."""
    good_types: list[int]
    """Good events by type, in the order of EVENT_TYPES."""


class Tally:
    """Adds up a manifest while the stream is made."""

    def __init__(self, spec: NetworkSpec) -> None:
        self._spec = spec
        self._silenced = self._duplicates = self._late = self._good = 0
        self._bad: Counter[BadKind] = Counter()
        self._by_type = [0] * len(EVENT_TYPES)
        self._buckets: Counter[int] = Counter()

    def add(self, sent: Sent) -> None:
        """Add a stretch of the stream."""
        self._silenced += sent.silenced
        self._duplicates += sent.duplicates
        self._late += sent.late
        self._good += len(sent.good_at)
        self._bad.update(sent.bad)
        self._by_type = [total + count for total, count in zip(self._by_type, sent.good_types, strict=True)]
        buckets, counts = np.unique(sent.good_at // _BUCKET_US, return_counts=True)
        self._buckets.update(dict(zip(buckets.tolist(), counts.tolist(), strict=True)))

    @property
    def manifest(self) -> Manifest:
        """The truth about what was added so far."""
        return Manifest(
            spec=self._spec,
            messages=self._good + self._duplicates + self._bad.total(),
            good=self._good,
            duplicates=self._duplicates,
            late=self._late,
            bad={kind: self._bad[kind] for kind in BadKind if self._bad[kind]},
            silenced=self._silenced,
            by_type=dict(zip(EVENT_TYPES, self._by_type, strict=True)),
            buckets={
                datetime.fromtimestamp(bucket * BUCKET.total_seconds(), UTC): count
                for bucket, count in sorted(self._buckets.items())
            },
        )
