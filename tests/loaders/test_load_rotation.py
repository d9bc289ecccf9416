"""Files and a CRM are loaded while the vault's key is rotated: nothing is lost, nobody gets a second surrogate."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from crm_server import TOKEN, crm_server
from truth import assert_truth, generated
from vault_keys import behind, states

from telestream.db import rollups, rotation
from telestream.db.vault import vault_key
from telestream.loaders.crm import sync
from telestream.loaders.crm_client import CrmClient, Page
from telestream.loaders.customers import open_writer
from telestream.loaders.pipeline import CdrLoader, Hooks
from telestream.loaders.sources import Source, discover


def assert_nobody_twice(connection: psycopg.Connection, old: str) -> None:
    """Each number of Bronze leads to one surrogate and back, under the new key alone."""
    people = behind(connection, vault_key())
    assert None not in people.values()
    assert len(set(people.values())) == len(people)
    assert set(behind(connection, old).values()) == {None}
    found = connection.execute(
        "SELECT DISTINCT u.number, u.surrogate FROM bronze.cdr AS b"
        " INNER JOIN silver.fact_cdr AS f ON b.batch_id = f.batch_id AND b.line = f.source_line"
        " CROSS JOIN LATERAL (VALUES (b.caller, f.caller_id), (b.called, f.called_id)) AS u (number, surrogate)"
        " WHERE u.number IS NOT NULL"
    ).fetchall()
    assert found
    assert {(people[surrogate], surrogate) for _, surrogate in found} == set(found)


def test_two_loaders_live_through_a_switch(
    database: str, connection: psycopg.Connection, tmp_path: Path, own_vault_key: Path
) -> None:
    assert own_vault_key
    old = vault_key()
    # The second has the people of the first, and as many more.
    truths = [generated(tmp_path / f"day{number}.csv", rows=12_000, seed=number) for number in (1, 2)]
    begun, switched = threading.Barrier(3, timeout=120), threading.Event()

    class Meets(Hooks):
        """Lets the rotation switch after the second segment of each file."""

        def __init__(self) -> None:
            self.segments = 0
            self.lock = threading.Lock()

        def advanced(self, source: Source, segment: object, counts: object) -> None:
            with self.lock:
                self.segments += 1
                here = self.segments
            if here == 2:
                begun.wait()
                assert switched.wait(120)

    def load(number: int) -> int:
        hooks = Meets()
        with CdrLoader(database, segment_bytes=200_000, hooks=hooks) as loader:
            [result] = loader.load(discover([str(tmp_path / f"day{number}.csv")]))
        assert result.error is None
        assert result.outcome == "loaded"
        return hooks.segments

    with ThreadPoolExecutor(2) as pool:
        loads = [pool.submit(load, number) for number in (1, 2)]
        begun.wait()
        for step in rotation.rotate(database, slice_rows=100):
            if step.what.startswith("switched"):
                switched.set()
        assert min(one.result(timeout=300) for one in loads) > 4
    assert states(connection) == ["retired", "current"]
    assert_nobody_twice(connection, old)
    rows = connection.execute("SELECT sum(rows_in) FROM ops.batch").fetchone()
    assert rows == (sum(truth.rows_in for truth in truths),)
    rollups.refresh(database)
    assert rollups.check(database) == []


def test_a_load_after_a_rotation_knows_everybody(
    database: str, connection: psycopg.Connection, tmp_path: Path, own_vault_key: Path
) -> None:
    assert own_vault_key
    old = vault_key()
    truth = generated(tmp_path / "day.csv", rows=4_000)
    lines = (tmp_path / "day.csv").read_bytes().splitlines(keepends=True)  # some are no UTF-8
    (tmp_path / "first.csv").write_bytes(b"".join(lines[:2_000]))
    (tmp_path / "second.csv").write_bytes(b"".join(lines[:1] + lines[2_000:]))
    with CdrLoader(database) as loader:
        loader.load(discover([str(tmp_path / "first.csv")]))
        list(rotation.rotate(database))
        loader.load(discover([str(tmp_path / "second.csv")]))
    assert_nobody_twice(connection, old)
    rollups.refresh(database)
    assert_truth(connection, truth)


def test_a_sync_of_customers_lives_through_a_rotation(
    database: str, connection: psycopg.Connection, own_vault_key: Path
) -> None:
    assert own_vault_key
    old = vault_key()
    connection.execute("SET ROLE telestream_owner")
    connection.execute("INSERT INTO silver.dim_service_plan (plan_code, name) VALUES ('basic', 'b')")
    connection.execute("RESET ROLE")

    class Rotating(CrmClient):
        """Rotates the key before the second page."""

        pages = 0

        def page(self, since: datetime | None, cursor: str | None, limit: int) -> Page:
            self.pages += 1
            if self.pages == 2:
                list(rotation.rotate(database))
            return super().page(since, cursor, limit)

    moment = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    with crm_server() as server:
        server.customers = [
            {
                "customer_id": f"C{number}", "changed_at": moment, "updated_at": moment, "plan_code": "basic",
                "msisdn": f"+4479000000{number % 10:02d}", "status": "active",
            }
            for number in range(30)
        ]  # fmt: skip
        result = sync(Rotating(server.url, TOKEN), page_size=10)
    assert (result.counts.rows_in, result.counts.loaded) == (30, 30)
    people = behind(connection, vault_key())
    assert sorted(map(str, people.values())) == [f"+4479000000{number:02d}" for number in range(10)]
    assert set(behind(connection, old).values()) == {None}
    with open_writer(database) as writer:
        assert not writer.broken
