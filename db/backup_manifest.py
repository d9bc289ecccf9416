"""The manifest of a backup: what was backed up, when, and how to tell that it is whole."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telestream.errors import TerminalError, UsageError

MANIFEST = "manifest.json"
DUMP = "database.dump"
_FORMAT = 1


@dataclass(frozen=True)
class Contents:
    """What a table or view held: rows, and the sum of a 64-bit hash of each row's text."""

    rows: int
    checksum: str


@dataclass(frozen=True)
class GroupRole:
    """A group role of ours: its settings (`name=value`) and what it is a member of."""

    settings: list[str]
    member_of: list[tuple[str, bool, bool]]
    """Role, INHERIT, SET."""


@dataclass(frozen=True)
class Manifest:
    """All that is said about a backup; it names no person and holds no secret."""

    made_at: str
    revision: str
    edition: str
    postgres_major: int
    timescaledb: str
    extensions: dict[str, str]
    time_zone: str
    owner: str
    group_roles: dict[str, GroupRole]
    vault_key: str | None
    """Fingerprint of the key that opens the vault."""
    contents: dict[str, Contents]
    dump_bytes: int
    dump_sha256: str
    without: tuple[str, ...] = ("the vault key", "login roles and their passwords", "jobs of pg_cron")
    format: int = _FORMAT


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into the folder of its backup, down to the disk."""
    with (folder / MANIFEST).open("w") as file:
        file.write(json.dumps(dataclasses.asdict(manifest), indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(folder: Path) -> Manifest:
    """Return the manifest of a backup.

    Raises:
        UsageError: there is no backup.
        TerminalError: its manifest is damaged, or of a newer version.
    """
    path = folder / MANIFEST
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        if document["format"] != _FORMAT:
            raise TerminalError(
                "the backup was made by a newer version", hint="Restore it with the version that made it."
            )
        roles, contents = document["group_roles"], document["contents"]
        document |= {
            "group_roles": {
                name: GroupRole(role["settings"], [(one[0], one[1], one[2]) for one in role["member_of"]])
                for name, role in roles.items()
            },
            "contents": {name: Contents(**one) for name, one in contents.items()},
            "without": tuple(document["without"]),
        }
        return Manifest(**document)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise UsageError(
            f"there is no backup in {folder}",
            detail=f"{MANIFEST} is missing.",
            hint="Name the folder that `telestream backup create` has written.",
        ) from exc
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as exc:
        raise TerminalError(
            "the manifest of the backup cannot be read", detail=f"{path} is damaged.", hint="Take another backup."
        ) from exc
