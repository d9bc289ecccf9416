"""What a batch writes leads back to its messages: lines, slices, dead letters, claims."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telestream.consumers.broker import Messages
from telestream.consumers.datasets import CDRS, NETWORK_EVENTS
from telestream.consumers.decode import AvroDecoder
from telestream.consumers.lateness import Lateness
from telestream.consumers.prepare import Batch, Claim, Prepared, prepare
from telestream.consumers.registry import packaged_schema
from telestream.consumers.wire import AvroEncoder
from telestream.errors import TransientError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ALLOWED = timedelta(minutes=10)
LATENESS = Lateness(ALLOWED, lambda: NOW)
SCHEMAS = {1: packaged_schema("network_event"), 2: packaged_schema("cdr")}
EVENTS, RECORDS = (AvroEncoder(packaged_schema(name), number) for number, name in ((1, "network_event"), (2, "cdr")))


class Schemas:
    """A registry in memory; without schemas it does not answer."""

    def __init__(self, schemas: dict[int, dict[str, Any]] = SCHEMAS) -> None:
        self.schemas = schemas

    def schema(self, schema_id: int) -> dict[str, Any]:
        if not self.schemas:
            raise TransientError("the registry does not answer")
        return self.schemas[schema_id]

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        raise NotImplementedError

    def latest(self, subject: str) -> tuple[int, dict[str, Any]] | None:
        raise NotImplementedError


EVENT_DECODER = AvroDecoder(Schemas(), SCHEMAS[1])
CDR_DECODER = AvroDecoder(Schemas(), SCHEMAS[2])


def event(name: str, minutes: int) -> bytes:
    at = NOW - timedelta(minutes=minutes)
    return EVENTS.encode({"event_id": name, "event_at": at, "source_system": "oss", "event_type": "drop"})


def cdr(name: str, started_at: datetime | None) -> bytes:
    return RECORDS.encode({"native_key": name, "started_at": started_at})


def batch_of(*parts: tuple[list[int], list[bytes | None]], event_at: datetime | None = None) -> Batch:
    """A batch of one part per partition, read from its first offset on; three messages are left behind each."""
    messages, claims = [], {}
    for partition, (offsets, values) in enumerate(parts):
        keys: list[bytes | None] = [b"key %d" % offset for offset in offsets]
        messages.append(Messages(partition, offsets, keys, values, offsets[-1] + 1, offsets[-1] + 4))
        claims[partition] = Claim(partition, 7 + partition, offsets[0], event_at)
    return Batch("memory/topic", "events", messages, claims)


def lines(prepared: Prepared) -> dict[int, tuple[int, int]]:
    """Partition and offset of each line, as the slices tell."""
    found = {}
    for one in prepared.slices:
        for number in range(one.messages):
            assert one.first_line + number not in found
            found[one.first_line + number] = (one.partition, one.first_offset + number)
    return found


PARTS = st.lists(
    st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.integers(0, 40)), min_size=1, max_size=12),
    min_size=1,
    max_size=4,
)


@given(parts=PARTS)
def test_every_message_is_a_row_or_a_dead_letter_and_both_know_their_place(
    parts: list[list[tuple[int, bool, int]]],
) -> None:
    expected: dict[tuple[int, int], str | None] = {}
    given_parts: list[tuple[list[int], list[bytes | None]]] = []
    for partition, messages in enumerate(parts):
        offsets, values = [], []
        for step, good, minutes in messages:
            offset = offsets[-1] + step if offsets else 10
            name = f"{partition}/{offset}"
            offsets.append(offset)
            values.append(event(name, minutes) if good else b"bad " + name.encode())
            expected[partition, offset] = name if good else None
        given_parts.append((offsets, values))
    batch = batch_of(*given_parts)
    prepared = prepare(batch, NETWORK_EVENTS, EVENT_DECODER, LATENESS)

    places = lines(prepared)
    assert sorted(places) == list(range(1, len(batch) + 1))
    assert sorted(places.values()) == sorted(expected)
    rows = prepared.table.select(["line", "event_id"]).to_pylist()
    assert {places[row["line"]]: row["event_id"] for row in rows} == {k: v for k, v in expected.items() if v}
    assert [(bad.partition, bad.offset, bad.key, bad.value) for bad in prepared.bad] == [
        (partition, offset, b"key %d" % offset, b"bad %d/%d" % (partition, offset))
        for (partition, offset), name in expected.items()
        if name is None
    ]
    times = prepared.table.column("event_at").to_pylist()
    assert times == sorted(times)
    for part, claim, log_end in zip(batch.messages, prepared.claims, prepared.log_ends, strict=True):
        assert (claim.partition, claim.epoch, claim.next_offset) == (
            part.partition,
            7 + part.partition,
            part.offsets[-1] + 1,
        )
        assert log_end == part.offsets[-1] + 4
        of_it = [at for row, at in zip(rows, times, strict=True) if places[row["line"]][0] == part.partition]
        assert claim.event_at == max(of_it, default=None)


def test_partitions_do_not_make_each_other_late() -> None:
    batch = batch_of(([0, 1], [event("a", 0), event("b", 11)]), ([0], [event("c", 11)]))
    prepared = prepare(batch, NETWORK_EVENTS, EVENT_DECODER, LATENESS)
    found = dict(zip(*prepared.table.select(["event_id", "is_late"]).to_pydict().values(), strict=True))
    assert found == {"a": False, "b": True, "c": False}
    assert [claim.event_at for claim in prepared.claims] == [NOW, NOW - timedelta(minutes=11)]


def test_what_was_read_before_decides_and_bad_messages_do_not() -> None:
    batch = batch_of(([5, 6], [event("a", 11), b"bad"]), ([8], [b"bad"]), event_at=NOW)
    prepared = prepare(batch, NETWORK_EVENTS, EVENT_DECODER, LATENESS)
    assert prepared.table.column("is_late").to_pylist() == [True]
    assert [(claim.next_offset, claim.event_at) for claim in prepared.claims] == [(7, NOW), (9, NOW)]


def test_records_without_a_time_are_kept_and_move_nothing() -> None:
    values: list[bytes | None] = [cdr("a", NOW), cdr("b", None), cdr("c", NOW - ALLOWED)]
    prepared = prepare(batch_of(([0, 1, 2], values), ([0], [cdr("d", None)])), CDRS, CDR_DECODER, LATENESS)
    assert prepared.table.column("native_key").to_pylist() == ["c", "a", "b", "d"]
    assert prepared.table.column("line").to_pylist() == [3, 1, 2, 4]
    assert "is_late" not in prepared.table.schema.names
    assert [claim.event_at for claim in prepared.claims] == [NOW, None]


def test_a_registry_that_does_not_answer_condemns_nothing() -> None:
    decoder = AvroDecoder(Schemas({}), SCHEMAS[1])
    with pytest.raises(TransientError):
        prepare(batch_of(([0], [event("a", 0)])), NETWORK_EVENTS, decoder, LATENESS)
