"""An upgrade while a loader and the API run: no request fails, no row is lost; and from an older schema, with data."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import urllib3
from alembic import command
from alembic.script import ScriptDirectory
from streams import launch, wait_for
from truth import generated

from telestream.db import migrate, rollups
from telestream.graphql import keys
from telestream.graphql.principal import Scope

# How many revisions a deployment may be behind: those of about one release.
BEHIND = 4
ROWS = 3_000
QUERY = """{
    freshness { dataset newestEventAt }
    traffic(measures: [ATTEMPTS], from: "2026-03-01T00:00:00Z", to: "2026-03-02T00:00:00Z") { __typename }
}"""


def loaded(connection: psycopg.Connection) -> int:
    (rows,) = connection.execute("SELECT count(*) FROM silver.fact_cdr").fetchone()
    return int(rows)


class Caller(threading.Thread):
    """Asks the API again and again until it is stopped, and keeps every answer that is none."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__()
        self._url, self._key = url, key
        self.answers = 0
        self.failures: list[str] = []
        self._stop_it = threading.Event()

    def run(self) -> None:
        body = json.dumps({"query": QUERY})
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        with urllib3.PoolManager(retries=False, timeout=30) as pool:
            while not self._stop_it.wait(0.01):
                try:
                    reply = pool.request("POST", self._url, body=body, headers=headers)
                    if reply.status != 200 or "errors" in json.loads(reply.data):
                        self.failures.append(f"{reply.status} {reply.data[:300]!r}")
                except urllib3.exceptions.HTTPError as exc:
                    self.failures.append(repr(exc))
                self.answers += 1

    def end(self) -> None:
        self._stop_it.set()
        self.join()


@contextmanager
def called(folder: Path, database: str, redis_url: str) -> Iterator[Caller]:
    """Serve the API in a process of its own and call it until the block ends."""
    with psycopg.connect(database, autocommit=True) as opened:
        key = keys.create(opened, "test", "api", tuple(Scope), timedelta(days=1), 1_000_000)[1]
    with launch(folder, "api", "serve", "--port", "0", TELESTREAM_REDIS_URL=redis_url) as api:
        api.says("serving http://")
        found = re.search(r"serving (http://\S+/graphql)", api.log)
        assert found is not None
        caller = Caller(found[1], key)
        wait_for(lambda: _is_up(found[1]), "the API answers", api)
        caller.start()
        try:
            yield caller
        finally:
            caller.end()


def _is_up(url: str) -> bool:
    try:
        with urllib3.PoolManager(retries=False, timeout=5) as pool:
            return pool.request("GET", url.removesuffix("/graphql") + "/readyz").status == 200
    except urllib3.exceptions.HTTPError:
        return False


@pytest.fixture
def next_revision(tmp_path: Path) -> Path:
    """A folder of revisions with one after head, which adds to the busiest table and beside it, as an expand does."""
    folder = tmp_path / "migrations"
    shutil.copytree(Path(migrate.ROOT) / "migrations", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9999_expand.py").write_text(
        "from telestream.db.revision import run_sql\n"
        f'revision = "9999"\ndown_revision = "{migrate.head()}"\nbranch_labels = None\ndepends_on = None\n'
        "def upgrade() -> None:\n    run_sql(__file__)\n"
    )
    (folder / "versions" / "9999_expand.sql").write_text(
        "SET LOCAL ROLE telestream_owner;\n"
        "ALTER TABLE silver.fact_cdr ADD COLUMN of_the_next_version integer;\n"
        "ALTER TABLE ops.batch ADD COLUMN of_the_next_version integer NOT NULL DEFAULT 0;\n"
        "CREATE TABLE ops.of_the_next_version (id integer PRIMARY KEY);\n"
        "RESET ROLE;\n"
    )
    return folder


def upgrade_with(folder: Path, url: str) -> None:
    """Upgrade as the job of a deployment does: what cannot get its lock gives way and is started again."""
    config = migrate.config(url)
    config.set_main_option("script_location", str(folder))
    for _ in range(20):
        try:
            command.upgrade(config, "head")
            return
        except Exception as exc:
            if "lock timeout" not in str(exc):
                raise
    raise AssertionError("it never got its lock")


def test_services_work_on_through_an_upgrade(
    connection: psycopg.Connection, database: str, redis_url: str, tmp_path: Path, next_revision: Path
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    wanted = 0
    with (
        launch(tmp_path, "load", "cdr", inbox, "--watch", "--interval", "0.1") as loader,
        called(tmp_path, database, redis_url) as caller,
    ):

        def arrives(name: str, seed: int) -> None:
            nonlocal wanted
            wanted += generated(tmp_path / name, rows=ROWS, seed=seed, bad=0.01).good
            (tmp_path / name).rename(inbox / name)

        arrives("1.csv", 1)
        wait_for(lambda: loaded(connection) == wanted, "the first file", loader)
        arrives("2.csv", 2)
        arrives("3.csv", 3)
        wait_for(lambda: loaded(connection) > ROWS, "the second file", loader)
        upgrade_with(next_revision, database)
        assert migrate.current(connection) == "9999"
        before = caller.answers
        arrives("4.csv", 4)
        wait_for(lambda: loaded(connection) == wanted, "every file", loader)
        wait_for(lambda: caller.answers > before + 10, "more answers")
        loader.terminate()
    assert caller.failures == []
    counts = connection.execute(
        "SELECT sum(rows_in), sum(rows_loaded + rows_duplicate + rows_quarantined), sum(rows_loaded) FROM ops.batch"
    ).fetchone()
    assert counts == (4 * ROWS, 4 * ROWS, wanted)
    rollups.refresh(database)
    assert rollups.check(database) == []


def test_what_is_deployed_waits_for_the_upgrade_of_an_older_schema(
    connection: psycopg.Connection, database: str, tmp_path: Path
) -> None:
    script = ScriptDirectory.from_config(migrate.config())
    older = [one.revision for one in script.walk_revisions()][BEHIND]
    first, second = (generated(tmp_path / f"{seed}.csv", rows=ROWS, seed=seed, bad=0.01) for seed in (1, 2))
    with launch(tmp_path, "load", "cdr", tmp_path / "1.csv") as load:
        load.ends(0)
    migrate.downgrade(database, older)
    assert loaded(connection) == first.good
    # What comes with the new version refuses the old schema, or waits for the new one.
    with launch(tmp_path, "load", "cdr", tmp_path / "2.csv") as load:
        load.ends(1, older, "telestream db upgrade")
    with launch(tmp_path, "db", "wait") as waiting:
        time.sleep(0.5)
        assert waiting.process.poll() is None
        migrate.upgrade(database)
        waiting.ends(0)
    with launch(tmp_path, "load", "cdr", tmp_path / "2.csv") as load:
        load.ends(0)
    assert loaded(connection) == first.good + second.good
    assert rollups.check(database) == []
