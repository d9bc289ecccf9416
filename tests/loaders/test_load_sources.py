"""Where files come from: folders, S3 and a watched folder; and layouts the project has never seen."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
import s3fs
from command import ROOT, assert_clear_error, telestream
from truth import assert_truth, generated

from telestream.db import rollups
from telestream.loaders.pipeline import CdrLoader
from telestream.loaders.sources import discover


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """A real S3 server process (moto) on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def test_an_s3_prefix(tmp_path: Path, connection: psycopg.Connection, s3_endpoint: str) -> None:
    environment = {
        "AWS_ENDPOINT_URL": s3_endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    truth = generated(tmp_path / "day.csv.gz", rows=5_000)
    store = s3fs.S3FileSystem(key="test", secret="test", endpoint_url=s3_endpoint, use_listings_cache=False)
    store.mkdir("cdr-bucket")
    store.put(str(tmp_path / "day.csv.gz"), "cdr-bucket/2026/03/day.csv.gz")
    result = telestream("load", "cdr", "s3://cdr-bucket/2026/", **environment)
    assert result.returncode == 0, result.stderr
    assert_truth(connection, truth)
    assert "already loaded" in telestream("load", "cdr", "s3://cdr-bucket/2026/", **environment).stdout


def test_watching_a_folder(tmp_path: Path, connection: psycopg.Connection) -> None:
    folder = tmp_path / "incoming"
    folder.mkdir()
    watcher = subprocess.Popen(
        [sys.executable, "-m", "telestream.cli", "load", "cdr", str(folder), "--watch", "--interval", "0.2"],
        env=os.environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def wait_for(rows: int) -> None:
        for _ in range(300):
            if connection.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (rows,):
                return
            time.sleep(0.1)
        raise AssertionError("the file was not loaded")

    try:
        first = generated(tmp_path / "a.csv", rows=500)
        (tmp_path / "a.csv").rename(folder / "a.csv")
        wait_for(first.good)
        # An old time stamp is no reason to overlook a file.
        second = generated(tmp_path / "b.csv", rows=700, seed=2, late=0.1)
        os.utime(tmp_path / "b.csv", (0, 0))
        (tmp_path / "b.csv").rename(folder / "b.csv")
        wait_for(first.good + second.good)
    finally:
        watcher.send_signal(signal.SIGTERM)
        output, _ = watcher.communicate(timeout=30)
    assert watcher.returncode == 0
    assert "goes on from here" in output
    assert connection.execute("SELECT position FROM ops.watermark WHERE source = %s", (str(folder),)).fetchone()


def test_a_layout_the_project_has_never_seen(tmp_path: Path, connection: psycopg.Connection, database: str) -> None:
    (tmp_path / "mine.yaml").write_text(
        """
name: acme_switch
version: 1
description: ACME softswitch, pipe-separated, local times, German decimals
format: csv
dialect: {delimiter: "|", header: true}
time_zone: Europe/Berlin
fields:
  source_system: {const: acme-01}
  native_key: {expr: "CallId || '-' || LegNo"}
  record_type: {column: Kind, map: {V: voice, S: sms}}
  caller: {expr: "'+' || A"}
  called: {expr: "'+' || B"}
  started_at: {column: Begin, format: "%d.%m.%Y %H:%M:%S"}
  duration_s: Secs
  charge: {expr: "replace(Cost, ',', '.')"}
  currency: {const: EUR}
  disposition: {column: Res, map: {"0": answered, "17": busy}}
"""
    )
    (tmp_path / "acme.txt").write_text(
        "CallId|LegNo|Kind|A|B|Begin|Secs|Cost|Res\n"
        "77|1|V|4930111111|4930222222|01.07.2026 12:00:00|60|0,25|0\n"
        "78|1|S|4930111111|4930222222|01.07.2026 12:01:00|0|0,09|0\n"
        "79|1|V|4930111111|4930222222|gestern|60|0,25|17\n"
    )
    result = telestream("load", "cdr", tmp_path / "acme.txt", "--profile", tmp_path / "mine.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    connection.execute("SET timezone = 'UTC'")
    assert connection.execute(
        "SELECT record_type, started_at::text, charge, currency, disposition FROM gold.cdr ORDER BY started_at"
    ).fetchall() == [
        ("voice", "2026-07-01 10:00:00+00", Decimal("0.25"), "EUR", "answered"),
        ("sms", "2026-07-01 10:01:00+00", Decimal("0.09"), "EUR", "answered"),
    ]
    [(line, raw, reason)] = connection.execute("SELECT line, raw, reason FROM quality.quarantine").fetchall()
    assert (line, raw) == (4, "79|1|V|4930111111|4930222222|gestern|60|0,25|17")
    assert "gestern" in reason
    assert rollups.check(database) == []


@pytest.mark.realdata
def test_real_mobile_data_cdrs(connection: psycopg.Connection, database: str) -> None:
    folder = (
        Path(os.environ.get("TELESTREAM_REALDATA", ROOT.parent / "shared" / "data")) / "mobile-data-cdr" / "beijing"
    )
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    files = sorted(folder.glob("*.csv"))
    result = telestream("load", "cdr", *files)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = {path.name: sum(1 for line in path.read_bytes().split(b"\n") if line.strip()) for path in files}
    counts = {
        uri.rpartition("/")[2]: (status, int(rows_in), int(loaded + duplicate), int(quarantined))
        for uri, status, rows_in, loaded, duplicate, quarantined in connection.execute(
            "SELECT f.uri, f.status, sum(b.rows_in), sum(b.rows_loaded), sum(b.rows_duplicate), sum(b.rows_quarantined)"
            " FROM ops.source_file AS f INNER JOIN ops.batch AS b USING (file_id) GROUP BY f.file_id"
        ).fetchall()
    }
    assert len(counts) == 31
    assert sum(lines.values()) == 96_650
    assert {name: rows_in for name, (_, rows_in, _, _) in counts.items()} == lines
    mangled = counts.pop("20150801.csv")
    assert mangled == ("refused", lines["20150801.csv"], 0, lines["20150801.csv"])
    assert {status for status, *_ in counts.values()} == {"loaded"}
    assert connection.execute(
        "SELECT count(*), count(raw), count(DISTINCT reason) FROM quality.quarantine WHERE rules = '{file_refused}'"
    ).fetchone() == (mangled[1], mangled[1], 1)
    loaded = sum(kept for _, _, kept, _ in counts.values())
    assert loaded > 0.99 * sum(rows_in for _, rows_in, _, _ in counts.values())
    connection.execute("SET timezone = 'Asia/Shanghai'")
    first, last = connection.execute(
        "SELECT min(started_at)::text, max(started_at)::text FROM silver.fact_cdr WHERE started_at > '2015-08-02'"
    ).fetchone()
    assert first.startswith("2015-08-02")
    assert last.startswith(("2015-08-31", "2015-09-01"))
    assert rollups.check(database) == []


def test_another_time_zone_than_the_databases_is_refused(tmp_path: Path, database: str) -> None:
    assert database
    generated(tmp_path / "day.csv", rows=100)
    result = telestream("load", "cdr", tmp_path / "day.csv", TELESTREAM_TIME_ZONE="Europe/London")
    assert_clear_error(result, "Europe/London", "TELESTREAM_TIME_ZONE=UTC")


def test_a_file_replaced_in_place_with_an_old_time_stamp_is_not_known(tmp_path: Path, database: str) -> None:
    path = tmp_path / "day.csv"
    generated(path, rows=100, late=0.1)
    with CdrLoader(database) as loader:
        loader.load(discover([str(path)]))
        [before] = discover([str(path)])
        assert loader.ledger.knows(before)
        text = path.read_text().replace("GBP", "EUR")
        path.write_text(text)
        os.utime(path, (0, 0))
        [after] = discover([str(path)])
        assert after.size == before.size
        assert not loader.ledger.knows(after)
