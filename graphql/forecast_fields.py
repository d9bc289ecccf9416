"""What is expected of a cell in the days to come."""

from __future__ import annotations

import enum
from datetime import date, datetime

import strawberry

from telestream.graphql.scalars import choice

LONGEST = 14


@strawberry.enum(description="What is forecast: traffic of the busiest hour of a day.")
class ForecastMeasure(enum.Enum):
    """A measure."""

    ERLANGS = choice("erlangs", "Voice traffic, mean number of calls in progress.")
    MEGABYTES = choice("megabytes", "Bytes up and down, in millions.")


@strawberry.enum(description="How a forecast was made, or why there is none.")
class ForecastMethod(enum.Enum):
    """A method."""

    MODEL = choice("model", "The model.")
    SEASONAL_NAIVE = choice("seasonal_naive", "As last week: too short or sparse a history for the model.")
    CONSTANT = choice("constant", "The history does not change.")
    NOT_ENOUGH_HISTORY = choice("not_enough_history", "No forecast: less than two weeks of history, or silent now.")


@strawberry.type(description="The newest forecast of a cell, as columns: each list has an entry per entry of `days`.")
class CellForecast:
    """A forecast."""

    measure: ForecastMeasure = strawberry.field(description="What is forecast.")
    method: ForecastMethod = strawberry.field(description="How it was made.")
    made_at: datetime = strawberry.field(description="When it was made.")
    model: str = strawberry.field(description="Model and version of the library.")
    capacity_erlangs: float | None = strawberry.field(
        description="What the cell can carry, for `ERLANGS`; null: not known."
    )
    first_day_at_risk: date | None = strawberry.field(
        description="First of these days on which `upper95` exceeds the capacity; null: none, or no capacity is known."
    )
    days: list[date] = strawberry.field(description="Days in the operator's time zone.")
    expected: list[float | None] = strawberry.field(description="Median; null without enough history.")
    lower80: list[float | None] = strawberry.field(description="Lower end of the 80 % prediction interval.")
    upper80: list[float | None] = strawberry.field(description="Upper end of the 80 % prediction interval.")
    lower95: list[float | None] = strawberry.field(description="Lower end of the 95 % prediction interval.")
    upper95: list[float | None] = strawberry.field(description="Upper end of the 95 % prediction interval.")
