"""Secrets are shown nowhere: not in help, not in messages and logs, not in the list of processes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import typer
import typer.main
from click.testing import CliRunner
from fix_db import PASSWORD
from lineage.quick_command import quick, started
from pydantic import SecretStr
from streams import Stream
from truth import generated

from telestream import cli
from telestream.settings import Settings
from telestream.stack.state import StackState

CANARY = "canary5ecret"
# Each setting that is a secret, and URLs that carry one; nobody listens at port 9.
SECRETS = {
    f"TELESTREAM_{name.upper()}": CANARY
    for name, field in Settings.model_fields.items()
    if field.annotation is SecretStr
} | {
    "TELESTREAM_SUPERUSER_URL": f"postgresql://postgres:{CANARY}@127.0.0.1:9/postgres",
    "TELESTREAM_SLACK_WEBHOOK_URL": f"http://127.0.0.1:9/services/{CANARY}",
    "TELESTREAM_PAGERDUTY_URL": "http://127.0.0.1:9/v2/enqueue",
    "TELESTREAM_SMTP_URL": f"smtp://hub:{CANARY}@127.0.0.1:9",
    "TELESTREAM_EMAIL_FROM": "hub@example.com",
    "TELESTREAM_EMAIL_TO": "noc@example.com",
    "TELESTREAM_LINEAGE_URL": "http://127.0.0.1:9",
    "TELESTREAM_CRM_URL": "http://127.0.0.1:9/customers",
}


def commands(command: typer.main.click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and group."""
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


@contextlib.contextmanager
def watching_processes(secrets: list[str]) -> Iterator[list[str]]:
    """Yield a growing list of the command lines on this machine that held a secret meanwhile."""
    found: list[str] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    line = path.read_bytes().decode(errors="replace")
                    if any(secret in line for secret in secrets):
                        found.append(line)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def test_help_shows_no_value_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    if not cli.app.registered_groups:
        cli._register()
    root = typer.main.get_command(cli.app)
    every = list(commands(root))
    assert len(every) > 80
    for path in every:
        done = CliRunner().invoke(root, [*path, "--help"], env=SECRETS)
        assert done.exit_code == 0, (path, done.output)
        assert CANARY not in done.output, path


def test_work_that_succeeds_shows_no_secret(
    stack: StackState, kafka_bootstrap: str, redis_url: str, vault_key_file: str, database: str, tmp_path: Path
) -> None:
    secrets = [
        CANARY, PASSWORD, vault_key_file, stack.superuser_password, stack.admin_password, stack.redis_password,
    ]  # fmt: skip
    own = {name: value for name, value in SECRETS.items() if "KAFKA" not in name and "REGISTRY" not in name}
    generated(tmp_path / "day.csv", rows=2_000)
    stream = Stream.make(kafka_bootstrap, redis_url, tmp_path)
    with watching_processes(secrets) as seen:
        said = [
            quick(tmp_path, "stack", "status", **own),
            quick(tmp_path, "load", "cdr", tmp_path / "day.csv", **own),
            quick(tmp_path, "db", "status", **own),
            quick(tmp_path, "notify", "status", **own),
            stream.run("produce", "network-events", "--events", "200", "--topic", stream.topic, **own),
            stream.drain(**own),
        ]
        with started(tmp_path, "api", "serve", "--port", "0", **own | {"TELESTREAM_API_JWT_SECRET": CANARY * 4}) as api:
            api.says("serving")
            api.end()
            said.append(api.log)
    assert seen == []
    for text in said:
        assert text.strip()
        assert not [secret for secret in secrets if secret in text], text


@pytest.mark.parametrize(
    "arguments",
    [
        ("db", "prepare"),
        ("crm", "sync"),
        ("notify", "test", "slack"),
        ("notify", "test", "pagerduty"),
        ("notify", "test", "email"),
        ("topics", "create"),
        ("api", "serve", "--port", "0"),
    ],
    ids=" ".join,
)
def test_work_that_fails_shows_no_secret_even_in_a_stack_trace(
    arguments: tuple[str, ...], connection: psycopg.Connection, tmp_path: Path
) -> None:
    away = {"TELESTREAM_KAFKA_BOOTSTRAP": "127.0.0.1:9", "TELESTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}
    with (
        watching_processes([CANARY]) as seen,
        started(tmp_path, "--debug", *arguments, **SECRETS, **away) as command,
    ):
        assert command.process.wait(90) != 0, command.log
        assert "Traceback" in command.log
        assert CANARY not in command.log
    assert seen == []


def test_settings_that_cannot_be_used_are_all_named_and_none_is_shown(tmp_path: Path) -> None:
    text = quick(
        tmp_path, "db", "status", code=2, TELESTREAM_DATABASE_URL=f"postgresql://u:{CANARY}@[::1/db",
        TELESTREAM_REDIS_URL=f"redis://:{CANARY}@[::1/0", TELESTREAM_TIME_ZONE="Mars/Olympus",
        TELESTREAM_LOG_FORMAT="xml",
    )  # fmt: skip
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("TELESTREAM_")]
    assert [line.partition(":")[0] for line in lines] == [
        "TELESTREAM_DATABASE_URL", "TELESTREAM_REDIS_URL", "TELESTREAM_LOG_FORMAT", "TELESTREAM_TIME_ZONE",
    ]  # fmt: skip
    assert CANARY not in text
