"""Says whether the command line would take what documents and deployment files hand to it; runs none of it."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path

import click
import typer.main

from telestream import cli


def complaint(arguments: list[str]) -> str:
    """Return what the CLI has against a command line, nothing if it would run it; no command is run."""
    try:
        _idle_cli().main(arguments, prog_name="telestream", standalone_mode=False)
    except Exception as exc:
        if not hasattr(exc, "format_message"):
            raise
        return str(exc.format_message())
    return ""


@functools.cache
def _idle_cli() -> click.Command:
    """Return the command line, made once, whose commands do nothing."""
    if not cli.app.registered_groups:
        cli._register()
    root = typer.main.get_command(cli.app)
    waiting = [root]
    while waiting:
        command = waiting.pop()
        command.callback = None
        waiting += getattr(command, "commands", {}).values()
    return root


def script_lines(text: str) -> list[list[str]]:
    """Return the arguments of each call of `telestream` in a shell script."""
    lines = [line.partition("telestream ")[2] for line in text.splitlines() if not line.startswith("#")]
    return [shlex.split(line) for line in lines if line]


def deploy_lines(root: Path) -> list[list[str]]:
    """Return the arguments of each call in db/deploy.sh."""
    return script_lines((root / "db" / "deploy.sh").read_text())


def secrets_of_make(root: Path) -> set[str]:
    """Return the names of the files that `make secrets` makes: those of ours, and empty ones for those of others."""
    makefile = (root / "Makefile").read_text().replace("\\\n", " ")
    return {
        name for names in re.findall(r"^(?:GIVEN_)?SECRETS := (.*)$", makefile, re.MULTILINE) for name in names.split()
    }
