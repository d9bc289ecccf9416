"""Reads a topic from Kafka: as a member of a consumer group, or given partitions without one."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import kafka
from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from telestream.consumers import record_batches
from telestream.consumers.broker import Messages, Polled
from telestream.errors import TerminalError, TransientError, UsageError

# Chunks (record batches) or records a poll returns at most; bytes are bounded by the fetch sizes.
_MAX_CHUNKS = 64
_MAX_RECORDS = 10_000
_FETCH_MAX_BYTES = 16 << 20
_PARTITION_FETCH_BYTES = 8 << 20
# A broker that is not there is told after this; kafka-python would look for it three times as long.
_BOOTSTRAP_MS = 10_000


class KafkaBroker:
    """One `KafkaConsumer` on one topic; offsets are never committed to Kafka, they live in the database.

    Args:
        options: what every client needs, see `kafka_options()`.
        topic: topic to read.
        group: consumer group; the broker then spreads the partitions over its members.
        partitions: read these without a group; empty: all. Exclusive with `group`.
        session_timeout_s: silence after which the group gives this member's partitions to others.

    Raises:
        UsageError: the topic has no such partition.
        TerminalError: there is no such topic, or the broker refuses the user.
        TransientError: the broker does not answer.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        topic: str,
        *,
        group: str | None = None,
        partitions: Sequence[int] | None = None,
        session_timeout_s: float = 10.0,
    ) -> None:
        self._options = dict(options)
        self._topic = topic
        self._address = options.get("bootstrap_servers")
        self._fast = record_batches.fast_reading_fits()
        # Filled by the client's own thread, taken by `poll`.
        self._events: deque[tuple[str, list[int]]] = deque()
        self._admin: KafkaAdminClient | None = None
        with self._translated():
            self._consumer = kafka.KafkaConsumer(
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                metrics_enabled=False,
                max_poll_records=_MAX_CHUNKS if self._fast else _MAX_RECORDS,
                fetch_max_bytes=_FETCH_MAX_BYTES,
                max_partition_fetch_bytes=_PARTITION_FETCH_BYTES,
                fetch_max_wait_ms=100,
                session_timeout_ms=int(session_timeout_s * 1000),
                heartbeat_interval_ms=int(session_timeout_s * 1000 / 5),
                reconnect_backoff_max_ms=2_000,
                bootstrap_timeout_ms=_BOOTSTRAP_MS,
                **self._options,
            )
            if self._fast:
                record_batches.install(self._consumer)
            existing = self._all_partitions()  # a group would wait in silence for a topic that does not exist
            if group is not None:
                self._consumer.subscribe([topic], listener=_Listener(self._events))
            else:
                chosen = list(partitions) if partitions else existing
                if unknown := sorted(set(chosen).difference(existing)):
                    raise UsageError(
                        f"the topic {topic} has no partition {', '.join(map(str, unknown))}",
                        hint=f"It has {existing[0]} to {existing[-1]}.",
                    )
                self._consumer.assign([TopicPartition(topic, number) for number in chosen])
                self._events.append(("assigned", chosen))

    @property
    def topic(self) -> str:
        """The topic."""
        return self._topic

    def incarnation(self) -> str:
        """Return cluster id and topic id."""
        with self._translated():
            if self._admin is None:
                self._admin = KafkaAdminClient(bootstrap_timeout_ms=_BOOTSTRAP_MS, **self._options)
            cluster = self._admin.describe_cluster().get("cluster_id") or ""
            described = self._admin.describe_topics([self._topic])
        topic = described[0] if described else {"error_code": kafka_errors.UnknownTopicOrPartitionError.errno}
        if topic["error_code"] == kafka_errors.UnknownTopicOrPartitionError.errno:
            raise TerminalError(
                f"the topic {self._topic} does not exist",
                detail=f"Broker {self._address}.",
                hint="Create it: `telestream topics create`.",
            )
        return f"{cluster}/{topic.get('topic_id') or ''}"

    def poll(self, timeout_s: float) -> Polled:
        """Return what has arrived; the messages of a partition assigned in this very poll are left for later."""
        if self._events:  # assigned by hand: nothing to wait for
            return self._polled({})
        record_batches.unpark(self._consumer)
        with self._translated():
            return self._polled(self._consumer.poll(timeout_ms=int(timeout_s * 1000)))

    def seek(self, partition: int, offset: int) -> None:
        """Read the partition from `offset` on, unless it has been taken away meanwhile: the next poll tells of that."""
        for key in self._assigned([partition]):
            self._consumer.seek(key, offset)

    def log_range(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return the first offset that is kept and the log end of each partition."""
        asked = [TopicPartition(self._topic, number) for number in partitions]
        with self._translated():
            first = self._consumer.beginning_offsets(asked)
            end = self._consumer.end_offsets(asked)
        # The embedded broker gives the first offset of the last batch as the end; what fetches tell is right.
        return {key.partition: (first[key], max(end[key], self._highwater(key))) for key in asked}

    def positions(self, partitions: Sequence[int]) -> dict[int, int]:
        """Return the offset from which each partition that is ours is read next, past markers that are no messages."""
        with self._translated():
            return {key.partition: self._consumer.position(key) or 0 for key in self._assigned(partitions)}

    def pause(self, partitions: Sequence[int]) -> None:
        """Read no more of these partitions until `resume`."""
        self._consumer.pause(*self._assigned(partitions))

    def resume(self, partitions: Sequence[int]) -> None:
        """Read these partitions again."""
        self._consumer.resume(*self._assigned(partitions))

    def close(self) -> None:
        """Leave the group and close the connections."""
        with contextlib.suppress(kafka_errors.KafkaError):
            self._consumer.close(autocommit=False)
        if self._admin is not None:
            with contextlib.suppress(kafka_errors.KafkaError):
                self._admin.close()

    def _assigned(self, partitions: Sequence[int]) -> list[TopicPartition]:
        assigned = self._consumer.assignment()
        return [key for number in partitions if (key := TopicPartition(self._topic, number)) in assigned]

    def _highwater(self, key: TopicPartition) -> int:
        return (self._consumer.highwater(key) or 0) if key in self._consumer.assignment() else 0

    def _all_partitions(self) -> list[int]:
        numbers = self._consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise TerminalError(
                f"the topic {self._topic} does not exist",
                detail=f"Broker {self._address}.",
                hint="Create it: `telestream topics create`.",
            )
        return sorted(numbers)

    def _polled(self, fetched: dict[TopicPartition, list[Any]]) -> Polled:
        revoked: set[int] = set()
        assigned: set[int] = set()
        while self._events:
            kind, numbers = self._events.popleft()
            if kind == "revoked":
                revoked.update(numbers)
                assigned.difference_update(numbers)
            else:
                assigned.update(numbers)
        skip = revoked | assigned
        return Polled(
            revoked=sorted(revoked),
            assigned=sorted(assigned),
            messages=[self._messages(key, parts) for key, parts in fetched.items() if key.partition not in skip],
        )

    def _messages(self, key: TopicPartition, parts: list[Any]) -> Messages:
        if self._fast:
            offsets = [offset for chunk in parts for offset in chunk.offsets]
            keys = [value for chunk in parts for value in chunk.keys]
            values = [value for chunk in parts for value in chunk.values]
            sent = [(chunk.sent_ms, len(chunk.offsets)) for chunk in parts]
        else:
            offsets = [record.offset for record in parts]
            keys = [record.key for record in parts]
            values = [record.value for record in parts]
            sent = [(record.timestamp, 1) for record in parts]
        # The position is past markers of transactions, which are no messages.
        next_offset = self._consumer.position(key) or offsets[-1] + 1
        log_end = max(self._highwater(key), next_offset)
        return Messages(key.partition, offsets, keys, values, next_offset, log_end, sent)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise our errors for kafka-python's."""
        try:
            yield
        except (
            kafka_errors.SaslAuthenticationFailedError,
            kafka_errors.TopicAuthorizationFailedError,
            kafka_errors.GroupAuthorizationFailedError,
        ) as exc:
            raise TerminalError(
                "the broker refused this user",
                detail=f"{self._address}: {type(exc).__name__}.",
                hint="Check TELESTREAM_KAFKA_USERNAME, TELESTREAM_KAFKA_PASSWORD and the access rights of the topic.",
            ) from exc
        except kafka_errors.KafkaError as exc:
            raise TransientError(
                "the broker does not answer",
                detail=f"{self._address}: {type(exc).__name__}.",
                hint="Start it (`telestream stack up` for the embedded one) or correct TELESTREAM_KAFKA_BOOTSTRAP.",
            ) from exc


class _Listener(kafka.ConsumerRebalanceListener):  # type: ignore[misc]
    """Records rebalances only: it runs on the client's thread, where nothing may take long."""

    def __init__(self, events: deque[tuple[str, list[int]]]) -> None:
        self._events = events

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        self._events.append(("revoked", [key.partition for key in revoked]))

    def on_partitions_lost(self, lost: Sequence[TopicPartition]) -> None:
        self.on_partitions_revoked(lost)

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._events.append(("assigned", [key.partition for key in assigned]))
