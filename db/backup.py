"""Makes a backup of the whole database while loads go on, and verifies one."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from telestream.db import backup_manifest, backup_tools, migrate
from telestream.db.backup_contents import OWNER, contents
from telestream.db.backup_manifest import DUMP, GroupRole, Manifest
from telestream.db.connection import Connection, connect, translated
from telestream.db.edition import edition
from telestream.errors import TerminalError, UsageError
from telestream.stack.database import GROUP_ROLES

Told = Callable[[str], None]
_RESTORES_COMPRESSED = (2, 20, 1)
_FACTS = """
SELECT
    to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    current_setting('server_version_num')::integer / 10000,
    (SELECT jsonb_object_agg(e.extname, e.extversion) FROM pg_extension AS e WHERE e.extname <> 'pg_cron'),
    (SELECT s.value FROM ops.setting AS s WHERE s.name = 'time_zone'),
    (SELECT pg_get_userbyid(d.datdba) FROM pg_database AS d WHERE d.datname = current_database()),
    (SELECT encode(k.fingerprint, 'hex') FROM vault.key AS k WHERE k.state = 'current'),
    pg_export_snapshot()
"""


def create(url: str, target: Path, told: Told) -> Manifest:
    """Write a backup into a new folder, which takes its name once it is whole.

    Dump, counts and checksums are of one moment: they share a snapshot. Memory does not depend on the size.

    Args:
        url: of the owner of the database, or of a superuser.
        target: a folder that does not exist yet.
        told: called with each step.

    Raises:
        UsageError: the target exists or cannot be written.
        TerminalError: pg_dump is missing, is of another version or failed; the dump could not be restored.
        SchemaOutdatedError: the database is at another revision.
    """
    if target.exists():
        raise UsageError(f"{target} exists", hint="Name a folder that does not: a backup replaces none.")
    with translated(url), connect(url, autocommit=True) as connection, _partial(target) as folder:
        migrate.require_head(connection)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = connection.execute(_FACTS).fetchone()
        assert row is not None  # one row without FROM
        made_at, major, extensions, time_zone, owner, vault_key, snapshot = row
        require_restorable(connection, extensions["timescaledb"])
        roles = _group_roles(connection)
        told("dump")
        with open(folder / DUMP, "wb", opener=_private) as file:
            stored = backup_tools.dump(url, major, snapshot, file)
            os.fsync(file.fileno())
        told("counts and checksums")
        connection.execute(f"SET LOCAL ROLE {OWNER}")
        manifest = Manifest(
            made_at=made_at,
            revision=migrate.head(),
            edition=edition(connection),
            postgres_major=major,
            timescaledb=extensions["timescaledb"],
            extensions=extensions,
            time_zone=time_zone,
            owner=owner,
            group_roles=roles,
            vault_key=vault_key,
            contents=contents(connection),
            dump_bytes=stored.bytes,
            dump_sha256=stored.sha256,
        )
        connection.execute("COMMIT")
        backup_manifest.write(folder, manifest)
    return manifest


def require_restorable(connection: Connection, timescaledb: str) -> None:
    """Raise TerminalError where a version of TimescaleDB could not load what it dumps.

    Before 2.20.1 pg_restore fails on compressed rows of a column without any value: issue 8893 of TimescaleDB.
    """
    if tuple(map(int, re.findall(r"\d+", timescaledb)[:3])) >= _RESTORES_COMPRESSED:
        return
    row = connection.execute("SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed").fetchone()
    if row is not None and row[0]:
        raise TerminalError(
            "the backup could not be restored",
            detail=f"{row[0]:,} chunks are compressed, whose dump TimescaleDB {timescaledb} cannot load.",
            hint="Upgrade TimescaleDB to 2.20.1 or later, see docs/runbook.md; until then use pg_basebackup.",
        )


def verify(folder: Path) -> Manifest:
    """Read a backup to its end without a server: the hash is that of the manifest, and pg_restore can read it.

    Raises:
        UsageError: there is no backup.
        TerminalError: it is damaged.
    """
    manifest = backup_manifest.read(folder)
    path = folder / DUMP
    if not path.is_file():
        raise TerminalError("the backup is damaged", detail=f"{path} is missing.", hint="Take another backup.")
    damage = None
    try:
        found = backup_tools.read_through(manifest.postgres_major, path)
    except backup_tools.ToolFailedError as exc:
        damage = exc.detail
    else:
        if found != backup_tools.Stored(manifest.dump_bytes, manifest.dump_sha256):
            damage = f"It has {found.bytes:,} bytes of {manifest.dump_bytes:,}, or others than were written."
    if damage is not None:
        raise TerminalError("the backup is damaged", detail=f"{path}: {damage}", hint="Take another backup.")
    return manifest


def _group_roles(connection: Connection) -> dict[str, GroupRole]:
    """Return settings and memberships of our group roles; those of logins are not ours to keep."""
    rows = connection.execute(
        "SELECT r.rolname, coalesce(r.rolconfig, '{}'), coalesce((SELECT jsonb_agg(jsonb_build_array(g.rolname,"
        " m.inherit_option, m.set_option) ORDER BY g.rolname) FROM pg_auth_members AS m INNER JOIN pg_roles AS g"
        " ON m.roleid = g.oid WHERE m.member = r.oid AND g.rolname = ANY (%(roles)s)), '[]')"
        " FROM pg_roles AS r WHERE r.rolname = ANY (%(roles)s)",
        {"roles": list(GROUP_ROLES)},
    ).fetchall()
    return {name: GroupRole(settings, [tuple(one) for one in member_of]) for name, settings, member_of in rows}


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Give a hidden folder that takes the target's name at the end; what a killed run left in it is removed."""
    folder = target.with_name(f".{target.name}.partial")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY)
    except OSError as exc:
        raise UsageError(f"{folder} cannot be written", detail=f"{exc.strerror}.", hint="Name another place.") from exc
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise UsageError(f"another backup to {target} is under way", hint="Wait for it.") from exc
        for left in folder.iterdir():
            left.unlink()
        try:
            yield folder
            os.fsync(held)
            folder.rename(target)
        except OSError as exc:
            raise UsageError(
                f"{target} cannot be written", detail=f"{exc.strerror}.", hint="Free space, or name another place."
            ) from exc
        finally:
            if folder.exists():
                shutil.rmtree(folder)
    finally:
        os.close(held)
