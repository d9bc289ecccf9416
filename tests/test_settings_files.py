"""Secrets come from files, and URLs get their passwords from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from telestream.errors import UsageError
from telestream.settings import settings


@pytest.fixture(autouse=True)
def read_anew() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELESTREAM_SECRETS_DIR", str(tmp_path))
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"TELESTREAM_{name}", raising=False)
    return tmp_path


def test_a_file_is_a_setting_and_a_variable_goes_before_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "telestream_crm_token").write_text("of the file\n")
    (folder / "telestream_kafka_password").write_text("of the file")
    monkeypatch.setenv("TELESTREAM_KAFKA_PASSWORD", "of the variable")
    assert settings().crm_token.get_secret_value() == "of the file"
    assert settings().kafka_password.get_secret_value() == "of the variable"
    assert "of the" not in repr(settings())


def test_urls_get_the_password_they_do_not_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "telestream_database_password").write_text("p/w@d")
    (folder / "telestream_redis_password").write_text("cache")
    monkeypatch.setenv("TELESTREAM_DATABASE_URL", "postgresql://loader@db:5433/telestream?sslmode=require")
    monkeypatch.setenv("TELESTREAM_API_DATABASE_URL", "postgresql://api:own@db/telestream")
    monkeypatch.setenv("TELESTREAM_REDIS_URL", "redis://cache:6379/0")
    assert settings().database_url == "postgresql://loader:p%2Fw%40d@db:5433/telestream?sslmode=require"
    assert settings().api_database_url == "postgresql://api:own@db/telestream"
    assert settings().api_replica_url == ""
    assert settings().redis_url == "redis://:cache@cache:6379/0"


def test_a_folder_that_is_missing_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELESTREAM_SECRETS_DIR", str(folder / "nowhere"))
    with pytest.raises(UsageError) as caught:
        settings()
    assert "TELESTREAM_SECRETS_DIR" in (caught.value.detail or "")
