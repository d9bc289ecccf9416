"""Which profile fits a file, why, and when a file is refused as a whole."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import ROOT
from reading import profile_of, source_of

from telestream.errors import ProfileError
from telestream.loaders import profile as profiles
from telestream.loaders.sniff import assess, refused_lines, sniff, source_columns

SAMPLES = ROOT / "samples"


def test_the_reason_says_what_was_seen() -> None:
    result = sniff(source_of(SAMPLES / "mobile_data.csv"))
    assert result.profile.name == "mobile_data"
    assert result.reason.startswith("21 fields, field 1 is a 32-digit hex hash")
    assert "3 of 22 lines have another number of fields" in result.reason
    assert result.candidates[0].profile.name == "mobile_data"
    assert sniff(source_of(SAMPLES / "cisco_cucm.csv")).reason.startswith("the header has cdrRecordType")


def test_two_orders_under_one_name(tmp_path: Path) -> None:
    """Both Asterisk modules write Master.csv."""
    for name in ("asterisk_cdr_csv", "asterisk_cdr_custom"):
        path = tmp_path / "Master.csv"
        path.write_bytes((SAMPLES / f"{name}.csv").read_bytes())
        assert sniff(source_of(path)).profile.name == name


@pytest.mark.parametrize("columns", [16, 17, 18, 19, 20, 21])
def test_every_shape_of_cdr_csv(tmp_path: Path, columns: int) -> None:
    rest = {
        16: "", 17: ',"1772.1"', 18: ',"1772.1",""', 19: ',"","1772.1",5', 20: ',"1772.1","","1772.1",5',
        21: ',"1772.1","","","1772.1",5',
    }[columns]  # fmt: skip
    line = (
        '"","07700900616","01632960395","in","""A"" <07700900616>","SIP/a","SIP/b","Dial","SIP/b","2026-03-01 09:02:51",'
        ',"2026-03-01 09:05:36",165,159,"ANSWERED","DOCUMENTATION"'
    )
    path = tmp_path / "Master.csv"
    path.write_text(line + rest + "\n")
    result = sniff(source_of(path))
    assert result.profile.name == "asterisk_cdr_csv"
    assert result.reason.startswith(f"{columns} fields")


def test_names_and_order_of_columns_do_not_matter(tmp_path: Path) -> None:
    header, *lines = (SAMPLES / "cisco_cucm.csv").read_text().splitlines()
    path = tmp_path / "export.txt"
    path.write_text(header.upper() + "\n" + "\n".join(lines))
    assert sniff(source_of(path)).profile.name == "cisco_cucm"


def test_nothing_fits(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ProfileError, match="other.csv: no csv profile fits") as caught:
        sniff(source_of(path))
    assert "The nearest are" in (caught.value.detail or "")
    assert "--profile" in (caught.value.hint or "")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(ProfileError, match="no parquet profile fits") as caught:
        sniff(source_of(tmp_path / "x.parquet"))
    assert "no column source_system" in (caught.value.detail or "")
    path.write_bytes(bytes(range(256)) * 300)
    with pytest.raises(ProfileError, match="no csv profile fits"):
        sniff(source_of(path))


def test_two_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = profiles.load("canonical")
    monkeypatch.setattr("telestream.loaders.sniff.load_all", lambda: [one, one.model_copy(update={"name": "twin"})])
    with pytest.raises(ProfileError, match="canonical, twin fit equally well"):
        sniff(source_of(SAMPLES / "canonical.csv"))


def test_a_few_bad_lines_are_no_reason_to_refuse() -> None:
    source = source_of(SAMPLES / "mobile_data.csv")
    assert assess(source, profiles.load("mobile_data")) is None


def mangled() -> str:
    """What a spreadsheet makes of mobile-data CDRs: times cut, columns padded."""
    lines = (SAMPLES / "mobile_data.csv").read_bytes().decode("latin-1").splitlines()
    rows = [line.split(",") for line in lines if line.count(",") == 20]
    for row in rows:
        row[7], row[8] = row[7][14:21], row[8][14:21]
    return "\r\n".join(",".join(row) + "," * 91 for row in rows) + "\r\n"


def test_a_file_saved_by_a_spreadsheet(tmp_path: Path) -> None:
    for path, data in (
        (tmp_path / "saved.csv", mangled().encode()),
        (tmp_path / "saved.csv.gz", gzip.compress(mangled().encode())),
    ):
        path.write_bytes(data)
        source = source_of(path)
        chosen = sniff(source).profile
        assert chosen.name == "mobile_data"
        refusal = assess(source, chosen)
        assert refusal is not None
        assert refusal.reason.startswith(
            "no line can be read as mobile_data: 112 fields where 21 are expected, started_at: cannot read '"
        )
        assert refusal.reason.endswith("it looks like the file was opened and saved by a spreadsheet")
        assert "spreadsheet" in refusal.hint
        lines = mangled().splitlines()
        batches = list(refused_lines(source, chosen))
        assert sum(map(len, batches)) == len(lines)
        assert batches[0].raw == lines
        assert batches[0].numbers == list(range(1, len(lines) + 1))
        rejects = batches[0].as_rejects("file_refused", refusal.reason)
        assert rejects.num_rows == len(lines)
        assert set(rejects.column("rule").to_pylist()) == {"file_refused"}


def test_a_refused_file_with_a_header(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("key,note\nx,1\n\ny,2\nz,3\n")
    profile = profile_of(dialect={"header": True}, columns=None, fields={"duration_s": "key", "caller": "note"})
    refusal = assess(source_of(path), profile)
    assert refusal is not None
    assert refusal.reason == "no line can be read as minimal: duration_s: cannot read 'x' as a whole number"
    [batch] = refused_lines(source_of(path), profile)
    assert (batch.numbers, batch.raw) == ([2, 4, 5], ["x,1", "y,2", "z,3"])


def test_refused_records(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"key": ["x", "y", "3"], "note": ["1", "2", "3"]}), path)
    profile = profile_of(format="parquet", dialect={}, columns=None, fields={"duration_s": "key"})
    refusal = assess(source_of(path), profile)
    assert refusal is not None
    assert refusal.reason.startswith("only 1 of the first 3 lines can be read as minimal")
    [batch] = refused_lines(source_of(path), profile)
    assert batch.numbers == [1, 2, 3]
    assert batch.raw[0] == '{"key": "x", "note": "1"}'


def test_the_columns_of_a_file(tmp_path: Path) -> None:
    assert source_columns(source_of(SAMPLES / "canonical.parquet"), profiles.load("canonical_parquet"))[:2] == [
        "source_system",
        "native_key",
    ]
    assert "pkid" in source_columns(source_of(SAMPLES / "cisco_cucm.csv"), profiles.load("cisco_cucm"))
    assert "tac" in source_columns(source_of(SAMPLES / "mobile_data.csv"), profiles.load("mobile_data"))
    assert "caller" in source_columns(source_of(SAMPLES / "canonical.jsonl.gz"), profiles.load("canonical_jsonl"))
