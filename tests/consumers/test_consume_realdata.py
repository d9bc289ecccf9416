"""Real measurements of a handset arrive in Silver line by line, less those that were reported as refused."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest
from command import ROOT
from streams import Stream, offsets, rows, value

from telestream.db import rollups

DATA = Path(os.environ.get("TELESTREAM_REALDATA", ROOT.parent / "shared" / "data")) / "cell-kpi"


@pytest.fixture
def stream(kafka_bootstrap: str, redis_url: str, tmp_path: Path) -> Stream:
    return Stream.make(kafka_bootstrap, redis_url, tmp_path)


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA} (set TELESTREAM_REALDATA)")
def test_every_line_of_real_measurements_arrives(database: str, stream: Stream, tmp_path: Path) -> None:
    files: list[Path | str] = sorted(DATA.glob("*.csv"))  # type: ignore[assignment]
    lines = sum(len(Path(path).read_text().splitlines()) - 1 for path in files)
    assert lines > 0
    # One more file, with a line that cannot be an event.
    header, first, *_ = Path(files[0]).read_text().splitlines()
    mangled = tmp_path / "mangled.csv"
    mangled.write_text(f"{header}\n{first}\n{first.replace('2019.', 'in 2019 ', 1)}\n")
    refused = tmp_path / "refused.csv"
    stream.run("produce", "cell-kpi", *files, mangled, "--topic", stream.topic, "--refused", refused)
    with refused.open() as file:
        reported = Counter(row["file"] for row in csv.DictReader(file))
    assert reported["mangled.csv"] == 1

    stream.drain()

    wanted = lines + 2 - reported.total()
    assert sum(stream.log_ends().values()) == wanted
    assert offsets(database, stream.topic) == stream.log_ends()
    quarantined = value(database, "SELECT count(*) FROM quality.quarantine")
    assert rows(
        database,
        "SELECT sum(rows_in), sum(rows_loaded) + sum(rows_quarantined), sum(rows_duplicate),"
        " (SELECT count(*) FROM ops.dead_letter) FROM ops.batch",
    ) == [(wanted, wanted, 0, 0)]
    assert value(database, "SELECT count(*) FROM silver.fact_network_event") == wanted - quarantined
    assert quarantined == 0
    assert rollups.check(database) == []

    # The same files again are the same events.
    stream.run("produce", "cell-kpi", *files, "--topic", stream.topic)
    stream.drain()
    assert value(database, "SELECT count(*) FROM silver.fact_network_event") == wanted
    assert value(database, "SELECT sum(rows_duplicate) FROM ops.batch") == wanted - 1
