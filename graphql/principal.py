"""Who calls: the database role they read as, the parts of the schema they may use, how often they may ask."""

from __future__ import annotations

import enum
from dataclasses import dataclass

ROLES = ("api", "analyst", "engineer", "privacy")
DEFAULT_RATE = 100


class Scope(enum.StrEnum):
    """Parts of the schema that a key or token opens; the role decides beyond that what the database shows."""

    NETWORK = "network"
    CUSTOMER = "customer"
    REVENUE = "revenue"
    QUALITY = "quality"
    ALERTS = "alerts"
    FRAUD = "fraud"
    ALERTS_WRITE = "alerts:write"
    CACHE_WRITE = "cache:write"


# Not fraud: who is suspected is asked for by name.
READ_SCOPES = (Scope.NETWORK, Scope.CUSTOMER, Scope.REVENUE, Scope.QUALITY, Scope.ALERTS)


@dataclass(frozen=True)
class Principal:
    """A caller; `name` is key:<key_id> or jwt:<subject>, `rate` requests a minute, `expires` seconds since 1970."""

    name: str
    role: str
    scopes: frozenset[Scope]
    rate: int
    expires: float

    @property
    def database_role(self) -> str:
        """The role each transaction takes."""
        return f"telestream_{self.role}"
