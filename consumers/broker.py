"""What the consumer needs of a broker, in its own words; the real one and the tests' in-memory one fulfil it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Messages:
    """Consecutive messages of one partition, as they lay in its log.

    `offsets`, `keys` and `values` go together; offsets rise and may have gaps. `next_offset` is where to read
    on, `log_end` the offset that the next message produced will get. `sent` tells of runs of messages when they
    were produced: milliseconds since 1970 and the number of messages.
    """

    partition: int
    offsets: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    next_offset: int
    log_end: int
    sent: Sequence[tuple[int, int]] = ()

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(frozen=True)
class Polled:
    """What one poll brought: partitions taken away, then partitions given, then messages."""

    revoked: Sequence[int] = ()
    assigned: Sequence[int] = ()
    messages: list[Messages] = field(default_factory=list)


class Broker(Protocol):
    """One consumer's membership of one group on one topic."""

    @property
    def topic(self) -> str:
        """The topic."""

    def incarnation(self) -> str:
        """Return cluster id and topic id: it changes when the topic is made again.

        Raises:
            TransientError: the broker does not answer.
            TerminalError: the topic does not exist.
        """

    def poll(self, timeout_s: float) -> Polled:
        """Return what has arrived, waiting at most `timeout_s`; keeps the membership of the group alive.

        Of a partition just assigned nothing is read before `seek`.
        """

    def seek(self, partition: int, offset: int) -> None:
        """Read the partition from `offset` on; nothing happens where it has been taken away meanwhile."""

    def log_range(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return the first offset that is kept and the log end, as far as it is known, of each partition."""

    def positions(self, partitions: Sequence[int]) -> dict[int, int]:
        """Return the offset from which each partition that is ours is read next, past markers that are no messages."""

    def pause(self, partitions: Sequence[int]) -> None:
        """Read no more of these partitions until `resume`."""

    def resume(self, partitions: Sequence[int]) -> None:
        """Read these partitions again."""

    def close(self) -> None:
        """Leave the group."""
