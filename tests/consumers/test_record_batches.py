"""Messages cut out of record batches are those that kafka-python reads record by record."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from telestream.consumers import record_batches

TOPIC = TopicPartition("events", 0)
# Where the header of a batch holds what; the checksum is of all from the attributes on.
BASE_OFFSET, CRC, ATTRIBUTES, LAST_OFFSET_DELTA, COUNT, RECORDS = 0, 17, 21, 23, 57, 61
NONE, GZIP = 0, 1
CONTROL = 0x20
SENT_MS = 1_772_000_000_000

Record = tuple[int, bytes | None, bytes | None]


def the_class() -> Any:
    """The reader that `install` puts in the place of kafka-python's."""
    consumer = SimpleNamespace(_fetcher=SimpleNamespace(PartitionRecords=None))
    record_batches.install(consumer)
    return consumer._fetcher.PartitionRecords


FAST = the_class()


def patched(batch: bytes, place: int, layout: str, value: int) -> bytes:
    """Change a field of a batch and let its checksum fit again."""
    changed = bytearray(batch)
    struct.pack_into(layout, changed, place, value)
    struct.pack_into(">I", changed, CRC, calc_crc32c(memoryview(changed)[ATTRIBUTES:]))
    return bytes(changed)


def batch_of(
    records: Sequence[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]],
    *,
    base: int = 0,
    last_delta: int | None = None,
    compression: int = NONE,
    producer: int = -1,
    control: bool = False,
) -> bytes:
    """A batch as a producer and a broker make it; records as gap before it, key, value and headers."""
    state = {"producer_id": producer, "producer_epoch": 0, "base_sequence": 0, "transactional": producer >= 0}
    builder = MemoryRecordsBuilder(2, compression, 1 << 24, **(state if producer >= 0 else {}))
    for number, (gap, key, value, headers) in enumerate(records):
        builder.skip(gap)
        assert builder.append(SENT_MS + number, key, value, headers) is not None
    builder.close()
    made = patched(bytes(builder.buffer()), BASE_OFFSET, ">q", base)
    if last_delta is not None:
        made = patched(made, LAST_OFFSET_DELTA, ">i", last_delta)
    if control:
        (attributes,) = struct.unpack_from(">h", made, ATTRIBUTES)
        made = patched(made, ATTRIBUTES, ">h", attributes | CONTROL)
    return made


def take(kind: Any, data: bytes, fetch_offset: int, aborted: Sequence[Any]) -> Any:
    return kind(
        fetch_offset,
        TOPIC,
        MemoryRecords(data),
        isolation_level=IsolationLevel.READ_COMMITTED,
        aborted_transactions=aborted,
    )


def slowly(data: bytes, fetch_offset: int = 0, aborted: Sequence[Any] = ()) -> tuple[list[Record], int]:
    """The messages as kafka-python reads them, and where it would read on."""
    reader = take(Fetcher.PartitionRecords, data, fetch_offset, aborted)
    records = []
    while reader:
        records += [(one.offset, one.key, one.value) for one in reader.take(3)]
    return records, reader.next_fetch_offset


def fast(data: bytes, fetch_offset: int = 0, aborted: Sequence[Any] = ()) -> tuple[list[Record], int]:
    """The messages as we read them, and where we would read on."""
    reader = take(FAST, data, fetch_offset, aborted)
    records: list[Record] = []
    while reader:
        for chunk in reader.take(1):
            assert chunk.offsets
            assert reader.next_fetch_offset > chunk.offsets[-1]
            records += zip(chunk.offsets, chunk.keys, chunk.values, strict=True)
    assert reader.records_read == len(records)
    return records, reader.next_fetch_offset


# A log of everything ------------------------------------------------------------------------------


@dataclass
class MadeLog:
    """Batches one after the other, and what a reader of committed messages must find."""

    data: bytes = b""
    end: int = 0
    visible: list[Record] = field(default_factory=list)
    aborted: list[Any] = field(default_factory=list)
    pending: dict[int, tuple[int, list[Record]]] = field(default_factory=dict)

    def add(self, records: list[Any], trailing: int, compression: int, producer: int) -> None:
        found: list[Record] = []
        for gap, key, value, _ in records:
            found.append(((found[-1][0] + 1 if found else self.end) + gap, key, value))
        last_delta = (found[-1][0] - self.end if found else 0) + trailing
        self.data += batch_of(records, base=self.end, last_delta=last_delta, compression=compression, producer=producer)
        if producer < 0:
            self.visible += found
        else:
            self.pending.setdefault(producer, (self.end, []))[1].extend(found)
        self.end += last_delta + 1

    def finish(self, producer: int, commit: bool) -> None:
        """End a transaction with its marker."""
        first, found = self.pending.pop(producer, (None, []))
        key = struct.pack(">hh", 0, 1 if commit else 0)
        self.data += batch_of([(0, key, struct.pack(">hi", 0, 0), [])], base=self.end, producer=producer, control=True)
        self.end += 1
        if commit:
            self.visible += found
        elif first is not None:
            self.aborted.append(SimpleNamespace(first_offset=first, producer_id=producer))


