"""What a change of a customer is: its fields, and how values of a file or an API become them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

DEFAULT_SOURCE = "crm"

SCHEMA = pa.schema(
    [
        ("source_system", pa.string()),
        ("customer_id", pa.string()),
        ("changed_at", pa.timestamp("us", "UTC")),
        ("is_deleted", pa.bool_()),
        ("msisdn", pa.string()),
        ("plan_code", pa.string()),
        ("region_code", pa.string()),
        ("segment", pa.string()),
        ("status", pa.string()),
        ("birth_year", pa.int32()),
    ]
)
"""The columns of `bronze.customer` after batch and line; whatever else a source has is not taken in."""

REQUIRED = ("customer_id", "changed_at")

_TRUE = {"true", "t", "yes", "y", "1"}
_FALSE = {"false", "f", "no", "n", "0"}
_INT32 = range(-(2**31), 2**31)


@dataclass(frozen=True)
class RefusedRow:
    """A line or record that cannot be read: where, by which rule, why, and its text."""

    line: int
    rule: str
    reason: str
    raw: str


class UnreadableValueError(ValueError):
    """A value that is not what its field holds; the message names the field, never the value."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


def change_of(values: Mapping[str, Any], source_system: str = DEFAULT_SOURCE) -> dict[str, Any]:
    """Return the fields of a change from values by name: texts of a CSV line, or typed ones of JSON and Parquet.

    Raises:
        UnreadableValueError: a value cannot be read as what its field is.
    """
    change: dict[str, Any] = {}
    for field in SCHEMA:
        value = values.get(field.name)
        if isinstance(value, str):
            value = value.strip()
        if value is None or value == "":
            change[field.name] = None
        elif pa.types.is_timestamp(field.type):
            change[field.name] = time_of(value, field.name)
        elif pa.types.is_boolean(field.type):
            change[field.name] = _boolean(value, field.name)
        elif pa.types.is_integer(field.type):
            change[field.name] = _integer(value, field.name)
        else:
            change[field.name] = _text(value, field.name)
    change["source_system"] = change["source_system"] or source_system
    return change


def time_of(value: Any, name: str) -> datetime:
    """Return a point in time from ISO 8601 text or a time stamp; without an offset it is UTC.

    Raises:
        UnreadableValueError: it is neither.
    """
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as exc:
        raise UnreadableValueError("unparsable_value", f"{name} cannot be read as a time") from exc


def raw_text(values: Mapping[str, Any]) -> str:
    """Return a record as JSON for the quarantine: only the fields that we know, so no name and no address."""
    return json.dumps({name: values[name] for name in SCHEMA.names if values.get(name) is not None}, default=str)


def _boolean(value: Any, name: str) -> bool:
    word = str(value).lower()
    if word not in _TRUE | _FALSE:
        raise UnreadableValueError("unparsable_value", f"{name} cannot be read as true or false")
    return word in _TRUE


def _integer(value: Any, name: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = _INT32.stop
    # A float that is no integer, and true, are no numbers either.
    if isinstance(value, bool) or (isinstance(value, float) and number != value) or number not in _INT32:
        raise UnreadableValueError("unparsable_value", f"{name} cannot be read as an integer")
    return number


def _text(value: Any, name: str) -> str:
    if isinstance(value, dict | list | bytes):
        raise UnreadableValueError("unparsable_value", f"{name} is not a text")
    text = str(value)
    if "\0" in text:
        raise UnreadableValueError("nul_byte", f"{name} holds a NUL byte")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise UnreadableValueError("encoding", f"{name} holds half a surrogate pair") from exc
    return text
