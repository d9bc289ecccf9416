"""The connection of a job that one process at a time may do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from telestream.db.connection import Connection, connect, translated
from telestream.errors import TransientError


class SoleConnection:
    """A connection that holds an advisory lock: opened when needed, and anew after it was lost.

    Args:
        url: the database.
        role: to act as.
        lock: two keys of the lock, of our own.
        job: what the others do not do meanwhile, e.g. "sends the notifications".
    """

    def __init__(self, url: str, role: str, lock: tuple[int, int], job: str) -> None:
        self._url = url
        self._role = role
        self._lock = lock
        self._job = job
        self._connection: Connection | None = None

    @contextmanager
    def using(self) -> Iterator[Connection]:
        """Give the connection, autocommit.

        Raises:
            TransientError: the database does not answer, or another process does the job.
        """
        if self._connection is None:
            self._connection = self._opened()
        connection = self._connection
        try:
            with translated(self._url):
                yield connection
        finally:
            if connection.closed:
                self._connection = None

    def close(self) -> None:
        """Close it; another process may then begin."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> Connection:
        connection = connect(self._url, role=self._role, autocommit=True)
        with translated(self._url):
            if connection.execute("SELECT pg_try_advisory_lock(%s, %s)", self._lock).fetchone() != (True,):
                connection.close()
                raise TransientError(f"another process {self._job}", hint="Stop it first, or leave it to that one.")
        return connection
