"""What a consumer tells about itself: the list of its metrics, its health, and the HTTP server that shows both."""

from __future__ import annotations

import contextlib
import enum
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from telestream import tracing
from telestream.errors import TerminalError

# A second series per counter and histogram with the time of its creation would double what is scraped.
disable_created_metrics()  # type: ignore[no-untyped-call]

# A consumer that has not polled, or has had no database, for longer than this is not healthy.
PATIENCE_SECONDS = 60.0
# A client that does not finish its request is let go after this.
_REQUEST_SECONDS = 5.0
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


_LATENCIES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class Stage(enum.StrEnum):
    """The steps of a batch, in their order."""

    POLL = "poll"
    DECODE = "decode"
    STAGE = "stage"
    REFINE = "refine"
    COMMIT = "commit"


@dataclass(frozen=True)
class Metric:
    """One metric: its name without prefix and suffix, its type, and what it means for the one on duty."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    action: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name as scraped: with the prefix, and `_total` for a counter."""
        return f"telestream_consumer_{self.name}{'_total' if self.kind == 'counter' else ''}"


MESSAGES_POLLED = Metric(
    "messages_polled",
    "counter",
    "Messages taken from the broker",
    "Flat while lag_messages grows: the consumer is paused (paused_partitions), fenced, or waits for the database.",
    ("topic",),
)
ROWS_LOADED = Metric(
    "rows_loaded",
    "counter",
    "Rows that went into Silver",
    "Falls behind messages_polled: see rows_duplicate, rows_quarantined and dead_letters for where the rest went.",
    ("dataset",),
)
ROWS_DUPLICATE = Metric(
    "rows_duplicate",
    "counter",
    "Rows that Silver had already",
    "A short rise after a restart of a producer is normal. A lasting one: two producers send the same data.",
    ("dataset",),
)
ROWS_QUARANTINED = Metric(
    "rows_quarantined",
    "counter",
    "Rows that a rule refused",
    "Look at quality.quarantine_summary: it names the rule. Correct the source, then replay.",
    ("dataset",),
)
ROWS_LATE = Metric(
    "rows_late",
    "counter",
    "Rows further behind the latest event of their partition than allowed_event_lateness",
    "They are stored and counted. A lasting rise: a source has a wrong clock or sends in bulk.",
    ("dataset",),
)
DEAD_LETTERS = Metric(
    "dead_letters",
    "counter",
    "Messages that could not be decoded",
    "Look at ops.dead_letter. unknown_schema after a deployment: the producer uses a schema nobody registered.",
    ("topic", "reason"),
)
BATCH_SECONDS = Metric(
    "batch_seconds",
    "histogram",
    "Seconds that a stage of a batch took",
    "poll high: nothing to read. decode high: too little CPU. stage, refine or commit high: the database is slow.",
    ("stage",),
)
LATENCY = Metric(
    "commit_latency_seconds",
    "histogram",
    "Seconds from the time stamp that a producer gave a record batch to the commit that shows it in Silver and Gold",
    "p95 above 2 s on a live stream: see lag_messages, then batch_seconds for the slow stage. While catching up it is "
    "the age of what is read.",
    ("topic",),
)
LAG = Metric(
    "lag_messages",
    "gauge",
    "Messages between the next one to read and the end of the log",
    "Grows steadily: start another consumer, up to one per partition. On one partition only: look at its key.",
    ("topic", "partition"),
)
PAUSED = Metric(
    "paused_partitions",
    "gauge",
    "Partitions not read now, to let the database catch up",
    "Above 0 for minutes: see which stage in batch_seconds is slow.",
)
FENCED = Metric(
    "fenced",
    "counter",
    "Partitions found claimed by another consumer",
    "Nothing is lost or read twice. More than one per rebalance: consumers are too slow to poll, or hang.",
)
RECONNECTS = Metric(
    "reconnects",
    "counter",
    "New connections after one was lost; peer is database or broker",
    "Look at the log of that peer, and at the network between.",
    ("peer",),
)
OUTBOX_PENDING = Metric(
    "outbox_pending",
    "gauge",
    "Rows that Kafka has not acknowledged; box is alerts or dead_letters",
    "Grows: the broker does not answer or refuses; the log names the cause. Nothing is lost meanwhile.",
    ("box",),
)
ALERTS_PUBLISHED = Metric(
    "alerts_published",
    "counter",
    "Alerts that Kafka has acknowledged",
    "A burst: many cells are affected at once, see analytics.anomaly.",
)
ALERTS_REFUSED = Metric(
    "alerts_refused",
    "counter",
    "Alerts that do not fit their schema; they stay in ops.outbox",
    "A defect: report it with the line of the log. They are tried again when the consumer restarts.",
)
DEAD_LETTERS_PUBLISHED = Metric(
    "dead_letters_published",
    "counter",
    "Dead letters that Kafka has acknowledged",
    "Follows dead_letters. If not, see outbox_pending.",
)
REDIS_FAILURES = Metric(
    "redis_failures",
    "counter",
    "Writes of hot metrics, and alert notices, that Redis did not take",
    "Start Redis. Hot metrics are written anew with the next batch; a notice is lost, the alert itself is in Kafka.",
)
LAST_COMMIT = Metric(
    "last_commit_timestamp_seconds",
    "gauge",
    "When the last batch was committed, as Unix time",
    "Older than the source's usual pause while lag_messages is above 0: see the log of the consumer.",
)

