"""Stops the consumer when too many of the latest messages cannot be decoded: a bad deployment, not bad luck."""

from __future__ import annotations

import threading
from collections import deque

from telestream.errors import BadShareError

# The share is taken over about this many of the latest messages …
WINDOW = 10_000
# … and means something from this many bad ones on.
LEAST = 100


class BadShare:
    """Counts good and bad messages of the latest batches; for several threads.

    Args:
        limit: share of bad messages, 0 to 1, above which `check` fails.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._batches: deque[tuple[int, int]] = deque()
        self._lock = threading.Lock()

    def check(self, messages: int, bad: int, example: str) -> None:
        """Count a batch that is about to be written.

        Raises:
            BadShareError: with it the share is above the limit; nothing of the batch may be written.
        """
        with self._lock:
            self._batches.append((messages, bad))
            while sum(count for count, _ in self._batches) - self._batches[0][0] >= WINDOW:
                self._batches.popleft()
            total = sum(count for count, _ in self._batches)
            wrong = sum(count for _, count in self._batches)
        if wrong >= LEAST and wrong > self._limit * total:
            raise BadShareError(
                f"{wrong:,} of the last {total:,} messages cannot be decoded",
                detail=f"That is more than {self._limit:.0%}. The latest reason: {example}",
                hint="See ops.dead_letter for those before. Correct the producer or the registry and start again: it "
                "goes on at the first message not written. --max-bad-share allows more.",
            )
