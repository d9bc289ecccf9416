"""Where the embedded stack lives on disk and what must be remembered between two commands."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from telestream.errors import StackError
from telestream.settings import settings

DATABASE_NAME = "telestream"
SUPERUSER = "postgres"
ADMIN_ROLE = "telestream_admin"


def _password() -> str:
    return secrets.token_urlsafe(24)  # URL-safe, so that it needs no quoting in a URL or a pgpass file


@dataclass
class StackState:
    """Ports, passwords and process ids of the embedded stack; passwords and ports outlive a restart."""

    database_port: int = 0
    redis_port: int = 0
    broker_port: int = 0
    broker_cluster_id: str = ""
    api_port: int = 0
    superuser_password: str = field(default_factory=_password, repr=False)
    admin_password: str = field(default_factory=_password, repr=False)
    redis_password: str = field(default_factory=_password, repr=False)
    root: str = ""
    postgres_pid: int | None = None
    redis_pid: int | None = None
    broker_pid: int | None = None

    @property
    def database_url(self) -> str:
        """URL of the database as its owner `telestream_admin`."""
        return self._url(ADMIN_ROLE, self.admin_password, DATABASE_NAME)

    @property
    def superuser_url(self) -> str:
        """URL of the maintenance database as superuser."""
        return self._url(SUPERUSER, self.superuser_password, "postgres")

    @property
    def redis_url(self) -> str:
        """URL of the cache."""
        return f"redis://:{self.redis_password}@127.0.0.1:{self.redis_port}/0"

    @property
    def kafka_bootstrap(self) -> str:
        """Address of the broker."""
        return f"127.0.0.1:{self.broker_port}"

    @property
    def api_url(self) -> str:
        """URL of the API, which runs only where a demonstration has started it."""
        return f"http://127.0.0.1:{self.api_port}"

    def _url(self, user: str, password: str, database: str) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.database_port}/{database}"


@dataclass(frozen=True)
class StackPaths:
    """The folders of one embedded stack, below `settings().state_dir`."""

    base: Path

    @classmethod
    def current(cls) -> StackPaths:
        """Return the folders that belong to the settings of this process."""
        return cls(settings().state_dir / "stack")

    @property
    def state_file(self) -> Path:
        """The saved `StackState`."""
        return self.base / "state.json"

    @property
    def password_file(self) -> Path:
        """Passwords for libpq's own programs (`PGPASSFILE`)."""
        return self.base / "pgpass"

    @property
    def postgres(self) -> Path:
        """What the database server sees as its only writable folder."""
        return self.base / "postgres"

    @property
    def data(self) -> Path:
        """The database cluster."""
        return self.postgres / "data"

    @property
    def postgres_log(self) -> Path:
        """The log of the database server."""
        return self.postgres / "log" / "postgres.log"

    @property
    def redis(self) -> Path:
        """The working folder of the cache server."""
        return self.base / "redis"

    @property
    def redis_log(self) -> Path:
        """The log of the cache server."""
        return self.redis / "redis.log"

    @property
    def broker(self) -> Path:
        """The working folder of the broker."""
        return self.base / "broker"

    @property
    def broker_log(self) -> Path:
        """The log of the broker."""
        return self.broker / "broker.log"

    @property
    def api(self) -> Path:
        """The working folder of the API."""
        return self.base / "api"

    @property
    def api_log(self) -> Path:
        """The log of the API."""
        return self.api / "api.log"

    def create(self) -> None:
        """Make the folders, closed to other users."""
        self.base.mkdir(parents=True, exist_ok=True)
        self.base.chmod(0o700)
        for path in (self.postgres, self.redis, self.broker, self.api):
            path.mkdir(exist_ok=True, mode=0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def load() -> StackState | None:
    """Return the remembered state of the embedded stack, or None where none was ever started."""
    path = StackPaths.current().state_file
    try:
        saved: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise StackError(
            "the state of the embedded stack cannot be read",
            detail=f"{path}: {exc}",
            hint="Remove that file and run `telestream stack up`; the data is kept.",
        ) from exc
    known = {f.name for f in fields(StackState)}
    return StackState(**{name: value for name, value in saved.items() if name in known})


def save(state: StackState) -> None:
    """Remember the state and the password file that follows from it."""
    paths = StackPaths.current()
    write_private(paths.state_file, json.dumps(asdict(state), indent=2) + "\n")
    passwords = {SUPERUSER: state.superuser_password, ADMIN_ROLE: state.admin_password}
    lines = [f"127.0.0.1:{state.database_port}:*:{user}:{word}\n" for user, word in passwords.items()]
    write_private(paths.password_file, "".join(lines))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel frees it when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
