"""Reads the vault key and lends it to a transaction."""

from __future__ import annotations

import re

from telestream.db.connection import Connection
from telestream.errors import TerminalError
from telestream.settings import settings


def vault_key() -> str:
    """Return the HMAC key of the vault, 32 bytes as 64 hexadecimal digits.

    Raises:
        TerminalError: the file is missing, unreadable or not such a key.
    """
    path = settings().vault_key_path
    try:
        key = path.read_text().strip().lower()
    except OSError as exc:
        raise TerminalError(
            "the vault key cannot be read",
            detail=f"{path}: {exc.strerror}.",
            hint="`telestream stack up` makes one for the embedded stack; "
            "elsewhere set TELESTREAM_VAULT_KEY_FILE to a file with 64 hexadecimal digits.",
        ) from exc
    if not re.fullmatch("[0-9a-f]{64}", key):
        raise TerminalError(
            "the vault key is not usable",
            detail=f"{path} must hold 64 hexadecimal digits.",
            hint="Restore the key the data was loaded with: another key gives every person a new surrogate.",
        )
    return key


def lend_vault_key(connection: Connection, key: str) -> None:
    """Set the key for this session; as a bound parameter it reaches no log and no dump."""
    connection.execute("SELECT set_config('telestream.vault_key', %s, false)", (key,))
