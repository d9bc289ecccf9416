"""What the API tells about itself."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from telestream import metrics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0)


class Telemetry:
    """The metrics of one process; docs/metrics.md lists them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = metrics.REQUESTS.counter(self.registry)
        self.seconds = metrics.REQUEST_SECONDS.histogram(self.registry, _SECONDS)
        self.in_flight = metrics.IN_FLIGHT.gauge(self.registry)
        self.cache_hits = metrics.CACHE_HITS.counter(self.registry)
        self.cache_misses = metrics.CACHE_MISSES.counter(self.registry)
        self.sockets = metrics.SOCKETS.gauge(self.registry)
        self.subscriptions = metrics.SUBSCRIPTIONS.gauge(self.registry)
        self.statements = metrics.STATEMENTS.gauge(self.registry)
        self.audit_waiting = metrics.AUDIT_WAITING.gauge(self.registry)
        self.redis_up = metrics.REDIS_UP.gauge(self.registry)

    def text(self) -> bytes:
        """Return the metrics as Prometheus scrapes them."""
        return generate_latest(self.registry)
