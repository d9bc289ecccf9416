"""The commands that bring data in: `telestream load …`, `profiles …` and `generate …`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from telestream import tracing
from telestream.console import console
from telestream.db import expectations, rollups
from telestream.db.connection import database_url
from telestream.errors import UsageError
from telestream.loaders import customers_cli, profiles_cli
from telestream.loaders.crm_cli import crm_app
from telestream.loaders.dimensions import CELLS, PLANS, REGIONS, Dimension, load_dimension
from telestream.loaders.dry_run import dry_run
from telestream.loaders.generate import cli as generate_cli
from telestream.loaders.pipeline import CdrLoader, FileResult
from telestream.loaders.profile import Profile
from telestream.loaders.profile import load as load_profile
from telestream.loaders.report import LoadProgress, load_table, print_notes
from telestream.loaders.sources import discover
from telestream.loaders.watch import watch

load_app = typer.Typer(help="Load CDR files and dimensions.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    load_app.command("customers")(customers_cli.customers)
    app.add_typer(load_app, name="load")
    app.add_typer(crm_app, name="crm")
    profiles_cli.register(app)
    generate_cli.register(app)


@load_app.command("cdr")
def load_cdr(
    paths: Annotated[list[str], typer.Argument(help="Files, globs, folders or s3://bucket/prefix.")],
    profile: Annotated[
        str | None,
        typer.Option(help="Profile by name, or a path to your own YAML; without it the file is sniffed."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Segments committed side by side.")] = 2,
    dry_run_: Annotated[bool, typer.Option("--dry-run", help="Read and map only; no database is needed.")] = False,
    strict: Annotated[bool, typer.Option(help="Exit code 1 if any record or file was refused.")] = False,
    watch_: Annotated[bool, typer.Option("--watch", help="Go on loading what arrives, until interrupted.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks with --watch.")] = 5.0,
    refresh: Annotated[bool, typer.Option(help="Refresh the touched buckets of Gold at the end.")] = True,
) -> None:
    """Load CDR files into Silver and bring Gold up to date.

    Known files are skipped by content. An interrupted load goes on where it stopped: run the same command
    again. Records that break a rule go to quality.quarantine with their line and reason; the rest loads.

    Examples: telestream load cdr samples/*.csv · telestream load cdr s3://cdr-bucket/2026/ --watch
    """
    chosen = load_profile(profile) if profile else None
    if watch_:
        with tracing.traced("telestream-loader"):
            watch(paths, chosen, workers=workers, interval=interval, refresh=refresh, console=console)
        return
    if dry_run_:
        console.print(load_table(results := dry_run(discover(paths), chosen)))
    else:
        with tracing.traced("telestream-loader"):
            results = load_files(paths, chosen, workers=workers, refresh=refresh)
    print_notes(results, console)
    failed = any(result.outcome == "failed" for result in results)
    refused = any(result.counts.quarantined for result in results)
    if failed or (strict and refused):
        raise typer.Exit(1)


def load_files(
    paths: list[str], profile: Profile | None = None, *, workers: int = 2, refresh: bool = True
) -> list[FileResult]:
    """Load what the paths name, refresh Gold, and show a table; returns what came of each file."""
    sources = discover(paths)
    with LoadProgress(console) as hooks, CdrLoader(workers=workers, hooks=hooks) as loader:
        results = loader.load(sources, profile)
    console.print(load_table(results))
    if refresh:
        started = time.monotonic()
        buckets = rollups.refresh(database_url())
        if buckets is None:
            console.print(rollups.LEFT_TO_JOB)
        elif buckets:
            console.print(f"Gold: {buckets:,} touched buckets refreshed in {time.monotonic() - started:.1f} s")
        expectations.check(database_url())
    if results and all(result.outcome.startswith("already") for result in results):
        console.print("all files are known by their content: nothing was changed")
    return results


def _load_dimension(dimension: Dimension, path: Path, what: str) -> None:
    rows, changed = load_dimension(dimension, path)
    table = Table("file", "rows in", "added or changed")
    table.add_row(path.name, f"{rows:,}", f"{changed:,}")
    console.print(table)
    if not rows:
        raise UsageError(f"{path}: holds no {what}")


@load_app.command("cells")
def load_cells(path: Annotated[Path, typer.Argument(help="CSV with a header.")]) -> None:
    """Add or update cells: cell_id, name, technology, latitude, longitude, region_code."""
    _load_dimension(CELLS, path, "cells")


@load_app.command("regions")
def load_regions(path: Annotated[Path, typer.Argument(help="CSV with a header.")]) -> None:
    """Add or update regions: region_code, name, parent_code."""
    _load_dimension(REGIONS, path, "regions")


@load_app.command("plans")
def load_plans(path: Annotated[Path, typer.Argument(help="CSV with a header.")]) -> None:
    """Add or update service plans: plan_code, name, monthly_fee, currency."""
    _load_dimension(PLANS, path, "plans")
