"""A schema registry in a folder, for development: one file per schema, `<id>.<subject>.avsc`."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import avro.errors
import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from telestream.consumers.registry_protocol import IncompatibleSchemaError, UnknownSchemaError
from telestream.errors import TerminalError, TransientError

_LOCK = ".lock"
_SUFFIX = ".avsc"


class FolderRegistry:
    """Keeps schemas in a folder that several processes may share; see `SchemaRegistry`.

    A schema may follow another one if what was written with the latter can be read with it (BACKWARD).

    Args:
        folder: where; it is made when the first schema is registered.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[int, dict[str, Any]] = {}

    def schema(self, schema_id: int) -> dict[str, Any]:
        """Return a schema; see `SchemaRegistry.schema`."""
        if schema_id not in self._known:
            with self._translated():
                names = os.listdir(self._folder)  # a folder that is not there is no answer
                path = next((self._folder / name for name in names if name.startswith(f"{schema_id}.")), None)
                if path is None:
                    raise UnknownSchemaError(f"there is no schema {schema_id}", detail=f"Folder {self._folder}.")
                self._known[schema_id] = _load(path)
        return self._known[schema_id]

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Return the id of a schema, registered if need be; see `SchemaRegistry.register`."""
        parsed = _parsed(schema)
        with self._translated(), self._locked():
            ids = self._ids(subject)
            for schema_id in ids:
                if self.schema(schema_id) == schema:
                    return schema_id
            if ids:
                _require_compatible(subject, parsed, _parsed(self.schema(ids[-1])))
            schema_id = max((_id(path) for path in self._folder.glob(f"*{_SUFFIX}")), default=0) + 1
            path = self._folder / f"{schema_id}.{quote(subject, safe='')}{_SUFFIX}"
            new = path.with_suffix(".new")
            new.write_text(json.dumps(schema, indent=2) + "\n")
            new.replace(path)
        return schema_id

    def latest(self, subject: str) -> tuple[int, dict[str, Any]] | None:
        """Return the schema registered last, with its id; see `SchemaRegistry.latest`."""
        with self._translated():
            ids = self._ids(subject)
            return (ids[-1], self.schema(ids[-1])) if ids else None

    def _ids(self, subject: str) -> list[int]:
        """Return the ids of a subject, rising."""
        ending = f".{quote(subject, safe='')}{_SUFFIX}"
        return sorted(_id(path) for path in self._folder.glob(f"*{_SUFFIX}") if path.name == f"{_id(path)}{ending}")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let no other process register meanwhile; a lock ends with the process that holds it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise TransientError(
                "the folder of the schemas cannot be used",
                detail=f"{self._folder}: {exc.strerror}.",
                hint="Correct it, or set TELESTREAM_SCHEMA_REGISTRY to another one.",
            ) from exc


def _id(path: Path) -> int:
    number = path.name.split(".", 1)[0]
    if not number.isdecimal():
        raise TerminalError(f"{path}: not a schema", detail="The files are named <id>.<subject>.avsc.")
    return int(number)


def _load(path: Path) -> dict[str, Any]:
    try:
        schema = json.loads(path.read_text())
    except ValueError as exc:
        raise TerminalError(f"{path}: not JSON", detail=f"{exc}.") from exc
    if not isinstance(schema, dict):
        raise TerminalError(f"{path}: not the schema of a record")
    return schema


def _parsed(schema: dict[str, Any]) -> avro.schema.Schema:
    try:
        return avro.schema.parse(json.dumps(schema))
    except avro.errors.AvroException as exc:
        raise TerminalError("this is no valid Avro schema", detail=f"{exc}.") from exc


def _require_compatible(subject: str, reader: avro.schema.Schema, writer: avro.schema.Schema) -> None:
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(reader, writer)
    if result.compatibility is not SchemaCompatibilityType.compatible:
        reasons = sorted({kind.value for kind in result.incompatibilities})
        raise IncompatibleSchemaError(
            f"the schema cannot follow the latest one of {subject}",
            detail="; ".join([*reasons, *sorted(result.messages), *sorted(result.locations)]) + ".",
            hint="Give new fields a default, and change types only to wider ones.",
        )
