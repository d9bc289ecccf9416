"""Takes CSV apart: delimited text, one record per line, every value as text."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from telestream.errors import ProfileError, SourceError
from telestream.loaders.mapping import Lines, Refused
from telestream.loaders.profile import Dialect, Profile
from telestream.loaders.readers.blocks import BLANKS, Block, LineStream, decodes, no_text
from telestream.loaders.readers.columns import required_columns
from telestream.loaders.readers.lines import Parsed, too_long
from telestream.loaders.sources import Source

_NUL = re.compile(rb"\0")
# A carriage return that does not end the line.
_STRAY_RETURN = re.compile(rb"\r(?!\n)")
_BEFORE_BLANK_LINE = re.compile(rb"\n[ \t\r\f\v]*(?=\n)")
_QUOTE_GAP = b'", "'
_NO_NUMBERS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class _Wrong:
    """A line of a piece of text with another number of fields than expected: its index, and what it holds."""

    index: int
    fields: int
    text: str


@dataclass(frozen=True)
class _Rows:
    """What pyarrow made of a piece of text: raw records with their line indexes, and the odd lines."""

    table: pa.Table
    indexes: Lines
    wrong: list[_Wrong]


class DelimitedParser:
    """Parses blocks of delimited lines.

    pyarrow parses a whole block if nothing in it is doubtful and the number of records is the number of
    lines. Else the doubtful lines are cut out first, and an open quote is searched for by halves, so that a
    bad line costs no other.
    """

    def __init__(
        self, dialect: Dialect, layouts: dict[int, list[str]], columns: list[str], nulls: Collection[str]
    ) -> None:
        """Prepare to parse.

        Args:
            dialect: how the text is written.
            layouts: the names of the columns by the number of fields in a line.
            columns: which columns to return; one that a line's layout lacks is null.
            nulls: texts that stand for null.
        """
        self._dialect = dialect
        self._layouts = layouts
        self._width = max(layouts)
        self._nulls = frozenset(nulls)
        self.schema = pa.schema([pa.field(name, pa.string()) for name in columns])
        self._conversions = {count: self._conversion(names) for count, names in layouts.items()}

    def complete(self, parsed: Parsed) -> Parsed:
        """Return what `parse` made: there is nothing left to do."""
        return parsed

    def parse(self, block: Block) -> Parsed:
        """Parse the lines of a block."""
        if block.too_long:
            return Parsed(self.schema.empty_table(), _NO_NUMBERS, [too_long(block)])
        if self._is_clean(block.data):
            rows = self._read(block.data, block.lines)
            if rows is not None:
                return self._finish(rows, block.first_line, [])
        return self._parse_with_care(block)

    def _is_clean(self, data: bytes) -> bool:
        """Say whether a block holds nothing that pyarrow would fail on or count in another way."""
        if b"\0" in data or (b"\r" in data and data.count(b"\r") != data.count(b"\r\n")):
            return False
        comment = self._dialect.comment
        if comment is not None and comment.encode() in data:
            return False
        # With one column a blank line would be a record to pyarrow.
        if 1 in self._layouts and any(_is_blank(data, start) for start in _perhaps_blank(data)):
            return False
        return data.isascii() or decodes(data)

    def _parse_with_care(self, block: Block) -> Parsed:
        """Cut out the lines that cannot be records or hold no data, then parse the others together."""
        data = block.data
        refused: list[Refused] = []
        pieces: list[bytes] = []
        left_out: list[int] = []
        position, index = 0, 0
        for start in self._doubtful(data):
            end = data.find(b"\n", start) + 1 or len(data)
            text = data[start:end].rstrip(b"\r\n")
            complaint = _complaint(text)
            if complaint is None and text.strip() and not self._is_comment(text):
                continue
            pieces.append(data[position:start])
            index += pieces[-1].count(b"\n")
            if text.strip() and not self._is_comment(text) and complaint is not None:
                refused.append(Refused(block.first_line + index, *complaint))
            left_out.append(index)
            position, index = end, index + 1
        pieces.append(data[position:])
        data = b"".join(pieces)
        numbers = np.delete(np.arange(block.lines, dtype=np.int64), left_out) + block.first_line
        rows = self._read(data, len(numbers)) if len(numbers) else None
        if rows is not None:
            return self._finish(rows, numbers, refused)
        whole: list[_Rows] = []
        self._split(data.split(b"\n")[: len(numbers)], 0, whole, refused, numbers)
        rows = _Rows(
            pa.concat_tables([self.schema.empty_table(), *(part.table for part in whole)]),
            np.concatenate([_NO_NUMBERS, *(part.indexes for part in whole)]),
            [wrong for part in whole for wrong in part.wrong],
        )
        return self._finish(rows, numbers, refused)

    def _doubtful(self, data: bytes) -> list[int]:
        """Return where the lines begin that are blank, comments, or hold what pyarrow fails on, in order."""
        faults = [match.start() for match in _NUL.finditer(data)]
        if data.count(b"\r") != data.count(b"\r\n"):
            faults += [match.start() for match in _STRAY_RETURN.finditer(data)]
        starts = {data.rfind(b"\n", 0, fault) + 1 for fault in faults}
        starts |= _perhaps_blank(data)
        if self._dialect.comment is not None:
            before_comment = re.compile(b"\n" + re.escape(self._dialect.comment.encode()))
            starts.update(match.start() + 1 for match in before_comment.finditer(data))
        if not data.isascii() and not decodes(data):
            start = 0
            for line in data.split(b"\n"):
                if not line.isascii() and not decodes(line):
                    starts.add(start)
                start += len(line) + 1
        return sorted(starts)

    def _is_comment(self, text: bytes) -> bool:
        return self._dialect.comment is not None and text.startswith(self._dialect.comment.encode())

    def _split(
        self, lines: Sequence[bytes], first: int, whole: list[_Rows], refused: list[Refused], numbers: Lines
    ) -> None:
        """Parse lines together; if their records are not as many, in halves, down to the line to blame."""
        if not lines:
            return
        rows = self._read(b"\n".join(lines), len(lines))
        if rows is not None:
            wrong = [_Wrong(one.index + first, one.fields, one.text) for one in rows.wrong]
            whole.append(_Rows(rows.table, rows.indexes + first, wrong))
        elif len(lines) == 1:
            reason = "a quote is opened and not closed (values with line breaks are not supported)"
            refused.append(Refused(int(numbers[first]), "unbalanced_quote", reason))
        else:
            half = len(lines) // 2
            self._split(lines[:half], first, whole, refused, numbers)
            self._split(lines[half:], first + half, whole, refused, numbers)

    def _read(self, data: bytes, lines: int) -> _Rows | None:
        """Parse text by pyarrow; nothing if it does not find as many records as there are lines."""
        expected = self._expected(data)
        names = self._layouts[expected]
        wrong: list[_Wrong] = []

        def collect(row: pacsv.InvalidRow) -> str:
            wrong.append(_Wrong(row.number - 1, row.actual_columns, row.text))
            return "skip"

        if self._dialect.skip_initial_space:
            data = data.replace(_QUOTE_GAP, b'","')
        # One more record at the end: a quote that is still open there would swallow it.
        last = self._dialect.delimiter * (expected - 1) or "x"
        text = b"".join((data, b"" if data.endswith(b"\n") else b"\n", last.encode(), b"\n"))
        try:
            table = pacsv.read_csv(
                pa.py_buffer(text),
                pacsv.ReadOptions(use_threads=False, block_size=len(text), column_names=names),
                pacsv.ParseOptions(
                    delimiter=self._dialect.delimiter,
                    quote_char=self._dialect.quote or False,
                    escape_char=self._dialect.escape or False,
                    invalid_row_handler=collect,
                ),
                self._conversions[expected],
            )
        except pa.ArrowInvalid:
            return None
        if table.num_rows + len(wrong) != lines + 1:
            return None
        indexes = np.arange(lines, dtype=np.int64)
        if wrong:
            indexes = np.delete(indexes, [one.index for one in wrong])
        return _Rows(self._conform(table.slice(0, table.num_rows - 1)), indexes, wrong)

    def _conversion(self, names: list[str]) -> pacsv.ConvertOptions:
        used = [name for name in self.schema.names if name in names]
        return pacsv.ConvertOptions(
            check_utf8=False,  # has been checked
            column_types=dict.fromkeys(used, pa.string()),
            include_columns=used,
            null_values=list(self._nulls),
            strings_can_be_null=bool(self._nulls),
        )

    def _expected(self, data: bytes) -> int:
        """Return the number of fields to parse by: the first line's, if several are allowed."""
        if len(self._layouts) > 1:
            fields = self._fields(data.partition(b"\n")[0].decode("utf-8", "replace"))
            if fields is not None and len(fields) in self._layouts:
                return len(fields)
        return self._width

    def _finish(self, rows: _Rows, lines: int | Lines, refused: list[Refused]) -> Parsed:
        """Give line numbers to records, and decide about the lines with another number of fields."""
        tables, indexes = [rows.table], [rows.indexes]
        found: list[dict[str, str | None]] = []
        places: list[int] = []
        for wrong in rows.wrong:
            if not wrong.text.strip(BLANKS):
                continue
            record = self._record(wrong)
            if record is not None:
                found.append(record)
                places.append(wrong.index)
            else:
                number = int(lines[wrong.index]) if isinstance(lines, np.ndarray) else lines + wrong.index
                refused.append(Refused(number, "field_count", self._count_reason(wrong.fields)))
        if found:
            tables.append(pa.Table.from_pylist(found, schema=self.schema))
            indexes.append(np.array(places, dtype=np.int64))
        every = np.concatenate(indexes)
        numbers = lines[every] if isinstance(lines, np.ndarray) else every + lines
        return Parsed(pa.concat_tables(tables), numbers, refused)

    def _record(self, wrong: _Wrong) -> dict[str, str | None] | None:
        """Return the record of a line in another layout, or with fields too many where they may be ignored."""
        names = self._layouts.get(wrong.fields)
        if names is None and self._dialect.extra_fields == "ignore" and wrong.fields > self._width:
            names = self._layouts[self._width]
        fields = self._fields(wrong.text) if names is not None else None
        if names is None or fields is None or len(fields) < len(names):
            return None
        values = (None if value in self._nulls else value for value in fields)
        return dict(zip(names, values, strict=False))

    def _fields(self, text: str) -> list[str] | None:
        """Take one line apart by the csv module."""
        try:
            return next(csv.reader([text], **csv_options(self._dialect)), None)
        except csv.Error:
            return None

    def _count_reason(self, fields: int) -> str:
        counts = sorted(self._layouts)
        if counts == list(range(counts[0], counts[-1] + 1)) and len(counts) > 2:
            wanted = f"{counts[0]} to {counts[-1]}"
        else:
            wanted = " or ".join(map(str, counts))
        return f"{fields} field{'s' if fields != 1 else ''} where {wanted} {'are' if counts != [1] else 'is'} expected"

    def _conform(self, table: pa.Table) -> pa.Table:
        """Give a table the columns of the schema; what its layout lacks is null."""
        if table.schema.names == self.schema.names:
            return table
        columns = [
            table.column(name) if name in table.schema.names else pa.nulls(table.num_rows, pa.string())
            for name in self.schema.names
        ]
        return pa.table(columns, schema=self.schema)


