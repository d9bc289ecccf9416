"""The commands `telestream db`, `gold` and `quality`; adds `archive`, `retention`, `storage` and `doctor`."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict
from rich.table import Table

from telestream import tracing
from telestream.console import console
from telestream.db import migrate, rollups, users
from telestream.db.archive_cli import archive_app
from telestream.db.connection import connect, database_url, translated
from telestream.db.customers import carry_to_facts
from telestream.db.doctor_cli import doctor
from telestream.db.edition import edition
from telestream.db.metrics_cli import metrics
from telestream.db.quality_cli import add_commands
from telestream.db.retention_cli import retention_app
from telestream.db.schedule import schedule
from telestream.db.storage_cli import storage_app
from telestream.db.vault import lend_vault_key, vault_key, with_key_in_force
from telestream.errors import DatabaseUnavailableError, SchemaOutdatedError
from telestream.settings import settings
from telestream.stack.database import create_admin_role, prepare_database

_LOOK_SECONDS = 1.0

db_app = typer.Typer(help="Migrate the database, add users, see where it stands.", no_args_is_help=True)
user_app = typer.Typer(help="Login users and the roles they hold.", no_args_is_help=True)
gold_app = typer.Typer(help="Refresh Gold and check that it equals Silver.", no_args_is_help=True)
quality_app = typer.Typer(help="Quality scores, expectations, quarantine and replay.", no_args_is_help=True)
db_app.add_typer(user_app, name="user")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(db_app, name="db")
    app.add_typer(gold_app, name="gold")
    add_commands(quality_app)
    app.add_typer(quality_app, name="quality")
    app.add_typer(archive_app, name="archive")
    app.add_typer(retention_app, name="retention")
    app.add_typer(storage_app, name="storage")
    app.command()(doctor)
    db_app.command("metrics")(metrics)


@db_app.command("upgrade")
def upgrade(revision: Annotated[str, typer.Argument(help="Revision to go to.")] = "head") -> None:
    """Migrate the database up and apply the routines; does nothing where there is nothing to do."""
    migrate.upgrade(database_url(), revision)
    with connect() as connection:
        console.print(f"at revision {migrate.current(connection)} ({edition(connection)} edition)")


@db_app.command("downgrade")
def downgrade(revision: Annotated[str, typer.Argument(help="Revision to go back to, or 'base'.")]) -> None:
    """Migrate the database down. Tables that a revision made are dropped with their data."""
    migrate.downgrade(database_url(), revision)


@db_app.command("status")
def status() -> None:
    """Show revision, edition, and what lies in each layer."""
    with translated(), connect() as connection:
        migrate.require_head(connection)
        table = Table("what", "value", title="Database")
        table.add_row("revision", migrate.current(connection))
        table.add_row("edition", edition(connection))
        for name, query in (
            ("files", "SELECT count(*) FROM ops.source_file"),
            ("batches", "SELECT count(*) FROM ops.batch"),
            (
                "CDRs in Silver",
                "SELECT coalesce(sum(rows_loaded), 0)::bigint FROM ops.batch WHERE dataset = 'cdr'",
            ),
            ("oldest CDR", "SELECT min(min_event_at) FROM ops.batch"),
            ("newest CDR", "SELECT max(max_event_at) FROM ops.batch"),
            ("Silver size", "SELECT pg_size_pretty(hypertable_size('silver.fact_cdr'))"),
            ("buckets to refresh", "SELECT count(DISTINCT (rollup_name, bucket)) FROM rollup.pending"),
        ):
            row = connection.execute(query).fetchone()
            table.add_row(name, str(row[0]) if row else "")
        console.print(table)


@db_app.command("prepare")
def prepare(
    superuser_url: Annotated[str, typer.Option(help="URL of a superuser.", envvar="TELESTREAM_SUPERUSER_URL")],
    name: Annotated[str, typer.Option(help="Database to create or complete.")] = "telestream",
    owner: Annotated[str, typer.Option(help="Login role that will own it and migrate it.")] = "telestream_admin",
) -> None:
    """Create a database on your own server, with the extensions and rights that migrations need.

    The owner gets the password of TELESTREAM_DATABASE_PASSWORD; without that one is made and shown once.
    """
    given = settings().database_password.get_secret_value()
    password = given or secrets.token_urlsafe(18)
    create_admin_role(superuser_url, owner, password)
    prepare_database(superuser_url, name, owner)
    if given:
        console.print(f"database {name} is ready, its owner {owner} has the given password", highlight=False)
        return
    parts = conninfo_to_dict(superuser_url)
    url = f"postgresql://{owner}:{password}@{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{name}"
    console.print(f"database {name} is ready; its owner {owner} has a new password. Next:", highlight=False)
    console.print(f"  export TELESTREAM_DATABASE_URL={url}", highlight=False, soft_wrap=True)
    console.print("  telestream db upgrade", highlight=False)


@db_app.command("wait")
def wait(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")] = 600.0,
) -> None:
    """Wait until the database is at the revision this version needs or at a newer one, so that what starts finds it."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with translated(), connect() as connection:
                migrate.require_served(connection)
            return
        except (DatabaseUnavailableError, SchemaOutdatedError):
            if time.monotonic() + _LOOK_SECONDS > deadline:
                raise
        time.sleep(_LOOK_SECONDS)


