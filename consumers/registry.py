"""The schema registry of the settings, and the schemas that come with the product."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from telestream.consumers.registry_folder import FolderRegistry
from telestream.consumers.registry_http import HttpRegistry
from telestream.consumers.registry_protocol import IncompatibleSchemaError, SchemaRegistry, UnknownSchemaError
from telestream.settings import settings

__all__ = [
    "FolderRegistry",
    "HttpRegistry",
    "IncompatibleSchemaError",
    "SchemaRegistry",
    "UnknownSchemaError",
    "ensure_schema",
    "open_registry",
    "packaged_schema",
]


def open_registry() -> SchemaRegistry:
    """Return the registry of the settings: the one at a URL, or a folder; nothing is connected to yet.

    Raises:
        UsageError: the URL cannot be used.
    """
    place = settings().schema_registry
    if place.startswith(("http://", "https://")):
        password = settings().schema_registry_password.get_secret_value()
        return HttpRegistry(place, user=settings().schema_registry_user, password=password)
    return FolderRegistry(Path(place) if place else settings().state_dir / "schemas")


def packaged_schema(name: str) -> dict[str, Any]:
    """Return a schema of the product: network_event, cdr or alert."""
    text = resources.files("telestream.consumers").joinpath("schemas", f"{name}.avsc").read_text()
    schema: dict[str, Any] = json.loads(text)
    return schema


def ensure_schema(registry: SchemaRegistry, topic: str, name: str) -> int:
    """Register a schema of the product for the values of a topic, unless it is; return its id.

    Raises:
        IncompatibleSchemaError: the topic has a newer schema that this one cannot follow.
        TransientError: the registry does not answer.
    """
    return registry.register(f"{topic}-value", packaged_schema(name))
