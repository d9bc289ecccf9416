"""Tasks beside the requests end with the process, whatever becomes of the first cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from telestream.graphql import background


async def deaf(times: int) -> None:
    """Swallow cancellations, as `asyncio.wait_for` of Python 3.11 does where one meets the end of what is awaited."""
    for _ in range(times):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
    await asyncio.sleep(60)


def test_a_task_that_swallows_its_cancellation_ends() -> None:
    async def ended() -> list[bool]:
        tasks = [asyncio.create_task(background.for_ever(lambda times=times: deaf(times))) for times in (0, 1, 3)]
        await asyncio.sleep(0)
        await asyncio.wait_for(background.end(tasks), 10)
        return [task.cancelled() for task in tasks]

    assert asyncio.run(ended()) == [True, True, True]


def test_a_defect_is_logged_and_the_task_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_PAUSE_SECONDS", 0.0)
    turns = []

    async def failing() -> None:
        turns.append(len(turns))
        if len(turns) < 3:
            raise ValueError("a defect")
        await asyncio.sleep(60)

    async def run() -> None:
        task = asyncio.create_task(background.for_ever(failing))
        while len(turns) < 3:
            await asyncio.sleep(0)
        await background.end([task])

    with caplog.at_level(logging.ERROR):
        asyncio.run(asyncio.wait_for(run(), 10))
    assert turns == [0, 1, 2]
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info] == [("a defect",)] * 2
