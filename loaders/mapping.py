"""Maps raw columns to canonical records: text passes, the usual spellings are cast by Arrow, DuckDB does the rest."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from telestream.errors import ProfileError
from telestream.loaders.canonical import ARROW_TYPES, FIELDS, SCHEMA, Kind
from telestream.loaders.conversion import (
    FIRST_TIME,
    LAST_TIME,
    Context,
    Conversion,
    convert,
    identifier,
    is_typed,
    literal,
)
from telestream.loaders.profile import Profile, Rule

Lines = npt.NDArray[np.int64]

# One thread needs the least CPU per row, and the other core belongs to the database.
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {"threads": 1, "memory_limit": "128MB"}
_SHOWN_CHARACTERS = 40
# Reasons are read by people who do not read records: the raw text has these values, and any number that stands where
# another field should.
_UNQUOTED = frozenset({"caller", "called", "imsi", "imei", "extras", "cause"})
_LIKE_A_NUMBER = re.compile("[0-9]{7,}")
_SPACES = " \t"
_AMOUNT = pa.decimal128(18, 6)
_MILLION = pa.scalar(1_000_000, pa.decimal128(7, 0))
_TIME = ARROW_TYPES["time"]
_last = threading.local()  # a DuckDB connection belongs to one thread
_EARLIEST, _LATEST = (pa.scalar(text).cast(_TIME).cast(pa.int64()).as_py() for text in (FIRST_TIME, LAST_TIME))


@dataclass(frozen=True)
class Refused:
    """Why one line or record cannot be taken."""

    line: int
    rule: str
    reason: str
    field: str | None = None


@dataclass(frozen=True)
class Mapped:
    """Canonical records (schema of `canonical.SCHEMA`) and the lines that could not be mapped."""

    table: pa.Table
    refused: list[Refused]


@dataclass(frozen=True)
class _Computed:
    """A field whose value is converted: its rule, SQL for its source, and the type of that in DuckDB."""

    name: str
    rule: Rule
    origin: str
    sql_type: str


class Mapper:
    """Maps tables of one raw schema by one profile.

    A field takes the cheapest way there is: a constant; a text column that only changes its name; a text
    column whose values Arrow can cast as they are; else a SELECT over the raw table, one for all fields that
    need it. Only the SELECT knows every spelling and says what is wrong with a value.
    """

    def __init__(self, profile: Profile, schema: pa.Schema) -> None:
        self._profile = profile
        self._schema = schema
        self._context = Context(profile.zone, profile.dialect.decimal, profile.numbers)
        self._connection = sandbox(profile.zone)
        self._constants: dict[str, pa.Scalar] = {}
        self._passed: dict[str, str] = {}
        self._computed: list[_Computed] = []
        self._statements: dict[tuple[str, ...], str] = {}
        for name in FIELDS:
            self._plan(name, profile.fields.get(name))
        # Over no rows, so that a mistake in the profile shows before the first one.
        self._select(self._computed, schema.empty_table(), np.empty(0, dtype=np.int64))

    def map(self, raw: pa.Table, lines: Lines) -> Mapped:
        """Map raw records whose line numbers are `lines`.

        Raises:
            ProfileError: an expression of the profile cannot be computed, or not as one value per record.
        """
        columns: dict[str, Any] = {"line": pa.chunked_array([pa.array(lines)])}
        rest: list[_Computed] = []
        for field in self._computed:
            cast = _cast(field, raw, self._context)
            if cast is None:
                rest.append(field)
            else:
                columns[field.name] = cast
        for name, scalar in self._constants.items():
            columns[name] = pa.repeat(scalar, raw.num_rows)
        for name, column in self._passed.items():
            columns[name] = _stripped(raw.column(column))
        selected, refused = self._select(rest, raw, lines)
        columns |= selected
        for name, rule in self._profile.fields.items():
            if rule.default is not None:
                columns[name] = pc.fill_null(columns[name], self._constant(name, rule.default))
        table = pa.table([columns[name] for name in ("line", *FIELDS)], schema=SCHEMA)
        if "extras" in self._profile.fields:
            refused = refused + _broken_extras(table)
        if refused:
            bad = pa.array(sorted({one.line for one in refused}), pa.int64())
            table = table.filter(pc.invert(pc.is_in(table.column("line"), bad)))
        return Mapped(table, _one_per_line(refused))

    def _plan(self, name: str, rule: Rule | None) -> None:
        if name == "extras" and self._profile.extras:
            self._compute(name, Rule(expr=_collected(self._profile.extras)))
        elif rule is None:
            default = self._profile.name if name == "source_system" else 0 if name == "leg" else None
            self._constants[name] = pa.scalar(default, ARROW_TYPES[FIELDS[name]])
        elif rule.const is not None:
            self._constants[name] = self._constant(name, rule.const)
        elif self._passes(name, rule):
            assert rule.column is not None  # _passes() has seen it
            self._passed[name] = rule.column
        else:
            self._compute(name, rule)

    def _passes(self, name: str, rule: Rule) -> bool:
        """Say whether a field is a text column of the source and nothing else."""
        if FIELDS[name] not in ("text", "json") or rule.column is None or rule.map is not None or rule.nulls:
            return False
        if self._profile.numbers is not None and name in ("caller", "called"):
            return False
        return bool(self._schema.field(rule.column).type == pa.string())

    def _compute(self, name: str, rule: Rule) -> None:
        origin = identifier(rule.column) if rule.column is not None else f"({rule.expr})"
        self._connection.register("raw", self._schema.empty_table())
        statement = f"SELECT {origin} AS x FROM raw"
        try:
            if len(self._connection.extract_statements(statement)) != 1:
                raise self._error(name, "an expression is one value, without a semicolon")
            sql_type = str(self._connection.sql(statement).types[0])
        except duckdb.Error as exc:
            raise self._error(name, str(exc).partition("\n")[0]) from exc
        self._computed.append(_Computed(name, rule, origin, sql_type))

    def _constant(self, name: str, value: object) -> pa.Scalar:
        """Convert a value that stands in the profile."""
        text = str(value).lower() if FIELDS[name] == "bool" else str(value)
        conversion = convert(name, Rule(const=text), "x", "v", "VARCHAR", self._context)
        row = self._connection.sql(
            f"SELECT v, {conversion.accepted} AS ok FROM"
            f" (SELECT x, {conversion.value} AS v FROM (SELECT {literal(text)} AS x))"
        ).to_arrow_table()
        if not row.column("ok")[0].as_py():
            raise self._error(name, f"cannot read {text!r} as {conversion.wanted}")
        return _final(name, row.column("v"))[0]

    def _select(
        self, fields: Sequence[_Computed], raw: pa.Table, lines: Lines
    ) -> tuple[dict[str, pa.ChunkedArray], list[Refused]]:
        """Compute fields by SQL; returns their columns and the lines with a value that was not understood."""
        if not fields:
            return {}, []
        names = tuple(field.name for field in fields)
        statement = self._statements.get(names) or self._statements.setdefault(names, self._statement(fields))
        self._connection.register("raw", raw)
        try:
            result = self._connection.sql(statement).to_arrow_table()
        except duckdb.Error as exc:
            raise self._error(", ".join(names), str(exc).partition("\n")[0]) from exc
        finally:
            self._connection.unregister("raw")
        if result.num_rows != raw.num_rows:
            raise self._error(", ".join(names), "an expression makes more or fewer records than it is given")
        refused: list[Refused] = []
        for position, field in enumerate(fields):
            wrong = result.column(f"wrong{position}")
            if wrong.null_count < len(wrong):
                refused += self._refusals(field, wrong, lines)
        return {name: _final(name, result.column(name)) for name in names}, refused

    def _statement(self, fields: Sequence[_Computed]) -> str:
        """Compose the SELECT: expressions, then sources, then values, then what was not understood."""
        guarded, sources, values, results = [], [], [], []
        for position, field in enumerate(fields):
            e, x, v = f"e{position}", f"x{position}", f"v{position}"
            conversion = self._conversion(field, x, v)
            failed = f"{x} IS NOT NULL AND NOT coalesce({conversion.accepted}, false)"
            if field.rule.expr is not None:
                # In a struct, so that an expression that fails differs from one that yields null.
                guarded.append(f", TRY({{'v': {field.origin}}}) AS {e}")
                failed = f"{e} IS NULL OR {failed}"
            sources.append(f"{self._source(field, e)} AS {x}")
            values.append(f"{conversion.value} AS {v}")
            shown = f"coalesce(left(CAST({x} AS VARCHAR), {_SHOWN_CHARACTERS + 1}), '')"
            results.append(f"{v} AS {identifier(field.name)}, CASE WHEN {failed} THEN {shown} END AS wrong{position}")
        return (
            f"SELECT {', '.join(results)} FROM (SELECT *, {', '.join(values)}"
            f" FROM (SELECT *, {', '.join(sources)} FROM (SELECT *{''.join(guarded)} FROM raw)))"
        )

    def _source(self, field: _Computed, guarded: str) -> str:
        """Return SQL for what is converted: text without space around it, blank counting as null, or a typed value."""
        origin = field.origin if field.rule.expr is None else f"{guarded}.v"
        typed = is_typed(FIELDS[field.name], field.rule, field.sql_type)
        if not typed:
            text = origin
            if field.sql_type != "VARCHAR":
                text = f"CAST({f'to_json({origin})' if field.name == 'extras' else origin} AS VARCHAR)"
            origin = f"nullif(trim({text}, {literal(_SPACES)}), '')"
        for null in field.rule.nulls:
            text = f"CAST({literal(null)} AS {field.sql_type})" if typed else literal(null)
            origin = f"nullif({origin}, {text})"
        return origin

    def _conversion(self, field: _Computed, x: str, v: str) -> Conversion:
        return convert(field.name, field.rule, x, v, field.sql_type, self._context)

    def _refusals(self, field: _Computed, wrong: pa.ChunkedArray, lines: Lines) -> list[Refused]:
        wanted = self._conversion(field, "x", "v").wanted
        bad = wrong.is_valid()
        refused = []
        for line, shown in zip(lines[np.asarray(bad)].tolist(), wrong.filter(bad).to_pylist(), strict=True):
            quoted = "a value" if field.name in _UNQUOTED else repr(_shortened(shown))
            reason = f"cannot read {quoted} as {wanted}" if shown else "the expression fails for this record"
            refused.append(Refused(line, "unparsable_value", f"{field.name}: {reason}", field.name))
        return refused

    def _error(self, field: str, what: str) -> ProfileError:
        return ProfileError(
            f"profile {self._profile.name}: {field}: {what}",
            detail=f"The columns are {', '.join(self._schema.names)}."[:600],
        )


def _shortened(text: str) -> str:
    """Return a text as a reason may quote it."""
    text = _LIKE_A_NUMBER.sub("…", text)
    return f"{text[:_SHOWN_CHARACTERS]}…" if len(text) > _SHOWN_CHARACTERS else text


def mapper_for(profile: Profile, schema: pa.Schema) -> Mapper:
    """Return a mapper, this thread's last one if it was made for the same: the files of a night are of one kind."""
    key = (profile.content_hash, profile.zone, schema)
    if getattr(_last, "key", None) != key:
        _last.mapper, _last.key = Mapper(profile, schema), key
    mapper: Mapper = _last.mapper
    return mapper


