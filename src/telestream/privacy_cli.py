"""`telestream privacy`: what is known of a person, and how to erase it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.table import Table

from telestream.console import console
from telestream.db import erasure, export, migrate, rollups
from telestream.db.connection import Connection, connect, database_url, translated
from telestream.db.officer import act_as_officer
from telestream.db.vault import lend_key_in_force, vault_key
from telestream.errors import TelestreamError, UsageError
from telestream.privacy_cache import empty_answers

privacy_app = typer.Typer(help="Duties to people: access and erasure.", no_args_is_help=True)

Subject = Annotated[
    str | None,
    typer.Option(help="The person: +447911123456, imsi:234150000000001, imei:356938035643809 or customer:ID."),
]
Reason = Annotated[
    str | None, typer.Option(help="Why, e.g. the number of the case; kept for good, so it must not name the person.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(privacy_app, name="privacy")


@contextmanager
def _officer() -> Iterator[Connection]:
    vault_key()  # a missing file is said before anything else
    with translated(), connect(autocommit=True) as connection:
        migrate.require_head(connection)
        act_as_officer(connection)
        lend_key_in_force(connection)
        yield connection


@privacy_app.command("export")
def privacy_export(
    subject: Subject,
    reason: Reason,
    output: Annotated[Path | None, typer.Option(help="File to write, mode 600; without it standard output.")] = None,
) -> None:
    """Write everything that is known of a person, as JSON.

    Customer with history, CDRs, network events, usage by day, raw and refused records, messages that could not be
    decoded, and who read of them. Nothing of the other party of a call. The request and its reason are in the
    access log before anything is read.

    Try: telestream privacy export --subject +447911123456 --reason "access request 17/2026" --output person.json
    """
    if not subject or not reason:
        raise UsageError("--subject and --reason are needed", hint="See `telestream privacy export --help`.")
    with _officer() as connection:
        person = export.request(connection, subject, reason)
        with _target(output) as file:
            for line in export.lines(connection, person):
                file.write(line + "\n")
        connection.execute("SELECT audit.seal()")
    if output is not None:
        console.print(f"written to {output}", highlight=False)


@contextmanager
def _target(output: Path | None) -> Iterator[TextIO]:
    """Open what is written to; a file takes its name once it is whole."""
    if output is None:
        yield sys.stdout
        return
    part = output.with_name(f".{output.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(descriptor, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
        part.replace(output)
    except OSError as exc:
        raise UsageError(f"{output} cannot be written", detail=f"{exc.strerror}.", hint="Name another file.") from exc
    finally:
        part.unlink(missing_ok=True)


@privacy_app.command("erase")
def privacy_erase(
    subject: Subject = None,
    reason: Reason = None,
    policy: Annotated[
        str,
        typer.Option(
            help="unlink: facts stay and lead to nobody, Gold is unchanged. delete: facts go, Gold is computed anew."
        ),
    ] = "unlink",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the erasure that is under way.")] = False,
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait for loads under way.")] = 600,
) -> None:
    """Erase a person, so that no table, no cached answer and no message here leads to them any more.

    A number leads to its customer, a customer to all its numbers: all are erased together. A number that went on to
    another customer stays theirs. Killed at any point, the same command, or --resume, goes on. At the end a proof
    stays that names nobody: telestream privacy show.

    Loads go on meanwhile. One that begins after the end brings new data: take the person out of the sources first.

    Try: telestream privacy erase --subject +447911123456 --reason "erasure request 17/2026"
    """
    if policy not in erasure.POLICIES:
        raise UsageError(f"there is no policy {policy!r}", hint=f"Choose one of: {', '.join(erasure.POLICIES)}.")
    if resume == bool(subject) or (subject and not reason):
        raise UsageError("say whom to erase and why, or --resume", hint="See `telestream privacy erase --help`.")
    with _officer() as connection:
        number = (
            erasure.running(connection) if resume else erasure.request(connection, subject or "", reason or "", policy)
        )
        with console.status(f"erasure {number}") as status:
            found = erasure.carry_out(
                connection,
                number,
                empty_answers,
                wait_seconds=wait,
                told=lambda step, rows: status.update(f"erasure {number}: {step}, {rows:,} rows"),
            )
        connection.execute("SELECT audit.seal()")
        _show(found)
        gold = _refreshed(connection)
    console.print(f"erasure {number} is done{gold}", highlight=False)


def _refreshed(connection: Connection) -> str:
    """Bring Gold up to date where the erasure marked it, as far as this login may; return what to say of it."""
    if connection.execute("SELECT 1 FROM rollup.pending LIMIT 1").fetchone() is None:
        return ""
    try:
        done = rollups.refresh(database_url()) is not None
    except TelestreamError:
        done = False
    return "; Gold is refreshed" if done else f"; {rollups.LEFT_TO_JOB}"


@privacy_app.command("list")
def privacy_list() -> None:
    """List the erasures: those under way and those that are done."""
    table = Table("erasure", "requested", "by", "policy", "state", "step", "finished", "reason", title="Erasures")
    with translated(), connect(autocommit=True) as connection:
        migrate.require_head(connection)
        act_as_officer(connection)
        rows = connection.execute(
            "SELECT erasure_id::text, to_char(requested_at, 'YYYY-MM-DD HH24:MI'), requested_by, policy, state, step,"
            " coalesce(to_char(finished_at, 'YYYY-MM-DD HH24:MI'), ''), reason"
            " FROM privacy.erasure ORDER BY erasure_id"
        ).fetchall()
    for row in rows:
        table.add_row(*row)
    console.print(table)


@privacy_app.command("show")
def privacy_show(
    number: Annotated[int, typer.Argument(help="Number of the erasure, see `telestream privacy list`.")],
) -> None:
    """Show the proof of an erasure, and whether the access log has the same hash of it; exit code 1 if not."""
    with translated(), connect(autocommit=True) as connection:
        migrate.require_head(connection)
        act_as_officer(connection)
        found = erasure.proof(connection, number)
        sealed = erasure.is_sealed(connection, found)
    _show(found)
    console.print("sealed in the access log" if sealed else "NOT sealed in the access log: telestream audit verify")
    if not sealed:
        raise typer.Exit(1)


def _show(found: erasure.Proof) -> None:
    table = Table("what", "value", title=f"Proof of erasure {found.erasure_id}")
    record = found.record
    for name in ("requested_at", "requested_by", "finished_at", "reason", "policy", "found", "rounds"):
        table.add_row(name.replace("_", " "), str(record[name]))
    for name, count in record["identities"].items():
        table.add_row(name, str(count))
    for name, count in sorted(record["rows"].items()):
        if count:
            table.add_row(name, f"{count:,}")
    table.add_row("tables searched", str(len(record["searched"])))
    table.add_row("SHA-256", found.sha256)
    console.print(table)
