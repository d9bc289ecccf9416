"""What a request carries through its resolvers."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from strawberry.types import Info

from telestream.graphql.principal import Principal, Scope
from telestream.graphql.problems import ForbiddenProblem
from telestream.graphql.reading import Database, Statement

if TYPE_CHECKING:
    from telestream.graphql.hot import HotReader
    from telestream.graphql.live import Hub
    from telestream.graphql.lookups import Lookups
    from telestream.graphql.response_cache import ResponseCache


@dataclass(frozen=True)
class Services:
    """What lives as long as the process; one event loop."""

    database: Database
    hot: HotReader
    hub: Hub
    cache: ResponseCache
    # The operator's time zone: days of Gold are its days.
    zone: ZoneInfo


@dataclass(frozen=True)
class Access:
    """What a field has read of people or customers: its name, the ids, how many rows."""

    field: str
    object_ids: tuple[str, ...]
    rows: int


@dataclass
class Context:
    """One request, or one subscription."""

    principal: Principal
    services: Services
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    accesses: list[Access] = field(default_factory=list)

    @cached_property
    def lookups(self) -> Lookups:
        """Loaders that gather what one request asks for by id into one statement each."""
        from telestream.graphql.lookups import Lookups

        return Lookups(self)

    async def read(self, statement: Statement) -> list[dict[str, Any]]:
        """Return the rows of a statement, read as the caller's role; see `Database.read`."""
        return await self.services.database.read(self.principal, statement)

    def require(self, scope: Scope) -> None:
        """Refuse a caller without a scope.

        Raises:
            ForbiddenProblem: it is not among the caller's scopes.
        """
        if scope not in self.principal.scopes:
            raise ForbiddenProblem(
                f"the scope {scope} is needed for this field", hint="Ask for a key with this scope.", scope=str(scope)
            )

    def note(self, field_name: str, ids: list[Any], rows: int) -> None:
        """Remember that personal or customer-level data was read; it is written to the access log."""
        self.accesses.append(Access(field_name, tuple(str(one) for one in ids[:500]), rows))


ApiInfo = Info[Context, None]