def sandbox(zone: str) -> duckdb.DuckDBPyConnection:
    """Return this thread's DuckDB for a time zone; it sees nothing but the tables it is handed."""
    if getattr(_last, "zone", None) != zone:
        _last.connection, _last.zone = _open_sandbox(zone), zone
    connection: duckdb.DuckDBPyConnection = _last.connection
    return connection


def _open_sandbox(zone: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config=_SETTINGS)
    for statement in (
        f"SET TimeZone = {literal(zone)}",
        "CREATE MACRO _octets(n) AS"
        " (n & 255) || '.' || ((n >> 8) & 255) || '.' || ((n >> 16) & 255) || '.' || (n >> 24)",
        "CREATE MACRO ipv4_le(x) AS _octets((TRY_CAST(nullif(x, '0') AS BIGINT) + 4294967296) % 4294967296)",
        "SET python_enable_replacements = false",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        "SET temp_directory = ''",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement)
    return connection


def _collected(extras: dict[str, Rule]) -> str:
    """Return SQL for the JSON object of the extra columns that are not null, null if all are."""
    members = []
    for key, rule in extras.items():
        x = identifier(rule.column) if rule.column is not None else f"({rule.expr})"
        text = f"CAST(to_json(CAST({x} AS VARCHAR)) AS VARCHAR)"
        members.append(f"{literal(json.dumps(key) + ': ')} || {text}")
    return f"nullif('{{' || concat_ws(', ', {', '.join(members)}) || '}}', '{{}}')"


