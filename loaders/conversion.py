"""The SQL that turns the value of one rule into a field of the canonical CDR, and says whether it could."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from telestream.loaders.canonical import FIELDS, Kind
from telestream.loaders.profile import BYTE_UNITS, DURATION_UNITS, EPOCH_FORMATS, Numbers, Rule

SQL_TYPES: dict[Kind, str] = {
    "text": "VARCHAR",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "time": "TIMESTAMPTZ",
    "bool": "BOOLEAN",
    "money": "DECIMAL(18, 6)",
    "json": "VARCHAR",
}

# PostgreSQL and Python both know these years; `infinity` and what a wrong epoch unit makes lie outside.
FIRST_TIME, LAST_TIME = "1900-01-01 00:00:00+00", "9999-12-31 00:00:00+00"
_FIRST_EPOCH, _LAST_EPOCH = -2_208_988_800, 253_402_214_400

_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
_WHOLE = r"[+-]?[0-9]+([.]0*)?"
_NUMBER = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)"
_COMMA_NUMBER = r"[+-]?([0-9]{1,3}([.][0-9]{3})+|[0-9]+)(,[0-9]*)?"
_AMOUNT = r"[+-]?([0-9]+([.][0-9]{0,6}0*)?|[.][0-9]{1,6}0*)"
_HMS = r"([0-9]+):([0-5][0-9]):([0-5][0-9])"


@dataclass(frozen=True)
class Conversion:
    """How a source expression becomes a value.

    `value` is SQL over the source and null where the conversion fails; `accepted` is SQL over the source and
    the value that says whether a source that is not null was understood; `wanted` completes the sentence
    "cannot read … as …".
    """

    value: str
    accepted: str
    wanted: str


@dataclass(frozen=True)
class Context:
    """What a conversion depends on beside its rule."""

    zone: str
    decimal: str
    numbers: Numbers | None


def literal(value: object) -> str:
    """Return a text as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def is_typed(kind: Kind, rule: Rule, sql_type: str) -> bool:
    """Say whether a source of this SQL type is converted as it is, not by way of its text."""
    if rule.map is not None:
        return False
    base = sql_type.partition("(")[0]
    if kind in ("int32", "int64"):
        return base in _INTEGERS or base in ("DECIMAL", "DOUBLE", "FLOAT")
    if kind == "money":
        return (base in _INTEGERS or base == "DECIMAL") and rule.scale is None
    if kind == "time":
        return base.startswith("TIMESTAMP") or base == "DATE"
    return kind == "bool" and base == "BOOLEAN"


def convert(field: str, rule: Rule, x: str, v: str, sql_type: str, context: Context) -> Conversion:
    """Return the conversion of a source column.

    Args:
        field: canonical field.
        rule: its rule.
        x: name of the source column; it holds text unless `is_typed`.
        v: name that the value will have where `accepted` is computed.
        sql_type: the type of `x` in DuckDB.
        context: zone, decimal sign and numbering of the profile.
    """
    kind = FIELDS[field]
    if rule.map is not None:
        return _mapped(kind, rule.map, x)
    typed = is_typed(kind, rule, sql_type)
    if kind in ("int32", "int64"):
        return _integer(kind, rule, x, v, context, typed=typed)
    if kind == "money":
        return _money(rule, x, v, context, typed=typed)
    if kind == "time":
        return _typed_time(x, v, sql_type, context) if typed else _time(rule, x, v, context)
    if kind == "bool":
        return _boolean(x, v, typed=typed)
    if field in ("caller", "called") and context.numbers is not None:
        return Conversion(_number(x, context.numbers), "true", "text")
    return Conversion(x, "true", "text")


def _factor(kind: Kind, rule: Rule) -> Decimal:
    if rule.unit is not None:
        return Decimal((DURATION_UNITS if kind == "int32" else BYTE_UNITS)[rule.unit])
    return rule.scale if rule.scale is not None else Decimal(1)


def _decimal_text(x: str, context: Context) -> str:
    """Return SQL for a number's text with a decimal point, null if it is no number."""
    if context.decimal == ",":
        point = f"replace(replace({x}, '.', ''), ',', '.')"
        return f"CASE WHEN regexp_full_match({x}, '{_COMMA_NUMBER}') THEN {point} END"
    return f"CASE WHEN regexp_full_match({x}, '{_NUMBER}') THEN {x} END"


def _integer(kind: Kind, rule: Rule, x: str, v: str, context: Context, *, typed: bool) -> Conversion:
    target = SQL_TYPES[kind]
    if rule.format == ["hms"]:
        parts = [f"TRY_CAST(regexp_extract({x}, '{_HMS}', {part}) AS BIGINT)" for part in (1, 2, 3)]
        value = f"TRY_CAST({parts[0]} * 3600 + {parts[1]} * 60 + {parts[2]} AS {target})"
        accepted = f"{v} IS NOT NULL AND regexp_full_match({x}, '{_HMS}')"
        return Conversion(value, accepted, "a duration (hh:mm:ss)")
    factor = _factor(kind, rule)
    if factor != 1 or (context.decimal == "," and not typed):
        number = x if typed else _decimal_text(x, context)
        value = f"TRY_CAST(round(TRY_CAST({number} AS DOUBLE) * {factor}) AS {target})"
        return Conversion(value, f"{v} IS NOT NULL", "a number")
    value = f"TRY_CAST({x} AS {target})"
    spelled = f"{v} = {x}" if typed else f"regexp_full_match({x}, '{_WHOLE}')"
    return Conversion(value, f"{v} IS NOT NULL AND {spelled}", "a whole number")


