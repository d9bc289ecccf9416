"""Rotates the key of the vault: every step is committed, and a rotation that broke off goes on where it was."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from psycopg import errors as pg

from telestream.db import migrate
from telestream.db.connection import Connection, connect, translated
from telestream.db.vault import lend_vault_key, next_vault_key, read_key, vault_key
from telestream.errors import TerminalError, TransientError
from telestream.settings import settings
from telestream.stack.state import write_private

T = TypeVar("T")
OWNER = "telestream_owner"
# Enrolments wait for a switch at most so long, and for as few persons.
_LOCK_TIMEOUT = "5s"
_SWITCH_ROWS = 1_000
_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Step:
    """What a rotation has just done and committed; `left` is how many surrogates its phase still has to walk."""

    what: str
    left: int = 0


def rotate(url: str | None = None, *, slice_rows: int = 10_000) -> Iterator[Step]:
    """Bring a new key into force, or go on with a rotation that broke off; surrogates stay the same.

    Loads go on meanwhile. The key file is replaced after the switch, unless TELESTREAM_VAULT_NEXT_KEY_FILE says that
    the files are somebody else's.

    Args:
        url: the database.
        slice_rows: persons in a transaction.

    Raises:
        TerminalError: a key file cannot be read, or the keys are not those of this database.
        TransientError: another rotation is running, or transactions in flight do not end: the same call goes on.
    """
    with _alone(url) as connection:
        if not _exists(connection, "retiring"):
            if not _exists(connection, "coming"):
                _require_no_old_key()
                if make_next_key():
                    yield Step("made the next key")
            yield from _prepare(connection, slice_rows)
        if (replaced := _replace_key_file(connection)) is not None:
            yield Step(replaced)
        while (left := _count(connection, "SELECT vault.rotate_move(%s)", slice_rows)) > 0:
            yield Step("replaced what the key before made", left)
        _insist(lambda: connection.execute("SELECT vault.rotate_end()"))
        # The old versions of the rows; what the server's files and backups held before is beyond us.
        _insist(lambda: connection.execute("VACUUM (ANALYZE) vault.subscriber"))
        yield Step("retired the key before")


def _prepare(connection: Connection, slice_rows: int) -> Iterator[Step]:
    """From the next key's registration to the switch."""
    following = next_vault_key()
    if following is None:
        raise TerminalError(
            "the next vault key is missing",
            detail=f"{settings().vault_next_key_path} is not there, and the vault awaits the key it held.",
            hint="Put it back, or take the rotation back with `telestream vault rotate --abort`.",
        )
    lend_vault_key(connection, vault_key())
    connection.execute("SELECT set_config('telestream.vault_next_key', %s, false)", (following,))
    if _insist(lambda: connection.execute("SELECT vault.rotate_begin()").fetchone()) == (True,):
        yield Step("registered the next key")
    while True:
        while (left := _count(connection, "SELECT vault.rotate_fill(%s)", slice_rows)) > 0:
            yield Step("re-encrypted", left)
        # Those that came meanwhile are few; if not, they are done before the switch as well.
        switched = _insist(lambda: connection.execute("SELECT vault.rotate_switch(%s)", (_SWITCH_ROWS,)).fetchone())
        if switched == (True,):
            yield Step("switched to the next key")
            return


def abort(url: str | None = None) -> None:
    """Take a rotation back that has not switched; the file of the next key stays.

    Raises:
        TerminalError: there is none.
    """
    with _alone(url) as connection:
        if _insist(lambda: connection.execute("SELECT vault.rotate_abort()").fetchone()) != (True,):
            raise TerminalError(
                "no rotation can be taken back",
                detail="None is under way, or its key is in force already.",
                hint="`telestream vault keys` shows how it stands; `telestream vault rotate` goes on.",
            )


