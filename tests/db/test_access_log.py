"""The access log: append-only for everybody, chained, verified after every kind of change, dropped by months only."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from access_log import sealed, sealed_in_the_past, write
from command import assert_clear_error, kill_when, telestream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from telestream.db import migrate
from telestream.db.access_chain import GENESIS, Anchor, Verdict, verify

ROWS = 12
COLUMNS = (
    "position", "logged_at", "access_id", "at", "principal", "role", "operation", "field", "variables_sha256",
    "object_ids", "rows_read", "request_id", "reason", "chain",
)  # fmt: skip


def verdict(url: str, known: Anchor | None = None) -> Verdict:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET ROLE telestream_privacy")
        return verify(connection, known)


@contextmanager
def without_triggers(superuser: psycopg.Connection) -> Iterator[None]:
    """Do what a superuser can do: switch the triggers off."""
    superuser.execute("SET session_replication_role = replica")
    try:
        yield
    finally:
        superuser.execute("SET session_replication_role = origin")


def partitions(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit.access_log'::regclass"
    ).fetchall()
    return sorted(name for (name,) in rows)


@pytest.mark.parametrize("verb", ["UPDATE {} SET position = 9", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("owner", ["telestream_owner", "postgres"])
def test_the_owner_and_a_superuser_are_stopped_on_the_log_and_each_partition(
    superuser: psycopg.Connection, verb: str, owner: str
) -> None:
    sealed(superuser, 3)
    if owner == "telestream_owner":
        superuser.execute("SET ROLE telestream_owner")
    filled = superuser.execute("SELECT tableoid::regclass::text FROM audit.access_log LIMIT 1").fetchone()
    assert filled is not None
    # A statement that meets no row changes nothing, so only TRUNCATE is tried on the empty ones.
    tables = ["audit.access_log", filled[0], *(partitions(superuser) if verb.startswith("TRUNCATE") else [])]
    for table in tables:
        with pytest.raises(psycopg.Error) as caught:
            superuser.execute(verb.format(table))
        assert caught.value.sqlstate == "TS030", table
    assert superuser.execute("SELECT count(*) FROM audit.access_log").fetchone() == (3,)


def test_a_row_leaves_the_inbox_only_into_the_log(connection: psycopg.Connection) -> None:
    write(connection, 3)
    connection.execute("SET ROLE telestream_owner")
    for statement in (
        "DELETE FROM audit.access_inbox",
        "DELETE FROM audit.access_inbox WHERE rows_read = 2",
        "UPDATE audit.access_inbox SET principal = 'nobody'",
        "TRUNCATE audit.access_inbox",
    ):
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(statement)
        assert caught.value.sqlstate == "TS030", statement
    assert connection.execute("SELECT audit.seal()").fetchone() == (3,)
    assert connection.execute("SELECT count(*) FROM audit.access_inbox").fetchone() == (0,)


def test_sealing_keeps_every_value_and_the_order(connection: psycopg.Connection, database: str) -> None:
    strange = {"ids": ["", "NULL", None, '{"a"}', "\n"], "operation": "Ünïcödé \t'\"\\", "reason": "weil"}
    write(connection, 2)
    write(connection, 1, **strange)
    connection.execute(
        "INSERT INTO audit.access_inbox (at, principal, role, operation, field, variables_sha256, object_ids, rows_read,"
        " request_id) VALUES ('infinity', '', '', '', '', '', '{}', -1, ''), ('4713-01-01 BC', '', '', '', '', '', '{}', 0, '')"
    )
    columns = sql.SQL(", ").join(
        sql.SQL("{}::text").format(sql.Identifier(name))
        for name in COLUMNS
        if name not in {"position", "logged_at", "chain"}
    )
    before = connection.execute(
        sql.SQL("SELECT {} FROM audit.access_inbox ORDER BY access_id").format(columns)
    ).fetchall()
    assert connection.execute("SELECT audit.seal(2), audit.seal(2), audit.seal(2)").fetchone() == (2, 2, 1)
    assert (
        connection.execute(sql.SQL("SELECT {} FROM audit.access_log ORDER BY position").format(columns)).fetchall()
        == before
    )
    found = verdict(database)
    assert (found.rows, found.waiting, found.broken, found.head.position) == (5, 0, None, 5)


def test_an_empty_log_is_whole(database: str) -> None:
    found = verdict(database)
    assert (found.rows, found.broken, found.head) == (0, None, Anchor(0, GENESIS))


def changed(name: str, value: object, number: int) -> object:
    """Return another value of the column, made of a number."""
    match value:
        case None:
            return f"x{number}"
        case bool() | int():
            return value + ROWS + number  # no position that another row has
        case datetime.datetime():
            return value + datetime.timedelta(microseconds=1 + number)
        case bytes():
            return bytes([value[0] ^ (1 + number % 255)]) + value[1:]
        case list():
            return [*value, str(number)] if number % 2 else value[1:]
        case _:
            assert isinstance(value, str), name
            return value[:-1] if value and number % 2 else value + chr(33 + number % 90)


# The database stays as it was after each example.
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    row=st.integers(1, ROWS),
    column=st.sampled_from(COLUMNS),
    number=st.integers(0, 255),
    kind=st.sampled_from(["change", "change", "change", "null", "delete", "put in", "swap", "move text"]),
)
def test_any_single_change_of_a_sealed_row_is_found(
    superuser: psycopg.Connection, database: str, row: int, column: str, number: int, kind: str
) -> None:
    if superuser.execute("SELECT count(*) FROM audit.access_log").fetchone() == (0,):
        sealed(superuser, ROWS // 2)
        sealed(superuser, ROWS - ROWS // 2, reason="why", ids=["5", "6"])
    name = sql.Identifier(column)
    superuser.execute("CREATE TEMP TABLE IF NOT EXISTS saved AS SELECT * FROM audit.access_log")
    with without_triggers(superuser):
        match kind:
            case "change":
                (value,) = superuser.execute(
                    sql.SQL("SELECT {} FROM audit.access_log WHERE position = %s").format(name), (row,)
                ).fetchone() or (None,)
                superuser.execute(
                    sql.SQL("UPDATE audit.access_log SET {} = %s WHERE position = %s").format(name),
                    (changed(column, value, number), row),
                )
            case "null":
                superuser.execute(
                    "UPDATE audit.access_log SET reason = CASE WHEN reason IS NULL THEN '' END WHERE position = %s",
                    (row,),
                )
            case "delete":
                superuser.execute("DELETE FROM audit.access_log WHERE position = %s", (row,))
            case "put in":
                superuser.execute(
                    "INSERT INTO audit.access_log SELECT position + %s, logged_at + interval '1 us', access_id + 1000,"
                    " at, principal, role, operation, field, variables_sha256, object_ids, rows_read, request_id, reason,"
                    " chain FROM audit.access_log WHERE position = %s",
                    (number % 3 - 1, row),
                )
            case "swap":
                other = row % ROWS + 1
                superuser.execute(
                    "UPDATE audit.access_log AS l SET rows_read = o.rows_read, access_id = o.access_id"
                    " FROM saved AS o WHERE l.position IN (%s, %s) AND o.position IN (%s, %s)"
                    " AND o.position <> l.position",
                    (row, other, row, other),
                )
            case "move text":  # the same letters, cut at another place
                superuser.execute(
                    "UPDATE audit.access_log SET principal = principal || left(role, 1), role = substr(role, 2)"
                    " WHERE position = %s",
                    (row,),
                )
    try:
        found = verdict(database)
        assert found.broken is not None, (row, column, number, kind)
        places = [int(text) for text in re.findall(r"position (\d+)", found.broken)]
        assert places, found.broken
        if kind in {"null", "move text"} or (kind == "change" and column not in {"position", "chain"}):
            assert places == [row]
    finally:
        with without_triggers(superuser):
            superuser.execute("DELETE FROM audit.access_log")
            superuser.execute("INSERT INTO audit.access_log SELECT * FROM saved")
    assert verdict(database).broken is None


def test_an_end_noted_elsewhere_shows_a_chain_made_anew_and_one_cut_off(
    superuser: psycopg.Connection, database: str
) -> None:
    sealed(superuser, 5)
    noted = verdict(database).head
    sealed(superuser, 5)
    assert verdict(database, noted).broken is None
    with without_triggers(superuser):  # all of it, and said to be the end
        superuser.execute("DELETE FROM audit.access_log WHERE position > 3")
        superuser.execute(
            "UPDATE audit.chain_head AS h SET position = l.position, chain = l.chain FROM audit.access_log AS l"
            " WHERE l.position = 3"
        )
    assert verdict(database).broken is None
    assert "you noted a later end" in str(verdict(database, noted).broken)
    sealed(superuser, 5)
    assert verdict(database).broken is None
    assert "made anew" in str(verdict(database, noted).broken)


def test_the_command_names_the_first_broken_place(superuser: psycopg.Connection, database: str) -> None:
    sealed(superuser, 20)
    write(superuser, 4)
    whole = telestream("audit", "verify")
    assert whole.returncode == 0, whole.stderr
    assert re.search(r"rows verified +│ 20 ", whole.stdout)
    assert re.search(r"waiting to be chained +│ 4 ", whole.stdout)
    noted = re.search(r"20:[0-9a-f]{64}", whole.stdout)
    assert noted
    assert "4 rows chained" in telestream("audit", "seal").stdout
    assert telestream("audit", "verify", "--head", noted[0]).returncode == 0
    with without_triggers(superuser):
        superuser.execute("UPDATE audit.access_log SET principal = 'key:2' WHERE position IN (7, 9)")
    broken = telestream("audit", "verify")
    assert_clear_error(broken, "tampered", "position 7 ", "rows verified")
    assert re.search(r"rows verified +│ 6 ", broken.stdout)
    assert_clear_error(telestream("audit", "verify", "--head", "7:zz"), "cannot be read")


def test_memory_stays_flat(superuser: psycopg.Connection, database: str) -> None:
    def peak(rows: int) -> int:
        write(superuser, rows)
        while superuser.execute("SELECT audit.seal()").fetchone() != (0,):
            pass
        tracemalloc.start()
        assert verdict(database).broken is None
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    few = peak(6_000)
    assert peak(24_000) < few * 1.3


def test_an_open_transaction_holds_up_nobody(connection: psycopg.Connection, database: str) -> None:
    with psycopg.connect(database) as slow, psycopg.connect(database) as sealing:
        write(slow, 1, request="slow")
        write(connection, 2, request="quick")
        # Somebody who chains and does not end: others leave their rows to the next call.
        assert sealing.execute("SELECT audit.seal()").fetchone() == (2,)
        write(connection, 1, request="later")
        connection.execute("SET lock_timeout = '1s'")
        assert connection.execute("SELECT audit.seal()").fetchone() == (0,)
        sealing.commit()
        assert connection.execute("SELECT audit.seal()").fetchone() == (1,)
        slow.commit()
        assert connection.execute("SELECT audit.seal()").fetchone() == (1,)
    found = connection.execute("SELECT request_id FROM audit.access_log ORDER BY position").fetchall()
    assert [name for (name,) in found] == ["quick", "quick", "later", "slow"]
    assert verdict(database).broken is None


WRITER = """
import os, sys
import psycopg
from access_log import write
name = sys.argv[1]
with psycopg.connect(os.environ["TELESTREAM_DATABASE_URL"], autocommit=True) as connection, open(name, "a") as told:
    connection.execute("SET ROLE telestream_gateway")
    for number in range(100000):
        write(connection, 5, request=f"{name}:{number}")
        told.write(f"{number}\\n")
        told.flush()
        connection.execute("SELECT audit.seal()")
