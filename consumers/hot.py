"""Keeps the newest five-minute window of every cell in Redis, for dashboards that ask every second."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis

from telestream import channels
from telestream.consumers.cache import Cache
from telestream.consumers.telemetry import Telemetry

TTL = timedelta(minutes=15)

# Windows per script call: bounds how long the server does nothing else to a few milliseconds.
_ROWS_PER_CALL = 500
_FIELDS = (
    "bucket",
    "events",
    "drops",
    "handover_failures",
    "latency_ms_mean",
    "rsrp_dbm_mean",
    "throughput_down_kbps_mean",
)

# Consumers write the same cell without knowing of each other: the newer window stays, and of one window the
# fuller state, so the order in which they come does not matter. ARGV: seconds to live, then the fields of each key
# in one text, since packing an argument costs the consumer more than what it holds.
_KEEP_NEWEST = f"""
local names = {{{", ".join(f"'{name}'" for name in _FIELDS)}}}
for i, key in ipairs(KEYS) do
    local values, n = {{}}, 0
    for value in string.gmatch(ARGV[i + 1] .. '|', '([^|]*)|') do
        n = n + 1
        values[2 * n - 1], values[2 * n] = names[n], value
    end
    local bucket, events = values[2], tonumber(values[4])
    local known = redis.call('HMGET', key, 'bucket', 'events')
    if not known[1] or known[1] < bucket or (known[1] == bucket and tonumber(known[2]) <= events) then
        redis.call('HSET', key, unpack(values))
        redis.call('EXPIRE', key, ARGV[1])
    end
end
"""


@dataclass(frozen=True)
class HotTotals:
    """One five-minute window of the whole network; `bucket` is its start, with zone, and a mean without data None."""

    bucket: datetime
    events: int
    drops: int
    handover_failures: int
    latency_ms_mean: float | None
    rsrp_dbm_mean: float | None
    throughput_down_kbps_mean: float | None


@dataclass(frozen=True)
class HotRow:
    """One five-minute window of a cell and technology as the database has it, not what a batch added to it."""

    bucket: datetime
    cell_id: str
    technology: str
    events: int
    drops: int
    handover_failures: int
    latency_ms_mean: float | None
    rsrp_dbm_mean: float | None
    throughput_down_kbps_mean: float | None

    @property
    def key(self) -> str:
        """The Redis key of the hash."""
        return channels.hot_cell(self.cell_id, self.technology)


class HotMetrics:
    """Writes windows to Redis after each commit; for one thread.

    The hash of a cell (`HotRow.key`) and that of the network (`channels.HOT_NETWORK`) have the fields of `HotTotals`,
    an empty text where there is no mean, and `bucket` in ISO 8601, UTC. They vanish when nothing was written for `ttl`.
    """

    def __init__(
        self,
        url: str,
        telemetry: Telemetry,
        *,
        clock: Callable[[], float] = time.monotonic,
        ttl: timedelta = TTL,
    ) -> None:
        self._cache = Cache(url, telemetry, clock=clock)
        self._seconds = int(ttl.total_seconds())

    def publish(self, rows: Sequence[HotRow], totals: HotTotals) -> bool:
        """Write the windows and notify `channels.HOT`, in one round trip; tell whether Redis took all.

        Writing the same again changes nothing. Redis failing is counted, never raised.
        """
        windows = [(row.key, _fields(row)) for row in rows]
        windows.append((channels.HOT_NETWORK, _fields(totals)))
        notice = json.dumps({"bucket": _start(totals.bucket), "cells": len(rows), "events": totals.events})

        def fill(pipeline: redis.client.Pipeline) -> None:
            for start in range(0, len(windows), _ROWS_PER_CALL):
                part = windows[start : start + _ROWS_PER_CALL]
                keys, texts = zip(*part, strict=True)
                pipeline.eval(_KEEP_NEWEST, len(part), *keys, str(self._seconds), *texts)
            pipeline.publish(channels.HOT, notice)

        return self._cache.run(fill)

    def close(self) -> None:
        """Close the connection to Redis."""
        self._cache.close()


def _fields(window: HotRow | HotTotals) -> str:
    means = (window.latency_ms_mean, window.rsrp_dbm_mean, window.throughput_down_kbps_mean)
    means_text = "|".join("" if mean is None else str(mean) for mean in means)
    return f"{_start(window.bucket)}|{window.events}|{window.drops}|{window.handover_failures}|{means_text}"


@functools.lru_cache(maxsize=64)
def _start(bucket: datetime) -> str:
    # All in one zone and of one length, so that texts compare as times do.
    return bucket.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
