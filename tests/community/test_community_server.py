"""The community test server behaves as the PostgreSQL our code expects."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors as pg

pytestmark = pytest.mark.community


@pytest.fixture
def connection(community_url: str):
    with psycopg.connect(community_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA probe")
        yield connection
        connection.execute("DROP SCHEMA IF EXISTS probe CASCADE")


def one(connection: psycopg.Connection, query: str, parameters: tuple | None = None):
    return connection.execute(query, parameters).fetchone()[0]


def superuser(url: str) -> str:
    return psycopg.conninfo.make_conninfo(url, user="postgres")


def test_is_the_community_edition_with_our_extensions(connection):
    assert one(connection, "SHOW timescaledb.license") == "timescale"
    found = {row[0] for row in connection.execute("SELECT extname FROM pg_extension")}
    assert {"timescaledb", "vector", "pg_partman", "pgcrypto", "cube", "earthdistance"} <= found


def test_login_role_owns_the_database_and_is_no_superuser(connection):
    assert connection.execute("SELECT session_user, current_database()").fetchone() == (
        "telestream_admin", "telestream",
    )  # fmt: skip
    with pytest.raises(pg.InsufficientPrivilege):
        connection.execute("SELECT * FROM pg_authid")


def test_continuous_aggregate_shows_a_late_row_after_its_refresh(connection):
    connection.execute("CREATE TABLE probe.fact (at timestamptz NOT NULL, n int)")
    connection.execute("SELECT create_hypertable('probe.fact', by_range('at', INTERVAL '1 day'))")
    connection.execute(
        "CREATE MATERIALIZED VIEW probe.rollup"
        " WITH (timescaledb.continuous, timescaledb.materialized_only = false)"
        " AS SELECT time_bucket('5 minutes', at) AS bucket, sum(n)::bigint AS n FROM probe.fact GROUP BY 1"
        " WITH NO DATA"
    )
    connection.execute("INSERT INTO probe.fact VALUES ('2026-03-01 10:01+00', 1), ('2026-03-01 10:11+00', 5)")
    refresh = "CALL refresh_continuous_aggregate('probe.rollup', '2026-03-01 10:00+00', '2026-03-01 10:05+00')"
    connection.execute(refresh)
    connection.execute("INSERT INTO probe.fact VALUES ('2026-03-01 10:02+00', 2)")
    rows = "SELECT n FROM probe.rollup ORDER BY bucket"
    assert connection.execute(rows).fetchall() == [(1,), (5,)]
    connection.execute(refresh)
    assert connection.execute(rows).fetchall() == [(3,), (5,)]


@pytest.mark.parametrize("fmt", ["", "(FORMAT BINARY)"])
def test_copy_in_and_out(connection, fmt: str):
    connection.execute("CREATE TABLE probe.t (a int, b text)")
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY probe.t FROM STDIN {fmt}") as copy:
            copy.set_types(["int4", "text"])
            for number in range(20_000):
                copy.write_row((number, "x" * 100))
        assert cursor.rowcount == 20_000
        with cursor.copy("COPY probe.t TO STDOUT") as copy:
            assert sum(bytes(block).count(b"\n") for block in copy) == 20_000


def test_copy_that_fails_leaves_the_session_usable(connection):
    connection.execute("CREATE TABLE probe.t (a int)")
    with (
        pytest.raises(pg.InvalidTextRepresentation, match="invalid input syntax"),
        connection.cursor() as cursor,
        cursor.copy("COPY probe.t FROM STDIN") as copy,
    ):
        copy.write("1\nbad\n")
    assert one(connection, "SELECT count(*) FROM probe.t") == 0


def test_copy_into_nothing_is_an_error_after_much_data(connection):
    with (
        pytest.raises(pg.UndefinedTable),
        connection.cursor() as cursor,
        cursor.copy("COPY probe.missing FROM STDIN") as copy,
    ):
        copy.write("x" * 2_000_000 + "\n")
    assert one(connection, "SELECT 1") == 1


def test_pipelines_and_prepared_statements_work(connection):
    connection.execute("CREATE TABLE probe.t (a int)")
    connection.prepare_threshold = 0
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO probe.t VALUES (%s)", [(number,) for number in range(500)])
    assert one(connection, "SELECT count(*) FROM probe.t") == 500


def test_statements_after_an_error_in_a_pipeline_are_not_run(connection):
    connection.execute("CREATE TABLE probe.t (a int)")

    def run() -> None:
        with connection.pipeline(), connection.transaction():
            connection.execute("INSERT INTO probe.t VALUES (1)")
            connection.execute("SELECT 1 / 0")
            connection.execute("INSERT INTO probe.t VALUES (2)")

    with pytest.raises(pg.DivisionByZero):
        run()
    assert one(connection, "SELECT count(*) FROM probe.t") == 0


def test_message_larger_than_a_network_packet(connection):
    assert one(connection, "SELECT length(%s::text)", ("x" * 3_000_000,)) == 3_000_000


def test_a_new_connection_inherits_nothing_from_the_last(community_url):
    with psycopg.connect(community_url, autocommit=True) as first:
        first.execute("SET search_path = pg_catalog")
        first.execute("CREATE TEMP TABLE left_over (a int)")
        first.execute("SELECT pg_advisory_lock(1)")
        first.execute("BEGIN")
    with psycopg.connect(community_url, autocommit=True) as second:
        assert one(second, "SHOW search_path") == '"$user", public'
        assert one(second, "SELECT to_regclass('left_over') IS NULL") is True
        assert one(second, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_unknown_role_is_refused(community_url):
    with pytest.raises(psycopg.OperationalError, match="cannot log in"):
        psycopg.connect(psycopg.conninfo.make_conninfo(community_url, user="nobody"))


def test_second_connection_is_told_who_holds_the_first(community_url):
    with (
        psycopg.connect(community_url, application_name="holder"),
        pytest.raises(psycopg.OperationalError, match="one connection and holder holds it"),
    ):
        psycopg.connect(community_url)


def test_partman_makes_aligned_partitions(connection):
    connection.execute("CREATE TABLE probe.b (id int8 NOT NULL) PARTITION BY RANGE (id)")
    connection.execute("SELECT partman.create_parent('probe.b', 'id', '100', p_premake := 1, p_default_table := false)")
    connection.execute("SELECT partman.create_partition_id('probe.b', ARRAY[700]::bigint[])")
    connection.execute("INSERT INTO probe.b VALUES (799)")
    with pytest.raises(pg.CheckViolation):
        connection.execute("INSERT INTO probe.b VALUES (800)")
    connection.execute("DROP TABLE probe.b, partman.template_probe_b")
    connection.execute("DELETE FROM partman.part_config WHERE parent_table = 'probe.b'")


def test_crypto_stand_in(connection):
    # RFC 4231, test case 2.
    query = "SELECT encode(hmac(%s::bytea, %s::bytea, 'sha256'), 'hex')"
    assert (
        one(connection, query, (b"what do ya want for nothing?", b"Jefe"))
        == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    # RFC 4231, test case 6: a key longer than a block.
    assert (
        one(connection, query, (b"Test Using Larger Than Block-Size Key - Hash Key First", b"\xaa" * 131))
        == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    )
    for text in ("", "+447700900123", "x" * 100):
        plain, key, iv = text.encode(), b"k" * 32, b"i" * 16
        hidden = one(connection, "SELECT encrypt_iv(%s, %s, %s, 'aes-cbc')", (plain, key, iv))
        assert text == "" or hidden != plain
        assert one(connection, "SELECT decrypt_iv(%s, %s, %s, 'aes-cbc')", (hidden, key, iv)) == plain
    assert len(one(connection, "SELECT gen_random_bytes(40)")) == 40


def test_a_fresh_database_is_empty_and_keeps_the_community_functions(fresh_community_url):
    with psycopg.connect(fresh_community_url, autocommit=True) as connection:
        assert one(connection, "SELECT count(*) FROM timescaledb_information.hypertables") == 0
        connection.execute("CREATE TABLE public.f (at timestamptz NOT NULL)")
    with psycopg.connect(superuser(fresh_community_url)) as connection:
        assert one(connection, "SELECT to_regclass('public.f') IS NOT NULL") is True
