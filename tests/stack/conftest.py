"""Fixtures of the stack's tests: stacks of their own, which may be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from stack_cli import Cli, skip_if_server_given


@pytest.fixture(scope="module")
def make_cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Cli]]:
    made: list[Cli] = []

    def make() -> Cli:
        made.append(Cli(tmp_path_factory.mktemp("state")))
        return made[-1]

    yield make
    for cli in made:
        cli("destroy", "--yes")


@pytest.fixture(scope="module")
def shared_cli(make_cli: Callable[[], Cli]) -> Cli:
    skip_if_server_given()
    return make_cli()


@pytest.fixture
def cli(shared_cli: Cli) -> Cli:
    """A stack of this module's own that runs when the test begins."""
    shared_cli("up")
    return shared_cli
