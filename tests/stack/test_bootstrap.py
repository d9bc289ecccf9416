"""What bootstrap.sh says where packages are missing, and that the lock fits the project."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _bootstrap(folder: Path, **scripts: str) -> subprocess.CompletedProcess[str]:
    """Run bootstrap.sh where only these programs exist, beside the few every machine has."""
    folder.mkdir()
    for name in ("bash", "dirname", "setpriv"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    for name, text in scripts.items():
        (folder / name).write_text(f"#!{shutil.which('bash')}\n{text}\n")
        (folder / name).chmod(0o755)
    return subprocess.run(
        [folder / "bash", str(ROOT / "bootstrap.sh")],
        env={"PATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_ordinary_user_is_told_the_exact_command(tmp_path: Path) -> None:
    scripts = {"id": "echo 1000", "apt-get": "exit 9", "python3": "exit 0"}
    done = _bootstrap(tmp_path / "bin", **scripts)
    assert done.returncode == 1
    install = "sudo apt-get update && sudo apt-get install --no-install-recommends mmdebstrap bubblewrap"
    assert install in done.stderr.splitlines()[1]


def test_failed_installation_shows_what_apt_said(tmp_path: Path) -> None:
    scripts = {"id": "echo 0", "apt-get": "echo 'E: no network'; exit 100", "python3": "exit 0"}
    done = _bootstrap(tmp_path / "bin", **scripts)
    assert done.returncode == 1
    assert "E: no network" in done.stderr
    assert "failed: Debian packages: mmdebstrap bubblewrap" in done.stderr


@pytest.mark.parametrize("name", ["bootstrap.sh", "Makefile", ".ci/run", "requirements.lock"])
def test_no_address_or_path_of_a_machine(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"(^|[\s\"'])/(home|root|work)/", text)


def test_lock_has_every_dependency_and_a_hash_for_each() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = {re.split(r"[\[<>=~ ;]", line)[0].lower().replace("_", "-") for line in wanted}
    lock = (ROOT / "requirements.lock").read_text()
    locked = re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==", lock, flags=re.MULTILINE)
    assert names <= set(locked), "run `make lock`"
    entries = re.split(r"^(?=[a-z0-9])", re.sub(r"^ *#.*\n", "", lock, flags=re.MULTILINE), flags=re.MULTILINE)
    assert [entry for entry in entries if entry.strip() and "--hash=sha256:" not in entry] == []
