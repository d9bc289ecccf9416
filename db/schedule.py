"""Schedules the housekeeping inside the database: pg_cron, or TimescaleDB's jobs where they exist."""

from __future__ import annotations

from telestream.db.connection import Connection
from telestream.db.edition import edition

# name, cron expression, SQL
_JOBS = (
    # Each commits, and pg_cron takes several statements as one transaction: a job of its own.
    ("telestream rekey", "* * * * *", "CALL silver.rekey_pending()"),
    ("telestream refresh", "* * * * *", "CALL rollup.refresh_pending()"),
    ("telestream seal", "* * * * *", "SELECT audit.seal()"),
    ("telestream analytics", "47 2 * * *", "CALL analytics.run_task()"),
    ("telestream maintain", "17 2 * * *", "SELECT * FROM ops.maintain()"),
    ("telestream retention", "37 2 * * *", "CALL ops.enforce_retention()"),
    # pg_cron keeps a row for each run and never removes one.
    (
        "telestream prune",
        "27 2 * * *",
        "DELETE FROM cron.job_run_details WHERE end_time < pg_catalog.now() - interval '7 days'",
    ),
)


def schedule(connection: Connection) -> str:
    """Schedule what runs each minute (refresh, sealing) and each night (the rest); repeating it changes nothing.

    Returns:
        What does the scheduling, or why nothing does.
    """
    if edition(connection) == "community":
        # Jobs run as their owner, and only a role that may log in can own one; without a password it cannot.
        connection.execute("ALTER ROLE telestream_owner LOGIN")
        connection.execute("SET ROLE telestream_owner")
        connection.execute(
            "SELECT public.add_job(j.proc::regproc, j.every) FROM (VALUES"
            " ('ops.refresh_job', interval '1 minute'), ('audit.seal_job', interval '1 minute'),"
            " ('ops.maintain_job', interval '1 day'), ('ops.retention_job', interval '1 day'),"
            " ('analytics.run_job', interval '1 day')) AS j (proc, every)"
            " WHERE NOT EXISTS (SELECT FROM timescaledb_information.jobs AS t"
            " WHERE t.proc_schema || '.' || t.proc_name = j.proc)"
        )
        connection.execute("RESET ROLE")
        return "timescaledb jobs"
    row = connection.execute("SELECT to_regnamespace('cron') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return (
            "nothing: pg_cron is not in this database; call rollup.refresh_pending(), audit.seal(), ops.maintain(),"
            " ops.enforce_retention() and analytics.run_task() from outside"
        )
    for name, when, statement in _JOBS:
        connection.execute("SELECT cron.schedule(%s, %s, %s)", (name, when, statement))
    return "pg_cron"