def _cast(field: _Computed, raw: pa.Table, context: Context) -> pa.ChunkedArray | None:
    """Cast a column by Arrow, ten times as fast as SQL; nothing if a value is not in the usual spelling."""
    rule, kind = field.rule, FIELDS[field.name]
    plain = rule.column is not None and not (rule.map or rule.format or rule.unit or rule.scale or rule.nulls)
    if not plain or kind in ("text", "json"):
        return None
    column = raw.column(rule.column)
    if column.type == pa.string():
        if kind != "time" and context.decimal != ".":
            return None
        # Arrow would take hexadecimal numbers and exponents.
        if kind in ("int32", "int64", "money") and _holds(column, b"xXeE"):
            return None
    elif not _is_alike(kind, column.type):
        return None
    try:
        cast = column.cast(_AMOUNT if kind == "money" else ARROW_TYPES[kind])
    except pa.ArrowInvalid:
        return None
    if kind == "time" and cast.null_count < len(cast):
        extremes = pc.min_max(cast.cast(pa.int64()))
        if extremes["min"].as_py() < _EARLIEST or extremes["max"].as_py() > _LATEST:
            return None
    return _final(field.name, cast)


def _is_alike(kind: Kind, given: pa.DataType) -> bool:
    """Say whether Arrow's checked cast from this type means the same as ours."""
    if kind in ("int32", "int64"):
        return bool(pa.types.is_integer(given))
    if kind == "money":
        return bool(pa.types.is_decimal(given))
    if kind == "time":
        return bool(pa.types.is_timestamp(given)) and given.tz is not None
    return kind == "bool" and bool(pa.types.is_boolean(given))


