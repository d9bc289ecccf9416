"""Queries by their hash: the allow-list in the database, and what clients register by themselves in Redis."""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from psycopg import sql
from psycopg.rows import scalar_row

from telestream.graphql.problems import (
    BadRequestProblem,
    PersistedMismatchProblem,
    PersistedNotFoundProblem,
    PersistedRequiredProblem,
)
from telestream.graphql.reading import Database
from telestream.graphql.redis_link import RedisLink

_KEEP_SECONDS = 24 * 3600
_LIST_SECONDS = 10.0
_MOST_LOCAL = 500
_HASH = re.compile(r"[0-9a-f]{64}")


def digest(document: str) -> str:
    """Return the hash of a document."""
    return hashlib.sha256(document.encode()).hexdigest()


class PersistedQueries:
    """Finds documents by hash; for one event loop."""

    def __init__(
        self, database: Database, redis: RedisLink, *, production: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._redis = redis
        self._production = production
        self._clock = clock
        # Of the allow-list, and when it was looked for; None: it is not there.
        self._listed: OrderedDict[str, tuple[float, str | None]] = OrderedDict()
        self._local: OrderedDict[str, str] = OrderedDict()

    async def document(self, query: str | None, extensions: Any) -> tuple[str, bool]:
        """Return the document of a request, and whether it was asked for by its hash alone.

        Raises:
            PersistedNotFoundProblem: the hash is not known.
            PersistedMismatchProblem: document and hash do not fit.
            PersistedRequiredProblem: in production mode the document is not on the allow-list.
            BadRequestProblem: there is neither document nor hash.
        """
        wanted = _wanted(extensions)
        if query is not None:
            found = digest(query)
            if wanted is not None and wanted != found:
                raise PersistedMismatchProblem("the hash is not the one of the document")
            if self._production:
                if await self._allowed(found) is None:
                    raise PersistedRequiredProblem(
                        "only queries of the allow-list are answered",
                        hint="`telestream api persist FILE` adds one.",
                    )
            elif wanted is not None:
                await self._register(found, query)
            return query, False
        if wanted is None:
            raise BadRequestProblem("the request has no query", hint='Send JSON: {"query": "{ regions { name } }"}.')
        document = await self._allowed(wanted)
        if document is None and not self._production:
            document = await self._registered(wanted)
        if document is None:
            raise PersistedNotFoundProblem
        return document, True

    async def _allowed(self, wanted: str) -> str | None:
        known = self._listed.get(wanted)
        if known is not None and (known[1] is not None or self._clock() - known[0] < _LIST_SECONDS):
            return known[1]
        rows = await self._database.own(
            sql.SQL("SELECT p.document FROM api.persisted_query AS p WHERE p.document_sha256 = {}").format(
                sql.Literal(wanted)
            ),
            scalar_row,
        )
        document = rows[0] if rows else None
        self._listed[wanted] = (self._clock(), document)
        while len(self._listed) > _MOST_LOCAL:
            self._listed.popitem(last=False)
        return document

    async def _register(self, found: str, document: str) -> None:
        self._local[found] = document
        self._local.move_to_end(found)
        while len(self._local) > _MOST_LOCAL:
            self._local.popitem(last=False)
        await self._redis.run(lambda client: client.set(_key(found), document, ex=_KEEP_SECONDS))

    async def _registered(self, wanted: str) -> str | None:
        if wanted in self._local:
            return self._local[wanted]
        value = await self._redis.text(_key(wanted))
        return value.decode() if value else None


def _key(found: str) -> str:
    return f"telestream:api:document:{found}"


def _wanted(extensions: Any) -> str | None:
    persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    if persisted is None:
        return None
    wanted = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
    if not isinstance(wanted, str) or not _HASH.fullmatch(wanted):
        raise BadRequestProblem("extensions.persistedQuery.sha256Hash is no hash", hint="64 hexadecimal digits.")
    return wanted
