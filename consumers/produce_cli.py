"""The `telestream produce` commands: network events into Kafka, generated or measured."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from telestream.console import console
from telestream.consumers.cell_kpi import CellKpiFile, Refused
from telestream.consumers.generate import (
    AnomalyKind,
    Manifest,
    NetworkSpec,
    Planted,
    Tally,
    batches,
    cell_ids,
    encode_events,
    message_keys,
)
from telestream.consumers.kafka_options import kafka_options
from telestream.consumers.produce import Producer
from telestream.consumers.registry import ensure_schema, open_registry
from telestream.errors import UsageError
from telestream.topics import NETWORK_EVENTS

_SCHEMA = "network_event"
_ROWS = 50_000
_PACED_SECONDS = 0.1
"""With --speed messages go out in portions of about this long."""
_SHOWN_LINES = 20

produce_app = typer.Typer(
    help="Send network events to Kafka: generated ones with a known truth, or real measurements.",
    no_args_is_help=True,
)

_Topic = Annotated[str, typer.Option("--topic", help="The topic to send to.")]
_Rate = Annotated[float | None, typer.Option("--rate", min=0.1, help="Messages a second at most; without it, all out.")]


def register(app: typer.Typer) -> None:
    """Add the `produce` commands to an app."""
    app.add_typer(produce_app, name="produce")


def _anomaly(kind: str, what: str) -> object:
    return typer.Option(f"--{kind}", metavar="CELL", help=f"Cell number that {what}; repeat for more.")


@produce_app.command("network-events")
def network_events(
    events: Annotated[int, typer.Option("--events", min=1, help="Messages, defects included.")] = 100_000,
    cells: Annotated[int, typer.Option("--cells", min=1, help="Cells, numbered from 0.")] = NetworkSpec.cells,
    seconds: Annotated[float, typer.Option("--seconds", min=0.001, help="Event time that the messages span.")] = 3600.0,
    speed: Annotated[
        float | None,
        typer.Option("--speed", min=0.001, help="Seconds of event time sent in a second: 1 is live, 60 a minute."),
    ] = None,
    rate: _Rate = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="ISO",
            help="Event time of the first message, UTC unless it says otherwise. Without it the stream ends now, "
            "or with --speed begins now.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Cells, people and events follow from it.")] = 1,
    subscribers: Annotated[
        int, typer.Option("--subscribers", min=1, help="People who use the network.")
    ] = NetworkSpec.subscribers,
    duplicates: Annotated[
        float, typer.Option("--duplicates", help="Share of messages that repeat an earlier one: 0.01 is 1 %.")
    ] = 0.0,
    late: Annotated[float, typer.Option("--late", help="Share that comes 15 to 40 minutes late.")] = 0.0,
    bad: Annotated[float, typer.Option("--bad", help="Share that must be refused, for one reason each.")] = 0.0,
    outage: Annotated[list[int] | None, _anomaly("outage", "sends an alarm and falls silent")] = None,
    congestion: Annotated[list[int] | None, _anomaly("congestion", "is overloaded")] = None,
    sleeping: Annotated[list[int] | None, _anomaly("sleeping", "reports but serves nobody")] = None,
    drift: Annotated[list[int] | None, _anomaly("drift", "slowly loses signal strength")] = None,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="Write the truth about the stream to this file, as JSON.")
    ] = None,
    topic: _Topic = NETWORK_EVENTS,
) -> None:
    """Send generated events of a radio network: busy hours and quiet nights, large cells and small ones.

    The same options give the same messages, so that sending them again (with the same --start) sends duplicates
    only. Anomalies fill the third quarter of the stream's time. The manifest says what must be stored in the
    end: messages = good + duplicates + bad.

    [bold]A first hour:[/]
      telestream produce network-events --events 100000

    [bold]Ten minutes live, a cell failing half-way:[/]
      telestream produce network-events --events 600000 --seconds 600 --speed 1 --outage 3

    [bold]With something wrong in every way, and the truth about it:[/]
      telestream produce network-events --duplicates 0.02 --late 0.01 --bad 0.01 --manifest truth.json
    """
    duration = timedelta(seconds=seconds)
    begin = _start(start) if start else datetime.now(UTC) - (timedelta() if speed else duration)
    planted = {
        AnomalyKind.OUTAGE: outage,
        AnomalyKind.CONGESTION: congestion,
        AnomalyKind.SLEEPING: sleeping,
        AnomalyKind.DRIFT: drift,
    }
    spec = NetworkSpec(
        events=events,
        start=begin,
        duration=duration,
        cells=cells,
        seed=seed,
        duplicates=duplicates,
        late=late,
        bad=bad,
        subscribers=subscribers,
        anomalies=tuple(
            Planted(kind, cell, begin + duration / 2, duration / 4)
            for kind, numbers in planted.items()
            for cell in numbers or ()
        ),
    )
    started = time.monotonic()
    truth = send_stream(spec, topic, rate=rate, speed=speed)
    _print_stream(truth, topic, time.monotonic() - started)
    if manifest:
        truth.save(manifest)
        console.print(f"{manifest}: the truth about it", soft_wrap=True, highlight=False)


def send_stream(
    spec: NetworkSpec, topic: str = NETWORK_EVENTS, *, rate: float | None = None, speed: float | None = None
) -> Manifest:
    """Send the messages of a spec, wait for all acknowledgements, and return the truth about them.

    Args:
        spec: what to send.
        topic: an existing topic.
        rate: messages a second at most.
        speed: seconds of event time to send in a second.

    Raises:
        TransientError: the broker does not answer, or did not take all.
        TerminalError: there is no such topic or registry.
    """
    schema_id = ensure_schema(open_registry(), topic, _SCHEMA)
    tally = Tally(spec)
    wait = _pacer(spec.start, speed) if speed else None
    a_second = spec.events / spec.duration.total_seconds() * (speed or 0)
    rows = min(_ROWS, max(1, int(a_second * _PACED_SECONDS))) if speed else _ROWS
    with _bar("sending", spec.events) as advance, Producer(kafka_options(), rate=rate) as producer:
        for table in batches(spec, rows, tally):
            if wait:
                wait(pc.max(table.column("event_at")).as_py())
            _send(producer, topic, schema_id, table)
            advance(table.num_rows)
    return tally.manifest


def _send(producer: Producer, topic: str, schema_id: int, table: pa.Table) -> None:
    producer.send_values(topic, message_keys(table), encode_events(table, schema_id))


def _pacer(
    start: datetime,
    speed: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[datetime], None]:
    """Return a function that waits until it is the turn of an event time."""
    began = clock()

    def wait(event_at: datetime) -> None:
        pause = began + (event_at - start).total_seconds() / speed - clock()
        if pause > 0:
            sleep(pause)

    return wait


def _start(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise UsageError(f"{text!r} is not a time", hint="Write it as 2026-03-01T08:00:00Z.") from exc
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)


@contextmanager
def _bar(what: str, total: int | None, unit: str = "messages") -> Iterator[Callable[[int], None]]:
    """Show a progress bar for as long as the block runs; the block is given the function that moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps: bar.advance(task, steps)


