"""What readers do alike with the columns of a source: choose them, and clean their values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from telestream.errors import ProfileError
from telestream.loaders.mapping import Lines, Refused
from telestream.loaders.profile import Profile


def required_columns(profile: Profile, given: Sequence[str]) -> list[str]:
    """Return the columns to read: those the profile uses, optional ones too if the source lacks them.

    Raises:
        ProfileError: the source lacks a column that is not optional.
    """
    known = list(dict.fromkeys([*given, *profile.optional]))
    columns = profile.used_columns(known)
    missing = [name for name in columns if name not in known]
    if missing:
        raise ProfileError(
            f"profile {profile.name}: the file has no column {shortened(missing)}",
            detail=f"Its columns are {shortened(given, 40)}.",
            hint="Choose another profile, or list columns that some files lack under optional:.",
        )
    return columns


def shortened(names: Sequence[str], most: int = 4) -> str:
    """Return names for a message: the first ones, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def plain_text(table: pa.Table) -> pa.Table:
    """Return the table with every spelling of text (large, view, dictionary) as plain strings."""
    for position, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if (
            pa.types.is_large_string(kind)
            or pa.types.is_string_view(kind)
            or (pa.types.is_string(kind) and kind != field.type)
        ):
            table = table.set_column(position, field.name, table.column(position).cast(pa.string()))
    return table


def without_nulls(table: pa.Table, nulls: Sequence[str]) -> pa.Table:
    """Return the table with null in place of texts that stand for it."""
    null, standing_for_null = pa.scalar(None, pa.string()), pa.array(nulls, pa.string())
    for position, field in enumerate(table.schema):
        if field.type == pa.string():
            column = table.column(position)
            found = pc.is_in(column, standing_for_null)
            if pc.any(found).as_py():
                table = table.set_column(position, field, pc.if_else(found, null, column))
    return table


def without_bad_text(table: pa.Table, lines: Lines) -> tuple[pa.Table, Lines, list[Refused]]:
    """Take out the records with text that PostgreSQL cannot hold: NUL, or bytes that are not UTF-8."""
    refused: dict[int, Refused] = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if column.type != pa.string():
            continue
        for position in _bad_positions(column):
            value = column[position].as_buffer().to_pybytes()
            rule, what = ("nul_byte", "a NUL character") if 0 in value else ("encoding", "bytes that are not UTF-8")
            refused.setdefault(position, Refused(int(lines[position]), rule, f"{what} in column {name}"))
    if not refused:
        return table, lines, []
    keep = np.ones(table.num_rows, dtype=bool)
    keep[list(refused)] = False
    return table.filter(pa.array(keep)), lines[keep], [refused[position] for position in sorted(refused)]


def _bad_positions(column: pa.ChunkedArray) -> list[int]:
    """Return the positions of values with NUL or invalid UTF-8."""
    bad: list[int] = []
    first = 0
    for chunk in column.chunks:
        data = chunk.buffers()[2]
        text = b"" if data is None else data.to_pybytes()
        if b"\0" in text or not _is_utf8(text):
            values = chunk.cast(pa.binary()).to_pylist()
            bad += [
                first + place
                for place, value in enumerate(values)
                if value is not None and (b"\0" in value or not _is_utf8(value))
            ]
        first += len(chunk)
    return bad


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
