"""The same files from an object store: found by prefix, pattern and key, read, resumed and checked."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from reading import profile_of

from telestream.errors import SourceError, TransientError, UsageError
from telestream.loaders.readers import open_segments
from telestream.loaders.readers.segment import DoneSegment
from telestream.loaders.sources import discover

LINES = [b"k%d,%d" % (number, number) for number in range(2_000)]
DATA = b"\n".join(LINES) + b"\n"


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> s3fs.S3FileSystem:
    for name, value in (
        ("AWS_ENDPOINT_URL", s3_endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    # An instance of its own: what it writes must not be known to the loader's by way of a cache.
    store = s3fs.S3FileSystem(endpoint_url=s3_endpoint, skip_instance_cache=True, use_listings_cache=False)
    if not store.exists("cdrs"):
        store.mkdir("cdrs")
        store.pipe("cdrs/2026/b.csv", DATA)
        store.pipe("cdrs/2026/a.csv.gz", gzip.compress(DATA))
        store.pipe("cdrs/2026/old/c.csv", b"k,1\n")
        store.pipe("cdrs/2026/d.csv.tmp", b"half")
        store.pipe("cdrs/2026/.hidden/e.csv", b"k,1\n")
    return store


@pytest.mark.usefixtures("bucket")
def test_what_is_found() -> None:
    for path in ("s3://cdrs/2026/", "s3://cdrs/2026", "s3://cdrs"):
        assert [source.uri for source in discover([path])] == [
            "s3://cdrs/2026/a.csv.gz",
            "s3://cdrs/2026/b.csv",
            "s3://cdrs/2026/old/c.csv",
        ]
    assert [source.name for source in discover(["s3://cdrs/2026/*.csv"])] == ["b.csv"]
    [source] = discover(["s3://cdrs/2026/b.csv"])
    assert source.size == len(DATA)
    assert source.modified_at.tzinfo is not None
    for path in ("s3://cdrs/2027/", "s3://cdrs/2026/nosuch.csv", "s3://nosuch/"):
        with pytest.raises((UsageError, SourceError), match=path):
            discover([path])


@pytest.mark.usefixtures("bucket")
def test_what_is_new_is_seen(bucket: s3fs.S3FileSystem) -> None:
    before = len(discover(["s3://cdrs/2026/"]))
    bucket.pipe("cdrs/2026/new.csv", b"k,1\n")
    assert len(discover(["s3://cdrs/2026/"])) == before + 1
    bucket.rm("cdrs/2026/new.csv")


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("key", ["b.csv", "a.csv.gz"])
def test_reading_and_resuming(key: str) -> None:
    [source] = discover([f"s3://cdrs/2026/{key}"])
    assert len(source.fingerprint()) == 64
    segments = list(open_segments(source, profile_of(), segment_bytes=3_000))
    assert sum(segment.rows_in for segment in segments) == 2_000
    assert segments[1].raw_lines([segments[1].first_line]) == {
        segments[1].first_line: LINES[segments[1].first_line - 1].decode()
    }
    done = {segment.number: DoneSegment(segment.end, segment.next_line) for segment in segments[:3]}
    again = list(open_segments(source, profile_of(), segment_bytes=3_000, resume=done))
    assert [segment.table for segment in again] == [segment.table for segment in segments[3:]]


def test_parquet(bucket: s3fs.S3FileSystem) -> None:
    with bucket.open("cdrs/records.parquet", "wb") as out:
        pq.write_table(pa.table({"key": ["a", "b"], "note": ["1", "2"]}), out)
    [source] = discover(["s3://cdrs/records.parquet"])
    source.fingerprint()
    [segment] = open_segments(source, profile_of(format="parquet", dialect={}, columns=None))
    assert segment.table.column("caller").to_pylist() == ["1", "2"]
    assert '"key": "b"' in segment.raw_lines([2])[2]
    bucket.rm("cdrs/records.parquet")


def test_an_object_that_went_away(bucket: s3fs.S3FileSystem) -> None:
    bucket.pipe("cdrs/gone.csv", b"k,1\n")
    [source] = discover(["s3://cdrs/gone.csv"])
    bucket.rm("cdrs/gone.csv")
    with pytest.raises(SourceError, match="gone.csv: no such file"):
        source.fingerprint()


def test_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(TransientError, match="s3://cdrs/x: the object store does not answer"):
        discover(["s3://cdrs/x"])
