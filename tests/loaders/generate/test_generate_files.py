"""The files: every format holds the same rows, equal specs give equal bytes, memory does not grow."""

import dataclasses
import gzip
import hashlib
import io
import json
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import zstandard

from telestream.errors import TransientError, UsageError
from telestream.loaders.generate import BadKind, FileFormat, GenerateSpec, generate_cdr
from telestream.loaders.generate import files as generate_files
from telestream.loaders.generate.arrow_rows import SCHEMA
from telestream.loaders.generate.cdr import Maker
from telestream.loaders.generate.text import TextRenderer

# More rows than two blocks hold, so that block borders are in the file.
SPEC = GenerateSpec(rows=40_000, day=date(2026, 3, 3), seed=11, cells=60, subscribers=900, duplicates=0.02, late=0.02)
BINARY = (FileFormat.PARQUET, FileFormat.AVRO)


def make(folder: Path, form: FileFormat, **changes: Any) -> Path:
    path = folder / f"day.{form}"
    generate_cdr(dataclasses.replace(SPEC, format=form, **changes), path)
    return path


def plain(path: Path) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(path.read_bytes())).read()
    return path.read_bytes()


def rows_of(path: Path, form: FileFormat) -> list[dict[str, Any]]:
    """Return the rows of a file in the types of Parquet."""
    if form == FileFormat.PARQUET:
        return pq.read_table(path).to_pylist()
    if form == FileFormat.AVRO:
        with path.open("rb") as file:
            return list(fastavro.reader(file))
    if form.startswith("csv"):
        options = pyarrow.csv.ConvertOptions(column_types=SCHEMA, strings_can_be_null=True, null_values=[""])
        return pyarrow.csv.read_csv(io.BytesIO(plain(path)), convert_options=options).to_pylist()
    rows = [json.loads(line) for line in plain(path).splitlines()]
    for row in rows:
        row["charge"] = Decimal(row["charge"])
        for name in ("started_at", "answered_at", "ended_at"):
            row[name] = row[name] and datetime.fromisoformat(row[name])
    return rows


@pytest.fixture(scope="module")
def parquet_rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return rows_of(make(tmp_path_factory.mktemp("files"), FileFormat.PARQUET), FileFormat.PARQUET)


@pytest.mark.parametrize("form", [form for form in FileFormat if form != FileFormat.PARQUET])
def test_every_format_holds_the_same_rows(tmp_path: Path, form: FileFormat, parquet_rows: list[dict[str, Any]]) -> None:
    assert rows_of(make(tmp_path, form), form) == parquet_rows


def test_parquet_has_the_canonical_types(tmp_path: Path) -> None:
    path = make(tmp_path, FileFormat.PARQUET)
    assert pq.read_schema(path).equals(SCHEMA)
    assert pq.ParquetFile(path).metadata.num_rows == SPEC.rows


@pytest.mark.parametrize("form", list(FileFormat))
def test_equal_specs_give_equal_bytes(tmp_path: Path, form: FileFormat) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = make(tmp_path / "a", form, bad=0.01).read_bytes()
    assert first == make(tmp_path / "b", form, bad=0.01).read_bytes()


def test_bytes_stay_the_same_on_every_machine(tmp_path: Path) -> None:
    """Whoever changes this digest changes what a spec means: raise GENERATOR_VERSION with it."""
    digest = hashlib.sha256(make(tmp_path, FileFormat.CSV, rows=5_000, bad=0.02).read_bytes()).hexdigest()
    assert digest == "b2edfd9c89f7ea0e4c47e4b0becdbc395d598793288f96f45ad3dc9c3c0ee144"