def _final(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Bring a converted column into its Arrow type."""
    kind = FIELDS[name]
    if kind == "money":
        return pc.multiply(column.cast(_AMOUNT), _MILLION).cast(pa.int64())
    return _stripped(column) if kind == "text" else column.cast(ARROW_TYPES[kind])


def _stripped(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Take spaces and tabs around codes away; blank becomes null."""
    if not _holds(column, _SPACES.encode()):
        return column
    trimmed = pc.ascii_trim(column, _SPACES)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _holds(column: pa.ChunkedArray, characters: bytes) -> bool:
    """Say whether a text column holds one of some ASCII characters, by a look at its bytes as a whole."""
    for chunk in column.chunks:
        _, offsets, data = chunk.buffers()
        if data is None:
            continue
        ends = np.frombuffer(offsets, dtype=np.int32)
        first, last = int(ends[chunk.offset]), int(ends[chunk.offset + len(chunk)])
        text = data.slice(first, last - first).to_pybytes()
        if any(character in text for character in characters):
            return True
    return False


def _broken_extras(table: pa.Table) -> list[Refused]:
    """Refuse the records whose extras are no JSON object that PostgreSQL takes."""
    extras = table.column("extras")
    if extras.null_count == len(extras):
        return []
    broken = {text for text in extras.unique().drop_null().to_pylist() if not _is_json_object(text)}
    return _refuse_extras(table, broken) if broken else []


def _refuse_extras(table: pa.Table, broken: Collection[str]) -> list[Refused]:
    found = table.column("line").filter(pc.is_in(table.column("extras"), pa.array(sorted(broken), pa.string())))
    reason = "extras: not a JSON object that PostgreSQL takes"
    return [Refused(line, "unparsable_value", reason, "extras") for line in found.to_pylist()]


def _is_json_object(text: str) -> bool:
    def refuse(constant: str) -> None:
        raise ValueError(constant)  # NaN and Infinity

    try:
        value = json.loads(text, parse_constant=refuse)
        if "\\u" in text:  # neither NUL nor half a surrogate pair can be stored
            text = json.dumps(value, ensure_ascii=False)
            text.encode()
        return isinstance(value, dict) and "\\u0000" not in text
    except (ValueError, RecursionError):
        return False


def _one_per_line(refused: list[Refused]) -> list[Refused]:
    """Join the complaints about a line; the rule and field are those of the first."""
    lines: dict[int, Refused] = {}
    for one in refused:
        first = lines.get(one.line)
        if first is None:
            lines[one.line] = one
        else:
            lines[one.line] = Refused(one.line, first.rule, f"{first.reason}; {one.reason}", first.field)
    return list(lines.values())
