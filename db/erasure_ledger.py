"""Which people were erased, by surrogates alone, and how to erase them again in a database restored from before."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg

from telestream.db import erasure
from telestream.db.connection import Connection
from telestream.db.sqlstate import SqlState
from telestream.errors import UsageError

_OFFICER = "telestream_privacy"
_WAIT_SECONDS = 60
# The row of the access log that the request has written: its number, the person's surrogates and keys of customers.
_LISTED = """
SELECT to_jsonb(now()) #>> '{}', coalesce(jsonb_agg(jsonb_build_object(
    'erasure_id', e.erasure_id, 'requested_at', e.requested_at, 'policy', e.policy,
    'subscribers', (SELECT coalesce(jsonb_agg(i.id::bigint), '[]')
                    FROM unnest(n.object_ids[2:]) AS i (id) WHERE i.id ~ '^[0-9]+$'),
    'customers', (SELECT coalesce(jsonb_agg(substr(i.id, 14)::bigint), '[]')
                  FROM unnest(n.object_ids[2:]) AS i (id) WHERE i.id ~ '^customer_key:[0-9]+$')
) ORDER BY e.erasure_id), '[]')
FROM privacy.erasure AS e
LEFT JOIN LATERAL (
    SELECT r.object_ids
    FROM (
        SELECT l.object_ids FROM audit.access_log AS l WHERE l.operation = 'erase'
        UNION ALL
        SELECT i.object_ids FROM audit.access_inbox AS i WHERE i.operation = 'erase'
    ) AS r
    WHERE r.object_ids[1] = e.erasure_id::text
    LIMIT 1
) AS n ON true
"""
_NEXT = """
SELECT s.subject
FROM (
    SELECT 1 AS turn, 'customer:' || d.customer_id AS subject
    FROM silver.dim_customer AS d
    WHERE d.customer_key = ANY (%(customers)s) AND d.customer_key <> 0
    UNION ALL
    SELECT 2, c.identity
    FROM vault._clear(%(subscribers)s) AS c
    WHERE c.identity ~ '^([+][1-9][0-9]{7,14}|imsi:[0-9]{14,15}|imei:[0-9]{14,16})$'
) AS s
ORDER BY s.turn, s.subject
LIMIT 1
"""
_LEFT = """
SELECT EXISTS (SELECT FROM vault.subscriber AS s WHERE s.subscriber_id = ANY (%(subscribers)s) AND s.subscriber_id <> 0)
    OR EXISTS (SELECT FROM silver.dim_customer AS d WHERE d.customer_key = ANY (%(customers)s) AND d.customer_key <> 0)
"""


@dataclass(frozen=True)
class Erased:
    """A request to erase a person: surrogates and keys of customers, which lead to nobody where it is done."""

    erasure_id: int
    requested_at: str
    policy: str
    subscribers: list[int]
    customers: list[int]


@dataclass(frozen=True)
class Ledger:
    """The erasures of a database up to a moment."""

    listed_at: str
    erasures: list[Erased]


@dataclass(frozen=True)
class Unfinished:
    """An erasure that could not be done again, and why."""

    erasure_id: int
    requested_at: str
    why: str


def listed(connection: Connection) -> Ledger:
    """Return the erasures of a database; the connection acts as the privacy officer or as the owner."""
    row = connection.execute(_LISTED).fetchone()
    assert row is not None  # an aggregate returns one row
    return Ledger(row[0], [Erased(**one) for one in row[1]])


def write(ledger: Ledger, path: Path) -> None:
    """Write the list to a file, mode 600, whole or not at all.

    Raises:
        UsageError: the file cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(dataclasses.asdict(ledger), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as exc:
        raise UsageError(f"{path} cannot be written", detail=f"{exc.strerror}.", hint="Name another file.") from exc


def read(path: Path, since: str) -> Ledger:
    """Read a list from a file.

    Args:
        path: written by `telestream backup erasures`.
        since: moment that the list must reach, ISO 8601.

    Raises:
        UsageError: the file cannot be read, or ends before that moment.
    """
    try:
        document = json.loads(path.read_text())
        ledger = Ledger(document["listed_at"], [Erased(**one) for one in document["erasures"]])
        is_old = datetime.fromisoformat(ledger.listed_at) < datetime.fromisoformat(since)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise UsageError(
            f"{path} is no list of erasures",
            detail=f"{exc.strerror}." if isinstance(exc, OSError) else None,
            hint="Write it with `telestream backup erasures`.",
        ) from exc
    if is_old:
        raise UsageError(
            "the list of erasures is older than the backup",
            detail=f"It ends at {ledger.listed_at}, and the backup is of {since}.",
            hint="Name the newest list, or the old database with --erasures-from.",
        )
    return ledger


def erase_again(connection: Connection, ledger: Ledger, told: Callable[[str], None]) -> list[Unfinished]:
    """Erase everybody of a list whom a restored database still knows; return what could not be done.

    Args:
        connection: autocommit, of a superuser, with the vault key lent.
        ledger: the erasures of the old database.
        told: called with each erasure that is done again.
    """
    if connection.execute("SELECT erasure_id FROM privacy.erasure WHERE state = 'running'").fetchone():
        told("the erasure that was under way")
        _carry_out(connection, lambda: erasure.running(connection))
    unfinished = []
    for erased in ledger.erasures:
        try:
            why = _erase(connection, erased, told)
        except psycopg.Error as exc:
            if exc.sqlstate not in {SqlState.HELD_FROM_ERASURE, SqlState.ERASURE_STOPPED, SqlState.SUBJECT_UNKNOWN}:
                raise
            why = str(exc.diag.message_primary)
        if why:
            unfinished.append(Unfinished(erased.erasure_id, erased.requested_at, why))
    return unfinished


def _erase(connection: Connection, erased: Erased, told: Callable[[str], None]) -> str | None:
    ids = {"subscribers": erased.subscribers, "customers": erased.customers}
    subjects: set[str] = set()
    reason = f"erasure {erased.erasure_id} of {erased.requested_at[:10]}, again after a restore"
    while (row := connection.execute(_NEXT, ids).fetchone()) is not None and row[0] not in subjects:
        subject = str(row[0])
        subjects.add(subject)
        told(f"erasure {erased.erasure_id}")
        _carry_out(connection, lambda: erasure.request(connection, subject, reason, erased.policy))  # noqa: B023
    if connection.execute(_LEFT, ids).fetchone() == (True,):
        return "what is left of the person cannot be named: a number without its country"
    is_known = connection.execute(
        "SELECT FROM privacy.erasure WHERE erasure_id = %s AND requested_at = %s AND state = 'done'",
        (erased.erasure_id, erased.requested_at),
    ).fetchone()
    if not erased.subscribers and not erased.customers and is_known is None:
        return "the access log does not say whom it was about: they had no number of their own, or the row has expired"
    return None


def _carry_out(connection: Connection, request: Callable[[], int]) -> None:
    """Do an erasure as the privacy officer; nobody else works in a database that is being restored."""
    connection.execute(f"SET ROLE {_OFFICER}")
    try:
        erasure.carry_out(connection, request(), lambda: 0, wait_seconds=_WAIT_SECONDS, told=lambda *_: None)
    finally:
        connection.execute("RESET ROLE")
