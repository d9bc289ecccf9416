"""Reads the messages of a fetched record batch in one go, instead of one object per message.

kafka-python makes a `ConsumerRecord` of 13 fields for each message, at about 12 µs; slicing keys and values out
of the batch takes under one. It needs kafka-python's internals, so it is used with the versions it was tested
with (`fast_reading_fits`); with any other the consumer reads records the public way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import kafka
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError

TESTED_VERSIONS = ("3.0.",)


@dataclass(frozen=True)
class Chunk:
    """The messages of one record batch from `offsets[0]` on; `sent_ms` is the time stamp of the batch."""

    offsets: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    sent_ms: int = 0


def fast_reading_fits() -> bool:
    """Tell whether this kafka-python has the internals that fast reading needs."""
    version: str = kafka.__version__
    return version.startswith(TESTED_VERSIONS)


def install(consumer: kafka.KafkaConsumer) -> None:
    """Let this consumer's polls return lists of `Chunk` in place of lists of records."""
    consumer._fetcher.PartitionRecords = _ChunkedRecords


def unpark(consumer: kafka.KafkaConsumer) -> None:
    """Let records that were fetched before a pause come back after `resume`.

    kafka-python 3.0.12 parks them and takes them up again only where its slot for records in reading is None, not
    where it holds records that were read to their end: a resumed partition then stands still for ever. It takes up
    one partition at a time, so this is asked before every poll.
    """
    fetcher = consumer._fetcher
    if not getattr(fetcher, "_next_partition_records", True):
        fetcher._next_partition_records = None


def read_batch(buffer: bytes | bytearray, position: int, count: int, base_offset: int) -> Chunk:
    """Return all messages of the record section of a batch (message format 2, uncompressed).

    Raises:
        CorruptRecordError: the section does not hold `count` well-formed records.
    """
    offsets: list[int] = []
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    data = bytes(buffer)
    add_offset, add_key, add_value = offsets.append, keys.append, values.append
    try:
        for _ in range(count):
            # Length, and below the time stamp, offset delta, key and value lengths are zigzag varints; those of one
            # and two bytes are read here, since a call costs more than all else.
            byte = data[position]
            if byte < 0x80:
                length = (byte >> 1) ^ -(byte & 1)
                position += 1
            elif (after := data[position + 1]) < 0x80:
                length = ((byte & 0x7F | after << 7) >> 1) ^ -(byte & 1)
                position += 2
            else:
                length, position = _varint(data, position)
            end = position + length
            position += 1  # attributes: unused
            while data[position] & 0x80:  # the time stamp is not needed
                position += 1
            position += 1
            byte = data[position]
            if byte < 0x80:
                delta = (byte >> 1) ^ -(byte & 1)
                position += 1
            elif (after := data[position + 1]) < 0x80:
                delta = ((byte & 0x7F | after << 7) >> 1) ^ -(byte & 1)
                position += 2
            else:
                delta, position = _varint(data, position)
            byte = data[position]
            if byte < 0x80:
                length = (byte >> 1) ^ -(byte & 1)
                position += 1
            else:
                length, position = _varint(data, position)
            if length < 0:
                add_key(None)
            else:
                add_key(data[position : position + length])
                position += length
            byte = data[position]
            if byte < 0x80:
                length = (byte >> 1) ^ -(byte & 1)
                position += 1
            elif (after := data[position + 1]) < 0x80:
                length = ((byte & 0x7F | after << 7) >> 1) ^ -(byte & 1)
                position += 2
            else:
                length, position = _varint(data, position)
            if length < 0:
                add_value(None)
            else:
                add_value(data[position : position + length])
                position += length
            if position >= end or end > len(data):  # a count of headers follows, at least one byte
                raise CorruptRecordError("a record is longer than its length says")
            add_offset(base_offset + delta)
            position = end
    except IndexError as exc:
        raise CorruptRecordError("a record ends outside its batch") from exc
    if position != len(data):
        raise CorruptRecordError(f"{len(data) - position} bytes are left after the last record")
    return Chunk(offsets, keys, values)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    position += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position
    result = byte & 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (result >> 1) ^ -(result & 1), position
        shift += 7
        if shift > 63:
            raise CorruptRecordError("a number is longer than 64 bits")


class _ChunkedRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """kafka-python's reader of one fetched partition, yielding a `Chunk` per record batch.

    Transactions, control batches and checksums are treated as in the class it is made from.
    """

    def _maybe_skip_record(self, _: Chunk) -> bool:
        return False  # `_unpack_records` has cut off what lies before the fetch offset

    def _unpack_records(self, tp: Any, records: Any, *_: Any) -> Iterator[Chunk]:
        batch = records.next_batch()
        last = None
        while batch is not None:
            last = batch
            if self.check_crcs and not batch.validate_crc():
                raise CorruptRecordError(f"the batch at offset {batch.base_offset} of {tp} fails its checksum")
            if batch.magic != 2:
                raise CorruptRecordError(f"the batch at offset {batch.base_offset} of {tp} is in an old format")
            self.leader_epoch = batch.leader_epoch
            if not self._is_hidden(batch):
                batch._maybe_uncompress()
                chunk = read_batch(batch._buffer, batch._pos, batch.records_count, batch.base_offset)
                chunk = replace(self._from_fetch_offset(chunk), sent_ms=batch.first_timestamp)
                self.records_read += len(chunk.offsets)
                self.bytes_read += batch.size_in_bytes
                self.next_fetch_offset = batch.next_offset
                if chunk.offsets:
                    yield chunk
            self.next_fetch_offset = batch.next_offset
            batch = records.next_batch()
        if last is not None:
            self.next_fetch_offset = last.next_offset
        self.drain()

    def _is_hidden(self, batch: Any) -> bool:
        """Tell whether a batch is of an aborted transaction or a marker; keeps track of what was aborted."""
        if batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)

    def _from_fetch_offset(self, chunk: Chunk) -> Chunk:
        """Cut off the messages before the offset that was asked for: a broker sends whole batches."""
        if not chunk.offsets or chunk.offsets[0] >= self.fetch_offset:
            return chunk
        first = next((i for i, offset in enumerate(chunk.offsets) if offset >= self.fetch_offset), len(chunk.offsets))
        return replace(chunk, offsets=chunk.offsets[first:], keys=chunk.keys[first:], values=chunk.values[first:])
