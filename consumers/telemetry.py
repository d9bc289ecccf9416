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
    generate_latest,
)

from telestream import metrics, tracing
from telestream.errors import TerminalError

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


class Telemetry:
    """The metrics of one consumer process, in a registry of their own; every method may be called by any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._polled = metrics.MESSAGES_POLLED.counter(self.registry)
        self._loaded = metrics.ROWS_LOADED.counter(self.registry)
        self._duplicate = metrics.ROWS_DUPLICATE.counter(self.registry)
        self._quarantined = metrics.ROWS_QUARANTINED.counter(self.registry)
        self._late = metrics.ROWS_LATE.counter(self.registry)
        self._dead_letters = metrics.DEAD_LETTERS.counter(self.registry)
        self._seconds = metrics.BATCH_SECONDS.histogram(self.registry, _SECONDS)
        self._latency = metrics.LATENCY.histogram(self.registry, _LATENCIES)
        self._lag = metrics.LAG.gauge(self.registry)
        self._paused = metrics.PAUSED.gauge(self.registry)
        self._fenced = metrics.FENCED.counter(self.registry)
        self._reconnects = metrics.RECONNECTS.counter(self.registry)
        self._pending = metrics.OUTBOX_PENDING.gauge(self.registry)
        self._alerts_published = metrics.ALERTS_PUBLISHED.counter(self.registry)
        self._alerts_refused = metrics.ALERTS_REFUSED.counter(self.registry)
        self._dead_letters_published = metrics.DEAD_LETTERS_PUBLISHED.counter(self.registry)
        self._redis_failures = metrics.REDIS_FAILURES.counter(self.registry)
        self._last_commit = metrics.LAST_COMMIT.gauge(self.registry)

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
