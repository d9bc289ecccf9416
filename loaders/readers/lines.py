"""Reads line formats: takes blocks of lines apart, maps them in groups, and gathers them into segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa

from telestream.errors import SourceError
from telestream.loaders.mapping import Lines, Mapped, Mapper, Refused
from telestream.loaders.readers.assembly import assemble
from telestream.loaders.readers.blocks import (
    BLOCK_BYTES,
    MAX_LINE_BYTES,
    Block,
    KeptText,
    LineStream,
    OpenFile,
    raw_text,
)
from telestream.loaders.readers.segment import DoneSegment, Segment
from telestream.loaders.sources import Source

GROUP_BYTES = 8 << 20
"""What is mapped at once: smaller groups pay the fixed cost of a DuckDB statement (4 ms) more often."""


@dataclass(frozen=True)
class Parsed:
    """What a block of lines says: raw records and their lines, and the lines that say nothing."""

    raw: pa.Table
    lines: Lines
    refused: list[Refused]


class LineParser(Protocol):
    """Takes lines apart into raw columns; made for one profile and, where there is one, one header.

    `schema` is the schema of the raw table that `complete` returns.
    """

    schema: pa.Schema

    def parse(self, block: Block) -> Parsed:
        """Parse whole lines; blank lines and comments are in neither part of the result."""

    def complete(self, parsed: Parsed) -> Parsed:
        """Do the rest of the parsing for the blocks of a group together."""


def too_long(block: Block) -> Refused:
    """Refuse a line that is longer than a line may be."""
    reason = f"a line of {block.size:,} bytes, more than the {MAX_LINE_BYTES:,} a line may have"
    return Refused(block.first_line, "line_too_long", reason)


@dataclass
class _Group:
    """Blocks that are mapped together."""

    blocks: list[Block] = field(default_factory=list)
    parsed: list[Parsed] = field(default_factory=list)
    size: int = 0

    def add(self, block: Block, parsed: Parsed) -> None:
        self.blocks.append(block)
        self.parsed.append(parsed)
        self.size += block.size

    def map(self, parser: LineParser, mapper: Mapper) -> tuple[Mapped, dict[int, str]]:
        """Map the raw records; returns also the raw text of all refused lines."""
        parsed = parser.complete(
            Parsed(
                pa.concat_tables([parsed.raw for parsed in self.parsed]),
                np.concatenate([parsed.lines for parsed in self.parsed]),
                [one for parsed in self.parsed for one in parsed.refused],
            )
        )
        mapped = mapper.map(parsed.raw, parsed.lines)
        refused = parsed.refused + mapped.refused
        texts: dict[int, str] = {}
        numbers = sorted(one.line for one in refused)
        for block in self.blocks:
            wanted = [number for number in numbers if block.first_line <= number < block.next_line]
            if wanted:
                texts |= raw_text(block.data, block.first_line, wanted)
        return Mapped(mapped.table, refused), texts


def line_segments(
    source: Source,
    stream: LineStream,
    parser: LineParser,
    mapper: Mapper,
    resume: Mapping[int, DoneSegment],
    segment_bytes: int,
) -> Iterator[Segment]:
    """Yield the segments that are not done yet; the first one begins with the file, header included."""
    file = OpenFile(source) if source.is_local and stream.is_seekable else None
    start, first_line, number = 0, 1, 0
    while True:
        number += 1
        done = resume.get(number)
        if done is not None:
            if done.end < stream.offset:
                raise SourceError(
                    f"{source.uri}: segment {number} ended at byte {done.end:,}, before the one it follows",
                    hint="The segment size changed since the file was begun; load it with the size it began with.",
                )
            stream.skip_to(done.end, done.next_line)
        else:
            segment = _read_segment(number, start, first_line, stream, parser, mapper, KeptText(file), segment_bytes)
            if segment is None:
                return
            yield segment
        start, first_line = stream.offset, stream.line


def _read_segment(
    number: int,
    start: int,
    first_line: int,
    stream: LineStream,
    parser: LineParser,
    mapper: Mapper,
    kept: KeptText,
    segment_bytes: int,
) -> Segment | None:
    """Read blocks until they make a segment; nothing if no line is left."""
    tables: list[pa.Table] = []
    refused: list[Refused] = []
    texts: dict[int, str] = {}
    group = _Group()

    def finish_group() -> None:
        mapped, raw = group.map(parser, mapper)
        tables.append(mapped.table)
        refused.extend(mapped.refused)
        texts.update(raw)

    size, any_block = 0, False
    while size < segment_bytes:
        block = stream.read_block(min(BLOCK_BYTES, segment_bytes))
        if block is None:
            break
        any_block = True
        size += block.size
        kept.add(block)
        group.add(block, parser.parse(block))
        if group.size >= GROUP_BYTES:
            finish_group()
            group = _Group()
    if not any_block:
        return None
    if group.blocks:
        finish_group()
    return assemble(
        number=number,
        start=start,
        end=stream.offset,
        first_line=first_line,
        next_line=stream.line,
        tables=tables,
        refused=refused,
        texts=texts,
        raw_text=kept,
    )
