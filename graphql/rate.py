"""Requests per minute and caller: a sliding window in Redis that all processes share, a local one when it is away."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from telestream.graphql.redis_link import RedisLink

WINDOW_SECONDS = 60
_MOST_LOCAL = 10_000

# Two counters a caller: of this minute and of the one before, which counts by the share of it that lies within the
# last 60 seconds. Constant memory, and off by little unless requests come in bursts. ARGV: limit, now in seconds.
_COUNT = """
local limit, now = tonumber(ARGV[1]), tonumber(ARGV[2])
local minute = math.floor(now / 60)
local past = tonumber(redis.call('GET', KEYS[1] .. ':' .. (minute - 1)) or '0')
local key = KEYS[1] .. ':' .. minute
local current = tonumber(redis.call('GET', key) or '0')
local used = past * (1 - (now % 60) / 60) + current
if used + 1 > limit then return {0, tostring(used), past, current} end
redis.call('INCR', key)
redis.call('EXPIRE', key, 150)
return {1, tostring(used + 1), past, current + 1}
"""


@dataclass(frozen=True)
class Verdict:
    """Whether a request is allowed, and what the headers say: limit, what is left, seconds until some is free."""

    allowed: bool
    limit: int
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        found = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
            "RateLimit-Policy": f"{self.limit};w={WINDOW_SECONDS}",
        }
        return found if self.allowed else found | {"Retry-After": str(self.reset)}


class RateLimiter:
    """Counts requests; for one event loop."""

    def __init__(self, redis: RedisLink, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock
        # Caller: minute, requests of the minute before, requests of this one.
        self._local: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    async def count(self, caller: str, limit: int) -> Verdict:
        """Count a request and tell whether it is allowed; one that is refused does not count."""
        now = self._clock()
        answer = await self._redis.script(_COUNT, f"telestream:api:rate:{caller}", limit, now)
        if answer is None:
            allowed, used, past, current = self._count_locally(caller, limit, now)
        else:
            allowed, used, past, current = bool(answer[0]), float(answer[1]), int(answer[2]), int(answer[3])
        return Verdict(allowed, limit, max(0, math.floor(limit - used)), _reset(limit, past, current, now))

    def _count_locally(self, caller: str, limit: int, now: float) -> tuple[bool, float, int, int]:
        minute = int(now // WINDOW_SECONDS)
        known, past, current = self._local.get(caller, (minute, 0, 0))
        if known != minute:
            past, current = (current if known == minute - 1 else 0), 0
        used = past * (1 - now % WINDOW_SECONDS / WINDOW_SECONDS) + current
        allowed = used + 1 <= limit
        if allowed:
            current, used = current + 1, used + 1
        self._local[caller] = (minute, past, current)
        self._local.move_to_end(caller)
        while len(self._local) > _MOST_LOCAL:
            self._local.popitem(last=False)
        return allowed, used, past, current


def _reset(limit: int, past: int, current: int, now: float) -> int:
    """Return the seconds until one more request is allowed, from what the window still counts; 60 at most."""
    gone = now % WINDOW_SECONDS
    if past and current + 1 <= limit:
        # The share of the minute before has to sink to what is left.
        wanted = WINDOW_SECONDS * (1 - (limit - current - 1) / past)
        return max(1, min(WINDOW_SECONDS, math.ceil(wanted - gone)))
    return max(1, math.ceil(WINDOW_SECONDS - gone))
