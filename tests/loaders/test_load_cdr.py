"""Loading CDR files end to end: counts and sums equal the planted truth, twice is once, two at once is once."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from command import telestream
from truth import assert_truth, generated

from telestream.db import rollups
from telestream.loaders.pipeline import CdrLoader
from telestream.loaders.sources import discover


@pytest.mark.parametrize("name", ["day.csv", "day.csv.gz", "day.csv.zst", "day.jsonl", "day.parquet", "day.avro"])
def test_what_was_planted_is_what_is_found(
    name: str, tmp_path: Path, connection: psycopg.Connection, database: str
) -> None:
    truth = generated(tmp_path / name, rows=5_000)
    result = telestream("load", "cdr", tmp_path / name)
    assert result.returncode == 0, result.stderr
    assert_truth(connection, truth)
    assert rollups.check(database) == []


def test_a_second_load_changes_nothing_and_says_so(tmp_path: Path, connection: psycopg.Connection) -> None:
    truth = generated(tmp_path / "day.csv")
    assert telestream("load", "cdr", tmp_path / "day.csv").returncode == 0
    shutil.copy(tmp_path / "day.csv", tmp_path / "renamed.csv")
    again = telestream("load", "cdr", tmp_path / "day.csv", tmp_path / "renamed.csv")
    assert again.returncode == 0
    assert "already loaded" in again.stdout
    assert "nothing was changed" in again.stdout
    assert_truth(connection, truth)


def test_quarantined_records_carry_line_and_text(tmp_path: Path, connection: psycopg.Connection) -> None:
    truth = generated(tmp_path / "day.csv", rows=5_000)
    assert telestream("load", "cdr", tmp_path / "day.csv").returncode == 0
    lines = (tmp_path / "day.csv").read_bytes().split(b"\n")
    planted = {line for kind in truth.bad.values() for line in kind.lines}
    rows = connection.execute("SELECT line, raw, reason FROM quality.quarantine").fetchall()
    assert {line for line, _, _ in rows} == planted
    for line, raw, reason in rows:
        assert reason
        original = lines[line - 1]
        if original.isascii() and b"\0" not in original:
            assert raw == original.decode(), line
        else:
            assert raw
            assert raw[:20] == original[:20].decode()


def test_strict_fails_and_dry_run_touches_nothing(tmp_path: Path, connection: psycopg.Connection) -> None:
    generated(tmp_path / "day.csv", rows=2_000)
    dry = telestream("load", "cdr", "--dry-run", tmp_path / "day.csv")
    assert dry.returncode == 0
    assert "2,000" in dry.stdout
    assert connection.execute("SELECT count(*) FROM ops.source_file").fetchone() == (0,)
    assert telestream("load", "cdr", "--strict", tmp_path / "day.csv").returncode == 1


def test_two_loaders_on_the_same_files_at_once(tmp_path: Path, connection: psycopg.Connection, database: str) -> None:
    truth = generated(tmp_path / "a.csv", rows=60_000)
    shutil.copy(tmp_path / "a.csv", tmp_path / "b.csv")
    paths = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]

    def load(order: int) -> None:
        with CdrLoader(database, segment_bytes=1 << 20) as loader:
            results = loader.load(discover(paths[:: 1 if order else -1]))
        assert {result.outcome for result in results} <= {"loaded", "already loaded"}

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(load, range(2)))
    rollups.refresh(database)
    assert_truth(connection, truth)


def test_small_segments_give_the_same_as_one(tmp_path: Path, connection: psycopg.Connection, database: str) -> None:
    truth = generated(tmp_path / "day.csv")
    with CdrLoader(database, segment_bytes=100_000) as loader:
        loader.load(discover([str(tmp_path / "day.csv")]))
    rollups.refresh(database)
    assert connection.execute("SELECT count(*) > 10 FROM ops.batch").fetchone() == (True,)
    assert_truth(connection, truth)


def test_the_quality_commands_show_what_was_refused(tmp_path: Path, database: str) -> None:
    assert database
    generated(tmp_path / "day.csv", rows=2_000)
    telestream("load", "cdr", tmp_path / "day.csv")
    shown = telestream("quality", "quarantine").stdout
    assert "negative_charge" in shown
    assert "98.000" in telestream("quality", "score").stdout
    assert "Gold equals Silver" in telestream("gold", "check").stdout
    replay = telestream("quality", "replay", "--rule", "negative_charge")
    assert replay.returncode == 0, replay.stderr
    assert "quarantined again" in replay.stdout
