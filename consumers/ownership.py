"""Claims partitions in the database and checks that the log still begins where we have to read on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from telestream.consumers.broker import Broker
from telestream.consumers.prepare import Claim
from telestream.consumers.writer import CONSUMER_ROLE, fencing
from telestream.db.connection import connect, translated
from telestream.errors import GapError


def claim(
    url: str, broker: Broker, incarnation: str, partitions: Sequence[int], owner: str, *, accept_gap: bool
) -> list[Claim]:
    """Become the owner of partitions and let the broker read on where the database says.

    Waits for a commit of the former owner in flight; afterwards that one cannot commit any more.

    Args:
        url: the database.
        broker: where the partitions are assigned to us.
        incarnation: cluster and topic, see `Broker.incarnation`.
        partitions: which.
        owner: who we are, for people.
        accept_gap: go on at the first message that is kept where the log has lost some.

    Raises:
        GapError: messages were removed before they were read.
        TransientError: database or broker do not answer.
    """
    ranges = broker.log_range(partitions)
    with translated(url), connect(url, role=CONSUMER_ROLE, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT * FROM ops.claim_partitions(%s, %s, %s::integer[], %s::bigint[], %s)",
            (incarnation, broker.topic, list(partitions), [ranges[one][1] for one in partitions], owner),
        ).fetchall()
    claims = []
    for partition, next_offset, epoch, event_at in rows:
        first, _ = ranges[partition]
        claimed = Claim(partition, epoch, next_offset, event_at)
        if next_offset < first:
            # Never read: what retention removed before our time is not our loss.
            if next_offset and not accept_gap:
                raise gap_error(broker.topic, partition, next_offset, first)
            claimed = move(url, broker.topic, incarnation, claimed, first)
        claims.append(claimed)
    for one in claims:
        broker.seek(one.partition, one.next_offset)
    return claims


def move(url: str, topic: str, incarnation: str, claimed: Claim, to_offset: int) -> Claim:
    """Go on at another offset of the log than the next one, and return the claim that says so.

    Raises:
        FencedError: another consumer has claimed the partition.
    """
    with translated(url), connect(url, role=CONSUMER_ROLE, autocommit=True) as connection, fencing():
        connection.execute(
            "SELECT ops.advance_offsets(%s, %s, ARRAY[%s]::integer[], ARRAY[%s]::bigint[], ARRAY[%s]::bigint[],"
            " ARRAY[%s]::bigint[], ARRAY[0]::bigint[], ARRAY[NULL]::timestamptz[])",
            (incarnation, topic, claimed.partition, claimed.epoch, claimed.next_offset, to_offset),
        )
    return replace(claimed, next_offset=to_offset)


def gap_error(topic: str, partition: int, next_offset: int, found: int) -> GapError:
    """Return the error that says what the log of a partition has lost, where it goes on at `found`."""
    if next_offset < found:
        fact = f"{found - next_offset:,} messages of {topic}, partition {partition}, were removed before they were read"
        detail = f"The next one to read is {next_offset}, the log begins at {found}."
    else:
        fact = f"the log of {topic}, partition {partition}, is shorter than what has been read of it"
        detail = f"The next one to read is {next_offset}, the log goes on at {found}: it was truncated or restored."
    return GapError(
        fact,
        detail=detail,
        hint="Bring the messages back if you can; --accept-gap goes on at the first that is kept. "
        "An event that is read twice is counted once.",
    )
