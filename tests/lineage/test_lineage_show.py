"""`telestream lineage show`: where a file went, what a table is made of, and names that are not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from lineage.openlineage_spec import events
from lineage.quick_command import quick
from truth import generated

from telestream.db import rollups
from telestream.db.connection import Connection
from telestream.db.lineage_show import describe
from telestream.errors import UsageError
from telestream.loaders.pipeline import CdrLoader
from telestream.loaders.sources import discover


@pytest.fixture
def loaded(tmp_path: Path, connection: psycopg.Connection, database: str) -> Path:
    path = tmp_path / "day.csv"
    generated(path, rows=9_000)
    with CdrLoader(database, segment_bytes=1 << 20) as loader:
        loader.load(discover([str(path)]))
    rollups.refresh(database)
    return path


def test_where_a_file_went(loaded: Path, connection: psycopg.Connection) -> None:
    found = json.loads(quick(loaded.parent, "lineage", "show", loaded, "--json"))
    file = found["file"]
    assert (file["uri"], file["status"], file["profile"]) == (str(loaded), "loaded", "canonical")
    counts = connection.execute(
        "SELECT sum(rows_in)::int, sum(rows_loaded)::int, sum(rows_duplicate)::int, sum(rows_quarantined)::int"
        " FROM ops.batch"
    ).fetchone()
    assert (file["rows_in"], file["rows_loaded"], file["rows_duplicate"], file["rows_quarantined"]) == counts
    assert sum(batch["rows_in"] for batch in found["batches"]) == file["rows_in"]
    assert len(found["batches"]) > 1
    assert {rule["rule"]: rule["records"] for rule in found["quarantine"]} == dict(
        connection.execute("SELECT u.rule, count(*) FROM quality.quarantine, unnest(rules) AS u (rule) GROUP BY 1")
        .fetchall()
    )  # fmt: skip
    assert [run["outcome"] for run in found["runs"]] == ["COMPLETE"]
    gold = {rollup["rollup_name"]: rollup for rollup in found["gold"]}
    assert gold["cell_traffic_1h"]["views"] == ["gold.cell_traffic_1h", "gold.network_kpi_hourly"]
    assert gold["customer_total_1d"]["views"] == ["gold.top_customers"]
    for name, rollup in gold.items():
        # All its rows lie within the buckets that are named, to the first and the last.
        assert connection.execute(
            f"SELECT min(bucket) = %s, max(bucket) = %s FROM rollup.{name}",
            (rollup["first_bucket"], rollup["last_bucket"]),
        ).fetchone() == (True, True)
        assert rollup["waiting"] == 0
    shown = quick(loaded.parent, "lineage", "show", "day.csv")
    for part in ("silver.fact_cdr", "gold.network_kpi_hourly", "unparsable_value", "batch 1", "COMPLETE"):
        assert part in shown


def nodes(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return every table of a tree by name."""
    result = {found["table"]: found}
    for above in found["upstream"]:
        result.update(nodes(above))
    return result


def test_what_a_table_is_made_of(loaded: Path, connection: Connection) -> None:
    found = json.loads(quick(loaded.parent, "lineage", "show", "gold.network_kpi_hourly", "--json"))
    tree = nodes(found)
    assert {
        "rollup.cell_traffic_1h_v1", "rollup.cell_traffic_5m_v1", "silver.fact_cdr", "bronze.cdr",
        "silver.dim_network_cell",
    } <= set(tree)  # fmt: skip
    assert found["kind"] == "view"
    assert tree["silver.dim_region"]["runs"] == []
    regions = loaded.parent / "regions.csv"
    regions.write_text("region_code,name\nGB-XX1,One\nGB-XX2,Two\n")
    quick(loaded.parent, "load", "regions", regions)
    region = describe(connection, "silver.dim_region")
    assert [(one["job"], one["rows"]) for one in region["runs"]] == [("load.dim_region", 2)]
    assert [one["name"] for one in region["sources"]] == [str(regions)]
    assert len(events(connection, "load.dim_region")) == 2
    [hourly] = tree["rollup.cell_traffic_1h_v1"]["runs"]
    assert (hourly["job"], hourly["outcome"]) == ("refresh.cell_traffic_1h", "COMPLETE")
    assert hourly["rows"] == connection.execute("SELECT count(*)::int FROM rollup.cell_traffic_1h_v1").fetchone()[0]  # type: ignore[index]
    assert [(one["namespace"], one["name"]) for one in tree["bronze.cdr"]["sources"]] == [("file", str(loaded))]
    for name in ("rollup.cell_traffic_1h", "rollup.cell_traffic_1h_v1"):
        rollup = describe(connection, name)
        assert rollup["downstream"] == [
            "analytics.capacity_forecast", "analytics.cell_drift", "analytics.cell_fingerprint",
            "analytics.forecast_backtest", "gold.cell_traffic_1h", "gold.network_kpi_hourly",
        ]  # fmt: skip
    assert len(describe(connection, "fact_cdr")["runs"]) == 2
    shown = quick(loaded.parent, "lineage", "show", "silver.fact_cdr")
    assert str(loaded) in shown
    assert "refine.cdr COMPLETE" in shown


def test_every_view_of_gold_leads_to_bronze_or_a_dimension(connection: Connection) -> None:
    views = [
        f"gold.{name}" for (name,) in connection.execute("SELECT viewname FROM pg_views WHERE schemaname = 'gold'")
    ]
    assert len(views) > 10
    for view in [*views, "gold.top_customers"]:
        tree = nodes(describe(connection, view))
        assert len(tree) > 1, view
        assert {"bronze.cdr", "bronze.network_event", "bronze.customer"} & set(tree), view


def test_names_that_are_not_there_or_not_one(loaded: Path, connection: Connection, database: str) -> None:
    said = quick(loaded.parent, "lineage", "show", "gold.network_kpi_hourli", code=2)
    assert "there is no file or table gold.network_kpi_hourli" in said
    assert "Near it: gold.network_kpi_hourly" in said
    with pytest.raises(UsageError) as caught:
        describe(connection, "days.csv")
    assert str(loaded) in (caught.value.detail or "")
    other = loaded.parent / "more" / "day.csv"
    other.parent.mkdir()
    generated(other, rows=50, seed=2)
    with CdrLoader(database) as loader:
        loader.load(discover([str(other)]))
    with pytest.raises(UsageError, match="several files"):
        describe(connection, "day.csv")
    assert describe(connection, str(other))["file"]["uri"] == str(other)


def test_an_engineer_may_look(loaded: Path, connection: Connection) -> None:
    connection.execute("SET ROLE telestream_engineer")
    connection.execute("SELECT ops.close_lineage()")
    assert describe(connection, str(loaded))["file"]["status"] == "loaded"
    assert describe(connection, "gold.cdr")["upstream"]