@db_app.command("schedule")
def schedule_jobs() -> None:
    """Schedule refresh and housekeeping inside the database (pg_cron, or TimescaleDB jobs)."""
    with translated(), connect(autocommit=True) as connection:
        migrate.require_head(connection)
        console.print(f"scheduled by {schedule(connection)}")


@user_app.command("add")
def user_add(
    name: Annotated[str, typer.Argument(help="Login name.")],
    role: Annotated[str, typer.Option(help=f"What they may do: {', '.join(users.GROUPS)}.")],
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password; without it one is made and shown once.")
    ] = None,
) -> None:
    """Create a login user that holds a role, or give an existing one a new password."""
    given = password_file.read_text().strip() if password_file else None
    with translated(), connect() as connection:
        secret = users.add_user(connection, name, role, given)
    console.print(f"user {name} holds telestream_{role}")
    if given is None:
        console.print(f"password (shown once): {secret}", highlight=False, markup=False)


@gold_app.command("refresh")
def gold_refresh() -> None:
    """Refresh exactly the buckets that loads have touched."""
    with tracing.traced("telestream-loader"):
        buckets = rollups.refresh(database_url())
    console.print(rollups.LEFT_TO_JOB if buckets is None else f"{buckets:,} touched buckets refreshed")


@gold_app.command("check")
def gold_check(
    day: Annotated[list[str] | None, typer.Option(help="Only this UTC day (YYYY-MM-DD); repeatable.")] = None,
) -> None:
    """Recompute closed buckets from Silver and report every difference; exit code 1 if there is one."""
    from datetime import UTC, datetime, timedelta

    from telestream.errors import UsageError

    differences: list[rollups.Difference] = []
    try:
        windows = [datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) for text in day or []]
    except ValueError as exc:
        raise UsageError(f"cannot read the day: {exc}", hint="Write it as 2026-03-01.") from exc
    if windows:
        for start in windows:
            differences += rollups.check(database_url(), start, start + timedelta(days=1))
    else:
        differences = rollups.check(database_url())
    if not differences:
        console.print("Gold equals Silver: no difference in any closed bucket")
        return
    table = Table("rollup", "bucket", "problem", "row", title=f"{len(differences):,} differences")
    for item in differences[:50]:
        table.add_row(item.rollup, str(item.bucket), item.problem, str(item.row))
    console.print(table)
    raise typer.Exit(1)


def score_table(url: str) -> Table:
    """Return the quality score per dataset and load day as a table."""
    table = Table(
        "dataset", "day", "rows in", "quarantined", "score %", "completeness", "validity", "uniqueness",
        "timeliness", "consistency", title="Quality score",
    )  # fmt: skip
    with translated(url), connect(url) as connection:
        for dataset, day, rows_in, refused, *scores in connection.execute(
            "SELECT * FROM quality.score_by_day ORDER BY dataset, day"
        ):
            table.add_row(dataset, str(day), f"{rows_in:,}", f"{refused:,}", *(str(score) for score in scores))
    return table


def quarantine_table(url: str) -> Table:
    """Return the quarantine by rule as a table."""
    table = Table("rule", "dimension", "records", "not replayed", "what is wrong", title="Quarantine by rule")
    with translated(url), connect(url) as connection:
        for rule, dimension, records, left, message in connection.execute(
            "SELECT rule, dimension, records, open_records, message FROM quality.quarantine_summary"
            " ORDER BY records DESC, rule"
        ):
            table.add_row(rule, dimension, f"{records:,}", f"{left:,}", message)
    return table


@quality_app.command("score")
def quality_score() -> None:
    """Show the quality score per dataset and day."""
    console.print(score_table(database_url()))


@quality_app.command("quarantine")
def quality_quarantine() -> None:
    """Show how many records each rule has refused."""
    console.print(quarantine_table(database_url()))


@quality_app.command("replay")
def quality_replay(
    rule: Annotated[list[str] | None, typer.Option(help="Only records refused by this rule; repeatable.")] = None,
) -> None:
    """Send quarantined records through again, after a rule or a dimension has been put right; refreshes Gold."""
    table = Table("batch", "rows in", "loaded", "duplicate", "quarantined again", title="Replay")
    url = database_url()
    with translated(url), connect(url, role="telestream_loader", autocommit=True) as connection:
        migrate.require_head(connection)
        lend_vault_key(connection, vault_key())
        for row in with_key_in_force(
            connection, lambda: connection.execute("SELECT * FROM quality.replay(%s)", (rule,)).fetchall()
        ):
            table.add_row(*(f"{value:,}" for value in row))
    carry_to_facts(url)
    rollups.refresh(url)
    console.print(table)
