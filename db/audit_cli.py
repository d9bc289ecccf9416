"""`telestream audit`: chains what waits for the access log, and verifies the chain."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from telestream.console import console
from telestream.db import migrate
from telestream.db.access_chain import Anchor, Verdict, verify
from telestream.db.connection import connect, translated
from telestream.errors import TamperedError, UsageError

audit_app = typer.Typer(help="The access log: who read what of people.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(audit_app, name="audit")


@audit_app.command("seal")
def audit_seal() -> None:
    """Chain what waits for the access log; a job does it each minute."""
    with translated(), connect(role="telestream_privacy") as connection:
        migrate.require_head(connection)
        row = connection.execute("SELECT audit.seal()").fetchone()
    console.print(f"{row[0] if row else 0:,} rows chained")


@audit_app.command("verify")
def audit_verify(
    head: Annotated[
        str | None, typer.Option(help="An end of the chain noted before, POSITION:HASH; it must be in the chain.")
    ] = None,
) -> None:
    """Recompute the chain of the access log; exit code 1 with the first place that was changed, if there is one."""
    known = _anchor(head) if head else None
    with translated(), connect(role="telestream_privacy") as connection:
        migrate.require_head(connection)
        connection.commit()
        verdict = verify(connection, known)
    console.print(_table(verdict))
    if verdict.broken:
        raise TamperedError(
            "the access log was tampered with",
            detail=f"{verdict.broken[0].upper()}{verdict.broken[1:]}.",
            hint="Compare with a backup: `telestream audit verify` on it tells since when.",
        )


def _anchor(text: str) -> Anchor:
    position, _, chain = text.partition(":")
    try:
        anchor = Anchor(int(position), bytes.fromhex(chain))
    except ValueError:
        anchor = Anchor(-1, b"")
    if anchor.position < 0 or len(anchor.chain) != 32:
        raise UsageError("the end of the chain cannot be read", hint="Write it as a verification has printed it.")
    return anchor


def _table(verdict: Verdict) -> Table:
    table = Table("what", "value", title="Access log")
    table.add_row("rows verified", f"{verdict.rows:,}")
    table.add_row("chained from", verdict.first_at or "–")
    table.add_row("chained to", verdict.last_at or "–")
    table.add_row("dropped by retention", f"{verdict.dropped:,}")
    table.add_row("waiting to be chained", f"{verdict.waiting:,}")
    if verdict.waiting_since:
        table.add_row("the oldest of them", verdict.waiting_since)
    if verdict.known_is_dropped:
        table.add_row("noted end", "not checked: retention has dropped it")
    table.add_row("chain", "broken" if verdict.broken else "whole")
    # To be noted where nobody who can write to the database can write.
    table.add_row("end (note it elsewhere)", f"{verdict.head.position}:{verdict.head.chain.hex()}")
    return table
