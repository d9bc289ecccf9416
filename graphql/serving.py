"""Runs the service under uvicorn: logs as JSON, signals, workers."""

from __future__ import annotations

import gc
import socket
import ssl
import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette

from telestream.errors import TerminalError, TransientError
from telestream.graphql.app import create_app
from telestream.graphql.connection_guard import GuardedProtocol
from telestream.settings import settings

# How long running requests may take to end after a signal.
_GRACE_SECONDS = 10
_BACKLOG = 1024


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "telestream.logs.JsonFormatter"}},
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


def tls() -> dict[str, Any]:
    """Return what uvicorn must know to serve HTTPS, nothing where no certificate is set.

    Raises:
        TerminalError: certificate and key cannot be read, or do not belong together.
    """
    certificate, key = settings().api_tls_cert_file, settings().api_tls_key_file
    if certificate is None and key is None:
        return {}
    try:
        if certificate is None or key is None:
            raise OSError("one of the two is not set")
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except OSError as exc:
        raise TerminalError(
            "the certificate of the API cannot be used",
            detail=f"{exc.strerror or exc}.",
            hint="Set TELESTREAM_API_TLS_CERT_FILE and TELESTREAM_API_TLS_KEY_FILE to a certificate and its key, PEM.",
        ) from exc
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


def serve(host: str, port: int, workers: int, forwarded_from: str) -> None:
    """Serve until a signal comes; over TLS where a certificate is set."""
    secure = tls()
    made = config(
        "telestream.graphql.serving:application",
        host=host,
        port=port,
        workers=workers,
        forwarded_allow_ips=forwarded_from,
        **secure,
    )
    bound = listen(host, port)
    print(
        f"serving {'https' if secure else 'http'}://{host}:{bound.getsockname()[1]}/graphql",
        file=sys.stderr,
        flush=True,
    )
    server = uvicorn.Server(made)
    if workers > 1:
        from uvicorn.supervisors import Multiprocess

        bound.set_inheritable(True)
        Multiprocess(made, sockets=[bound]).run()
    else:
        server.run(sockets=[bound])
