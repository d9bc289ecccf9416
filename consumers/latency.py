"""Counts latencies in steps of fixed width, so that percentiles of any number of messages take little memory."""

from __future__ import annotations

from collections import Counter

_STEP_SECONDS = 0.01
_LONGEST_SECONDS = 600.0


class Latency:
    """Latencies of messages, 10 ms apart; what is longer than ten minutes counts as that."""

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()

    def add(self, seconds: float, messages: int) -> None:
        """Count messages that took this long."""
        self._steps[int(min(max(seconds, 0.0), _LONGEST_SECONDS) / _STEP_SECONDS)] += messages

    def percentile(self, fraction: float) -> float | None:
        """Return the latency that this share of the messages did not exceed, in seconds; None without messages."""
        left = fraction * self._steps.total()
        for step in sorted(self._steps):
            left -= self._steps[step]
            if left <= 0:
                return (step + 1) * _STEP_SECONDS
        return None
