"""An erasure and loads of the same person at once, and crashes in the middle: both end right."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from erasing import CUSTOMER, NUMBER, OTHER, REASON, SIM, erase, gold, naming
from psycopg import sql
from staging import cdr, change, refine

from telestream.db import erasure, rollups
from telestream.db.customers import carry_to_facts
from telestream.db.vault import lend_vault_key, vault_key

PATIENCE = 120


def until(connection: psycopg.Connection, query: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while connection.execute(query).fetchone() != (True,):
        assert time.monotonic() < deadline, query
        time.sleep(0.05)


@contextmanager
def session(url: str, role: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as opened:
        opened.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        lend_vault_key(opened, vault_key())
        yield opened


def erase_apart(url: str) -> erasure.Proof:
    with psycopg.connect(url, autocommit=True) as opened:
        return erase(opened, NUMBER)


def stage(loader: psycopg.Connection, batch: int, **values: object) -> None:
    loader.execute(
        "INSERT INTO ops.batch (batch_id, dataset, source_kind, rows_in, code_version) VALUES (%s, 'cdr', 'kafka', 1, 't')",
        (batch,),
    )
    row = cdr(**values)
    loader.execute(
        sql.SQL("INSERT INTO bronze.cdr (batch_id, line, {}) VALUES ({}, 1, {})").format(
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.Literal(batch),
            sql.SQL(", ").join(sql.Placeholder() * len(row)),
        ),
        list(row.values()),
    )


def test_a_load_whose_people_are_known_ends_first(peopled: psycopg.Connection, database: str) -> None:
    """It enrolled before the erasure and refines after it: its facts belong to nobody, its raw records name nobody."""
    with session(database, "telestream_loader") as loader, ThreadPoolExecutor(1) as pool:
        (batch,) = loader.execute("SELECT ops.open_batch('cdr')").fetchone()
        loader.execute("SELECT silver.enrol_cdr(%s, %s, '{234-15-1}', '{GB-LND}', '{basic}')", (batch, [NUMBER, OTHER]))
        done = pool.submit(erase_apart, database)
        until(peopled, "SELECT EXISTS (SELECT FROM privacy.erasure WHERE step = 'settle')")
        assert not done.done()
        with loader.transaction():
            stage(
                loader, batch, native_key="late", caller=NUMBER, called=OTHER, imsi=SIM, extras='{"x": "07911123456"}'
            )
            loader.execute("CALL silver.refine_cdr(%s)", (batch,))
        proof = done.result(PATIENCE)
    assert proof.record["found"] == 0
    assert naming(peopled, CUSTOMER, SIM) == set()
    late, old = peopled.execute(
        "SELECT caller_id, customer_key, extras FROM silver.fact_cdr WHERE batch_id = %s OR source_line = 1 ORDER BY batch_id DESC",
        (batch,),
    ).fetchall()[:2]
    assert late == (old[0], 0, None)
    rollups.refresh(database)
    assert rollups.check(database) == []


def test_a_load_that_has_begun_to_refine_is_waited_for(peopled: psycopg.Connection, database: str) -> None:
    with session(database, "telestream_loader") as loader, ThreadPoolExecutor(1) as pool:
        with loader.transaction():
            (batch,) = loader.execute("SELECT ops.open_batch('cdr')").fetchone()
            stage(loader, batch, native_key="late", caller=NUMBER, imsi=SIM, duration_s=-1)
            loader.execute("CALL silver.refine_cdr(%s)", (batch,))
            done = pool.submit(erase_apart, database)
            until(
                peopled,
                "SELECT EXISTS (SELECT FROM pg_locks AS l WHERE l.locktype = 'advisory' AND l.objid = 7301008"
                " AND NOT l.granted)",
            )
        done.result(PATIENCE)
    assert naming(peopled, CUSTOMER, SIM) == set()


def test_a_customer_who_comes_back_meanwhile_is_erased_again(peopled: psycopg.Connection, database: str) -> None:
    with (
        session(database, "telestream_loader") as loader,
        session(database, "telestream_loader") as crm,
        ThreadPoolExecutor(1) as pool,
    ):
        (held,) = loader.execute("SELECT ops.open_batch('cdr')").fetchone()
        (batch,) = crm.execute("SELECT ops.open_batch('customer')").fetchone()
        crm.execute("SELECT silver.enrol_customer(%s, %s)", (batch, [NUMBER]))
        done = pool.submit(erase_apart, database)
        until(peopled, "SELECT EXISTS (SELECT FROM privacy.erasure WHERE step = 'settle')")
        # The customer comes back under the surrogate of before, and facts are pointed to it.
        with crm.transaction():
            crm.execute(
                "INSERT INTO ops.batch (batch_id, dataset, source_kind, rows_in, code_version)"
                " VALUES (%s, 'customer', 'api', 1, 't')",
                (batch,),
            )
            row = change(customer_id=CUSTOMER, msisdn=NUMBER, changed_at="2026-01-15T00:00:00Z")
            crm.execute(
                sql.SQL("INSERT INTO bronze.customer (batch_id, line, {}) VALUES ({}, 1, {})").format(
                    sql.SQL(", ").join(map(sql.Identifier, row)),
                    sql.Literal(batch),
                    sql.SQL(", ").join(sql.Placeholder() * len(row)),
                ),
                list(row.values()),
            )
            crm.execute("CALL silver.refine_customer(%s)", (batch,))
        assert held
        assert carry_to_facts(database) == 1
        loader.close()
        proof = done.result(PATIENCE)
    assert proof.record["rounds"] == 2
    assert naming(peopled, CUSTOMER, SIM) == set()
    assert peopled.execute(
        "SELECT count(*) FROM silver.fact_cdr AS f"
        " WHERE f.customer_key NOT IN (SELECT customer_key FROM silver.dim_customer)"
    ).fetchone() == (0,)


def test_a_crash_after_and_in_every_step(peopled: psycopg.Connection, database: str) -> None:
    before = gold(peopled)
    with session(database, "telestream_privacy") as officer:
        number = erasure.request(officer, NUMBER, REASON, "unlink")
    steps: list[str] = []
    done = False
    while not done:
        with session(database, "telestream_privacy") as officer:
            cache = 0 if steps and steps[-1] == "cache" else None
            # A slice that is rolled back, as by a crash, then the same one to its end, over a connection of its own.
            with officer.transaction(force_rollback=True):
                officer.execute("SELECT * FROM privacy.erase_step(%s, %s)", (number, cache))
            step, _, done = officer.execute("SELECT * FROM privacy.erase_step(%s, %s)", (number, cache)).fetchone()
            steps.append(step)
    assert list(dict.fromkeys(steps)) == [
        "people", "bronze", "quarantine", "dead_letters", "texts", "cdrs", "events", "cache", "search",
        "again", "settle",
    ]  # fmt: skip
    assert naming(peopled, CUSTOMER, SIM) == set()
    assert gold(peopled) == before


def test_a_later_load_is_new_data(peopled: psycopg.Connection) -> None:
    (old,) = peopled.execute("SELECT caller_id FROM silver.fact_cdr WHERE source_line = 1").fetchone()
    erase(peopled, NUMBER)
    refine(peopled, [cdr(native_key="new", caller=NUMBER)])
    (new,) = peopled.execute("SELECT caller_id FROM silver.fact_cdr ORDER BY batch_id DESC LIMIT 1").fetchone()
    assert new != old


def test_a_hold_placed_meanwhile_stops_it_before_anything_is_lost(peopled: psycopg.Connection, database: str) -> None:
    with session(database, "telestream_privacy") as officer:
        number = erasure.request(officer, NUMBER, REASON, "unlink")
        peopled.execute("INSERT INTO ops.legal_hold (dataset, reason) VALUES ('cdr', 'case 7')")
        with pytest.raises(psycopg.Error) as caught:
            erasure.carry_out(officer, number, lambda: 0, wait_seconds=30, told=lambda *_: None)
        assert caught.value.sqlstate == "TS038"
        assert peopled.execute(
            "SELECT count(*) FROM silver.dim_customer WHERE customer_id = %s", (CUSTOMER,)
        ).fetchone() == (2,)
        peopled.execute("UPDATE ops.legal_hold SET until = now()")
        erasure.carry_out(officer, number, lambda: 0, wait_seconds=30, told=lambda *_: None)
    assert naming(peopled, CUSTOMER, SIM) == set()
