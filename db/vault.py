"""Reads the vault keys of this machine and lends the one in force to a session."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psycopg

from telestream.db.connection import Connection
from telestream.db.sqlstate import SqlState
from telestream.errors import TerminalError
from telestream.settings import settings

T = TypeVar("T")
# A switch lies between two attempts; no second one comes so soon.
_ATTEMPTS = 3


def vault_key() -> str:
    """Return the HMAC key of the vault, 32 bytes as 64 hexadecimal digits.

    Raises:
        TerminalError: the file is missing, unreadable or not such a key.
    """
    path = settings().vault_key_path
    try:
        return read_key(path)
    except OSError as exc:
        raise TerminalError(
            "the vault key cannot be read",
            detail=f"{path}: {exc.strerror}.",
            hint="`telestream stack up` makes one for the embedded stack; "
            "elsewhere set TELESTREAM_VAULT_KEY_FILE to a file with 64 hexadecimal digits.",
        ) from exc


def vault_keys() -> list[str]:
    """Return the keys that may be in force: that of the key file, and the next one where a rotation has left it.

    Raises:
        TerminalError: as `vault_key`, and the file of the next key cannot be used.
    """
    first = vault_key()
    following = next_vault_key()
    # The end of a rotation may have moved the next key into the key file between the two reads.
    return [first, following] if following else [vault_key()]


def next_vault_key() -> str | None:
    """Return the key that a rotation brings into force, or None where there is none.

    Raises:
        TerminalError: the file cannot be read, or holds something else.
    """
    path = settings().vault_next_key_path
    try:
        return read_key(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise TerminalError("the next vault key cannot be read", detail=f"{path}: {exc.strerror}.") from exc


def read_key(path: Path) -> str:
    """Return the key a file holds.

    Raises:
        OSError: the file cannot be read.
        TerminalError: it holds something else.
    """
    key = path.read_text(errors="replace").strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", key):
        raise TerminalError(
            "the vault key is not usable",
            detail=f"{path} must hold 64 hexadecimal digits.",
            hint="Restore the key the data was loaded with: no other opens the vault.",
        )
    return key


def lend_vault_key(connection: Connection, key: str) -> None:
    """Set the key for this session; as a bound parameter it reaches no log and no dump."""
    connection.execute("SELECT set_config('telestream.vault_key', %s, false)", (key,))


def lend_key_in_force(connection: Connection) -> None:
    """Lend that key of this machine which is in force; where none is, the first, and the database says what is wrong.

    Raises:
        TerminalError: a key file cannot be read or used.
    """
    keys = vault_keys()
    for key in keys:
        lend_vault_key(connection, key)
        if connection.execute("SELECT vault.check_key()").fetchone() in {("current",), ("unregistered",)}:
            return
    lend_vault_key(connection, keys[0])


def with_key_in_force(connection: Connection, action: Callable[[], T]) -> T:
    """Do something that needs the vault key; again with the key in force where a rotation has switched meanwhile.

    Args:
        connection: outside of a transaction, so that the action is one of its own.
        action: leaves nothing behind when it fails.

    Raises:
        psycopg.Error: TS041 where the key in force is not on this machine, and what else the action raises.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return action()
        except psycopg.Error as exc:
            if exc.sqlstate != SqlState.VAULT_KEY_NOT_IN_FORCE:
                raise
            lend_key_in_force(connection)
    return action()