def csv_options(dialect: Dialect) -> dict[str, Any]:
    """Return the options of the csv module for a dialect."""
    return {
        "delimiter": dialect.delimiter,
        "quotechar": dialect.quote,
        "quoting": csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        "escapechar": dialect.escape,
        "skipinitialspace": dialect.skip_initial_space,
    }


def delimited_parser(source: Source, profile: Profile, stream: LineStream) -> DelimitedParser:
    """Read what stands before the data and return the parser for it.

    Raises:
        SourceError: there is no header where one is due.
        ProfileError: the header lacks columns that the profile needs.
    """
    dialect = profile.dialect
    for _ in range(dialect.skip_lines):
        stream.read_line()
    if not dialect.header:
        return _parser(profile, profile.layouts())
    block = stream.read_line()
    while block is not None and not block.data.strip():
        block = stream.read_line()
    if block is None:
        raise SourceError(f"{source.uri}: the file ends before its header")
    line = block.data.decode("utf-8", "replace").rstrip("\r\n")
    header = next(csv.reader([line], **csv_options(dialect)), [])
    if dialect.skip_after_header is not None:
        _skip_matching(stream, dialect.skip_after_header)
    return _parser(profile, {len(header): _named_like_profile(profile, header)})


def _parser(profile: Profile, layouts: dict[int, list[str]]) -> DelimitedParser:
    given = list(dict.fromkeys(name for names in layouts.values() for name in names))
    columns = required_columns(profile, given)
    return DelimitedParser(profile.dialect, layouts, columns, ["", *profile.nulls])


