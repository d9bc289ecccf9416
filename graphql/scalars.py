"""Scalars and types that several parts of the schema share."""

from __future__ import annotations

from typing import Any, NewType

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.types.scalar import ScalarDefinition, scalar

Long = NewType("Long", int)

_LONG: ScalarDefinition = scalar(
    name="Long",
    description="A 64-bit integer, written as a JSON number; JavaScript holds it exactly up to 2^53.",
    serialize=int,
    parse_value=int,
)
CONFIG = StrawberryConfig(scalar_map={Long: _LONG})


def choice(value: str, description: str) -> Any:
    """Return a value of an enum with its description."""
    return strawberry.enum_value(value, description=description)


@strawberry.type(description="Where a page of a connection ends.")
class PageInfo:
    """The page of a connection."""

    has_next_page: bool = strawberry.field(description="Whether there is more after it.")
    end_cursor: str | None = strawberry.field(
        description="Give it as `after` to get the next page; null for an empty page."
    )
