"""Runs a program of the private root in a sandbox where it sees nothing but that root and one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from telestream.errors import StackError
from telestream.stack.root import POSTGRES_MAJOR, SERVER_UID

HOME = "/srv/postgres"
"""Where the program inside sees the one writable folder."""

_WITHOUT = (
    "Without the embedded stack: `docker compose up -d`, then "
    "`export TELESTREAM_DATABASE_URL=…` with the address it listens on."
)


def check_machine() -> None:
    """Raise StackError unless this machine can build the private root and run programs in it."""
    missing = [name for name in ("mmdebstrap", "bwrap") if shutil.which(name) is None]
    if missing:
        raise StackError(
            f"the embedded stack needs {' and '.join(missing)}",
            detail="It runs on Debian and its relatives.",
            hint=f"Run ./bootstrap.sh, which says or does what is needed. {_WITHOUT}",
        )
    probe = ["bwrap", *_identity(), "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    done = subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines()
        raise StackError(
            "this machine does not let bwrap make a sandbox",
            detail=reason[-1] if reason else f"bwrap ended with code {done.returncode}.",
            hint="Allow unprivileged user namespaces, or run as root with CAP_SYS_ADMIN (a container "
            f"needs it given). {_WITHOUT}",
        )


def server_command(root: Path, folder: Path, *arguments: str) -> list[str]:
    """Return the command line that runs `arguments` inside, as the database's user."""
    command = ["bwrap", *_identity()]
    for entry in sorted(root.iterdir()):
        if entry.is_symlink():  # /bin, /lib and the like
            command += ["--symlink", os.readlink(entry), f"/{entry.name}"]
    for name in ("usr", "etc"):
        command += ["--ro-bind", str(root / name), f"/{name}"]
    command += ["--proc", "/proc", "--dev", "/dev"]
    # Its own shared memory: a container's /dev/shm is often 64 MB, too little for parallel queries, and
    # segments left by a crash vanish with the sandbox.
    for path in ("/dev/shm", "/tmp"):
        command += ["--perms", "1777", "--tmpfs", path]
    command += ["--perms", "0755", "--dir", os.path.dirname(HOME)]
    command += ["--bind", str(folder), HOME, "--chdir", HOME]
    path = f"/usr/lib/postgresql/{POSTGRES_MAJOR}/bin:/usr/bin:/bin"
    command += ["--clearenv", "--setenv", "PATH", path, "--setenv", "LC_ALL", "C.UTF-8"]
    if os.geteuid() == 0:
        identity = [f"--reuid={SERVER_UID}", f"--regid={SERVER_UID}", "--clear-groups"]
        command += ["setpriv", *identity, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    return [*command, *arguments]


def give_to_server(path: Path) -> None:
    """Make a folder the database user's own; an ordinary user's server runs as that user already."""
    if os.geteuid() == 0:
        os.chown(path, SERVER_UID, SERVER_UID)


def _identity() -> list[str]:
    """PostgreSQL refuses root: an ordinary user is mapped to the server's account, root drops to it later."""
    if os.geteuid() == 0:
        return []
    return ["--unshare-user", "--uid", str(SERVER_UID), "--gid", str(SERVER_UID)]
