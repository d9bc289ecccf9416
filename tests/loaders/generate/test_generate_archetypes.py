"""Planted kinds of cells: each follows its curve of the week, and without the option nothing has changed."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from telestream.loaders.generate import GenerateSpec, archetypes, cells, generate_cdr
from telestream.loaders.generate.spec import FileFormat

SPEC = GenerateSpec(
    rows=40_000, day=date(2026, 3, 2), cells=200, subscribers=500, format=FileFormat.PARQUET, archetypes=True
)
SUNDAY = date(2026, 3, 8)


def by_kind_and_hour(path: Path, spec: GenerateSpec) -> dict[str, np.ndarray]:
    """Return how many rows each kind of cell has in each hour."""
    generate_cdr(spec, path)
    table = pq.read_table(path, columns=["cell_id", "started_at"])
    truth = cells(spec)
    kind_of = dict(zip(truth["cell_id"].to_pylist(), truth["archetype"].to_pylist(), strict=True))
    counts = Counter(
        (kind_of[cell], at.hour) for cell, at in zip(*(column.to_pylist() for column in table.columns), strict=True)
    )
    return {kind: np.array([counts[kind, hour] for hour in range(24)]) for kind in archetypes.NAMES}


def test_each_kind_follows_its_curve(tmp_path: Path) -> None:
    monday = by_kind_and_hour(tmp_path / "mon.parquet", SPEC)
    work, evening = slice(9, 16), slice(19, 23)
    assert monday["business"][work].sum() > 5 * monday["business"][evening].sum()
    assert monday["residential"][evening].sum() > monday["residential"][work].sum()
    sunday = by_kind_and_hour(tmp_path / "sun.parquet", GenerateSpec(**{**vars(SPEC), "day": SUNDAY}))
    assert sunday["stadium"][13:20].sum() > 5 * monday["stadium"][13:20].sum()
    assert sunday["business"].sum() < monday["business"].sum() / 3
    assert sum(counts.sum() for counts in sunday.values()) == SPEC.rows


def test_the_truth_is_that_of_the_seed_and_there_only_with_the_option(tmp_path: Path) -> None:
    kinds = cells(SPEC)["archetype"].to_pylist()
    assert set(kinds) == set(archetypes.NAMES)
    assert kinds == cells(GenerateSpec(**{**vars(SPEC), "day": SUNDAY, "rows": 5}))["archetype"].to_pylist()
    plain = GenerateSpec(**{**vars(SPEC), "archetypes": False})
    assert "archetype" not in cells(plain).column_names
    assert cells(plain)["cell_id"] == cells(SPEC)["cell_id"]
    for name in ("a", "b"):
        generate_cdr(SPEC, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
