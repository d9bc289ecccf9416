"""Sends messages to Kafka and returns when the broker has acknowledged every one of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from telestream.consumers.telemetry import Telemetry
from telestream.errors import TransientError

# The broker has this long to acknowledge; the client gives a message up before the wait for it ends.
TIMEOUT_SECONDS = 10.0
_GRACE_SECONDS = 2.0
_CLOSE_SECONDS = 1.0


@dataclass(frozen=True)
class Message:
    """A message to send: topic, key and value as bytes, headers by name."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Sender:
    """A producer that is opened when needed and thrown away after any failure, with what it still holds; one thread."""

    def __init__(
        self, options: Callable[[], dict[str, Any]], telemetry: Telemetry, *, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        """Remember how to reach the broker: `options` gives the arguments every Kafka client takes."""
        self._options = options
        self._telemetry = telemetry
        self._timeout = timeout
        self._producer: KafkaProducer | None = None
        self._lost = False

    def send(self, messages: Sequence[Message]) -> None:
        """Send the messages, those of one key in their order, and wait for all acknowledgements.

        Raises:
            TransientError: not all were acknowledged in time; some may be in the topic nevertheless.
        """
        try:
            self._send(self._open(), messages)
        except KafkaError as exc:
            self._lost = self._lost or self._producer is not None
            self._discard()
            # The text of the error may quote the message, the name of its class does not.
            raise TransientError(
                "the broker does not acknowledge",
                detail=f"{type(exc).__name__} on {', '.join(sorted({message.topic for message in messages}))}.",
                hint="Start it, and check TELESTREAM_KAFKA_BOOTSTRAP and the rights on the topic; nothing is lost.",
            ) from exc
        except BaseException:
            self._discard()
            raise

    def _open(self) -> KafkaProducer:
        if self._producer is None:
            milliseconds = int(self._timeout * 1000)
            self._producer = KafkaProducer(
                **self._options(),
                acks="all",
                allow_auto_create_topics=False,
                # One request at a time keeps the order of a key through retries.
                max_in_flight_requests_per_connection=1,
                delivery_timeout_ms=milliseconds,
                request_timeout_ms=milliseconds * 4 // 5,
                max_block_ms=milliseconds,
                bootstrap_timeout_ms=milliseconds,
                metrics_enabled=False,
            )
            if self._lost:
                self._lost = False
                self._telemetry.reconnected("broker")
        return self._producer

    def _send(self, producer: KafkaProducer, messages: Sequence[Message]) -> None:
        pending = [
            producer.send(message.topic, message.value, message.key, list(message.headers)) for message in messages
        ]
        producer.flush(self._timeout + _GRACE_SECONDS)
        for future in pending:
            future.get(timeout=0)

    def _discard(self) -> None:
        """Close the producer without what it still holds, which a later send repeats."""
        if self._producer is not None:
            # Its `close` waits for every message first, and some are never given up: the thread would stay for good.
            self._producer._sender.force_close()
        self.close()

    def close(self) -> None:
        """Close the producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError):
                producer.close(_CLOSE_SECONDS)
