"""Finds PostgreSQL's own programs of the server's version, and runs them with the password in their environment."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from telestream.errors import StackError, TerminalError
from telestream.stack.root import POSTGRES_MAJOR, client_command, root_path

_BLOCK = 1 << 20
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


class ToolFailedError(TerminalError):
    """A program of PostgreSQL has ended with an error."""


@dataclass(frozen=True)
class Stored:
    """A file as it was written: bytes and SHA-256 (hex)."""

    bytes: int
    sha256: str


def program(name: str, major: int) -> list[str]:
    """Return the command line of a PostgreSQL program of one major version.

    Looked for on PATH, where Debian puts it, and in the private root of the embedded stack.

    Raises:
        TerminalError: none has that version.
    """
    candidates = [[name], [f"/usr/lib/postgresql/{major}/bin/{name}"]]
    if major == POSTGRES_MAJOR:
        with suppress(StackError):  # it was never built here
            candidates.append(client_command(root_path(), name))
    found = []
    for command in candidates:
        if shutil.which(command[0]) is None:
            continue
        version = _version(command)
        if version == major:
            return command
        found.append(f"{shutil.which(command[0])} is of version {version or 'unknown'}")
    raise TerminalError(
        f"there is no {name} of PostgreSQL {major}",
        detail=f"The server has version {major}; {', '.join(found) or f'no {name} is on PATH'}.",
        hint=f"Install postgresql-client-{major}, or put its {name} first on PATH.",
    )


def _version(command: list[str]) -> int | None:
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    match = _VERSION.search(done.stdout)
    return int(match[1]) if match else None


def dump(url: str, major: int, snapshot: str, target: BinaryIO) -> Stored:
    """Write the database of a URL, as one exported snapshot sees it, in pg_dump's custom format.

    It comes through a pipe: it ends with this process, and is hashed on its way.

    Raises:
        TerminalError: no pg_dump of this version; ToolFailedError: it failed.
        OSError: the file cannot be written.
    """
    # pg_cron lives in one database of a server; `telestream db schedule` makes its jobs anew.
    options = ["--format=custom", "--compress=zstd:3", "--exclude-extension=pg_cron", "--exclude-schema=cron"]
    digest, size = hashlib.sha256(), 0
    with _running("pg_dump", major, [*options, f"--snapshot={snapshot}"], url, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # it was asked for
        while block := process.stdout.read(_BLOCK):
            target.write(block)
            digest.update(block)
            size += len(block)
    return Stored(size, digest.hexdigest())


def restore(url: str, major: int, source: Path) -> None:
    """Restore a dump into the database of a URL; the first error ends it.

    Raises:
        TerminalError: no pg_restore of this version; ToolFailedError: it failed.
    """
    with source.open("rb") as file:
        _feed(file, "pg_restore", major, ["--exit-on-error"], url)


def read_through(major: int, source: Path) -> Stored:
    """Let pg_restore read a dump to its end, without a server; return bytes and hash of what it was given.

    Raises:
        TerminalError: no pg_restore of this version; ToolFailedError: it cannot read the file.
    """
    with source.open("rb") as file:
        return _feed(file, "pg_restore", major, ["--file=/dev/null"], None)


def _feed(file: BinaryIO, name: str, major: int, options: list[str], url: str | None) -> Stored:
    digest, size = hashlib.sha256(), 0
    with _running(name, major, options, url, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None  # it was asked for
        try:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
                process.stdin.write(block)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, and says why
    return Stored(size, digest.hexdigest())


@contextmanager
def _running(
    name: str, major: int, options: list[str], url: str | None, *, stdin: int | None = None, stdout: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the block talks to it; an error of either ends both."""
    command, environment = [*program(name, major), *options], dict(os.environ)
    # A restore commits thousands of statements. What a crash takes of them is not whole anyway, and the commit that
    # gives the database its name comes after all of them in the log.
    environment["PGOPTIONS"] = f"{environment.get('PGOPTIONS', '')} -c synchronous_commit=off".strip()
    if url is not None:
        parts: dict[str, Any] = conninfo_to_dict(url)
        if password := parts.pop("password", None):
            environment["PGPASSWORD"] = password
        command.append(f"--dbname={make_conninfo(**parts)}")
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, env=environment, stdin=stdin or subprocess.DEVNULL, stdout=stdout or subprocess.DEVNULL,
            stderr=said,
        )  # fmt: skip
        try:
            yield process
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                _close(pipe)
        if code:
            raise ToolFailedError(f"{name} failed", detail=_error(said))


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with suppress(BrokenPipeError):
            pipe.close()


def _error(said: IO[bytes]) -> str:
    """Return what a program complained of: its errors without the rows and statements that it quotes."""
    said.seek(0)
    lines = said.read().decode(errors="replace").splitlines()
    return "\n".join(line for line in lines if "error:" in line)[:2000] or "It gave no reason."
