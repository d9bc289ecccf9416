"""Fills the access log in tests: rows as the API writes them, and chained rows of months that are past."""

from __future__ import annotations

import psycopg

INSERT = (
    "INSERT INTO audit.access_inbox (at, principal, role, operation, field, variables_sha256, object_ids, rows_read,"
    " request_id, reason)"
)


def write(connection: psycopg.Connection, rows: int, **changes: object) -> None:
    """Add rows to the inbox as the gateway does."""
    values = {
        "principal": "key:1", "role": "api", "operation": "Wer?", "field": "cdrs", "hash": "ab", "ids": ["1", "é"],
        "request": "r", "reason": None,
    } | changes  # fmt: skip
    connection.execute(
        f"{INSERT} SELECT now(), %(principal)s, %(role)s, %(operation)s, %(field)s, %(hash)s, %(ids)s, n, %(request)s,"
        " %(reason)s FROM generate_series(1, %(rows)s) AS n",
        values | {"rows": rows},
    )


def sealed(connection: psycopg.Connection, rows: int, **changes: object) -> None:
    """Add rows and chain them."""
    write(connection, rows, **changes)
    connection.execute("SELECT audit.seal()")


def sealed_in_the_past(superuser: psycopg.Connection, months: int, rows: int) -> None:
    """Chain rows into a partition of so many months ago; the oldest month first, and before any other row."""
    superuser.execute("SET timezone = 'UTC'")
    superuser.execute(
        f"""
        DO $$
        DECLARE
            v_month timestamptz := date_trunc('month', now() - interval '{months} months');
            v_row audit.access_inbox;
            v_head audit.chain_head;
        BEGIN
            SET LOCAL ROLE telestream_owner;
            PERFORM partman.create_partition_time('audit.access_log', ARRAY[v_month]);
            SELECT * INTO v_head FROM audit.chain_head;
            FOR v_n IN 1 .. {rows} LOOP
                v_row := (
                    nextval('audit.access_inbox_access_id_seq'), v_month, 'key:1', 'api', 'q', 'cdrs', '', '{{7}}', v_n,
                    'r', NULL
                );
                v_head.position := v_head.position + 1;
                v_head.logged_at := v_month + v_n * interval '1 second';
                v_head.chain := audit._chained(v_head.chain, v_head.position, v_head.logged_at, v_row);
                INSERT INTO audit.access_log (
                    position, logged_at, access_id, at, principal, role, operation, field, variables_sha256,
                    object_ids, rows_read, request_id, reason, chain
                ) SELECT v_head.position, v_head.logged_at, v_row.*, v_head.chain;
            END LOOP;
            UPDATE audit.chain_head
            SET position = v_head.position, logged_at = v_head.logged_at, chain = v_head.chain;
        END
        $$
        """
    )
