"""Collects where a file went, or where a table comes from, as plain values."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from telestream.db.connection import Connection
from telestream.errors import UsageError

# A table is drawn from so far down; there are six layers.
_DEPTH = 8
_NAMES_COMPARED = 5000

_BUCKETS = """
WITH RECURSIVE reached AS (
    SELECT d.rollup_name, d.version FROM rollup.definition AS d WHERE d.source = 'silver.fact_' || %(dataset)s
    UNION
    SELECT d.rollup_name, d.version
    FROM reached AS r
    INNER JOIN rollup.definition AS d ON d.source = format('rollup.%%s_v%%s', r.rollup_name, r.version)
)
SELECT
    d.rollup_name, d.grain::text, b.first_bucket, b.last_bucket,
    ARRAY(
        SELECT e.target FROM ops.lineage_edge AS e
        WHERE e.source = format('rollup.%%s_v%%s', d.rollup_name, d.version) AND e.target LIKE 'gold.%%' ORDER BY 1
    ) AS views,
    (
        SELECT count(DISTINCT p.bucket) FROM rollup.pending AS p
        WHERE p.rollup_name = d.rollup_name AND p.bucket BETWEEN b.first_bucket AND b.last_bucket
    ) AS waiting
FROM rollup.definition AS d
INNER JOIN reached AS r USING (rollup_name)
CROSS JOIN (SELECT s.value AS zone FROM ops.setting AS s WHERE s.name = 'time_zone') AS z
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN d.is_calendar THEN public.time_bucket(d.grain, u.lo, z.zone)
            ELSE public.time_bucket(d.grain, u.lo) END AS first_bucket,
        CASE WHEN d.is_calendar THEN public.time_bucket(d.grain, u.hi, z.zone)
            ELSE public.time_bucket(d.grain, u.hi) END AS last_bucket
    FROM (SELECT %(lo)s::timestamptz AS lo, %(hi)s::timestamptz AS hi) AS u
) AS b
ORDER BY d.position
"""


def describe(connection: Connection, name: str) -> dict[str, Any]:
    """Return what is known of a file or a table.

    Raises:
        UsageError: there is no such file or table, or several files of that name; names those that are near.
    """
    edges = connection.execute("SELECT source, target, job FROM ops.lineage_edge ORDER BY source, target").fetchall()
    tables = {end for source, target, _ in edges for end in (source, target)}
    table = _table_named(name, tables)
    if table is not None:
        return describe_table(connection, table, edges)
    path = name if "://" in name else str(Path(name).absolute())
    files = connection.execute(
        "SELECT file_id, uri FROM ops.source_file WHERE uri = ANY (%(exact)s) OR content_hash = %(name)s"
        " OR right(uri, length(%(name)s) + 1) = '/' || %(name)s ORDER BY (uri = ANY (%(exact)s)) DESC, file_id DESC",
        {"exact": [name, path], "name": name},
    ).fetchall()
    exact = [row for row in files if row[1] in (name, path)] or files
    if len(exact) == 1:
        return describe_file(connection, int(exact[0][0]))
    if exact:
        raise UsageError(
            f"there are several files {name}",
            detail="; ".join(
                f"{uri} ({content[:12]}…)"
                for uri, content in connection.execute(
                    "SELECT uri, content_hash FROM ops.source_file WHERE file_id = ANY (%s) ORDER BY file_id DESC",
                    ([file_id for file_id, _ in exact],),
                ).fetchall()
            )
            + ".",
            hint="Name one by its whole path, or by its whole SHA-256.",
        )
    raise _unknown(connection, name, tables)


def describe_file(connection: Connection, file_id: int) -> dict[str, Any]:
    """Return the batches of a file, what became of its records, and which buckets of Gold they are in."""
    file = _one(
        connection,
        "SELECT f.file_id, f.uri, f.dataset, f.status, f.reason, f.profile, f.profile_hash AS profile_sha256,"
        " f.content_hash AS content_sha256, f.size_bytes, f.code_version, f.started_at, f.finished_at,"
        " coalesce(sum(b.rows_in), 0)::bigint AS rows_in, coalesce(sum(b.rows_loaded), 0)::bigint AS rows_loaded,"
        " coalesce(sum(b.rows_duplicate), 0)::bigint AS rows_duplicate,"
        " coalesce(sum(b.rows_quarantined), 0)::bigint AS rows_quarantined,"
        " min(b.min_event_at) AS min_event_at, max(b.max_event_at) AS max_event_at"
        " FROM ops.source_file AS f LEFT JOIN ops.batch AS b ON b.file_id = f.file_id AND b.status = 'done'"
        " WHERE f.file_id = %s GROUP BY f.file_id",
        (file_id,),
    )
    batches = _all(
        connection,
        "SELECT batch_id, segment_number, first_line, next_line, rows_in, rows_loaded, rows_duplicate,"
        " rows_quarantined, rows_late, min_event_at, max_event_at, code_version, started_at, finished_at"
        " FROM ops.batch WHERE file_id = %s ORDER BY segment_number",
        (file_id,),
    )
    quarantine = _all(
        connection,
        "SELECT u.rule, count(*) AS records, count(*) FILTER (WHERE q.replayed_at IS NOT NULL) AS replayed"
        " FROM quality.quarantine AS q INNER JOIN ops.batch AS b USING (batch_id)"
        " CROSS JOIN LATERAL unnest(q.rules) AS u (rule) WHERE b.file_id = %s GROUP BY 1 ORDER BY 2 DESC, 1",
        (file_id,),
    )
    dataset = file["dataset"]
    gold = []
    if file["min_event_at"] is not None and dataset != "customer":
        gold = _all(connection, _BUCKETS, {"dataset": dataset, "lo": file["min_event_at"], "hi": file["max_event_at"]})
    runs = _all(
        connection,
        "SELECT run_id::text, min(recorded_at) AS started_at,"
        " max(recorded_at) FILTER (WHERE event_type <> 'START') AS ended_at,"
        " coalesce(max(event_type) FILTER (WHERE event_type <> 'START'), 'running') AS outcome,"
        " max(event #>> '{run,facets,errorMessage,message}') AS problem FROM ops.lineage_event"
        " WHERE job = %s AND event @> %s::jsonb GROUP BY run_id ORDER BY 2",
        (f"load.{dataset}", _parameter_filter("file_id", str(file_id))),
    )
    return {
        "file": file, "runs": runs, "batches": batches, "bronze": f"bronze.{dataset}",
        "silver": "silver.customer_change" if dataset == "customer" else f"silver.fact_{dataset}",
        "quarantine": quarantine, "gold": gold,
    }  # fmt: skip


def describe_table(
    connection: Connection, table: str, edges: list[tuple[Any, ...]], depth: int = _DEPTH
) -> dict[str, Any]:
    """Return a table or view with what it is made of, down to files and topics, and the last runs that wrote it."""
    jobs = sorted({job for _, target, job in edges if target == table and job is not None})
    result: dict[str, Any] = {"table": table, "kind": "view" if table.startswith("gold.") else "table"}
    if table.startswith("bronze."):
        dataset = table.removeprefix("bronze.")
        jobs = [f"load.{dataset}.segment", f"stream.{dataset}", f"sync.{dataset}.page", f"replay.{dataset}"]
        result["sources"] = _sources(connection, jobs)
    elif table.startswith("silver.dim_") and not jobs:
        jobs = [f"load.{table.removeprefix('silver.')}"]
        result["sources"] = _sources(connection, jobs)
    result["runs"] = _last_runs(connection, jobs, table, 3 if depth == _DEPTH else 1)
    sources = sorted({source for source, target, _ in edges if target == table})
    result["upstream"] = [describe_table(connection, source, edges, depth - 1) for source in sources if depth > 0]
    if depth == _DEPTH:
        result["downstream"] = sorted({target for source, target, _ in edges if source == table})
    return result


def _last_runs(connection: Connection, jobs: list[str], table: str, limit: int) -> list[dict[str, Any]]:
    return _all(
        connection,
        "SELECT e.job, e.event_type AS outcome, e.event ->> 'eventTime' AS ended_at, e.run_id::text, ("
        " SELECT (o #>> '{outputFacets,outputStatistics,rowCount}')::bigint"
        " FROM jsonb_array_elements(e.event -> 'outputs') AS o"
        " WHERE o ->> 'name' = current_database() || '.' || %(table)s) AS rows"
        " FROM unnest(%(jobs)s::text[]) AS j (job) CROSS JOIN LATERAL ("
        " SELECT * FROM ops.lineage_event AS i WHERE i.job = j.job AND i.event_type <> 'START'"
        " ORDER BY i.event_id DESC LIMIT %(limit)s) AS e ORDER BY e.event_id DESC LIMIT %(limit)s",
        {"table": table, "jobs": jobs, "limit": limit},
    )


def _sources(connection: Connection, jobs: list[str]) -> list[dict[str, Any]]:
    """Return what the last runs have read into Bronze."""
    return _all(
        connection,
        "SELECT i ->> 'namespace' AS namespace, i ->> 'name' AS name, max(e.recorded_at) AS read_at"
        " FROM unnest(%s::text[]) AS j (job) CROSS JOIN LATERAL ("
        " SELECT * FROM ops.lineage_event AS n WHERE n.job = j.job AND n.event_type = 'COMPLETE'"
        " ORDER BY n.event_id DESC LIMIT 20) AS e"
        " CROSS JOIN LATERAL jsonb_array_elements(e.event -> 'inputs') AS i"
        " GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10",
        (jobs,),
    )


def _table_named(name: str, tables: set[str]) -> str | None:
    """Return the table that a name means: with schema, a rollup also without its version, or alone where unique."""
    if name in tables:
        return name
    found = [table for table in tables if table.rpartition("_v")[0] == name] or [
        table for table in tables if table.partition(".")[2] == name
    ]
    return found[0] if len(found) == 1 else None


def _unknown(connection: Connection, name: str, tables: set[str]) -> UsageError:
    uris = [
        uri
        for (uri,) in connection.execute(
            "SELECT uri FROM ops.source_file ORDER BY file_id DESC LIMIT %s", (_NAMES_COMPARED,)
        ).fetchall()
    ]
    known = {uri.rpartition("/")[2]: uri for uri in reversed(uris)}
    near = [known[part] for part in difflib.get_close_matches(name.rpartition("/")[2], list(known), 3)]
    near = difflib.get_close_matches(name, sorted(tables), 3) + near
    return UsageError(
        f"there is no file or table {name}",
        detail=f"Near it: {', '.join(near)}." if near else None,
        hint="Name a file that was loaded, or a table such as gold.network_kpi_hourly or silver.fact_cdr.",
    )


def _parameter_filter(key: str, value: str) -> str:
    parameters = [{"key": key, "value": value}]
    return json.dumps({"run": {"facets": {"executionParameters": {"parameters": parameters}}}})


def _all(connection: Connection, query: str, parameters: Any) -> list[dict[str, Any]]:
    cursor = connection.execute(query, parameters)
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _one(connection: Connection, query: str, parameters: Any) -> dict[str, Any]:
    return _all(connection, query, parameters)[0]
