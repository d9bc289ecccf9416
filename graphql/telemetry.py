"""What the API tells about itself."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0)


class Telemetry:
    """The metrics of one process; docs/api.md lists them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "telestream_api_requests", "Requests by their outcome: ok, or the code of the first error", ["code"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "telestream_api_request_seconds", "Time to answer a request", buckets=_SECONDS, registry=self.registry
        )
        self.in_flight = Gauge("telestream_api_in_flight", "Requests being answered", registry=self.registry)
        self.cache_hits = Counter("telestream_api_cache_hits", "Answers from the cache", registry=self.registry)
        self.cache_misses = Counter(
            "telestream_api_cache_misses", "Answers that had to be computed, of those that may be cached",
            registry=self.registry,
        )  # fmt: skip
        self.sockets = Gauge("telestream_api_sockets", "Open WebSockets", registry=self.registry)
        self.subscriptions = Gauge("telestream_api_subscriptions", "Running subscriptions", registry=self.registry)
        self.statements = Gauge(
            "telestream_api_statements", "Statements sent to the database since the start", registry=self.registry
        )
        self.audit_waiting = Gauge(
            "telestream_api_audit_waiting", "Rows that wait to be written to the access log", registry=self.registry
        )
        self.redis_up = Gauge("telestream_api_redis_up", "Whether the cache answers", registry=self.registry)

    def text(self) -> bytes:
        """Return the metrics as Prometheus scrapes them."""
        return generate_latest(self.registry)
