"""The access log: rows are gathered here and written in batches, off the path of the request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import sql

from telestream.graphql.context import Access
from telestream.graphql.principal import Principal
from telestream.graphql.problems import OverloadedProblem, Problem
from telestream.graphql.reading import Database

# A crash loses at most what this time brought.
INTERVAL_SECONDS = 0.5
_ROWS_PER_STATEMENT = 500
# With so many rows unwritten, what would need another is refused.
MOST_WAITING = 10_000
# Fields at the top of a document that read personal or customer-level data.
AUDITED = frozenset({"customer", "topCustomers", "cdrs", "quarantine"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuditRow:
    """A row of `audit.access_inbox`, and a little later of `audit.access_log`."""

    at: datetime
    principal: str
    role: str
    operation: str
    field: str
    variables_sha256: str
    object_ids: Sequence[str]
    rows_read: int
    request_id: str


class AuditLog:
    """Writes the access log; for one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[AuditRow] = deque()

    @property
    def waiting(self) -> int:
        """How many rows are not written yet."""
        return len(self._waiting)

    def require_room(self) -> None:
        """Refuse a read that could not be logged.

        Raises:
            OverloadedProblem: too many rows wait, because the database takes none.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise OverloadedProblem("the access log cannot be written")

    def add(
        self, principal: Principal, operation: str, variables_sha256: str, accesses: Sequence[Access], request_id: str
    ) -> None:
        """Take what a request has read."""
        now = datetime.now(UTC)
        self._waiting.extend(
            AuditRow(
                now, principal.name, principal.role, operation, one.field, variables_sha256, one.object_ids, one.rows,
                request_id,
            )
            for one in accesses
        )  # fmt: skip

    async def run(self) -> None:
        """Write until cancelled; what cannot be written waits."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            with contextlib.suppress(Problem):
                await self.flush()

    async def flush(self) -> None:
        """Write all that waits.

        Raises:
            Problem: the database does not take it; it stays.
        """
        written = bool(self._waiting)
        while self._waiting:
            rows = [self._waiting[position] for position in range(min(_ROWS_PER_STATEMENT, len(self._waiting)))]
            await self._database.write(_insert(rows))
            for _ in rows:
                self._waiting.popleft()
        if written:
            with contextlib.suppress(Problem):  # they are committed: a job chains them within the minute
                await self._database.write(sql.SQL("SELECT audit.seal()"))


def _insert(rows: Sequence[AuditRow]) -> sql.Composed:
    return sql.SQL(
        "INSERT INTO audit.access_inbox (at, principal, role, operation, field, variables_sha256, object_ids,"
        " rows_read, request_id) VALUES {}"
    ).format(
        sql.SQL(", ").join(
            sql.SQL("({}, {}, {}, {}, {}, {}, {}::text[], {}, {})").format(
                *(
                    sql.Literal(value)
                    for value in (
                        row.at, row.principal, row.role, row.operation, row.field, row.variables_sha256,
                        list(row.object_ids), row.rows_read, row.request_id,
                    )
                )
            )
            for row in rows
        )
    )  # fmt: skip
