"""`telestream bench forecast`: its options; the benchmark is imported when it runs, its libraries weigh 60 MB."""

from __future__ import annotations

from typing import Annotated

import typer


def forecast_(
    cells: Annotated[int, typer.Option(min=50, help="Cells of the network.")] = 5_000,
    weeks: Annotated[int, typer.Option(min=9, help="Weeks of history.")] = 16,
    hours: Annotated[int, typer.Option(min=1, max=24, help="Hours of each day that are put into Gold.")] = 24,
    seed: Annotated[int, typer.Option(help="Of the traffic.")] = 1,
) -> None:
    """Put hourly traffic with a known course into Gold, forecast, and hold the forecast against what came.

    Growth, weeks by kind of cell, noise and outages are planted. "Stored" is the forecast of all cells as a run writes
    it, against the 14 days that follow. "Rolling" moves the origin back by two weeks at a time, on some cells.
    All in a database of its own, which is dropped afterwards.
    """
    from telestream.loaders.bench_forecast import run

    run(cells, weeks, hours, seed)
