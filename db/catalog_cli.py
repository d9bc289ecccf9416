"""`telestream catalog` and `telestream masking`: what there is, what it says of people, and who sees it how."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from telestream.console import console
from telestream.db import migrate
from telestream.db.connection import connect, translated

masking_app = typer.Typer(help="Masked views and the rules they are made of.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("catalog")(catalog)
    app.add_typer(masking_app, name="masking")


def catalog(
    dataset: Annotated[str, typer.Argument(help="Only these, e.g. silver.fact_cdr or 'gold.*'.")] = "*",
    pii: Annotated[bool, typer.Option("--pii", help="Only columns that say something of a person.")] = False,
) -> None:
    """List tables, views and their columns: type, class of personal data, description, freshness and size."""
    with translated(), connect() as connection:
        migrate.require_head(connection)
        rows = connection.execute(
            "SELECT dataset, column_name, data_type, pii_class, owner, coalesce(description, ''),"
            " coalesce(to_char(last_change_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), ''),"
            " coalesce(rows_estimate::text, ''), coalesce(pg_size_pretty(bytes), '') FROM ops.catalog"
            " WHERE dataset LIKE replace(replace(%s, '_', '\\_'), '*', '%%')"
            " AND (NOT %s OR pii_class <> 'none')"
            " ORDER BY dataset, column_number",
            (dataset, pii),
        ).fetchall()
    table = Table(
        "dataset", "column", "type", "class", "owner", "description", "last change (UTC)", "rows, about", "size",
        title=f"{len(rows):,} columns",
    )  # fmt: skip
    for row in rows:
        table.add_row(*row)
    console.print(table)


@masking_app.command("apply")
def masking_apply() -> None:
    """Make the masked views from privacy.masking_rule, and drop those whose rules are gone."""
    table = Table("view", "outcome", title="Masked views")
    with translated(), connect(role="telestream_owner") as connection:
        migrate.require_head(connection)
        for row in connection.execute("SELECT * FROM privacy.apply_masking()"):
            table.add_row(*row)
    console.print(table)


@masking_app.command("list")
def masking_list() -> None:
    """List the rules: what each role sees of each column."""
    table = Table("table", "column", "role", "mask", "arguments", "why", title="Rules of masking")
    with translated(), connect(role="telestream_privacy") as connection:
        migrate.require_head(connection)
        for row in connection.execute(
            "SELECT schema_name || '.' || table_name, column_name, role, mask, arguments::text, reason"
            " FROM privacy.masking_rule ORDER BY 1, 2, 3"
        ):
            table.add_row(*row)
    console.print(table)
