"""Profiles as YAML: the shipped ones are sound, mistakes are named with their key and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from reading import MINIMAL, profile_of

from telestream.errors import ProfileError
from telestream.loaders import profile as profiles
from telestream.settings import settings

SHIPPED = sorted(profiles.SHIPPED.glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_profiles(path: Path) -> None:
    found = profiles.load(path.stem)
    assert found.name == path.stem
    assert found.origin == path
    assert found.sniff is not None
    assert {"native_key", "record_type", "started_at"} <= set(found.fields)
    assert len(found.content_hash) == 64


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        (
            {"fields": {"nativ_key": "key"}},
            "fields.nativ_key: not a field of the canonical CDR, did you mean native_key",
        ),
        ({"fields": {"caller": "nosuch"}}, "no column is called nosuch (there are key, note)"),
        ({"fields": {"caller": "notes"}}, "no column is called notes, did you mean note"),
        ({"fields": {"caller": {"column": "note", "colour": 1}}}, "fields.caller.colour: unknown key"),
        ({"fields": {"caller": {}}}, "needs exactly one of column, expr or const, has none"),
        ({"fields": {"caller": {"column": "note", "const": 1}}}, "has column, const"),
        ({"fields": {"caller": {"column": "note", "format": "iso"}}}, "only times and durations have a format"),
        ({"fields": {"started_at": {"column": "note", "format": "epoch"}}}, "'epoch' is not one of iso, epoch_s"),
        ({"fields": {"duration_s": {"column": "note", "unit": "KiB"}}}, "allowed are us, ms, s, min, h"),
        ({"fields": {"charge": {"column": "note", "unit": "ms"}}}, "only durations and bytes have a unit"),
        ({"fields": {"duration_s": {"column": "note", "unit": "ms", "scale": 2}}}, "exclude each other"),
        ({"fields": {"caller": {"column": "note", "scale": 2}}}, "only numbers have a scale"),
        ({"fields": {"is_roaming": {"column": "note", "map": {True: True}}}}, "put the text in quotes"),
        ({"fields": {"extras": {"expr": "note"}}}, "use the top-level key extras"),
        ({"extras": {"x": {"column": "note", "default": 1}}}, "takes column or expr only, has default"),
        ({"version": 0}, "version"),
        ({"name": "My Switch"}, "name"),
        ({"format": "xls"}, "'csv', 'jsonl', 'parquet' or 'avro'"),
        ({"time_zone": "Mars/Olympus"}, "no such time zone: 'Mars/Olympus' (use an IANA name"),
        ({"dialect": {"header": False, "delimiter": "||"}}, "dialect.delimiter"),
        ({"dialect": {"header": False, "delimiter": "§"}}, "one ASCII character"),
        ({"dialect": {"header": False, "encoding": "klingon"}}, "no such encoding: 'klingon'"),
        ({"dialect": {"header": False, "delimeter": ";"}}, "dialect.delimeter: unknown key, did you mean delimiter"),
        ({"dialect": {"header": True}}, "only for files without a header"),
        ({"columns": None}, "needs the list of its columns"),
        ({"columns": {3: ["key", "note"]}}, "columns.3: lists 2 names"),
        ({"columns": ["key", "note", "key"]}, "names a column twice"),
        ({"promises": ["world peace"]}, "promises"),
        ({"numbers": {"country_code": "+44"}}, "one to six digits in quotes"),
        ({"numbers": {"national_prefix": "0"}}, "country_code is needed"),
        ({"sniff": {"because": "so"}}, "needs either header"),
        ({"sniff": {"columns": {0: "x"}}}, "columns are counted from 1"),
        ({"sniff": {"columns": {1: "("}}}, "column 1: not a regular expression"),
        ({"colour": 1}, "colour: unknown key"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], part: str) -> None:
    with pytest.raises(ProfileError) as caught:
        profile_of(**changes)
    assert part in (caught.value.detail or "")
    assert "docs/formats.md" in (caught.value.hint or "")


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ProfileError) as caught:
        profile_of(version=0, name="X Y")
    assert "version" in (caught.value.detail or "")
    assert "name" in (caught.value.detail or "")


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "a: b: c"])
def test_what_is_no_profile(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ProfileError, match="mine.yaml: not"):
        profiles.load(str(path))


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no profile is called 'astrisk'") as caught:
        profiles.load("astrisk")
    assert "asterisk_cdr_csv" in (caught.value.detail or "")
    with pytest.raises(ProfileError, match="nosuch.yaml: no such profile"):
        profiles.load(str(tmp_path / "nosuch.yaml"))


def test_a_users_own_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELESTREAM_STATE_DIR", str(tmp_path))
    settings.cache_clear()
    try:
        folder = profiles.user_folder()
        folder.mkdir()
        text = (profiles.SHIPPED / "mobile_data.yaml").read_text()
        (folder / "acme.yaml").write_text(text.replace("name: mobile_data", "name: acme"))
        assert profiles.load("acme").name == "acme"
        assert "acme" in [found.name for found in profiles.load_all()]
        (folder / "mobile_data.yaml").write_text(text)
        with pytest.raises(ProfileError, match="there is a shipped profile called 'mobile_data'"):
            profiles.load_all()
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_the_operators_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELESTREAM_TIME_ZONE", "Asia/Tokyo")
    settings.cache_clear()
    try:
        assert profile_of(time_zone="operator").zone == "Asia/Tokyo"
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_equal_profiles_have_equal_hashes() -> None:
    assert profile_of().content_hash == profiles.parse(dict(reversed(MINIMAL.items()))).content_hash
    assert profile_of(version=2).content_hash != profile_of().content_hash
