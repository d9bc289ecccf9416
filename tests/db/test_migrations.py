"""Revisions: up, down and up again give the same schema, also when many start at once."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from schema import state

from telestream.db import migrate, routines
from telestream.errors import SchemaOutdatedError, TerminalError

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ROOT / "migrations" / "versions"


def revisions() -> list[str]:
    script = ScriptDirectory.from_config(migrate.config())
    return [revision.revision for revision in reversed(list(script.walk_revisions()))]


def test_each_revision_goes_up_down_and_up_to_the_same_schema(empty_database: str) -> None:
    before = None
    for position, revision in enumerate(revisions()):
        below = revisions()[position - 1] if position else "base"
        if revision == migrate.head():
            # Routines are applied at head; state alone is compared.
            continue
        before = state(empty_database)
        migrate.upgrade(empty_database, revision)
        up = state(empty_database)
        assert up != before
        migrate.downgrade(empty_database, below)
        if position:
            assert state(empty_database) == before
        migrate.upgrade(empty_database, revision)
        assert state(empty_database) == up


def test_head_goes_down_and_up_again(empty_database: str) -> None:
    below = revisions()[-2]
    migrate.upgrade(empty_database, below)
    before = state(empty_database)
    migrate.upgrade(empty_database)
    at_head = state(empty_database)
    migrate.downgrade(empty_database, below)
    assert state(empty_database) == before
    migrate.upgrade(empty_database)
    assert state(empty_database) == at_head
    migrate.downgrade(empty_database, "base")
    with psycopg.connect(empty_database) as connection:
        left = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname IN ('bronze', 'silver', 'rollup', 'gold', 'ops')"
        ).fetchall()
    assert left == []


def test_twenty_upgrades_at_once_all_succeed(empty_database: str) -> None:
    def run(_: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "alembic", "-x", f"url={empty_database}", "upgrade", "head"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip

    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(run, range(20)))
    assert [result.stderr for result in results if result.returncode] == []
    with psycopg.connect(empty_database) as connection:
        migrate.require_head(connection)
        assert routines.apply(connection) == "UNCHANGED"


def test_routines_apply_once(connection: psycopg.Connection) -> None:
    assert routines.apply(connection) == "UNCHANGED"
    connection.execute("SET ROLE telestream_owner")
    connection.execute("UPDATE ops.applied_routine SET sha256 = 'changed' WHERE path LIKE 'gold/%%'")
    connection.execute("RESET ROLE")
    assert routines.apply(connection) == "APPLIED"
    assert routines.apply(connection) == "UNCHANGED"


def test_offline_sql_covers_every_revision() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head", "--sql"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "CREATE TABLE silver.fact_cdr" in result.stdout
    assert "INSERT INTO rollup.definition" in result.stdout


def test_an_older_database_is_refused_with_the_next_step(empty_database: str) -> None:
    migrate.upgrade(empty_database, revisions()[0])
    with psycopg.connect(empty_database) as connection, pytest.raises(SchemaOutdatedError) as caught:
        migrate.require_head(connection)
    assert "telestream db upgrade" in (caught.value.hint or "")


def test_a_broken_routine_is_named(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "broken.sql").write_text("CREATE OR REPLACE VIEW ops.broken AS SELECT nonsense")
    monkeypatch.setattr(routines, "FOLDER", tmp_path)
    with pytest.raises(TerminalError, match=r"ops/broken\.sql"):
        routines.apply(connection)


def test_landed_revisions_are_frozen() -> None:
    """A revision that has landed is never edited: write a new one. New ones: see CONTRIBUTING.md."""
    lines = (ROOT / "migrations" / "frozen.sha256").read_text().splitlines()
    frozen = {path: digest for digest, path in (line.split("  ", 1) for line in lines)}
    files = sorted(path for path in VERSIONS.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    actual = {str(path.relative_to(VERSIONS)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert actual == frozen
