"""The kinds of records that arrive over Kafka: their topic, schema, time column and way into Silver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from telestream import topics
from telestream.db.connection import Connection
from telestream.db.enrol import enrol_cdr, enrol_network_event


@dataclass(frozen=True)
class Dataset:
    """What the consumer must know of one kind of record.

    Attributes:
        name: name in `ops.batch` and of the Bronze table.
        topic: topic it is read from unless told otherwise.
        schema: name of the reader schema in `consumers/schemas`.
        time_column: column with the event time.
        enrol: makes persons and cells known before the batch.
        refine: statement that takes a staged batch to Silver.
        jsonb: columns that are jsonb in Bronze.
        marks_late: whether Bronze has the column `is_late`.
    """

    name: str
    topic: str
    schema: str
    time_column: str
    enrol: Callable[[Connection, int, pa.Table], None]
    refine: str
    jsonb: tuple[str, ...] = ()
    marks_late: bool = False


NETWORK_EVENTS = Dataset(
    name="network_event",
    topic=topics.NETWORK_EVENTS,
    schema="network_event",
    time_column="event_at",
    enrol=enrol_network_event,
    refine="CALL silver.refine_network_event(%s)",
    marks_late=True,
)
CDRS = Dataset(
    name="cdr",
    topic=topics.CDRS,
    schema="cdr",
    time_column="started_at",
    enrol=enrol_cdr,
    refine="CALL silver.refine_cdr(%s)",
    jsonb=("extras",),
)