METRICS = (
    MESSAGES_POLLED, ROWS_LOADED, ROWS_DUPLICATE, ROWS_QUARANTINED, ROWS_LATE, DEAD_LETTERS, BATCH_SECONDS, LATENCY,
    LAG, PAUSED, FENCED, RECONNECTS, OUTBOX_PENDING, ALERTS_PUBLISHED, ALERTS_REFUSED, DEAD_LETTERS_PUBLISHED,
    REDIS_FAILURES, LAST_COMMIT,
)  # fmt: skip


def metrics_table() -> str:
    """Return the list of metrics as the Markdown table of docs/metrics.md."""
    rows = ["| metric | type | labels | meaning | when it moves |", "|---|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.full_name}` | {metric.kind} | {labels} | {metric.help} | {metric.action} |")
    return "\n".join(rows) + "\n"


class Telemetry:
    """The metrics of one consumer process, in a registry of their own; every method may be called by any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._polled = self._counter(MESSAGES_POLLED)
        self._loaded = self._counter(ROWS_LOADED)
        self._duplicate = self._counter(ROWS_DUPLICATE)
        self._quarantined = self._counter(ROWS_QUARANTINED)
        self._late = self._counter(ROWS_LATE)
        self._dead_letters = self._counter(DEAD_LETTERS)
        self._seconds = Histogram(
            BATCH_SECONDS.full_name,
            BATCH_SECONDS.help,
            BATCH_SECONDS.labels,
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._latency = Histogram(
            LATENCY.full_name, LATENCY.help, LATENCY.labels, registry=self.registry, buckets=_LATENCIES
        )
        self._lag = self._gauge(LAG)
        self._paused = self._gauge(PAUSED)
        self._fenced = self._counter(FENCED)
        self._reconnects = self._counter(RECONNECTS)
        self._pending = self._gauge(OUTBOX_PENDING)
        self._alerts_published = self._counter(ALERTS_PUBLISHED)
        self._alerts_refused = self._counter(ALERTS_REFUSED)
        self._dead_letters_published = self._counter(DEAD_LETTERS_PUBLISHED)
        self._redis_failures = self._counter(REDIS_FAILURES)
        self._last_commit = self._gauge(LAST_COMMIT)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.full_name, metric.help, metric.labels, registry=self.registry)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.full_name, metric.help, metric.labels, registry=self.registry)

    def polled(self, topic: str, messages: int) -> None:
        """Count messages taken from a topic."""
        self._polled.labels(topic).inc(messages)

    @contextlib.contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Measure and trace the block as a stage of a batch; one that fails counts as well."""
        with self._seconds.labels(stage.value).time(), tracing.step(stage.value):
            yield

    def committed(
        self, dataset: str, *, loaded: int, duplicate: int, quarantined: int, late: int, at: float | None = None
    ) -> None:
        """Count the rows of a batch that is committed now, or at the Unix time `at`."""
        self._loaded.labels(dataset).inc(loaded)
        self._duplicate.labels(dataset).inc(duplicate)
        self._quarantined.labels(dataset).inc(quarantined)
        self._late.labels(dataset).inc(late)
        self._last_commit.set(time.time() if at is None else at)

    def latency(self, topic: str, seconds: float) -> None:
        """Note how long a record batch took from its producer to the commit."""
        self._latency.labels(topic).observe(seconds)

    def dead_lettered(self, topic: str, reason: str, messages: int = 1) -> None:
        """Count messages of a topic that could not be decoded, for a reason of the decoder's short list."""
        self._dead_letters.labels(topic, reason).inc(messages)

    def lag(self, topic: str, partition: int, messages: int) -> None:
        """Say how many messages of a partition wait."""
        self._lag.labels(topic, str(partition)).set(messages)

    def forget_partition(self, topic: str, partition: int) -> None:
        """Stop showing the lag of a partition that another consumer has now."""
        self._lag.remove_by_labels({"topic": topic, "partition": str(partition)})

    def paused(self, partitions: int) -> None:
        """Say how many partitions are paused now."""
        self._paused.set(partitions)

    def fenced(self, partitions: int = 1) -> None:
        """Count partitions that turned out to be another consumer's."""
        self._fenced.inc(partitions)

    def reconnected(self, peer: Literal["database", "broker"]) -> None:
        """Count a new connection after a lost one."""
        self._reconnects.labels(peer).inc()

    def outbox_pending(self, *, alerts: int, dead_letters: int) -> None:
        """Say how many rows wait for Kafka's acknowledgement."""
        self._pending.labels("alerts").set(alerts)
        self._pending.labels("dead_letters").set(dead_letters)

    def alerts_published(self, alerts: int) -> None:
        """Count acknowledged alerts."""
        self._alerts_published.inc(alerts)

    def alert_refused(self) -> None:
        """Count an alert that does not fit its schema."""
        self._alerts_refused.inc()

    def dead_letters_published(self, letters: int) -> None:
        """Count acknowledged dead letters."""
        self._dead_letters_published.inc(letters)

    def redis_failed(self) -> None:
        """Count a write or notice that Redis did not take."""
        self._redis_failures.inc()

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


