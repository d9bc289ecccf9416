"""Loads cells, regions and service plans from CSV: new ones are added, known ones and placeholders updated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from telestream import __version__
from telestream.db.connection import connect, translated
from telestream.errors import SourceError, UsageError
from telestream.loaders.commit import LOADER_ROLE


@dataclass(frozen=True)
class Dimension:
    """How a file of a dimension becomes rows of its table.

    Attributes:
        columns: file column → SQL type; the first is the key.
        required: columns the file must have.
        statement: upserts from the temporary table `incoming`, returns one row per changed row.
        table: its table in Silver.
    """

    columns: dict[str, str]
    required: tuple[str, ...]
    statement: str
    table: str


REGIONS = Dimension(
    {"region_code": "text", "name": "text", "parent_code": "text"},
    ("region_code", "name"),
    # Parents first, so that a child finds its key; two levels of statements keep it one round trip.
    """
    WITH parents AS (
        INSERT INTO silver.dim_region (region_code, name)
        SELECT DISTINCT i.parent_code, i.parent_code FROM pg_temp.incoming AS i WHERE i.parent_code IS NOT NULL
        ON CONFLICT (region_code) DO NOTHING
        RETURNING region_key, region_code
    ),
    known AS (
        SELECT region_key, region_code FROM parents
        UNION ALL
        SELECT region_key, region_code FROM silver.dim_region
    )
    INSERT INTO silver.dim_region AS d (region_code, name, parent_key, is_placeholder)
    SELECT i.region_code, i.name, k.region_key, false
    FROM pg_temp.incoming AS i LEFT JOIN known AS k ON i.parent_code = k.region_code
    WHERE i.region_code NOT IN (SELECT region_code FROM parents)
    ON CONFLICT (region_code) DO UPDATE
    SET name = excluded.name, parent_key = excluded.parent_key, is_placeholder = false
    WHERE (d.name, d.parent_key, d.is_placeholder) IS DISTINCT FROM (excluded.name, excluded.parent_key, false)
    RETURNING 1
    """,
    "silver.dim_region",
)
CELLS = Dimension(
    {
        "cell_id": "text", "name": "text", "technology": "text", "latitude": "double precision",
        "longitude": "double precision", "region_code": "text", "capacity_erlangs": "double precision",
    },
    ("cell_id",),
    """
    INSERT INTO silver.dim_network_cell AS d
        (cell_id, name, technology, latitude, longitude, region_key, capacity_erlangs)
    SELECT i.cell_id, coalesce(i.name, i.cell_id), i.technology, i.latitude, i.longitude, coalesce(r.region_key, 0),
        i.capacity_erlangs
    FROM pg_temp.incoming AS i LEFT JOIN silver.dim_region AS r ON i.region_code = r.region_code
    ON CONFLICT (cell_id) DO UPDATE
    SET name = excluded.name, technology = excluded.technology, latitude = excluded.latitude,
        longitude = excluded.longitude, region_key = excluded.region_key,
        -- Files from before there was such a column, and those of another team, leave it alone.
        capacity_erlangs = coalesce(excluded.capacity_erlangs, d.capacity_erlangs), is_placeholder = false
    WHERE (d.name, d.technology, d.latitude, d.longitude, d.region_key, d.capacity_erlangs, d.is_placeholder)
        IS DISTINCT FROM (excluded.name, excluded.technology, excluded.latitude, excluded.longitude,
        excluded.region_key, coalesce(excluded.capacity_erlangs, d.capacity_erlangs), false)
    RETURNING 1
    """,
    "silver.dim_network_cell",
)  # fmt: skip
PLANS = Dimension(
    {"plan_code": "text", "name": "text", "monthly_fee": "numeric", "currency": "text"},
    ("plan_code",),
    """
    INSERT INTO silver.dim_service_plan AS d (plan_code, name, monthly_fee, currency)
    SELECT i.plan_code, coalesce(i.name, i.plan_code), i.monthly_fee, i.currency FROM pg_temp.incoming AS i
    ON CONFLICT (plan_code) DO UPDATE
    SET name = excluded.name, monthly_fee = excluded.monthly_fee, currency = excluded.currency,
        is_placeholder = false
    WHERE (d.name, d.monthly_fee, d.currency, d.is_placeholder) IS DISTINCT FROM
        (excluded.name, excluded.monthly_fee, excluded.currency, false)
    RETURNING 1
    """,
    "silver.dim_service_plan",
)


def load_dimension(dimension: Dimension, path: Path, url: str | None = None) -> tuple[int, int]:
    """Upsert a CSV file with a header into a dimension, in one transaction.

    Returns:
        Rows in the file, and rows that were added or changed.

    Raises:
        UsageError: the file does not exist. SourceError: it cannot be read or lacks a column.
    """
    table = _read(dimension, path)
    names = [name for name in dimension.columns if name in table.column_names]
    with translated(), connect(url, role=LOADER_ROLE) as connection, connection.transaction():
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE incoming ({}) ON COMMIT DROP").format(
                sql.SQL(", ").join(
                    sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
                    for name, kind in dimension.columns.items()
                )
            )
        )
        fields = sql.SQL(", ").join(map(sql.Identifier, names))
        with (
            connection.cursor() as cursor,
            cursor.copy(sql.SQL("COPY pg_temp.incoming ({}) FROM STDIN").format(fields)) as copy,
        ):
            for row in table.select(names).to_pylist():
                copy.write_row([row[name] or None for name in names])
        changed = connection.execute(dimension.statement).rowcount
        connection.execute(
            "SELECT ops.note_dimension(%s, %s, %s, %s, %s)",
            (dimension.table, str(path.absolute()), table.num_rows, changed, __version__),
        )
    return table.num_rows, int(changed)


def _read(dimension: Dimension, path: Path) -> pa.Table:
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    text = dict.fromkeys(dimension.columns, pa.string())
    try:
        table = pa_csv.read_csv(path, convert_options=pa_csv.ConvertOptions(column_types=text))
    except pa.ArrowInvalid as exc:
        raise SourceError(f"{path}: cannot be read as CSV", detail=str(exc)) from exc
    missing = [name for name in dimension.required if name not in table.column_names]
    if missing:
        raise SourceError(
            f"{path}: no column {', '.join(missing)}",
            detail=f"It has: {', '.join(table.column_names)}.",
            hint=f"A header with these columns is needed: {', '.join(dimension.columns)}.",
        )
    key = dimension.required[0]
    if table.column(key).null_count or len(table.column(key).unique()) != table.num_rows:
        raise SourceError(f"{path}: {key} is missing or repeated in some lines")
    return table
