"""A consumer that runs on while the vault's key is rotated: it finds the new key and counts each event once."""

from __future__ import annotations

from pathlib import Path

import psycopg
from streams import Stream, assert_exactly_once, value, wait_for, wait_until_read
from vault_keys import behind, states

from telestream.db import rotation
from telestream.db.vault import vault_key


def test_a_consumer_lives_through_a_rotation(
    database: str,
    connection: psycopg.Connection,
    own_vault_key: Path,
    kafka_bootstrap: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    stream = Stream.make(kafka_bootstrap, redis_url, tmp_path)
    old = vault_key()
    with stream.consume("--batch-rows", "500") as consumer:
        first = stream.produce(2_000, "--cells", "20")
        wait_until_read(database, stream, first.messages, consumer)
        before = behind(connection, old)
        assert before
        list(rotation.rotate(database, slice_rows=100))
        second = stream.produce(2_000, "--cells", "20", "--seed", "2")
        wait_until_read(database, stream, first.messages + second.messages, consumer)
        consumer.terminate()
    after = behind(connection, vault_key())
    assert before.items() <= after.items()
    assert len(after) > len(before)
    assert len(set(after.values())) == len(after)
    assert set(behind(connection, old).values()) == {None}
    assert_exactly_once(database, stream, first, second)


def test_a_consumer_without_the_key_in_force_waits_for_it(
    database: str,
    connection: psycopg.Connection,
    own_vault_key: Path,
    kafka_bootstrap: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    stream = Stream.make(kafka_bootstrap, redis_url, tmp_path)
    # Another machine, to which nobody has brought the next key.
    elsewhere = tmp_path / "elsewhere.key"
    elsewhere.write_text(own_vault_key.read_text())
    with stream.consume("--batch-rows", "500", TELESTREAM_VAULT_KEY_FILE=str(elsewhere)) as consumer:
        first = stream.produce(1_000, "--cells", "20")
        wait_until_read(database, stream, first.messages, consumer)
        list(rotation.rotate(database))
        assert states(connection) == ["retired", "current"]
        second = stream.produce(1_000, "--cells", "20", "--seed", "2")
        consumer.says("the vault key is not in force")
        assert value(database, "SELECT sum(rows_in) FROM ops.batch") == first.messages
        key = elsewhere.with_name("elsewhere.key.next")
        key.write_text(own_vault_key.read_text())
        wait_until_read(database, stream, first.messages + second.messages, consumer)
        wait_for(lambda: "batches are written again" in consumer.log, "it goes on", consumer)
        consumer.terminate()
    assert_exactly_once(database, stream, first, second)
