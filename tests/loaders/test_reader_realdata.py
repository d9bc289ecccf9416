"""Real mobile-data CDRs and PBX files: every line accounted for. The data stays outside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command import ROOT
from reading import read, source_of

from telestream.loaders import profile as profiles
from telestream.loaders.sniff import assess, refused_lines, sniff

DATA = Path(os.environ.get("TELESTREAM_REALDATA", ROOT.parent / "shared" / "data"))
MANGLED = "20150801.csv"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA} (set TELESTREAM_REALDATA)"),
]


@pytest.fixture(scope="module")
def files() -> list[Path]:
    return sorted((DATA / "mobile-data-cdr" / "beijing").glob("*.csv"))


def test_every_line_of_a_month(files: list[Path]) -> None:
    lines = mapped = wide = refused = 0
    keys: set[str] = set()
    profile = profiles.load("mobile_data")
    for path in files:
        source = source_of(path)
        assert sniff(source).profile.name == "mobile_data", path.name
        raw = [line for line in path.read_bytes().split(b"\n") if line.strip()]
        lines += len(raw)
        if path.name == MANGLED:
            continue
        assert assess(source, profile) is None, path.name
        found = read(path, profile, segment_bytes=200_000)
        assert sum(segment.rows_in for segment in found.segments) == len(raw)
        mapped += len(found.rows)
        refused += len(found.rejects)
        keys |= {row["native_key"] for row in found.rows.values()}
        for number, line in enumerate(raw, start=1):
            if line.count(b",") > 20:
                assert number in found.rows
                wide += 1
        first = found.rows[1]
        values = raw[0].decode().split(",")
        assert (first["caller"], first["cell_id"]) == (values[0], f"{values[1]}-{values[2]}")
        assert (first["bytes_up"], first["bytes_down"]) == (int(values[10]), int(values[11]))
        assert first["technology"] in ("3g", "2g")
    assert len(files) == 31
    assert lines == 96_650
    assert mapped + refused == 90_392
    assert refused == 0
    assert len(keys) == 90_392  # no two real records agree in all that the key is made of
    assert wide == 5_863


def test_local_times_of_shanghai(files: list[Path]) -> None:
    found = read(files[1], profiles.load("mobile_data"))
    text = files[1].read_text().splitlines()[0].split(",")[7]
    assert found.rows[1]["started_at"].strftime("%Y-%m-%d %H:%M:%S.%f") == text.replace(" 22:", " 14:")


def test_the_month_that_a_spreadsheet_saved(files: list[Path]) -> None:
    source = source_of(files[0])
    assert source.name == MANGLED
    chosen = sniff(source).profile
    refusal = assess(source, chosen)
    assert refusal is not None
    for part in ("no line", "112 fields where 21 are expected", "'08:31.0'", "spreadsheet"):
        assert part in refusal.reason
    assert sum(len(batch) for batch in refused_lines(source, chosen)) == 6_258


@pytest.mark.parametrize(
    ("name", "profile", "rows"),
    [
        ("asterisk_cdr_custom_Master.csv", "asterisk_cdr_custom", 14),
        ("freeswitch_example_Master.csv", "freeswitch_example", 10),
    ],
)
def test_pbx_files(name: str, profile: str, rows: int) -> None:
    source = source_of(DATA / "pbx" / name)
    assert sniff(source).profile.name == profile
    found = read(DATA / "pbx" / name, profiles.load(profile))
    assert (len(found.rows), len(found.rejects)) == (rows, 0)


def test_the_real_header_of_cucm(tmp_path: Path) -> None:
    names = (DATA / "pbx" / "cucm_header_names.txt").read_text().strip().split(",")
    assert len(names) == 129
    values = {"cdrRecordType": "1", "pkid": '"k"', "dateTimeOrigination": "1541451924", "origIpAddr": "1879097098"}
    path = tmp_path / "cdr"
    types = ",".join("INTEGER" for _ in names)
    path.write_text(",".join(names) + f"\n{types}\n" + ",".join(values.get(name, "0") for name in names) + "\n")
    assert sniff(source_of(path)).profile.name == "cisco_cucm"
    found = read(path, profiles.load("cisco_cucm"))
    assert found.column("native_key") == ["k"]
    assert '"orig_ip": "10.191.0.112"' in found.column("extras")[0]
