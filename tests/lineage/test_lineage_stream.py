"""The lineage of a real consumer: the broker and the topic by name, every message in exactly one window."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from lineage.openlineage_spec import events, read, written
from streams import Stream


@pytest.fixture
def stream(kafka_bootstrap: str, redis_url: str, tmp_path: Path) -> Stream:
    return Stream.make(kafka_bootstrap, redis_url, tmp_path)


def test_windows_of_a_consumer(connection: psycopg.Connection, stream: Stream, kafka_bootstrap: str) -> None:
    truth = stream.produce(3_000, "--cells", "20", "--bad", "0.02")
    stream.drain()
    connection.execute("UPDATE ops.lineage_mark SET noted_at = noted_at - interval '1 minute'")
    connection.execute("SELECT ops.close_lineage()")
    staged = [one for one in events(connection, "stream.network_event") if one["eventType"] == "COMPLETE"]
    for one in staged:
        assert [(source["namespace"], source["name"]) for source in one["inputs"]] == [
            (f"kafka://{kafka_bootstrap}", stream.topic)
        ]
    (rows_in,) = connection.execute("SELECT sum(rows_in) FROM ops.batch").fetchone() or (0,)
    assert sum(read(one)[stream.topic] or 0 for one in staged) == rows_in
    refined = [one for one in events(connection, "refine.network_event") if one["eventType"] == "COMPLETE"]
    assert sum(written(one)["silver.fact_network_event"] or 0 for one in refined) == truth.good
    assert connection.execute("SELECT count(*) FROM ops.lineage_mark").fetchone() == (0,)
