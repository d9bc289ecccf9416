"""The unit of loading: a piece of a file that is committed in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from telestream.loaders.mapping import Refused

SEGMENT_BYTES = 32 << 20
"""Decompressed bytes of a segment, about 125 000 canonical lines.

Three segments are alive at a time, each held as Arrow of about the same size. Measured peak of the process
with three alive: 320 MB for 24 MiB, 350 MB for 32 MiB, 425 MB for 48 MiB; smaller ones pay the fixed costs
of a transaction more often.
"""

RECORD_BYTES = 256
"""What a record of Parquet or Avro counts as when segments are cut: about a canonical CSV line."""

REJECTS_SCHEMA = pa.schema(
    [
        pa.field("line", pa.int64()),
        pa.field("rule", pa.string()),
        pa.field("field", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("raw", pa.string()),
    ]
)
"""A refused line: its number, the rule, the canonical field if one is to blame, the reason, its text."""

RawText = Callable[[Collection[int]], dict[int, str]]
"""Returns the raw text of lines by their numbers."""


@dataclass(frozen=True)
class DoneSegment:
    """A committed segment: where it ended and the number of the line after it."""

    end: int
    next_line: int


@dataclass(frozen=True)
class Segment:
    """A piece of a file.

    Attributes:
        number: 1 for the first segment of the file.
        start: first byte in the decompressed UTF-8 stream, or index of the first record (Parquet, Avro).
        end: like `start`, one past the last.
        first_line: number of the first line, header and blank lines included, or of the first record.
        next_line: number of the line after the last.
        rows_in: lines that hold data, or records; always `table.num_rows + rejects.num_rows`.
        table: the mapped records in the canonical schema, ordered by `started_at` with nulls last.
        rejects: the refused lines, see `REJECTS_SCHEMA`.
        raw_text: finds the raw text of lines.
    """

    number: int
    start: int
    end: int
    first_line: int
    next_line: int
    rows_in: int
    table: pa.Table
    rejects: pa.Table
    raw_text: RawText

    def raw_lines(self, lines: Collection[int]) -> dict[int, str]:
        """Return the raw text of lines of this segment; for Parquet and Avro the record as JSON.

        Raises:
            SourceError: the file went away or changed since it was read.
        """
        return self.raw_text(lines) if lines else {}


@dataclass(frozen=True)
class RejectedLines:
    """Some lines of a file that is refused as a whole: their numbers and raw text."""

    numbers: list[int]
    raw: list[str]

    def __len__(self) -> int:
        return len(self.numbers)

    def as_rejects(self, rule: str, reason: str) -> pa.Table:
        """Return the lines as a table of rejects that all have the same reason."""
        refused = [Refused(number, rule, reason) for number in self.numbers]
        return rejects_table(refused, dict(zip(self.numbers, self.raw, strict=True)))


def rejects_table(refused: Sequence[Refused], raw: dict[int, str]) -> pa.Table:
    """Build a table of rejects from the refusals and the raw text of their lines."""
    return pa.table(
        {
            "line": [one.line for one in refused],
            "rule": [one.rule for one in refused],
            "field": [one.field for one in refused],
            "reason": [one.reason for one in refused],
            "raw": [raw.get(one.line) for one in refused],
        },
        schema=REJECTS_SCHEMA,
    )
