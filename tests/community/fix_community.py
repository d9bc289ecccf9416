"""Fixtures that give a database on the community edition of TimescaleDB."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# `tests` is on pytest's pythonpath.
from community.community_server import CommunityUnavailableError, community_server

_GIVEN = "TELESTREAM_TEST_COMMUNITY_URL"


def _served() -> Iterator[str]:
    try:
        with community_server() as server:
            yield server.url
    except CommunityUnavailableError as exc:
        pytest.skip(f"no community edition: {exc}")


@pytest.fixture(scope="session")
def community_url() -> Iterator[str]:
    """URL of a prepared, empty community database for the whole session, as the role that owns it.

    A server given in TELESTREAM_TEST_COMMUNITY_URL is used as it is. Ours takes one connection at a time.
    """
    given = os.environ.get(_GIVEN)
    if given:
        yield given
    else:
        yield from _served()


@pytest.fixture
def fresh_community_url() -> Iterator[str]:
    """URL of a prepared, empty community database for one test, on a server of its own."""
    if os.environ.get(_GIVEN):
        pytest.skip(f"{_GIVEN} names one database, and this test needs one of its own")
    yield from _served()
