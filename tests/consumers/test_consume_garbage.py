"""What is no event goes to the dead letters with its place and reason, what is one arrives, and a flood stops it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from streams import Record, Stream, offsets, read_topic, rows, value

from telestream.consumers.registry import ensure_schema, open_registry, packaged_schema
from telestream.consumers.wire import AvroEncoder, frame
from telestream.db import rollups
from telestream.topics import DEAD_LETTERS

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
UNKNOWN_ID = 987_654
FIVE_MB = 5 * 1024 * 1024


@pytest.fixture
def stream(kafka_bootstrap: str, redis_url: str, tmp_path: Path) -> Stream:
    return Stream.make(kafka_bootstrap, redis_url, tmp_path)


def event(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}", "event_at": START + timedelta(seconds=number), "source_system": "oss-01",
        "event_type": "kpi_sample", "cell_id": f"234-15-{number % 7}", "latency_ms": 20.5, **changes,
    }  # fmt: skip


def older_schema() -> dict[str, Any]:
    """Return the schema before it evolved: no `packet_loss_pct` yet, which has a default, and a narrower `latency_ms`."""
    schema = packaged_schema("network_event")
    schema["fields"] = [one for one in schema["fields"] if one["name"] != "packet_loss_pct"]
    next(one for one in schema["fields"] if one["name"] == "latency_ms")["type"] = ["null", "float"]
    return schema


def newer_schema() -> dict[str, Any]:
    """Return a schema of tomorrow: a field with a default that the consumer does not know."""
    schema = deepcopy(packaged_schema("network_event"))
    schema["fields"].insert(4, {"name": "slice", "type": ["null", "string"], "default": None})
    return schema


def letters_in_topic(stream: Stream) -> dict[tuple[int, int], list[Record]]:
    """Return the dead letters of the stream by the place of the message."""
    found: dict[tuple[int, int], list[Record]] = {}
    for record in read_topic(stream.bootstrap, DEAD_LETTERS):
        if record.header["topic"] == stream.topic:
            found.setdefault((int(record.header["partition"]), int(record.header["offset"])), []).append(record)
    return found


def test_each_kind_of_garbage_is_told_apart_and_the_good_events_arrive(database: str, stream: Stream) -> None:
    registry = open_registry()
    old = AvroEncoder(older_schema(), registry.register(f"{stream.topic}-value", older_schema()))
    # What `telestream produce` does: the schema of today may follow the older one.
    schema_id = ensure_schema(registry, stream.topic, "network_event")
    now = AvroEncoder(packaged_schema("network_event"), schema_id)
    new = AvroEncoder(newer_schema(), registry.register(f"{stream.topic}-value", newer_schema()))
    encoders = (old, now, new)
    loss = ({}, {"packet_loss_pct": 1.5}, {"packet_loss_pct": 2.5, "slice": "iot"})
    good = [
        Record(number % 4, b"cell", encoders[number % 3].encode(event(number, **loss[number % 3])))
        for number in range(600)
    ]
    whole = now.encode(event(1_000))
    garbage: dict[str, list[bytes | None]] = {
        "unknown_schema": [frame(UNKNOWN_ID, whole[5:])],
        "undecodable": [whole[:-9], whole + b"\0\0", frame(schema_id, b"\xff" * 40)],
        "too_short": [b"", whole[:4]],
        "wrong_magic": [b"\1" + whole[1:], b'{"event_id": "e1"}'],
        "null_value": [None],
        "oversized": [now.encode(event(1_001, payload=json.dumps("x" * FIVE_MB)))],
        "nul_byte": [now.encode(event(1_002, cause="a\0b"))],
    }
    bad = [Record(2, b"garbage", body) for bodies in garbage.values() for body in bodies]
    reasons = [reason for reason, bodies in garbage.items() for _ in bodies]
    # Between the good ones, before and after.
    sent = stream.send([*good[:300], *bad, *good[300:]])
    placed = dict(zip(((one.partition, one.offset) for one in sent[300 : 300 + len(bad)]), reasons, strict=True))
    bodies = {(one.partition, one.offset): one.value for one in sent}

    stream.drain()

    assert offsets(database, stream.topic) == stream.log_ends()
    assert value(database, "SELECT count(*) FROM silver.fact_network_event") == len(good)
    assert rows(
        database,
        "SELECT latency_ms, packet_loss_pct, count(*) FROM silver.fact_network_event GROUP BY 1, 2 ORDER BY 2 NULLS FIRST",
    ) == [(20.5, None, 200), (20.5, 1.5, 200), (20.5, 2.5, 200)]
    kept = rows(
        database, "SELECT partition, kafka_offset, reason, key, value FROM ops.dead_letter WHERE topic = %s", stream.topic
    )  # fmt: skip
    assert {(partition, offset): reason for partition, offset, reason, _, _ in kept} == placed
    for partition, offset, _, key, body in kept:
        assert (key, body) == (b"garbage", bodies[partition, offset])
    assert value(database, "SELECT count(*) FROM ops.dead_letter WHERE published_at IS NULL") == 0

    letters = letters_in_topic(stream)
    assert set(letters) == set(placed)
    for place, copies in letters.items():
        [letter] = copies
        assert letter.header["reason"] == placed[place]
        assert letter.header["detail"]
        body = bodies[place]
        if placed[place] == "oversized":
            assert body is not None
            assert (letter.value, int(letter.header["omitted"])) == (b"", len(body) + len(b"garbage"))
        else:
            assert (letter.key, letter.value) == (b"garbage", body)
    [unknown] = [copies[0] for place, copies in letters.items() if placed[place] == "unknown_schema"]
    assert unknown.header["schema"] == str(UNKNOWN_ID)
    assert rollups.check(database) == []

    # Nothing of it is read, kept or sent a second time.
    stream.drain()
    assert value(database, "SELECT count(*) FROM ops.dead_letter") == len(bad)
    assert letters_in_topic(stream) == letters


def test_an_event_that_breaks_a_rule_is_quarantined_not_a_dead_letter(database: str, stream: Stream) -> None:
    schema_id = ensure_schema(open_registry(), stream.topic, "network_event")
    encode = AvroEncoder(packaged_schema("network_event"), schema_id).encode
    stream.send([Record(0, None, encode(event(1))), Record(0, None, encode(event(2, event_type="teleport")))])
    stream.drain()
    assert rows(
        database,
        "SELECT rows_in, rows_loaded, rows_quarantined, (SELECT count(*) FROM ops.dead_letter) FROM ops.batch",
    ) == [(2, 1, 1, 0)]
    assert rows(database, "SELECT rules FROM quality.quarantine") == [(["unknown_event_type"],)]


@pytest.fixture
def send_share(stream: Stream) -> Callable[[int, int], None]:
    """Return a function that sends messages to one partition, every n-th of them garbage."""
    schema_id = ensure_schema(open_registry(), stream.topic, "network_event")
    encode = AvroEncoder(packaged_schema("network_event"), schema_id).encode
    sent = 0

    def send(messages: int, every: int) -> None:
        nonlocal sent
        numbers = range(sent, sent + messages)
        stream.send([Record(0, None, b"x" if one % every == 0 else encode(event(one))) for one in numbers])
        sent += messages

    return send


def test_above_the_share_it_stops_with_the_offset_before_the_flood(
    database: str, stream: Stream, send_share: Callable[[int, int], None]
) -> None:
    send_share(2_000, 50)
    stream.drain()
    assert value(database, "SELECT count(*) FROM ops.dead_letter") == 40
    send_share(1_000, 4)
    with stream.consume() as consumer:  # without --drain: it stops of its own accord
        said = consumer.ends(1, "250 of the last 1,000 messages cannot be decoded", "10%", "hint:", "--max-bad-share")
    assert "fewer than 5 bytes" in said
    # Not one of them is taken in: it goes on there when the producer is mended.
    assert offsets(database, stream.topic)[0] == 2_000
    assert value(database, "SELECT count(*) FROM silver.fact_network_event") == 1_960
    assert value(database, "SELECT count(*) FROM ops.dead_letter") == 40
    # Again the same: a supervisor that restarts it does not drain the topic batch by batch.
    with stream.consume() as consumer:
        consumer.ends(1, "250 of the last 1,000 messages cannot be decoded")
    assert offsets(database, stream.topic)[0] == 2_000
    # Whoever wants the garbage out of the way says so.
    assert "250" in stream.drain("--max-bad-share", "0.3")
    assert offsets(database, stream.topic)[0] == 3_000
    assert value(database, "SELECT count(*) FROM silver.fact_network_event") == 2_710
    assert value(database, "SELECT count(*) FROM ops.dead_letter WHERE published_at IS NOT NULL") == 290
    assert len(letters_in_topic(stream)) == 290
