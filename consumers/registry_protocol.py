"""What the product needs of a schema registry, and the errors of one."""

from __future__ import annotations

from typing import Any, Protocol

from telestream.errors import TerminalError


class UnknownSchemaError(TerminalError):
    """The registry answers that it has no such Avro schema."""


class IncompatibleSchemaError(TerminalError):
    """A schema cannot follow the latest one of its subject: its readers could not read what is there."""


class SchemaRegistry(Protocol):
    """Avro schemas by id and by subject; an id is never given to another schema."""

    def schema(self, schema_id: int) -> dict[str, Any]:
        """Return a schema.

        Raises:
            UnknownSchemaError: there is none with this id.
            TransientError: the registry does not answer.
        """

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Return the id of a schema of a subject, which is registered unless it was before.

        Raises:
            IncompatibleSchemaError: it cannot follow the latest schema of the subject.
            TransientError: the registry does not answer.
        """

    def latest(self, subject: str) -> tuple[int, dict[str, Any]] | None:
        """Return id and schema of what was registered last under a subject; nothing if nothing was.

        Raises:
            TransientError: the registry does not answer.
        """
