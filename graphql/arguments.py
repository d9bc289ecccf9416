"""Checks of arguments: ranges, pages, cursors, time zones; each refusal names the argument and what is allowed."""

from __future__ import annotations

import base64
import binascii
import json
import zoneinfo
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from telestream.graphql.problems import ArgumentProblem

PAGE_DEFAULT = 50
PAGE_LARGEST = 500
LIST_LARGEST = 500
SIMILAR_DEFAULT = 10
SIMILAR_LARGEST = 100
_FURTHEST_KM = 20_000.0
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)


def page_size(first: int, argument: str = "first") -> int:
    """Return the size of a page.

    Raises:
        ArgumentProblem: it is not 1 to 500.
    """
    if not 1 <= first <= PAGE_LARGEST:
        raise ArgumentProblem(argument, f"{first} is not a size of a page", allowed=[f"1 to {PAGE_LARGEST}"])
    return first


def similar_size(first: int) -> int:
    """Return how many similar cells are meant.

    Raises:
        ArgumentProblem: it is not 1 to 100.
    """
    if not 1 <= first <= SIMILAR_LARGEST:
        raise ArgumentProblem("first", f"{first} is not a number of cells", allowed=[f"1 to {SIMILAR_LARGEST}"])
    return first


def kilometres(argument: str, value: float | None) -> float | None:
    """Return a distance, None where none is given.

    Raises:
        ArgumentProblem: it is not above 0, or longer than half the way around the earth.
    """
    if value is not None and not 0 < value <= _FURTHEST_KM:
        raise ArgumentProblem(argument, "the distance cannot be used", allowed=["above 0, up to 20000"])
    return value


def ids(argument: str, values: Sequence[str] | None) -> list[str] | None:
    """Return ids to look for, None where all are meant.

    Raises:
        ArgumentProblem: the list is empty or too long, or an id is not one.
    """
    if values is None:
        return None
    if not 1 <= len(values) <= LIST_LARGEST:
        raise ArgumentProblem(argument, f"{len(values)} values", allowed=[f"1 to {LIST_LARGEST} values"])
    for value in values:
        text(argument, value)
    return list(values)


def text(argument: str, value: str, longest: int = 200) -> str:
    """Return a text that the database can take.

    Raises:
        ArgumentProblem: it is too long or holds a NUL.
    """
    if len(value) > longest or not _is_text(value):
        raise ArgumentProblem(argument, "the text cannot be used", allowed=[f"up to {longest} characters without NUL"])
    return value


def number(argument: str, value: str) -> int:
    """Return an id that is a 64-bit number.

    Raises:
        ArgumentProblem: it is not.
    """
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise ArgumentProblem(argument, "the id is not a number")
    return int(value)


def instant(argument: str, at: datetime) -> datetime:
    """Return a time as UTC.

    Raises:
        ArgumentProblem: it has no offset, or lies outside 2000 to 2100.
    """
    if at.tzinfo is None:
        raise ArgumentProblem(argument, "the time has no offset", allowed=["2026-03-01T00:00:00Z"])
    if not _EARLIEST <= at <= _LATEST:
        raise ArgumentProblem(argument, "the time is out of bounds", allowed=["2000 to 2100"])
    return at.astimezone(UTC)


def moment(argument: str, value: datetime) -> datetime:
    """Return a point in time.

    Raises:
        ArgumentProblem: it has no offset, or is no time a customer can have had.
    """
    if value.tzinfo is None or not _FIRST <= value < _LATEST:
        raise ArgumentProblem(argument, "the time cannot be used", allowed=["a time with offset from 1970 to 2099"])
    return value


def time_range(start: datetime, end: datetime, longest: timedelta) -> tuple[datetime, datetime]:
    """Return a range as UTC times.

    Raises:
        ArgumentProblem: a time has no offset or lies outside 2000 to 2100, or the range is empty or too long.
    """
    start, end = instant("from", start), instant("to", end)
    if start >= end:
        raise ArgumentProblem("to", "the range is empty: it ends before it begins")
    if end - start > longest:
        raise ArgumentProblem(
            "to", "the range is too long", allowed=[f"up to {longest.total_seconds() / 86400:g} days"]
        )
    return start, end


def zone(name: str, argument: str = "timeZone") -> zoneinfo.ZoneInfo:
    """Return a time zone.

    Raises:
        ArgumentProblem: there is none of this name.
    """
    # The zone of this machine is none that a client could mean.
    if name not in zoneinfo.available_timezones() or name == "localtime":
        raise ArgumentProblem(argument, "there is no such time zone", allowed=["IANA names such as Europe/London"])
    return zoneinfo.ZoneInfo(name)


def zone_unknown_to_database(argument: str = "timeZone") -> ArgumentProblem:
    """Return what to raise for a zone that Python knows: Debian's PostgreSQL has no names that others have replaced."""
    return ArgumentProblem(
        argument,
        "the database does not know this time zone",
        allowed=["current IANA names: Asia/Kolkata, not Asia/Calcutta"],
    )


def _is_text(value: str) -> bool:
    """Tell whether PostgreSQL can hold it: no NUL, no half of a surrogate pair."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def encode_cursor(*parts: Any) -> str:
    """Return a cursor: where a page ended, opaque to clients."""
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode()


def decode_cursor(cursor: str, *kinds: type) -> list[Any]:
    """Return what a cursor holds.

    Raises:
        ArgumentProblem: it is not one of ours for this field.
    """
    try:
        parts = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as exc:
        raise foreign_cursor() from exc
    if not isinstance(parts, list) or len(parts) != len(kinds):
        raise foreign_cursor()
    for part, kind in zip(parts, kinds, strict=True):
        if not isinstance(part, kind) or isinstance(part, bool) or not _is_text(str(part)):
            raise foreign_cursor()
    return parts


def foreign_cursor() -> ArgumentProblem:
    """Return what to raise for a cursor of another field."""
    return ArgumentProblem("after", "the cursor is not of this field", allowed=["pageInfo.endCursor of a page before"])
