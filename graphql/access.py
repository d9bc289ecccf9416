"""How a field says which scope it needs, what it costs and what its answer depends on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from strawberry.extensions import FieldExtension

from telestream.graphql.context import ApiInfo
from telestream.graphql.principal import Scope


class Requires(FieldExtension):
    """Refuses callers without a scope, wherever the field stands in a document."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def resolve_async(
        self, next_: Callable[..., Awaitable[Any]], source: Any, info: ApiInfo, **kwargs: Any
    ) -> Any:
        """Check, then resolve."""
        info.context.require(self.scope)
        return await next_(source, info, **kwargs)


def marked(
    scope: Scope,
    description: str,
    *,
    cost: int = 10,
    tags: tuple[str, ...] = (),
    seconds: int = 300,
    size: str | None = None,
    default: int = 1,
) -> dict[str, Any]:
    """Return the arguments of `strawberry.field` for a field that reads.

    Args:
        scope: what a caller needs.
        description: what it is, for people; the scope is added.
        cost: what one statement of it weighs.
        tags: the parts of Gold the answer depends on; without any it is never cached.
        seconds: how long an answer may be cached.
        size: the argument that says how many items are asked for.
        default: how many without it.
    """
    metadata: dict[str, Any] = {"cost": cost, "tags": tags, "seconds": seconds}
    if size:
        metadata |= {"size": size, "default": default}
    return {
        "description": f"{description} Scope: {scope}.",
        "extensions": [Requires(scope)],
        "metadata": metadata,
    }
