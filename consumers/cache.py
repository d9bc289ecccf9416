"""The link to Redis for what may be lost: it never raises, never waits long, and leaves a broken server alone."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from telestream.consumers.telemetry import Telemetry
from telestream.errors import UsageError

_log = logging.getLogger(__name__)

# Whatever the server does, an answer is waited for no longer than this.
TIMEOUT_SECONDS = 0.2
# After a failure the server is left alone at least this long …
_REST_SECONDS = 1.0
# … and this many times what the failure took, so that a server that hangs costs a consumer 5 % at most.
_REST_FACTOR = 20.0


class Cache:
    """One connection to Redis, opened when needed; for one thread."""

    def __init__(self, url: str, telemetry: Telemetry, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Remember where Redis is.

        Raises:
            UsageError: the URL is not one of Redis.
        """
        try:
            self._client = redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as exc:
            raise UsageError(
                "the URL of the cache cannot be used",
                hint="TELESTREAM_REDIS_URL is of the form redis://[[user]:password@]host:port/number, or rediss://….",
            ) from exc
        self._telemetry = telemetry
        self._clock = clock
        self._rests_until = float("-inf")
        self._failing = False

    def run(self, fill: Callable[[redis.client.Pipeline], Any]) -> bool:
        """Send the commands that `fill` puts into a pipeline in one round trip; tell whether Redis took them all."""
        started = self._clock()
        if started < self._rests_until:
            self._telemetry.redis_failed()
            return False
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                fill(pipeline)
                pipeline.execute()
        except redis.RedisError as exc:
            self._failed(exc, started)
            return False
        if self._failing:
            self._failing = False
            _log.info("the cache answers again")
        return True

    def _failed(self, exc: redis.RedisError, started: float) -> None:
        now = self._clock()
        self._rests_until = now + max(_REST_SECONDS, _REST_FACTOR * (now - started))
        self._telemetry.redis_failed()
        if not self._failing:
            self._failing = True
            _log.warning("the cache does not take hot metrics and notices: %s", type(exc).__name__)
        with contextlib.suppress(redis.RedisError):
            self._client.connection_pool.disconnect()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
