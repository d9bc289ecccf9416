"""Verifies the chain of the access log, with code of its own: what is in the database may have been tampered with."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from telestream.db.connection import Connection

GENESIS = bytes(32)
_FETCHED_AT_ONCE = 2_000
_NUMBER = struct.Struct(">q")
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)

# Times as the eight bytes the server keeps: exact, and with no year that Python could not hold.
_ROWS = """
SELECT
    position, chain, access_id, timestamptz_send(logged_at), timestamptz_send(at), rows_read, principal, role,
    operation, field, variables_sha256, request_id, reason, object_ids, logged_at::text
FROM audit.access_log
ORDER BY position, logged_at
"""


@dataclass(frozen=True)
class Anchor:
    """The end of a part of the chain: where the part that is kept begins."""

    position: int
    chain: bytes


@dataclass(frozen=True)
class Row:
    """A row of the access log as it is hashed; `at` and `logged_at` are `timestamptz_send` of the times."""

    access_id: int
    logged_at: bytes
    at: bytes
    rows_read: int
    texts: Sequence[str | None]
    """principal, role, operation, field, variables_sha256, request_id, reason, then the object ids."""


@dataclass
class Verdict:
    """What a verification has found."""

    rows: int = 0
    dropped: int = 0
    first_at: str | None = None
    last_at: str | None = None
    head: Anchor = Anchor(0, GENESIS)
    waiting: int = 0
    waiting_since: str | None = None
    known_is_dropped: bool = False
    broken: str | None = None


def chained(before: bytes, position: int, row: Row) -> bytes:
    """Return the hash of a row that follows the hash `before`, as `audit._chained` makes it."""
    parts = [
        before, _NUMBER.pack(position), row.logged_at, _NUMBER.pack(row.access_id), row.at, _NUMBER.pack(row.rows_read)
    ]  # fmt: skip
    for text in row.texts:
        if text is None:
            parts.append(_NULL)
        else:
            data = text.encode()
            parts += (_LENGTH.pack(len(data)), data)
    return hashlib.sha256(b"".join(parts)).digest()


def verify(connection: Connection, known: Anchor | None = None) -> Verdict:
    """Go through the whole log once, in one snapshot and in flat memory, up to the first broken place.

    Args:
        connection: in no transaction, of a role that may read the log.
        known: an end of the chain noted before, outside of the database; it must be in the chain.
    """
    verdict = Verdict()
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute("SET LOCAL timezone = 'UTC'")
        anchors = [
            (Anchor(position, chain), rows)
            for position, chain, rows in connection.execute(
                "SELECT position, chain, rows_dropped FROM audit.anchor ORDER BY position"
            )
        ]
        verdict.waiting, verdict.waiting_since = connection.execute(
            "SELECT count(*), min(at)::text FROM audit.access_inbox"
        ).fetchone() or (0, None)
        verdict.broken = _anchors_broken(anchors, verdict) or _rows_broken(_rows(connection), verdict, known)
        if verdict.broken is None:
            verdict.broken = _end_broken(connection, verdict, known, [anchor for anchor, _ in anchors])
    return verdict


def _rows(connection: Connection) -> Iterator[tuple[Any, ...]]:
    with connection.cursor("access_log") as cursor:
        cursor.itersize = _FETCHED_AT_ONCE
        cursor.execute(_ROWS)
        yield from cursor


def _anchors_broken(anchors: Iterable[tuple[Anchor, int]], verdict: Verdict) -> str | None:
    for anchor, rows in anchors:
        if anchor.position != verdict.head.position + rows:
            return f"the anchor at position {anchor.position:,} does not continue the one before"
        verdict.head = anchor
    verdict.dropped = verdict.head.position
    return None


def _rows_broken(rows: Iterable[tuple[Any, ...]], verdict: Verdict, known: Anchor | None) -> str | None:
    for position, chain, access_id, logged_at, at, rows_read, *texts, object_ids, shown_at in rows:
        expected = verdict.head.position + 1
        place = f"position {position:,} (access {access_id}, logged at {shown_at})"
        if position > expected:
            gone = f"{expected:,}" if position == expected + 1 else f"{expected:,} to {position - 1:,}"
            return f"position {gone} is missing before {place}"
        if position < expected:
            return f"a row was put in at {place}"
        row = Row(access_id, bytes(logged_at), bytes(at), rows_read, [*texts, *object_ids])
        if chained(verdict.head.chain, position, row) != bytes(chain):
            return f"the row at {place} does not continue the one before it: one of the two was changed"
        verdict.head = Anchor(position, bytes(chain))
        if known is not None and known.position == position and known.chain != verdict.head.chain:
            return f"the chain was made anew: at {place} it is another one than you noted"
        verdict.rows += 1
        verdict.first_at = verdict.first_at or shown_at
        verdict.last_at = shown_at
    return None


def _end_broken(
    connection: Connection, verdict: Verdict, known: Anchor | None, anchors: Sequence[Anchor]
) -> str | None:
    head = connection.execute("SELECT position, chain FROM audit.chain_head").fetchone()
    if head is None or Anchor(head[0], bytes(head[1])) != verdict.head:
        return f"rows after position {verdict.head.position:,} are missing: the chain is said to end elsewhere"
    if known is not None and known.position > verdict.head.position:
        return f"rows after position {verdict.head.position:,} are missing: you noted a later end"
    if known is not None and known.position <= verdict.dropped and known not in anchors:
        if known.position in {one.position for one in anchors}:
            return f"the anchor at position {known.position:,} is another one than you noted"
        verdict.known_is_dropped = known.position > 0
    if not anchors:
        return None
    # Retention writes a row for each partition it drops; rows that vanished otherwise have none.
    last = anchors[-1]
    told = connection.execute(
        "SELECT EXISTS (SELECT FROM (SELECT at, operation, object_ids FROM audit.access_log"
        " UNION ALL SELECT at, operation, object_ids FROM audit.access_inbox) AS r"
        " WHERE r.at = (SELECT dropped_at FROM audit.anchor WHERE position = %s)"
        " AND r.operation = 'drop partition' AND r.object_ids[2:3] = ARRAY[%s::text, %s])",
        (last.position, last.position, last.chain.hex()),
    ).fetchone()
    if told is None or not told[0]:
        return f"rows up to position {last.position:,} were dropped, and no row of the log tells of it"
    return None
