"""Runs the load of tests/load/locustfile.py on an API of its own, for benchmarks."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import urllib3

from telestream.console import console
from telestream.db.connection import connect
from telestream.errors import TerminalError, UsageError
from telestream.graphql import keys
from telestream.graphql.principal import READ_SCOPES

LOCUSTFILE = Path(__file__).resolve().parents[2] / "tests" / "load" / "locustfile.py"
START_SECONDS = 60.0
# An answer may take this long before a user misses the next turn.
_TURN_SECONDS = 0.5
_TICKS = os.sysconf("SC_CLK_TCK")
_POOL = urllib3.PoolManager(retries=False)


@dataclass
class Load:
    """What came of one or more runs: response times (ms) and errors per kind of request, CPU seconds per process."""

    seconds: float = 0.0
    times: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    hits: float = 0.0
    misses: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0

    @property
    def all_times(self) -> list[float]:
        """The times of all kinds."""
        return [one for times in self.times.values() for one in times]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.all_times) / self.seconds if self.seconds else 0.0

    @property
    def hit_rate(self) -> float:
        """Share of the answers that may be cached that came from the cache."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else 0.0

    def add(self, other: Load) -> None:
        """Put another run beside it."""
        for name, times in other.times.items():
            self.times.setdefault(name, []).extend(times)
        for name, used in other.cpu.items():
            self.cpu[name] = self.cpu.get(name, 0.0) + used
        self.seconds += other.seconds
        self.errors += other.errors
        self.hits += other.hits
        self.misses += other.misses
        self.wall += other.wall


def require_generator() -> None:
    """Raise UsageError where locust or its file is missing, as in an image."""
    if importlib.util.find_spec("locust") is None or not LOCUSTFILE.exists():
        raise UsageError("the load generator is not here", hint="Run `make setup` in a checkout; it installs locust.")


def percentiles(values: list[float], *shares: float) -> list[float]:
    """Return percentiles, 50, 95 and 99 unless others are asked for; NaN where there are no values."""
    ordered = sorted(values)
    return [
        ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")
        for share in shares or (0.5, 0.95, 0.99)
    ]


def reading_key(url: str) -> str:
    """Make a key that may read everything, as often as it likes."""
    with connect(url, autocommit=True) as connection:
        return keys.create(connection, "bench", "api", READ_SCOPES, timedelta(days=1), 100_000_000)[1]


@contextlib.contextmanager
def served(environment: dict[str, str], workers: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve the API in a process of its own, its log on disk; yields where."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "telestream.cli", "api", "serve", "--port", "0", "--workers", str(workers)],
            env=environment, stdout=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip
        try:
            yield _base(process, log), process
        finally:
            process.terminate()
            process.wait()


def _base(process: subprocess.Popen[bytes], log: Any) -> str:
    """Return the address that the log tells, once the API is ready."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        first = os.pread(log.fileno(), 1000, 0).split(b"\n")[0].decode()
        if first.startswith("serving "):
            base = first.split()[1].removesuffix("/graphql")
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                if _POOL.request("GET", f"{base}/readyz", timeout=5).status == 200:
                    return base
        time.sleep(0.1)
    raise TerminalError("the API did not start", detail=os.pread(log.fileno(), 2000, 0).decode(errors="replace"))


def run_load(
    kind: str, base: str, environment: dict[str, str], rate: float, seconds: float, trees: dict[str, int | None]
) -> Load:
    """Run the load generator once."""
    warm_up = min(5.0, seconds)
    users = max(1, round(rate * _TURN_SECONDS))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = environment | {
            "TELESTREAM_LOAD_RATE": str(rate), "TELESTREAM_LOAD_KIND": kind, "TELESTREAM_LOAD_REPORT": str(report),
            "TELESTREAM_LOAD_WARM_UP": str(warm_up), "TELESTREAM_LOAD_SECONDS": str(seconds),
        }  # fmt: skip
        before, began = {name: cpu_of_tree(pid) for name, pid in trees.items()}, time.monotonic()
        with console.status(f"{kind}: {rate:g} requests/s for {seconds:g} s"):
            locust = subprocess.Popen(
                [
                    sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", base, "--users",
                    str(users), "--spawn-rate", str(users), "--only-summary", "--exit-code-on-error", "0",
                ],
                env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            assert locust.stdout is not None  # it is a pipe
            output = locust.stdout.read()
            locust.stdout.close()
            _, code, usage = os.wait4(locust.pid, 0)
            locust.returncode = code
        if code or not report.exists():
            raise TerminalError("the load generator failed", detail=output.decode(errors="replace")[-2000:])
        told = json.loads(report.read_text())
        cpu = {name: cpu_of_tree(pid) - before[name] for name, pid in trees.items()}
        cpu["generator"] = usage.ru_utime + usage.ru_stime
        return Load(
            seconds=told["seconds"],
            times=told["times_ms"],
            errors=[f"{name}: {error}" for name, errors in told["errors"].items() for error in errors],
            hits=told["cache"].get("hits", 0.0),
            misses=told["cache"].get("misses", 0.0),
            cpu=cpu,
            wall=time.monotonic() - began,
        )


def cpu_of_tree(pid: int | None) -> float:
    """Return the CPU seconds of a process and all below it, those that have ended included."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            values = stat.read_text().rpartition(")")[2].split()
            number = int(stat.parent.name)
            parents[number] = int(values[1])
            used[number] = sum(map(int, values[11:15])) / _TICKS
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        total += used.get(one or 0, 0.0)
        waiting += [child for child, parent in parents.items() if parent == one]
    return total
