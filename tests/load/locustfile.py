"""A mixed load on the GraphQL API at a constant arrival rate; works against any running API.

    export TELESTREAM_LOAD_KEY=ts_…       # scopes network, customer, alerts, quality; a rate above the load
    locust -f tests/load/locustfile.py --headless --host http://127.0.0.1:8080 --users 100 --run-time 60s

Settings, from the environment:

TELESTREAM_LOAD_RATE     requests a second of all users (200)
TELESTREAM_LOAD_KIND     uncached: each request has variables of its own, so that the cache cannot answer (this is it if
                         left out); cached: they come out of a few; bare: /healthz alone, what the machine can do
TELESTREAM_LOAD_DAYS     how many days of CDRs there are (10)
TELESTREAM_LOAD_WARM_UP  seconds at the start that are not in the report (5)
TELESTREAM_LOAD_SECONDS  seconds that are; then it ends (until --run-time does)
TELESTREAM_LOAD_REPORT   a file for a report as JSON: every response time, the errors, and how often the API says that its
                         cache was hit and missed meanwhile

Which cells, regions and customers there are is asked of the API at the start. Each user sends on a schedule of its own,
whether the answer before was quick or not, so keep --users high enough that none waits for an answer past its next turn:
users divided by the rate is the time an answer may take.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import gevent
import gevent.lock
from locust import FastHttpUser, events, task

RATE = float(os.environ.get("TELESTREAM_LOAD_RATE", "200"))
KIND = os.environ.get("TELESTREAM_LOAD_KIND", "uncached")
DAYS = int(os.environ.get("TELESTREAM_LOAD_DAYS", "10"))
WARM_UP = float(os.environ.get("TELESTREAM_LOAD_WARM_UP", "5"))
SECONDS = float(os.environ.get("TELESTREAM_LOAD_SECONDS", "inf"))
REPORT = os.environ.get("TELESTREAM_LOAD_REPORT", "")
# How many different requests of a kind there are when the cache may answer: what a few dashboards ask for.
VARIANTS = 25
HEADERS = {
    "Authorization": f"Bearer {os.environ.get('TELESTREAM_LOAD_KEY', '')}",
    "Content-Type": "application/json",
    "Accept": "application/graphql-response+json",
}

REALTIME = """
query Realtime($cells: [ID!]) {
  realtimeMetrics(cells: $cells) {
    source
    network { bucket events drops latencyMsMean }
    cells { cellId technology bucket events drops handoverFailures latencyMsMean rsrpDbmMean throughputDownKbpsMean }
  }
}"""
PERFORMANCE = """
query Performance($kpis: [Kpi!]!, $from: DateTime!, $to: DateTime!, $cells: [ID!], $by: PerformanceKey) {
  networkPerformance(kpis: $kpis, from: $from, to: $to, cells: $cells, by: $by) {
    grain times series { key columns { name unit values } }
  }
}"""
TRAFFIC = """
query Traffic(
  $measures: [TrafficMeasure!]!, $from: DateTime!, $to: DateTime!, $region: String, $grain: Grain, $by: TrafficKey
) {
  traffic(measures: $measures, from: $from, to: $to, region: $region, grain: $grain, by: $by) {
    grain times series { key columns { name unit values } }
  }
}"""
CUSTOMER = """
query Customer($id: ID!, $from: DateTime!, $to: DateTime!) {
  customer(id: $id) {
    reason
    customer { id usage(from: $from, to: $to) { period recordType records seconds bytesUp bytesDown charge currency } }
  }
}"""
TOP = """
query Top($by: Ranking!, $from: DateTime!, $to: DateTime!, $first: Int!) {
  topCustomers(by: $by, from: $from, to: $to, first: $first) { value currency customer { id } }
}"""
CELLS = """
query Cells($near: Near, $after: String) {
  cells(near: $near, first: 50, after: $after) {
    nodes { cellId name technology latitude longitude regionCode distanceKm }
    pageInfo { hasNextPage endCursor }
  }
}"""
ANOMALIES = """
query Anomalies($filter: AnomalyFilter) {
  anomalies(filter: $filter, first: 50) {
    nodes { anomalyId cellId kpi severity startedAt endedAt peakValue median isOpen }
    pageInfo { hasNextPage endCursor }
  }
}"""
CDRS = """
query Cdrs($filter: CdrFilter!) {
  cdrs(filter: $filter, first: 50) {
    nodes { cdrId startedAt recordType subscriberId durationS bytesDown cellId disposition charge }
    pageInfo { hasNextPage endCursor }
  }
}"""
ALL_CELLS = """
query AllCells($after: String) {
  cells(first: 500, after: $after) { nodes { cellId latitude longitude regionCode } pageInfo { hasNextPage endCursor } }
}"""
NEWEST = "query Newest { freshness { dataset newestEventAt } }"

Request = tuple[str, str, dict[str, Any]]


class World:
    """What there is to ask about; learned once."""

    def __init__(self, ask: Callable[[str, dict[str, Any]], Any]) -> None:
        newest = {row["dataset"]: row["newestEventAt"] for row in ask(NEWEST, {})["freshness"]}
        if not newest.get("cdr") or not newest.get("network_event"):
            raise RuntimeError("the database has no CDRs or no network events to ask about")
        at = datetime.fromisoformat(newest["cdr"])
        self.end = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        self.events_end = datetime.fromisoformat(newest["network_event"])
        self.cells: list[dict[str, Any]] = []
        after = None
        while True:
            page = ask(ALL_CELLS, {"after": after})["cells"]
            self.cells += [cell for cell in page["nodes"] if cell["latitude"] is not None]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        self.regions = sorted({cell["regionCode"] for cell in self.cells})
        self.customers = self._customers(ask)
        self.live = self._live(ask)

    def _customers(self, ask: Callable[[str, dict[str, Any]], Any]) -> list[str]:
        """Return customers that exist: those of CDRs, so that heavy ones come more often, as they would call."""
        found: set[str] = set()
        for hour in range(48):
            start = self.end - timedelta(hours=hour + 1)
            wanted = {"from": _text(start), "to": _text(start + timedelta(hours=1))}
            query = CDRS.replace("first: 50", "first: 500")
            found |= {node["subscriberId"] for node in ask(query, {"filter": wanted})["cdrs"]["nodes"]}
        return sorted(found - {"0"})

    def _live(self, ask: Callable[[str, dict[str, Any]], Any]) -> list[str]:
        """Return the cells that have a current window; any cells where none has."""
        ids = [cell["cellId"] for cell in self.cells]
        found: set[str] = set()
        for first in range(0, len(ids), 500):
            found |= {
                window["cellId"]
                for window in ask(REALTIME, {"cells": ids[first : first + 500]})["realtimeMetrics"]["cells"]
            }
        return sorted(found) or ids

    # One function per kind of request. Times carry seconds of their own where a request must be new: the range is
    # widened to whole buckets, so the work is the same.

    def realtime(self, draw: random.Random) -> Request:
        cells = draw.sample(self.live, min(len(self.live), draw.choice((1, 5, 20))))
        return "realtimeMetrics", REALTIME, {"cells": cells}

    def series(self, draw: random.Random) -> Request:
        share = draw.random()
        if share < 0.6:
            return self._performance(draw)
        if share < 0.85:
            start = self._before(draw, self.end, timedelta(hours=24))
            return "traffic", TRAFFIC, {
                "measures": ["ATTEMPTS", "SECONDS", "BYTES_DOWN"], "region": draw.choice(self.regions),
                "from": _text(start), "to": _text(start + timedelta(hours=24)),
            }  # fmt: skip
        start = self._before(draw, self.end, timedelta(days=7))
        return "traffic", TRAFFIC, {
            "measures": ["ATTEMPTS", "BYTES_DOWN"], "by": draw.choice(("RECORD_TYPE", "REGION")), "grain": "DAY",
            "from": _text(start), "to": _text(start + timedelta(days=7)),
        }  # fmt: skip

    def _performance(self, draw: random.Random) -> Request:
        several = draw.random() < 0.4
        if draw.random() < 0.5:
            kpis, cells, end = ["EVENTS", "DROP_RATE_PCT", "LATENCY_MS_P95", "RSRP_DBM"], self.live, self.events_end
            length = timedelta(hours=draw.choice((1, 3, 6)))
        else:
            kpis, end = ["ATTEMPTS", "ASR_PCT", "VOICE_DROP_PCT", "ERLANGS"], self.end
            cells = [cell["cellId"] for cell in draw.sample(self.cells, min(5, len(self.cells)))]
            length = draw.choice((timedelta(hours=6), timedelta(hours=24), timedelta(days=7)))
        start = self._before(draw, end, length)
        return "networkPerformance", PERFORMANCE, {
            "kpis": kpis, "cells": draw.sample(cells, min(5 if several else 1, len(cells))),
            "by": "CELL" if several else None, "from": _text(start), "to": _text(start + length),
        }  # fmt: skip

    def customer(self, draw: random.Random) -> Request:
        start = self.end - timedelta(days=DAYS, seconds=_second(draw))
        return "customer", CUSTOMER, {"id": draw.choice(self.customers), "from": _text(start), "to": _text(self.end)}

    def top(self, draw: random.Random) -> Request:
        days = draw.choice((1, 1, 1, 7))
        end = self.end - timedelta(days=draw.randrange(max(1, DAYS - days)))
        return "topCustomers", TOP, {
            "by": draw.choice(("BYTES", "SECONDS", "RECORDS", "CHARGE")), "first": draw.choice((10, 20, 50)),
            "from": _text(end - timedelta(days=days, microseconds=_second(draw))), "to": _text(end),
        }  # fmt: skip

    def lists(self, draw: random.Random) -> Request:
        kind = draw.choice(("cells", "anomalies", "cdrs"))
        if kind == "cells":
            cell = draw.choice(self.cells)
            near = {
                "latitude": cell["latitude"] + draw.uniform(-0.01, 0.01), "longitude": cell["longitude"], "radiusKm": 20.0,
            }  # fmt: skip
            return kind, CELLS, {"near": near}
        if kind == "anomalies":
            since = self.events_end - timedelta(days=1, seconds=_second(draw))
            return kind, ANOMALIES, {"filter": {"from": _text(since), "severities": ["MAJOR", "CRITICAL"]}}
        start = self._before(draw, self.end, timedelta(hours=1))
        wanted = {"from": _text(start), "to": _text(start + timedelta(hours=1)), "region": draw.choice(self.regions)}
        return kind, CDRS, {"filter": wanted}

    def _before(self, draw: random.Random, end: datetime, length: timedelta) -> datetime:
        """Return the start of a range of a length within the data."""
        room = max(0.0, (timedelta(days=DAYS) - length).total_seconds()) if end == self.end else 1800.0
        return end - length - timedelta(seconds=draw.uniform(0, room))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


def _second(draw: random.Random) -> float:
    return draw.uniform(0, 86_000)


class Recorder:
    """Keeps every response time, exactly, and writes the report."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self.errors: dict[str, list[str]] = defaultdict(list)
        self.starts_at = self.stops_at = float("inf")
        self.ended = 0.0
        self.before: dict[str, float] = {}

    def run(self, environment: Any) -> None:
        """Record after the time to warm up, and end the run when it is over."""
        gevent.sleep(WARM_UP)
        self.before = _cache_counts(environment.host)
        self.starts_at = self.ended = time.monotonic()
        if float("inf") != SECONDS:
            gevent.sleep(SECONDS)
            self.stops_at = time.monotonic()
            environment.runner.quit()

    def take(self, name: str, response_time: float, exception: Exception | None) -> None:
        """Take a request."""
        now = time.monotonic()
        if not self.starts_at <= now <= self.stops_at:
            return
        self.ended = now
        self.times[name].append(response_time)
        if exception is not None:
            self.errors[name].append(str(exception)[:300])

    def write(self, path: str, host: str) -> None:
        """Write the report."""
        after = _cache_counts(host)
        report = {
            "seconds": max(0.0, self.ended - self.starts_at), "times_ms": self.times, "errors": self.errors,
            "cache": {name: after[name] - self.before.get(name, 0.0) for name in after},
        }  # fmt: skip
        with open(path, "w") as file:
            json.dump(report, file)