def _money(rule: Rule, x: str, v: str, context: Context, *, typed: bool) -> Conversion:
    wanted = "an amount with at most six decimals"
    if typed:
        return Conversion(f"TRY_CAST({x} AS DECIMAL(18, 6))", f"{v} = {x}", wanted)
    if rule.scale is not None:
        scaled = f"TRY_CAST({_decimal_text(x, context)} AS DECIMAL(20, 9)) * {rule.scale:f}"
        return Conversion(f"TRY_CAST({scaled} AS DECIMAL(18, 6))", f"{v} IS NOT NULL", "an amount")
    text = _decimal_text(x, context) if context.decimal == "," else x
    value = f"TRY_CAST({text} AS DECIMAL(18, 6))"
    return Conversion(value, f"{v} IS NOT NULL AND regexp_full_match({text}, '{_AMOUNT}')", wanted)


def _in_range(value: str) -> str:
    return f"{value} BETWEEN TIMESTAMPTZ '{FIRST_TIME}' AND TIMESTAMPTZ '{LAST_TIME}'"


def _typed_time(x: str, v: str, sql_type: str, context: Context) -> Conversion:
    if sql_type == "TIMESTAMP WITH TIME ZONE":
        value = x
    else:
        value = f"timezone({literal(context.zone)}, CAST({x} AS TIMESTAMP))"
    return Conversion(value, _in_range(v), "a time (years 1900 to 9999)")


def _time(rule: Rule, x: str, v: str, context: Context) -> Conversion:
    formats = rule.format or ["iso"]
    attempts = [_time_attempt(pattern, x, context) for pattern in formats]
    value = attempts[0] if len(attempts) == 1 else f"coalesce({', '.join(attempts)})"
    named = " or ".join("ISO 8601" if pattern == "iso" else pattern for pattern in formats)
    return Conversion(value, _in_range(v), f"a time ({named}, years 1900 to 9999)")


def _time_attempt(pattern: str, x: str, context: Context) -> str:
    if pattern == "iso":
        # The session's time zone is the profile's: it counts for values without an offset.
        return f"TRY_CAST({x} AS TIMESTAMPTZ)"
    if pattern in EPOCH_FORMATS:
        units = f"TRY_CAST({_decimal_text(x, context)} AS DECIMAL(26, 6))"
        micros = f"CAST({units} * {1_000_000 // EPOCH_FORMATS[pattern]} AS BIGINT)"
        limits = f"{_FIRST_EPOCH * EPOCH_FORMATS[pattern]} AND {_LAST_EPOCH * EPOCH_FORMATS[pattern]}"
        return f"CASE WHEN {units} BETWEEN {limits} THEN timezone('UTC', make_timestamp({micros})) END"
    parsed = f"try_strptime({x}, {literal(pattern)})"
    has_zone = "%z" in pattern or "%Z" in pattern
    return parsed if has_zone else f"timezone({literal(context.zone)}, {parsed})"


def _boolean(x: str, v: str, *, typed: bool) -> Conversion:
    if typed:
        return Conversion(x, "true", "true or false")
    low = f"lower({x})"
    value = f"CASE WHEN {low} IN ('true', 't', 'yes', 'y', '1') THEN true"
    value += f" WHEN {low} IN ('false', 'f', 'no', 'n', '0') THEN false END"
    return Conversion(value, f"{v} IS NOT NULL", "true or false")


def _mapped(kind: Kind, mapping: dict[str, Any], x: str) -> Conversion:
    def target(value: Any) -> str:
        return f"CAST({literal(str(value).lower() if kind == 'bool' else value)} AS {SQL_TYPES[kind]})"

    named = {key: value for key, value in mapping.items() if key != "*"}
    cases = [f"WHEN {literal(key)} THEN {'NULL' if value is None else target(value)}" for key, value in named.items()]
    rest = mapping.get("*")
    otherwise = "NULL" if rest is None else target(rest)
    value = f"CASE {x} {' '.join(cases)} ELSE {otherwise} END" if cases else otherwise
    keys = ", ".join(map(literal, named))
    known = "true" if "*" in mapping else f"{x} IN ({keys})"
    return Conversion(value, known, f"one of {', '.join(named)}")


def _number(x: str, numbers: Numbers) -> str:
    """Return SQL for a telephone number as E.164 where its form tells the country; else it stays as given."""
    digits = f"regexp_replace({x}, '[ ()./-]', '', 'g')"
    cases = [f"WHEN regexp_full_match({digits}, '[+][0-9]{{4,15}}') THEN {digits}"]
    if numbers.international_prefix:
        prefix = numbers.international_prefix
        cases.append(
            f"WHEN regexp_full_match({digits}, '{prefix}[1-9][0-9]{{5,14}}')"
            f" THEN '+' || substr({digits}, {len(prefix) + 1})"
        )
    if numbers.national_prefix:
        prefix = numbers.national_prefix
        cases.append(
            f"WHEN regexp_full_match({digits}, '{prefix}[1-9][0-9]{{5,13}}')"
            f" THEN '+{numbers.country_code}' || substr({digits}, {len(prefix) + 1})"
        )
    if numbers.bare == "international":
        cases.append(f"WHEN regexp_full_match({digits}, '[1-9][0-9]{{7,14}}') THEN '+' || {digits}")
    elif numbers.bare == "national":
        cases.append(
            f"WHEN regexp_full_match({digits}, '[1-9][0-9]{{6,13}}') THEN '+{numbers.country_code}' || {digits}"
        )
    return f"CASE {' '.join(cases)} ELSE {x} END"