# Sizes and gaps whose numbers take one, two and three bytes.
TEXTS = st.none() | st.binary(max_size=20) | st.sampled_from([63, 64, 300, 8191, 8192]).map(lambda size: b"x" * size)
HEADERS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=3)
RECORDS_OF_A_BATCH = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 200, 9_000]), TEXTS, TEXTS, HEADERS), max_size=8)
PRODUCERS = st.sampled_from([-1, -1, 1, 2])


@st.composite
def logs(draw: st.DrawFn) -> MadeLog:
    log = MadeLog(end=draw(st.sampled_from([0, 5, 1 << 40])))
    for _ in range(draw(st.integers(1, 8))):
        producer = draw(PRODUCERS)
        if producer >= 0 and draw(st.booleans()):
            log.finish(producer, draw(st.booleans()))
        else:
            trailing = draw(st.sampled_from([0, 0, 3]))
            log.add(draw(RECORDS_OF_A_BATCH), trailing, draw(st.sampled_from([NONE, GZIP])), producer)
    for producer in list(log.pending):
        log.finish(producer, draw(st.booleans()))
    return log


@given(log=logs(), data=st.data())
def test_the_same_messages_are_read(log: MadeLog, data: st.DataObject) -> None:
    """From anywhere in the log, also from within a batch."""
    start = data.draw(st.integers(0, 40)) + log.end - min(log.end, 30) if log.end > 1000 else 0
    start = data.draw(st.sampled_from([0, start, *(offset for offset, _, _ in log.visible)]))
    found, next_offset = fast(log.data, start, log.aborted)
    assert (found, next_offset) == slowly(log.data, start, log.aborted)
    assert sorted(found) == sorted(one for one in log.visible if one[0] >= start)
    assert next_offset == log.end


def test_a_chunk_tells_when_it_was_sent_and_is_cut_where_reading_begins() -> None:
    data = batch_of([(0, b"k", b"%d" % number, []) for number in range(5)], base=10)
    (chunk,) = take(FAST, data, 12, ()).take(None)
    assert chunk == record_batches.Chunk([12, 13, 14], [b"k"] * 3, [b"2", b"3", b"4"], SENT_MS)


# Damage -------------------------------------------------------------------------------------------


def good_batch() -> bytes:
    return batch_of([(0, b"key", b"value %d" % number, [("name", b"text")]) for number in range(3)], base=7)


def test_a_wrong_checksum_stops_after_the_batches_before_it() -> None:
    broken = bytearray(batch_of([(0, None, b"second", [])], base=1))
    broken[-2] ^= 1
    reader = take(FAST, batch_of([(0, None, b"first", [])]) + bytes(broken), 0, ())
    assert [chunk.values for chunk in reader.take(None)] == [[b"first"]]
    assert reader.next_fetch_offset == 1
    with pytest.raises(CorruptRecordError, match="offset 1 of .* fails its checksum"):
        reader.take(None)


def test_an_old_message_format_is_refused() -> None:
    builder = MemoryRecordsBuilder(1, NONE, 1 << 20)
    builder.append(SENT_MS, b"k", b"v")
    builder.close()
    with pytest.raises(CorruptRecordError, match="old format"):
        fast(bytes(builder.buffer()))


@pytest.mark.parametrize("count", [0, 2, 4, 1_000, -1])
def test_a_wrong_number_of_records_is_corrupt(count: int) -> None:
    data = patched(good_batch(), COUNT, ">i", count)
    for read in (slowly, fast):
        with pytest.raises(CorruptRecordError):
            read(data)


@pytest.mark.parametrize("length", [0, 1, 20, 23, 60, 63, 127], ids="length byte {}".format)
def test_a_wrong_length_of_a_record_is_corrupt(length: int) -> None:
    data = patched(good_batch(), RECORDS, ">B", length)
    for read in (slowly, fast):
        with pytest.raises(CorruptRecordError):
            read(data)


def test_a_number_without_end_is_corrupt() -> None:
    with pytest.raises(CorruptRecordError):
        record_batches.read_batch(b"\x80" * 1_000_000, 0, 1, 0)


@given(
    records=st.lists(st.tuples(st.just(0), TEXTS, TEXTS, HEADERS), min_size=1, max_size=4),
    damage=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3),
    cut=st.integers(0, 3),
)
def test_damage_is_found_or_harmless(records: list[Any], damage: list[tuple[int, int]], cut: int) -> None:
    """Whatever kafka-python reads from damaged records we read as well; else we may say only that they are corrupt."""
    data = bytearray(batch_of(records)[RECORDS:])
    for place, value in damage:
        data[place % len(data)] = value
    damaged = bytes(data[: len(data) - cut])
    batch = batch_of(records)[:RECORDS] + damaged
    batch = patched(patched(batch, 8, ">i", len(batch) - 12), COUNT, ">i", len(records))
    try:
        expected, _ = slowly(batch)
    except CorruptRecordError:
        expected = None
    try:
        chunk = record_batches.read_batch(damaged, 0, len(records), 0)
    except CorruptRecordError:
        assert expected is None
    else:
        found = list(zip(chunk.offsets, chunk.keys, chunk.values, strict=True))
        assert expected in (None, [one for one in found if one[0] >= 0])
