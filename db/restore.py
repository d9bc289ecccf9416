"""Restores a backup into a database of a server, compares it, and erases again whoever was erased since."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from telestream.db import backup_tools, erasure_ledger, migrate, rollups
from telestream.db.backup import verify
from telestream.db.backup_contents import OWNER, contents, differences
from telestream.db.backup_manifest import DUMP, Manifest
from telestream.db.connection import Connection, connect, translated
from telestream.db.edition import edition
from telestream.db.erasure_ledger import Ledger, Unfinished
from telestream.db.vault import lend_vault_key, vault_key
from telestream.errors import SchemaOutdatedError, TerminalError, UsageError
from telestream.stack.database import create_admin_role, prepare_database

Told = Callable[[str], None]
_SUFFIX = "_restoring"
_ROOM_FOR_SUFFIX = 63 - len(_SUFFIX)


@dataclass(frozen=True)
class Target:
    """A database of a server that a superuser's URL names, and the one that is restored into until it is whole."""

    url: str

    @property
    def name(self) -> str:
        """Name of the database."""
        return str(conninfo_to_dict(self.url).get("dbname") or "")

    @property
    def partial_name(self) -> str:
        """Name that it has until it is whole."""
        return self.name + _SUFFIX

    @property
    def server_url(self) -> str:
        """URL of the server's maintenance database."""
        return make_conninfo(self.url, dbname="postgres")

    @property
    def partial_url(self) -> str:
        """URL of what is not whole yet."""
        return make_conninfo(self.url, dbname=self.partial_name)


def restore(
    folder: Path, target: Target, password: str, ledger: Ledger | None, told: Told
) -> tuple[Manifest, bool, list[Unfinished]]:
    """Restore a backup into a database that does not exist or is empty.

    It has another name until it is whole: dump read, Silver and Gold compared, people erased. Killed before that, it is
    removed by the next run.

    Args:
        folder: the backup.
        target: the database; the URL is of a superuser.
        password: of the owner's login, where the server does not have it yet.
        ledger: the erasures of the old database; None where nobody was erased.
        told: called with each step.

    Returns:
        The manifest, whether the owner's login was made, and the erasures that have to be done again by hand.

    Raises:
        UsageError: no backup, no superuser, or the database is not empty.
        TerminalError: damaged, another TimescaleDB or PostgreSQL, another vault key, or contents that differ.
    """
    told("verify")
    manifest = verify(folder)
    key = _key(manifest)
    with translated(target.server_url), connect(target.server_url, autocommit=True) as server:
        _check_server(server, manifest)
        _check_empty(server, target)
        made_owner = _prepare_roles(server, target, manifest, password)
        told("restore")
        jobs = _fill(server, folder, target, manifest)
        told("compare")
        _compare(target, manifest)
        unfinished = _erase_again(target, key, ledger, told)
        _give_name(server, target, jobs)
    prepare_database(target.server_url, target.name, manifest.owner)
    return manifest, made_owner, unfinished


def try_out(folder: Path, target: Target, told: Told) -> Manifest:
    """Restore a backup under the name of what is not whole, compare, and drop it again.

    Raises:
        TelestreamError: as `restore`.
    """
    told("verify")
    manifest = verify(folder)
    with translated(target.server_url), connect(target.server_url, autocommit=True) as server:
        _check_server(server, manifest)
        _prepare_roles(server, target, manifest, secrets.token_urlsafe(18))
        try:
            told("restore")
            _fill(server, folder, target, manifest)
            told("compare")
            _compare(target, manifest)
        finally:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(_name(target.partial_name)))
    return manifest


def _name(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def _key(manifest: Manifest) -> str | None:
    """Return the key that opens the vault of the backup, None where it was never used."""
    if manifest.vault_key is None:
        return None
    key = vault_key()
    # As vault._key_material() makes it.
    if hashlib.sha256(b"telestream vault fingerprint" + bytes.fromhex(key)).hexdigest() != manifest.vault_key:
        raise TerminalError(
            "the vault key is not the one of the backup",
            detail="With another one nobody in it can be found or erased, and no load goes on.",
            hint="Set TELESTREAM_VAULT_KEY_FILE to the key that was in force when the backup was made.",
        )
    return key


def _check_server(server: Connection, manifest: Manifest) -> None:
    row = server.execute(
        "SELECT current_setting('is_superuser') = 'on', current_setting('server_version_num')::integer / 10000,"
        " (SELECT e.default_version FROM pg_available_extensions AS e WHERE e.name = 'timescaledb')"
    ).fetchone()
    assert row is not None  # one row without FROM
    is_superuser, major, timescaledb = row
    if manifest.revision > migrate.head():
        raise SchemaOutdatedError(
            "the backup is of a newer version than this one",
            detail=f"It is at revision {manifest.revision}, and this version knows {migrate.head()}.",
            hint="Restore it with the version that made it.",
        )
    if not is_superuser:
        raise UsageError("only a superuser can restore", hint="Give the URL of a superuser of the new server.")
    if major < manifest.postgres_major:
        raise TerminalError(
            "the server has an older PostgreSQL than the backup",
            detail=f"It is version {major}, the backup is of {manifest.postgres_major}.",
            hint=f"Restore into a server with PostgreSQL {manifest.postgres_major}.",
        )
    if timescaledb != manifest.timescaledb:
        raise TerminalError(
            "the server has another version of TimescaleDB than the backup",
            detail=f"It offers {timescaledb or 'none'}, the backup is of {manifest.timescaledb}.",
            hint=f"Install TimescaleDB {manifest.timescaledb}; upgrade it once the backup is restored.",
        )


def _check_empty(server: Connection, target: Target) -> None:
    """Raise UsageError unless the database does not exist or holds nothing but what extensions brought."""
    if not 0 < len(target.name.encode()) <= _ROOM_FOR_SUFFIX or target.name in {"postgres", "template0", "template1"}:
        raise UsageError(
            "the URL names no database to restore into",
            detail=f"Up to {_ROOM_FOR_SUFFIX} bytes, and none of the server's own.",
            hint="End it with a name, as postgresql://postgres@host/telestream.",
        )
    if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (target.name,)).fetchone():
        return
    with connect(target.url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*), min(c.oid::regclass::text) FROM pg_class AS c"
            " INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid WHERE c.relkind IN ('r', 'p', 'v', 'm')"
            " AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT EXISTS (SELECT FROM pg_depend AS d"
            " WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
        ).fetchone()
    if row is not None and row[0]:
        raise UsageError(
            f"the database {target.name} is not empty",
            detail=f"It has {row[0]:,} tables and views, {row[1]} among them.",
            hint="Nothing was changed. Name a database that does not exist, or drop this one.",
        )


