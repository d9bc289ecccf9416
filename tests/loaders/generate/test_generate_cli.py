"""The commands: what they write, say and refuse."""

import csv
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from telestream.errors import UsageError
from telestream.loaders.generate.cli import register

ARGUMENTS = ["--rows", "2000", "--day", "2026-03-02", "--cells", "20", "--subscribers", "100"]


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    made = typer.Typer()
    register(made)

    @made.callback()
    def root() -> None:
        pass

    return made


def test_cdr_writes_the_file_and_its_truth(app: typer.Typer, tmp_path: Path) -> None:
    out = tmp_path / "day.csv"
    result = CliRunner().invoke(app, ["generate", "cdr", *ARGUMENTS, "--bad", "0.01", "--out", str(out)])
    assert result.exit_code == 0, result.output
    truth = json.loads((tmp_path / "day.csv.manifest.json").read_text())
    assert truth["rows_in"] == 2_000 == out.read_bytes().count(b"\n") - 1
    assert truth["good"] == 1_980 == truth["gold"]["all"]["count"]
    assert sum(map(len, truth["bad_lines"].values())) == 20
    assert truth["spec"]["format"] == "csv"
    assert "1,980" in result.output
    assert "unknown_record_type" in result.output


def test_format_can_differ_from_the_name(app: typer.Typer, tmp_path: Path) -> None:
    out = tmp_path / "day"
    result = CliRunner().invoke(app, ["generate", "cdr", *ARGUMENTS, "--format", "jsonl", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert len(out.read_text().splitlines()) == 2_000


def test_values_that_make_no_sense_are_refused(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["generate", "cdr", *ARGUMENTS, "--late", "0.9", "--out", str(tmp_path / "day.csv")]
    )
    assert isinstance(result.exception, UsageError)
    assert list(tmp_path.iterdir()) == []


def test_cells_writes_the_cells_that_rows_name(app: typer.Typer, tmp_path: Path) -> None:
    day, cells = tmp_path / "day.csv", tmp_path / "cells.csv"
    CliRunner().invoke(app, ["generate", "cdr", *ARGUMENTS, "--out", str(day)])
    result = CliRunner().invoke(app, ["generate", "cells", "--cells", "20", "--out", str(cells)])
    assert result.exit_code == 0, result.output
    with cells.open() as file:
        known = {row["cell_id"] for row in csv.DictReader(file)}
    assert len(known) == 20
    with day.open() as file:
        assert {row["cell_id"] for row in csv.DictReader(file)} <= known


def test_cells_says_where_it_cannot_write(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["generate", "cells", "--out", str(tmp_path / "none" / "cells.csv")])
    assert isinstance(result.exception, UsageError)
