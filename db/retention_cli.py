"""The commands of retention: `telestream retention …`."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from telestream.console import console
from telestream.db import migrate, retention
from telestream.db.connection import Connection, connect, database_url, translated
from telestream.db.retention import OWNER, exclusive
from telestream.errors import UsageError

retention_app = typer.Typer(help="How long records are kept, and what must not go.", no_args_is_help=True)
hold_app = typer.Typer(help="Legal holds: what stays whatever its age.", no_args_is_help=True)
retention_app.add_typer(hold_app, name="hold")


@retention_app.command("show")
def retention_show() -> None:
    """Show the rules that apply, the legal holds in force, and what is due."""
    rules = Table("records", "minimum", "maximum", "where from", title="Retention")
    holds = Table("hold", "dataset", "subscriber_id", "from", "to", "since", "until", "reason", title="Legal holds")
    with translated(), connect(role=OWNER) as connection:
        migrate.require_head(connection)
        for name, minimum, maximum, source in connection.execute(
            "SELECT c.name, e.o_minimum::text, e.o_maximum::text, e.o_sources FROM unnest(ARRAY['bronze.cdr',"
            " 'bronze.network_event', 'bronze.customer', 'silver.cdr', 'silver.network_event',"
            " 'archive.cdr', 'archive.network_event', 'quarantine', 'dead_letter']) AS c (name)"
            " CROSS JOIN LATERAL ops.effective_retention(c.name) AS e"
        ):
            rules.add_row(name, minimum or "none", maximum or "none", source or "no rule applies")
        for row in connection.execute(
            "SELECT hold_id, coalesce(dataset, 'all'), subscriber_id, from_at, to_at, since, until, reason"
            " FROM ops.legal_hold WHERE until IS NULL OR until > now() ORDER BY hold_id"
        ):
            holds.add_row(*("" if value is None else str(value) for value in row))
        pieces = retention.plan(connection) + _archived(connection)
    console.print(rules)
    if holds.row_count:
        console.print(holds)
    console.print(_summary(pieces, "Older than their maximum"))


@retention_app.command("run")
def retention_run(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go and what is held; drop nothing.")
    ] = False,
) -> None:
    """Drop what is older than its maximum: Bronze, Silver, the archive, quarantine, dead letters.

    Rules are rows of ops.retention_rule; those of the setting jurisdiction and of * apply, the strictest counts.
    Nothing goes that is younger than a minimum, under legal hold, or whose Gold waits for a refresh; where Silver is
    archived, nothing that the archive does not have. Each piece is a short transaction, so loads go on meanwhile.
    `telestream db schedule` does the same each night, but for the archive, which the database cannot reach.

    Try: telestream retention run --dry-run
    """
    with exclusive(database_url()) as connection:
        migrate.require_head(connection)
        if dry_run:
            console.print(_summary(retention.plan(connection) + _archived(connection), "Would be dropped"))
            return
        pieces = retention.plan(connection)
        done = []
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True
        ) as bars:
            task = bars.add_task("retention", total=len(pieces))
            for piece in pieces:
                if piece.held is None:
                    freed, held = retention.drop(connection, piece)
                    if freed or held is None:
                        done.append(retention.Piece(**{**vars(piece), "bytes": freed, "held": None}))
                    if held is not None:
                        done.append(retention.Piece(**{**vars(piece), "bytes": piece.bytes - freed, "held": held}))
                else:
                    done.append(piece)
                bars.advance(task)
        console.print(_summary(done, "Retention"))
        # Last, so that an archive out of reach keeps nothing in the database; planned anew, for the holds of now.
        if archived := _archived(connection):
            from telestream.db import archive_expiry

            archive_expiry.expire(connection, [piece for piece in archived if piece.held is None])
            console.print(_summary(archived, "Retention of the archive"))


def _archived(connection: Connection) -> list[retention.Piece]:
    """Return the archived days that are older than their maximum."""
    if connection.execute("SELECT EXISTS (SELECT FROM ops.archive_day WHERE state = 'dropped')").fetchone() != (True,):
        return []
    from telestream.db import archive_expiry  # takes half a second to import

    return archive_expiry.plan(connection)


def _summary(pieces: list[retention.Piece], title: str) -> Table:
    table = Table(title=title)
    for name in ("records", "dropped or due", "bytes", "held", "bytes held", "because"):
        table.add_column(name, justify="left" if name in {"records", "because"} else "right")
    grouped: dict[str, list[retention.Piece]] = defaultdict(list)
    for piece in pieces:
        grouped[piece.record_class].append(piece)
    for name, group in grouped.items():
        due = [piece for piece in group if piece.held is None]
        held = [piece for piece in group if piece.held is not None]
        table.add_row(
            name, _count(due), f"{sum(piece.bytes for piece in due):,}", _count(held),
            f"{sum(piece.bytes for piece in held):,}", "; ".join(sorted({str(piece.held) for piece in held})),
        )  # fmt: skip
    return table


def _count(pieces: list[retention.Piece]) -> str:
    rows = [piece.rows for piece in pieces if piece.rows is not None]
    return f"{sum(rows):,} rows" if rows else f"{len(pieces):,}"


@hold_app.command("add")
def hold_add(
    reason: Annotated[str, typer.Option(help="Why, e.g. a file number; no personal data.")],
    dataset: Annotated[str | None, typer.Option(help="cdr or network_event; without it both.")] = None,
    subscriber_id: Annotated[int | None, typer.Option(help="Surrogate of a person; without it everybody.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="First event time, e.g. 2026-03-01T00:00Z.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the event times.")] = None,
    until: Annotated[str | None, typer.Option(help="In force until then; without it until lifted.")] = None,
) -> None:
    """Place a legal hold: by dataset, person, range of event times, or several of them together."""
    if dataset is None and subscriber_id is None and start is None and end is None:
        raise UsageError(
            "the hold says nothing of what it holds", hint="Name --dataset, --subscriber-id, --from or --to."
        )
    with translated(), connect(role=OWNER) as connection:
        migrate.require_head(connection)
        row = connection.execute(
            "INSERT INTO ops.legal_hold (dataset, subscriber_id, from_at, to_at, until, reason)"
            " VALUES (%s, %s, %s, %s, %s, %s) RETURNING hold_id",
            (dataset, subscriber_id, start, end, until, reason),
        ).fetchone()
    console.print(f"legal hold {row[0] if row else ''} is in force")


@hold_app.command("lift")
def hold_lift(
    number: Annotated[int, typer.Argument(help="Number of the hold, see `telestream retention show`.")],
) -> None:
    """Lift a legal hold; its row stays, with the time."""
    with translated(), connect(role=OWNER) as connection:
        lifted = connection.execute(
            "UPDATE ops.legal_hold SET until = clock_timestamp()"
            " WHERE hold_id = %s AND (until IS NULL OR until > now())",
            (number,),
        ).rowcount
    if not lifted:
        raise UsageError(f"there is no legal hold {number} in force", hint="See `telestream retention show`.")
    console.print(f"legal hold {number} is lifted")
