"""The keys and channels in Redis that the parts share, and where Redis is."""

from __future__ import annotations

from telestream.errors import TerminalError
from telestream.settings import settings
from telestream.stack import state as stack_state

# Notices of alerts, each a JSON object with the fields of consumers/schemas/alert.avsc.
ALERTS = "telestream:alerts"
# Tells of each write of hot windows: a JSON object with `bucket`, `cells`, `events`.
HOT = "telestream:hot"
# A hash with the newest 5-minute window of the whole network; what its fields are says consumers/hot.py.
HOT_NETWORK = "telestream:hot:network"

# What cached answers of the API begin with, and what they are made of, as api.gold_version() names it.
ANSWERS = "telestream:api:answer:"
ANSWER_TAGS = ("anomaly", "network", "network_map", "quality", "traffic")


def answers_dropped(tag: str) -> str:
    """Return the key of the counter that makes answers with a tag unreachable when it grows."""
    return f"telestream:api:dropped:{tag}"


def hot_cell(cell_id: str, technology: str) -> str:
    """Return the key of the hash with the newest window of a cell and technology."""
    return f"telestream:hot:cell:{cell_id}:{technology}"


def cache_url() -> str:
    """Return the URL of Redis: the setting's, else the embedded stack's.

    Raises:
        TerminalError: neither is there.
    """
    if settings().redis_url:
        return settings().redis_url
    state = stack_state.load()
    if state is None:
        raise TerminalError(
            "no cache is configured",
            detail="TELESTREAM_REDIS_URL is not set and the embedded stack has never been started.",
            hint="Run `telestream stack up`, or set TELESTREAM_REDIS_URL.",
        )
    return state.redis_url