def _print_stream(truth: Manifest, topic: str, seconds: float) -> None:
    table = Table("messages", "", title=f"Sent to {topic}")
    table.columns[1].justify = "right"
    for name, count in (
        ("all", truth.messages),
        ("good, each to be stored once", truth.good),
        ("  of these late", truth.late),
        ("duplicates", truth.duplicates),
        *((f"bad: {kind}", count) for kind, count in truth.bad.items()),
    ):
        table.add_row(name, f"{count:,}")
    if truth.silenced:
        table.add_row("not sent, swallowed by anomalies", f"{truth.silenced:,}")
    console.print(table)
    if truth.spec.anomalies:
        ids = cell_ids(truth.spec.cells, truth.spec.seed)
        planted = Table("anomaly", "cell", "cell id", "from (UTC)", "to (UTC)", title="Planted")
        for anomaly in truth.spec.anomalies:
            end = anomaly.start + anomaly.duration
            times = (f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" for moment in (anomaly.start, end))
            planted.add_row(anomaly.kind, str(anomaly.cell), ids[anomaly.cell], *times)
        console.print(planted)
    _print_rate(truth.messages, seconds)


def _print_rate(messages: int, seconds: float) -> None:
    console.print(
        f"{messages:,} messages acknowledged in {seconds:.1f} s ({messages / seconds:,.0f}/s)", highlight=False
    )


@dataclass
class _FileReport:
    """What became of the lines of a file: rows = sent + refused."""

    name: str
    rows: int = 0
    refused: list[Refused] = field(default_factory=list)

    @property
    def sent(self) -> int:
        return self.rows - len(self.refused)


@produce_app.command("cell-kpi")
def cell_kpi(
    files: Annotated[list[Path], typer.Argument(metavar="FILES...", help="CSV files of G-NetTrack Pro.")],
    rate: _Rate = None,
    refused: Annotated[
        Path | None, typer.Option("--refused", help="Write every line that was not sent to this CSV file.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 if any line was refused.")] = False,
    topic: _Topic = NETWORK_EVENTS,
) -> None:
    """Send a handset's measurements, a line a second, as KPI samples; the oldest file first.

    A file has a header that names Timestamp (2019.11.25_15.34.34, Irish time), Longitude, Latitude, Speed,
    Operatorname, NetworkMode, RSRP, RSRQ, SNR, DL_bitrate, UL_bitrate, State, PINGAVG, PINGLOSS, NODEHEX, LACHEX
    and RAWCELLID in any order; - is no value. State, speed and place go into the payload.

    An event's id is made of the file's content and the line, so that sending a file again sends duplicates only.
    A line that cannot be mapped is refused with its number and the reason: sent + refused = rows of the file.

    [bold]All files of a folder:[/]
      telestream produce cell-kpi measurements/*.csv

    [bold]A slow replay, and a list of what was not sent:[/]
      telestream produce cell-kpi measurements/*.csv --rate 1000 --refused refused.csv
    """
    # Every header is read first: a file that is another thing stops the command before anything is sent.
    sources = sorted(map(CellKpiFile, files), key=lambda source: source.first_time)
    schema_id = ensure_schema(open_registry(), topic, _SCHEMA)
    started = time.monotonic()
    reports = []
    with _bar("sending", len(sources), "files") as advance, Producer(kafka_options(), rate=rate) as producer:
        for source in sources:
            report = _FileReport(source.path.name)
            reports.append(report)
            for stretch in source.stretches():
                _send(producer, topic, schema_id, stretch.events)
                report.rows += stretch.rows
                report.refused += stretch.refused
            advance(1)
    _print_files(reports, topic)
    _print_rate(sum(report.sent for report in reports), time.monotonic() - started)
    if refused:
        _write_refused(reports, refused)
    if strict and any(report.refused for report in reports):
        raise typer.Exit(1)


def _print_files(reports: list[_FileReport], topic: str) -> None:
    table = Table(title=f"Sent to {topic}", show_footer=len(reports) > 1)
    table.add_column("file", "total", overflow="fold")
    for name, total in (
        ("rows", sum(report.rows for report in reports)),
        ("sent", sum(report.sent for report in reports)),
        ("refused", sum(len(report.refused) for report in reports)),
    ):
        table.add_column(name, f"{total:,}", justify="right")
    for report in reports:
        table.add_row(escape(report.name), f"{report.rows:,}", f"{report.sent:,}", f"{len(report.refused):,}")
    console.print(table)

    lines = [(report.name, line) for report in reports for line in report.refused]
    if lines:
        shown = Table("file", "line", "reason", title="Refused lines")
        shown.columns[1].justify = "right"
        for name, line in lines[:_SHOWN_LINES]:
            shown.add_row(escape(name), f"{line.line:,}", escape(line.reason))
        console.print(shown)
        if len(lines) > _SHOWN_LINES:
            console.print(f"and {len(lines) - _SHOWN_LINES:,} more; --refused FILE writes all of them", highlight=False)


def _write_refused(reports: list[_FileReport], path: Path) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("file", "line", "reason"))
            writer.writerows((report.name, line.line, line.reason) for report in reports for line in report.refused)
    except OSError as exc:
        raise UsageError(f"cannot write {path}", hint="Name a file in a folder you can write to.") from exc
    console.print(f"{path}: the refused lines", soft_wrap=True, highlight=False)
