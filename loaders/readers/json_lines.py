"""Takes JSON lines apart: one object per line, values by JSON path as text."""

from __future__ import annotations

import json

import pyarrow as pa

from telestream.errors import ProfileError
from telestream.loaders.conversion import identifier, literal
from telestream.loaders.mapping import sandbox
from telestream.loaders.profile import Dialect, Profile
from telestream.loaders.readers.blocks import Block
from telestream.loaders.readers.columns import required_columns, without_bad_text
from telestream.loaders.readers.delimited import BLANKS, DelimitedParser
from telestream.loaders.readers.lines import Parsed
from telestream.loaders.readers.segment import Refused

_LINE = "line"
# A line is a CSV record of one field: the delimiter is a control character, which JSON never holds unescaped.
_ONE_FIELD = Dialect(delimiter="\x01", quote=None, header=False)


class JsonLinesParser:
    """Parses JSON lines by DuckDB, which takes a broken line as null and goes on."""

    def __init__(self, profile: Profile) -> None:
        paths = profile.json_paths()
        columns = required_columns(profile, list(paths) or profile.used_columns())
        if not columns:
            raise ProfileError(f"profile {profile.name}: uses no key of the JSON objects")
        self._lines = DelimitedParser(_ONE_FIELD, {1: [_LINE]}, [_LINE], [])
        self.schema = pa.schema([pa.field(name, pa.string()) for name in columns])
        wanted = ", ".join(literal(paths.get(name) or f'$."{name}"') for name in columns)
        nulls = ", ".join(map(literal, ["", *profile.nulls]))
        values = (
            f"CASE WHEN v[{position}] NOT IN ({nulls}) THEN v[{position}] END AS {identifier(name)}"
            for position, name in enumerate(columns, start=1)
        )
        self._connection = sandbox(profile.zone)
        self._statement = (
            f"SELECT {', '.join(values)}, v IS NOT NULL AND starts_with(ltrim({_LINE}), '{{') AS is_object"
            f" FROM (SELECT {_LINE}, TRY({_LINE} ->> [{wanted}]) AS v FROM raw)"
        )

    def parse(self, block: Block) -> Parsed:
        """Take the block apart into lines."""
        parsed = self._lines.parse(block)
        refused = [
            Refused(one.line, "json", "not valid JSON: a control character") if one.rule == "field_count" else one
            for one in parsed.refused
        ]
        return Parsed(parsed.raw, parsed.lines, refused)

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
        return Parsed(table.cast(self.schema), lines, refused + with_nul)


def _complaint(text: str) -> str:
    try:
        json.loads(text)
    except RecursionError:
        return "not valid JSON: nested too deeply"
    except json.JSONDecodeError as exc:
        return f"not valid JSON: {exc.msg} at position {exc.pos + 1}"
    return "not a JSON object that can be read"
