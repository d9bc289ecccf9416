"""How cells behave, as the schema has it: fingerprint, drift, and the second opinion on an anomaly."""

from __future__ import annotations

import enum
from datetime import date, datetime

import strawberry

from telestream.graphql.scalars import Long, choice


@strawberry.type(description="How a cell's load is spread over the week, and its quality.")
class CellFingerprint:
    """A fingerprint."""

    last_week: date = strawberry.field(description="Monday of the newest week in it.")
    weeks: int = strawberry.field(description="How many weeks it was made of.")
    slots: int = strawberry.field(description="Hours of the week with data, of 168; the others are filled in.")
    records: Long = strawberry.field(description="Records and connections it stands on.")
    load_shares: list[float] = strawberry.field(
        description="Share of the load in each of the 168 hours of the operator's week, the first Monday 0:00."
    )
    failed_pct: float = strawberry.field(description="Failed per 100 voice calls; 4 where there are none.")
    dropped_pct: float = strawberry.field(description="Lost per 100 answered calls; 4 where there are none.")
    lost_pct: float = strawberry.field(
        description="Lost per 100 attaches, set-ups and handovers; 4 where there are none."
    )
    peer_distance: float | None = strawberry.field(description="Mean distance to the five most similar cells.")
    built_at: datetime = strawberry.field(description="When it was made.")


@strawberry.type(description="How far a week of a cell lies from its own weeks before.")
class CellDrift:
    """A drift."""

    week: date = strawberry.field(description="Monday of the week.")
    distance: float = strawberry.field(description="Distance of the two profiles, 0 to about 1.5.")
    by_chance: float = strawberry.field(description="Distance that as few records would show if nothing had changed.")
    is_drifting: bool = strawberry.field(description="More than 0.15, and more than twice what chance would show.")
    records: Long = strawberry.field(description="Records and connections of the week.")
    past_records: Long = strawberry.field(description="Of the weeks before.")
    past_weeks: int = strawberry.field(description="How many weeks before it was held against.")


@strawberry.enum(description="What the cells most like that of an anomaly say.")
class Opinion(enum.Enum):
    """An opinion."""

    ALONE = choice("alone", "Fewer than half of them showed the same: it behaves like no cell of its kind.")
    SHARED = choice("shared", "Half of them or more showed the same.")
    UNKNOWN = choice("unknown", "It has no fingerprint, or too few of them could be judged.")


@strawberry.type(description="Whether the ten cells most like that of an anomaly showed the same in its worst window.")
class SecondOpinion:
    """A second opinion."""

    opinion: Opinion = strawberry.field(description="What they say.")
    peers: int = strawberry.field(description="How many of them could be judged, each against its own baseline.")
    alike: int = strawberry.field(description="How many showed the same.")
