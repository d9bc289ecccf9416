"""Makes the persons, cells and plans of a batch known, in a short transaction before the batch's own."""

from __future__ import annotations

import json
from typing import LiteralString

import pyarrow as pa
import pyarrow.compute as pc

from telestream.db.connection import Connection
from telestream.db.vault import with_key_in_force

# Thousands of texts go as one JSON array: psycopg makes an array of them in Python, at a tenth of the speed.
_TEXTS = "ARRAY(SELECT json_array_elements_text(%s))"


def enrol_cdr(connection: Connection, batch_id: int, table: pa.Table) -> None:
    """Enrol what a table of canonical CDRs names, so that workers do not wait for each other in their batches."""
    caller, called, imsi = (table.column(name) for name in ("caller", "called", "imsi"))
    # Where the served party's number is unknown its SIM stands in; the refine says it in the same way.
    is_mt = pc.fill_null(pc.equal(table.column("direction"), "mt"), False)
    alone = pc.and_(pc.is_valid(imsi), pc.is_null(pc.if_else(is_mt, called, caller)))
    imsis = pc.binary_join_element_wise("imsi:", imsi.filter(alone), "")
    persons = pa.chunked_array([*caller.chunks, *called.chunks, *imsis.chunks], pa.string())
    cells = table.select(["cell_id", "region_code"]).group_by(["cell_id", "region_code"]).aggregate([])
    _enrol(
        connection,
        f"SELECT silver.enrol_cdr(%s, {_TEXTS}, %s::text[], %s::text[], %s::text[])",
        (
            batch_id,
            _distinct(persons),
            cells.column("cell_id").to_pylist(),
            cells.column("region_code").to_pylist(),
            table.column("plan_code").unique().drop_null().to_pylist(),
        ),
    )


def enrol_network_event(connection: Connection, batch_id: int, table: pa.Table) -> None:
    """Enrol the subscribers and cells that a table of network events names."""
    _enrol(
        connection,
        f"SELECT silver.enrol_network_event(%s, {_TEXTS}, {_TEXTS})",
        (batch_id, _distinct(table.column("subscriber")), _distinct(table.column("cell_id"))),
    )


def enrol_customer(connection: Connection, batch_id: int, numbers: list[str]) -> None:
    """Enrol the numbers that changes of customers name."""
    _enrol(connection, f"SELECT silver.enrol_customer(%s, {_TEXTS})", (batch_id, json.dumps(numbers)))


def _enrol(connection: Connection, query: LiteralString, values: tuple[object, ...]) -> None:
    with_key_in_force(connection, lambda: connection.execute(query, values))


def _distinct(column: pa.ChunkedArray) -> str:
    """Return the distinct values of a column as a JSON array."""
    return json.dumps(column.unique().drop_null().to_pylist())
