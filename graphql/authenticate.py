"""From the headers of a request, or its key or token, to the principal."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from psycopg import sql
from psycopg.rows import class_row

from telestream.graphql import keys
from telestream.graphql.principal import Principal, Scope
from telestream.graphql.problems import (
    DatabaseProblem,
    ExpiredProblem,
    OverloadedProblem,
    TimeoutProblem,
    UnauthenticatedProblem,
)
from telestream.graphql.reading import Database
from telestream.graphql.tokens import Tokens

# How long a revoked key may still be accepted.
KEEP_SECONDS = 5.0
# How long a key is good without being looked up again while the database does not answer: as long as answers are kept.
AWAY_SECONDS = 300.0
_MOST_KEYS = 10_000
_USED_SECONDS = 60.0
_HINT = "Send `Authorization: Bearer <key or token>`; `telestream api key create` makes a key."


def credential_of(headers: Mapping[str, str]) -> str:
    """Return the key or token in the headers of a request, empty if there is none."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    return (credential if scheme.lower() == "bearer" else headers.get("x-api-key", "")).strip()


class Authenticator:
    """Checks keys against the database, remembered for some seconds, and tokens by their signature."""

    def __init__(self, database: Database, tokens: Tokens, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._tokens = tokens
        self._clock = clock
        # Key id: when the database was asked last, when it answered last, and what.
        self._rows: OrderedDict[str, tuple[float, float, keys.KeyRow | None]] = OrderedDict()
        self._noted: dict[str, float] = {}

    async def of_credential(self, credential: str) -> Principal:
        """Return who a key or token stands for.

        Raises:
            UnauthenticatedProblem: nobody we know.
            DatabaseProblem: a key cannot be looked up.
        """
        if not credential:
            raise UnauthenticatedProblem("there is no key and no token", hint=_HINT)
        parts = keys.split(credential)
        if parts is None:
            return await self._tokens.principal(credential)
        key_id, secret = parts
        row = await self._row(key_id)
        if row is None or not keys.matches(secret, row):
            raise UnauthenticatedProblem("the key is not known", hint=_HINT)
        if row.revoked_at is not None:
            raise ExpiredProblem("the key was revoked", hint="Ask for a new one.")
        if row.expires_at.timestamp() <= self._clock():
            raise ExpiredProblem("the key has expired", hint="Ask for a new one.")
        self._noted.setdefault(key_id, float("-inf"))
        return Principal(
            f"key:{key_id}",
            row.role,
            frozenset(Scope(one) for one in row.scopes if one in set(Scope)),
            row.rate_per_minute,
            row.expires_at.timestamp(),
        )

    async def note_used(self) -> None:
        """Write down when the keys of the last minute were used; called now and then, off the request path."""
        now = self._clock()
        used = [key_id for key_id, noted in self._noted.items() if now - noted > _USED_SECONDS]
        if not used:
            return
        await self._database.write(
            sql.SQL("UPDATE api.key SET last_used_at = clock_timestamp() WHERE key_id = ANY({})").format(
                sql.Literal(used)
            )
        )
        self._noted.clear()

    async def _row(self, key_id: str) -> keys.KeyRow | None:
        known = self._rows.get(key_id)
        now = self._clock()
        if known is not None:
            if now - known[0] < KEEP_SECONDS:
                return known[2]
            # One asks; the others go on with what is known.
            self._rows[key_id] = (now, *known[1:])
        try:
            found = await self._database.own(
                sql.SQL("SELECT {} FROM api.key WHERE key_id = {}").format(sql.SQL(keys.COLUMNS), sql.Literal(key_id)),
                class_row(keys.KeyRow),
            )
        except (DatabaseProblem, OverloadedProblem, TimeoutProblem):
            if known is None or known[2] is None or now - known[1] > AWAY_SECONDS:
                self._rows.pop(key_id, None)
                raise
            return known[2]
        row = found[0] if found else None
        self._rows[key_id] = (now, now, row)
        self._rows.move_to_end(key_id)
        while len(self._rows) > _MOST_KEYS:
            self._rows.popitem(last=False)
        return row
