"""`telestream profiles`: what a person sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from command import ROOT
from typer import Typer
from typer.testing import CliRunner, Result

from telestream.errors import ProfileError, UsageError
from telestream.loaders import profiles_cli

SAMPLES = ROOT / "samples"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles_cli.console, "_width", 200)


def run(*arguments: str | Path) -> Result:
    app = Typer()
    profiles_cli.register(app)
    app.command("other")(lambda: None)
    return CliRunner().invoke(app, ["profiles", *map(str, arguments)], catch_exceptions=True)


def shown(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exception is None, result.output
    return result.output


def test_list() -> None:
    text = shown("list")
    assert "asterisk_cdr_csv" in text
    assert "Asterisk cdr_csv Master.csv (16 to 21 columns)" in text
    assert "telestream profiles test FILE" in text


def test_show_is_a_file_to_start_from(tmp_path: Path) -> None:
    text = shown("show", "canonical")
    assert yaml.safe_load(text)["name"] == "canonical"
    mine = tmp_path / "acme.yaml"
    mine.write_text(text.replace("name: canonical", "name: acme", 1))
    assert "profile: acme, version 1" in shown("test", SAMPLES / "canonical.csv", "--profile", mine)


def test_test_teaches() -> None:
    path = SAMPLES / "mobile_data.csv"
    text = shown("test", path, "--rows", "2")
    for part in (
        f"file: {path} (",
        "profile: mobile_data, version 1",
        "because: 21 fields, field 1 is a 32-digit hex hash",
        "without quotes, without a header, utf-8, local times in Asia/Shanghai",
        "line 1 ",
        "line 2 ",
        "lac || '-' || ci",
        "= data",
        "not read: host_url, user_agent, content_type",
        "22 records (the whole file): 20 can be mapped, 2 cannot",
        "field_count",
        "6 fields where 21 are expected",
        f"next: telestream load cdr {path} --dry-run",
    ):
        assert part in text, part
    assert "line 3 " not in text


def test_test_of_other_formats() -> None:
    text = shown("test", SAMPLES / "canonical.jsonl.gz", "--rows", "1")
    assert "gzip" in text
    assert "jsonl, local times in UTC" in text
    assert "not read: nothing" in text
    assert "canonical_parquet" in shown("test", SAMPLES / "canonical.parquet")


def test_test_of_a_file_that_would_be_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    record = {"source_system": "a", "native_key": "b", "record_type": "voice", "started_at": "never"}
    path.write_text((json.dumps(record) + "\n") * 3)
    result = run("test", path)
    assert isinstance(result.exception, ProfileError)
    assert "a load would refuse the whole file" in str(result.exception)
    assert "cannot read 'never' as a time" in (result.exception.detail or "")


def test_test_of_nothing(tmp_path: Path) -> None:
    assert isinstance(run("test", tmp_path).exception, UsageError)
    path = tmp_path / "header.csv"
    path.write_text((SAMPLES / "canonical.csv").read_text().splitlines()[0] + "\n")
    assert "the file holds no records" in shown("test", path)


def test_the_help_has_an_example() -> None:
    text = run("test", "--help").output
    assert "telestream profiles test Master.csv" in text
    assert "quarantine" in text
