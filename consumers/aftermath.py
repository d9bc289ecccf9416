"""What follows a commit of network events: hours, anomalies and their alerts, hot metrics; never in its way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

from telestream.consumers.hot import HotMetrics, HotRow, HotTotals
from telestream.consumers.writer import CONSUMER_ROLE
from telestream.db.connection import Connection, connect, translated
from telestream.db.edition import edition
from telestream.errors import TelestreamError

_log = logging.getLogger(__name__)

# Commits closer together than this share one pass …
_PASS_SECONDS = 0.2
# … and without any commit windows close by the clock.
_IDLE_SECONDS = 1.0
# Hours are only read live on one edition; on the other this keeps them near, and the last pass brings them up to date.
_HOUR_SECONDS = 1.0
_WINDOWS_PER_CALL = 12
_REST_SECONDS = 1.0


class Aftermath:
    """Runs in a thread of its own; whatever fails here is logged and tried again, the stream goes on.

    Args:
        url: the database.
        topic: topic whose windows are judged.
        hot: hot metrics, or None for none.
        alert: called when there may be alerts to publish.
        now: the clock, with zone.

    Attributes:
        thread: the thread it runs in.
    """

    def __init__(
        self, url: str, topic: str, hot: HotMetrics | None, alert: Callable[[], None], now: Callable[[], datetime]
    ) -> None:
        self._url = url
        self._topic = topic
        self._hot = hot
        self._alert = alert
        self._now = now
        self._incarnation = ""
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._keeps_hours = False
        self._hours_at = 0.0
        self._failing = False
        self.thread = threading.Thread(target=self._run, name="aftermath", daemon=True)

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def committed(self, incarnation: str) -> None:
        """Tell that a batch was committed."""
        self._incarnation = incarnation
        self._wake.set()

    def close(self) -> None:
        """Make one last pass and end."""
        self._stop.set()
        self._wake.set()
        self.thread.join()

    def _run(self) -> None:
        while True:
            stopping = self._stop.is_set()
            self._wake.clear()
            try:
                self._pass(last=stopping)
                if self._failing:
                    self._failing = False
                    _log.info("anomalies and hot metrics are worked out again")
            except TelestreamError as exc:
                if not self._failing:
                    self._failing = True
                    _log.warning("anomalies and hot metrics wait: %s. %s", exc, exc.detail or "")
                self._disconnect()
                self._stop.wait(_REST_SECONDS)
            if stopping:
                break
            self._wake.wait(_IDLE_SECONDS)
            self._stop.wait(_PASS_SECONDS)
        self._disconnect()
        if self._hot is not None:
            self._hot.close()

    def _pass(self, *, last: bool) -> None:
        if not self._incarnation:
            return
        with translated(self._url):
            connection = self._open()
            self._detect(connection)
            if self._hot is not None:
                self._publish_hot(connection, self._hot)
            if self._keeps_hours and (last or time.monotonic() >= self._hours_at):
                connection.execute("SELECT rollup.refresh_table('network_1h')")
                self._hours_at = time.monotonic() + _HOUR_SECONDS

    def _detect(self, connection: Connection) -> None:
        windows = _WINDOWS_PER_CALL
        while windows == _WINDOWS_PER_CALL:
            row = connection.execute(
                "SELECT d.o_windows, d.o_opened FROM analytics.detect(analytics.stream_time(%s, %s, %s), %s) AS d",
                (self._incarnation, self._topic, self._now(), _WINDOWS_PER_CALL),
            ).fetchone()
            assert row is not None  # a function returns one row
            windows, opened = row
            if windows:
                self._alert()
            if opened:
                _log.info("%d anomalies opened", opened)

    def _publish_hot(self, connection: Connection, hot: HotMetrics) -> None:
        rows = connection.execute("SELECT * FROM ops.hot_windows()").fetchall()
        cells = [HotRow(*row) for row in rows if row[1] is not None]
        for row in rows:
            if row[1] is None:
                hot.publish(cells, HotTotals(row[0], *row[3:]))

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._url, role=CONSUMER_ROLE, autocommit=True)
            # Only the owner may refresh a continuous aggregate: there the scheduled job does.
            self._keeps_hours = edition(self._connection) != "community"
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
