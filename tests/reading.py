"""Reads files by a profile the way tests want it: all segments, as plain Python values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telestream.loaders import profile as profiles
from telestream.loaders.profile import Profile
from telestream.loaders.readers import open_segments
from telestream.loaders.readers.segment import SEGMENT_BYTES, DoneSegment, Segment
from telestream.loaders.sources import Source, discover

MINIMAL: dict[str, Any] = {
    "name": "minimal",
    "version": 1,
    "description": "two columns without a header",
    "format": "csv",
    "dialect": {"header": False},
    "columns": ["key", "note"],
    "fields": {"native_key": "key", "caller": "note"},
}


@dataclass(frozen=True)
class Read:
    """What came of a file."""

    rows: dict[int, dict[str, Any]]
    rejects: dict[int, dict[str, Any]]
    segments: list[Segment]

    @property
    def rules(self) -> dict[int, str]:
        """Line → rule of the refused ones."""
        return {line: one["rule"] for line, one in self.rejects.items()}

    def column(self, name: str) -> list[Any]:
        """Values of a field in the order of the lines."""
        return [row[name] for _, row in sorted(self.rows.items())]


def source_of(path: Path) -> Source:
    [source] = discover([str(path)])
    return source


def profile_of(**changes: Any) -> Profile:
    """The minimal profile with some keys changed."""
    return profiles.parse({**MINIMAL, **changes})


def read(
    path: Path,
    profile: Profile,
    *,
    resume: Mapping[int, DoneSegment] | None = None,
    segment_bytes: int = SEGMENT_BYTES,
) -> Read:
    """Read a file to its end; checks on the way what must hold of every segment."""
    rows: dict[int, dict[str, Any]] = {}
    rejects: dict[int, dict[str, Any]] = {}
    segments = []
    for segment in open_segments(source_of(path), profile, resume=resume, segment_bytes=segment_bytes):
        assert segment.rows_in == segment.table.num_rows + segment.rejects.num_rows
        for found, table in ((rows, segment.table), (rejects, segment.rejects)):
            for row in table.to_pylist():
                assert segment.first_line <= row["line"] < segment.next_line
                assert row["line"] not in found
                found[row["line"]] = row
        segments.append(segment)
    assert not set(rows) & set(rejects)
    return Read(rows, rejects, segments)


def read_bytes(tmp_path: Path, data: bytes, profile: Profile | None = None, **options: Any) -> Read:
    """Write a file and read it by a profile, the minimal one unless another is given."""
    path = tmp_path / "data"
    path.write_bytes(data)
    return read(path, profile or profile_of(), **options)
