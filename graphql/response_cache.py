"""Cached answers in Redis, under keys that hold the version of what they were made of."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import redis.asyncio
from psycopg import sql
from psycopg.rows import tuple_row

from telestream import channels
from telestream.graphql.principal import Principal
from telestream.graphql.problems import Problem
from telestream.graphql.reading import Database
from telestream.graphql.redis_link import RedisLink
from telestream.graphql.telemetry import Telemetry

REFRESH_SECONDS = 1.0
_LARGEST_BYTES = 1 << 20
# Who finds that another process is computing the same looks for it in steps, then computes it too.
_LOCK_MS = 3_000
# Returns the answer, else 1 if the caller is to compute it, 0 if somebody else does. ARGV: life of the lock, ms.
_LOAD = """
local found = redis.call('GET', KEYS[1])
if found then return found end
if redis.call('SET', KEYS[1] .. ':lock', '1', 'NX', 'PX', ARGV[1]) then return 1 end
return 0
"""
_STEP_SECONDS = 0.025
_LONGEST_SECONDS = 1.0


@dataclass(frozen=True)
class Entry:
    """An answer: its body, what it read of people (`Access` as lists), whether it may be kept."""

    body: bytes
    accesses: list[list[Any]]
    keep: bool = True


class _AbandonedError(Exception):
    """The caller that computed an answer has gone away; those who waited for it must see for themselves."""


class ResponseCache:
    """Answers by operation, variables, role, scopes and version of Gold; for one event loop."""

    def __init__(self, redis: RedisLink, database: Database, telemetry: Telemetry) -> None:
        self._redis = redis
        self._database = database
        self._telemetry = telemetry
        self._versions: dict[str, str] = {}
        self._dropped: dict[str, int] = {}
        self._flights: dict[str, asyncio.Future[Entry]] = {}

    async def run(self) -> None:
        """Follow the versions of Gold until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Learn the versions of Gold and what was invalidated; when the database is away the last ones stay."""
        try:
            # Of the replica where there is one: an answer must not be kept under a version that it does not have.
            rows = await self._database.own_of_replica(
                sql.SQL("SELECT v.tag, v.version FROM api.gold_version() AS v"), tuple_row
            )
        except Problem:
            return
        self._versions = {str(tag): str(version) for tag, version in rows}
        tags = sorted(self._versions)
        counters = await self._redis.run(lambda client: client.mget([channels.answers_dropped(tag) for tag in tags]))
        if counters is not None:
            self._dropped = {tag: int(count or 0) for tag, count in zip(tags, counters, strict=True)}

    async def invalidate(self, tags: Sequence[str]) -> bool:
        """Make answers with these tags unreachable; others processes follow within a second. False: Redis is away."""
        done = True
        for tag in tags:
            count = await self._redis.run(lambda client, tag=tag: client.incr(channels.answers_dropped(tag)))  # type: ignore[misc]
            done = done and count is not None
            self._dropped[tag] = int(count) if count is not None else self._dropped.get(tag, 0) + 1
        return done

    def key(
        self, principal: Principal, document: str, operation: str | None, variables: bytes, tags: Sequence[str]
    ) -> str | None:
        """Return the key of an answer; None while the version of Gold is not known."""
        if any(tag not in self._versions for tag in tags):
            return None
        parts = [
            document,
            operation or "",
            variables.decode(),
            principal.role,
            # A scope opens fields: what one caller may see is no answer for another.
            " ".join(sorted(principal.scopes)),
            *(f"{tag}={self._versions[tag]}/{self._dropped.get(tag, 0)}" for tag in sorted(tags)),
        ]
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return f"{channels.ANSWERS}{digest}"

    async def get(self, key: str, seconds: int, compute: Callable[[], Awaitable[Entry]]) -> Entry:
        """Return the answer under a key; of those who ask at the same time one looks for it and computes it."""
        flight = self._flights.get(key)
        if flight is not None:
            self._telemetry.cache_hits.inc()
            try:
                return await asyncio.shield(flight)
            except _AbandonedError:
                return await self.get(key, seconds, compute)
        flight = asyncio.get_running_loop().create_future()
        self._flights[key] = flight
        try:
            entry = await self._find(key, seconds, compute)
            flight.set_result(entry)
            return entry
        except BaseException as exc:
            flight.set_exception(exc if isinstance(exc, Exception) else _AbandonedError())
            # Nobody may be waiting: the exception counts as seen.
            flight.exception()
            raise
        finally:
            del self._flights[key]

    async def _find(self, key: str, seconds: int, compute: Callable[[], Awaitable[Entry]]) -> Entry:
        found = await self._redis.script(_LOAD, key, _LOCK_MS)
        if isinstance(found, bytes):
            self._telemetry.cache_hits.inc()
            return _entry(found)
        self._telemetry.cache_misses.inc()
        if found == 0:
            deadline = time.monotonic() + _LONGEST_SECONDS
            while time.monotonic() < deadline and self._redis.available:
                await asyncio.sleep(_STEP_SECONDS)
                value = await self._redis.text(key)
                if value:
                    return _entry(value)
        kept: bytes | None = None
        try:
            entry = await compute()
            if entry.keep and len(entry.body) <= _LARGEST_BYTES:
                kept = orjson.dumps(entry.accesses) + b"\n" + entry.body
            return entry
        finally:
            if kept is not None or found == 1:
                await self._redis.run(lambda client: _keep(client, key, kept, seconds, unlock=found == 1))


async def _keep(client: redis.asyncio.Redis, key: str, value: bytes | None, seconds: int, *, unlock: bool) -> None:
    async with client.pipeline(transaction=False) as pipeline:
        if value is not None:
            pipeline.set(key, value, ex=seconds)
        if unlock:
            pipeline.delete(f"{key}:lock")
        await pipeline.execute()


def _entry(value: bytes) -> Entry:
    head, _, body = value.partition(b"\n")
    return Entry(body, orjson.loads(head))
