"""API keys: made and revoked here, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import class_row

from telestream.db.connection import Connection
from telestream.errors import UsageError
from telestream.graphql.principal import ROLES, Scope

# ts_<key id>_<secret>: the prefix lets scanners of repositories find a key that was left somewhere.
_PATTERN = re.compile(r"ts_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class KeyRow:
    """A key as the database has it."""

    key_id: str
    name: str
    secret_sha256: bytes
    role: str
    scopes: list[str]
    rate_per_minute: int
    expires_at: datetime
    revoked_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None


COLUMNS = ", ".join(KeyRow.__dataclass_fields__)


def split(text: str) -> tuple[str, str] | None:
    """Return key id and secret, nothing where the text is no key."""
    match = _PATTERN.fullmatch(text)
    return (match[1], match[2]) if match else None


def matches(secret: str, row: KeyRow) -> bool:
    """Tell whether the secret is the key's, in constant time."""
    return hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), row.secret_sha256)


def create(
    connection: Connection, name: str, role: str, scopes: Sequence[Scope], lifetime: timedelta, rate: int
) -> tuple[str, str]:
    """Make a key and return its id and its text, which is kept nowhere.

    Raises:
        UsageError: role, lifetime or rate cannot be used.
    """
    if role not in ROLES:
        raise UsageError(f"there is no role {role!r} for keys", hint=f"Choose one of: {', '.join(ROLES)}.")
    if not name or lifetime <= timedelta(0) or rate < 1 or not scopes:
        raise UsageError("a key needs a name, a scope, a lifetime and a rate above zero")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    connection.execute(
        "INSERT INTO api.key (key_id, name, secret_sha256, role, scopes, rate_per_minute, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp() + %s)",
        (key_id, name, hashlib.sha256(secret.encode()).digest(), role, [str(one) for one in scopes], rate, lifetime),
    )
    return key_id, f"ts_{key_id}_{secret}"


def every(connection: Connection) -> list[KeyRow]:
    """Return all keys, the newest first."""
    with connection.cursor(row_factory=class_row(KeyRow)) as cursor:
        return cursor.execute(f"SELECT {COLUMNS} FROM api.key ORDER BY created_at DESC").fetchall()


def revoke(connection: Connection, key_id: str) -> None:
    """Refuse a key from now on; it stays in the list.

    Raises:
        UsageError: there is no such key.
    """
    done = connection.execute(
        "UPDATE api.key SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE key_id = %s", (key_id,)
    )
    if not done.rowcount:
        raise UsageError(f"there is no key {key_id!r}", hint="`telestream api key list` shows the ids.")