@pytest.mark.parametrize("change", [{"seed": 12}, {"day": date(2026, 3, 4)}, {"cells": 61}, {"subscribers": 901}])
def test_another_spec_gives_other_rows(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = make(tmp_path / "a", FileFormat.CSV, rows=500)
    assert first.read_bytes() != make(tmp_path / "b", FileFormat.CSV, rows=500, **change).read_bytes()


def test_rows_do_not_depend_on_the_size_of_blocks() -> None:
    spec = dataclasses.replace(SPEC, bad=0.05)
    maker = Maker(spec)
    renderer = TextRenderer(spec, maker.texts, json=False)
    whole = renderer.render(maker.block(0, 9_000)).tobytes()
    sizes = np.diff([0, 1, 2, 777, 5_000, 9_000])
    starts = np.cumsum([0, *sizes[:-1]])
    parts = (maker.block(int(first), int(rows)) for first, rows in zip(starts, sizes, strict=True))
    assert b"".join(renderer.render(block).tobytes() for block in parts) == whole


@pytest.mark.parametrize("form", [FileFormat.CSV_GZ, FileFormat.CSV_ZST])
def test_compressed_files_are_one_stream_for_other_readers(tmp_path: Path, form: FileFormat) -> None:
    path = make(tmp_path, form)
    with duckdb.connect() as engine:
        (rows,) = engine.sql(f"SELECT count(*) FROM read_csv('{path}')").fetchall()
    assert rows == (SPEC.rows,)
    if form == FileFormat.CSV_ZST:
        # A reader that takes one frame only, as python-zstandard does by default, has everything.
        with path.open("rb") as file:
            assert zstandard.ZstdDecompressor().stream_reader(file).read().count(b"\n") == SPEC.rows + 1


@pytest.mark.parametrize("form", BINARY)
def test_binary_formats_have_the_defects_that_they_can_express(tmp_path: Path, form: FileFormat) -> None:
    path = tmp_path / f"bad.{form}"
    manifest = generate_cdr(dataclasses.replace(SPEC, format=form, bad=0.01), path)
    textual = {BadKind.FIELD_COUNT, BadKind.UNPARSABLE_TIME, BadKind.ENCODING}
    assert set(manifest.bad) == set(BadKind) - textual
    assert manifest.bad_rows == 400
    rows = rows_of(path, form)
    at = {kind: [rows[line - 1] for line in bad.lines] for kind, bad in manifest.bad.items()}
    assert {row["native_key"] for row in at[BadKind.MISSING_KEY]} == {None}
    assert {row["record_type"] for row in at[BadKind.UNKNOWN_RECORD_TYPE]} == {"fax"}
    assert {row["started_at"].year for row in at[BadKind.YEAR_2036]} == {2036}
    assert all(row["bytes_up"] < 0 for row in at[BadKind.NEGATIVE_BYTES])
    assert all(row["charge"] < 0 for row in at[BadKind.NEGATIVE_CHARGE])
    assert all(row["ended_at"] < row["started_at"] for row in at[BadKind.ENDED_BEFORE_STARTED])
    assert sum(row["native_key"] is None for row in rows) == manifest.bad[BadKind.MISSING_KEY].rows


def test_broken_json_lines_are_those_of_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    manifest = generate_cdr(dataclasses.replace(SPEC, format=FileFormat.JSONL, bad=0.01), path)
    broken, impossible = [], []
    for number, raw in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            row = json.loads(raw.decode("utf-8"))
            if row["started_at"].startswith("2026-13"):
                impossible.append(number)
        except ValueError:
            broken.append(number)
    assert impossible == manifest.bad[BadKind.UNPARSABLE_TIME].lines
    assert broken == sorted(manifest.bad[BadKind.FIELD_COUNT].lines + manifest.bad[BadKind.ENCODING].lines)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        tracemalloc.start()
        make(tmp_path, FileFormat.CSV, rows=rows, bad=0.2)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10_000)
    assert peak(600_000) < 1.3 * peak(150_000)


def test_progress_counts_every_row(tmp_path: Path) -> None:
    written: list[int] = []
    generate_cdr(SPEC, tmp_path / "day.csv", written.append)
    assert sum(written) == SPEC.rows
    assert len(written) > 2


def test_a_file_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generate_files, "open_sink", full)
    with pytest.raises(TransientError, match="no space left"):
        generate_cdr(SPEC, tmp_path / "day.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot create") as caught:
        generate_cdr(SPEC, tmp_path / "none" / "day.csv")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.csv", FileFormat.CSV), ("a.b.csv.gz", FileFormat.CSV_GZ), ("x.jsonl.zst", FileFormat.JSONL_ZST)],
)
def test_format_follows_the_name(name: str, form: FileFormat) -> None:
    assert FileFormat.of(Path(name)) == form


def test_unknown_ending_is_refused() -> None:
    with pytest.raises(UsageError, match=r"format of day\.xlsx is not known"):
        FileFormat.of(Path("day.xlsx"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": 0},
        {"rows": 3 * 10**9},
        {"subscribers": 1},
        {"cells": 0},
        {"seed": -1},
        {"day": date(2036, 1, 1)},
        {"bad": -0.1},
        {"late": 0.5},
        {"duplicates": float("nan")},
        {"duplicates": 0.2, "late": 0.2, "bad": 0.1},
    ],
)
def test_specs_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        dataclasses.replace(SPEC, **wrong)


def test_times_are_utc(parquet_rows: list[dict[str, Any]]) -> None:
    on_the_day = [row["started_at"] for row in parquet_rows if row["started_at"].date() == SPEC.day]
    assert len(on_the_day) > 0.95 * SPEC.rows
    assert min(on_the_day) >= datetime(2026, 3, 3, tzinfo=UTC)
