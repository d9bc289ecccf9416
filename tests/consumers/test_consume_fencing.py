"""Of two consumers that think a partition theirs, one writes; the other writes nothing, says so and ends."""

from __future__ import annotations

import contextlib
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from streams import (
    Running,
    Stream,
    assert_exactly_once,
    owners,
    rows,
    value,
    wait_for,
    wait_until_read,
)

from telestream.consumers.writer import CONSUMER_ROLE
from telestream.db.connection import Connection, connect, translated
from telestream.errors import TransientError

SESSION_SECONDS = "6"


@pytest.fixture
def stream(kafka_bootstrap: str, redis_url: str, tmp_path: Path) -> Stream:
    return Stream.make(kafka_bootstrap, redis_url, tmp_path)


@pytest.fixture
def group() -> tuple[str, ...]:
    return ("--group", f"test-{uuid.uuid4().hex[:8]}", "--session-timeout", SESSION_SECONDS)


def shared(database: str, stream: Stream, *consumers: Running) -> bool:
    """Tell whether these consumers, and no others, own the partitions."""
    found = owners(database, stream.topic)
    return len(found) == stream.partitions and set(found.values()) == {one.pid for one in consumers}


def wait_until_settled(database: str, stream: Stream, *consumers: Running) -> None:
    """Wait until these consumers share the partitions, and no rebalance has followed for a while."""
    claims, since = None, time.monotonic()

    def settled() -> bool:
        nonlocal claims, since
        now = rows(database, "SELECT partition, epoch FROM ops.kafka_offset WHERE topic = %s ORDER BY 1", stream.topic)
        if now != claims or not shared(database, stream, *consumers):
            claims, since = now, time.monotonic()
        return time.monotonic() - since > 1.5

    wait_for(settled, "they share the partitions", *consumers)


def writers_of(database: str, stream: Stream) -> int:
    """Return how many writers the owners of the partitions have work for; each consumer has two."""
    return len({(pid, partition % 2) for partition, pid in owners(database, stream.topic).items()})


@contextlib.contextmanager
def batches_wait(connection: psycopg.Connection) -> Iterator[None]:
    """Hold batches up after they were polled and decoded, before their transaction begins."""
    with connection.transaction():
        connection.execute("LOCK TABLE silver.dim_network_cell IN ACCESS EXCLUSIVE MODE")
        yield


def waiting(database: str) -> int:
    """Return how many consumers' connections wait there."""
    found: int = value(
        database,
        "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND relation = 'silver.dim_network_cell'::regclass",
    )
    return found


BATCHES = "SELECT count(*), max(batch_id), sum(rows_in) FROM ops.batch"


@pytest.mark.slow
def test_a_consumer_that_hangs_past_its_session_timeout_is_fenced_when_it_wakes_up(
    database: str, connection: psycopg.Connection, stream: Stream, group: tuple[str, ...]
) -> None:
    with stream.consume(*group) as sleeper, stream.consume(*group) as other:
        wait_until_settled(database, stream, sleeper, other)
        # It hangs with a batch in its hands.
        with batches_wait(connection):
            truth = stream.produce(20_000, "--cells", "50")
            wait_for(lambda: waiting(database) == writers_of(database, stream), "all batches wait", sleeper, other)
            sleeper.signal(signal.SIGSTOP)
            assert shared(database, stream, sleeper, other)
        wait_until_read(database, stream, truth.messages, other)
        assert shared(database, stream, other), f"{sleeper.log}\n{other.log}"
        before = rows(database, BATCHES)
        assert_exactly_once(database, stream, truth)
        sleeper.signal(signal.SIGCONT)
        sleeper.ends(75, "belongs to another consumer", f"/{other.pid}/", "Nothing of this batch was written", "hint:")
        assert rows(database, BATCHES) == before
        assert shared(database, stream, other)
        other.terminate()
    assert_exactly_once(database, stream, truth)


def test_who_takes_partitions_over_fences_the_one_that_had_them(
    database: str, connection: psycopg.Connection, stream: Stream
) -> None:
    with stream.consume() as first, contextlib.ExitStack() as held:
        wait_for(lambda: shared(database, stream, first), "the first has them all", first)
        held.enter_context(batches_wait(connection))
        truth = stream.produce(5_000, "--cells", "50")
        wait_for(lambda: waiting(database) >= 1, "a batch waits", first)
        with stream.consume("--partitions", "0-2") as second:
            wait_for(
                lambda: set(owners(database, stream.topic).values()) == {first.pid, second.pid}, "it has some", second
            )
            held.close()
            first.ends(75, "belongs to another consumer", f"/{second.pid}/no group", "hint:")
            wait_for(lambda: value(database, "SELECT count(*) FROM ops.batch") > 0, "it writes", second)
            second.terminate()
    # Of the partition that nobody took from it a batch may have been written whole, or not at all.
    stream.drain()
    assert_exactly_once(database, stream, truth)


@pytest.mark.slow
def test_a_consumer_that_hangs_within_its_transaction_holds_the_others_up_for_half_a_minute(
    database: str, connection: psycopg.Connection, stream: Stream
) -> None:
    with stream.consume() as sleeper:
        wait_for(lambda: shared(database, stream, sleeper), "it has them all", sleeper)
        with connection.transaction():
            # The refine, near the end of the transaction, waits here; what it has done so far must go.
            connection.execute("LOCK TABLE ops.watermark IN ACCESS EXCLUSIVE MODE")
            truth = stream.produce(5_000, "--cells", "50")
            stopped = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ops.watermark'::regclass"
            wait_for(lambda: value(database, stopped) > 0, "a refine waits", sleeper)
            sleeper.signal(signal.SIGSTOP)
        with stream.consume() as second:
            wait_until_read(database, stream, truth.messages, second)
            assert shared(database, stream, second)
            before = rows(database, BATCHES)
            sleeper.signal(signal.SIGCONT)
            sleeper.ends(75, "belongs to another consumer", f"/{second.pid}/no group")
            assert rows(database, BATCHES) == before
            second.terminate()
    assert_exactly_once(database, stream, truth)


@pytest.mark.slow
def test_members_of_a_group_come_and_go_while_events_arrive(
    database: str, stream: Stream, group: tuple[str, ...]
) -> None:
    small = ("--batch-rows", "500")
    with (
        stream.producing(40_000, "--cells", "50", "--rate", "4000", "--duplicates", "0.02") as producer,
        stream.consume(*group, *small) as first,
    ):
        wait_for(lambda: shared(database, stream, first), "the first has them all", first)
        with stream.consume(*group, *small) as second:
            wait_for(lambda: shared(database, stream, first, second), "they share the partitions", first, second)
            first.terminate()
            wait_for(lambda: shared(database, stream, second), "the second has them all", second)
            producer.ends(0)
            truth = stream.truth()
            wait_until_read(database, stream, truth.messages, second)
            second.terminate()
    assert_exactly_once(database, stream, truth)


def outstay(database: str, connection: Connection) -> None:
    with translated(database), connection.transaction():
        connection.execute("SELECT 1")
        time.sleep(0.5)
        connection.execute("SELECT pg_sleep(1)")


@pytest.mark.parametrize("setting", ["transaction_timeout", "idle_in_transaction_session_timeout"])
def test_a_transaction_that_the_server_ended_may_be_tried_again(database: str, setting: str) -> None:
    with connect(database, role=CONSUMER_ROLE, autocommit=True) as opened:
        opened.execute(f"SET {setting} = '50ms'")
        with pytest.raises(TransientError, match="the database ended a transaction"):
            outstay(database, opened)
        assert opened.closed
