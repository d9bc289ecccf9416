"""Carries to the facts what changed about customers."""

from __future__ import annotations

from telestream.db.connection import connect, translated


def carry_to_facts(url: str) -> int:
    """Point the facts of numbers whose customer changed to the version that holds now, a day at a time.

    Gold is marked where a plan changed; `telestream.db.rollups.refresh` brings it up to date.

    Returns:
        How many numbers were waiting.
    """
    with translated(url), connect(url, role="telestream_loader", autocommit=True) as connection:
        row = connection.execute("SELECT silver.rekey_waiting()").fetchone()
        # Called even if none waits: another process may be at it, and its work is waited for.
        connection.execute("CALL silver.rekey_pending()")
    return int(row[0]) if row else 0
