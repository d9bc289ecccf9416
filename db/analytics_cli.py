"""The commands of analytics: `telestream analytics …`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from telestream.console import console
from telestream.db import analytics, migrate
from telestream.db.connection import connect, database_url, translated
from telestream.errors import UsageError

analytics_app = typer.Typer(
    help="What is worked out from Gold in batches: run it, see how it went.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(analytics_app, name="analytics")


@analytics_app.command("list")
def analytics_list() -> None:
    """Show the tasks and the last run of each."""
    table = Table("task", "what", "last run", "status", "rows", "seconds", "result", title="Analytics")
    with translated(), connect() as connection:
        migrate.require_head(connection)
        for task in analytics.tasks(connection):
            what = task.description if task.is_enabled else f"{task.description} (not scheduled)"
            table.add_row(task.name, what, *(_cells(task.last) if task.last else ("never", "", "", "", "")))
    console.print(table)


@analytics_app.command("show")
def analytics_show(
    name: Annotated[str, typer.Argument(help="Name of the task, see `telestream analytics list`.")],
    newest: Annotated[int, typer.Option(min=1, help="How many runs.")] = 20,
) -> None:
    """Show the runs of a task, the newest first."""
    table = Table("run", "began", "status", "rows", "seconds", "result", title=name)
    with translated(), connect() as connection:
        migrate.require_head(connection)
        if name not in {task.name for task in analytics.tasks(connection)}:
            raise UsageError(f"there is no task {name}", hint="See `telestream analytics list`.")
        for run in analytics.runs(connection, name, newest):
            table.add_row(str(run.number), *_cells(run))
    console.print(table)


@analytics_app.command("run")
def analytics_run(
    name: Annotated[str | None, typer.Argument(help="Name of the task; without it all that are scheduled.")] = None,
) -> None:
    """Run a task now, as `telestream db schedule` has it run each night.

    It takes up what Gold has got since its last run, so running it twice changes nothing.

    Try: telestream analytics run cell_fingerprint
    """
    url = database_url()
    with translated(url), connect(url) as connection:
        migrate.require_head(connection)
        known = analytics.tasks(connection)
        if name is not None and name not in {task.name for task in known}:
            raise UsageError(f"there is no task {name}", hint="See `telestream analytics list`.")
    with console.status("running"):
        analytics.run(url, name)
    with translated(url), connect(url) as connection:
        for task in analytics.tasks(connection):
            if task.last and (task.name == name or (name is None and task.is_enabled)):
                console.print(f"{task.name}: {task.last.result} ({task.last.seconds or 0:.1f} s)", highlight=False)


def _cells(run: analytics.Run) -> tuple[str, str, str, str, str]:
    return (
        f"{run.started_at:%Y-%m-%d %H:%M}",
        run.status,
        "" if run.rows is None else f"{run.rows:,}",
        "" if run.seconds is None else f"{run.seconds:.1f}",
        run.result or "",
    )
