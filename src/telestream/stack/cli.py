"""The commands `telestream stack …`."""

from __future__ import annotations

import os
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from telestream.errors import StackError, UsageError
from telestream.stack import lifecycle
from telestream.stack.root import client_command
from telestream.stack.state import ADMIN_ROLE, DATABASE_NAME, StackPaths, load

stack_app = typer.Typer(no_args_is_help=True, help="The embedded database, cache and broker, without Docker.")

_NOT_RUNNING = 3  # what init scripts' `status` returns for a service that does not run


class Service(StrEnum):
    """A server of the stack that has a log."""

    DATABASE = "database"
    CACHE = "cache"
    BROKER = "broker"
    API = "api"


def register(app: typer.Typer) -> None:
    """Add the stack's commands."""
    app.add_typer(stack_app, name="stack")


@stack_app.command()
def up() -> None:
    """Start database, cache and broker; the first time builds and creates them.

    The broker keeps its topics in memory: a restart makes them anew, empty.
    """
    console = Console(stderr=True)
    began = time.monotonic()
    state = lifecycle.up(lambda text: console.print(f"stack: {text}", highlight=False))
    console.print(
        f"stack: database on 127.0.0.1:{state.database_port}, cache on 127.0.0.1:{state.redis_port},"
        f" broker on {state.kafka_bootstrap}"
        f" ({time.monotonic() - began:.1f} s)",
        highlight=False,
    )


@stack_app.command()
def down() -> None:
    """Stop database, cache, broker and the demonstration's API; the data stays, what the broker held is gone."""
    stopped = lifecycle.down()
    Console(stderr=True).print("stack: stopped" if stopped else "stack: was not running", highlight=False)


@stack_app.command()
def status() -> None:
    """Show what runs; exit code 3 when something does not."""
    services = lifecycle.status()
    table = Table("service", "state", "pid", "address", "version", "data")
    for one in services:
        table.add_row(
            one.service,
            "[green]running[/]" if one.pid else "[red]stopped[/]",
            str(one.pid or ""),
            one.address,
            one.version,
            "" if one.data_bytes is None else decimal(one.data_bytes),
        )
    Console().print(table)
    if not all(one.pid for one in services):
        raise typer.Exit(_NOT_RUNNING)


@stack_app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(
    context: typer.Context,
    role: Annotated[str, typer.Option(help="Act as this role, as `SET ROLE` does.")] = "",
) -> None:
    """Run psql on the embedded database; other options and arguments are psql's own."""
    state = load()
    if state is None or state.postgres_pid is None:
        raise StackError("the embedded database does not run", hint="Run `telestream stack up`.")
    environment = {
        **os.environ,
        "PGHOST": "127.0.0.1",
        "PGPORT": str(state.database_port),
        "PGUSER": ADMIN_ROLE,
        "PGDATABASE": DATABASE_NAME,
        "PGPASSFILE": str(StackPaths.current().password_file),
        "PGCLIENTENCODING": "UTF8",
    }
    if role:
        escaped = role.replace("\\", "\\\\").replace(" ", "\\ ")
        environment["PGOPTIONS"] = f"{os.environ.get('PGOPTIONS', '')} -c role={escaped}".strip()
    _become([*client_command(Path(state.root), "psql"), *context.args], environment)


@stack_app.command()
def logs(
    service: Annotated[Service | None, typer.Argument(help="Which log; all when left out.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are added.")] = False,
) -> None:
    """Show the end of the servers' logs."""
    paths = StackPaths.current()
    files = {
        Service.DATABASE: paths.postgres_log, Service.CACHE: paths.redis_log, Service.BROKER: paths.broker_log,
        Service.API: paths.api_log,
    }  # fmt: skip
    wanted = [path for name, path in files.items() if service in (None, name) and path.exists()]
    if not wanted:
        raise StackError("there is no log yet", hint="Run `telestream stack up`.")
    options = ["-n", "100", *(["-F"] if follow else [])]
    _become(["tail", *options, *map(str, wanted)], dict(os.environ))


@stack_app.command()
def destroy(
    yes: Annotated[bool, typer.Option("--yes", help="Really remove all data.")] = False,
) -> None:
    """Stop the stack and remove its data; the vault key is kept."""
    if not yes:
        raise UsageError("nothing was removed", hint="`telestream stack destroy --yes` removes all data of the stack.")
    lifecycle.destroy()
    Console(stderr=True).print("stack: data removed", highlight=False)


def _become(command: list[str], environment: dict[str, str]) -> NoReturn:
    """Replace this process, so that terminal, signals and exit code are the program's own."""
    sys.stdout.flush()
    os.execvpe(command[0], command, environment)
