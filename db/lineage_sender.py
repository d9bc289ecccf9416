"""Sends queued lineage events to their server: at least once, those of a run in their order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from telestream.db.connection import Connection
from telestream.db.http_post import Answer
from telestream.db.sole_connection import SoleConnection
from telestream.errors import TelestreamError

_log = logging.getLogger(__name__)

SENDER_ROLE = "telestream_consumer"
_LOCK = (7301015, 2)
_BATCH = 100
_INTERVAL_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 300.0
_LONGEST_PAUSE_SECONDS = 60.0
# So many vain attempts in a row are the server's fault and not the events': all wait.
_IN_A_ROW = 3

_READY = """
SELECT o.event_id, o.run_id, o.attempts, e.event::text
FROM ops.lineage_outbox AS o
INNER JOIN ops.lineage_event AS e ON o.event_id = e.event_id AND o.recorded_at = e.recorded_at
WHERE o.parked_at IS NULL AND o.next_attempt_at <= clock_timestamp()
    AND NOT EXISTS (
        SELECT FROM ops.lineage_outbox AS p
        WHERE p.run_id = o.run_id AND p.event_id < o.event_id AND p.parked_at IS NULL
            AND p.next_attempt_at > clock_timestamp()
    )
ORDER BY o.event_id
LIMIT %s
"""


@dataclass
class Pass:
    """What one pass did; `pause` are the seconds after which another makes sense, 0 for at once."""

    sent: int = 0
    parked: int = 0
    failed: int = 0
    pause: float = 0.0
    problem: str = ""


class LineageSender:
    """Sends what waits in `ops.lineage_outbox`; of several one works, and the others take over when it ends.

    A row goes only once the server has taken its event, so after a crash an event may come twice. What the server
    refuses for good is parked with the reason; what it cannot take now is tried again, later each time, and holds
    up no other run.

    Args:
        url: the database.
        post: hands an event to the server.
    """

    def __init__(self, url: str, post: Callable[[str], Answer]) -> None:
        self._post = post
        self._connection = SoleConnection(url, SENDER_ROLE, _LOCK, "sends the lineage events")
        self._in_a_row = 0

    def send_ready(self) -> Pass:
        """Send what can be sent now, a hundred events at most.

        Raises:
            TransientError: the database does not answer, or another sender is at work.
        """
        done = Pass()
        with self._connection.using() as connection:
            connection.execute("SELECT ops.close_lineage()")
            held_up: set[UUID] = set()
            for event_id, run_id, attempts, event in connection.execute(_READY, (_BATCH,)).fetchall():
                if run_id in held_up:
                    continue
                answer = self._post(event)
                if answer.outcome == "later":
                    held_up.add(run_id)
                    self._put_off(connection, event_id, attempts, answer)
                    done.failed, done.problem = done.failed + 1, answer.problem
                    self._in_a_row += 1
                    if self._in_a_row >= _IN_A_ROW:
                        exponent = min(self._in_a_row - _IN_A_ROW, 6)
                        done.pause = min(max(answer.wait or 0.0, 2.0**exponent), _LONGEST_PAUSE_SECONDS)
                        break
                    continue
                self._in_a_row = 0
                if answer.outcome == "taken":
                    connection.execute("DELETE FROM ops.lineage_outbox WHERE event_id = %s", (event_id,))
                    done.sent += 1
                else:
                    self._park(connection, event_id, answer)
                    done.parked += 1
        return done

    def drain(self) -> Pass:
        """Send until nothing can be sent now.

        Raises:
            TransientError: the database does not answer, or another sender is at work.
        """
        total = Pass()
        while True:
            done = self.send_ready()
            total.sent += done.sent
            total.parked += done.parked
            total.failed += done.failed
            total.problem = done.problem or total.problem
            if done.pause or not done.sent + done.parked:
                return total

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set; outages of server and database are waited for, with a line in the log."""
        waiting = False
        while not stop.is_set():
            try:
                done = self.send_ready()
                problem, pause = done.problem, done.pause
                if not done.sent + done.parked:
                    pause = max(pause, _INTERVAL_SECONDS)
            except TelestreamError as exc:
                if not exc.transient:
                    raise
                done, problem, pause = Pass(), str(exc), 5 * _INTERVAL_SECONDS
            if problem and not waiting:
                _log.warning("lineage events wait: %s", problem)
            elif waiting and done.sent and not problem:
                _log.info("lineage events are sent again")
            waiting = bool(problem) or (waiting and not done.sent)
            stop.wait(pause)

    def close(self) -> None:
        """Close the connection; another sender may then begin."""
        self._connection.close()

    @staticmethod
    def _put_off(connection: Connection, event_id: int, attempts: int, answer: Answer) -> None:
        delay = answer.wait if answer.wait is not None else min(2.0 ** min(attempts, 10), _LONGEST_DELAY_SECONDS)
        connection.execute(
            "UPDATE ops.lineage_outbox SET attempts = attempts + 1, problem = %s,"
            " next_attempt_at = clock_timestamp() + make_interval(secs => %s) WHERE event_id = %s",
            (answer.problem, delay, event_id),
        )

    @staticmethod
    def _park(connection: Connection, event_id: int, answer: Answer) -> None:
        connection.execute(
            "UPDATE ops.lineage_outbox SET attempts = attempts + 1, problem = %s, parked_at = clock_timestamp()"
            " WHERE event_id = %s",
            (answer.problem, event_id),
        )
