"""What is to be generated: the size, the day, the seed, the format and the shares of planted defects."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from telestream.errors import UsageError

GENERATOR_VERSION = 1
"""Raised whenever the same spec gives other rows than before."""

MAX_ROWS = 2_000_000_000
"""Keeps rows x defects below 2**63, so that the placement of defects is exact integer arithmetic."""
MAX_CELLS = 100_000
MAX_SUBSCRIBERS = 5_000_000
"""About 200 bytes of memory a subscriber; the rows themselves cost none."""
MAX_DEFECTS = 0.4
"""A defect needs a good row beside it, so that a duplicate has something to repeat."""
FIRST_YEAR, LAST_YEAR = 2000, 2034
"""A day of 2036 would make the planted rows of 2036 good ones."""


class FileFormat(enum.StrEnum):
    """The file formats that the generator writes; the text ones also compressed."""

    CSV = "csv"
    CSV_GZ = "csv.gz"
    CSV_ZST = "csv.zst"
    JSONL = "jsonl"
    JSONL_GZ = "jsonl.gz"
    JSONL_ZST = "jsonl.zst"
    PARQUET = "parquet"
    AVRO = "avro"

    @property
    def is_text(self) -> bool:
        """Whether the file is made of lines, so that a line can be broken."""
        return self not in (FileFormat.PARQUET, FileFormat.AVRO)

    @property
    def header_lines(self) -> int:
        """Lines before the first row."""
        return 1 if self.value.startswith("csv") else 0

    @classmethod
    def of(cls, path: Path) -> FileFormat:
        """Return the format that the name of `path` ends with.

        Raises:
            UsageError: the name ends with none of them.
        """
        fitting = [form for form in cls if path.name.endswith(f".{form}")]
        if not fitting:
            raise UsageError(
                f"the format of {path.name} is not known",
                hint=f"End the name with one of {', '.join(f'.{form}' for form in cls)}, or give --format.",
            )
        return fitting[0]


@dataclass(frozen=True)
class GenerateSpec:
    """One file of generated CDRs; equal specs give equal files.

    `rows` counts every row of the file, so good + duplicates + bad = rows. The shares are parts of `rows`.

    Raises:
        UsageError: a value is out of its range.
    """

    rows: int
    day: date
    seed: int = 1
    format: FileFormat = FileFormat.CSV
    cells: int = 2_000
    subscribers: int = 100_000
    duplicates: float = 0.0
    late: float = 0.0
    bad: float = 0.0
    archetypes: bool = False
    """Whether cells follow one of five curves over the week, see `archetypes.py`."""
    settled: bool = False
    """Whether people stay at the site they live at; else half of their records are anywhere, minutes apart."""

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("rows", self.rows, 1, MAX_ROWS),
            ("cells", self.cells, 1, MAX_CELLS),
            ("subscribers", self.subscribers, 2, MAX_SUBSCRIBERS),
            ("seed", self.seed, 0, 2**63 - 1),
            ("year", self.day.year, FIRST_YEAR, LAST_YEAR),
        ):
            if not low <= value <= high:
                raise UsageError(f"{name} must be from {low} to {high}, not {value}")
        for name, share in (("duplicates", self.duplicates), ("late", self.late), ("bad", self.bad)):
            if not 0 <= share <= MAX_DEFECTS:
                raise UsageError(f"share of {name} must be from 0 to {MAX_DEFECTS}, not {share}")
        if self.duplicates + self.late + self.bad > MAX_DEFECTS + 1e-9:
            raise UsageError(
                f"duplicates, late and bad rows are more than {MAX_DEFECTS:.0%} of the file",
                detail="Every defect is planted beside a good row.",
            )
