"""Erases a person: asks the database for one slice after the other until it has written the proof."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg import errors as pg

from telestream.db.connection import Connection
from telestream.errors import TransientError, UsageError

# Empties the cache of answers, and says how many there were.
EmptyCache = Callable[[], int]
POLICIES = ("unlink", "delete")


@dataclass(frozen=True)
class Proof:
    """What stays of an erasure: its number, the record, the SHA-256 of that as the access log has it too."""

    erasure_id: int
    record: dict[str, Any]
    sha256: str


def request(connection: Connection, subject: str, reason: str, policy: str) -> int:
    """Begin to erase a person, or find the same request under way; return its number.

    Raises:
        psycopg.Error: TS037 nobody is known by the subject, TS038 a legal hold, TS039 another erasure is under way.
    """
    row = connection.execute("SELECT privacy.request_erasure(%s, %s, %s)", (subject, reason, policy)).fetchone()
    assert row is not None  # a function returns one row
    return int(row[0])


def running(connection: Connection, erasure_id: int | None = None) -> int:
    """Return the number of the erasure that is under way.

    Raises:
        UsageError: none is, or not this one.
    """
    row = connection.execute("SELECT erasure_id FROM privacy.erasure WHERE state = 'running'").fetchone()
    if row is None or (erasure_id is not None and row[0] != erasure_id):
        raise UsageError(
            "no erasure is under way" if erasure_id is None else f"erasure {erasure_id} is not under way",
            hint="See `telestream privacy list`.",
        )
    return int(row[0])


def carry_out(
    connection: Connection,
    erasure_id: int,
    empty_cache: EmptyCache,
    *,
    wait_seconds: float,
    told: Callable[[str, int], None],
) -> Proof:
    """Do what is left of an erasure, a short transaction per slice; loads go on meanwhile.

    Args:
        connection: autocommit, as the privacy officer, with the vault key.
        erasure_id: the request.
        empty_cache: empties the cache of answers.
        wait_seconds: how long loads under way are waited for, at each of the two places where they must end.
        told: called with each step and the rows it changed.

    Raises:
        TransientError: a load did not end in time; what was done stays.
        psycopg.Error: TS038 or TS039, see docs/errors.md.
    """
    cache: int | None = None
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            row = connection.execute(
                "SELECT o_step, o_rows, o_done FROM privacy.erase_step(%s, %s)", (erasure_id, cache)
            ).fetchone()
        except (pg.LockNotAvailable, pg.DeadlockDetected) as exc:
            if time.monotonic() < deadline:
                continue
            raise TransientError(
                "a load does not end, and the erasure has to wait for it",
                detail=f"It waited {wait_seconds:.0f} s for {_waited_for(connection)}. What was done stays done.",
                hint="End that session or wait for it, then `telestream privacy erase --resume`.",
            ) from exc
        assert row is not None  # a function returns one row
        step, rows, done = row
        told(step, rows)
        if done:
            return proof(connection, erasure_id)
        cache = empty_cache() if step == "cache" and cache is None else None
        deadline = time.monotonic() + wait_seconds


def proof(connection: Connection, erasure_id: int) -> Proof:
    """Return the proof of an erasure that is done.

    Raises:
        UsageError: there is none.
    """
    row = connection.execute(
        "SELECT proof, encode(proof_sha256, 'hex') FROM privacy.erasure WHERE erasure_id = %s AND state = 'done'",
        (erasure_id,),
    ).fetchone()
    if row is None:
        raise UsageError(f"there is no proof of erasure {erasure_id}", hint="See `telestream privacy list`.")
    return Proof(erasure_id, *row)


def is_sealed(connection: Connection, found: Proof) -> bool:
    """Say whether the record has its hash, and the access log the same one."""
    row = connection.execute(
        "SELECT encode(sha256(convert_to(e.proof::text, 'UTF8')), 'hex') = %(sha256)s AND EXISTS ("
        "SELECT FROM audit.access_log AS l WHERE l.operation = 'erased'"
        " AND l.object_ids = ARRAY[%(id)s::text, %(sha256)s])"
        " FROM privacy.erasure AS e WHERE e.erasure_id = %(id)s",
        {"sha256": found.sha256, "id": found.erasure_id},
    ).fetchone()
    return row is not None and bool(row[0])


def _waited_for(connection: Connection) -> str:
    """Name the sessions that hold what an erasure waits for."""
    rows = connection.execute(
        "SELECT DISTINCT l.pid FROM pg_locks AS l"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid()"
        " AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())"
        " AND l.classid = 0 AND l.objid IN (7301008, 7301010, 7301012, 7301013, 7301019) ORDER BY 1"
    ).fetchall()
    return "the sessions " + ", ".join(str(pid) for (pid,) in rows) if rows else "a session that has ended since"
