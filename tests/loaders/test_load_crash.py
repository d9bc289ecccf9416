"""A crash anywhere and the same command again give the tables of a run without a crash."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from command import assert_clear_error, kill_when, start, telestream
from truth import assert_truth, generated

from telestream.db import rollups
from telestream.errors import TransientError
from telestream.loaders.pipeline import CdrLoader, Hooks
from telestream.loaders.sources import discover
from telestream.stack import lifecycle
from telestream.stack.state import StackState
from telestream.stack.state import load as load_state

SEGMENT = 1 << 20
_LOAD = """
import sys
from telestream.loaders.pipeline import CdrLoader, Hooks
from telestream.loaders.sources import discover
with CdrLoader(segment_bytes=int(sys.argv[2])) as loader:
    loader.load(discover([sys.argv[1]]))
"""
_ROWS = (
    "SELECT cdr_id, started_at, answered_at, ended_at, source_system, record_type, direction, duration_s, billed_s,"
    " bytes_up, bytes_down, charge_micro, currency, disposition, cause, tac, apn, is_roaming, technology, extras,"
    " (SELECT cell_id FROM silver.dim_network_cell AS c WHERE c.cell_key = f.cell_key) AS cell_id"
    " FROM silver.fact_cdr AS f"
)
# How far the uncommitted batch is when the loader dies is left to chance; how many are committed is not.
KILL_AFTER = (0, 1, 3, 7)


def digest(connection: psycopg.Connection) -> tuple[object, ...]:
    """Return what must not depend on the way the rows came in."""
    rows = connection.execute(f"SELECT md5(string_agg(r::text, E'\\n' ORDER BY r::text)), count(*) FROM ({_ROWS}) AS r")
    refused = connection.execute(
        "SELECT md5(string_agg(concat_ws('|', line, rules, raw), E'\\n' ORDER BY line)), count(*)"
        " FROM quality.quarantine"
    )
    return (*(rows.fetchone() or ()), *(refused.fetchone() or ()))


@pytest.fixture
def day(tmp_path: Path) -> Path:
    return tmp_path / "day.csv"


def test_kill_9_again_and_again_then_the_same_command(day: Path, connection: psycopg.Connection, database: str) -> None:
    truth = generated(day, rows=150_000)

    def committed() -> int:
        row = connection.execute("SELECT count(*) FROM ops.batch WHERE status = 'done'").fetchone()
        return int(row[0]) if row else 0

    killed = 0
    for least in KILL_AFTER:
        killed += kill_when(start(_LOAD, str(day), str(SEGMENT)), lambda least=least: committed() > least)
    assert killed >= 3
    assert committed() > KILL_AFTER[-1]
    assert connection.execute("SELECT DISTINCT status FROM ops.source_file").fetchall() == [("loading",)]
    assert telestream("load", "cdr", day).returncode == 0
    assert_truth(connection, truth)
    assert rollups.check(database) == []
    interrupted = digest(connection)
    # The same in one go, in the same database emptied.
    connection.execute("SET ROLE telestream_owner")
    connection.execute(
        "TRUNCATE silver.fact_cdr, bronze.cdr, quality.quarantine, quality.rule_result, ops.batch, ops.source_file,"
        " ops.kafka_slice, ops.dead_letter, ops.watermark, rollup.pending"
    )
    connection.execute("RESET ROLE")
    with CdrLoader(database, segment_bytes=SEGMENT) as loader:
        loader.load(discover([str(day)]))
    assert digest(connection) == interrupted


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Iterator[StackState]:
    """The embedded server, which may be killed here; left running."""
    if os.environ.get("TELESTREAM_TEST_DATABASE_URL"):
        pytest.skip("the server that was given is not ours to kill")
    yield request.getfixturevalue("stack")
    lifecycle.up()


def test_postgres_killed_in_the_middle(day: Path, database: str, own_server: StackState) -> None:
    truth = generated(day, rows=60_000)
    committed = 0

    class Kill(Hooks):
        def advanced(self, source: object, segment: object, counts: object) -> None:
            nonlocal committed
            committed += 1
            if committed == 3:
                state = load_state()
                assert state is not None
                assert state.postgres_pid is not None
                os.kill(state.postgres_pid, signal.SIGKILL)

    with (
        CdrLoader(database, segment_bytes=SEGMENT, hooks=Kill()) as loader,
        pytest.raises(TransientError) as caught,
    ):
        loader.load(discover([str(day)]))
    assert "run the same command again" in (caught.value.hint or "")
    assert_clear_error(telestream("load", "cdr", day), "the database does not answer", "hint:")
    lifecycle.up()
    result = telestream("load", "cdr", day)
    assert result.returncode == 0, result.stderr
    with psycopg.connect(database, autocommit=True) as connection:
        assert_truth(connection, truth)
    assert rollups.check(database) == []
