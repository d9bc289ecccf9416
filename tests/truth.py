"""Generated CDR files with a known truth, and how to hold a database against it."""

from __future__ import annotations

import datetime
from pathlib import Path

import psycopg

from telestream.loaders.generate import FileFormat, GenerateSpec, Manifest, generate_cdr

DAY = datetime.date(2026, 3, 1)


def generated(path: Path, rows: int = 20_000, seed: int = 1, **shares: float) -> Manifest:
    """Write a file of CDRs with defects, the ending of its name gives the format."""
    shares = shares or {"duplicates": 0.02, "late": 0.02, "bad": 0.02}
    spec = GenerateSpec(rows=rows, day=DAY, seed=seed, format=FileFormat.of(path), cells=50, subscribers=500, **shares)
    return generate_cdr(spec, path)


def assert_truth(connection: psycopg.Connection, truth: Manifest) -> None:
    """Hold Silver, quarantine and Gold against what was planted."""
    counts = connection.execute(
        "SELECT sum(rows_in), sum(rows_loaded), sum(rows_duplicate), sum(rows_quarantined) FROM ops.batch"
    ).fetchone()
    assert counts == (truth.rows_in, truth.good, truth.duplicates, truth.bad_rows)
    wanted = {
        kind: (total.count, total.billed_s, total.bytes_up, total.bytes_down, total.charge_micro)
        for kind, total in truth.by_record_type.items()
        if total.count
    }
    silver = connection.execute(
        "SELECT record_type, count(*), coalesce(sum(billed_s), 0), coalesce(sum(bytes_up), 0),"
        " coalesce(sum(bytes_down), 0), coalesce(sum(charge_micro), 0) FROM silver.fact_cdr GROUP BY 1"
    ).fetchall()
    assert {kind: tuple(map(int, sums)) for kind, *sums in silver} == wanted
    for grain in ("5m", "1h", "1d"):
        gold = connection.execute(
            "SELECT record_type, sum(attempts), sum(bytes_up), sum(bytes_down), sum(charge) * 1000000"
            f" FROM gold.cell_traffic_{grain} GROUP BY 1"
        ).fetchall()
        assert {kind: tuple(map(int, sums)) for kind, *sums in gold} == {
            kind: (count, up, down, charge) for kind, (count, _, up, down, charge) in wanted.items()
        }
