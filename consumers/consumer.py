"""The consumer: polls, hands batches to its writers, and keeps claims, buffers and back-pressure in order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from telestream import tracing
from telestream.consumers.bad_share import BadShare
from telestream.consumers.broker import Broker, Messages
from telestream.consumers.latency import Latency
from telestream.consumers.ownership import claim, gap_error, move
from telestream.consumers.prepare import Batch, Claim, Prepared
from telestream.consumers.telemetry import HealthWatch, Stage, Telemetry
from telestream.consumers.writer import Writer, Written
from telestream.errors import FencedError, TransientError

_log = logging.getLogger(__name__)

# How long a poll waits when nothing else is due; bounds how late a finished batch is noticed.
_POLL_SECONDS = 0.02
_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 5.0
# A log counts as read to its end when it has been silent this long; several fetches fit in.
_QUIET_SECONDS = 0.5


@dataclass(frozen=True)
class Limits:
    """How batches are cut.

    Attributes:
        batch_rows: messages after which a batch is written.
        linger_s: a message waits no longer than this for others to join its batch.
        accept_gap: go on where the log has lost messages that were not read.
    """

    batch_rows: int = 20_000
    linger_s: float = 0.15
    accept_gap: bool = False


@dataclass
class Totals:
    """What a consumer has done; messages = rows_in + dead, rows_in = loaded + duplicate + quarantined."""

    batches: int = 0
    messages: int = 0
    rows_in: int = 0
    loaded: int = 0
    duplicate: int = 0
    quarantined: int = 0
    late: int = 0
    dead: int = 0
    first_commit: float = 0.0
    last_commit: float = 0.0
    latency: Latency = field(default_factory=Latency)

    def add(self, batch: Batch, written: Written, now: float) -> None:
        """Add a batch that was committed at Unix time `now`."""
        self.batches += 1
        self.messages += len(batch)
        self.first_commit = self.first_commit or now
        self.last_commit = now
        for part in batch.messages:
            for sent_ms, messages in part.sent:
                self.latency.add(now - sent_ms / 1000, messages)
        for name in ("rows_in", "loaded", "duplicate", "quarantined", "late", "dead"):
            setattr(self, name, getattr(self, name) + getattr(written, name))


@dataclass
class _Lane:
    """A writer and the batch it is at."""

    writer: Writer
    batch: Batch | None = None
    future: Future[tuple[Prepared, Written]] | None = None


@dataclass
class _Buffer:
    """Messages of one partition that wait for their batch."""

    parts: list[Messages] = field(default_factory=list)
    rows: int = 0
    since: float = 0.0

    def add(self, messages: Messages, now: float) -> None:
        if not self.rows:
            self.since = now
        self.parts.append(messages)
        self.rows += len(messages)

    def take(self, rows: int) -> Messages:
        """Take at most `rows` messages from the front as one."""
        taken: list[Messages] = []
        while self.parts and rows > 0:
            part = self.parts.pop(0)
            if len(part) > rows:
                head, tail = _split(part, rows)
                self.parts.insert(0, tail)
                part = head
            taken.append(part)
            rows -= len(part)
            self.rows -= len(part)
        return _joined(taken)


class Consumer:
    """Reads one topic into the database; `run` is the main thread, each writer has a thread of its own.

    A partition always belongs to the same writer, so its batches follow each other; partitions of different
    writers are written side by side.

    Args:
        url: the database.
        broker: where messages come from.
        dataset: name of what the topic holds.
        writers: what writes batches, one thread each.
        prepare: makes of a batch what is written.
        bad_share: stops the consumer when too much cannot be decoded.
        limits: how batches are cut.
        owner: who this consumer is, for people.
        telemetry: where it counts.
        health: where it reports how it is.
        after_commit: told the incarnation on the main thread after each commit, must not take long.
    """

    def __init__(
        self,
        url: str,
        broker: Broker,
        dataset: str,
        writers: Sequence[Writer],
        prepare: Callable[[Batch], Prepared],
        bad_share: BadShare,
        limits: Limits,
        owner: str,
        telemetry: Telemetry,
        health: HealthWatch,
        after_commit: Callable[[str], None],
    ) -> None:
        self._url = url
        self._broker = broker
        self._dataset = dataset
        self._lanes = [_Lane(writer) for writer in writers]
        self._prepare = prepare
        self._bad_share = bad_share
        self._limits = limits
        self._owner = owner
        self._telemetry = telemetry
        self._health = health
        self._after_commit = after_commit
        self._incarnation = ""
        self._claims: dict[int, Claim] = {}
        self._unclaimed: set[int] = set()
        self._buffers: dict[int, _Buffer] = {}
        self._paused: set[int] = set()
        self._stop = threading.Event()
        self._claim_delay = 0.0
        self._claim_at = 0.0
        self._heard_at = time.monotonic()
        self.totals = Totals()

    def run(self, stop: threading.Event, *, drain: bool = False) -> Totals:
        """Consume until `stop` is set, or with `drain` until everything that is there has been read.

        The batch in flight is finished; what was polled and not begun is left in the log.

        Raises:
            FencedError: another consumer has claimed partitions that this one thinks its own.
            BadShareError: too many messages cannot be decoded.
            GapError: messages were removed before they were read.
            TelestreamError: what else makes going on useless.
        """
        self._stop = stop
        with ThreadPoolExecutor(len(self._lanes), thread_name_prefix="writer") as pool:
            try:
                while not stop.is_set():
                    self._once(pool)
                    if drain and self._is_drained():
                        break
            except BaseException:
                self._finish()
                raise
            failure = self._finish()
        if failure is not None:
            raise failure
        return self.totals

    def _once(self, pool: ThreadPoolExecutor) -> None:
        try:
            with self._telemetry.timed(Stage.POLL):
                polled = self._broker.poll(_POLL_SECONDS)
        except TransientError as exc:
            _log.warning("%s: %s", exc, exc.detail)
            self._stop.wait(_FIRST_DELAY_SECONDS)
            return
        self._health.polled()
        if polled.revoked:
            self._give_up(polled.revoked)
        if polled.assigned:
            self._unclaimed.update(polled.assigned)
            self._broker.pause(polled.assigned)
        if polled.messages or polled.assigned:
            self._heard_at = time.monotonic()
        for messages in polled.messages:
            self._accept(messages)
        for lane in self._lanes:
            self._collect(lane)
        if self._unclaimed:
            self._claim_waiting()
        self._dispatch(pool)
        self._balance()

    # Partitions ---------------------------------------------------------------------------------

    def _give_up(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._unclaimed.discard(partition)
            self._claims.pop(partition, None)
            self._buffers.pop(partition, None)
            self._paused.discard(partition)
            self._telemetry.forget_partition(self._broker.topic, partition)
        _log.info("partitions %s of %s went to others", _listed(partitions), self._broker.topic)

    def _claim_waiting(self) -> None:
        """Claim what was assigned; tried again later when database or broker do not answer."""
        now = time.monotonic()
        if now < self._claim_at:
            return
        partitions = sorted(self._unclaimed)
        try:
            incarnation = self._broker.incarnation()
            if self._claims and incarnation != self._incarnation:
                self._claim_anew(f"{self._broker.topic} was made again, or the broker lost it")
                partitions = sorted(self._unclaimed)
            self._incarnation = incarnation
            claims = claim(
                self._url,
                self._broker,
                self._incarnation,
                partitions,
                self._owner,
                accept_gap=self._limits.accept_gap,
            )
        except TransientError as exc:
            if not self._claim_delay:
                _log.warning("partitions %s wait to be claimed: %s. %s", _listed(partitions), exc, exc.detail)
            self._claim_delay = min(max(2 * self._claim_delay, _FIRST_DELAY_SECONDS), _LONGEST_DELAY_SECONDS)
            self._claim_at = now + self._claim_delay
            return
        self._claim_delay = 0.0
        for one in claims:
            self._claims[one.partition] = one
            self._buffers[one.partition] = _Buffer()
        self._unclaimed.clear()
        self._heard_at = time.monotonic()  # it is silent only from now on
        self._paused.difference_update(partitions)
        self._broker.resume(partitions)
        _log.info("claimed partitions %s of %s", _listed(partitions), self._broker.topic)

    def _claim_anew(self, why: str) -> None:
        """Claim all partitions again and read on where the database says."""
        _log.warning("%s; claiming its partitions anew", why)
        partitions = sorted(self._claims)
        for partition in partitions:
            del self._claims[partition], self._buffers[partition]
        self._unclaimed.update(partitions)
        self._broker.pause(partitions)

    # Messages -----------------------------------------------------------------------------------

    def _accept(self, messages: Messages) -> None:
        buffer = self._buffers.get(messages.partition)
        if buffer is None or not len(messages):
            return  # no longer, or not yet, ours
        expected = buffer.parts[-1].next_offset if buffer.parts else self._expected(messages.partition)
        found = messages.offsets[0]
        if found != expected and not self._goes_on(messages.partition, expected, found):
            return
        self._telemetry.polled(self._broker.topic, len(messages))
        buffer.add(messages, time.monotonic())

    def _goes_on(self, partition: int, expected: int, found: int) -> bool:
        """Tell whether messages from `found` on follow those before `expected`.

        Markers of transactions and compaction leave gaps. A log that was cut off, truncated or made again lets the
        client begin at its start.
        """
        try:
            first, _ = self._broker.log_range([partition])[partition]
            if first <= expected < found:
                return True
            if not self._is_same_topic():
                return False
            if not self._limits.accept_gap:
                raise gap_error(self._broker.topic, partition, expected, found)
            if expected == self._claims[partition].next_offset:
                self._claims[partition] = move(
                    self._url, self._broker.topic, self._incarnation, self._claims[partition], found
                )
                return True
        except FencedError:
            raise
        except TransientError as exc:
            # What was polled is let go; only a new claim reads it again.
            self._claim_anew(f"{self._broker.topic}, partition {partition}, may have a gap, but {exc}")
            return False
        self._claim_anew(f"{self._broker.topic}, partition {partition}, has a gap")
        return False

    def _expected(self, partition: int) -> int:
        """Return the offset after the last message that a writer has or had."""
        batch = self._lane(partition).batch
        if batch is not None and partition in batch.claims and self._is_ours(batch, partition):
            return next(part.next_offset for part in batch.messages if part.partition == partition)
        return self._claims[partition].next_offset

    def _lane(self, partition: int) -> _Lane:
        return self._lanes[partition % len(self._lanes)]

    def _dispatch(self, pool: ThreadPoolExecutor) -> None:
        now = time.monotonic()
        for number, lane in enumerate(self._lanes):
            if lane.future is not None:
                continue
            mine = {p: b for p, b in self._buffers.items() if p % len(self._lanes) == number and b.rows}
            rows = sum(buffer.rows for buffer in mine.values())
            if not rows or (
                rows < self._limits.batch_rows
                and now - min(buffer.since for buffer in mine.values()) < self._limits.linger_s
            ):
                continue
            try:
                if not self._is_same_topic():
                    return
            except TransientError:
                return  # the messages wait
            # Each partition its share, so that none runs ahead of the others in event time.
            share = max(1, self._limits.batch_rows * 2 // len(mine))
            parts: list[Messages] = []
            room = self._limits.batch_rows
            for buffer in sorted(mine.values(), key=lambda one: one.since):
                if room > 0:
                    parts.append(buffer.take(min(share, room)))
                    buffer.since = now if not buffer.rows else buffer.since
                    room -= len(parts[-1])
            claims = {part.partition: self._claims[part.partition] for part in parts}
            lane.batch = Batch(self._incarnation, self._broker.topic, parts, claims)
            lane.future = pool.submit(self._work, lane.writer, lane.batch)

    def _is_same_topic(self) -> bool:
        """Tell whether what was polled is still of the topic whose offsets we hold.

        Asked after the poll and before the commit, so that messages of a topic that was made again in between are
        never counted by the offsets of the old one.

        Raises:
            TransientError: the broker does not answer.
        """
        if self._broker.incarnation() != self._incarnation:
            self._claim_anew(f"{self._broker.topic} was made again, or the broker lost it")
            return False
        return True

    def _work(self, writer: Writer, batch: Batch) -> tuple[Prepared, Written]:
        """On a writer's thread: prepare and write a batch, as one trace."""
        with tracing.batch(
            f"consume {self._dataset}", messaging__destination__name=batch.topic, telestream__messages=len(batch)
        ):
            return self._write(writer, batch)

    def _write(self, writer: Writer, batch: Batch) -> tuple[Prepared, Written]:
        """Prepare and write a batch, again and again while the database is away."""
        delay = 0.0
        prepared: Prepared | None = None
        again = False
        while True:
            try:
                if prepared is None:
                    with self._telemetry.timed(Stage.DECODE):
                        prepared = self._prepare(batch)
                    self._bad_share.check(
                        len(batch), len(prepared.bad), prepared.bad[-1].detail if prepared.bad else ""
                    )
                with self._telemetry.timed(Stage.COMMIT):
                    written = writer.write(batch, prepared, again=again)
            except FencedError:
                raise
            except TransientError as exc:
                again = prepared is not None
                self._health.database_lost()
                if not delay:
                    _log.warning("a batch of %d messages waits: %s. %s", len(batch), exc, exc.detail)
                delay = min(max(2 * delay, _FIRST_DELAY_SECONDS), _LONGEST_DELAY_SECONDS)
                if self._stop.wait(delay):
                    raise
                continue
            self._health.database_answered()
            if delay:
                _log.info("batches are written again")
            return prepared, written

    def _collect(self, lane: _Lane) -> None:
        """Take note of what became of a writer's batch, if it is done."""
        if lane.future is None or not lane.future.done():
            return
        future, batch = lane.future, lane.batch
        assert batch is not None  # set together with the future
        lane.future = lane.batch = None
        try:
            prepared, written = future.result()
        except FencedError:
            ours = [partition for partition in batch.claims if self._is_ours(batch, partition)]
            if len(ours) == len(batch.claims):
                self._telemetry.fenced(len(batch.claims))
                self._health.fenced()
                raise
            # Some were given to another consumer, or claimed anew; what is still ours is read again.
            if ours:
                self._claim_anew(f"a batch lost some of its partitions of {batch.topic}")
            return
        self.totals.add(batch, written, written.committed_at)
        self._telemetry.committed(
            self._dataset,
            loaded=written.loaded,
            duplicate=written.duplicate,
            quarantined=written.quarantined,
            late=written.late,
        )
        for part in batch.messages:
            for sent_ms, _ in part.sent:
                self._telemetry.latency(batch.topic, written.committed_at - sent_ms / 1000)
        for one in prepared.bad:
            self._telemetry.dead_lettered(batch.topic, one.reason)
        for after, log_end in zip(prepared.claims, prepared.log_ends, strict=True):
            if self._is_ours(batch, after.partition):
                self._claims[after.partition] = after
                self._telemetry.lag(batch.topic, after.partition, log_end - after.next_offset)
        self._after_commit(batch.incarnation)

    def _is_ours(self, batch: Batch, partition: int) -> bool:
        """Tell whether the claim of a batch's partition is the one we hold now; each topic counts epochs anew."""
        current = self._claims.get(partition)
        return (
            current is not None
            and batch.incarnation == self._incarnation
            and batch.claims[partition].epoch == current.epoch
        )

    def _balance(self) -> None:
        """Pause what has two batches waiting, resume what has less than one."""
        for number in range(len(self._lanes)):
            mine = [p for p in self._buffers if p % len(self._lanes) == number]
            rows = sum(self._buffers[p].rows for p in mine)
            if rows >= 2 * self._limits.batch_rows and not self._paused.issuperset(mine):
                self._broker.pause(mine)
                self._paused.update(mine)
            elif rows < self._limits.batch_rows and self._paused.intersection(mine):
                self._broker.resume(mine)
                self._paused.difference_update(mine)
        self._telemetry.paused(len(self._paused))

    def _is_drained(self) -> bool:
        if self._unclaimed or not self._claims or time.monotonic() - self._heard_at < _QUIET_SECONDS:
            return False
        if any(lane.future is not None for lane in self._lanes) or any(b.rows for b in self._buffers.values()):
            return False
        self._heard_at = time.monotonic()  # asked again as late
        try:
            ends = {p: end for p, (_, end) in self._broker.log_range(sorted(self._claims)).items()}
            positions = self._broker.positions(sorted(self._claims))
        except TransientError:
            return False
        # One that has been taken away meanwhile has no position: the next poll tells.
        return all(positions.get(partition, -1) >= end for partition, end in ends.items())

    def _finish(self) -> Exception | None:
        """Wait for the batches in flight, so that the next consumer finds their offsets moved.

        Returns what went wrong with one of them, unless it would have been tried again.
        """
        self._stop.set()
        failure: Exception | None = None
        for lane in self._lanes:
            if lane.future is not None:
                lane.future.exception()
            try:
                self._collect(lane)
            except Exception as exc:
                _log.warning("the batch in flight was not written: %s", exc)
                if isinstance(exc, FencedError) or not isinstance(exc, TransientError):
                    failure = failure or exc
        for lane in self._lanes:
            lane.writer.close()
        self._broker.close()
        return failure


