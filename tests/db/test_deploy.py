"""db/deploy.sh, run as the containers run it, and what its logins can do."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from command import ROOT, assert_clear_error, telestream
from fix_db import ADMIN, PASSWORD
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from telestream.db import migrate
from telestream.db.connection import connect

LOGINS = ("api", "loader", "consumer", "grafana", "metrics")


@pytest.fixture
def deployed(tmp_path: Path, database: str, superuser_url: str) -> Iterator[dict[str, str]]:
    """The environment of the job that deploys, after it has run."""
    parts, superuser = conninfo_to_dict(database), conninfo_to_dict(superuser_url)
    place = f"{parts['host']}:{parts['port']}"
    mark = f"svc{secrets.token_hex(4)}_"
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "superuser_password").write_text(str(superuser["password"]))
    (folder / "telestream_database_password").write_text(PASSWORD)
    for name in LOGINS:
        (folder / f"{name}_password").write_text(f"the password of {name}\n")
    # Beside the databases of other tests: names of its own, and no broker.
    script = (ROOT / "db" / "deploy.sh").read_text().replace("svc_", mark).replace("topics create", "topics list")
    script = script.replace("db prepare", f"db prepare --name {parts['dbname']} --owner {ADMIN}")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TELESTREAM_SECRETS_DIR": str(folder),
        "TELESTREAM_SUPERUSER_URL": f"postgresql://{superuser['user']}@{place}/postgres",
        "TELESTREAM_DATABASE_URL": f"postgresql://{ADMIN}@{place}/{parts['dbname']}",
    }
    ran = subprocess.run(
        ["sh", "-c", script], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    shown = ran.stdout + ran.stderr
    assert ran.returncode == 0, shown
    assert PASSWORD not in shown
    assert "the password of" not in shown
    yield {**environment, "MARK": mark, "PLACE": place, "NAME": str(parts["dbname"])}
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        for name in LOGINS:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(mark + name)))


def test_each_login_finds_the_database_ready_and_the_loader_loads(
    deployed: dict[str, str], vault_key_file: str
) -> None:
    folder = Path(deployed["TELESTREAM_SECRETS_DIR"])
    place = f"{deployed['PLACE']}/{deployed['NAME']}"
    for name in LOGINS:
        password = quote((folder / f"{name}_password").read_text().strip())
        with connect(f"postgresql://{deployed['MARK']}{name}:{password}@{place}") as connection:
            migrate.require_head(connection)
    (folder / "telestream_database_password").write_text((folder / "loader_password").read_text())
    loaded = telestream(
        "load", "cdr", ROOT / "samples" / "cisco_cucm.csv",
        TELESTREAM_SECRETS_DIR=str(folder),
        TELESTREAM_DATABASE_URL=f"postgresql://{deployed['MARK']}loader@{place}",
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stdout + loaded.stderr
    assert "loaded" in loaded.stdout


def test_who_waits_in_vain_is_told_what_for(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE public.alembic_version SET version_num = '0001'")
    assert_clear_error(telestream("db", "wait", "--timeout", "1"), "0001", "telestream db upgrade")


def test_who_starts_again_while_the_database_is_newer_does_not_wait(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE public.alembic_version SET version_num = '9999'")
    waited = telestream("db", "wait", "--timeout", "1")
    assert waited.returncode == 0, waited.stderr