"""


def test_writers_that_are_killed_leave_a_whole_chain_and_lose_nothing(
    connection: psycopg.Connection, database: str, tmp_path: Path
) -> None:
    tests = str(Path(__file__).resolve().parents[1])
    started: list[tuple[Path, subprocess.Popen[bytes]]] = []
    for round_ in range(3):
        for number in range(3):
            path = tmp_path / f"{round_}-{number}"
            path.touch()
            command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {tests!r})\n{WRITER}", str(path)]
            started.append((path, subprocess.Popen(command)))
        for path, process in started[-3:]:
            assert kill_when(process, lambda path=path: path.read_text().count("\n") > 15)
    connection.execute("SELECT audit.seal()")
    # A backend may live a little longer than its client.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if connection.execute("SELECT count(*) FROM audit.access_inbox").fetchone() == (0,):
            break
        connection.execute("SELECT audit.seal()")
        time.sleep(0.1)
    found = verdict(database)
    assert found.broken is None
    assert found.waiting == 0
    logged = dict(
        connection.execute("SELECT request_id, count(*) FROM audit.access_log GROUP BY request_id").fetchall()
    )
    assert set(logged.values()) == {5}
    told = {f"{path}:{line}" for path, _ in started for line in path.read_text().split()}
    assert len(told) > 100
    assert told <= logged.keys()


def test_threads_that_chain_at_once_make_one_chain(database: str) -> None:
    def work() -> None:
        with psycopg.connect(database, autocommit=True) as own:
            for _ in range(20):
                sealed(own, 3)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with psycopg.connect(database, autocommit=True) as own:
        own.execute("SELECT audit.seal()")
    found = verdict(database)
    assert (found.rows, found.waiting, found.broken) == (240, 0, None)


def test_retention_drops_whole_months_and_leaves_an_anchor(superuser: psycopg.Connection, database: str) -> None:
    for months, rows in ((30, 7), (29, 5), (27, 0), (3, 4)):
        sealed_in_the_past(superuser, months, rows)
    before = verdict(database)
    assert (before.rows, before.broken) == (16, None)
    noted = Anchor(
        *superuser.execute("SELECT position, chain FROM audit.access_log WHERE position = 9").fetchone() or (0, b"")
    )
    kept = superuser.execute("SELECT DISTINCT tableoid::regclass::text FROM audit.access_log WHERE position > 12")
    (name,) = kept.fetchone() or ("",)
    superuser.execute("SELECT * FROM ops.maintain()")
    dropped = superuser.execute("SELECT position, rows_dropped, partition_name FROM audit.anchor ORDER BY 1").fetchall()
    assert [(position, rows) for position, rows, _ in dropped] == [(7, 7), (12, 5)]
    left = partitions(superuser)
    assert name in left
    assert not {partition for _, _, partition in dropped} & set(left)
    after = verdict(database, noted)
    assert (after.rows, after.dropped, after.waiting, after.broken) == (4, 12, 2, None)
    assert after.known_is_dropped
    superuser.execute("SELECT audit.seal()")
    told = superuser.execute(
        "SELECT object_ids[2], rows_read FROM audit.access_log WHERE operation = 'drop partition' ORDER BY position"
    ).fetchall()
    assert told == [("7", 7), ("12", 5)]
    assert verdict(database).broken is None
    # It is put up with once: the same again drops nothing.
    superuser.execute("SELECT * FROM ops.maintain()")
    assert verdict(database).rows == 6
    with without_triggers(superuser):  # what looks like retention, and was none
        superuser.execute("DELETE FROM audit.access_log WHERE position <= 14")
        superuser.execute("INSERT INTO audit.anchor SELECT 14, sha256(''), 'x', 2, now(), now(), now()")
    assert verdict(database).broken is not None


def test_retention_does_not_wait_for_one_who_chains(
    superuser: psycopg.Connection, connection: psycopg.Connection, database: str
) -> None:
    sealed_in_the_past(superuser, 30, 3)
    write(connection, 1)
    with psycopg.connect(database) as sealing:
        sealing.execute("SELECT audit.seal()")
        superuser.execute("SET lock_timeout = '1s'")
        assert superuser.execute("SELECT * FROM audit.maintain()").fetchall() == []
    assert len(superuser.execute("SELECT * FROM audit.maintain()").fetchall()) == 1
    assert verdict(database).broken is None


def test_rows_that_vanish_without_retention_are_missed(superuser: psycopg.Connection, database: str) -> None:
    sealed(superuser, 6)
    (chain,) = superuser.execute("SELECT chain FROM audit.access_log WHERE position = 4").fetchone() or (b"",)
    with without_triggers(superuser):
        superuser.execute("DELETE FROM audit.access_log WHERE position <= 4")
    assert "position 1 to 4 is missing" in str(verdict(database).broken)
    superuser.execute("INSERT INTO audit.anchor VALUES (4, %s, 'x', 4, now(), now(), now())", (chain,))
    assert "no row of the log tells of it" in str(verdict(database).broken)


def test_the_log_is_made_of_months_that_are_there_when_they_are_needed(superuser: psycopg.Connection) -> None:
    month = superuser.execute("SELECT to_char(now() AT TIME ZONE 'UTC', '\"audit.access_log_p\"YYYYMM01')").fetchone()
    assert month is not None
    superuser.execute(f"DROP TABLE {month[0]}")
    sealed(superuser, 2)
    assert superuser.execute("SELECT DISTINCT tableoid::regclass::text FROM audit.access_log").fetchall() == [month]
    with pytest.raises(psycopg.Error):
        superuser.execute(f"TRUNCATE {month[0]}")


def test_what_was_in_the_log_survives_the_way_up_and_down(empty_database: str) -> None:
    columns = "access_id, at, principal, role, operation, field, variables_sha256, object_ids, rows_read, request_id"
    migrate.upgrade(empty_database, "0008")
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("SET ROLE telestream_owner")
        connection.execute(
            "INSERT INTO audit.access_log (at, principal, role, operation, field, variables_sha256, object_ids, rows_read,"
            " request_id) SELECT now() - n * interval '100 days', 'key:' || n, 'api', 'q', 'cdrs', 'ab', ARRAY[n::text],"
            " n, 'r' FROM generate_series(1, 9) AS n"
        )
        before = connection.execute(f"SELECT {columns} FROM audit.access_log ORDER BY access_id").fetchall()
    migrate.upgrade(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        assert connection.execute("SELECT audit.seal(5)").fetchone() == (5,)
        write(connection, 1)
        connection.execute("SELECT audit.seal(4)")
        assert connection.execute("SELECT count(*) FROM audit.access_inbox").fetchone() == (1,)
        kept = connection.execute(f"SELECT {columns} FROM audit.access_log ORDER BY position").fetchall()
        assert kept == before
    assert verdict(empty_database).broken is None
    migrate.downgrade(empty_database, "0008")
    with psycopg.connect(empty_database, autocommit=True) as connection:
        assert connection.execute(f"SELECT {columns} FROM audit.access_log ORDER BY access_id").fetchall()[:9] == before
        connection.execute("SET ROLE telestream_owner")
        added = connection.execute(
            "INSERT INTO audit.access_log (at, principal, role, operation, field, variables_sha256, object_ids, rows_read,"
            " request_id) VALUES (now(), '', '', '', '', '', '{}', 0, '') RETURNING access_id"
        ).fetchone()
        assert added == (11,)
    migrate.upgrade(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        assert connection.execute("SELECT audit.seal()").fetchone() == (11,)
    assert verdict(empty_database).broken is None
