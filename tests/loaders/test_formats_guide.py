"""docs/formats.md: its walk-through works as written, and it knows every key, rule and profile there is."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command import ROOT
from reading import read, source_of

from telestream.errors import ProfileError
from telestream.loaders import profile as profiles
from telestream.loaders.profile import Dialect, Numbers, Profile, Rule, Sniff
from telestream.loaders.sniff import sniff

GUIDE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    found = re.search(rf"<!-- walk-through: {re.escape(name)} -->\n```\w*\n(.*?)```", GUIDE, re.DOTALL)
    assert found, name
    return found[1]


@pytest.fixture
def cdr(tmp_path: Path) -> Path:
    path = tmp_path / "cdr.txt"
    path.write_text(block("cdr.txt"), encoding="utf-8")
    (tmp_path / "rheintel.yaml").write_text(block("rheintel.yaml"), encoding="utf-8")
    return path


def test_the_walk_through(cdr: Path) -> None:
    with pytest.raises(ProfileError, match="no csv profile fits"):
        sniff(source_of(cdr))
    profile = profiles.load(str(cdr.with_name("rheintel.yaml")))
    found = read(cdr, profile)
    table = re.findall(r"^\| (\d+) \| (.+) \|$", GUIDE.partition("<!-- walk-through: refused -->")[2], re.MULTILINE)
    assert {line: one["reason"] for line, one in found.rejects.items()} == {
        int(line): reason for line, reason in table[: len(found.rejects)]
    }
    assert found.column("caller") == ["+491713920001", "+491713920002", "+491713920003"]
    assert found.column("called") == ["+492281234567", "+491713920001", "+49228765432"]
    assert found.column("started_at")[0] == datetime(2026, 3, 29, 10, 0, 5, tzinfo=UTC)
    assert found.column("duration_s") == [130, None, 0]
    assert found.column("charge_micro") == [450_000, 90_000, 0]
    assert found.column("disposition") == ["answered", "answered", "busy"]
    assert found.column("technology") == ["4g"] * 3


def test_once_installed_it_is_recognised(cdr: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "user_folder", lambda: cdr.parent)
    assert sniff(source_of(cdr)).profile.name == "rheintel"


@pytest.mark.parametrize("model", [Profile, Dialect, Rule, Numbers, Sniff])
def test_every_key_is_explained(model: type[Profile]) -> None:
    for key in model.model_fields:
        assert f"`{key}`" in GUIDE, key


def test_every_profile_and_rule_is_listed() -> None:
    listed = set(re.findall(r"`(\w+)`", GUIDE))
    for name in profiles.profile_files():
        assert name in listed or "_" + name.partition("_")[2] in listed, name
    source = "".join(path.read_text() for path in (ROOT / "loaders" / "readers").glob("*.py"))
    for rule in re.findall(
        r'"(field_count|unbalanced_quote|encoding|nul_byte|carriage_return|line_too_long|json)"', source
    ):
        assert rule in listed
