"""Many subscribers of alerts in one process: says for each alert when each of them received it.

    python -m telestream.bench_api_listeners ws://127.0.0.1:8080/graphql 1000     # the key in TELESTREAM_LOAD_KEY

Prints a line once all are connected, then a line of JSON per alert: its id and the Unix times it was received at.
It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

_QUERY = "subscription { alerts { alertId severity kpi cellId message raisedAt } }"
# Connections that are made at the same time.
_AT_ONCE = 50
# How long the last subscribers may take once the first one has an alert.
_PATIENCE_SECONDS = 5.0


class _Arrivals:
    def __init__(self, count: int) -> None:
        self._count = count
        self._times: dict[str, list[float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, alert_id: str) -> None:
        times = self._times.get(alert_id)
        if times is None:
            times = self._times[alert_id] = []
            task = asyncio.create_task(self._tell(alert_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        times.append(time.time())

    async def _tell(self, alert_id: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while len(self._times[alert_id]) < self._count and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        print(json.dumps({"alert_id": alert_id, "times": self._times[alert_id]}), flush=True)


async def _subscriber(url: str, key: str, gate: asyncio.Semaphore, ready: asyncio.Semaphore, got: _Arrivals) -> None:
    async with gate:
        socket: ClientConnection = await connect(
            url,
            subprotocols=[Subprotocol("graphql-transport-ws")],
            compression=None,
            open_timeout=60,
            ping_interval=None,
        )
        await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {key}"}}))
        await socket.recv()
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": _QUERY}}))
        ready.release()
    async with socket:
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "next":
                got.take(message["payload"]["data"]["alerts"]["alertId"])
            elif message["type"] != "ping":
                raise RuntimeError(f"the subscription ended: {str(text)[:300]}")


async def _listen(url: str, count: int, key: str) -> None:
    gate, ready, got = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(0), _Arrivals(count)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_subscriber(url, key, gate, ready, got)) for _ in range(count)]
        for _ in range(count):
            await ready.acquire()
        print(json.dumps({"connected": count}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(_listen(sys.argv[1], int(sys.argv[2]), os.environ["TELESTREAM_LOAD_KEY"]))