def make_next_key() -> bool:
    """Make the file of the next key where it is missing, 32 random bytes as hex for its owner alone.

    Returns:
        Whether it was made.

    Raises:
        TerminalError: it cannot be written, or TELESTREAM_VAULT_NEXT_KEY_FILE says that others make it.
    """
    path = settings().vault_next_key_path
    if path.exists():
        return False
    if settings().vault_next_key_file is not None:
        raise TerminalError(
            "the next vault key cannot be read",
            detail=f"{path}: no such file.",
            hint="TELESTREAM_VAULT_NEXT_KEY_FILE names it; make one with: openssl rand -hex 32.",
        )
    try:
        write_private(path, secrets.token_hex(32) + "\n")
        _sync_folder()
    except OSError as exc:
        raise TerminalError("the next vault key cannot be written", detail=f"{path}: {exc.strerror}.") from exc
    return True


def forget_old_key(url: str | None = None) -> bool:
    """Remove the file of the key before, once no row of the vault was made with it; tell whether there was one.

    Raises:
        TerminalError: its key is still needed, or not known to the vault.
    """
    path = _old_key_path()
    if not path.exists():
        return False
    with translated(url), connect(url, role=OWNER, autocommit=True) as connection:
        migrate.require_head(connection)
        lend_vault_key(connection, read_key(path))
        if connection.execute("SELECT vault.check_key()").fetchone() != ("retired",):
            raise TerminalError(
                "the key before is still needed",
                detail=f"The vault does not say that the key in {path} is retired.",
                hint="`telestream vault keys` shows how it stands; `telestream vault rotate` goes on.",
            )
    path.unlink()
    return True


@contextmanager
def _alone(url: str | None) -> Iterator[Connection]:
    with translated(url), connect(url, role=OWNER, autocommit=True) as connection:
        migrate.require_head(connection)
        row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended('vault rotate', 0))").fetchone()
        if row != (True,):
            raise TransientError("another rotation is running", hint="Wait for its end.")
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (_LOCK_TIMEOUT,))
        yield connection


def _exists(connection: Connection, state: str) -> bool:
    return connection.execute("SELECT FROM vault.key WHERE state = %s", (state,)).fetchone() is not None


def _count(connection: Connection, query: str, rows: int) -> int:
    row = _insist(lambda: connection.execute(query.encode(), (rows,)).fetchone())
    assert row is not None  # a function returns one row
    return int(row[0])


def _insist(action: Callable[[], T]) -> T:
    """Try again where a lock was not to be had: whoever waits behind ours gets through in between."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return action()
        except (pg.LockNotAvailable, pg.DeadlockDetected) as exc:
            if time.monotonic() > deadline:
                raise TransientError(
                    "the rotation waits for transactions that do not end",
                    detail="Enrolments of persons hold its lock.",
                    hint="See pg_stat_activity, then run the same command again: it goes on where it was.",
                ) from exc
            time.sleep(0.2)


def _require_no_old_key() -> None:
    """Refuse to begin where the key of the rotation before lies: it would be lost when this one ends."""
    path = _old_key_path()
    if settings().vault_next_key_file is None and path.exists():
        raise TerminalError(
            "the key of the rotation before is still there",
            detail=f"{path} opens backups of that time.",
            hint="Move it to the keys of those backups, or remove it: `telestream vault rotate --forget-old`.",
        )


def _replace_key_file(connection: Connection) -> str | None:
    """Put the key in force into the key file and keep the one before beside it; tell what was done, None if nothing."""
    path, following = settings().vault_key_path, settings().vault_next_key_path
    if settings().vault_next_key_file is not None or not following.exists():
        return None
    lend_vault_key(connection, read_key(following))
    if connection.execute("SELECT vault.check_key()").fetchone() != ("current",):
        return f"left the key file as it is: the key in {following.name} is not the one in force"
    old = _old_key_path()
    try:
        before = path.read_text()
        if not old.exists():
            write_private(old, before)
        elif old.read_text() != before:
            return f"left the key file as it is: {old.name} holds the key of an earlier rotation"
        following.replace(path)
        _sync_folder()
    except OSError as exc:
        # Both files are read, so loads go on all the same.
        return f"could not replace the key file ({exc.strerror}): put {following.name} in its place yourself"
    return f"replaced the key file; the key before is in {old.name}"


def _old_key_path() -> Path:
    """Return where the key before is kept."""
    path = settings().vault_key_path
    return path.with_name(path.name + ".old")


def _sync_folder() -> None:
    """Make sure that a file's new name outlives a crash of the machine, before the vault depends on it."""
    descriptor = os.open(settings().vault_key_path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
