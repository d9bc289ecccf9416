"""What operators of the API may do through it."""

from __future__ import annotations

import enum
from typing import Annotated

import strawberry
from strawberry import argument

from telestream.graphql.access import marked
from telestream.graphql.context import ApiInfo
from telestream.graphql.principal import Scope
from telestream.graphql.problems import ArgumentProblem
from telestream.graphql.scalars import choice


@strawberry.enum(description="Parts of Gold that cached answers depend on.")
class CacheTag(enum.Enum):
    """A tag of cached answers."""

    TRAFFIC = choice("traffic", "What is made of CDRs: traffic, voice KPIs, usage, revenue.")
    NETWORK = choice("network", "What is made of network events.")
    NETWORK_MAP = choice("network_map", "Cells, regions and plans.")
    QUALITY = choice("quality", "Quality and freshness.")
    ANOMALY = choice("anomaly", "Anomalies.")


@strawberry.type
class AdminMutation:
    """The part of Mutation about the API itself."""

    @strawberry.mutation(
        **marked(
            Scope.CACHE_WRITE,
            "Forget cached answers that depend on these parts, in all processes; true if the cache answers. Needed "
            "only where a name was changed by hand: a refresh of Gold makes old answers unreachable by itself.",
            cost=10,
        )
    )
    async def invalidate_cache(
        self, info: ApiInfo, tags: Annotated[list[CacheTag], argument(description="Which parts.")]
    ) -> bool:
        if not tags:
            raise ArgumentProblem("tags", "no part is named", allowed=[tag.name for tag in CacheTag])
        return await info.context.services.cache.invalidate([tag.value for tag in tags])
