"""`telestream crm sync`: customers from the REST API of a CRM."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich.table import Table

from telestream import tracing
from telestream.console import console
from telestream.loaders.crm import sync as sync_customers
from telestream.loaders.crm_client import CrmClient
from telestream.loaders.customer_records import DEFAULT_SOURCE
from telestream.loaders.customers_cli import carry
from telestream.settings import settings

crm_app = typer.Typer(help="Customers from the REST API of a CRM.", no_args_is_help=True)


@crm_app.callback()
def _group() -> None:
    """Keep `sync` a command of its own, though it is the only one."""


@crm_app.command("sync")
def sync(
    url: Annotated[str | None, typer.Option(help="URL that lists customers; else TELESTREAM_CRM_URL.")] = None,
    source: Annotated[str, typer.Option(help="Name of the CRM; its watermark is kept under it.")] = DEFAULT_SOURCE,
    page_size: Annotated[int, typer.Option(min=1, max=10_000, help="Customers asked for at once.")] = 1000,
    overlap: Annotated[float, typer.Option(min=0, help="Seconds before the watermark that are asked for again.")] = 300,
    refresh: Annotated[bool, typer.Option(help="Bring facts and Gold up to date at the end.")] = True,
) -> None:
    """Take in every customer that changed since the last sync, and bring facts and Gold up to date.

    The bearer token is TELESTREAM_CRM_TOKEN. An interrupted sync goes on where it stopped: run the same command
    again. docs/formats.md tells what the API must answer.
    """
    client = CrmClient(url or settings().crm_url, settings().crm_token.get_secret_value())
    with tracing.traced("telestream-loader"):
        with console.status("syncing"):
            result = sync_customers(
                client, source_system=source, page_size=page_size, overlap=timedelta(seconds=overlap)
            )
        table = Table("source", "pages", "rows in", "loaded", "duplicate", "quarantined", "watermark", title="CRM sync")
        counts = result.counts
        table.add_row(
            source + (" (resumed)" if result.resumed else ""),
            *(f"{n:,}" for n in (result.pages, counts.rows_in, counts.loaded, counts.duplicate, counts.quarantined)),
            result.watermark.strftime("%Y-%m-%d %H:%M:%SZ") if result.watermark else "",
        )
        console.print(table)
        if refresh:
            carry()
