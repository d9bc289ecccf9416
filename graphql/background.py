"""Tasks that run beside the requests: none ends by a defect, and each ends when the process does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

_PAUSE_SECONDS = 1.0
_CANCEL_AGAIN_SECONDS = 0.2

_log = logging.getLogger(__name__)


async def for_ever(run: Callable[[], Awaitable[None]]) -> None:
    """Run what never ends; a defect in it is logged and does not end it either."""
    while True:
        try:
            await run()
        except Exception:
            _log.exception("what runs beside the requests failed and goes on")
            await asyncio.sleep(_PAUSE_SECONDS)


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended: `asyncio.wait_for`, which drivers use, may swallow a cancellation."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_SECONDS)
