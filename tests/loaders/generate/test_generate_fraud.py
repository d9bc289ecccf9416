"""Planted fraud: always the same for a seed, with a truth that fits its rows."""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow.csv
import pytest
from command import telestream

from telestream.errors import UsageError
from telestream.loaders.generate import GenerateSpec, cells
from telestream.loaders.generate.fraud import LOOKALIKES, RULES, Planted, plant_fraud
from telestream.loaders.generate.planted import read_truth

SPEC = GenerateSpec(rows=1, day=datetime.date(2026, 3, 30), cells=90)


def test_a_seed_plants_the_same_and_the_truth_fits() -> None:
    table, truth = plant_fraud(SPEC, 10, 2, 1)
    again, same = plant_fraud(SPEC, 10, 2, 1)
    assert table.equals(again)
    assert truth == same
    assert [one.kind for one in truth if one.is_fraud] == [rule for rule in RULES for _ in range(2)]
    assert [one.kind for one in truth if not one.is_fraud] == list(LOOKALIKES)
    assert len(set(table.column("native_key").to_pylist())) == table.num_rows
    assert {one.native_key for one in truth} <= set(table.column("native_key").to_pylist())
    assert set(table.column("cell_id").to_pylist()) <= set(cells(SPEC).column("cell_id").to_pylist())
    days = {value[:10] for value in table.column("started_at").to_pylist()}
    assert min(days) == "2026-03-21"
    # What begins in the last evening goes on.
    assert max(days) in {"2026-03-30", "2026-03-31"}
    with pytest.raises(UsageError, match="9 days at least"):
        plant_fraud(SPEC, 8, 1, 1)


def test_the_command_writes_both_files(tmp_path: Path) -> None:
    out = tmp_path / "fraud.csv"
    result = telestream("generate", "fraud", "--day", "2026-03-30", "--cases", "1", "--cells", "90", "--out", out)
    assert result.returncode == 0, result.stdout + result.stderr
    truth = list(read_truth(tmp_path / "fraud.csv.truth.json", Planted))
    assert pyarrow.csv.read_csv(out).num_rows > 100
    assert len(truth) == len(RULES) + 2 * len(LOOKALIKES)
