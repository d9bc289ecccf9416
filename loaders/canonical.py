"""The canonical CDR: its fields in order, their kinds, and the Arrow schema that mapping produces."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

Kind = Literal["text", "int32", "int64", "time", "bool", "money", "json"]

FIELDS: dict[str, Kind] = {
    "source_system": "text",
    "native_key": "text",
    "leg": "int32",
    "record_type": "text",
    "direction": "text",
    "caller": "text",
    "called": "text",
    "imsi": "text",
    "imei": "text",
    "started_at": "time",
    "answered_at": "time",
    "ended_at": "time",
    "duration_s": "int32",
    "billed_s": "int32",
    "bytes_up": "int64",
    "bytes_down": "int64",
    "cell_id": "text",
    "region_code": "text",
    "technology": "text",
    "plan_code": "text",
    "charge": "money",
    "currency": "text",
    "disposition": "text",
    "cause": "text",
    "is_roaming": "bool",
    "apn": "text",
    "extras": "json",
}
"""Field name → kind, in the order of the canonical file."""

ARROW_TYPES: dict[Kind, pa.DataType] = {
    "text": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "time": pa.timestamp("us", "UTC"),
    "bool": pa.bool_(),
    "money": pa.int64(),
    "json": pa.string(),
}


def column_name(field: str) -> str:
    """Return the column of a mapped table that holds a field: the charge is kept in millionths."""
    return "charge_micro" if field == "charge" else field


SCHEMA = pa.schema(
    [
        pa.field("line", pa.int64()),
        *(pa.field(column_name(name), ARROW_TYPES[kind]) for name, kind in FIELDS.items()),
    ]
)
"""What mapping produces: `line` (1-based line or record number), then the canonical fields."""
