"""What the stack says where it cannot run, and that it runs for an ordinary user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from stack_cli import Cli, skip_if_server_given

_NOBODY = 65534


def _programs(folder: Path, **scripts: str) -> str:
    """Make a PATH that holds only these programs."""
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("missing", ["bwrap", "mmdebstrap"])
def test_missing_program_is_named_with_the_way_out(tmp_path: Path, missing: str) -> None:
    there = {"bwrap", "mmdebstrap"} - {missing}
    path = _programs(tmp_path / "bin", **dict.fromkeys(there, "exit 0"))
    shown = Cli(tmp_path / "state")("up", code=1, PATH=path).stderr
    assert f"the embedded stack needs {missing}" in shown
    assert "bootstrap.sh" in shown
    assert "docker compose up -d" in shown
    assert "TELESTREAM_DATABASE_URL" in shown
    assert "Traceback" not in shown


def test_refused_sandbox_is_explained(tmp_path: Path) -> None:
    refuse = "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1"
    path = _programs(tmp_path / "bin", bwrap=refuse, mmdebstrap="exit 0")
    shown = Cli(tmp_path / "state")("up", code=1, PATH=path).stderr
    assert "does not let bwrap make a sandbox" in shown
    assert "setting up uid map: Permission denied" in shown
    assert "user namespaces" in shown
    assert "docker compose up -d" in shown


def _ordinary_python() -> list[str]:
    """Return the command that runs Python as nobody, with our packages; skips where that cannot be."""
    if os.geteuid() != 0:
        pytest.skip("the other tests ran as an ordinary user already")
    become = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    candidates = (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")
    probe = "import sys; sys.path[:0] = sys.argv[1].split(':'); import telestream, psycopg, redis, typer"
    for python in candidates:
        command = [*become, python, "-c", probe, ":".join(sys.path[1:])]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            break
    else:
        pytest.skip("an ordinary user cannot read this Python or these packages")
    if subprocess.run([*become, "unshare", "--user", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow user namespaces to ordinary users")
    return [*become, python]


@pytest.mark.slow
def test_ordinary_user_needs_no_root() -> None:
    skip_if_server_given()
    python = _ordinary_python()
    home = Path("/var/tmp", f"telestream-test-{os.getpid()}")
    home.mkdir(mode=0o700)
    os.chown(home, _NOBODY, _NOBODY)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": ":".join(sys.path[1:]),
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*python, "-m", "telestream.cli", "stack", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd="/",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        run("up")
        assert "running" in run("status")
        assert run("psql", "-X", "-At", "-c", "SELECT current_user").strip() == "telestream_admin"
        server = next((home / ".local/state/telestream/stack/postgres/data").glob("postmaster.pid"))
        assert os.stat(f"/proc/{server.read_text().splitlines()[0]}").st_uid == _NOBODY
    finally:
        run("destroy", "--yes")
        shutil.rmtree(home)
