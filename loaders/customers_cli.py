"""`telestream load customers`, and what follows each load of customers: facts and Gold."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from telestream import tracing
from telestream.console import console
from telestream.db import rollups
from telestream.db.connection import database_url
from telestream.db.customers import carry_to_facts
from telestream.loaders.customer_records import DEFAULT_SOURCE
from telestream.loaders.customers import load_customers
from telestream.loaders.pipeline import FileResult
from telestream.loaders.report import load_table, print_notes
from telestream.loaders.sources import discover


def customers(
    paths: Annotated[list[str], typer.Argument(help="Files, globs, folders or s3://bucket/prefix.")],
    source: Annotated[
        str, typer.Option(help="Name of the CRM, where the file has no column source_system.")
    ] = DEFAULT_SOURCE,
    strict: Annotated[bool, typer.Option(help="Exit code 1 if any record was refused.")] = False,
    refresh: Annotated[bool, typer.Option(help="Bring facts and Gold up to date at the end.")] = True,
) -> None:
    """Load changes of customers from CSV, JSON lines or Parquet, in any order, and bring facts and Gold up to date.

    Each record is a customer as it was from changed_at on; docs/formats.md has the columns. Known files are skipped
    by content. An interrupted load goes on where it stopped: run the same command again.

    Examples: telestream load customers customers.csv · telestream load customers s3://crm-bucket/2026/
    """
    with tracing.traced("telestream-loader"):
        results = load_customer_files(paths, source, refresh=refresh)
    failed = any(result.outcome == "failed" for result in results)
    if failed or (strict and any(result.counts.quarantined for result in results)):
        raise typer.Exit(1)


def load_customer_files(paths: list[str], source: str = DEFAULT_SOURCE, *, refresh: bool = True) -> list[FileResult]:
    """Load what the paths name, carry it to facts and Gold, and show a table; returns what came of each file."""
    with console.status("loading customers"):
        results = load_customers(discover(paths), source)
    console.print(load_table(results))
    print_notes(results, console)
    if refresh:
        carry()
    return results


def carry() -> None:
    """Point facts to the versions that hold now, refresh Gold, and say so."""
    started = time.monotonic()
    with console.status("bringing facts and Gold up to date"):
        numbers = carry_to_facts(database_url())
        buckets = rollups.refresh(database_url())
    if buckets is None:
        console.print(rollups.LEFT_TO_JOB)
    elif numbers or buckets:
        console.print(
            f"{numbers:,} numbers lead to another version of their customer: facts keyed anew, {buckets:,} touched "
            f"buckets of Gold refreshed, {time.monotonic() - started:.1f} s"
        )
