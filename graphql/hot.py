"""The newest 5-minute windows as consumers keep them in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from telestream import channels
from telestream.graphql.redis_link import RedisLink

# What network events name; a cell may have several.
TECHNOLOGIES = ("2g", "3g", "4g", "5g", "unknown")


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
        names = [(cell, technology) for cell in cells for technology in TECHNOLOGIES]

        async def command(client: Any) -> list[dict[bytes, bytes]]:
            async with client.pipeline(transaction=False) as pipeline:
                pipeline.hgetall(channels.HOT_NETWORK)
                for cell, technology in names:
                    pipeline.hgetall(channels.hot_cell(cell, technology))
                found: list[dict[bytes, bytes]] = await pipeline.execute()
                return found

        answer = await self._redis.run(command)
        if answer is None:
            return None
        network = _window(None, None, answer[0])
        windows = [_window(cell, technology, row) for (cell, technology), row in zip(names, answer[1:], strict=True)]
        return network, [window for window in windows if window is not None]


def _window(cell: str | None, technology: str | None, row: Mapping[bytes, bytes]) -> HotWindow | None:
    if b"bucket" not in row:
        return None

    def mean(name: bytes) -> float | None:
        return float(row[name]) if row.get(name) else None

    return HotWindow(
        cell,
        technology,
        datetime.fromisoformat(row[b"bucket"].decode()),
        int(row[b"events"]),
        int(row[b"drops"]),
        int(row[b"handover_failures"]),
        mean(b"latency_ms_mean"),
        mean(b"rsrp_dbm_mean"),
        mean(b"throughput_down_kbps_mean"),
    )
