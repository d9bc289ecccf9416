"""Planted churn: always the same for a seed, with a truth that fits its rows."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from command import telestream

from telestream.errors import UsageError
from telestream.loaders.generate import GenerateSpec
from telestream.loaders.generate.churn import KINDS, Churners, Planted
from telestream.loaders.generate.planted import read_truth

SPEC = GenerateSpec(rows=1, day=datetime.date(2026, 3, 29), cells=90, subscribers=200)


def test_a_seed_plants_the_same_and_the_truth_fits() -> None:
    truth: list[Planted] = []
    same: list[Planted] = []
    table = pa.concat_tables(Churners(SPEC, 16).plant(truth))
    again = pa.concat_tables(Churners(SPEC, 16).plant(same))
    assert table.equals(again)
    assert truth == same
    assert set(Counter(one.kind for one in truth)) == set(KINDS)
    key_of = dict(zip(table.column("native_key").to_pylist(), table.column("caller").to_pylist(), strict=True))
    assert len(key_of) == table.num_rows
    last = {}
    starts = table.column("started_at").to_pylist()
    assert starts == sorted(starts)
    for caller, at in zip(table.column("caller").to_pylist(), starts, strict=True):
        last[caller] = str(at.date())
    assert {key_of[one.native_key]: one.last_day for one in truth} == last
    gone = [one for one in truth if one.kind == "fades" and one.last_day < "2026-02-25"]
    assert len(gone) > 5
    assert min(one.last_day for one in truth if one.kind == "stays") > "2026-02-15"
    with pytest.raises(UsageError, match="16 weeks at least"):
        Churners(SPEC, 15)


def test_the_command_writes_what_loads_whole(tmp_path: Path, database: str) -> None:
    out = tmp_path / "churn.csv"
    made = telestream("generate", "churn", "--day", "2026-03-29", "--customers", "20", "--cells", "90", "--out", out)
    assert made.returncode == 0, made.stdout + made.stderr
    assert len(list(read_truth(tmp_path / "churn.csv.truth.json", Planted))) == 20
    loaded = telestream("load", "cdr", out, "--strict", "--no-refresh")
    assert loaded.returncode == 0, loaded.stdout + loaded.stderr
    assert f"{pyarrow.csv.read_csv(out).num_rows:,}" in loaded.stdout
