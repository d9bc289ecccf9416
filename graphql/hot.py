"""The newest 5-minute windows as consumers keep them in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from telestream import channels
from telestream.graphql.redis_link import RedisLink

# What network events name; a cell may have several.
TECHNOLOGIES = ("2g", "3g", "4g", "5g", "unknown")
_FIELDS = (
    "bucket",
    "events",
    "drops",
    "handover_failures",
    "latency_ms_mean",
    "rsrp_dbm_mean",
    "throughput_down_kbps_mean",
)
# All windows in one command: the client's work for a command each is what takes the time. ARGV: the cells.
# Returns the fields of the network, then cell, technology and fields of each window there is.
_READ = f"""
local fields = {{{", ".join(f"'{name}'" for name in _FIELDS)}}}
local technologies = {{{", ".join(f"'{name}'" for name in TECHNOLOGIES)}}}
local found = {{redis.call('HMGET', KEYS[1], unpack(fields))}}
for _, cell in ipairs(ARGV) do
    for _, technology in ipairs(technologies) do
        local row = redis.call('HMGET', '{channels.hot_cell("", "")[:-1]}' .. cell .. ':' .. technology, unpack(fields))
        if row[1] then found[#found + 1] = {{cell, technology, unpack(row)}} end
    end
end
return found
"""


@dataclass(frozen=True)
class HotWindow:
    """A window; `cell_id` and `technology` are None for the whole network."""

    cell_id: str | None
    technology: str | None
    bucket: datetime
    events: int
    drops: int
    handover_failures: int
    latency_ms_mean: float | None
    rsrp_dbm_mean: float | None
    throughput_down_kbps_mean: float | None


class HotReader:
    """Reads windows from Redis."""

    def __init__(self, redis: RedisLink) -> None:
        self._redis = redis

    async def read(self, cells: Sequence[str]) -> tuple[HotWindow | None, list[HotWindow]] | None:
        """Return the window of the network and those of the cells that have one; None when Redis is away."""
        answer = await self._redis.script(_READ, channels.HOT_NETWORK, *cells)
        if answer is None:
            return None
        network, *windows = answer
        return (
            _window(None, None, network) if network[0] is not None else None,
            [_window(cell.decode(), technology.decode(), row) for cell, technology, *row in windows],
        )


def _window(cell: str | None, technology: str | None, row: Sequence[bytes]) -> HotWindow:
    bucket, events, drops, handover_failures, *means = row
    latency, rsrp, throughput = (float(mean) if mean else None for mean in means)
    return HotWindow(
        cell,
        technology,
        datetime.fromisoformat(bucket.decode()),
        int(events),
        int(drops),
        int(handover_failures),
        latency,
        rsrp,
        throughput,
    )