def _named_like_profile(profile: Profile, header: Sequence[str]) -> list[str]:
    """Return the names of a header, those that the profile uses as it spells them.

    Raises:
        ProfileError: a column the profile needs is in the header twice.
    """
    wanted = {name.casefold(): name for name in [*profile.used_columns(list(header)), *profile.optional]}
    names: list[str] = []
    for given in header:
        name = wanted.get(given.strip().casefold())
        if name is not None and name in names:
            raise ProfileError(f"profile {profile.name}: the header has the column {name!r} twice")
        names.append(name or given.strip())
    return names


def _skip_matching(stream: LineStream, pattern: str) -> None:
    """Skip the next line if it matches, by making it part of what stands before the data."""
    if re.search(pattern, stream.peek_line().decode("utf-8", "replace")):
        stream.read_line()


def _complaint(line: bytes) -> tuple[str, str] | None:
    """Return the rule and reason for which a line cannot be a record, if there is one."""
    if b"\r" in line:
        return "carriage_return", f"a carriage return inside the line, at position {line.index(13) + 1}"
    return no_text(line)


def _perhaps_blank(data: bytes) -> set[int]:
    """Return where blank lines begin, and the first and the last line, which the search does not see."""
    starts = {match.start() + 1 for match in _BEFORE_BLANK_LINE.finditer(data)}
    return starts | {0, data.rfind(b"\n", 0, -1) + 1}


def _is_blank(data: bytes, start: int) -> bool:
    end = data.find(b"\n", start)
    return not data[start : end if end >= 0 else len(data)].strip()
