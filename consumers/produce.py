"""Sends many messages to Kafka fast: batched, in order by key, every failed delivery counted and told."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError
from kafka.partitioner.default import murmur2

from telestream.errors import TelestreamError, TerminalError, TransientError

_BATCH_BYTES = 256 * 1024
_LINGER_MS = 20
# The client bounds neither; it is some 30 MB of messages and what it keeps about them.
_MOST_PENDING = 50_000
_SLICES_PER_SECOND = 20
_CLOSE_SECONDS = 5.0


class TokenBucket:
    """Lets through `rate` units a second on average, and at most a second's worth at once after a pause."""

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._tokens = 0.0
        self._filled_at = clock()

    def take(self, units: int) -> None:
        """Wait until `units` may pass; more than a second's worth is paid back by a longer wait."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._filled_at) * self._rate, self._rate)
        self._filled_at = now
        self._tokens -= units
        if self._tokens < 0:
            self._sleep(-self._tokens / self._rate)


class Producer:
    """A Kafka producer for bulk: acks=all, idempotent, the messages of one key in order in one partition.

    Use it as a context manager; leaving it without an error waits for all acknowledgements.
    """

    def __init__(
        self,
        options: dict[str, Any],
        *,
        rate: float | None = None,
        compression: str | None = None,
        connect_timeout: float = 10.0,
        delivery_timeout: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect.

        Args:
            options: the arguments every Kafka client takes.
            rate: messages a second at most.
            compression: lz4, zstd, snappy or gzip; lz4, zstd and snappy need a package of their own.
            connect_timeout: seconds to find a broker in.
            delivery_timeout: seconds after which a message that is not acknowledged has failed.
            clock: seconds, for the rate.
            sleep: waits that many seconds, for the rate.

        Raises:
            TransientError: no broker answers.
        """
        self.sent = 0
        """Messages handed over so far, failed ones included."""
        self._bucket = TokenBucket(rate, clock=clock, sleep=sleep) if rate else None
        self._slice = max(1, int(rate / _SLICES_PER_SECOND)) if rate else _MOST_PENDING
        self._pending: deque[tuple[str, Any]] = deque()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._transient = True
        self._partitions: dict[str, dict[bytes, int]] = {}
        self._counts: dict[str, int] = {}
        self._timeout = delivery_timeout
        milliseconds = int(delivery_timeout * 1000)
        try:
            self._producer = KafkaProducer(
                **options,
                acks="all",
                enable_idempotence=True,
                compression_type=compression,
                linger_ms=_LINGER_MS,
                batch_size=_BATCH_BYTES,
                max_request_size=4 * _BATCH_BYTES,
                delivery_timeout_ms=milliseconds,
                request_timeout_ms=min(30_000, milliseconds * 4 // 5),
                max_block_ms=min(30_000, milliseconds),
                bootstrap_timeout_ms=int(connect_timeout * 1000),
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        except KafkaError as exc:
            raise _unreachable(exc) from exc

    def send_values(self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes]) -> None:
        """Hand over messages, at the rate given and no faster than the broker takes them.

        Args:
            topic: an existing topic.
            keys: one per value; a key always goes to the partition that Kafka's own clients choose for it.
            values: the messages.

        Raises:
            TransientError: no broker answers.
            TerminalError: there is no such topic.
        """
        partitions = self._partitions.setdefault(topic, {})
        count = self._partition_count(topic)
        for first in range(0, len(values), self._slice):
            some = slice(first, first + self._slice)
            if self._bucket is not None:
                self._bucket.take(len(values[some]))
            for key, value in zip(keys[some], values[some], strict=True):
                # The client hashes in Python, which is a third of the time of a send; keys are few.
                partition = None if key is None else partitions.get(key)
                if partition is None and key is not None:
                    partition = partitions[key] = (murmur2(key) & 0x7FFFFFFF) % count
                try:
                    future = self._producer.send(topic, value, key, None, partition)
                except KafkaError as exc:
                    self._failed(topic, exc)
                else:
                    self._pending.append((topic, future))
            self.sent += len(values[some])
            self._settle(_MOST_PENDING)

    def flush(self) -> None:
        """Wait until every message so far is acknowledged or has failed.

        Raises:
            TransientError: messages were not delivered for a reason that may pass.
            TerminalError: messages were not delivered for a reason that stays, such as their size.
        """
        try:
            self._producer.flush(self._timeout + _CLOSE_SECONDS)
        except KafkaTimeoutError as exc:
            raise _unreachable(exc) from exc
        self._settle(0)
        if self._failures:
            failures, self._failures = self._failures, Counter()
            kind: type[TelestreamError] = TransientError if self._transient else TerminalError
            raise kind(
                f"{failures.total():,} of {self.sent:,} messages were not delivered",
                detail="; ".join(f"{topic}: {count:,} x {name}" for (topic, name), count in failures.items()) + ".",
                hint="Send the same again: what did arrive is known by its event id.",
            )

    def close(self) -> None:
        """Close the connections; what was not acknowledged is dropped."""
        self._producer.close(_CLOSE_SECONDS)

    def __enter__(self) -> Producer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()

    def _partition_count(self, topic: str) -> int:
        if topic not in self._counts:
            try:
                found = self._producer.partitions_for(topic)
            except UnknownTopicOrPartitionError:
                found = None
            except KafkaError as exc:
                raise _unreachable(exc) from exc
            if not found:
                raise TerminalError(f"there is no topic {topic}", hint="Create it, or name another one.")
            self._counts[topic] = len(found)
        return self._counts[topic]

    def _settle(self, most: int) -> None:
        """Let go of what is done, and wait until at most `most` messages are not."""
        pending = self._pending
        while pending:
            topic, future = pending[0]
            if not future.is_done:
                if len(pending) <= most:
                    break
                try:
                    future.get(self._timeout + _CLOSE_SECONDS)
                except KafkaError as exc:
                    if not future.is_done:
                        raise _unreachable(exc) from exc
            pending.popleft()
            if future.failed():
                self._failed(topic, future.exception)

    def _failed(self, topic: str, error: BaseException) -> None:
        # The text of the error may quote the message, the name of its class does not.
        self._failures[topic, type(error).__name__] += 1
        self._transient = self._transient and bool(getattr(error, "retriable", False))


def _unreachable(error: KafkaError) -> TransientError:
    return TransientError(
        "the broker does not answer",
        detail=f"{type(error).__name__}.",
        hint="Start it (telestream stack up), or check TELESTREAM_KAFKA_BOOTSTRAP.",
    )
