"""The link to Redis for what may be missing: it never raises, never waits long, and leaves a broken server alone."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import redis.asyncio
from redis import RedisError
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from telestream.errors import UsageError

_TIMEOUT_SECONDS = 0.25
_REST_SECONDS = 1.0
_CONNECTIONS = 50

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class RedisLink:
    """Commands to Redis that answer None when it is away; for one event loop."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Remember where Redis is.

        Raises:
            UsageError: the URL is not one of Redis.
        """
        try:
            # Who finds all connections taken waits for one: that many callers at once are no failure of the server.
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=_TIMEOUT_SECONDS,
                socket_timeout=_TIMEOUT_SECONDS,
                socket_connect_timeout=_TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
            self._client = redis.asyncio.Redis.from_pool(pool)
        except ValueError as exc:
            raise UsageError(
                "the URL of the cache cannot be used", hint="It is of the form redis://host:port."
            ) from exc
        self.url = url
        self._clock = clock
        self._rests_until = float("-inf")
        self._failing = False

    @property
    def available(self) -> bool:
        """Whether the last command was answered."""
        return not self._failing

    async def run(self, command: Callable[[redis.asyncio.Redis], Awaitable[Answer]]) -> Answer | None:
        """Return what a command answers, None when Redis does not."""
        if self._clock() < self._rests_until:
            return None
        try:
            answer = await command(self._client)
        except (RedisError, OSError, TimeoutError) as exc:
            self._rests_until = self._clock() + _REST_SECONDS
            if not self._failing:
                self._failing = True
                _log.warning("the cache does not answer: %s", type(exc).__name__)
            return None
        if self._failing:
            self._failing = False
            _log.info("the cache answers again")
        return answer

    async def script(self, text: str, key: str, *arguments: float | str) -> Any:
        """Return what a script answers, None when Redis does not."""
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        given = [str(one) for one in arguments]

        async def command(client: redis.asyncio.Redis) -> Any:
            try:
                return await client.evalsha(digest, 1, key, *given)
            except NoScriptError:
                return await client.eval(text, 1, key, *given)

        return await self.run(command)

    async def text(self, key: str) -> bytes | None:
        """Return what lies under a key, None if nothing does or Redis is away."""
        value = await self.run(lambda client: client.get(key))
        return value.encode() if isinstance(value, str) else value

    async def ping(self) -> bool:
        """Tell whether Redis answers now."""
        return bool(await self.run(lambda client: client.ping()))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
