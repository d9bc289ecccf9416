"""The command `telestream db metrics`."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry, start_http_server

from telestream import logs
from telestream.console import console
from telestream.db import migrate
from telestream.db.connection import connect, database_url, translated
from telestream.db.metrics import DatabaseCollector
from telestream.errors import TransientError


def metrics(
    host: Annotated[str, typer.Option(help="Address of /metrics.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of /metrics; 0 takes a free one.")] = 9187,
) -> None:
    """Serve the metrics of the database for Prometheus, until interrupted: freshness, quality, what waits.

    It reads small views, once in ten seconds at most, as the role engineer. An outage of the database is shown, not
    fatal. docs/metrics.md lists the metrics and what to do when one moves.
    """
    logs.to_stderr()
    url = database_url()
    with translated(url), connect(url) as connection:
        migrate.require_served(connection)
    registry = CollectorRegistry()
    collector = DatabaseCollector(url)
    registry.register(collector)
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as exc:
        raise TransientError(
            f"cannot listen on {host}:{port}", detail=f"{exc.strerror}.", hint="Choose another --port, or 0."
        ) from exc
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    console.print(f"serving http://{host}:{server.server_port}/metrics", highlight=False)
    stop.wait()
    server.shutdown()
    server.server_close()
    collector.close()
