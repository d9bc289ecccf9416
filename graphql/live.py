"""What happens now: one subscription to Redis per process, handed to every subscriber through a queue with an end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import redis.asyncio
from redis import RedisError

from telestream import channels
from telestream.graphql import background
from telestream.graphql.hot import HotReader, HotWindow
from telestream.graphql.problems import LiveProblem, SlowConsumerProblem

# A subscriber that has this many alerts waiting is too slow.
QUEUE_LENGTH = 256
_RETRY_SECONDS = 1.0
_READ_SECONDS = 5.0

_FIELDS = (
    "alert_id", "anomaly_id", "status", "severity", "kpi", "cell_id", "started_at", "value", "baseline", "z_score",
    "message", "raised_at",
)  # fmt: skip

_log = logging.getLogger(__name__)


class Alert(dict[str, Any]):
    """A notice of an alert; `rendered` has what subscribers of the same query have been sent for it."""

    def __init__(self, payload: dict[str, Any]) -> None:
        """Take the notice.

        Raises:
            KeyError: it lacks a field that subscribers may ask for.
        """
        super().__init__({name: payload[name] for name in _FIELDS} | payload)
        self.rendered: dict[Any, Any] = {}


class Subscriber:
    """A queue of events for one subscription."""

    def __init__(self, length: int) -> None:
        self._events: deque[Any] = deque()
        self._length = length
        self._ready = asyncio.Event()
        self._end: Exception | None = None

    def put(self, event: Any) -> None:
        """Hand over an event; a queue that is full ends the subscription."""
        if len(self._events) >= self._length:
            self.end(
                SlowConsumerProblem(
                    "the subscriber does not take its events as fast as they come",
                    hint="Subscribe again with `after`: the last alertId received.",
                )
            )
            return
        self._events.append(event)
        self._ready.set()

    def put_newest(self, event: Any) -> None:
        """Hand over an event that makes those waiting obsolete."""
        self._events.clear()
        self.put(event)

    def end(self, problem: Exception) -> None:
        """End the subscription with an error."""
        self._end = self._end or problem
        self._ready.set()

    async def get(self) -> Any:
        """Return the next event.

        Raises:
            Problem: the subscription has ended.
        """
        while not self._events:
            if self._end is not None:
                raise self._end
            self._ready.clear()
            await self._ready.wait()
        if self._end is not None:
            raise self._end
        return self._events.popleft()


class Hub:
    """Listens to Redis and feeds all subscribers; no subscriber costs a statement in the database."""

    def __init__(self, url: str, hot: HotReader) -> None:
        self._url = url
        self._hot = hot
        self._alerts: set[Subscriber] = set()
        self._cells: dict[Subscriber, frozenset[str]] = {}
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are."""
        return len(self._alerts) + len(self._cells)

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """End all subscriptions and stop listening."""
        for subscriber in [*self._alerts, *self._cells]:
            subscriber.end(LiveProblem("the service is going down", hint="Subscribe again."))
        if self._task:
            await background.end([self._task])

    @contextlib.contextmanager
    def _among(self, subscriber: Subscriber, cells: frozenset[str] | None) -> Any:
        if not self.connected:
            raise LiveProblem("there is nothing live: the cache does not answer", hint="Try again after some seconds.")
        if cells is None:
            self._alerts.add(subscriber)
        else:
            self._cells[subscriber] = cells
        try:
            yield
        finally:
            self._alerts.discard(subscriber)
            self._cells.pop(subscriber, None)

    @contextlib.contextmanager
    def alerts(self) -> Any:
        """Give a subscriber that gets each `Alert` from now on; raises LiveProblem when Redis is away."""
        subscriber = Subscriber(QUEUE_LENGTH)
        with self._among(subscriber, None):
            yield subscriber

    async def windows(self, cells: frozenset[str]) -> AsyncIterator[list[HotWindow]]:
        """Yield the windows of cells whenever they have changed; a slow subscriber gets the newest only."""
        subscriber = Subscriber(1)
        with self._among(subscriber, cells):
            found = await self._hot.read(sorted(cells))
            if found is not None:
                yield found[1]
            while True:
                yield await subscriber.get()

    async def _listen(self) -> None:
        while True:
            client = redis.asyncio.Redis.from_url(self._url, socket_connect_timeout=1.0)
            try:
                async with client.pubsub() as listener:
                    await listener.subscribe(channels.ALERTS, channels.HOT)
                    if not self.connected:
                        _log.info("listening for alerts and hot windows")
                    self.connected = True
                    while True:
                        message = await listener.get_message(ignore_subscribe_messages=True, timeout=_READ_SECONDS)
                        if message is None:
                            await listener.ping()
                            continue
                        if message["type"] == "message":  # and not the answer to a ping
                            await self._take(message["channel"].decode(), message["data"])
            except (RedisError, OSError, TimeoutError) as exc:
                if self.connected:
                    _log.warning("nothing live until the cache answers again: %s", type(exc).__name__)
                self.connected = False
                # What happens now is missed: subscribers come back and say what they have seen last.
                for subscriber in [*self._alerts, *self._cells]:
                    subscriber.end(
                        LiveProblem("the connection to the cache was lost", hint="Subscribe again with `after`.")
                    )
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await client.aclose()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _take(self, channel: str, data: bytes) -> None:
        try:
            await self._hand_on(channel, data)
        except (ValueError, TypeError, KeyError) as exc:
            # One that wrote nonsense must not end what is live for all.
            _log.warning("what was told on %s cannot be read: %s", channel, type(exc).__name__)

    async def _hand_on(self, channel: str, data: bytes) -> None:
        if channel == channels.ALERTS:
            alert = Alert(json.loads(data))
            for subscriber in list(self._alerts):
                subscriber.put(alert)
        elif self._cells:
            # One read for all: each subscriber gets its part.
            wanted = sorted(frozenset().union(*self._cells.values()))
            found = await self._hot.read(wanted)
            for subscriber, cells in list(self._cells.items()):
                if found is not None:
                    subscriber.put_newest([window for window in found[1] if window.cell_id in cells])
