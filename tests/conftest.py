"""Fixtures of all tests: an embedded stack of their own, apart from the developer's."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import psycopg
import pytest

from telestream.console import PIPE_WIDTH, console
from telestream.settings import settings
from telestream.stack import lifecycle
from telestream.stack.state import StackState

TEST_KAFKA = os.environ.get("TELESTREAM_TEST_KAFKA_BOOTSTRAP", "")
TEST_REDIS = os.environ.get("TELESTREAM_TEST_REDIS_URL", "")
TEST_SERVER = os.environ.get("TELESTREAM_TEST_DATABASE_URL", "")
_STACKS = settings().cache_dir / "test-stacks"

# For this process and the commands that tests run: the defaults, with the state in a folder of our own.
for _name in (
    "TELESTREAM_DATABASE_URL", "TELESTREAM_REDIS_URL", "TELESTREAM_VAULT_KEY_FILE", "TELESTREAM_KAFKA_BOOTSTRAP",
    "TELESTREAM_SCHEMA_REGISTRY",
):  # fmt: skip
    os.environ.pop(_name, None)
# The workers of pytest-xdist have 80 columns.
os.environ.pop("COLUMNS", None)
console.width = PIPE_WIDTH
os.environ["TELESTREAM_STATE_DIR"] = str(_STACKS / str(os.getpid()))
settings.cache_clear()

# A red landing must be of the change's own making: CI takes the same examples each time.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

# `tests` is on pytest's pythonpath, so its modules are found by their plain names.
pytest_plugins = [
    "fix_db",
    "fix_people",
    "fix_s3",
    "community.fix_community",
    "graphql_api.fix_api",
    "graphql_api.fix_browser",
]


def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers `make test` uses: each has a stack of its own; a server that was given has no room for two."""
    if TEST_SERVER or TEST_KAFKA or TEST_REDIS or os.environ.get("TELESTREAM_TEST_COMMUNITY_URL"):
        return 0
    return min(os.cpu_count() or 1, 4)


@contextmanager
def state_dir(folder: Path) -> Iterator[None]:
    """Use another state folder in this process for a while."""
    before = os.environ["TELESTREAM_STATE_DIR"]
    os.environ["TELESTREAM_STATE_DIR"] = str(folder)
    settings.cache_clear()
    try:
        yield
    finally:
        os.environ["TELESTREAM_STATE_DIR"] = before
        settings.cache_clear()


def _remove_stack(folder: Path) -> None:
    with state_dir(folder):
        lifecycle.destroy()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def stack() -> Iterator[StackState]:
    """The embedded stack of this test session, destroyed at its end."""
    _STACKS.mkdir(parents=True, exist_ok=True)
    held = os.open(_STACKS, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)  # several sessions may begin at once
    for folder in _STACKS.glob("*"):
        if not Path("/proc", folder.name).exists():  # of a session that was killed
            _remove_stack(folder)
    os.close(held)
    state = lifecycle.up()
    with psycopg.connect(state.superuser_url, autocommit=True) as connection:
        # Tests kill the server, not the machine: what the kernel has is not lost.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield state
    _remove_stack(_STACKS / str(os.getpid()))


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Iterator[None]:
    """The embedded database server, which may be killed here; left running."""
    if TEST_SERVER:
        pytest.skip("the server that was given is not ours to kill")
    request.getfixturevalue("stack")
    yield
    lifecycle.up()


@pytest.fixture
def own_cache(request: pytest.FixtureRequest) -> Iterator[None]:
    """The embedded cache, which may be killed here; left running."""
    if TEST_REDIS:
        pytest.skip("the cache that was given is not ours to kill")
    request.getfixturevalue("stack")
    yield
    lifecycle.up()


@pytest.fixture(scope="session")
def superuser_url(request: pytest.FixtureRequest) -> str:
    """URL of the server the tests make their databases on: the one given, or the embedded one."""
    if TEST_SERVER:
        return TEST_SERVER
    embedded: StackState = request.getfixturevalue("stack")
    return embedded.superuser_url


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """URL of the cache: the one given, or the embedded one."""
    if TEST_REDIS:
        return TEST_REDIS
    embedded: StackState = request.getfixturevalue("stack")
    return embedded.redis_url


@pytest.fixture(scope="session")
def kafka_bootstrap(request: pytest.FixtureRequest) -> str:
    """Address of the broker: the one given, or the embedded one."""
    if TEST_KAFKA:
        return TEST_KAFKA
    embedded: StackState = request.getfixturevalue("stack")
    return embedded.kafka_bootstrap
