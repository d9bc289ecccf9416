"""Generated customers: the same for a seed, with numbers and plans that the CDRs of the seed name."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from command import assert_clear_error, telestream
from truth import DAY

from telestream.loaders.generate import GenerateSpec, customers

OPTIONS = ("--day", str(DAY), "--subscribers", "500", "--cells", "50", "--customers", "200")


def test_the_same_seed_gives_the_same_changes() -> None:
    spec = GenerateSpec(rows=1, day=DAY, subscribers=500, cells=50)
    assert customers(spec, 200).equals(customers(spec, 200))
    assert not customers(spec, 200).equals(customers(GenerateSpec(rows=1, day=DAY, subscribers=500, seed=2), 200))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_they_load_and_their_last_plan_is_the_one_of_the_cdrs(
    tmp_path: Path, connection: psycopg.Connection, ending: str
) -> None:
    day, crm, plans = tmp_path / "day.csv", tmp_path / f"customers.{ending}", tmp_path / "plans.csv"
    plans.write_text("plan_code\nPAYG\nECO5\nFLEX20\nMAX50\nUNLIM\nIOT\n")
    generate = ("--rows", "3000", "--day", str(DAY), "--subscribers", "500", "--cells", "50", "--out", day)
    for command in (
        ("generate", "cdr", *generate), ("generate", "customers", *OPTIONS, "--out", crm),
        ("load", "plans", plans), ("load", "customers", crm, "--strict"), ("load", "cdr", day),
    ):  # fmt: skip
        result = telestream(*command)
        assert result.returncode == 0, result.stdout + result.stderr
    [(rows_in, loaded, duplicate)] = connection.execute(
        "SELECT sum(rows_in), sum(rows_loaded), sum(rows_duplicate) FROM ops.batch WHERE dataset = 'customer'"
    ).fetchall()
    assert rows_in == loaded + duplicate
    assert duplicate > 0
    [(current, old)] = connection.execute(
        "SELECT count(*) FILTER (WHERE is_current), count(*) FILTER (WHERE NOT is_current) FROM gold.customer_history"
    ).fetchall()
    assert current == 200
    assert old > 100
    [(found, other)] = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE c.plan_code <> h.plan_code OR NOT h.is_current)"
        " FROM gold.cdr AS c INNER JOIN gold.customer_history AS h USING (customer_key)"
    ).fetchall()
    assert found > 100
    assert other == 0


def test_more_customers_than_subscribers(tmp_path: Path) -> None:
    result = telestream("generate", "customers", "--day", "2026-03-01", "--customers", "9", "--subscribers", "5",
                        "--out", tmp_path / "x.csv")  # fmt: skip
    assert_clear_error(result, "customers must be from 1 to 5")
    assert result.returncode == 2
