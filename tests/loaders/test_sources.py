"""Finding files and reading their bytes: names do not matter, damage is found before the first record."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import pytest
import zstandard
from reading import profile_of, read, source_of

from telestream.errors import SourceError, TransientError, UsageError
from telestream.loaders.sources import Source, discover, reading

TEXT = b"".join(b"k%d,%d\n" % (number, number) for number in range(20_000))


def names(*paths: Path | str) -> list[str]:
    return [source.name for source in discover([str(path) for path in paths])]


def test_folders_and_patterns(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c.csv.tmp", ".hidden", "d.manifest.json", "README.md", "_SUCCESS", "e.part"):
        (tmp_path / name).write_text("x")
    (tmp_path / "sub" / ".git").mkdir(parents=True)
    (tmp_path / "sub" / "0.csv").write_text("x")
    (tmp_path / "sub" / ".git" / "1.csv").write_text("x")
    assert names(tmp_path) == ["a.csv", "b.csv", "0.csv"]
    assert names(tmp_path / "*.csv") == ["a.csv", "b.csv"]
    assert names(tmp_path / "**" / "*.csv") == ["a.csv", "b.csv", "0.csv"]
    assert names(tmp_path / "a.csv", tmp_path, tmp_path / "?.csv") == ["a.csv", "b.csv", "0.csv"]
    # What is named is taken, whatever it is called.
    assert names(tmp_path / ".hidden", tmp_path / "c.csv.tmp") == [".hidden", "c.csv.tmp"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert names(empty) == []
    [source] = discover([str(tmp_path / "a.csv")])
    assert source.uri == str(tmp_path / "a.csv")
    assert source.size == 1
    assert source.modified_at.tzinfo is not None


def test_a_name_with_brackets_is_a_name_first(tmp_path: Path) -> None:
    (tmp_path / "day[1].csv").write_text("x")
    assert names(tmp_path / "day[1].csv") == ["day[1].csv"]


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing.csv: no such file or folder"):
        discover([str(tmp_path / "missing.csv")])
    with pytest.raises(UsageError, match=r"\*.csv: no file matches"):
        discover([str(tmp_path / "*.csv")])
    with pytest.raises(UsageError, match="ftp:// is not supported"):
        discover(["ftp://host/file"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a regular file"):
        discover([str(tmp_path / "pipe")])
    (tmp_path / "gone.csv").write_text("x")
    source = source_of(tmp_path / "gone.csv")
    (tmp_path / "gone.csv").unlink()
    with pytest.raises(SourceError, match="gone.csv: no such file") as caught:
        source.fingerprint()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("error", "kind", "part"),
    [
        (PermissionError(13, "denied"), SourceError, "permission denied"),
        (IsADirectoryError(21, "is one"), UsageError, "a folder"),
        (OSError(5, "I/O error"), SourceError, "cannot be read"),
    ],
)
def test_errors_of_the_file_system(error: OSError, kind: type[Exception], part: str) -> None:
    with pytest.raises(kind, match=f"/data/x: {part}"), reading("/data/x"):
        raise error
    with pytest.raises(TransientError, match="does not answer"), reading("s3://bucket/x"):
        raise ConnectionResetError(104, "reset")


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]),
        lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
        lambda data: zstandard.compress(data[:1000]) + zstandard.compress(data[1000:]),
        bytes,
    ],
)
def test_compression_is_told_by_the_first_bytes(tmp_path: Path, pack: object) -> None:
    path = tmp_path / "day.csv"
    path.write_bytes(pack(TEXT))  # type: ignore[operator]
    source = source_of(path)
    assert source.fingerprint() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source.head(10) == TEXT[:10]
    found = read(path, profile_of(), segment_bytes=50_000)
    assert len(found.rows) == 20_000
    assert found.segments[-1].end == len(TEXT)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor(write_checksum=True).compress])
def test_damaged_archives(tmp_path: Path, compress: object) -> None:
    whole = compress(TEXT)  # type: ignore[operator]
    flipped = bytearray(whole)
    flipped[-5] ^= 0xFF
    for data in (whole[: len(whole) // 2], whole[:-1], bytes(flipped), whole + b"rubbish"):
        path = tmp_path / "day.csv.gz"
        path.write_bytes(data)
        with pytest.raises(SourceError, match=r"day.csv.gz: the (gzip|zstd) data is truncated or damaged") as caught:
            source_of(path).fingerprint()
        assert "Copy the file again" in (caught.value.hint or "")


def test_what_holds_nothing(tmp_path: Path) -> None:
    for name, data in (("empty.csv", b""), ("empty.csv.gz", gzip.compress(b""))):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(SourceError, match=f"{name}: the file is empty"):
            source_of(path).fingerprint()
        with pytest.raises(SourceError, match=f"{name}: the file is empty"):
            source_of(path).head()


@pytest.mark.parametrize(
    "magic", [b"PK\x03\x04....", b"\xfd7zXZ\x00....", b"BZh91AY&SY....", b"7z\xbc\xaf\x27\x1c...."]
)
def test_archives_that_cannot_be_read(tmp_path: Path, magic: bytes) -> None:
    path = tmp_path / "day.zip"
    path.write_bytes(magic)
    with pytest.raises(SourceError, match="which cannot be read") as caught:
        source_of(path).fingerprint()
    assert "Unpack" in (caught.value.hint or "")


def test_parquet_inside_gzip(tmp_path: Path) -> None:
    path = tmp_path / "day.parquet.gz"
    path.write_bytes(gzip.compress(b"PAR1" + b"x" * 100 + b"PAR1"))
    with pytest.raises(SourceError, match="a Parquet or Avro file inside gzip"):
        source_of(path).fingerprint()


def test_much_from_little(tmp_path: Path) -> None:
    """A file of one line over and over compresses a thousandfold; the reader's memory must not care."""
    path = tmp_path / "same.csv.gz"
    path.write_bytes(gzip.compress(b"key,1\n" * 2_000_000))
    source = source_of(path)
    assert source.size < 100_000
    assert source.fingerprint()


def test_a_source_is_a_value() -> None:
    [one], [other] = discover([__file__]), discover([__file__])
    assert one == other
    assert isinstance(one, Source)
    assert len({one, other}) == 1
