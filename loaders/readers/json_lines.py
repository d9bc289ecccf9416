"""Takes JSON lines apart: one object per line, values by JSON path as text."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from telestream.errors import ProfileError
from telestream.loaders.conversion import identifier, literal
from telestream.loaders.mapping import Refused, sandbox
from telestream.loaders.profile import Profile
from telestream.loaders.readers.blocks import BLANKS, Block, decodes, no_text
from telestream.loaders.readers.columns import required_columns, without_bad_text, without_nulls
from telestream.loaders.readers.lines import Parsed, too_long

_LINE = "line"
_LINES_SCHEMA = pa.schema([pa.field(_LINE, pa.string())])
_LINE_FEED = ord("\n")


class JsonLinesParser:
    """Parses JSON lines by DuckDB, which takes a broken line as null and goes on."""

    def __init__(self, profile: Profile) -> None:
        paths = profile.json_paths()
        columns = required_columns(profile, list(paths) or profile.used_columns())
        if not columns:
            raise ProfileError(f"profile {profile.name}: uses no key of the JSON objects")
        self.schema = pa.schema([pa.field(name, pa.string()) for name in columns])
        wanted = ", ".join(literal(paths.get(name) or f'$."{name}"') for name in columns)
        values = (f"v[{position}] AS {identifier(name)}" for position, name in enumerate(columns, start=1))
        self._nulls = ["", *profile.nulls]
        self._connection = sandbox(profile.zone)
        self._statement = (
            f"SELECT {', '.join(values)}, v IS NOT NULL AND starts_with(ltrim({_LINE}), '{{') AS is_object"
            f" FROM (SELECT {_LINE}, TRY({_LINE} ->> [{wanted}]) AS v FROM raw)"
        )

    def parse(self, block: Block) -> Parsed:
        """Take the block apart into lines, without copying them."""
        if block.too_long:
            return Parsed(_LINES_SCHEMA.empty_table(), np.empty(0, dtype=np.int64), [too_long(block)])
        data = block.data
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _LINE_FEED) + 1
        last = [] if data.endswith(b"\n") else [len(data)]
        offsets = np.concatenate([[0], ends, last]).astype(np.int32)
        texts = pa.StringArray.from_buffers(block.lines, pa.py_buffer(offsets), pa.py_buffer(data))
        table = pa.table([texts], schema=_LINES_SCHEMA)
        lines = np.arange(block.first_line, block.next_line, dtype=np.int64)
        if b"\0" not in data and (data.isascii() or decodes(data)):
            return Parsed(table, lines, [])
        found = [no_text(line) for line in data.split(b"\n")[: block.lines]]
        good = np.array([one is None for one in found])
        refused = [Refused(int(line), *one) for line, one in zip(lines, found, strict=True) if one is not None]
        return Parsed(table.filter(pa.array(good)), lines[good], refused)

    def complete(self, parsed: Parsed) -> Parsed:
        """Find the values in the lines of a group."""
        self._connection.register("raw", parsed.raw)
        table = self._connection.sql(self._statement).to_arrow_table()
        is_object = table.column("is_object")
        table, lines, refused = table.drop_columns(["is_object"]), parsed.lines, parsed.refused
        flags = is_object.to_numpy()
        if not flags.all():
            texts = parsed.raw.column(_LINE).filter(pa.array(~flags)).to_pylist()
            wrong = zip(lines[~flags].tolist(), texts, strict=True)
            refused = refused + [Refused(line, "json", _complaint(text)) for line, text in wrong if text.strip(BLANKS)]
            table, lines = table.filter(is_object), lines[flags]
        table, lines, with_nul = without_bad_text(table, lines)
        return Parsed(without_nulls(table, self._nulls), lines, refused + with_nul)


def _complaint(line: str) -> str:
    text = line.rstrip("\r\n")
    try:
        json.loads(text)
    except RecursionError:
        return "not valid JSON: nested too deeply"
    except json.JSONDecodeError as exc:
        return f"not valid JSON: {exc.msg} at position {exc.pos + 1}"
    return "not a JSON object that can be read"
