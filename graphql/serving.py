"""Runs the service under uvicorn: logs as JSON, signals, workers."""

from __future__ import annotations

import gc
import json
import logging
import socket
import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette

from telestream.errors import TransientError
from telestream.graphql.app import create_app
from telestream.graphql.connection_guard import GuardedProtocol

# How long running requests may take to end after a signal.
_GRACE_SECONDS = 10
_BACKLOG = 1024


class JsonFormatter(logging.Formatter):
    """One JSON object a line; fields of a request are its own, and none of them is personal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "telestream.graphql.serving.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # Our own line per request says more, and has no query in it.
        "uvicorn.access": {"level": "WARNING"},
        "psycopg.pool": {"level": "ERROR"},
    },
}


def application() -> Starlette:
    """Return the service for a process that does nothing else.

    Parsing makes many objects. What lives as long as the process is left out when garbage is looked for, which took
    up to 200 ms of a request otherwise.
    """
    made = create_app()
    gc.collect()
    gc.freeze()
    return made


def config(factory: str = "telestream.graphql.app:create_app", **options: Any) -> uvicorn.Config:
    """Return how uvicorn runs the service that a factory makes."""
    return uvicorn.Config(
        factory,
        factory=True,
        log_config=LOGGING,
        access_log=False,
        loop="uvloop",
        http=GuardedProtocol,
        ws="websockets-sansio",
        ws_max_size=256 * 1024,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        limit_concurrency=4_000,
        server_header=False,
        **options,
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        TransientError: the address is taken or is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as exc:
        made.close()
        raise TransientError(
            f"cannot listen on {host}:{port}", detail=f"{exc.strerror}.", hint="Choose another --port, or 0."
        ) from exc
    made.listen(_BACKLOG)
    return made


def serve(host: str, port: int, workers: int, forwarded_from: str) -> None:
    """Serve until a signal comes."""
    made = config(
        "telestream.graphql.serving:application",
        host=host,
        port=port,
        workers=workers,
        forwarded_allow_ips=forwarded_from,
    )
    bound = listen(host, port)
    print(f"serving http://{host}:{bound.getsockname()[1]}/graphql", file=sys.stderr, flush=True)
    server = uvicorn.Server(made)
    if workers > 1:
        from uvicorn.supervisors import Multiprocess

        bound.set_inheritable(True)
        Multiprocess(made, sockets=[bound]).run()
    else:
        server.run(sockets=[bound])
