"""Keeps the messages that could not be decoded: in the database with their batch, later in a topic as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from telestream.consumers.sender import Message, Sender
from telestream.db.connection import Connection
from telestream.topics import DEAD_LETTERS

# Key and value beyond this are left out of the topic, since brokers take 1 MB per message unless told otherwise.
LARGEST_BYTES = 900_000
# Rows and bytes sent at a time: bounds the memory of a flood of large messages.
_ROWS = 500
_BYTES = 8_000_000


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be decoded: where it stood, why (a code, and a sentence), and its bytes."""

    batch_id: int
    partition: int
    offset: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None


def record_dead_letters(connection: Connection, incarnation: str, topic: str, rows: Sequence[DeadLetter]) -> int:
    """Insert dead letters of a topic in the caller's transaction; those a batch has already are left as they are.

    Returns:
        The number of new ones.
    """
    if not rows:
        return 0
    return connection.execute(
        "INSERT INTO ops.dead_letter"
        " (incarnation, topic, batch_id, partition, kafka_offset, reason, detail, key, value)"
        " SELECT %s, %s, u.* FROM unnest("
        "%s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::text[], %s::bytea[], %s::bytea[]) AS u"
        " ON CONFLICT (batch_id, incarnation, topic, partition, kafka_offset) DO NOTHING",
        (
            incarnation,
            topic,
            [row.batch_id for row in rows],
            [row.partition for row in rows],
            [row.offset for row in rows],
            [row.reason for row in rows],
            # It may quote the message, and the database takes no zero byte in a text.
            [row.detail.replace("\0", "\N{REPLACEMENT CHARACTER}") for row in rows],
            [row.key for row in rows],
            [row.value for row in rows],
        ),
    ).rowcount


def publish_dead_letters(connection: Connection, sender: Sender) -> int:
    """Send what the topic does not have yet, oldest first, and mark it once acknowledged; one transaction.

    Key and value are the original bytes. Headers, as UTF-8 text: topic, partition, offset, reason, detail, schema
    (the id in the value, empty without one); where key and value are too large for the topic, `omitted` with their
    size in bytes, and `ops.dead_letter` alone has them.

    Returns:
        The number of messages sent, 0 when none is left.

    Raises:
        TransientError: the broker did not acknowledge; all are sent again at the next call.
    """
    with connection.transaction():
        chosen = _choose(connection)
        if not chosen:
            return 0
        letters = connection.execute(
            "SELECT l.topic, l.partition, l.kafka_offset, l.reason, l.detail, substr(l.value, 1, 5), d.size,"
            " CASE WHEN d.size <= %(largest)s THEN l.key END, CASE WHEN d.size <= %(largest)s THEN l.value END"
            " FROM ops.dead_letter AS l, LATERAL ("
            "SELECT coalesce(octet_length(l.key), 0) + coalesce(octet_length(l.value), 0) AS size) AS d"
            " WHERE l.dead_letter_id = ANY(%(ids)s) ORDER BY l.dead_letter_id",
            {"largest": LARGEST_BYTES, "ids": chosen},
        ).fetchall()
        sender.send([_message(*letter) for letter in letters])
        connection.execute(
            "UPDATE ops.dead_letter SET published_at = clock_timestamp() WHERE dead_letter_id = ANY(%s)", (chosen,)
        )
    return len(chosen)


def _choose(connection: Connection) -> list[int]:
    """Lock the oldest unsent dead letters and return as many as may be in memory at a time, one at least."""
    rows = connection.execute(
        "SELECT dead_letter_id, coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0)"
        " FROM ops.dead_letter WHERE published_at IS NULL ORDER BY dead_letter_id FOR UPDATE SKIP LOCKED LIMIT %s",
        (_ROWS,),
    ).fetchall()
    chosen: list[int] = []
    total = 0
    for dead_letter_id, size in rows:
        total += min(size, LARGEST_BYTES)
        if chosen and total > _BYTES:
            break
        chosen.append(dead_letter_id)
    return chosen


def _message(
    topic: str,
    partition: int,
    offset: int,
    reason: str,
    detail: str,
    start: bytes | None,
    size: int,
    key: bytes | None,
    value: bytes | None,
) -> Message:
    headers = {
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "reason": reason,
        "detail": detail,
        "schema": _schema_id(start),
    }
    if size > LARGEST_BYTES:
        headers["omitted"] = str(size)
    if key is None and value is None:
        value = b""  # Kafka takes no message without both
    return Message(DEAD_LETTERS, key, value, tuple((name, text.encode()) for name, text in headers.items()))


def _schema_id(start: bytes | None) -> str:
    """Return the schema id of a framed value, as text; empty where the value has no frame."""
    return str(int.from_bytes(start[1:5], "big")) if start and len(start) == 5 and start[0] == 0 else ""
