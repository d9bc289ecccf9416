"""Reads record formats: maps batches of typed records and gathers them into segments by record number."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from telestream.loaders.mapping import Mapper, Refused, mapper_for
from telestream.loaders.profile import Profile
from telestream.loaders.readers.assembly import assemble
from telestream.loaders.readers.columns import plain_text, without_bad_text, without_nulls
from telestream.loaders.readers.segment import RECORD_BYTES, DoneSegment, Segment

GROUP_RECORDS = 32_768
"""Records mapped at once: about as many as a group of text lines has."""


class RecordFile(Protocol):
    """A file of numbered records; `schema` is that of the tables `read` returns."""

    schema: pa.Schema

    def read(self, count: int) -> pa.Table | None:
        """Return the next records, at most `count`; nothing at the end."""

    def skip_to(self, record: int) -> None:
        """Go on at a record, counted from 0, that has not been read yet."""

    def raw_text(self, first: int, lines: Collection[int]) -> dict[int, str]:
        """Return records as JSON by their number from 1; `first` is the index of one at or before them.

        Works after `close` too.
        """

    def close(self) -> None:
        """Close the file."""


def record_segments(
    file: RecordFile,
    profile: Profile,
    resume: Mapping[int, DoneSegment],
    segment_bytes: int,
) -> Iterator[Segment]:
    """Yield the segments that are not done yet; a record's line is its number, from 1."""
    mapper = mapper_for(profile, file.schema)
    size = max(1, segment_bytes // RECORD_BYTES)
    start, number = 0, 0
    while True:
        number += 1
        done = resume.get(number)
        if done is not None:
            start = done.end
            file.skip_to(start)
            continue
        segment = _read_segment(number, start, size, file, profile, mapper)
        if segment is None:
            return
        yield segment
        start = segment.end


def _read_segment(
    number: int, start: int, size: int, file: RecordFile, profile: Profile, mapper: Mapper
) -> Segment | None:
    tables: list[pa.Table] = []
    refused: list[Refused] = []
    end = start
    while end < start + size:
        raw = file.read(min(GROUP_RECORDS, start + size - end))
        if raw is None:
            break
        lines = np.arange(end + 1, end + 1 + raw.num_rows, dtype=np.int64)
        end += raw.num_rows
        raw, lines, with_bad_text = without_bad_text(raw, lines)
        mapped = mapper.map(without_nulls(raw, ["", *profile.nulls]), lines)
        tables.append(mapped.table)
        refused += with_bad_text + mapped.refused
    if end == start:
        return None

    def raw_text(wanted: Collection[int]) -> dict[int, str]:
        return file.raw_text(start, wanted)

    return assemble(
        number=number,
        start=start,
        end=end,
        first_line=start + 1,
        next_line=end + 1,
        tables=tables,
        refused=refused,
        texts=raw_text({one.line for one in refused}) if refused else {},
        raw_text=raw_text,
    )


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema as `plain_text` makes it."""
    return plain_text(schema.empty_table()).schema


def as_json(record: dict[str, Any]) -> str:
    """Return a record as JSON for a person to read."""
    return json.dumps(record, ensure_ascii=False, default=str)