def _prepare_roles(server: Connection, target: Target, manifest: Manifest, password: str) -> bool:
    """Make the owner's login and our group roles where they are missing; say whether the login was made."""
    made_owner = not server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (manifest.owner,)).fetchone()
    if made_owner:
        create_admin_role(target.server_url, manifest.owner, password)
    for role in manifest.group_roles:
        if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
            server.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(_name(role)))
    for role, group in manifest.group_roles.items():
        for setting in group.settings:
            name, _, value = setting.partition("=")
            server.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(_name(role), sql.Identifier(*name.split(".")), value)
            )
        for above, inherit, can_set in group.member_of:
            options = sql.SQL("INHERIT {}, SET {}").format(sql.Literal(inherit), sql.Literal(can_set))
            server.execute(sql.SQL("GRANT {} TO {} WITH {}").format(_name(above), _name(role), options))
    return made_owner


def _fill(server: Connection, folder: Path, target: Target, manifest: Manifest) -> list[int]:
    """Make the database under its other name from the dump; return TimescaleDB's jobs, which stay off."""
    partial = _name(target.partial_name)
    try:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(partial))  # of a run that was killed
    except psycopg.errors.ObjectInUse as exc:
        raise UsageError(
            "another restore into this database is under way",
            detail=f"Sessions are connected to {target.partial_name}.",
            hint="Wait for it; sessions of a killed one end by themselves.",
        ) from exc
    server.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(partial, _name(manifest.owner)))
    server.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(partial, _name(OWNER)))
    with connect(target.partial_url, autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(sql.SQL("CREATE EXTENSION timescaledb VERSION {}").format(manifest.timescaledb))
        if (found := edition(connection)) != manifest.edition:
            raise TerminalError(
                "the server has another edition of TimescaleDB than the backup",
                detail=f"It runs {found}, the backup is of {manifest.edition}: rollups are stored in another way.",
                hint=f"Restore into a server that runs the {manifest.edition} edition.",
            )
        connection.execute("SELECT timescaledb_pre_restore()")
    backup_tools.restore(target.partial_url, manifest.postgres_major, folder / DUMP)
    with connect(target.partial_url, autocommit=True) as connection:
        # They would change rows before they are compared.
        jobs = connection.execute(
            "UPDATE _timescaledb_config.bgw_job SET scheduled = false WHERE scheduled RETURNING id"
        ).fetchall()
        connection.execute("SELECT timescaledb_post_restore()")
        connection.execute("ANALYZE")
    return [job for (job,) in jobs]


def _compare(target: Target, manifest: Manifest) -> None:
    with connect(target.partial_url) as connection:
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(_name(OWNER)))
        wrong = differences(manifest.contents, contents(connection))
    if wrong:
        raise TerminalError(
            "what was restored is not what was backed up",
            detail=f"Rows or checksums differ in {', '.join(wrong[:10])}{' …' if len(wrong) > 10 else ''}.",
            hint=f"Look into {target.partial_name}, which the next run removes, and take another backup.",
        )


def _erase_again(target: Target, key: str | None, ledger: Ledger | None, told: Told) -> list[Unfinished]:
    if key is None or ledger is None:
        return []
    with connect(target.partial_url, autocommit=True) as connection:
        lend_vault_key(connection, key)
        unfinished = erasure_ledger.erase_again(connection, ledger, told)
        connection.execute("SELECT audit.seal()")
    rollups.refresh(target.partial_url)
    return unfinished


def _give_name(server: Connection, target: Target, jobs: list[int]) -> None:
    with connect(target.partial_url, autocommit=True) as connection:
        connection.execute("UPDATE _timescaledb_config.bgw_job SET scheduled = true WHERE id = ANY (%s)", (jobs,))
    partial, name = _name(target.partial_name), _name(target.name)
    # TimescaleDB's scheduler is connected to every database that lets it.
    server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(partial))
    server.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (target.partial_name,)
    )
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))  # empty, as was looked at
    with server.transaction():
        server.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(partial, name))
        server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
