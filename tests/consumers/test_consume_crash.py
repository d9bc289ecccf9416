"""Whatever dies while network events are read, in the end each is in Silver once and Gold equals Silver."""

from __future__ import annotations

import io
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import fastavro
import psycopg
import pytest
from streams import (
    OwnBroker,
    Record,
    Running,
    Stream,
    assert_exactly_once,
    offsets,
    owners,
    read_topic,
    rows,
    value,
    wait_for,
    wait_until_read,
)

from telestream.consumers.generate import cell_ids
from telestream.consumers.registry import packaged_schema
from telestream.stack import lifecycle
from telestream.stack.state import load as load_state
from telestream.topics import ALERTS

# kafka-python leaves the sockets of failed attempts to the garbage collector.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]

EVENTS = 300_000
KILLS = 20
CUT_SECONDS = 20.0
DEFECTS = ("--duplicates", "0.02", "--late", "0.01", "--bad", "0.01")


@pytest.fixture
def broker() -> Iterator[OwnBroker]:
    made = OwnBroker()
    yield made
    made.close()


@pytest.fixture
def stream(broker: OwnBroker, redis_url: str, tmp_path: Path) -> Stream:
    return Stream.make(broker.bootstrap, redis_url, tmp_path, partitions=8)


@pytest.fixture
def chance() -> random.Random:
    """Chance that can be repeated: TELESTREAM_TEST_SEED takes the number that a failed test printed."""
    seed = int(os.environ.get("TELESTREAM_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"TELESTREAM_TEST_SEED={seed}")
    return random.Random(seed)


class Keeper:
    """Keeps a consumer of some partitions running, as a supervisor does, and kills it at random moments."""

    def __init__(self, url: str, stream: Stream, partitions: range, chance: random.Random) -> None:
        self._url = url
        self._stream = stream
        self._partitions = partitions
        self._chance = random.Random(chance.random())
        self.killed = 0
        self.consumer = self._start()

    def _start(self) -> Running:
        # Small batches, so that there is always one in flight.
        chosen = ("--partitions", f"{self._partitions[0]}-{self._partitions[-1]}")
        return self._stream.consume(*chosen, "--batch-rows", "5000", "--linger-ms", "50", "--writers", "1")

    def has_claimed(self) -> bool:
        found = owners(self._url, self._stream.topic)
        return all(found.get(number) == self.consumer.pid for number in self._partitions)

    def read(self) -> int:
        found = offsets(self._url, self._stream.topic)
        return sum(found.get(number, 0) for number in self._partitions)

    def goes_on(self) -> None:
        """Wait until the consumer, the same process, has taken in more than now."""
        before = self.read()
        wait_for(lambda: self.read() > before, "it goes on", self.consumer)

    def kill_and_restart(self, times: int) -> None:
        for _ in range(times):
            wait_for(self.has_claimed, "it has claimed its partitions", self.consumer)
            time.sleep(self._chance.uniform(0, 0.8))
            self.consumer.kill()
            self.killed += 1
            self.consumer = self._start()


def test_20_kills_a_restart_of_the_database_and_20_seconds_without_a_broker(
    database: str, own_server: None, broker: OwnBroker, stream: Stream, chance: random.Random
) -> None:
    producer = stream.producing(EVENTS, "--cells", "100", "--rate", "9000", *DEFECTS)
    keepers = [Keeper(database, stream, part, chance) for part in (range(4), range(4, 8))]

    def consumers() -> list[Running]:
        return [keeper.consumer for keeper in keepers]

    def kill_each(times: int) -> None:
        wait_until_read(database, stream, 1, *consumers())
        together(*(partial(keeper.kill_and_restart, times) for keeper in keepers))
        for keeper in keepers:
            wait_for(keeper.has_claimed, "it has claimed its partitions", keeper.consumer)

    try:
        kill_each(KILLS // 4)
        restart_postgres(chance)
        for keeper in keepers:
            keeper.goes_on()
        kill_each(KILLS // 4)
        broker.proxy.cut()
        time.sleep(CUT_SECONDS)
        broker.proxy.mend()
        for keeper in keepers:
            keeper.goes_on()
        producer.ends(0)
        truth = stream.truth()
        wait_until_read(database, stream, truth.messages, *consumers())
        for consumer in consumers():
            consumer.terminate()
    finally:
        for one in (producer, *consumers()):
            one.end()
    assert sum(keeper.killed for keeper in keepers) == KILLS
    # Each of them had claimed its partitions …
    assert value(database, "SELECT min(epoch) FROM ops.kafka_offset") > KILLS // 2
    # … and some were in the midst of work: batches were begun that never came to be.
    begun = value(database, "SELECT last_value FROM pg_sequences WHERE sequencename = 'batch_batch_id_seq'")
    assert value(database, "SELECT count(*) FROM ops.batch") < begun
    assert_exactly_once(database, stream, truth)


def restart_postgres(chance: random.Random) -> None:
    """Kill the server and start it again a moment later."""
    state = load_state()
    assert state is not None
    assert state.postgres_pid is not None
    os.kill(state.postgres_pid, signal.SIGKILL)
    time.sleep(chance.uniform(0, 1))
    lifecycle.up()


def together(*tasks: Callable[[], None]) -> None:
    """Run tasks side by side; a failure of one is raised."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        for future in [pool.submit(task) for task in tasks]:
            future.result()


def test_an_alert_whose_acknowledgement_was_lost_comes_again_under_its_id(
    database: str, connection: psycopg.Connection, stream: Stream
) -> None:
    # Marking an alert as published waits for a lock, so that the consumer can be killed between Kafka and the mark.
    connection.execute(
        "CREATE FUNCTION public.wait_for_test() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$"
    )
    connection.execute("GRANT EXECUTE ON FUNCTION public.wait_for_test() TO PUBLIC")
    connection.execute("SET ROLE telestream_owner")
    connection.execute(
        "CREATE TRIGGER slow BEFORE UPDATE ON ops.outbox FOR EACH ROW EXECUTE FUNCTION public.wait_for_test()"
    )
    connection.execute("SELECT pg_advisory_lock(4711)")
    outage = ("--cells", "20", "--seconds", "7200", "--outage", "3", "--rate", "6000")
    with stream.producing(40_000, *outage) as producer:
        with stream.consume() as consumer:
            wait_for(lambda: read_topic(stream.bootstrap, ALERTS), "an alert is in the topic", consumer)
            consumer.kill()
        producer.ends(0)
    assert value(database, "SELECT count(published_at) FROM ops.outbox") == 0
    first = [alert_id(record) for record in read_topic(stream.bootstrap, ALERTS)]
    connection.execute("SELECT pg_advisory_unlock(4711)")
    connection.execute("DROP TRIGGER slow ON ops.outbox")
    stream.drain()
    assert value(database, "SELECT count(*) FROM ops.outbox WHERE published_at IS NULL") == 0

    sent = Counter(alert_id(record) for record in read_topic(stream.bootstrap, ALERTS))
    assert first
    assert all(sent[one] >= 2 for one in first)
    assert set(sent) == {str(one) for (one,) in rows(database, "SELECT alert_id FROM ops.outbox")}
    cell = cell_ids(20, 1)[3]
    assert rows(
        database, "SELECT payload ->> 'status' FROM ops.outbox WHERE payload ->> 'cell_id' = %s AND payload ->> 'kpi' = 'events'"
        " ORDER BY outbox_id", cell,
    ) == [("opened",), ("ended",)]  # fmt: skip
    # Who reads the topic sees each once.
    shown = stream.run("alerts", "read").splitlines()
    for status in ("opened", "ended"):
        assert len([line for line in shown if cell in line and " events " in line and f" {status} " in line]) == 1
    # Sending them again is a wish of people, and keeps the ids as well.
    assert f"{len(sent)} alerts" in stream.run("alerts", "replay", "--since", "2026-03-02T08:00Z")
    stream.drain()
    again = Counter(alert_id(record) for record in read_topic(stream.bootstrap, ALERTS))
    assert again == sent + Counter(set(sent))


def alert_id(record: Record) -> str:
    assert record.value is not None
    decoded = fastavro.schemaless_reader(io.BytesIO(record.value[5:]), packaged_schema("alert"), None)
    assert isinstance(decoded, dict)
    return str(decoded["alert_id"])
