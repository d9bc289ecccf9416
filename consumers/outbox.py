"""Publishes the alerts that the database holds: to Kafka at least once, then as a notice to Redis."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from telestream import channels
from telestream.consumers.cache import Cache
from telestream.consumers.dead_letters import publish_dead_letters
from telestream.consumers.sender import Message, Sender
from telestream.consumers.telemetry import Telemetry
from telestream.db.connection import Connection, translated
from telestream.errors import TelestreamError

_log = logging.getLogger(__name__)

# How soon an alert is found when nobody tells of it.
_INTERVAL_SECONDS = 1.0
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
# A publisher that hangs with rows locked loses them to the others after this.
_IDLE_LIMIT = "60s"
_TIMES = ("started_at", "window_start", "ended_at", "from_at", "to_at", "raised_at")

# Turns the fields of an alert, times as datetime, into the value of a Kafka message.
Encode = Callable[[dict[str, Any]], bytes]


class _Alert(NamedTuple):
    """A row of `ops.outbox`."""

    outbox_id: int
    topic: str
    key: str
    payload: dict[str, Any]


def alert_record(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an alert as its schema has them: times parsed.

    Raises:
        ValueError: a time is no ISO 8601 or has no offset.
    """
    record = dict(payload)
    for name in _TIMES:
        if record.get(name) is not None:
            record[name] = datetime.fromisoformat(record[name])
            if record[name].tzinfo is None:
                raise ValueError(f"{name} has no offset")
    return record


class OutboxPublisher:
    """Sends what waits in `ops.outbox` and `ops.dead_letter`; several may run, in one thread each.

    A row is marked only after the broker's acknowledgement, so that after a crash it is sent again, under the same
    `alert_id`. Alerts of one anomaly are sent in their order.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        sender: Sender,
        encode: Encode,
        cache: Cache,
        telemetry: Telemetry,
    ) -> None:
        self._connect = connect
        self._sender = sender
        self._encode = encode
        self._cache = cache
        self._telemetry = telemetry
        self._connection: Connection | None = None
        self._lost = False
        # Rows that do not fit the schema: left alone until the next start, or they would be in the way of all others.
        self._refused: list[int] = []

    def publish_pending(self, limit: int = 500) -> int:
        """Send the oldest waiting alerts, at most `limit`, and mark them once acknowledged; one transaction.

        Returns:
            The number of alerts sent, 0 when none is left that can be sent now.

        Raises:
            TransientError: database or broker do not answer; the alerts are sent again at the next call.
        """
        with self._using() as connection, connection.transaction():
            found = connection.execute(
                "SELECT outbox_id, topic, key, payload FROM ops.outbox"
                " WHERE published_at IS NULL AND outbox_id <> ALL(%s)"
                " ORDER BY outbox_id FOR UPDATE SKIP LOCKED LIMIT %s",
                (self._refused, limit),
            ).fetchall()
            if not found:
                return 0
            rows = [_Alert(*row) for row in found]
            # Waiting for the broker with rows locked must not last for ever, whatever becomes of this process.
            connection.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)", (_IDLE_LIMIT,))
            ready = list(self._encoded(self._in_order(connection, rows)))
            if ready:
                self._sender.send([message for _, message in ready])
                self._notify([row.payload for row, _ in ready])
                connection.execute(
                    "UPDATE ops.outbox SET published_at = clock_timestamp() WHERE outbox_id = ANY(%s)",
                    ([row.outbox_id for row, _ in ready],),
                )
        self._telemetry.alerts_published(len(ready))
        return len(ready)

    def publish_letters(self) -> int:
        """Send the oldest waiting dead letters, see `publish_dead_letters`."""
        with self._using() as connection:
            letters = publish_dead_letters(connection, self._sender)
        self._telemetry.dead_letters_published(letters)
        return letters

    def run(self, stop: threading.Event, wake: threading.Event) -> None:
        """Publish until `stop` is set: at once when `wake` is set, else every second.

        Who stops it sets `stop`, then `wake`; what waits is then published once more. Outages of database, broker
        and registry are waited for, with one line in the log at their beginning and one at their end.
        """
        delay = 0.0
        try:
            while True:
                stopping = stop.is_set()
                wake.clear()
                if (failure := self._pass()) is not None:
                    if not delay:
                        _log.warning("alerts and dead letters wait: %s. %s", failure, failure.detail or "")
                    delay = min(max(2 * delay, _FIRST_DELAY_SECONDS), _LONGEST_DELAY_SECONDS)
                    if stop.wait(delay):
                        return
                    continue
                if delay:
                    delay = 0.0
                    _log.info("alerts and dead letters are published again")
                if stopping:
                    return
                wake.wait(_INTERVAL_SECONDS)
        finally:
            self.close()

    def close(self) -> None:
        """Close the connections to database, broker and Redis; they are opened again when needed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._sender.close()
        self._cache.close()

    def _pass(self) -> TelestreamError | None:
        """Publish all that waits, count what is left, and return the first failure; the others are tried even so."""
        failures = []
        for step in (self._drain_alerts, self._drain_letters, self._count):
            try:
                step()
            except TelestreamError as exc:
                failures.append(exc)
        return failures[0] if failures else None

    def _drain_alerts(self) -> None:
        while self.publish_pending():
            pass

    def _drain_letters(self) -> None:
        while self.publish_letters():
            pass

    def _count(self) -> None:
        with self._using() as connection, connection.transaction():
            row = connection.execute(
                "SELECT (SELECT count(*) FROM ops.outbox WHERE published_at IS NULL),"
                " (SELECT count(*) FROM ops.dead_letter WHERE published_at IS NULL)"
            ).fetchone()
        assert row is not None  # two counts
        self._telemetry.outbox_pending(alerts=row[0], dead_letters=row[1])

    @contextmanager
    def _using(self) -> Iterator[Connection]:
        """Give the connection, opened if needed; one that is lost in the block is not used again."""
        if self._connection is None:
            self._connection = self._connect()
            if self._lost:
                self._lost = False
                self._telemetry.reconnected("database")
        connection = self._connection
        try:
            with translated():
                yield connection
        finally:
            if connection.closed:
                self._connection = None
                self._lost = True

    def _in_order(self, connection: Connection, rows: list[_Alert]) -> list[_Alert]:
        """Return the rows without those that would overtake one of their key that another publisher has locked."""
        earliest: dict[str, int] = dict(
            connection.execute(
                "SELECT key, min(outbox_id) FROM ops.outbox"
                " WHERE published_at IS NULL AND key = ANY(%s) AND outbox_id < %s AND outbox_id <> ALL(%s)"
                " GROUP BY key",
                ([row.key for row in rows], rows[-1].outbox_id, [*self._refused, *(row.outbox_id for row in rows)]),
            ).fetchall()
        )
        return [row for row in rows if row.key not in earliest or row.outbox_id < earliest[row.key]]

    def _encoded(self, rows: Iterable[_Alert]) -> Iterator[tuple[_Alert, Message]]:
        for row in rows:
            try:
                value = self._encode(alert_record(row.payload))
            except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as exc:
                self._refused.append(row.outbox_id)
                self._telemetry.alert_refused()
                _log.error("alert %s of ops.outbox does not fit its schema: %s", row.outbox_id, exc)
                continue
            yield row, Message(row.topic, row.key.encode(), value)

    def _notify(self, payloads: list[dict[str, Any]]) -> None:
        """Tell who listens now; Kafka has the alerts, so a failure here repeats nothing."""
        self._cache.run(
            lambda pipeline: [pipeline.publish(channels.ALERTS, json.dumps(payload)) for payload in payloads]
        )
