"""Measures the archive: rows per second out of Silver, verified, and bytes per row against the hypertable."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.table import Table

from telestream.console import console
from telestream.db import migrate
from telestream.db.scratch import scratch_database
from telestream.loaders.bench import DATABASE, cdr_file, machine, timed
from telestream.stack import lifecycle


def archive(rows: Annotated[int, typer.Option(help="CDRs in Silver, nearly all of one day.")] = 2_000_000) -> None:
    """Silver → Delta Lake → read back and compared → dropped, in a database of its own that is dropped afterwards.

    The times are of whole commands, start included.
    """
    state = lifecycle.up()
    path = cdr_file(rows)
    console.print(machine(rows, path))
    with (
        scratch_database(state, DATABASE) as (url, superuser_url),
        psycopg.connect(superuser_url, autocommit=True) as superuser,
        tempfile.TemporaryDirectory() as target,
    ):
        migrate.upgrade(url)
        environment = {**os.environ, "TELESTREAM_DATABASE_URL": url}
        with console.status("loading"):
            timed(["load", "cdr", str(path), "--profile", "canonical"], environment)
        [count, size, heap] = superuser.execute(
            "SELECT (SELECT count(*) FROM silver.fact_cdr), sum(total_bytes)::bigint, sum(table_bytes)::bigint"
            " FROM hypertable_detailed_size('silver.fact_cdr')"
        ).fetchone()  # type: ignore[misc]
        command = ["archive", "run", "--dataset", "cdr", "--older-than", "1", "--target", target]
        with console.status("archiving"):
            written, memory = timed(command, environment)
        stored = sum(file.stat().st_size for file in Path(target).rglob("*.parquet"))
        with console.status("dropping"):
            dropped, _ = timed([*command, "--drop"], environment)
        [left] = superuser.execute("SELECT hypertable_size('silver.fact_cdr')").fetchone()  # type: ignore[misc]
    table = Table("what", "measured", title=f"Archive, {count:,} CDRs")
    table.add_row("rows/s, written, read back and compared", f"{count / written:,.0f}")
    table.add_row("rows/s, compared once more and dropped", f"{count / dropped:,.0f}")
    table.add_row("peak memory of the command", f"{memory:.0f} MB")
    table.add_row("bytes per row in Delta Lake", f"{stored / count:.1f}")
    table.add_row(
        "bytes per row in the hypertable, with and without indexes", f"{size / count:.1f} and {heap / count:.1f}"
    )
    table.add_row("hypertable : Delta Lake", f"{size / stored:.1f}")
    table.add_row("bytes freed by the drop", f"{size - left:,}")
    console.print(table)
