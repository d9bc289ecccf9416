"""`telestream bench api` and `bench load` run from an empty database to its table, with little data and for seconds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOT, telestream

from telestream.api_load import cpu_of_tree, percentiles
from telestream.stack.state import StackState


@pytest.mark.slow
def test_the_benchmark_prints_a_whole_table(stack: StackState) -> None:
    done = telestream(
        "bench", "api", "--rows", "20000", "--seconds", "3", "--rounds", "1", "--rate", "30", "--subscribers", "20"
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    for name in ("realtimeMetrics", "networkPerformance", "traffic", "customer", "topCustomers", "all"):
        assert len(re.findall(rf"^│ {name} ", text, re.MULTILINE)) == 2, text
    assert re.search(r"│ errors +│ 0 +│ 0 +│ 0 +│", text), text
    assert re.search(r"│ from the cache, of what may be cached +│ [^│]+│ 0\.0% +│ (?!0\.0%)", text), text
    assert re.search(r"→ 20 subscribers, p50 / p95 / max +│ [^│]*│ \d+\.\d+ / \d+\.\d+ / \d+\.\d+ s", text), text
    assert "nan" not in text
    assert "inf" not in text.replace("info", "")


@pytest.mark.slow
def test_the_whole_service_is_measured_at_once(stack: StackState) -> None:
    done = telestream(
        "bench", "load", "--rows", "20000", "--seconds", "8", "--rounds", "1", "--rate", "10", "--events", "200",
        "--file-rows", "500", "--file-seconds", "1",
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert re.search(r"│ failed requests +│ 0 +│ 0 +│ 0 +│", text), text
    for name in ("CDRs loaded", "events loaded"):
        assert re.search(rf"│ {name} +│ [1-9]", text), text


def test_the_load_needs_a_running_api(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "locust", "-f", str(ROOT / "tests/load/locustfile.py"), "--headless", "--host",
            "http://127.0.0.1:9", "--users", "1",
        ],
        env={**os.environ, "TELESTREAM_LOAD_KEY": "none"}, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr


def test_percentiles() -> None:
    assert percentiles([float(n) for n in range(100)]) == [50.0, 95.0, 99.0]
    assert percentiles([3.0], 0.5) == [3.0]


def test_cpu_counts_children() -> None:
    before = cpu_of_tree(os.getpid())
    subprocess.run([sys.executable, "-c", "sum(range(5_000_000))"], check=True)
    assert cpu_of_tree(os.getpid()) > before
