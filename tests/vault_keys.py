"""Vault keys of a test's own, and what the vault holds under them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

import psycopg
from psycopg.rows import tuple_row


def write_key(path: Path) -> str:
    """Write a new key for its owner alone, and return it."""
    key = secrets.token_hex(32)
    path.touch(mode=0o600)
    path.write_text(key + "\n")
    return key


def enrol(connection: psycopg.Connection, key: str, identities: Iterable[str]) -> dict[str, int]:
    """Enrol identities with a key as a loader does, and return their surrogates."""
    connection.execute("SELECT set_config('telestream.vault_key', %s, false)", (key,))
    connection.execute("SELECT silver.enrol_customer(-1, %s)", (list(identities),))
    return dict(connection.execute("SELECT identity, subscriber_id FROM pg_temp._identity").fetchall())


def behind(connection: psycopg.Connection, key: str, table: str = "vault.subscriber") -> dict[int, str | None]:
    """Return the identity behind each surrogate, None where this key does not open it."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return dict(
            cursor.execute(
                "SELECT s.subscriber_id, vault._open(s.token, s.identity_encrypted, m.p_inner, m.p_outer, m.p_cipher_key)"
                f" FROM {table} AS s CROSS JOIN vault._key_material(%s) AS m WHERE s.token IS NOT NULL",
                (key,),
            ).fetchall()
        )


def states(connection: psycopg.Connection) -> list[str]:
    """Return the states of the vault's keys, the oldest first."""
    return [state for (state,) in connection.execute("SELECT state FROM vault.key ORDER BY key_id").fetchall()]
