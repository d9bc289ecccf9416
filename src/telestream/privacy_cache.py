"""Empties the cache of the API's answers, so that none made before an erasure is given after it."""

from __future__ import annotations

import redis

from telestream import channels
from telestream.errors import TerminalError, TransientError, UsageError

_KEYS_PER_CALL = 1_000


def empty_answers() -> int:
    """Make cached answers unreachable, then remove them; return how many, 0 where no cache is configured.

    Other keys hold cells and alerts, nothing of people.

    Raises:
        TransientError: a cache is configured and does not answer.
        UsageError: its URL is none.
    """
    try:
        url = channels.cache_url()
    except TerminalError:
        return 0
    try:
        client = redis.Redis.from_url(url, socket_timeout=10, socket_connect_timeout=10)
    except ValueError as exc:
        raise UsageError("the URL of the cache cannot be used", hint="Correct TELESTREAM_REDIS_URL.") from exc
    removed = 0
    try:
        with client:
            # First, so that an answer computed before this moment is kept where nobody looks for it.
            for tag in channels.ANSWER_TAGS:
                client.incr(channels.answers_dropped(tag))
            keys: list[bytes] = []
            for key in client.scan_iter(match=f"{channels.ANSWERS}*", count=_KEYS_PER_CALL):
                keys.append(key)
                if len(keys) == _KEYS_PER_CALL:
                    removed += client.unlink(*keys)
                    keys.clear()
            if keys:
                removed += client.unlink(*keys)
    except redis.RedisError as exc:
        raise TransientError(
            "the cache does not answer, and it may hold answers about the person",
            detail=f"{type(exc).__name__}. What was done stays done.",
            hint="Start it, or unset TELESTREAM_REDIS_URL if there is none; then `telestream privacy erase --resume`.",
        ) from exc
    return removed
