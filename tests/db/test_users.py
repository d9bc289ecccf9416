"""Login users hold exactly the rights of their role."""

from __future__ import annotations

import psycopg
import pytest
from command import assert_clear_error, telestream
from fix_db import url_of
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from staging import cdr, refine


@pytest.fixture
def analyst(superuser: psycopg.Connection):
    yield "test_analyst_login"
    superuser.execute("DROP ROLE IF EXISTS test_analyst_login")


def test_an_analyst_logs_in_and_reads_gold_only(
    analyst: str, connection: psycopg.Connection, database: str, superuser_url: str
) -> None:
    refine(connection, [cdr()])
    result = telestream("db", "user", "add", analyst, "--role", "analyst")
    assert result.returncode == 0, result.stderr
    password = result.stdout.split("(shown once): ")[1].strip()
    name = str(conninfo_to_dict(database)["dbname"])
    with psycopg.connect(url_of(superuser_url, name, analyst, password), autocommit=True) as login:
        assert login.execute("SELECT count(*) FROM gold.cdr").fetchone() == (1,)
        assert login.execute("SHOW plan_cache_mode").fetchone() == ("force_custom_plan",)
        for table in ("bronze.cdr", "silver.fact_cdr", "vault.subscriber", "quality.quarantine"):
            with pytest.raises(errors.InsufficientPrivilege):
                login.execute(f"SELECT * FROM {table}")


def test_a_second_add_changes_the_password(analyst: str, database: str, tmp_path, superuser_url: str) -> None:
    assert telestream("db", "user", "add", analyst, "--role", "analyst").returncode == 0
    (tmp_path / "password").write_text("another one\n")
    again = telestream("db", "user", "add", analyst, "--role", "analyst", "--password-file", tmp_path / "password")
    assert again.returncode == 0
    assert "another one" not in again.stdout + again.stderr
    name = str(conninfo_to_dict(database)["dbname"])
    psycopg.connect(url_of(superuser_url, name, analyst, "another%20one")).close()


def test_an_unknown_role_is_named_with_the_choices(database: str) -> None:
    assert_clear_error(telestream("db", "user", "add", "x", "--role", "king"), "king", "analyst")
