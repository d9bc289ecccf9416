"""The database as the API uses it: a bounded pool, and each statement in a transaction of the caller's role."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import socket
from collections import Counter
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, errors, pq, sql
from psycopg.rows import BaseRowFactory, dict_row, tuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from telestream.graphql.principal import Principal
from telestream.graphql.problems import DatabaseProblem, ForbiddenProblem, OverloadedProblem, TimeoutProblem
from telestream.graphql.spans import statement_span

GATEWAY_ROLE = "telestream_gateway"
STATEMENT_SECONDS = 5.0
# A request that waits longer than this for a connection is told to come again.
_WAIT_SECONDS = 1.0
# How much later than the server we end a statement ourselves: it may be frozen, or the network may be gone.
_PATIENCE_SECONDS = 2.0
# Statements before and after the caller's own in a transaction.
_BEFORE = 3

_log = logging.getLogger(__name__)
Row = TypeVar("Row")
Statement = sql.SQL | sql.Composed
Pool = AsyncConnectionPool[AsyncConnection[Any]]


class Database:
    """Reads as somebody, and writes what the API itself has to write; for one event loop.

    A statement goes to the server with its literals, in one message together with the role it runs as: one round
    trip, and no prepared statement, so no generic plan that would lose chunk exclusion.
    """

    def __init__(self, url: str, replica_url: str = "", *, size: int = 10, seconds: float = STATEMENT_SECONDS) -> None:
        """Prepare the pools.

        Args:
            url: where the API writes; reads go there too without a replica.
            replica_url: where it reads.
            size: connections at most, in each pool.
            seconds: a statement that takes longer is ended by the server.
        """
        self._timeout = sql.Literal(f"{seconds * 1000:.0f}ms")
        self._patience = seconds + _PATIENCE_SECONDS
        self._primary = self._pool(url, size)
        self._replica = self._pool(replica_url, size) if replica_url else self._primary
        # How many statements were sent, those of the transaction not counted.
        self.statements = 0
        self._running: Counter[Pool] = Counter()

    @property
    def has_replica(self) -> bool:
        """Whether reads go to another server than writes."""
        return self._replica is not self._primary

    async def open(self) -> None:
        """Begin to connect; does not wait for the server, which may come later."""
        for pool in {self._primary, self._replica}:
            await pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections."""
        for pool in {self._primary, self._replica}:
            await pool.close()

    def waiting(self) -> int:
        """Return how many requests wait for a connection to read with."""
        return int(self._replica.get_stats().get("requests_waiting", 0))

    async def read(self, principal: Principal, statement: Statement) -> list[dict[str, Any]]:
        """Return the rows of one statement, read as the caller's role in a read-only transaction.

        Raises:
            ForbiddenProblem: the role may not read it.
            TimeoutProblem: it took too long.
            DatabaseProblem: the database does not answer.
            OverloadedProblem: all connections are busy.
        """
        return await self._run(self._replica, self._as(principal, statement, "BEGIN READ ONLY"), _BEFORE, dict_row)

    async def change(self, principal: Principal, statement: Statement) -> list[dict[str, Any]]:
        """Return the rows of one statement that changes something, run as the caller's role; raises as `read`."""
        return await self._run(self._primary, self._as(principal, statement, "BEGIN"), _BEFORE, dict_row, tries=0)

    async def own(self, statement: Statement, row_factory: BaseRowFactory[Row]) -> list[Row]:
        """Return the rows of one statement of the API itself, as the gateway; raises as `read`."""
        return await self._run(self._primary, statement, 0, row_factory)

    async def own_of_replica(self, statement: Statement, row_factory: BaseRowFactory[Row]) -> list[Row]:
        """Return the same from where callers read, which may lag behind; raises as `read`."""
        return await self._run(self._replica, statement, 0, row_factory)

    async def write(self, statement: Statement) -> None:
        """Run one statement of the API itself that returns nothing; raises as `read`."""
        await self._run(self._primary, statement, 0, tuple_row, tries=0)

    def _pool(self, url: str, size: int) -> Pool:
        return AsyncConnectionPool(
            url,
            min_size=1,
            max_size=size,
            # More would wait than can be served in the time anybody waits.
            max_waiting=size * 20,
            open=False,
            timeout=_WAIT_SECONDS,
            # A lost server is looked for again without end, at most this many seconds apart.
            reconnect_timeout=10.0,
            configure=self._configure,
            name="api",
            kwargs={
                "autocommit": True,
                "prepare_threshold": None,
                "connect_timeout": 3,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 4,
                "tcp_user_timeout": 10_000,
                "application_name": "telestream api",
            },
        )

    async def _configure(self, connection: AsyncConnection[Any]) -> None:
        await connection.execute(
            sql.SQL(
                "SET ROLE {}; SET plan_cache_mode = force_custom_plan; SET timezone = 'UTC'; SET jit = off;"
                " SET statement_timeout = {}"
            ).format(sql.Identifier(GATEWAY_ROLE), self._timeout)
        )

    def _as(self, principal: Principal, statement: Statement, begin: str) -> Statement:
        return sql.SQL("{}; SET LOCAL ROLE {}; SET LOCAL statement_timeout = {}; {}; COMMIT").format(
            sql.SQL(begin), sql.Identifier(principal.database_role), self._timeout, statement
        )

    async def _run(
        self, pool: Pool, statement: Statement, before: int, row_factory: BaseRowFactory[Row], tries: int = 1
    ) -> list[Row]:
        self.statements += 1
        was_cut: list[bool] = []
        try:
            while True:
                async with pool.connection(_WAIT_SECONDS) as connection:
                    if _has_died(connection):
                        await connection.close()
                        continue
                    self._running[pool] += 1
                    timer = asyncio.get_running_loop().call_later(self._patience, _cut, connection, was_cut)
                    try:
                        with statement_span(statement):
                            return await _execute(connection, statement, before, row_factory)
                    finally:
                        timer.cancel()
                        self._running[pool] -= 1
        except (PoolTimeout, TooManyRequests) as exc:
            # Nobody has a connection and still there is none: the server is gone.
            if self._running[pool]:
                raise OverloadedProblem("all connections to the database are busy") from exc
            raise DatabaseProblem from exc
        except errors.InsufficientPrivilege as exc:
            raise ForbiddenProblem(
                "the role of the caller may not read or change this", hint="Ask for a key of another role."
            ) from exc
        except (errors.QueryCanceled, errors.LockNotAvailable) as exc:
            raise TimeoutProblem from exc
        except (errors.OperationalError, errors.InterfaceError) as exc:
            if tries and not was_cut:  # the server went away just now, and may be back
                return await self._run(pool, statement, before, row_factory, tries - 1)
            _log.warning("the database does not answer: %s", type(exc).__name__)
            raise DatabaseProblem from exc


async def _execute(
    connection: AsyncConnection[Any], statement: Statement, before: int, row_factory: BaseRowFactory[Row]
) -> list[Row]:
    try:
        cursor = connection.cursor(row_factory=row_factory)
        await cursor.execute(statement)
        for _ in range(before):
            cursor.nextset()
        return await cursor.fetchall() if cursor.description else []
    finally:
        if connection.info.transaction_status == pq.TransactionStatus.INERROR:
            with contextlib.suppress(psycopg.Error):
                await connection.rollback()


def _has_died(connection: AsyncConnection[Any]) -> bool:
    """Tell whether the server has ended a connection that nobody used: something is there to be read, its end."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _cut(connection: AsyncConnection[Any], was_cut: list[bool]) -> None:
    """Break a connection whose server does not answer, whoever waits for it."""
    was_cut.append(True)
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as one:
        one.shutdown(socket.SHUT_RDWR)