def _cache_counts(host: str) -> dict[str, float]:
    """Return how often the API's cache was hit and missed, by its own word."""
    with urllib.request.urlopen(f"{host}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r"^telestream_api_cache_(hits|misses)_total ([0-9.e+]+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


recorder = Recorder()
_world: list[World] = []
_learning = gevent.lock.BoundedSemaphore()
_variants: dict[str, list[Request]] = {}


@events.quitting.add_listener
def _report(environment: Any, **_: Any) -> None:
    if REPORT:
        recorder.write(REPORT, environment.host)


class Caller(FastHttpUser):
    """A user who sends on schedule."""

    connection_timeout = 5.0
    network_timeout = 10.0

    def on_start(self) -> None:
        """Learn what there is, once, then wait for this user's place in the schedule."""
        with _learning:
            if not _world:
                try:
                    _world.append(World(self._ask))
                except Exception:
                    self.environment.process_exit_code = 1
                    self.environment.runner.quit()
                    raise
                gevent.spawn(recorder.run, self.environment)
        self._interval = self.environment.runner.target_user_count / RATE
        self._draw = random.Random()
        self._next = time.monotonic() + self._draw.uniform(0, self._interval)
        gevent.sleep(max(0.0, self._next - time.monotonic()))

    def wait_time(self) -> float:
        """Return the seconds to this user's next turn."""
        self._next += self._interval
        return max(0.0, self._next - time.monotonic())

    @task(40)
    def realtime(self) -> None:
        """Ask for current windows."""
        self._send(_world[0].realtime)

    @task(30)
    def series(self) -> None:
        """Ask for a series."""
        self._send(_world[0].series)

    @task(15)
    def customer(self) -> None:
        """Ask for a customer with usage."""
        self._send(_world[0].customer)

    @task(10)
    def top(self) -> None:
        """Ask for a ranking."""
        self._send(_world[0].top)

    @task(5)
    def lists(self) -> None:
        """Ask for a page."""
        self._send(_world[0].lists)

    def _send(self, make: Callable[[random.Random], Request]) -> None:
        if KIND == "bare":
            with self.client.get("/healthz", name="bare", catch_response=True) as response:
                failure = None if response.status_code == 200 else RuntimeError(f"status {response.status_code}")
                recorder.take("bare", response.request_meta["response_time"], failure)
            return
        if KIND == "cached":
            name = make.__name__
            if name not in _variants:
                fixed = random.Random(name)
                _variants[name] = [make(fixed) for _ in range(VARIANTS)]
            name, query, variables = self._draw.choice(_variants[name])
        else:
            name, query, variables = make(self._draw)
        body = json.dumps({"query": query, "variables": variables})
        failure: Exception | None = None
        with self.client.post("/graphql", data=body, headers=HEADERS, name=name, catch_response=True) as response:
            try:
                failure = _wrong(response.status_code, response.text)
            except Exception as exc:
                failure = exc
            if failure is not None:
                response.failure(failure)
            recorder.take(name, response.request_meta["response_time"], failure)

    def _ask(self, query: str, variables: dict[str, Any]) -> Any:
        body = json.dumps({"query": query, "variables": variables})
        response = self.client.post("/graphql", data=body, headers=HEADERS, name="learn")
        failure = _wrong(response.status_code, response.text or "")
        if failure is not None:
            raise failure
        return response.json()["data"]


def _wrong(status: int, text: str) -> Exception | None:
    """Return what is wrong with an answer; nothing if it is right: status 200, data, and no errors in the body."""
    if status != 200:
        return RuntimeError(f"status {status}: {text[:200]}")
    answer = json.loads(text)
    if "errors" in answer or "data" not in answer:
        return RuntimeError(f"errors in the body: {text[:200]}")
    return None
