"""Who is behind a surrogate: shown to the privacy officer only, for a reason, and never without a row in the log."""

from __future__ import annotations

import psycopg
import pytest
from command import assert_clear_error, telestream
from fix_db import url_of
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from stack_cli import skip_if_server_given
from staging import cdr, refine

from telestream.db.vault import lend_vault_key
from telestream.stack.state import StackPaths

NUMBER = "+447900000001"
REASON = "court order 17/2026"


@pytest.fixture
def subscriber(connection: psycopg.Connection, vault_key_file: str) -> int:
    assert vault_key_file
    refine(connection, [cdr(caller=NUMBER)])
    (found,) = connection.execute("SELECT caller_id FROM silver.fact_cdr").fetchone() or (0,)
    return int(found)


@pytest.fixture
def officer(connection: psycopg.Connection, vault_key_file: str) -> psycopg.Connection:
    """A session of the privacy officer that has the key."""
    connection.execute("SET ROLE telestream_privacy")
    lend_vault_key(connection, vault_key_file)
    return connection


def log(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    connection.execute("RESET ROLE")
    return connection.execute(
        "SELECT principal, role, operation, field, object_ids, rows_read, reason FROM audit.access_log"
        " UNION ALL SELECT principal, role, operation, field, object_ids, rows_read, reason FROM audit.access_inbox"
    ).fetchall()


def test_the_officer_sees_the_number_and_the_log_says_why(subscriber: int, officer: psycopg.Connection) -> None:
    shown = officer.execute("CALL vault.reveal(%s, %s, NULL)", (subscriber, REASON)).fetchone()
    assert shown == (NUMBER,)
    assert log(officer) == [
        (
            f"db:{officer.info.user}", "telestream_privacy", "reveal", "vault.subscriber", [str(subscriber)], 1, REASON,
        )
    ]  # fmt: skip


def test_a_rollback_does_not_take_the_row_back(subscriber: int, officer: psycopg.Connection) -> None:
    with pytest.raises(errors.InvalidTransactionTermination), officer.transaction():
        officer.execute("CALL vault.reveal(%s, %s, NULL)", (subscriber, REASON))
    # Nor by the two functions that the procedure calls, with and without a savepoint.
    for before, after in (("SELECT", "SELECT"), ("SAVEPOINT s", "RELEASE SAVEPOINT s")):
        with officer.transaction(force_rollback=True):
            officer.execute(before)
            (access,) = officer.execute("SELECT vault.request_identity(%s, %s)", (subscriber, REASON)).fetchone() or ()
            officer.execute(after)
            with pytest.raises(psycopg.Error) as caught:
                officer.execute("SELECT vault.identity(%s)", (access,))
            assert caught.value.sqlstate == "TS034"
    with pytest.raises(psycopg.Error) as caught:
        officer.execute("SELECT vault.identity(vault.request_identity(%s, %s))", (subscriber, REASON))
    assert caught.value.sqlstate == "TS034"
    assert log(officer) == []


def test_a_row_opens_what_it_names_to_its_login_for_a_minute(
    subscriber: int, officer: psycopg.Connection, superuser: psycopg.Connection
) -> None:
    (access,) = officer.execute("SELECT vault.request_identity(%s, %s)", (subscriber, REASON)).fetchone() or ()
    assert officer.execute("SELECT audit.seal()").fetchone() == (1,)
    assert officer.execute("SELECT vault.identity(%s)", (access,)).fetchone() == (NUMBER,)
    lend_vault_key(superuser, officer.execute("SHOW telestream.vault_key").fetchone()[0])  # type: ignore[index]
    with pytest.raises(psycopg.Error) as caught:  # a superuser may call it, and the row is not theirs
        superuser.execute("SELECT vault.identity(%s)", (access,))
    assert caught.value.sqlstate == "TS034"
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("UPDATE audit.access_log SET at = at - interval '61 s'")
    superuser.execute("RESET session_replication_role")
    for number in (access, access + 1, -1):
        with pytest.raises(psycopg.Error) as caught:
            officer.execute("SELECT vault.identity(%s)", (number,))
        assert caught.value.sqlstate == "TS034"


@pytest.mark.parametrize("role", ["loader", "consumer", "api", "analyst", "engineer", "gateway"])
def test_others_are_refused(connection: psycopg.Connection, subscriber: int, vault_key_file: str, role: str) -> None:
    connection.execute(f"SET ROLE telestream_{role}")
    lend_vault_key(connection, vault_key_file)
    for statement in (
        f"CALL vault.reveal({subscriber}, '{REASON}', NULL)",
        f"SELECT vault.request_identity({subscriber}, '{REASON}')",
        "SELECT vault.identity(1)",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)
    assert log(connection) == []


@pytest.mark.parametrize(
    ("given", "reason", "code"),
    [
        (None, "", "TS032"),
        (None, "  why?  ", "TS032"),
        (None, None, "TS032"),
        (0, REASON, "TS033"),
        (99, REASON, "TS033"),
    ],
)
def test_without_a_reason_or_a_person_nothing_is_shown(
    subscriber: int, officer: psycopg.Connection, given: int | None, reason: str | None, code: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        officer.execute("CALL vault.reveal(%s::bigint, %s, NULL)", (subscriber if given is None else given, reason))
    assert caught.value.sqlstate == code
    assert log(officer) == []


def test_an_erased_person_stays_erased(subscriber: int, officer: psycopg.Connection) -> None:
    officer.execute("RESET ROLE")
    officer.execute("DELETE FROM vault.subscriber WHERE subscriber_id = %s", (subscriber,))
    officer.execute("SET ROLE telestream_privacy")
    with pytest.raises(psycopg.Error) as caught:
        officer.execute("CALL vault.reveal(%s, %s, NULL)", (subscriber, REASON))
    assert caught.value.sqlstate == "TS033"


@pytest.mark.parametrize("first", range(0, 256, 37))
def test_another_key_opens_nothing(subscriber: int, officer: psycopg.Connection, first: int) -> None:
    lend_vault_key(officer, f"{first:02x}" * 32)
    with pytest.raises(psycopg.Error) as caught:
        officer.execute("CALL vault.reveal(%s, %s, NULL)", (subscriber, REASON))
    assert caught.value.sqlstate == "TS040"
    assert NUMBER not in str(caught.value)
    assert len(log(officer)) == 1  # an attempt is in the log as well


def test_without_the_key_nothing_opens(subscriber: int, connection: psycopg.Connection) -> None:
    connection.execute("SET ROLE telestream_privacy")
    connection.execute("RESET telestream.vault_key")
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("CALL vault.reveal(%s, %s, NULL)", (subscriber, REASON))
    assert caught.value.sqlstate == "TS003"


def test_the_command(subscriber: int, connection: psycopg.Connection) -> None:
    shown = telestream("vault", "reveal", "--subscriber", str(subscriber), "--reason", REASON)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip() == NUMBER
    assert connection.execute("SELECT reason FROM audit.access_log").fetchall() == [(REASON,)]
    assert_clear_error(telestream("vault", "reveal", "--subscriber", "99", "--reason", REASON), "no subscriber 99")
    assert_clear_error(telestream("vault", "reveal", "--subscriber", "1", "--reason", "?"), "reason is missing")


def test_the_command_refuses_another_login(
    subscriber: int, connection: psycopg.Connection, superuser: psycopg.Connection, database: str, superuser_url: str
) -> None:
    added = telestream("db", "user", "add", "test_curious", "--role", "engineer")
    password = added.stdout.split("(shown once): ")[1].strip()
    url = url_of(superuser_url, str(conninfo_to_dict(database)["dbname"]), "test_curious", password)
    try:
        refused = telestream(
            "vault", "reveal", "--subscriber", str(subscriber), "--reason", REASON, TELESTREAM_DATABASE_URL=url
        )
        assert_clear_error(refused, "only the privacy officer", "test_curious")
        assert NUMBER not in refused.stdout + refused.stderr
        assert log(connection) == []
    finally:
        superuser.execute("DROP ROLE test_curious")


def test_the_number_is_in_no_log_of_the_server(
    subscriber: int, officer: psycopg.Connection, request: pytest.FixtureRequest
) -> None:
    skip_if_server_given()
    assert request.getfixturevalue("stack")
    officer.execute("CALL vault.reveal(%s, %s, NULL)", (subscriber, REASON))
    assert NUMBER not in StackPaths.current().postgres_log.read_text(errors="replace")
