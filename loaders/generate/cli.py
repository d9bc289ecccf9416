"""The `telestream generate` commands: CDR files of any size with a known truth, and the cells they name."""

from __future__ import annotations

import time
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import pyarrow.csv
import pyarrow.parquet
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from telestream.errors import UsageError
from telestream.loaders.generate import population
from telestream.loaders.generate.churn import LEAST_WEEKS, write_churn
from telestream.loaders.generate.customers import customers as make_customers
from telestream.loaders.generate.files import generate_cdr
from telestream.loaders.generate.fraud import write_fraud
from telestream.loaders.generate.manifest import Manifest, Totals
from telestream.loaders.generate.spec import FileFormat, GenerateSpec

_Seed = Annotated[
    int,
    typer.Option("--seed", help="The same seed gives the same people and cells, and the same rows of a day."),
]
_Archetypes = Annotated[
    bool,
    typer.Option(
        "--archetypes", help="Let each cell follow one of five curves of the week: business, residential, stadium, …"
    ),
]
_Cells = Annotated[int, typer.Option("--cells", help="Number of cells; their traffic is heavy-tailed.")]

_generate = typer.Typer(
    help="Make CDR files to try things with: any size, always the same for a seed, with a known truth.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the `generate` commands to an app."""
    app.add_typer(_generate, name="generate")


@_generate.command("cdr")
def cdr(
    rows: Annotated[int, typer.Option("--rows", help="Rows of the file, defects included.")],
    day: Annotated[
        datetime,
        typer.Option("--day", formats=["%Y-%m-%d"], help="The day of the rows, in UTC. A loader refuses the future."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The file to write; its ending tells the format.")],
    format: Annotated[
        FileFormat | None, typer.Option("--format", help="The format, where the name does not tell it.")
    ] = None,
    seed: _Seed = GenerateSpec.seed,
    cells: _Cells = GenerateSpec.cells,
    subscribers: Annotated[
        int, typer.Option("--subscribers", help="Number of subscribers; a few of them make most of the rows.")
    ] = GenerateSpec.subscribers,
    duplicates: Annotated[
        float,
        typer.Option("--duplicates", help="Share of rows that are exact copies of earlier ones: 0.01 is 1 %."),
    ] = GenerateSpec.duplicates,
    late: Annotated[
        float,
        typer.Option("--late", help="Share of rows an hour or more late, half of them from before the day."),
    ] = GenerateSpec.late,
    bad: Annotated[
        float, typer.Option("--bad", help="Share of rows that must be refused, each for exactly one reason.")
    ] = GenerateSpec.bad,
    archetypes: _Archetypes = GenerateSpec.archetypes,
    settled: Annotated[
        bool, typer.Option("--settled", help="Let people stay where they live, as rules against fraud expect it.")
    ] = GenerateSpec.settled,
) -> None:
    """Write one day of CDRs in the canonical format, and beside it OUT.manifest.json with the truth about it.

    The manifest says how many rows a loader must load, which lines it must refuse and why, and the sums that
    Gold must then show, so a load can be checked to the last row.

    [bold]A first file:[/]
      telestream generate cdr --rows 100000 --day 2026-03-01 --out day.csv

    [bold]With something wrong in every way:[/]
      telestream generate cdr --rows 100000 --day 2026-03-01 --out day.csv.zst --bad 0.01 --late 0.02
    """
    spec = GenerateSpec(
        rows=rows,
        day=day.date(),
        seed=seed,
        format=format or FileFormat.of(out),
        cells=cells,
        subscribers=subscribers,
        duplicates=duplicates,
        late=late,
        bad=bad,
        archetypes=archetypes,
        settled=settled,
    )
    started = time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"writing {out.name}", total=rows)
        manifest = generate_cdr(spec, out, lambda written: bar.advance(task, written))
    seconds = time.perf_counter() - started
    truth = out.with_name(f"{out.name}.manifest.json")
    manifest.save(truth)

    console = Console()
    console.print(_rows_table(manifest))
    console.print(_gold_table(manifest))
    console.print(
        f"{out}: {out.stat().st_size / 1e6:,.1f} MB in {seconds:.1f} s ({rows / seconds:,.0f} rows/s)\n"
        f"{truth}: the truth about it",
        soft_wrap=True,
        highlight=False,
    )


@_generate.command("cells")
def write_cells(
    out: Annotated[Path, typer.Option("--out", help="The CSV file to write.")],
    count: _Cells = GenerateSpec.cells,
    seed: _Seed = GenerateSpec.seed,
    archetypes: _Archetypes = GenerateSpec.archetypes,
) -> None:
    """Write the cells that the CDRs of a seed name: place, region, technology and weight of each.

    Give the same --cells, --seed and --archetypes as to `generate cdr`; with the last a column has the truth.
    """
    table = population.cells(GenerateSpec(rows=1, day=date(2026, 3, 1), cells=count, seed=seed, archetypes=archetypes))
    try:
        pyarrow.csv.write_csv(table, out, pyarrow.csv.WriteOptions(quoting_style="needed"))
    except OSError as exc:
        raise UsageError(f"cannot write {out}", hint="Name a file in a folder you can write to.") from exc
    Console().print(f"{out}: {table.num_rows:,} cells", soft_wrap=True, highlight=False)


@_generate.command("customers")
def write_customers(
    out: Annotated[Path, typer.Option("--out", help="The CSV or Parquet file to write.")],
    day: Annotated[datetime, typer.Option("--day", formats=["%Y-%m-%d"], help="Day of the CDRs; changes lie before.")],
    count: Annotated[int, typer.Option("--customers", help="How many of the subscribers are customers.")] = 10_000,
    seed: _Seed = GenerateSpec.seed,
    cells: _Cells = GenerateSpec.cells,
    subscribers: Annotated[int, typer.Option("--subscribers", help="As for the CDRs.")] = GenerateSpec.subscribers,
) -> None:
    """Write the changes of customers that a CRM would tell of: several each, in no order, some twice.

    Give the same --seed, --cells and --subscribers as to `generate cdr`: numbers, regions and plans then agree.
    """
    spec = GenerateSpec(rows=1, day=day.date(), seed=seed, cells=cells, subscribers=subscribers)
    table = make_customers(spec, count)
    try:
        if out.suffix == ".parquet":
            pyarrow.parquet.write_table(table, out)
        else:
            pyarrow.csv.write_csv(table, out, pyarrow.csv.WriteOptions(quoting_style="needed"))
    except OSError as exc:
        raise UsageError(f"cannot write {out}", hint="Name a file in a folder you can write to.") from exc
    Console().print(f"{out}: {table.num_rows:,} changes of {count:,} customers", soft_wrap=True, highlight=False)


@_generate.command("fraud")
def fraud(
    day: Annotated[datetime, typer.Option("--day", formats=["%Y-%m-%d"], help="The last day of the rows, in UTC.")],
    out: Annotated[Path, typer.Option("--out", help="The CSV file to write.")],
    days: Annotated[int, typer.Option("--days", min=1, help="Days the rows are spread over.")] = 10,
    cases: Annotated[int, typer.Option("--cases", min=1, help="Numbers planted for each rule.")] = 5,
    lookalikes: Annotated[
        int, typer.Option("--lookalikes", min=0, help="Numbers planted of each kind that only looks like fraud.")
    ] = 2,
    seed: _Seed = GenerateSpec.seed,
    cells: _Cells = GenerateSpec.cells,
) -> None:
    """Write CDRs of planted fraud, and of what only looks like it; OUT.truth.json says who did what when.

    Load it beside the days of `generate cdr --settled` of the same --seed and --cells: people who are anywhere
    from one minute to the next all travel impossibly.

    Try: telestream generate fraud --day 2026-03-10 --out fraud.csv
    """
    spec = GenerateSpec(rows=1, day=day.date(), seed=seed, cells=cells)
    rows, truth = write_fraud(spec, days, cases, lookalikes, out)
    Console().print(f"{out}: {rows:,} rows\n{truth}: the truth about them", soft_wrap=True, highlight=False)


@_generate.command("churn")
def churn(
    day: Annotated[datetime, typer.Option("--day", formats=["%Y-%m-%d"], help="The last day of the rows, in UTC.")],
    out: Annotated[Path, typer.Option("--out", help="The CSV file to write.")],
    weeks: Annotated[int, typer.Option("--weeks", min=1, help="Weeks the rows are spread over.")] = LEAST_WEEKS,
    customers: Annotated[int, typer.Option("--customers", help="People they are about.")] = 2_000,
    seed: _Seed = GenerateSpec.seed,
    cells: _Cells = GenerateSpec.cells,
) -> None:
    """Write CDRs of customers of whom some fade and leave; OUT.truth.json says who, and who only was away.

    Try: telestream generate churn --day 2026-03-29 --out churn.csv
    """
    spec = GenerateSpec(rows=1, day=day.date(), seed=seed, cells=cells, subscribers=customers)
    rows, truth = write_churn(spec, weeks, out)
    Console().print(f"{out}: {rows:,} rows\n{truth}: the truth about them", soft_wrap=True, highlight=False)


def _rows_table(manifest: Manifest) -> Table:
    table = Table("rows", "", title="What is in the file")
    table.columns[1].justify = "right"
    for name, count in (
        ("all", manifest.rows_in),
        ("good", manifest.good),
        ("  of these late, from the same day", manifest.late_same_day),
        ("  of these late, from before the day", manifest.late_before_day),
        ("duplicates of the row before", manifest.duplicates_near),
        ("duplicates of a row far back", manifest.duplicates_far),
        *((f"bad: {kind.value}", found.rows) for kind, found in manifest.bad.items()),
    ):
        table.add_row(name, f"{count:,}")
    return table


def _gold_table(manifest: Manifest) -> Table:
    table = Table("record type", "rows", "billed s", "MB up", "MB down", "charge", title="What Gold must show")
    for column in table.columns[1:]:
        column.justify = "right"

    def add(name: str, totals: Totals) -> None:
        table.add_row(
            name,
            f"{totals.count:,}",
            f"{totals.billed_s:,}",
            f"{totals.bytes_up / 1e6:,.1f}",
            f"{totals.bytes_down / 1e6:,.1f}",
            f"{totals.charge_micro // 10**6:,}.{totals.charge_micro % 10**6 // 100:04d}",
        )

    for kind, totals in manifest.by_record_type.items():
        add(kind, totals)
    table.add_section()
    add("all", manifest.totals)
    return table
