"""The samples hold what their README says."""

from __future__ import annotations

import re

import pytest
from command import ROOT
from reading import read, source_of

from telestream.loaders import profile as profiles
from telestream.loaders.sniff import assess, sniff

SAMPLES = ROOT / "samples"
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \| (\d+) \| (\d+) \| (\d+) \|", re.MULTILINE)
TABLE = {
    name: (profile, *map(int, counts)) for name, profile, *counts in ROW.findall((SAMPLES / "README.md").read_text())
}


def test_every_file_and_every_profile_is_in_the_table() -> None:
    files = {path.name for path in SAMPLES.iterdir() if path.suffix not in (".md", ".json")}
    assert set(TABLE) == files
    assert {profile for profile, *_ in TABLE.values()} == set(profiles.profile_files())


@pytest.mark.parametrize("name", sorted(TABLE))
def test_counts(name: str) -> None:
    profile, records, mapped, refused = TABLE[name]
    source = source_of(SAMPLES / name)
    assert source.fingerprint()
    assert sniff(source).profile.name == profile
    chosen = profiles.load(profile)
    assert assess(source, chosen) is None
    found = read(SAMPLES / name, chosen)
    assert (found.segments[0].rows_in, len(found.rows), len(found.rejects)) == (records, mapped, refused)
    if name.startswith("canonical"):
        return  # generated with duplicates and records that the database's rules refuse
    assert len({(row["source_system"], row["native_key"], row["leg"]) for row in found.rows.values()}) == mapped
    for row in found.rows.values():
        assert None not in (row["source_system"], row["native_key"], row["record_type"])
        assert row["started_at"].year == 2026
