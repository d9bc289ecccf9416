"""Tells Prometheus how the database is: how fresh, how good, what waits; a look serves all scrapes of ten seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from telestream import metrics
from telestream.db.connection import Connection, connect, translated
from telestream.errors import TelestreamError
from telestream.metrics import Metric

_log = logging.getLogger(__name__)

ROLE = "telestream_engineer"
# Several Prometheus servers, or an impatient one, share a look.
_SECONDS = 10.0
# A look that waits for a lock tells nothing; the next one may.
_TIMEOUT = "5s"

# What metrics are read with: values of their labels, then the value of each; null: there is none.
_QUERIES: dict[tuple[Metric, ...], str] = {
    (metrics.NEWEST_EVENT, metrics.LAST_LOAD): (
        "SELECT f.dataset, extract(EPOCH FROM f.newest_event_at), extract(EPOCH FROM f.last_loaded_at)"
        " FROM ops.freshness AS f"
    ),
    # By dataset, as the index on ops.batch has it.
    (metrics.QUALITY_SCORE,): (
        "SELECT f.dataset, b.score FROM ops.freshness AS f CROSS JOIN LATERAL ("
        " SELECT 1 - sum(b.rows_quarantined) / nullif(sum(b.rows_in), 0) AS score FROM ops.batch AS b"
        " WHERE b.dataset = f.dataset AND b.finished_at > now() - interval '1 day' AND b.source_kind <> 'replay') AS b"
    ),
    (metrics.BACKLOG, metrics.BACKLOG_AGE): (
        "SELECT b.what, b.items, greatest(0, extract(EPOCH FROM now() - b.oldest_at)) FROM ops.backlog() AS b"
    ),
    (metrics.INCIDENTS,): (
        "SELECT d.dataset, count(i.incident_id) FROM (SELECT DISTINCT e.dataset FROM quality.expectation AS e) AS d"
        " LEFT JOIN quality.incident AS i ON d.dataset = i.dataset AND i.ended_at IS NULL GROUP BY d.dataset"
    ),
    (metrics.TASK_OVERDUE,): "SELECT s.task, s.is_overdue::integer FROM analytics.task_status AS s",
    (metrics.SIZE,): "SELECT pg_database_size(current_database())",
}


class DatabaseCollector(Collector):
    """Collects the metrics of one database for a registry; a scrape of a database that is away has `up` 0 alone.

    Args:
        url: the database; the login must hold the role engineer, or be the owner.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._looked_at = float("-inf")
        self._found: list[GaugeMetricFamily] = []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return what the last look found, ten seconds old at most."""
        with self._lock:
            if time.monotonic() >= self._looked_at + _SECONDS:
                self._found = self._look()
                self._looked_at = time.monotonic()
            return iter(self._found)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Return the metrics without values: to register is no reason to look."""
        return iter(_families(tuple(metrics.of("database")), []))

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._disconnect()

    def _look(self) -> list[GaugeMetricFamily]:
        try:
            with translated(self._url):
                connection = self._open()
                found = [
                    family
                    for read, query in _QUERIES.items()
                    for family in _families(read, connection.execute(query).fetchall())
                ]
        except TelestreamError as exc:
            _log.warning("the database cannot be looked at: %s. %s", exc, exc.detail or "")
            self._disconnect()
            return _families((metrics.DATABASE_UP,), [(0,)])
        return [*found, *_families((metrics.DATABASE_UP,), [(1,)])]

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._url, role=ROLE, autocommit=True)
            for name in ("statement_timeout", "lock_timeout"):
                self._connection.execute("SELECT set_config(%s, %s, false)", (name, _TIMEOUT))
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _families(read: tuple[Metric, ...], rows: list[tuple[Any, ...]]) -> list[GaugeMetricFamily]:
    """Return metrics that have their labels in common, from rows of these labels and a value for each."""
    families = [GaugeMetricFamily(metric.full_name, metric.help, labels=metric.labels) for metric in read]
    for row in rows:
        labels, values = row[: -len(read)], row[-len(read) :]
        for family, value in zip(families, values, strict=True):
            if value is not None:
                family.add_metric(labels, float(value))
    return families
