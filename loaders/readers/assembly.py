"""Puts mapped tables and refusals together into a segment, ordered by time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from telestream.loaders.canonical import SCHEMA
from telestream.loaders.mapping import Refused
from telestream.loaders.readers.segment import RawText, Segment, rejects_table


def assemble(
    *,
    number: int,
    start: int,
    end: int,
    first_line: int,
    next_line: int,
    tables: list[pa.Table],
    refused: Sequence[Refused],
    texts: dict[int, str],
    raw_text: RawText,
) -> Segment:
    """Make a segment of mapped tables, which are taken out of their list, and of refused lines.

    `texts` holds the raw text of the refused lines.
    """
    columns = (pa.concat_tables(tables) if tables else SCHEMA.empty_table()).columns
    tables.clear()
    _sort_by_time(columns)
    table = pa.table(columns, schema=SCHEMA)
    rejects = rejects_table(sorted(refused, key=lambda one: one.line), texts)
    # The allocator keeps what parsing left; given back, three segments fit where two did.
    pa.default_memory_pool().release_unused()
    return Segment(
        number=number,
        start=start,
        end=end,
        first_line=first_line,
        next_line=next_line,
        rows_in=table.num_rows + rejects.num_rows,
        table=table,
        rejects=rejects,
        raw_text=raw_text,
    )


def _sort_by_time(columns: list[pa.ChunkedArray]) -> None:
    """Order the records by `started_at`, nulls last: unsorted rows make COPY into chunks several times slower."""
    started = columns[SCHEMA.get_field_index("started_at")]
    if started.null_count == 0:
        times = np.asarray(started.cast(pa.int64()))
        if (times[1:] >= times[:-1]).all():
            return
    order = pc.array_sort_indices(started)
    # Column by column and in place, so that only one column is held twice.
    for position in range(len(columns)):
        columns[position] = pc.take(columns[position].combine_chunks(), order)
