"""The stack comes up, stays up, and comes back after every kind of crash."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import time
from pathlib import Path

import psycopg
import pytest
import redis
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from stack_cli import Cli

from telestream.stack.process import processes_in
from telestream.topics import TOPICS, create_topics


def test_up_twice_leaves_the_servers_alone(cli: Cli) -> None:
    before = cli.state
    assert "already running" in cli("up").stderr
    assert cli.state == before


def test_status_shows_what_runs(cli: Cli) -> None:
    shown = cli("status").stdout
    state = cli.state
    for expected in (
        "PostgreSQL 17",
        "TimescaleDB 2",
        "Valkey",
        str(state["postgres_pid"]),
        str(state["redis_pid"]),
        f"127.0.0.1:{state['database_port']}",
        f"127.0.0.1:{state['redis_port']}",
        "Tansu",
        str(state["broker_pid"]),
        f"127.0.0.1:{state['broker_port']}",
    ):
        assert expected in shown
    assert "stopped" not in shown


def test_psql_takes_commands_input_and_a_role(cli: Cli) -> None:
    assert cli.query("SELECT current_user, current_database()") == "telestream_admin|telestream"
    assert cli("psql", "-X", "-At", text="SELECT 6 * 7").stdout == "42\n"
    cli.query('DROP ROLE IF EXISTS "odd name"')
    cli.query('CREATE ROLE "odd name"')
    assert cli.query("SELECT current_user", "--role", "odd name") == "odd name"
    cli.query('DROP ROLE "odd name"')


def test_psql_reads_files_and_passes_the_exit_code_on(cli: Cli, tmp_path: Path) -> None:
    script = tmp_path / "two words.sql"
    script.write_text("SELECT 'from a file'")
    assert cli("psql", "-X", "-At", "-f", str(script)).stdout == "from a file\n"
    cli("psql", "-X", "-c", "SELECT no_such_column", code=1)


def test_admin_is_no_superuser_but_may_create_roles(cli: Cli) -> None:
    flags = "SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user"
    assert cli.query(flags) == "f|t"


def test_other_users_and_wrong_passwords_stay_out(cli: Cli) -> None:
    state = cli.state
    for path in (cli.folder / "stack", cli.folder / "stack" / "postgres"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for name in ("state.json", "pgpass"):
        assert stat.S_IMODE((cli.folder / "stack" / name).stat().st_mode) == 0o600
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host="127.0.0.1",
            port=state["database_port"],
            user="postgres",
            password="wrong",
            dbname="postgres",
        )
    with redis.Redis(port=state["redis_port"]) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_server_log_holds_no_row_of_a_failed_statement(cli: Cli) -> None:
    number = "+447700900123"
    done = cli("psql", "-X", "-c", f"SELECT '{number}'::int8 / 0", code=1)
    assert "division by zero" in done.stderr
    log = cli("logs", "database").stdout
    assert "division by zero" in log
    assert number not in log


def test_parallel_queries_have_shared_memory(cli: Cli) -> None:
    sql = (
        "SET debug_parallel_query = on; SET parallel_setup_cost = 0; SET min_parallel_table_scan_size = 0;"
        "SELECT count(*) FROM pg_class a JOIN pg_attribute b ON b.attrelid = a.oid"
    )
    assert int(cli.query(sql, "-q")) > 1000


def test_kill_9_of_the_database_loses_nothing_that_was_committed(cli: Cli) -> None:
    cli.query("CREATE TABLE kept (id int)")
    before = cli.state
    with psycopg.connect(
        host="127.0.0.1",
        port=before["database_port"],
        user="telestream_admin",
        password=before["admin_password"],
        dbname="telestream",
        autocommit=True,
    ) as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
        os.kill(before["postgres_pid"], signal.SIGKILL)
    assert (cli.data / "postmaster.pid").exists()
    cli("up")
    after = cli.state
    assert after["postgres_pid"] != before["postgres_pid"]
    assert after["database_port"] == before["database_port"]
    assert after["redis_pid"] == before["redis_pid"]
    assert cli.query("SELECT id FROM kept") == "1"
    cli.query("DROP TABLE kept")


def test_kill_9_while_a_backend_is_stopped_still_comes_back(cli: Cli) -> None:
    """A backend that cannot notice the death of its server would hold the shared memory for ever."""
    state = cli.state
    others = [pid for pid in processes_in(cli.data, "postgres") if pid != state["postgres_pid"]]
    os.kill(others[0], signal.SIGSTOP)
    os.kill(state["postgres_pid"], signal.SIGKILL)
    cli("up")
    assert cli.query("SELECT 1") == "1"
    assert others[0] not in processes_in(cli.data, "postgres")


def test_pid_file_that_names_another_process_is_seen_through(cli: Cli) -> None:
    """As after a reboot: the process id of the server now belongs to something else, here to us."""
    cli("down")
    (cli.data / "postmaster.pid").write_text(f"{os.getpid()}\n/srv/postgres/data\n")
    cli("status", code=3)
    cli("up")
    assert cli.query("SELECT 1") == "1"


def test_kill_9_of_the_cache_is_mended(cli: Cli) -> None:
    before = cli.state
    os.kill(before["redis_pid"], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while processes_in(cli.folder / "stack" / "redis", "valkey-server") and time.monotonic() < deadline:
        time.sleep(0.02)
    cli("status", code=3)
    cli("up")
    after = cli.state
    assert after["postgres_pid"] == before["postgres_pid"]
    with redis.Redis(port=after["redis_port"], password=after["redis_password"]) as client:
        assert client.ping()
        assert client.config_get("maxmemory") == {"maxmemory": str(256 << 20)}


def test_the_broker_takes_messages_and_has_the_topics(cli: Cli) -> None:
    options = {"bootstrap_servers": f"127.0.0.1:{cli.state['broker_port']}"}
    with contextlib.closing(KafkaProducer(**options)) as producer:
        sent = producer.send("dead-letters", b"one").get(timeout=60)
    assert sent.offset == 0
    with contextlib.closing(KafkaAdminClient(**options)) as admin:
        described = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}
    assert {spec.name: spec.partitions for spec in TOPICS}.items() <= described.items()
    assert not any(state.created for state in create_topics(options))


def test_a_broker_that_was_killed_is_a_new_cluster_with_the_topics(cli: Cli) -> None:
    before = cli.state
    os.kill(before["broker_pid"], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while processes_in(cli.folder / "stack" / "broker", "tansu") and time.monotonic() < deadline:
        time.sleep(0.02)
    cli("status", code=3)
    cli("up")
    after = cli.state
    assert after["postgres_pid"] == before["postgres_pid"]
    assert after["broker_port"] == before["broker_port"]
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{after['broker_port']}")) as admin:
        assert admin.describe_cluster()["cluster_id"] == after["broker_cluster_id"] != before["broker_cluster_id"]
        assert {spec.name for spec in TOPICS} <= {topic["name"] for topic in admin.describe_topics()}


def test_up_that_was_killed_half_way_is_finished(cli: Cli) -> None:
    cli.query("SELECT 1")
    state_file = cli.folder / "stack" / "state.json"
    state_file.write_text(json.dumps({**cli.state, "postgres_pid": None, "admin_password": "changed"}))
    cli("up")
    assert cli.query("SELECT 1") == "1"


def test_lost_state_file_costs_no_data(cli: Cli) -> None:
    cli.query("CREATE TABLE kept (id int)")
    (cli.folder / "stack" / "state.json").unlink()
    cli("up")
    assert cli.query("SELECT count(*) FROM kept") == "0"
    cli.query("DROP TABLE kept")


def test_unreadable_state_file_is_named(cli: Cli) -> None:
    cli("down")
    state_file = cli.folder / "stack" / "state.json"
    good = state_file.read_text()
    state_file.write_text("{")
    shown = cli("up", code=1).stderr
    assert "state of the embedded stack cannot be read" in shown
    assert "state.json" in shown
    state_file.write_text(good)


def test_ports_that_were_taken_meanwhile_are_replaced(cli: Cli) -> None:
    before = cli.state
    cli("down")
    with socket.socket() as database, socket.socket() as cache:
        for taken, port in ((database, before["database_port"]), (cache, before["redis_port"])):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
        cli("up")
    after = cli.state
    assert after["database_port"] != before["database_port"]
    assert after["redis_port"] != before["redis_port"]
    assert cli.query("SELECT 1") == "1"
    cli("down")
    cli("up")
    assert cli.state["database_port"] == after["database_port"]


def test_down_leaves_no_process(cli: Cli) -> None:
    cli("down")
    assert processes_in(cli.data, "postgres") == []
    assert processes_in(cli.folder / "stack" / "redis", "valkey-server") == []
    assert processes_in(cli.folder / "stack" / "broker", "tansu") == []
    assert "was not running" in cli("down").stderr
    assert cli("status", code=3).stdout.count("stopped") == 3
    assert "telestream stack up" in cli("psql", "-c", "SELECT 1", code=1).stderr


def test_logs_of_both_servers(cli: Cli) -> None:
    both = cli("logs").stdout
    assert "ready to accept connections" in both
    assert "Valkey" in cli("logs", "cache").stdout


def test_vault_key_is_private_and_stays(cli: Cli) -> None:
    path = cli.folder / "vault.key"
    key = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(bytes.fromhex(key.strip())) == 32
    cli("down")
    cli("up")
    assert path.read_text() == key


def test_destroy_asks_first_and_keeps_the_vault_key(cli: Cli) -> None:
    assert "nothing was removed" in cli("destroy", code=2).stderr
    assert cli.query("SELECT 1") == "1"
    cli("destroy", "--yes")
    assert not (cli.folder / "stack").exists()
    assert (cli.folder / "vault.key").exists()
    assert cli("status", code=3).stdout.count("stopped") == 3
    cli("destroy", "--yes")
