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
    ("telestream quality", "*/5 * * * *", "SELECT count(*) FROM quality.check_expectations()"),
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

# procedure, how often
_COMMUNITY_JOBS = (
    ("ops.refresh_job", "1 minute"),
    ("audit.seal_job", "1 minute"),
    ("ops.quality_job", "5 minutes"),
    ("ops.maintain_job", "1 day"),
    ("ops.retention_job", "1 day"),
    ("analytics.run_job", "1 day"),
)


def job_names(connection: Connection) -> list[str]:
    """Return the names of what `schedule` schedules: procedures on the community edition, jobs of pg_cron elsewhere."""
    if edition(connection) == "community":
        return [name for name, _ in _COMMUNITY_JOBS]
    return [name for name, _, _ in _JOBS]


def schedule(connection: Connection) -> str:
    """Schedule refresh and sealing (each minute), checks (each five) and the rest (each night).

    Repeating it changes nothing. Where there is compression, its policies are set too, see `apply_storage`.

    Returns:
        What does the scheduling, or why nothing does.
    """
    if edition(connection) == "community":
        _act_as_owner_of_jobs(connection)
        connection.execute(
            "SELECT public.add_job(j.proc::regproc, j.every::interval)"
            " FROM unnest(%s::text[], %s::text[]) AS j (proc, every)"
            " WHERE NOT EXISTS (SELECT FROM timescaledb_information.jobs AS t"
            " WHERE t.proc_schema || '.' || t.proc_name = j.proc)",
            ([name for name, _ in _COMMUNITY_JOBS], [every for _, every in _COMMUNITY_JOBS]),
        )
        connection.execute("SELECT * FROM ops.apply_storage()")
        connection.execute("RESET ROLE")
        return "timescaledb jobs"
    row = connection.execute("SELECT to_regnamespace('cron') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return (
            "nothing: pg_cron is not in this database; call rollup.refresh_pending(), audit.seal(),"
            " quality.check_expectations(), ops.maintain(), ops.enforce_retention() and analytics.run_task()"
            " from outside"
        )
    for name, when, statement in _JOBS:
        connection.execute("SELECT cron.schedule(%s, %s, %s)", (name, when, statement))
    return "pg_cron"


def apply_storage(connection: Connection) -> list[tuple[str, str]]:
    """Make the server's compression policies those of ops.storage_policy; repeating it changes nothing.

    Returns:
        Each table with what holds for it now.
    """
    _act_as_owner_of_jobs(connection)
    rows = connection.execute("SELECT table_name, outcome FROM ops.apply_storage()").fetchall()
    connection.execute("RESET ROLE")
    return [(str(table), str(outcome)) for table, outcome in rows]


def _act_as_owner_of_jobs(connection: Connection) -> None:
    if edition(connection) == "community":
        # Jobs run as their owner, and only a role that may log in can own one; without a password it cannot.
        connection.execute("ALTER ROLE telestream_owner LOGIN")
    connection.execute("SET ROLE telestream_owner")
