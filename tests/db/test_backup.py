"""A backup is restored: the same tables and Gold, nobody who was erased, and work goes on; nothing half-done counts."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from command import ROOT
from erasing import CUSTOMER, NUMBER, OTHER, REASON, SECOND, SIM, erase, naming
from fix_db import ADMIN, PASSWORD, drop_database, url_of
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from schema import state
from stack_cli import Cli, skip_if_server_given
from staging import cdr, change, refine, refine_customers
from streams import launch, wait_for

from telestream.db import backup, backup_cli, backup_manifest, backup_tools, erasure_ledger, rollups, routines
from telestream.db.backup_contents import contents, differences
from telestream.db.backup_manifest import DUMP, MANIFEST, Contents
from telestream.db.edition import edition
from telestream.db.erasure_ledger import Erased, Ledger
from telestream.db.restore import Target, restore
from telestream.db.schedule import schedule
from telestream.db.vault import lend_vault_key, vault_key
from telestream.errors import TelestreamError, TerminalError, UsageError
from telestream.stack.database import prepare_database


@pytest.fixture
def target(superuser_url: str, database: str) -> Iterator[Target]:
    """A database of the same server that does not exist."""
    name = f"{conninfo_to_dict(database)['dbname']}_copy"
    yield Target(make_conninfo(superuser_url, dbname=name))
    drop_database(superuser_url, name)
    drop_database(superuser_url, f"{name}_restoring")


def quiet(_: str) -> None:
    pass


def held(url: str) -> dict[str, Contents]:
    with psycopg.connect(url) as opened:
        opened.execute("SET LOCAL ROLE telestream_owner")
        return contents(opened)


def open_url(target: Target) -> str:
    """Return the URL of the restored database for its owner."""
    return url_of(target.url, target.name)


def databases(superuser_url: str) -> set[str]:
    with psycopg.connect(superuser_url) as server:
        return {name for (name,) in server.execute("SELECT datname FROM pg_database").fetchall()}


def test_what_was_erased_since_does_not_come_back_and_work_goes_on(
    peopled: psycopg.Connection, database: str, target: Target, tmp_path: Path
) -> None:
    manifest = backup.create(database, tmp_path / "b", quiet)
    assert manifest.contents == held(database)
    # As each deployment does again, which gives the owner what revisions have made in partman.
    prepare_database(target.server_url, str(conninfo_to_dict(database)["dbname"]), ADMIN)
    before = state(database)
    erase(peopled, NUMBER)
    assert {"vault.subscriber", "bronze.cdr"} < set(differences(manifest.contents, held(database)))
    known = peopled.execute("SELECT count(*) FROM vault.subscriber").fetchone()
    with launch(tmp_path, "backup", "erasures", tmp_path / "erased.json") as command:
        command.ends(0)
    listed = (tmp_path / "erased.json").read_text()
    assert not any(word in listed for word in (NUMBER, SECOND, SIM, CUSTOMER, REASON, NUMBER[1:]))

    ledger = erasure_ledger.read(tmp_path / "erased.json", manifest.made_at)
    assert len(ledger.erasures[0].subscribers) >= 3
    assert len(ledger.erasures[0].customers) == 2
    _, made_owner, unfinished = restore(tmp_path / "b", target, "", ledger, quiet)
    assert (made_owner, unfinished) == (False, [])
    copy = open_url(target)
    assert state(copy) == before
    assert rollups.check(copy) == []
    with psycopg.connect(copy, autocommit=True) as restored:
        assert naming(restored, CUSTOMER, SIM) == set()
        assert restored.execute("SELECT count(*) FROM vault.subscriber").fetchone() == known
        assert restored.execute("SELECT caller FROM bronze.cdr WHERE native_key = 'others'").fetchone() == (OTHER,)
        reasons = restored.execute("SELECT reason, state FROM privacy.erasure").fetchall()
        assert reasons == [(f"erasure 1 of {ledger.erasures[0].requested_at[:10]}, again after a restore", "done")]
        # Sequences, checkpoints and Bronze partitions go on.
        counts = refine(restored, [cdr(native_key="own"), cdr(native_key="after", caller=OTHER)], promises=())
        assert counts[0] > peopled.execute("SELECT max(batch_id) FROM ops.batch").fetchone()[0]
        assert counts[1:] == (1, 1, 0)
        rollups.refresh(copy)
        assert rollups.check(copy) == []
        # The same list again finds nobody.
    with psycopg.connect(make_conninfo(target.url), autocommit=True) as superuser:
        lend_vault_key(superuser, vault_key())
        assert erasure_ledger.erase_again(superuser, ledger, pytest.fail) == []


def test_a_customer_without_a_number_of_their_own_is_erased_again(
    connection: psycopg.Connection, superuser: psycopg.Connection
) -> None:
    refine(connection, [cdr(caller=NUMBER, imsi=None)])
    connection.execute("UPDATE silver.dim_service_plan SET is_placeholder = false")
    refine_customers(
        connection,
        [
            change(customer_id="CRM-000001", msisdn=NUMBER),
            change(customer_id="CRM-000002", msisdn=NUMBER, changed_at="2026-05-01T00:00:00Z"),
        ],
    )
    keys = [
        key
        for (key,) in connection.execute(
            "SELECT customer_key FROM silver.dim_customer WHERE customer_id = 'CRM-000001'"
        ).fetchall()
    ]
    lend_vault_key(superuser, vault_key())
    ledger = Ledger("2026-01-01T00:00:00+00:00", [Erased(7, "2026-06-01T00:00:00+00:00", "unlink", [], keys)])
    assert erasure_ledger.erase_again(superuser, ledger, quiet) == []
    left = connection.execute("SELECT customer_id FROM silver.dim_customer WHERE customer_key <> 0").fetchall()
    assert left == [("CRM-000002",)]


def test_what_cannot_be_erased_again_is_said(peopled: psycopg.Connection, superuser: psycopg.Connection) -> None:
    (other,) = peopled.execute(
        "SELECT subscriber_id FROM silver.dim_customer WHERE customer_id = 'CRM-000816' LIMIT 1"
    ).fetchone()
    peopled.execute("INSERT INTO ops.legal_hold (subscriber_id, reason) VALUES (%s, 'case 4711')", (other,))
    lend_vault_key(superuser, vault_key())
    ledger = Ledger(
        "2026-06-02T00:00:00+00:00",
        [
            Erased(1, "2026-06-01T00:00:00+00:00", "unlink", [], []),
            Erased(2, "2026-06-01T00:00:00+00:00", "unlink", [other], []),
            Erased(3, "2026-06-01T00:00:00+00:00", "unlink", [987654], [987654]),
        ],
    )
    unfinished = erasure_ledger.erase_again(superuser, ledger, quiet)
    assert [one.erasure_id for one in unfinished] == [1, 2]
    assert "access log" in unfinished[0].why
    assert "legal hold" in unfinished[1].why


def test_another_server_takes_over(
    database: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, vault_key_file: str
) -> None:
    skip_if_server_given()
    samples = ROOT / "samples"
    with launch(tmp_path, "load", "cdr", samples / "canonical.csv") as command:
        command.ends(0)
    with psycopg.connect(database, autocommit=True) as loaded:
        of = edition(loaded)
        if of == "community":
            # With its policies and jobs, and with what is old compressed.
            schedule(loaded)
            loaded.execute("SET ROLE telestream_owner")
            done = loaded.execute("SELECT compress_chunk(c) FROM show_chunks('silver.fact_cdr') AS c").fetchall()
            assert done
    with launch(tmp_path, "backup", "create", tmp_path / "b") as command:
        command.ends(0)
    before = held(database)
    other = Cli(tmp_path_factory.mktemp("other"))
    try:
        other("up")
        place = f"127.0.0.1:{other.state['database_port']}/telestream"
        with launch(
            tmp_path, "backup", "restore", tmp_path / "b", "--into", f"postgresql://postgres@{place}",
            "--erasures-from", database,
            PGPASSWORD=other.state["superuser_password"], TELESTREAM_DATABASE_PASSWORD=PASSWORD,
        ) as command:  # fmt: skip
            command.ends(0, "is restored and equals the backup")
        url = f"postgresql://{ADMIN}:{PASSWORD}@{place}"
        assert held(url) == before
        here = {"TELESTREAM_DATABASE_URL": url}
        with launch(tmp_path, "load", "cdr", samples / "canonical.csv", samples / "cisco_cucm.csv", **here) as command:
            command.ends(0, "already loaded")
        assert rollups.check(url) == []
        with psycopg.connect(url, autocommit=True) as there:
            assert routines.apply(there) == "UNCHANGED"
            assert schedule(there) == ("timescaledb jobs" if of == "community" else "pg_cron")
    finally:
        other("destroy", "--yes")


@pytest.fixture
def small(database: str, tmp_path: Path) -> Path:
    """A backup of an empty database."""
    backup.create(database, tmp_path / "small", quiet)
    return tmp_path / "small"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


def test_damage_is_found(small: Path, tmp_path: Path) -> None:
    assert backup.verify(small).revision
    assert {path.stat().st_mode & 0o77 for path in (small, small / DUMP)} == {0}
    damages: dict[str, Callable[[Path], object]] = {
        "bit": lambda at: flip(at / DUMP),
        "end": lambda at: os.truncate(at / DUMP, (at / DUMP).stat().st_size - 1),
        "more": lambda at: (at / DUMP).write_bytes((at / DUMP).read_bytes() + b"x"),
        "none": lambda at: (at / DUMP).unlink(),
        "manifest": lambda at: (at / MANIFEST).write_text("{"),
        "contents": lambda at: (at / MANIFEST).write_text('{"format": 1, "group_roles": [], "contents": {}}'),
    }
    for name, damage in damages.items():
        copy = tmp_path / name
        shutil.copytree(small, copy)
        damage(copy)
        with pytest.raises(TerminalError) as caught:
            backup.verify(copy)
        assert str(copy) in str(caught.value.detail)
    (small / MANIFEST).unlink()
    with pytest.raises(UsageError, match="there is no backup"):
        backup.verify(small)


def refused(folder: Path, target: Target) -> TelestreamError:
    with pytest.raises(TelestreamError) as caught:
        restore(folder, target, "", None, quiet)
    return caught.value


def changed(folder: Path, **values: Any) -> Path:
    copy = folder.with_name("changed")
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    backup_manifest.write(copy, dataclasses.replace(backup_manifest.read(folder), **values))
    return copy


def test_what_cannot_be_restored_is_refused_before_anything_is_made(
    small: Path, target: Target, database: str, superuser_url: str
) -> None:
    full = Target(make_conninfo(superuser_url, dbname=conninfo_to_dict(database)["dbname"]))
    before = held(database)
    assert "is not empty" in str(refused(small, full))
    assert held(database) == before
    assert "newer version" in str(refused(changed(small, revision="9999"), target))
    error = refused(changed(small, timescaledb="2.1.0"), target)
    assert ("another version of TimescaleDB" in str(error), "2.1.0" in str(error.detail)) == (True, True)
    assert "vault key" in str(refused(changed(small, vault_key="00" * 32), target))
    assert "superuser" in str(refused(small, Target(make_conninfo(database, dbname=target.name))))
    assert "names no database" in str(refused(small, Target(make_conninfo(superuser_url, dbname="postgres"))))
    with pytest.raises(UsageError, match="it is not said who was erased"):
        backup_cli.restore_(small, target.url)
    old = small / "old.json"
    old.write_text(json.dumps({"listed_at": "2026-01-01T00:00:00+00:00", "erasures": []}))
    with pytest.raises(UsageError, match="older than the backup"):
        erasure_ledger.read(old, backup_manifest.read(small).made_at)
    with pytest.raises(UsageError, match="no list of erasures"):
        erasure_ledger.read(small / MANIFEST, "2026-01-01T00:00:00Z")
    with pytest.raises(UsageError, match="exists"):
        backup.create(database, small, quiet)
    assert not {target.name, target.partial_name} & databases(superuser_url)
    # Which edition a server runs shows only in a database with the extension.
    with psycopg.connect(database) as opened:
        other = "apache" if edition(opened) == "community" else "community"
    assert "another edition" in str(refused(changed(small, edition=other), target))
    assert target.name not in databases(superuser_url)


def test_a_pg_dump_of_another_version_is_not_taken() -> None:
    with pytest.raises(TerminalError) as caught:
        backup_tools.program("pg_dump", 9)
    assert "The server has version 9" in str(caught.value.detail)
    assert "postgresql-client-9" in str(caught.value.hint)


def words() -> str:
    """Return the command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def test_killed_while_it_is_written_it_is_no_backup(
    database: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shown: list[str] = []
    logs = tmp_path_factory.mktemp("logs")
    partial = tmp_path / ".b.partial"

    def is_dumping() -> bool:
        shown.append(words())
        return (partial / DUMP).exists() and (partial / DUMP).stat().st_size > 0

    with launch(logs, "backup", "create", tmp_path / "b") as creating:
        wait_for(is_dumping, "it dumps", creating)
        creating.kill()
    assert any("pg_dump" in one for one in shown)
    assert not any(PASSWORD in one for one in shown)
    assert list(tmp_path.iterdir()) == [partial]
    assert not (partial / MANIFEST).exists()
    backup.create(database, tmp_path / "b", quiet)
    assert list(tmp_path.iterdir()) == [tmp_path / "b"]
    backup.verify(tmp_path / "b")


def test_killed_while_it_restores_the_database_has_not_its_name(
    small: Path, target: Target, superuser_url: str, tmp_path: Path
) -> None:
    parts = conninfo_to_dict(target.url)
    password = str(parts.pop("password"))
    with launch(
        tmp_path, "backup", "restore", small, "--into", make_conninfo(**parts), "--no-erasures", PGPASSWORD=password
    ) as restoring:
        wait_for(lambda: target.partial_name in databases(superuser_url), "it restores", restoring)
        restoring.kill()
    assert target.name not in databases(superuser_url)
    with psycopg.connect(superuser_url, autocommit=True) as server:
        # What it has started ends by itself.
        while server.execute("SELECT 1 FROM pg_stat_activity WHERE datname = %s", (target.partial_name,)).fetchone():
            pass
    # The next one begins anew, also one that is a trial.
    with launch(tmp_path, "backup", "verify", small, "--restore-into", target.url) as command:
        command.ends(0, "was restored and compared")
    assert not {target.name, target.partial_name} & databases(superuser_url)