def _split(messages: Messages, rows: int) -> tuple[Messages, Messages]:
    cut = messages.offsets[rows]
    head = replace(
        messages,
        offsets=messages.offsets[:rows],
        keys=messages.keys[:rows],
        values=messages.values[:rows],
        next_offset=cut,
        sent=_sent(messages.sent, 0, rows),
    )
    tail = replace(
        messages,
        offsets=messages.offsets[rows:],
        keys=messages.keys[rows:],
        values=messages.values[rows:],
        sent=_sent(messages.sent, rows, len(messages)),
    )
    return head, tail


def _sent(runs: Sequence[tuple[int, int]], first: int, end: int) -> list[tuple[int, int]]:
    """Return the runs of the messages from `first` to before `end`."""
    cut = []
    start = 0
    for sent_ms, messages in runs:
        inside = min(end, start + messages) - max(first, start)
        if inside > 0:
            cut.append((sent_ms, inside))
        start += messages
    return cut


def _joined(parts: list[Messages]) -> Messages:
    if len(parts) == 1:
        return parts[0]
    return Messages(
        partition=parts[0].partition,
        offsets=[offset for part in parts for offset in part.offsets],
        keys=[key for part in parts for key in part.keys],
        values=[value for part in parts for value in part.values],
        next_offset=parts[-1].next_offset,
        log_end=parts[-1].log_end,
        sent=[run for part in parts for run in part.sent],
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
