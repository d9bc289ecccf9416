"""Builds the private Debian root that holds PostgreSQL, once per recipe and user."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from telestream.errors import StackError
from telestream.settings import settings
from telestream.stack.state import locked

POSTGRES_MAJOR = 17
SERVER_UID = 64517
"""User id of the server when root starts it: no Debian package uses this range, so no daemon shares it."""

_SUITE = "trixie"
_PACKAGES = (
    "base-files",  # the /bin and /lib links
    "dash",  # initdb runs commands through /bin/sh
    "libc-bin",  # the C.UTF-8 locale
    "util-linux",  # setpriv
    f"postgresql-{POSTGRES_MAJOR}",
    f"postgresql-{POSTGRES_MAJOR}-timescaledb",
    f"postgresql-{POSTGRES_MAJOR}-pgvector",
    f"postgresql-{POSTGRES_MAJOR}-partman",
    f"postgresql-{POSTGRES_MAJOR}-cron",
    f"postgresql-{POSTGRES_MAJOR}-pgaudit",
    f"postgresql-{POSTGRES_MAJOR}-plpgsql-check",  # for our tests
)
# Unpacking without running maintainer scripts needs neither root nor subordinate user ids, and no cluster is
# created that would be thrown away.
_OPTIONS = ("--variant=extract", "--mode=chrootless", "--format=directory")
_ACCOUNTS = {
    "passwd": f"postgres:x:{SERVER_UID}:{SERVER_UID}:PostgreSQL:/srv/postgres:/bin/sh\n",
    "group": f"postgres:x:{SERVER_UID}:\n",
}


def recipe_key() -> str:
    """Return the name of what the recipe builds: it changes exactly when the recipe does."""
    recipe = json.dumps([_SUITE, _PACKAGES, _OPTIONS, _ACCOUNTS], sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def root_path() -> Path:
    """Return where the private root is, or will be once built."""
    return settings().cache_dir / f"root-{recipe_key()}"


def ensure_root(progress: Callable[[str], None]) -> Path:
    """Return the private root, building it where it is missing.

    Raises:
        StackError: mmdebstrap is missing or failed.
    """
    root = root_path()
    if root.is_dir():
        return root
    with locked(root.parent / f"{root.name}.lock"):
        if not root.is_dir():
            progress("building the private Debian root (once, 10 to 60 s)")
            _build(root)
    return root


def client_command(root: Path, program: str) -> list[str]:
    """Return the command line that runs a PostgreSQL client program of a private root on this machine.

    The root's own loader starts it, so it needs no sandbox: files, terminal and pager are the caller's.
    """
    loader = next(root.glob("usr/lib/*/ld-linux*.so.*"), None)
    binary = root / f"usr/lib/postgresql/{POSTGRES_MAJOR}/bin" / program
    if loader is None or not binary.exists():
        raise StackError(f"the private root has no {program}", hint="Run `telestream stack up`, which builds the root.")
    return [str(loader), "--library-path", str(loader.parent), str(binary)]


def _build(root: Path) -> None:
    for remains in root.parent.glob(f"{root.name}.*/"):  # of a build that was killed; we hold the lock
        shutil.rmtree(remains)
    partial = Path(tempfile.mkdtemp(prefix=f"{root.name}.", dir=root.parent))
    try:
        partial.chmod(0o755)
        command = ["mmdebstrap", *_OPTIONS, f"--include={','.join(_PACKAGES)}", _SUITE, str(partial)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:", "Err:"))]
            raise StackError(
                "the private Debian root cannot be built",
                detail=" ".join(errors[-4:]) or done.stderr.strip()[-400:],
                hint="The machine must reach a Debian mirror; a proxy set for apt is used. "
                "On an old Debian or on Ubuntu, install the newest debian-archive-keyring.",
            )
        for name, text in _ACCOUNTS.items():
            (partial / "etc" / name).write_text(text)
        os.rename(partial, root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
