"""On the community edition the housekeeping is scheduled as TimescaleDB jobs, once."""

from __future__ import annotations

import psycopg
import pytest

from telestream.db import migrate
from telestream.db.schedule import schedule

pytestmark = pytest.mark.community


def test_jobs_are_added_once_and_run(fresh_community_url: str) -> None:
    migrate.upgrade(fresh_community_url)
    with psycopg.connect(fresh_community_url, autocommit=True, prepare_threshold=None) as connection:
        assert schedule(connection) == "timescaledb jobs"
        schedule(connection)
        connection.execute("SET ROLE telestream_owner")
        jobs = connection.execute(
            "SELECT job_id, proc_name FROM timescaledb_information.jobs WHERE proc_schema IN ('ops', 'audit') ORDER BY 2"
        ).fetchall()
        assert [name for _, name in jobs] == [
            "maintain_job", "quality_job", "refresh_job", "retention_job", "seal_job",
        ]  # fmt: skip
        for job_id, _ in jobs:
            connection.execute("CALL public.run_job(%s)", (job_id,))
