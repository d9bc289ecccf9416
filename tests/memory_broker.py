"""A broker in memory that keeps what `Broker` promises, for what a real one does only rarely: gaps, retention, outages."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from telestream.consumers.broker import Messages, Polled
from telestream.errors import TerminalError, TransientError


@dataclass(frozen=True)
class Record:
    offset: int
    key: bytes | None
    value: bytes | None
    sent_ms: int


@dataclass
class Log:
    """The records of a partition; `first` is the offset it begins at, `end` that of the next record."""

    records: list[Record] = field(default_factory=list)
    first: int = 0
    end: int = 0


class MemoryTopic:
    """A topic and the groups that read it; `away` says that its broker does not answer."""

    def __init__(self, name: str, partitions: int) -> None:
        self.name = name
        self.away = False
        self.exists = True
        self.incarnation = f"memory/{uuid.uuid4()}"
        self.logs = [Log() for _ in range(partitions)]
        self.groups: dict[str, list[MemoryBroker]] = {}
        self.changed = threading.Condition()

    def produce(self, partition: int, key: bytes | None, value: bytes | None, *, seconds_ago: float = 0) -> None:
        with self.changed:
            log = self.logs[partition]
            log.records.append(Record(log.end, key, value, int((time.time() - seconds_ago) * 1000)))
            log.end += 1
            self.changed.notify_all()

    def skip(self, partition: int, offsets: int = 1) -> None:
        """Leave a gap, as markers of transactions and compaction do."""
        with self.changed:
            self.logs[partition].end += offsets

    def cut(self, partition: int, first: int) -> None:
        """Remove what lies before an offset, as retention does."""
        with self.changed:
            log = self.logs[partition]
            log.records = [record for record in log.records if record.offset >= first]
            log.first = first

    def truncate(self, partition: int, end: int) -> None:
        """Forget what lies from an offset on, as a restored broker does."""
        with self.changed:
            log = self.logs[partition]
            log.records, log.end = [record for record in log.records if record.offset < end], end

    def delete(self) -> None:
        with self.changed:
            self.exists = False

    def make_again(self) -> None:
        with self.changed:
            self.exists = True
            self.incarnation = f"memory/{uuid.uuid4()}"
            self.logs = [Log() for _ in self.logs]

    def require_answer(self) -> None:
        if self.away:
            raise TransientError("the broker does not answer", detail="It is away.")


class MemoryBroker:
    """A member of a group on one topic, or given partitions without one; at most `rows` of a partition in a poll.

    A rebalance takes away only what another member gets, and gives it only after it was taken away. Of a log's end it
    knows what its last reading told.
    """

    def __init__(
        self, topic: MemoryTopic, *, group: str | None = None, partitions: Sequence[int] = (), rows: int = 500
    ) -> None:
        self._topic = topic
        self._rows = rows
        self._members = topic.groups.setdefault(group or str(uuid.uuid4()), [])
        self._given = partitions or range(len(topic.logs))
        self._assigned: set[int] = set()
        self._positions: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._paused: set[int] = set()
        with topic.changed:
            self._members.append(self)

    @property
    def topic(self) -> str:
        return self._topic.name

    def incarnation(self) -> str:
        self._topic.require_answer()
        if not self._topic.exists:
            raise TerminalError(f"the topic {self.topic} does not exist")
        return self._topic.incarnation

    def poll(self, timeout_s: float) -> Polled:
        deadline = time.monotonic() + timeout_s
        with self._topic.changed:
            while True:
                self._topic.require_answer()
                revoked, assigned = self._rebalanced()
                messages = [] if assigned else [found for one in sorted(self._positions) if (found := self._read(one))]
                left = deadline - time.monotonic()
                if revoked or assigned or messages or left <= 0:
                    return Polled(revoked, assigned, messages)
                self._topic.changed.wait(left)

    def seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset

    def log_range(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        self._topic.require_answer()
        return {one: (self._topic.logs[one].first, self._ends.get(one, 0)) for one in partitions}

    def positions(self, partitions: Sequence[int]) -> dict[int, int]:
        return {one: self._positions[one] for one in partitions if one in self._positions}

    def pause(self, partitions: Sequence[int]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        self._paused.difference_update(partitions)

    def close(self) -> None:
        with self._topic.changed:
            self._members.remove(self)
            self._topic.changed.notify_all()

    def _rebalanced(self) -> tuple[list[int], list[int]]:
        """Return what this member loses and gets."""
        share = set(self._given[self._members.index(self) :: len(self._members)])
        others = set().union(*(member._assigned for member in self._members if member is not self))
        lost, gained = self._assigned - share, share - self._assigned - others
        self._assigned = (self._assigned - lost) | gained
        for partition in lost:
            self._positions.pop(partition, None)
            self._paused.discard(partition)
        if lost:
            self._topic.changed.notify_all()
        return sorted(lost), sorted(gained)

    def _read(self, partition: int) -> Messages | None:
        if partition in self._paused:
            return None
        log, position = self._topic.logs[partition], self._positions[partition]
        if not log.first <= position <= log.end:
            position = log.first  # as `auto_offset_reset="earliest"`
        records = [record for record in log.records if record.offset >= position][: self._rows]
        position = records[-1].offset + 1 if len(records) == self._rows else log.end
        self._positions[partition] = position
        self._ends[partition] = log.end
        if not records:
            return None
        return Messages(
            partition,
            [record.offset for record in records],
            [record.key for record in records],
            [record.value for record in records],
            position,
            log.end,
            [(sent, len(list(run))) for sent, run in itertools.groupby(record.sent_ms for record in records)],
        )
