"""Shows people how a load goes and what came of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from telestream.loaders.ledger import Counts
from telestream.loaders.pipeline import FileResult, Hooks
from telestream.loaders.profile import Profile
from telestream.loaders.readers.segment import Segment
from telestream.loaders.sources import Source

_log = logging.getLogger(__name__)

_COLOURS = {
    "loaded": "green",
    "readable": "green",
    "already loaded": "dim",
    "refused": "yellow",
    "already refused": "dim",
    "failed": "red",
}


class LoadLog(Hooks):
    """A log line of each file that is done, for a service that nobody looks at."""

    def finished(self, result: FileResult) -> None:
        """Say what came of the file."""
        counts = result.counts
        fields = {
            "file": result.uri, "outcome": result.outcome, "profile": result.profile, "rows_in": counts.rows_in,
            "loaded": counts.loaded, "duplicate": counts.duplicate, "quarantined": counts.quarantined,
            "seconds": round(result.seconds, 3),
        }  # fmt: skip
        if result.error is not None:
            _log.error("%s: %s. %s", result.uri, result.error, result.error.detail or "", extra={"fields": fields})
        else:
            _log.info("%s: %s. %s", result.uri, result.outcome, result.note, extra={"fields": fields})


class LoadProgress(Hooks):
    """A progress bar over the bytes of each file, with rows per second."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True),
            TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=console, transient=True,
        )  # fmt: skip
        self._lock = threading.Lock()
        self._tasks: dict[str, tuple[TaskID, float, int]] = {}

    def __enter__(self) -> LoadProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def opened(self, source: Source, profile: Profile) -> None:
        """Show a bar for the file; a compressed one, or one of records, does not tell its length beforehand."""
        in_bytes = profile.format in {"csv", "jsonl"} and source.compression() is None
        total = source.size if in_bytes else None
        with self._lock:
            task = self._bars.add_task(f"{escape(source.name)} [dim]{profile.name}", total=total, rate="")
            self._tasks[source.uri] = (task, time.monotonic(), 0)

    def advanced(self, source: Source, segment: Segment, counts: Counts) -> None:
        """Move the bar by one committed segment."""
        with self._lock:
            task, started, rows = self._tasks[source.uri]
            rows += counts.rows_in
            self._tasks[source.uri] = (task, started, rows)
            rate = rows / max(time.monotonic() - started, 1e-6)
            self._bars.update(task, advance=segment.end - segment.start, rate=f"{rate:,.0f} rows/s")

    def finished(self, result: FileResult) -> None:
        """Take the bar away."""
        with self._lock:
            if result.uri in self._tasks:
                self._bars.remove_task(self._tasks.pop(result.uri)[0])


def load_table(results: Sequence[FileResult]) -> Table:
    """Return what came of each file as a table."""
    table = Table(title="Files", show_footer=len(results) > 1)
    total = sum((result.counts for result in results), Counts())
    table.add_column("file", "total", overflow="fold")
    table.add_column("profile")
    table.add_column("result")
    for name, value in (
        ("rows in", total.rows_in), ("loaded", total.loaded), ("duplicate", total.duplicate),
        ("quarantined", total.quarantined),
    ):  # fmt: skip
        table.add_column(name, f"{value:,}", justify="right")
    table.add_column("rows/s", justify="right")
    for result in results:
        counts = result.counts
        # The rate of a small file is the cost of a transaction.
        rate = f"{result.rows_now / result.seconds:,.0f}" if result.rows_now >= 10_000 else ""
        table.add_row(
            escape(result.uri.rpartition("/")[2]), result.profile, f"[{_COLOURS[result.outcome]}]{result.outcome}",
            *(f"{value:,}" for value in (counts.rows_in, counts.loaded, counts.duplicate, counts.quarantined)), rate,
        )  # fmt: skip
    return table


def print_notes(results: Sequence[FileResult], console: Console) -> None:
    """Print why files were refused or failed, each once."""
    for result in results:
        name = escape(result.uri.rpartition("/")[2])
        if result.error is not None:
            console.print(f"[bold red]{name}:[/] {escape(str(result.error))}", soft_wrap=True, highlight=False)
            for label, text in (("", result.error.detail), ("hint: ", result.error.hint)):
                if text:
                    console.print(f"  {label}{escape(text)}", soft_wrap=True, highlight=False)
        elif result.note:
            colour = "yellow" if result.outcome.endswith("refused") else "dim"
            console.print(f"[{colour}]{name}:[/] {escape(result.note)}", soft_wrap=True, highlight=False)
