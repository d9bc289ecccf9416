"""The commands `telestream backup …`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.table import Table

from telestream.console import console
from telestream.db import backup, erasure_ledger
from telestream.db.backup_manifest import Manifest, read
from telestream.db.connection import connect, database_url, translated
from telestream.db.erasure_ledger import Ledger
from telestream.db.restore import Target, restore, try_out
from telestream.errors import TerminalError, UsageError
from telestream.settings import settings

backup_app = typer.Typer(help="Back the database up, verify a backup, restore it elsewhere.", no_args_is_help=True)
_OFFICER = "telestream_privacy"

Folder = Annotated[Path, typer.Argument(help="Folder of the backup.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(backup_app, name="backup")


@backup_app.command("create")
def create(folder: Annotated[Path, typer.Argument(help="Folder to write; must not exist.")]) -> None:
    """Write a backup of the whole database into a new folder, while loads and readers go on.

    It takes its name once it is whole. The manifest in it has time, revision, versions, and rows and checksum of every
    table and of Gold, all of one moment. Not in it: the vault key, without which nobody in the backup can be found, and
    login roles with their passwords. Keep the key file elsewhere, and as long as the backup.

    Needs the owner's login, and pg_dump of the server's version.

    Try: telestream backup create /backups/2026-03-01
    """
    with _steps() as told:
        manifest = backup.create(database_url(), folder, told)
    _show(manifest)
    console.print(f"written to {folder}; the vault key is not in it: keep it elsewhere", highlight=False)


@backup_app.command("verify")
def verify(
    folder: Folder,
    restore_into: Annotated[
        str | None,
        typer.Option(help="URL of a superuser: restore into a scratch database there, compare, drop it."),
    ] = None,
) -> None:
    """Read a backup to its end and compare its hash; exit code 1 if it is damaged.

    That finds damage, without a server. Full proof that it can be restored is a restore: --restore-into does one into
    the database NAME_restoring, NAME being the URL's, compares rows and checksums of every table and of Gold, and drops
    it.

    Try: telestream backup verify /backups/2026-03-01
    """
    with _steps() as told:
        if restore_into is None:
            told("verify")
            manifest = backup.verify(folder)
        else:
            manifest = try_out(folder, Target(restore_into), told)
    _show(manifest)
    console.print("the backup is whole" if restore_into is None else "the backup was restored and compared")


@backup_app.command("restore")
def restore_(
    folder: Folder,
    into: Annotated[str, typer.Option(help="URL of a superuser; names a database that is missing or empty.")],
    erasures: Annotated[
        Path | None, typer.Option(help="File of `telestream backup erasures`, younger than the backup.")
    ] = None,
    erasures_from: Annotated[str | None, typer.Option(help="URL of the old database, where it can be reached.")] = None,
    no_erasures: Annotated[
        bool, typer.Option("--no-erasures", help="Nobody was erased since the backup was made.")
    ] = False,
) -> None:
    """Restore a backup into a new database, compare it, and erase again whoever was erased since.

    The database has the name NAME_restoring until it is whole: killed before, the same command begins anew. Silver,
    Gold and all other tables must have the rows and checksums of the manifest. The vault key of the backup's time is
    needed. Extensions and group roles are made as by telestream db prepare; the owner's login, where it is missing,
    gets the password of TELESTREAM_DATABASE_PASSWORD, or a new one, shown once.

    A password is better in PGPASSWORD than in the URL, which other users of this machine can see.

    Try: telestream backup restore /backups/2026-03-01 --into postgresql://postgres@db2/telestream --no-erasures
    """
    if sum([erasures is not None, erasures_from is not None, no_erasures]) != 1:
        raise UsageError(
            "it is not said who was erased since the backup",
            hint="Give one of --erasures FILE, --erasures-from URL, or --no-erasures.",
        )
    ledger = _ledger(read(folder), erasures, erasures_from)
    given = settings().database_password.get_secret_value()
    password = given or secrets.token_urlsafe(18)
    target = Target(into)
    with _steps() as told:
        manifest, made_owner, unfinished = restore(folder, target, password, ledger, told)
    _show(manifest)
    console.print(f"database {target.name} is restored and equals the backup of {manifest.made_at}", highlight=False)
    if made_owner and not given:
        console.print(f"password of {manifest.owner} (shown once): {password}", highlight=False, markup=False)
    console.print("Next: telestream db upgrade, telestream db schedule, telestream db user add for each login")
    if unfinished:
        raise TerminalError(
            "somebody has to be erased again by hand, before anybody works with the database",
            detail="\n".join(f"Erasure {one.erasure_id} of {one.requested_at[:10]}: {one.why}." for one in unfinished),
            hint="See `telestream privacy list` on the old database for the case, then `telestream privacy erase`.",
        )


@backup_app.command("erasures")
def erasures_(file: Annotated[Path, typer.Argument(help="File to write, mode 600.")]) -> None:
    """List the erasures done so far, for a restore when this database is lost.

    The list has numbers, times, surrogates and keys of customers: they lead to nobody, but in a backup from before,
    with the vault key. Write it often, and keep it apart from this database. Needs the login of a privacy officer.

    Try: telestream backup erasures /backups/erased.json
    """
    ledger = _ledger_of(database_url())
    erasure_ledger.write(ledger, file)
    console.print(f"{len(ledger.erasures):,} erasures up to {ledger.listed_at} written to {file}", highlight=False)


def _ledger(manifest: Manifest, file: Path | None, url: str | None) -> Ledger | None:
    if file is not None:
        return erasure_ledger.read(file, manifest.made_at)
    return _ledger_of(url) if url is not None else None


def _ledger_of(url: str) -> Ledger:
    with translated(url), connect(url, role=_OFFICER, autocommit=True) as connection:
        return erasure_ledger.listed(connection)


@contextmanager
def _steps() -> Iterator[backup.Told]:
    """Show the step that is under way; each with its seconds once it is over."""
    with console.status("") as status:
        began: list[tuple[str, float]] = []

        def told(step: str) -> None:
            if began:
                console.print(f"{began[-1][0]}: {time.monotonic() - began[-1][1]:.1f} s", highlight=False)
            began.append((step, time.monotonic()))
            status.update(step)

        yield told
        if began:
            console.print(f"{began[-1][0]}: {time.monotonic() - began[-1][1]:.1f} s", highlight=False)


def _show(manifest: Manifest) -> None:
    contents = manifest.contents
    table = Table("what", "value", title="Backup")
    table.add_row("made at", manifest.made_at)
    table.add_row("revision", f"{manifest.revision} ({manifest.edition} edition)")
    table.add_row("versions", f"PostgreSQL {manifest.postgres_major}, TimescaleDB {manifest.timescaledb}")
    table.add_row("dump", decimal(manifest.dump_bytes))
    table.add_row("CDRs in Silver", f"{contents['silver.fact_cdr'].rows:,}")
    table.add_row("network events in Silver", f"{contents['silver.fact_network_event'].rows:,}")
    table.add_row("tables and Gold views", f"{len(contents):,}")
    table.add_row("rows", f"{sum(one.rows for one in contents.values()):,}")
    console.print(table)