@dataclass(frozen=True)
class Health:
    """Whether a consumer does its work: healthy is who has no reason not to be."""

    reasons: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether there is no reason against it."""
        return not self.reasons


class HealthWatch:
    """Turns what a consumer reports of itself into its health; the main thread reports, any thread asks."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, patience: float = PATIENCE_SECONDS) -> None:
        self._clock = clock
        self._patience = patience
        self._last_poll = clock()
        self._database_lost_at: float | None = None
        self._fenced = False

    def polled(self) -> None:
        """Note that the broker answered a poll, with or without messages."""
        self._last_poll = self._clock()

    def database_answered(self) -> None:
        """Note that the database did its work."""
        self._database_lost_at = None

    def database_lost(self) -> None:
        """Note that the database does not answer; only the first of a row of these counts."""
        if self._database_lost_at is None:
            self._database_lost_at = self._clock()

    def fenced(self) -> None:
        """Note that another consumer took over; there is no way back for this process."""
        self._fenced = True

    def health(self) -> Health:
        """Return the health as of now."""
        now = self._clock()
        lost_at = self._database_lost_at
        reasons = []
        if self._fenced:
            reasons.append("another consumer has claimed its partitions")
        if (silent := now - self._last_poll) > self._patience:
            reasons.append(f"no successful poll for {silent:.0f} s")
        if lost_at is not None and now - lost_at > self._patience:
            reasons.append(f"the database has not answered for {now - lost_at:.0f} s")
        return Health(tuple(reasons))


class _Http(ThreadingHTTPServer):
    """Ends its connections when it is closed, and the threads that serve them."""

    # Only threads that are no daemons are waited for.
    daemon_threads = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        # An address in use closes the server from within its constructor.
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
            super().shutdown_request(request)

    def server_close(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the client was quicker
                    connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


class Server:
    """Serves `/metrics` and `/healthz` in a thread of its own until it is closed."""

    def __init__(self, http: _Http) -> None:
        self._http = http
        self._thread = threading.Thread(target=http.serve_forever, args=(0.1,), name="telemetry", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._http.server_address[1])

    def close(self) -> None:
        """Stop serving and free the port."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(telemetry: Telemetry, health: Callable[[], Health], *, host: str = "127.0.0.1", port: int = 0) -> Server:
    """Serve the metrics and the health over HTTP; port 0 takes any that is free.

    `/healthz` answers 200 when healthy and 503 when not, with `{"healthy": …, "reasons": […]}` in both cases.

    Raises:
        TerminalError: the address cannot be listened on.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, telemetry.text())
                case "/healthz":
                    now = health()
                    status = HTTPStatus.OK if now.healthy else HTTPStatus.SERVICE_UNAVAILABLE
                    body = json.dumps({"healthy": now.healthy, "reasons": now.reasons}) + "\n"
                    self._answer(status, "application/json", body.encode())
                case _:
                    self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there are /metrics and /healthz\n")

        def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            return "telestream"

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent: a probe every few seconds would bury the log."""

    try:
        return Server(_Http((host, port), Handler))
    except OSError as exc:
        raise TerminalError(
            f"cannot listen on {host}:{port}",
            detail=f"{exc.strerror or exc}.",
            hint="Choose another port; 0 takes any that is free.",
        ) from exc
