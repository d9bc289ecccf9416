"""The commands `telestream topics …`."""

from __future__ import annotations

import typer
from rich.table import Table

from telestream.console import console
from telestream.consumers.kafka_options import kafka_options
from telestream.topics import TOPICS, create_topics

app = typer.Typer(no_args_is_help=True, help="The Kafka topics: what they are for, and making them.")


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="topics")


@app.command("list")
def list_topics() -> None:
    """Show the topics that the product uses, with their partitions and settings."""
    table = Table("topic", "partitions", "purpose", "settings")
    for spec in TOPICS:
        table.add_row(
            spec.name, str(spec.partitions), spec.purpose, ", ".join(f"{k}={v}" for k, v in spec.config.items())
        )
    console.print(table)


@app.command()
def create() -> None:
    """Create the topics that do not exist yet; `telestream stack up` does it for the embedded broker."""
    table = Table("topic", "partitions", "")
    few = False
    for one in create_topics(kafka_options()):
        short = one.partitions < one.spec.partitions
        few = few or short
        table.add_row(
            one.spec.name,
            f"[yellow]{one.partitions}[/]" if short else str(one.partitions),
            "created" if one.created else "exists",
        )
    console.print(table)
    if few:
        console.print(
            "[yellow]warning:[/] a topic has fewer partitions than stated: no more consumers than that share its work. "
            "Add partitions with your broker's tools; events of a cell then change partition once."
        )
