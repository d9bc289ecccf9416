"""Bad input: one message that names the thing and the next step, exit code not 0, nothing half-loaded."""

from __future__ import annotations

import gzip
from pathlib import Path

import psycopg
import pytest
from command import assert_clear_error, telestream
from psycopg.conninfo import conninfo_to_dict
from truth import generated

from telestream.db import migrate


@pytest.fixture
def nothing_loaded(connection: psycopg.Connection):
    yield
    for table in ("ops.batch", "silver.fact_cdr", "quality.quarantine"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


@pytest.mark.usefixtures("nothing_loaded")
def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    generated(tmp_path / "day.csv.gz", rows=5_000)
    generated(tmp_path / "day.parquet", rows=5_000)
    generated(tmp_path / "day.avro", rows=5_000)
    for name in ("day.csv.gz", "day.parquet", "day.avro"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / f"half-{name}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.csv").touch()
    (tmp_path / "empty.csv.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "picture.csv").write_bytes(bytes(range(256)) * 100)
    for name in (
        "missing.csv",
        "empty.csv",
        "empty.csv.gz",
        "half-day.csv.gz",
        "half-day.parquet",
        "half-day.avro",
        "picture.csv",
    ):
        assert_clear_error(telestream("load", "cdr", tmp_path / name), name)


@pytest.mark.usefixtures("nothing_loaded")
def test_an_unreadable_encoding(tmp_path: Path) -> None:
    generated(tmp_path / "day.csv", rows=1_000)
    (tmp_path / "mainframe.csv").write_bytes((tmp_path / "day.csv").read_text("latin-1").encode("cp500", "replace"))
    assert_clear_error(telestream("load", "cdr", tmp_path / "mainframe.csv"), "mainframe.csv", "hint")


@pytest.mark.usefixtures("nothing_loaded")
def test_the_wrong_profile(tmp_path: Path) -> None:
    generated(tmp_path / "day.csv", rows=1_000)
    assert_clear_error(
        telestream("load", "cdr", tmp_path / "day.csv", "--profile", "cisco_cucm"), "cisco_cucm", "day.csv"
    )
    assert_clear_error(telestream("load", "cdr", tmp_path / "day.csv", "--profile", "no_such"), "no_such")


def test_one_bad_file_costs_no_other(tmp_path: Path, connection: psycopg.Connection) -> None:
    truth = generated(tmp_path / "day.csv", rows=2_000)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    result = telestream("load", "cdr", tmp_path / "bad.csv", tmp_path / "day.csv")
    assert_clear_error(result, "bad.csv")
    assert connection.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (truth.good,)


def test_the_database_refuses(tmp_path: Path, database: str, superuser_url: str) -> None:
    generated(tmp_path / "day.csv", rows=100)
    parts = conninfo_to_dict(database)
    place = f"{parts['host']}:{parts['port']}"
    load = ("load", "cdr", tmp_path / "day.csv")
    wrong = f"postgresql://{parts['user']}:wrong-password@{place}/{parts['dbname']}"
    result = telestream(*load, TELESTREAM_DATABASE_URL=wrong)
    assert_clear_error(result, "refused the login", "TELESTREAM_DATABASE_URL")
    assert "wrong-password" not in result.stdout + result.stderr
    missing = f"postgresql://{parts['user']}:{parts['password']}@{place}/no_such_database"
    assert_clear_error(telestream(*load, TELESTREAM_DATABASE_URL=missing), "no_such_database")
    nobody = f"postgresql://{parts['user']}:{parts['password']}@127.0.0.1:1/{parts['dbname']}"
    assert_clear_error(telestream(*load, TELESTREAM_DATABASE_URL=nobody), "does not answer", "hint")
    assert_clear_error(telestream(*load, TELESTREAM_DATABASE_URL="nonsense"), "error")


def test_a_database_of_an_older_revision(tmp_path: Path, empty_database: str, vault_key_file: str) -> None:
    assert vault_key_file
    generated(tmp_path / "day.csv", rows=100)
    load = ("load", "cdr", tmp_path / "day.csv")
    assert_clear_error(telestream(*load, TELESTREAM_DATABASE_URL=empty_database), "telestream db upgrade")
    migrate.upgrade(empty_database, "0003")
    assert_clear_error(telestream(*load, TELESTREAM_DATABASE_URL=empty_database), "0003", "telestream db upgrade")


def test_no_such_time_zone(database: str) -> None:
    assert database
    result = telestream("db", "upgrade", TELESTREAM_TIME_ZONE="Mars/Olympus")
    assert_clear_error(result, "TELESTREAM_TIME_ZONE", "Mars/Olympus")


def test_a_full_disk_is_named_and_the_rerun_succeeds(
    tmp_path: Path, connection: psycopg.Connection, superuser: psycopg.Connection
) -> None:
    """The server raises its own error for a full disk; what happens then is the same as on a full disk."""
    truth = generated(tmp_path / "day.csv", rows=2_000)
    superuser.execute(
        "CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"
    )
    superuser.execute(
        "CREATE TRIGGER full_disk BEFORE INSERT ON silver.fact_cdr FOR EACH ROW EXECUTE FUNCTION public.full_disk()"
    )
    assert_clear_error(telestream("load", "cdr", tmp_path / "day.csv"), "disk is full", "same command again")
    for table in ("bronze.cdr", "ops.batch", "quality.quarantine", "rollup.pending"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    superuser.execute("DROP TRIGGER full_disk ON silver.fact_cdr")
    assert telestream("load", "cdr", tmp_path / "day.csv").returncode == 0
    assert connection.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (truth.good,)


def test_debug_shows_the_stack_trace(tmp_path: Path, database: str) -> None:
    assert database
    result = telestream("--debug", "load", "cdr", tmp_path / "missing.csv")
    assert result.returncode != 0
    assert "Traceback" in result.stderr
