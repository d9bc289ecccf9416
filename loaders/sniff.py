"""Tells by a look at a file which profile fits, and whether it can be read by it at all."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from telestream.errors import ProfileError
from telestream.loaders.profile import Dialect, Profile, load_all
from telestream.loaders.readers import open_segments
from telestream.loaders.readers.avro import AvroRecords
from telestream.loaders.readers.blocks import LineStream, printable
from telestream.loaders.readers.columns import shortened
from telestream.loaders.readers.delimited import csv_options, delimited_parser
from telestream.loaders.readers.parquet import ParquetRecords
from telestream.loaders.readers.segment import RejectedLines
from telestream.loaders.sources import AVRO_MAGIC, HEAD_BYTES, PARQUET_MAGIC, Source, reading

SAMPLE_LINES = 200
LINES_PER_BATCH = 10_000
_SHOWN_CANDIDATES = 3
# Times of which a spreadsheet kept minutes, seconds and tenths only.
_SPREADSHEET_TIME = re.compile(r"'\d{1,2}:\d{2}\.\d'")


@dataclass(frozen=True)
class Candidate:
    """How well a profile fits a file.

    Attributes:
        profile: the profile.
        score: share of the sample that fits, number of fields included; 1 for a fitting header.
        family: share of the sample whose columns look right, whatever their number.
        detail: what speaks for it, or what does not match.
    """

    profile: Profile
    score: float
    family: float
    detail: str


@dataclass(frozen=True)
class SniffResult:
    """The profile that fits a file, why, and all profiles of its format, best first."""

    profile: Profile
    reason: str
    candidates: list[Candidate]


@dataclass(frozen=True)
class Refusal:
    """Why a file is refused as a whole, and what to do about it."""

    reason: str
    hint: str


@dataclass(frozen=True)
class _Look:
    """What can be seen of a file: its format, its names if it has a schema, else its first lines."""

    format: str
    names: list[str]
    lines: list[str]


def sniff(source: Source) -> SniffResult:
    """Find the profile that fits a file.

    Raises:
        ProfileError: none fits, or several do equally.
        SourceError: the file cannot be read.
    """
    look = _look_at(source)
    profiles = [profile for profile in load_all() if profile.format == look.format and profile.sniff is not None]
    candidates = sorted(
        (_compare(profile, look) for profile in profiles),
        key=lambda candidate: (candidate.score, candidate.family, _specific(candidate.profile)),
        reverse=True,
    )
    fitting = [candidate for candidate in candidates if candidate.family > 0.5]
    if not fitting:
        near = "; ".join(f"{near.profile.name}: {near.detail}" for near in candidates[:_SHOWN_CANDIDATES])
        raise ProfileError(
            f"{source.uri}: no {look.format} profile fits",
            detail=f"The nearest are {near}." if near else None,
            hint="Name one with --profile, or write one: docs/formats.md shows how in ten minutes.",
        )
    best = fitting[0]
    rivals = [other for other in fitting[1:] if _rank(other) == _rank(best)]
    if rivals:
        names = ", ".join(candidate.profile.name for candidate in (best, *rivals))
        raise ProfileError(f"{source.uri}: {names} fit equally well", hint="Say which it is with --profile.")
    return SniffResult(best.profile, best.detail, candidates)


def assess(source: Source, profile: Profile) -> Refusal | None:
    """Map the beginning of a file; if more than half of it cannot be mapped, say why in one sentence.

    Raises:
        ProfileError: the profile does not fit the file, for instance because columns are missing.
        SourceError: the file cannot be read.
    """
    sample = next(open_segments(source, profile, segment_bytes=HEAD_BYTES), None)
    if sample is None or sample.rejects.num_rows * 2 <= sample.rows_in:
        return None
    refused, seen = sample.rejects.num_rows, sample.rows_in
    share = "no line" if refused == seen else f"only {seen - refused} of the first {seen} lines"
    causes = [*_count_cause(sample.rejects, profile), *_value_causes(sample.rejects)]
    reason = f"{share} can be read as {profile.name}: {', '.join(causes)}"
    if any(_SPREADSHEET_TIME.search(cause) for cause in causes):
        reason += "; it looks like the file was opened and saved by a spreadsheet"
        hint = "Get the file again from where it was written, and do not open it in a spreadsheet."
    else:
        hint = "See the lines with telestream profiles test FILE, or name another profile with --profile."
    return Refusal(reason, hint)


def refused_lines(source: Source, profile: Profile) -> Iterator[RejectedLines]:
    """Yield all lines that hold data, or records as JSON, of a file that is refused as a whole."""
    if profile.format in ("parquet", "avro"):
        first = 0
        with closing((ParquetRecords if profile.format == "parquet" else AvroRecords)(source, profile)) as records:
            while found := records.raw_text(first, range(first + 1, first + LINES_PER_BATCH + 1)):
                yield RejectedLines(list(found), list(found.values()))
                first += LINES_PER_BATCH
        return
    numbers: list[int] = []
    texts: list[str] = []
    comment = None if profile.dialect.comment is None else profile.dialect.comment.encode()
    with closing(LineStream(source, profile.dialect.encoding)) as stream:
        if profile.format == "csv":
            delimited_parser(source, profile, stream)
        while (block := stream.read_block(HEAD_BYTES)) is not None:
            for number, line in enumerate(block.data.split(b"\n"), start=block.first_line):
                if line.strip() and not (comment is not None and line.startswith(comment)):
                    numbers.append(number)
                    texts.append(printable(line))
            if len(numbers) >= LINES_PER_BATCH:
                yield RejectedLines(numbers, texts)
                numbers, texts = [], []
    if numbers:
        yield RejectedLines(numbers, texts)


def source_columns(source: Source, profile: Profile) -> list[str]:
    """Return the names of the columns of a file, as its header, schema, first objects or profile tell them."""
    look = _look_at(source)
    if look.names:
        return look.names
    if look.format == "jsonl":
        return list(dict.fromkeys(key for line in look.lines for key in _json_keys(line)))
    if profile.dialect.header:
        return [name.strip() for name in _header(profile, look)]
    return list(dict.fromkeys(name for names in profile.layouts().values() for name in names))


def _look_at(source: Source) -> _Look:
    head = source.head()
    if head.startswith(PARQUET_MAGIC):
        with source.open() as raw, reading(source.uri):
            return _Look("parquet", pq.read_schema(raw).names, [])
    if head.startswith(AVRO_MAGIC):
        schema = fastavro.block_reader(io.BytesIO(head)).writer_schema
        fields = schema.get("fields", []) if isinstance(schema, dict) else []
        return _Look("avro", [field["name"] for field in fields], [])
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = head.decode("utf-16", "replace")
    else:
        text = head.decode("utf-8-sig", "replace")
    lines = text.splitlines()
    if len(head) >= HEAD_BYTES and len(lines) > 1:
        lines.pop()  # it may be cut off
    lines = [line for line in lines[:SAMPLE_LINES] if line.strip()]
    return _Look("jsonl" if lines and lines[0].lstrip().startswith("{") else "csv", [], lines)


def _compare(profile: Profile, look: _Look) -> Candidate:
    assert profile.sniff is not None  # sniff() has chosen those that have it
    if profile.sniff.columns:
        return _compare_columns(profile, profile.sniff.columns, look.lines)
    if look.format == "jsonl":
        keys = {key.casefold() for line in look.lines for key in _json_keys(line)}
    elif look.names:
        keys = {name.casefold() for name in look.names}
    else:
        keys = {name.strip().casefold() for name in _header(profile, look)}
    missing = [name for name in profile.sniff.header if name.casefold() not in keys]
    where = "the objects have" if look.format == "jsonl" else "the columns include" if look.names else "the header has"
    if missing:
        found = len(profile.sniff.header) - len(missing)
        # Below one half, so that a header that lacks a name never fits.
        return Candidate(profile, 0, found / len(profile.sniff.header) / 2, f"no column {shortened(missing)}")
    return Candidate(profile, 1, 1, f"{where} {', '.join(profile.sniff.header)}")


def _header(profile: Profile, look: _Look) -> list[str]:
    lines = look.lines[profile.dialect.skip_lines :]
    return _split(lines[0], profile.dialect) if lines else []


def _json_keys(line: str) -> list[str]:
    return re.findall(r'"([^"]+)"\s*:', line)


def _compare_columns(profile: Profile, patterns: dict[int, str], lines: Sequence[str]) -> Candidate:
    """Compare the columns of a sample with what they should look like."""
    layouts = profile.layouts()
    compiled = {position: re.compile(pattern) for position, pattern in patterns.items()}
    alike = whole = 0
    misses: Counter[int] = Counter()
    counts: Counter[int] = Counter()
    for line in lines:
        fields = _split(line, profile.dialect)
        counts[len(fields)] += 1
        wrong = [
            position
            for position, pattern in compiled.items()
            if position > len(fields) or not pattern.search(fields[position - 1])
        ]
        misses.update(wrong)
        alike += not wrong
        whole += not wrong and len(fields) in layouts
    usual = counts.most_common(1)[0][0] if counts else 0
    total = max(len(lines), 1)
    if alike * 2 <= len(lines):
        position, times = misses.most_common(1)[0] if misses else (0, 0)
        detail = f"field {position} is not like {patterns.get(position, '')} in {times} of {len(lines)} lines"
        if usual not in layouts:
            detail = f"{usual} fields where {_numbers(layouts)} are expected, {detail}"
    else:
        assert profile.sniff is not None  # it holds the patterns
        detail = f"{usual} fields, {profile.sniff.because or 'the columns look right'}"
        others = len(lines) - counts[usual]
        if others:
            detail += f"; {others} of {len(lines)} lines have another number of fields"
    return Candidate(profile, whole / total, alike / total, detail)


def _rank(candidate: Candidate) -> tuple[float, float, int]:
    return candidate.score, candidate.family, _specific(candidate.profile)


def _specific(profile: Profile) -> int:
    """Return how much a profile asks for: of two that fit, the one that asks for more is meant."""
    return 0 if profile.sniff is None else len(profile.sniff.header) + len(profile.sniff.columns)


def _split(line: str, dialect: Dialect) -> list[str]:
    try:
        return next(csv.reader([line], **csv_options(dialect)), [])
    except csv.Error:
        return []


def _count_cause(rejects: pa.Table, profile: Profile) -> list[str]:
    """Say so if the lines have another number of fields than the layout."""
    layouts = profile.layouts()
    if not layouts:
        return []
    counts = Counter(len(_split(raw, profile.dialect)) for raw in rejects.column("raw").to_pylist())
    usual = counts.most_common(1)[0][0]
    return [] if usual in layouts else [f"{usual} fields where {_numbers(layouts)} are expected"]


def _value_causes(rejects: pa.Table) -> list[str]:
    """Return the most frequent reason that is about a value, or else the most frequent one."""
    reasons = [
        (row["rule"], row["field"], row["reason"].partition("; ")[0])
        for row in rejects.select(["rule", "field", "reason"]).to_pylist()
        if row["rule"] != "field_count"
    ]
    if not reasons:
        return []
    (rule, name), _ = Counter((rule, name) for rule, name, _ in reasons).most_common(1)[0]
    return [next(reason for its_rule, its_name, reason in reasons if (its_rule, its_name) == (rule, name))]


def _numbers(layouts: dict[int, list[str]]) -> str:
    counts = sorted(layouts)
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
