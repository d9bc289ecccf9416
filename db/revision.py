"""What alembic revisions use: runs the SQL that lies beside a revision, online and offline."""

from __future__ import annotations

from pathlib import Path

from alembic import op


def run_sql(revision_file: str, suffix: str = ".sql", **placeholders: str) -> None:
    """Run `NNNN_what.sql` beside `NNNN_what.py`, with `{name}` replaced by the placeholders.

    The file goes to the server as one simple query: no bind parameters, several statements.
    """
    sql = Path(revision_file).with_suffix(suffix).read_text()
    for name, value in placeholders.items():
        sql = sql.replace("{" + name + "}", value)
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(sql)
        return
    bind = op.get_bind()
    driver = bind.connection.driver_connection
    assert driver is not None  # an online context always has one
    driver.execute(sql)
