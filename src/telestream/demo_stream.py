"""The streaming half of the demonstration: network events over Kafka, an outage, and its alert."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

from rich.table import Table

from telestream.console import console
from telestream.consumers.alerts_cli import alerts_table, mark_again, read_alerts
from telestream.consumers.generate import AnomalyKind, Manifest, NetworkSpec, Planted, cell_ids
from telestream.consumers.produce_cli import send_stream
from telestream.db.connection import connect, translated
from telestream.errors import TerminalError
from telestream.topics import NETWORK_EVENTS

_START = datetime(2026, 3, 1, 8, tzinfo=UTC)
_OUTAGE = Planted(AnomalyKind.OUTAGE, 48, _START + timedelta(minutes=70), timedelta(minutes=20))
# An outage sends nothing, so that some more are planned than the 200,000 that arrive at least.
STREAM = NetworkSpec(
    events=202_000, start=_START, duration=timedelta(hours=2), cells=100, duplicates=0.01, late=0.01, bad=0.002,
    anomalies=(_OUTAGE,),
)  # fmt: skip
# Slow enough for two cores to keep up with: the latency shown is then that of a live stream.
_RATE = 15_000
_PATIENCE_SECONDS = 120


def show_stream() -> None:
    """Send the events while a consumer reads them, and show what became of them and the alert they raised.

    Raises:
        TerminalError: counts or alert are not what was planted.
    """
    console.rule("network events over Kafka")
    # The embedded broker forgets at a restart; what an earlier demonstration raised is sent once more.
    mark_again(_START)
    (batch,) = _one("SELECT coalesce(max(batch_id), 0) FROM ops.batch")
    # Its table of what it did, with rates and latencies, appears when it ends.
    consumer = subprocess.Popen(
        [sys.executable, "-m", "telestream.cli", "consume", "network-events", "--partitions", "all"]
    )
    try:
        _wait_for_claims(consumer, datetime.now(UTC))
        manifest = send_stream(STREAM, rate=_RATE)
        _wait_for(batch, manifest.messages, consumer)
    finally:
        consumer.terminate()
        consumer.wait()
    _compare(batch, manifest)
    _show_alerts()


def _one(query: str, *arguments: object) -> tuple[int, ...]:
    with translated(), connect() as connection:
        row = connection.execute(query, arguments).fetchone()
    assert row is not None  # every query here has one row
    return row


def _wait_for_claims(consumer: subprocess.Popen[bytes], began: datetime) -> None:
    """Wait until the consumer reads, so that what is measured is not its start."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _one("SELECT count(*) FROM ops.kafka_offset WHERE topic = %s AND claimed_at >= %s", NETWORK_EVENTS, began) < (
        1,
    ):
        if consumer.poll() is not None or time.monotonic() > deadline:
            raise TerminalError("the consumer did not start", hint="Its messages are above.")
        time.sleep(0.1)


def _wait_for(batch: int, messages: int, consumer: subprocess.Popen[bytes]) -> None:
    """Wait until all messages are in batches after `batch`."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _one(
        "SELECT coalesce(sum(messages), 0) FROM ops.kafka_slice WHERE topic = %s AND batch_id > %s",
        NETWORK_EVENTS, batch,
    ) < (messages,):  # fmt: skip
        if consumer.poll() is not None or time.monotonic() > deadline:
            raise TerminalError("the consumer did not read all events", hint="Its messages are above.")
        time.sleep(0.2)


def _compare(batch: int, manifest: Manifest) -> None:
    rows_in, loaded, duplicate, quarantined, late = _one(
        "SELECT sum(rows_in), sum(rows_loaded), sum(rows_duplicate), sum(rows_quarantined), sum(rows_late)"
        " FROM ops.batch WHERE batch_id > %s AND dataset = 'network_event'",
        batch,
    )
    (dead,) = _one("SELECT count(*) FROM ops.dead_letter WHERE batch_id > %s", batch)
    again = duplicate - manifest.duplicates  # the whole stream, where the demonstration ran before
    table = Table("", "planted", "found", title="The generated events against their manifest")
    for name, planted, found in (
        ("events in", manifest.messages, rows_in),
        ("loaded, or known since an earlier run", manifest.good, loaded + again),
        ("duplicates", manifest.duplicates, duplicate - again),
        ("quarantined", manifest.bad_messages, quarantined),
        ("late (of what was loaded)", manifest.late if loaded else 0, late),
        ("dead letters", 0, dead),
    ):
        table.add_row(name, f"{planted:,}", f"[{'green' if planted == found else 'red'}]{found:,}")
    console.print(table)
    if (rows_in, loaded + duplicate, quarantined, dead) != (
        manifest.messages, manifest.good + manifest.duplicates, manifest.bad_messages, 0,
    ):  # fmt: skip
        raise TerminalError("the counts of network events differ from what was planted")


def _show_alerts() -> None:
    """Read the alerts back from their topic: the planted outage must be among them."""
    with translated(), connect() as connection:
        ours = {str(alert_id) for (alert_id,) in connection.execute("SELECT alert_id FROM ops.outbox")}
    # The topic may hold those of other databases.
    alerts = [alert for alert in read_alerts() if str(alert["alert_id"]) in ours]
    console.print(alerts_table(alerts))
    cell = cell_ids(STREAM.cells, STREAM.seed)[_OUTAGE.cell]
    if not any(alert["cell_id"] == cell and alert["kpi"] == "events" for alert in alerts):
        raise TerminalError(
            f"no alert tells of the outage of cell {cell}",
            hint="If windows of later events were judged before, the demonstration needs a database of its own.",
        )
    console.print(f"[green]the outage of cell {cell} raised its alert[/], read back from the alerts topic")
