"""The commands of storage: `telestream storage …`."""

from __future__ import annotations

import typer
from rich.table import Table

from telestream.console import console
from telestream.db import migrate
from telestream.db.connection import connect, translated
from telestream.db.edition import edition
from telestream.db.schedule import apply_storage

storage_app = typer.Typer(help="How hypertables are stored: when their chunks are compressed.", no_args_is_help=True)


@storage_app.command("show")
def storage_show() -> None:
    """Show the storage policies, rows of ops.storage_policy."""
    table = Table("table", "class", "compress after", "segment by", "order by", "because", title="Storage policies")
    with translated(), connect() as connection:
        migrate.require_head(connection)
        for name, kind, after, segments, order, reason in connection.execute(
            "SELECT table_name, data_class, compress_after::text, array_to_string(segment_by, ', '), order_by, reason"
            " FROM ops.storage_policy ORDER BY data_class, table_name"
        ):
            table.add_row(name, kind, after or "never", segments, order, reason)
        here = edition(connection)
    console.print(table)
    if here == "apache":
        console.print("This is the Apache edition of TimescaleDB: it compresses nothing, whatever the policies say.")


@storage_app.command("apply")
def storage_apply() -> None:
    """Make the server's policies those of ops.storage_policy; `telestream db schedule` does it, too.

    Chunks are compressed by a job of the server, not at once. What is compressed stays so when a policy goes.
    """
    table = Table("table", "now", title="Storage")
    with translated(), connect(autocommit=True) as connection:
        migrate.require_head(connection)
        for row in apply_storage(connection):
            table.add_row(*row)
    console.print(table)
