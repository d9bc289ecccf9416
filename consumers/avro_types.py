"""What a reader's schema asks for and how a writer's schema gives it: Avro's schema resolution, once per schema."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa

TIME = "timestamp-micros"
TEXTS = ("string", "bytes")
NUMBERS: dict[str, np.dtype[Any]] = {
    "boolean": np.dtype(np.uint8),
    "int": np.dtype(np.int32),
    "long": np.dtype(np.int64),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    TIME: np.dtype(np.int64),
}
"""Kind of a number → what it is held in; booleans are bytes until they are packed."""

_ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "bytes": pa.binary(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    TIME: pa.timestamp("us", "UTC"),
}
_READABLE_FROM: dict[str, frozenset[str]] = {
    "string": frozenset({"string", "bytes", "enum"}),
    "bytes": frozenset({"string", "bytes"}),
    "boolean": frozenset({"boolean"}),
    "int": frozenset({"int"}),
    "long": frozenset({"int", "long"}),
    "float": frozenset({"int", "long", "float"}),
    "double": frozenset({"int", "long", "float", "double"}),
    TIME: frozenset({"long"}),
}
_KINDS = frozenset(
    {"null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "enum", "fixed", "array", "map"}
)
_TIME_UNITS = frozenset({"timestamp-micros", "timestamp-millis"})


class UnresolvableError(Exception):
    """A writer's schema does not give what the reader asks for; the message says which field and why."""


@dataclass(frozen=True)
class Target:
    """A field of the reader: its kind (an Avro primitive or `TIME`), and its Arrow type."""

    name: str
    kind: str
    nullable: bool
    arrow: pa.DataType
    aliases: tuple[str, ...]
    default: pa.Scalar | None
    """Value for records without the field; nothing if there is no default."""


class Names:
    """The named types of a schema."""

    def __init__(self, types: dict[str, Any]) -> None:
        self._types = types

    def resolve(self, type_: Any) -> Any:
        """Return the definition of a type that is given by its name; any other type as it is."""
        return self._types.get(type_, type_) if isinstance(type_, str) else type_


@dataclass(frozen=True)
class FieldPlan:
    """What to do with a field of the writer: read it for a field of the reader, or step over it."""

    name: str
    type: Any
    names: Names
    target: Target | None
    skip_one_by_one: bool


@dataclass(frozen=True)
class Plan:
    """How records of one writer's schema are read: its fields in order, and the reader's fields it lacks."""

    fields: tuple[FieldPlan, ...]
    defaults: tuple[Target, ...]


def kind_of(type_: Any) -> str:
    """Return the kind of a type that is no union: a primitive, record, enum, fixed, array or map."""
    while isinstance(type_, dict):
        type_ = type_["type"]
    return str(type_)


def unit_of(type_: Any) -> str:
    """Return the unit of a long that is read as a time: one without a logical type is in microseconds."""
    while isinstance(type_, dict):
        if "logicalType" in type_:
            return str(type_["logicalType"])
        type_ = type_["type"]
    return TIME


def targets(reader_schema: dict[str, Any]) -> tuple[Target, ...]:
    """Return the fields of a reader's schema, a record of primitives, times, and unions of null with one of them.

    Raises:
        ValueError: a field is something else.
    """
    return tuple(_target(field) for field in reader_schema["fields"])


def resolve(writer_schema: dict[str, Any], wanted: tuple[Target, ...]) -> Plan:
    """Work out how to read records of a writer's schema.

    Raises:
        UnresolvableError: they cannot be read as what is wanted.
    """
    named: dict[str, Any] = {}
    try:
        parsed: Any = fastavro.parse_schema(_plain(copy.deepcopy(writer_schema)), named_schemas=named)
    except Exception as exc:  # whatever its parser does with a schema it did not expect
        raise UnresolvableError(f"no valid Avro schema: {type(exc).__name__}") from exc
    if not isinstance(parsed, dict) or parsed.get("type") not in ("record", "error"):
        raise UnresolvableError("the schema is no record")
    names = Names(named)
    by_name = {field["name"]: field for field in parsed["fields"]}
    sources: dict[str, Target] = {}
    defaults = []
    own = {target.name for target in wanted}
    for target in wanted:
        candidates = [target.name, *(alias for alias in target.aliases if alias not in own)]
        source = next((name for name in candidates if name in by_name and name not in sources), None)
        if source is not None:
            sources[source] = target
        elif target.default is not None:
            defaults.append(target)
        else:
            raise UnresolvableError(f"field {target.name} is missing and has no default")
    fields = []
    for name, field in by_name.items():
        type_ = names.resolve(field["type"])
        wish = sources.get(name)
        if wish is not None:
            _check(type_, names, wish)
        fields.append(FieldPlan(name, type_, names, wish, not _is_columnar(type_, names, frozenset())))
    return Plan(tuple(fields), tuple(defaults))


def _target(field: dict[str, Any]) -> Target:
    type_ = field["type"]
    nullable = isinstance(type_, list)
    if nullable:
        (type_,) = [branch for branch in type_ if branch != "null"]
    kind = kind_of(type_)
    if isinstance(type_, dict) and type_.get("logicalType") == TIME:
        kind = TIME
    if kind not in _ARROW_TYPES:
        raise ValueError(f"field {field['name']}: a reader cannot ask for {kind}")
    arrow = _ARROW_TYPES[kind]
    default = None
    if "default" in field:
        value = field["default"]
        default = pa.scalar(value.encode("latin-1") if kind == "bytes" and value is not None else value, arrow)
    return Target(field["name"], kind, nullable, arrow, tuple(field.get("aliases", ())), default)


def _check(type_: Any, names: Names, target: Target) -> None:
    branches = [names.resolve(branch) for branch in type_] if isinstance(type_, list) else [type_]
    for branch in branches:
        kind = kind_of(branch)
        if kind == "null" and isinstance(type_, list):
            continue
        if kind not in _READABLE_FROM[target.kind] or (target.kind == TIME and unit_of(branch) not in _TIME_UNITS):
            raise UnresolvableError(f"field {target.name} is {kind}, which cannot be read as {target.kind}")


def _plain(schema: Any) -> Any:
    """Remove the logical types from a schema, except from longs: they do not change a byte, and may be invalid."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value if key in ("default", "symbols", "aliases") else _plain(value)
        for key, value in schema.items()
        if key != "logicalType" or schema.get("type") == "long"
    }


def _is_columnar(type_: Any, names: Names, within: frozenset[str]) -> bool:
    type_ = names.resolve(type_)
    if isinstance(type_, list):
        return all(_is_columnar(branch, names, within) for branch in type_)
    kind = kind_of(type_)
    if kind not in _KINDS:
        raise UnresolvableError(f"unknown type {kind}")
    if kind == "record":
        inner = within | {type_["name"]}
        return type_["name"] not in within and all(_is_columnar(part["type"], names, inner) for part in type_["fields"])
    return kind not in ("array", "map")
