"""Sends alerts to people by the channels of `ops.notification_channel`: at least once, each channel's in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from telestream.db.connection import Connection
from telestream.db.http_post import Answer
from telestream.db.notify_channels import Alert, Channel
from telestream.db.sole_connection import SoleConnection
from telestream.errors import TelestreamError

_log = logging.getLogger(__name__)

NOTIFIER_ROLE = "telestream_consumer"
_LOCK = (7_301_021, 1)
_INTERVAL_SECONDS = 1.0
_OUTAGE_SECONDS = 5.0
_LONGEST_DELAY_SECONDS = 300.0

_DUE = """
SELECT c.channel, c.attempts
FROM ops.notification_channel AS c
WHERE c.channel = ANY(%s) AND c.next_attempt_at <= clock_timestamp()
ORDER BY c.channel
"""
_WAITING = """
SELECT n.outbox_id, o.payload
FROM ops.notification AS n
INNER JOIN ops.outbox AS o ON n.outbox_id = o.outbox_id
WHERE n.channel = %s AND n.sent_at IS NULL AND n.refused IS NULL
ORDER BY n.outbox_id
LIMIT %s
"""


@dataclass
class Pass:
    """What one pass did: the numbers of alerts that were sent and refused."""

    sent: int = 0
    refused: int = 0


class Notifier:
    """Sends what waits in `ops.notification`; of several one works, and the others take over when it ends.

    A row is marked only once the receiver has taken it, so after a crash a message may come twice. What a receiver
    refuses for good is kept with its reason. One that cannot be reached is tried again, later each time; what waits
    for it keeps its order, and other channels go on.

    Args:
        url: the database.
        channels: by the names of `ops.notification_channel`.
    """

    def __init__(self, url: str, channels: Mapping[str, Channel]) -> None:
        self._channels = channels
        self._connection = SoleConnection(url, NOTIFIER_ROLE, _LOCK, "sends the notifications")

    def send_waiting(self) -> Pass:
        """Send all that can be sent now.

        Raises:
            TransientError: the database does not answer, or another notifier is at work.
        """
        done = Pass()
        with self._connection.using() as connection:
            for name, attempts in connection.execute(_DUE, (list(self._channels),)).fetchall():
                self._empty(connection, name, attempts, done)
        return done

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set; outages are waited for, with a line in the log at their begin and end."""
        is_away = False
        while not stop.is_set():
            try:
                self.send_waiting()
                is_away, pause = False, _INTERVAL_SECONDS
            except TelestreamError as exc:
                if not exc.transient:
                    raise
                if not is_away:
                    _log.warning("notifications wait: %s", exc)
                is_away, pause = True, _OUTAGE_SECONDS
            stop.wait(pause)

    def close(self) -> None:
        """Close the connection; another notifier may then begin."""
        self._connection.close()

    def _empty(self, connection: Connection, name: str, attempts: int, done: Pass) -> None:
        """Send what waits for a channel until nothing does, or it cannot be reached."""
        channel = self._channels[name]
        most = channel.most
        while rows := connection.execute(_WAITING, (name, most)).fetchall():
            ids = [outbox_id for outbox_id, _ in rows]
            answer = _sent(channel, [payload for _, payload in rows])
            if answer.outcome == "refused" and len(rows) > 1:
                most = 1  # to see which one it is about
                continue
            if answer.outcome == "later":
                if not attempts:
                    _log.warning("notifications by %s wait: %s", name, answer.problem)
                _put_off(connection, name, attempts, answer)
                return
            if answer.outcome == "taken":
                done.sent += len(ids)
            else:
                done.refused += len(ids)
                _log.error("%s has refused the alerts %s of ops.outbox: %s", name, ids, answer.problem)
            connection.execute(
                "UPDATE ops.notification SET sent_at = CASE WHEN %(problem)s::text IS NULL THEN clock_timestamp() END,"
                " refused = %(problem)s WHERE channel = %(name)s AND outbox_id = ANY(%(ids)s)",
                {"name": name, "ids": ids, "problem": None if answer.outcome == "taken" else answer.problem},
            )
            if attempts:
                attempts = 0
                _log.info("notifications by %s are sent again", name)
                connection.execute(
                    "UPDATE ops.notification_channel SET attempts = 0, problem = NULL WHERE channel = %s", (name,)
                )


def _sent(channel: Channel, alerts: list[Alert]) -> Answer:
    try:
        return channel.send(alerts)
    except (LookupError, TypeError, ValueError) as exc:
        # What cannot be written as a message would else be in the way of all that comes after it.
        return Answer("refused", f"an alert does not fit: {type(exc).__name__} {exc}")


def _put_off(connection: Connection, name: str, attempts: int, answer: Answer) -> None:
    delay = answer.wait if answer.wait is not None else min(2.0 ** min(attempts, 10), _LONGEST_DELAY_SECONDS)
    connection.execute(
        "UPDATE ops.notification_channel SET attempts = %s, problem = %s,"
        " next_attempt_at = clock_timestamp() + make_interval(secs => %s) WHERE channel = %s",
        (attempts + 1, answer.problem, delay, name),
    )
