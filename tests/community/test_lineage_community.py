"""Lineage on the community edition: refreshes that the server does itself, and the partitions of the events."""

from __future__ import annotations

import psycopg
import pytest
from lineage.openlineage_spec import events, read, types, written
from staging import cdr, refine

from telestream.db import migrate

pytestmark = [pytest.mark.community, pytest.mark.slow]


def test_lineage_on_the_community_edition(fresh_community_url: str, vault_key_file: str) -> None:
    migrate.upgrade(fresh_community_url)
    with psycopg.connect(fresh_community_url, autocommit=True, prepare_threshold=None) as connection:
        refine(connection, [cdr(), cdr(native_key="k2", duration_s=-1)])
        connection.execute("SET ROLE telestream_owner")
        connection.execute("CALL rollup.refresh_pending()")
        connection.execute("SELECT ops.close_lineage(true)")
        connection.execute("UPDATE ops.lineage_mark SET noted_at = noted_at - interval '1 minute'")
        connection.execute("SELECT ops.close_lineage()")
        [refined] = [one for one in events(connection, "refine.cdr") if one["eventType"] == "COMPLETE"]
        assert (written(refined)["silver.fact_cdr"], written(refined)["quality.quarantine"]) == (1, 1)
        hourly = events(connection, "refresh.cell_traffic_1h")
        assert types(hourly) == [("refresh.cell_traffic_1h", "START"), ("refresh.cell_traffic_1h", "COMPLETE")]
        # The server does not say how many rows a refresh gave.
        assert read(hourly[1]) == {"rollup.cell_traffic_5m_v1": None}
        assert written(hourly[1]) == dict.fromkeys(
            ("rollup.cell_traffic_1h_v1", "gold.cell_traffic_1h", "gold.network_kpi_hourly")
        )
        columns = hourly[1]["outputs"][0]["facets"]["schema"]["fields"]
        assert {"bucket", "cell_key"} <= {column["name"] for column in columns}
        connection.execute("SELECT ops.maintain_lineage()")
        months = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ops.lineage_event'::regclass"
        ).fetchone()
        assert months is not None
        assert months[0] > 5
