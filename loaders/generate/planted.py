"""Writes planted CDRs as canonical CSV with the truth about them beside it, and reads that truth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.csv

from telestream.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Truth = TypeVar("Truth", bound="DataclassInstance")
_OPTIONS = pyarrow.csv.WriteOptions(quoting_style="needed")


def write_planted(tables: Iterable[pa.Table], truth: Iterable[Any], out: Path) -> tuple[int, Path]:
    """Write tables of the same columns one after the other, then the truth, which may be known only then.

    Returns:
        How many rows, and the file of the truth.

    Raises:
        UsageError: a file cannot be written.
    """
    beside = out.with_name(f"{out.name}.truth.json")
    rows = 0
    writer: pyarrow.csv.CSVWriter | None = None
    try:
        for table in tables:
            writer = writer or pyarrow.csv.CSVWriter(out, table.schema, write_options=_OPTIONS)
            writer.write_table(table)
            rows += table.num_rows
        beside.write_text(json.dumps([asdict(one) for one in truth], indent=1) + "\n", encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write {out}", hint="Name a file in a folder you can write to.") from exc
    finally:
        if writer is not None:
            writer.close()
    return rows, beside


def read_truth(path: Path, kind: type[Truth]) -> Iterator[Truth]:
    """Yield what a file of the truth says, as what was planted."""
    for one in json.loads(path.read_text(encoding="utf-8")):
        yield kind(**one)
