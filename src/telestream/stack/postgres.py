"""Creates, starts and stops the embedded database server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from telestream.errors import StackError
from telestream.stack import config, ports, process
from telestream.stack.sandbox import HOME, give_to_server, server_command
from telestream.stack.state import SUPERUSER, StackPaths, StackState

PROGRAM = "postgres"
DEFAULT_PORT = 15432
_PORT_ATTEMPTS = 3
_START_SECONDS = 600  # crash recovery of 8 GB of WAL may take minutes
_STOP_SECONDS = 120
_LOG_BYTES = 16 << 20


def postmaster(paths: StackPaths) -> int | None:
    """Return the process id of the server of this stack, or None when it does not run."""
    pid = process.first_line_pid(paths.data / "postmaster.pid")
    return pid if pid in process.processes_in(paths.data, PROGRAM) else None


def start(root: Path, paths: StackPaths, state: StackState) -> None:
    """Start the server and wait until it takes connections; recovers from whatever a crash has left."""
    for folder in (paths.postgres, paths.postgres / "run", paths.postgres_log.parent):
        folder.mkdir(exist_ok=True, mode=0o700)
        give_to_server(folder)
    if not paths.data.is_dir():
        _create_cluster(root, paths)
    _clear_remains(paths)
    _rotate_log(paths.postgres_log)
    wanted = (state.database_port, DEFAULT_PORT)
    for _ in range(_PORT_ATTEMPTS):
        state.database_port = ports.choose(*wanted)
        _write_configuration(paths, state.database_port)
        done = _run_inside(
            root,
            paths,
            *("pg_ctl", "start", "--wait", f"--timeout={_START_SECONDS}", f"--pgdata={HOME}/data"),
            f"--log={HOME}/log/{paths.postgres_log.name}",
        )
        if done.returncode == 0:
            state.postgres_pid = postmaster(paths)
            _set_superuser_password(root, paths, state)
            return
        if ports.is_free(state.database_port):
            break  # it failed for another reason than a port that was taken meanwhile
    raise StackError(
        "the embedded database does not start",
        detail=_last_lines(paths.postgres_log) or done.stderr.strip(),
        hint="See `telestream stack logs database`.",
    )


def stop(paths: StackPaths) -> bool:
    """Stop the server the fast way (sessions are ended, data is flushed); tell whether it was running."""
    pid = postmaster(paths)
    if pid is None:
        _end_orphans(paths)
        return False
    process.send([pid], signal.SIGINT)
    if process.wait_until_gone(paths.data, PROGRAM, _STOP_SECONDS):
        process.send([pid], signal.SIGQUIT)  # immediate shutdown: the next start replays the log
        if left := process.wait_until_gone(paths.data, PROGRAM, 10):
            raise StackError(
                "the embedded database does not stop",
                detail=f"Processes that are left: {', '.join(map(str, left))}.",
                hint="See `telestream stack logs database`.",
            )
    return True


def _run_inside(root: Path, paths: StackPaths, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = server_command(root, paths.postgres, *arguments)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def _create_cluster(root: Path, paths: StackPaths) -> None:
    partial = paths.postgres / "data.partial"
    shutil.rmtree(partial, ignore_errors=True)
    done = _run_inside(
        root,
        paths,
        *("initdb", f"--pgdata={HOME}/{partial.name}", f"--username={SUPERUSER}", "--encoding=UTF8"),
        *("--locale=C.UTF-8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *("--auth-local=trust", "--auth-host=scram-sha-256"),
    )
    if done.returncode:
        raise StackError("the embedded database cannot be created", detail=done.stderr.strip()[-400:])
    partial.rename(paths.data)


def _clear_remains(paths: StackPaths) -> None:
    """Free the cluster from what a killed server leaves: orphaned backends and a stale pid file.

    The server itself takes a stale pid for a live one when any process of this user has it by now.
    """
    _end_orphans(paths)
    (paths.data / "postmaster.pid").unlink(missing_ok=True)
    for socket in (paths.postgres / "run").glob(".s.PGSQL.*"):
        socket.unlink()


def _end_orphans(paths: StackPaths) -> None:
    """End the backends whose main process was killed; most notice it and end by themselves."""
    if process.wait_until_gone(paths.data, PROGRAM, 2):
        process.send(process.processes_in(paths.data, PROGRAM), signal.SIGQUIT)
        if process.wait_until_gone(paths.data, PROGRAM, 5):
            process.send(process.processes_in(paths.data, PROGRAM), signal.SIGKILL)
            process.wait_until_gone(paths.data, PROGRAM, 5)


def _write_configuration(paths: StackPaths, port: int) -> None:
    cores = len(os.sched_getaffinity(0))
    texts = {
        "postgresql.conf": config.server_settings(port, config.memory_limit(), cores),
        "pg_hba.conf": config.HOST_RULES,
    }
    for name, text in texts.items():
        (paths.data / name).write_text(text)  # the file initdb made, so its owner stays


def _set_superuser_password(root: Path, paths: StackPaths, state: StackState) -> None:
    # Through the socket, which trusts: it works whatever password the cluster had before.
    done = _run_inside(
        root,
        paths,
        *("psql", "--no-psqlrc", "--quiet", f"--host={HOME}/run", f"--port={state.database_port}"),
        *(f"--username={SUPERUSER}", "--dbname=postgres", "--set=ON_ERROR_STOP=1"),
        text=f"ALTER ROLE {SUPERUSER} PASSWORD '{state.superuser_password}';\n",
    )
    if done.returncode:
        raise StackError("the embedded database does not answer", detail=done.stderr.strip()[-400:])


def _rotate_log(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))


def _last_lines(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return " | ".join(line for line in lines[-20:] if "FATAL" in line or "ERROR" in line)
