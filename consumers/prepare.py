"""Turns polled messages into what a batch writes: rows, dead letters, slices of the log, and the new offsets."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from telestream.consumers.broker import Messages
from telestream.consumers.datasets import Dataset
from telestream.consumers.decode import AvroDecoder, Decoded
from telestream.consumers.lateness import Lateness


@dataclass(frozen=True)
class Claim:
    """The right to move a partition's offset: granted with an epoch, good until another consumer claims it."""

    partition: int
    epoch: int
    next_offset: int
    event_at: datetime | None


@dataclass(frozen=True)
class Batch:
    """Messages to write together, one entry per partition, and the claims they were read under."""

    incarnation: str
    topic: str
    messages: Sequence[Messages]
    claims: Mapping[int, Claim]

    def __len__(self) -> int:
        return sum(len(part) for part in self.messages)


@dataclass(frozen=True)
class Slice:
    """Messages without a gap between their offsets; lines count all messages of a batch, from 1."""

    partition: int
    first_offset: int
    first_line: int
    messages: int


@dataclass(frozen=True)
class Bad:
    """A message that cannot be decoded, where it stands and why."""

    partition: int
    offset: int
    reason: str
    detail: str
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)


@dataclass(frozen=True)
class Prepared:
    """A batch ready to be written.

    Attributes:
        table: columns of the reader schema and `line`, and `is_late` where the dataset has it; by event time.
        bad: what cannot be decoded.
        slices: which messages of the log the batch is made of.
        claims: the claims as they are once the batch is committed.
        log_ends: end of the log of each claim's partition.
    """

    table: pa.Table
    bad: list[Bad]
    slices: list[Slice]
    claims: list[Claim]
    log_ends: list[int]


def prepare(batch: Batch, dataset: Dataset, decoder: AvroDecoder, lateness: Lateness) -> Prepared:
    """Decode a batch and work out what to write.

    Raises:
        TransientError: the schema registry does not answer.
    """
    decoded = decoder.decode([value for part in batch.messages for value in part.values])
    late, claims = _judge(batch, dataset, decoded, lateness)
    table = decoded.table.add_column(0, "line", pa.array(decoded.index + 1))
    if dataset.marks_late:
        table = table.append_column("is_late", pa.array(late))
    return Prepared(
        # In the order of time, so that the fact's index grows at one place.
        table=table.take(pc.sort_indices(table.column(dataset.time_column))),
        bad=_bad(batch, decoded),
        slices=_slices(batch),
        claims=claims,
        log_ends=[part.log_end for part in batch.messages],
    )


def _judge(
    batch: Batch, dataset: Dataset, decoded: Decoded, lateness: Lateness
) -> tuple[npt.NDArray[np.bool_], list[Claim]]:
    """Return which rows are late, and the claims after the batch."""
    column = decoded.table.column(dataset.time_column)
    times = column.cast(pa.int64()).fill_null(0).to_numpy()
    known = column.is_valid().to_numpy()
    late = np.zeros(len(times), dtype=np.bool_)
    claims = []
    start = 0
    for part in batch.messages:
        # Rows are in the order of their messages, so those of a partition lie together.
        rows = slice(*np.searchsorted(decoded.index, (start, start + len(part))))
        start += len(part)
        claim = batch.claims[part.partition]
        event_at = claim.event_at
        timed = np.flatnonzero(known[rows]) + rows.start
        if len(timed):
            late[timed], event_at = lateness.judge(times[timed], event_at)
        claims.append(replace(claim, next_offset=part.next_offset, event_at=event_at))
    return late, claims


def _bad(batch: Batch, decoded: Decoded) -> list[Bad]:
    starts = np.cumsum([0, *(len(part) for part in batch.messages)])
    found = []
    for one in decoded.bad:
        number = int(np.searchsorted(starts, one.index, side="right")) - 1
        part, place = batch.messages[number], one.index - int(starts[number])
        found.append(
            Bad(part.partition, part.offsets[place], one.reason, one.detail, part.keys[place], part.values[place])
        )
    return found


def _slices(batch: Batch) -> list[Slice]:
    slices = []
    line = 1
    for part in batch.messages:
        offsets = np.asarray(part.offsets, dtype=np.int64)
        cuts = [0, *(np.flatnonzero(np.diff(offsets) != 1) + 1).tolist(), len(offsets)]
        for begin, end in itertools.pairwise(cuts):
            if end > begin:
                slices.append(Slice(part.partition, part.offsets[begin], line + begin, end - begin))
        line += len(part)
    return slices
