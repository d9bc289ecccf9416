"""The customer dimension: the same history for every order of changes, and facts that follow it."""

from __future__ import annotations

import psycopg
from staging import cdr, change, refine, refine_customers, rekey


def test_smoke(connection: psycopg.Connection) -> None:
    connection.execute("INSERT INTO silver.dim_service_plan (plan_code, name) VALUES ('basic', 'b'), ('plus', 'p')")
    refine(connection, [cdr(plan_code=None)])
    print(refine_customers(connection, [change()]))
    print(connection.execute("SELECT customer_key, holds FROM silver.dim_customer").fetchall())
    print(connection.execute("SELECT * FROM silver.customer_rekey").fetchall())
    rekey(connection)
    print(connection.execute("SELECT * FROM gold.cdr").fetchall())
    print(refine_customers(connection, [change(), change(changed_at="2026-02-01T00:00:00Z", plan_code="plus")]))
    rekey(connection)
    print(connection.execute("SELECT * FROM gold.cdr").fetchall())
    refine(connection, [cdr(native_key="k2", plan_code=None)])
    print(connection.execute("SELECT * FROM gold.cdr").fetchall())
    print(connection.execute("SELECT * FROM gold.customer_history").fetchall())
    assert connection.execute("SELECT * FROM gold.check_rollups()").fetchall() == []
    assert 0
