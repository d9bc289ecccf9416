"""The manifest against the file, read again with Python's own csv module and judged without the generator."""

import csv
import dataclasses
import io
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telestream.loaders.generate import BadKind, GenerateSpec, Manifest, Totals, generate_cdr

DAY = date(2026, 3, 2)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
SPEC = GenerateSpec(rows=20_000, day=DAY, seed=7, cells=50, subscribers=500, duplicates=0.02, late=0.03, bad=0.01)
COLUMNS = [
    "source_system", "native_key", "leg", "record_type", "direction", "caller", "called", "imsi", "imei",
    "started_at", "answered_at", "ended_at", "duration_s", "billed_s", "bytes_up", "bytes_down", "cell_id",
    "region_code", "technology", "plan_code", "charge", "currency", "disposition", "cause", "is_roaming",
    "apn",
]  # fmt: skip
TYPES = {"voice", "sms", "mms", "data", "other"}


@dataclasses.dataclass
class Line:
    number: int
    raw: bytes
    wrong: list[BadKind]
    row: dict[str, str]

    def time(self, name: str) -> datetime | None:
        return datetime.fromisoformat(self.row[name]) if self.row[name] else None


def judge(raw: bytes) -> tuple[list[BadKind], dict[str, str]]:
    """Return every reason to refuse a line, and its fields."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return [BadKind.ENCODING], {}
    if "\0" in text:
        return [BadKind.ENCODING], {}
    (fields,) = csv.reader(io.StringIO(text), strict=True)
    if len(fields) != len(COLUMNS):
        return [BadKind.FIELD_COUNT], {}
    row = dict(zip(COLUMNS, fields, strict=True))
    try:
        started, _, ended = (
            datetime.fromisoformat(row[name]) if row[name] else None
            for name in ("started_at", "answered_at", "ended_at")
        )
    except ValueError:
        return [BadKind.UNPARSABLE_TIME], row
    wrong = []
    if not row["native_key"]:
        wrong.append(BadKind.MISSING_KEY)
    if row["record_type"] not in TYPES:
        wrong.append(BadKind.UNKNOWN_RECORD_TYPE)
    if started.year == 2036:
        wrong.append(BadKind.YEAR_2036)
    if ended and ended < started:
        wrong.append(BadKind.ENDED_BEFORE_STARTED)
    elif ended and row["duration_s"] and abs(int(row["duration_s"]) - (ended - started).total_seconds()) > 600:
        wrong.append(BadKind.DURATION_DISAGREES)
    if min(int(row["bytes_up"] or 0), int(row["bytes_down"] or 0)) < 0:
        wrong.append(BadKind.NEGATIVE_BYTES)
    if Decimal(row["charge"]) < 0:
        wrong.append(BadKind.NEGATIVE_CHARGE)
    return wrong, row


def read(path: Path) -> list[Line]:
    header, *lines = path.read_bytes().split(b"\n")
    assert header.decode().split(",") == COLUMNS
    assert lines.pop() == b""
    return [Line(number, raw, *judge(raw)) for number, raw in enumerate(lines, start=2)]


def good_and_repeated(lines: list[Line]) -> tuple[list[Line], list[tuple[Line, Line]]]:
    """Split the rows that nothing is wrong with into first ones and (first, copy) pairs."""
    first: dict[str, Line] = {}
    copies = []
    for line in lines:
        if not line.wrong:
            if earlier := first.get(line.row["native_key"]):
                copies.append((earlier, line))
            else:
                first[line.row["native_key"]] = line
    return list(first.values()), copies


def totals(rows: list[Line]) -> Totals:
    def total(name: str) -> int:
        return sum(int(line.row[name] or 0) for line in rows)

    charge = sum((Decimal(line.row["charge"]) for line in rows), Decimal())
    return Totals(len(rows), total("billed_s"), total("bytes_up"), total("bytes_down"), int(charge * 1_000_000))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, list[Line]]:
    path = tmp_path_factory.mktemp("truth") / "day.csv"
    return generate_cdr(SPEC, path), read(path)


def test_counts_are_those_of_the_file(made: tuple[Manifest, list[Line]]) -> None:
    manifest, lines = made
    good, copies = good_and_repeated(lines)
    assert manifest.rows_in == SPEC.rows == len(lines)
    assert manifest.good == len(good)
    assert manifest.duplicates == len(copies) == 400
    assert manifest.bad_rows == 200
    assert manifest.rows_in == manifest.good + manifest.duplicates + manifest.bad_rows


def test_each_bad_row_is_bad_in_exactly_one_way_on_the_line_that_is_named(
    made: tuple[Manifest, list[Line]],
) -> None:
    manifest, lines = made
    assert {len(line.wrong) for line in lines} == {0, 1}
    found = defaultdict(list)
    for line in lines:
        for kind in line.wrong:
            found[kind].append(line.number)
    assert found == {kind: bad.lines for kind, bad in manifest.bad.items()}
    assert set(found) == set(BadKind)
    assert {len(numbers) for numbers in found.values()} == {20}


def test_both_variants_of_the_textual_defects_occur(made: tuple[Manifest, list[Line]]) -> None:
    manifest, lines = made
    wrong = {
        kind: [lines[number - 2].raw for number in manifest.bad[kind].lines]
        for kind in (BadKind.ENCODING, BadKind.FIELD_COUNT)
    }
    assert {b"\0" in raw for raw in wrong[BadKind.ENCODING]} == {True, False}
    assert {raw.count(b",") for raw in wrong[BadKind.FIELD_COUNT]} == {24, 26}


def test_bad_rows_repeat_no_good_row(made: tuple[Manifest, list[Line]]) -> None:
    _, lines = made
    good = {line.row["native_key"] for line in lines if not line.wrong}
    bad = [line.row["native_key"] for line in lines if line.wrong and line.row.get("native_key")]
    assert len(set(bad)) == len(bad)
    assert not good & set(bad)


def test_gold_totals_are_those_of_the_first_good_rows(made: tuple[Manifest, list[Line]]) -> None:
    manifest, lines = made
    good, _ = good_and_repeated(lines)
    by_type = defaultdict(list)
    for line in good:
        by_type[line.row["record_type"]].append(line)
    assert manifest.by_record_type == {kind: totals(by_type[kind]) for kind in manifest.by_record_type}
    assert manifest.totals == totals(good)
    times = [line.time("started_at") for line in good]
    assert (manifest.first_started_at, manifest.last_started_at) == (min(times), max(times))


def test_duplicates_are_exact_near_and_far(made: tuple[Manifest, list[Line]]) -> None:
    manifest, lines = made
    _, copies = good_and_repeated(lines)
    assert all(first.raw == copy.raw for first, copy in copies)
    distances = [copy.number - first.number for first, copy in copies]
    near = sum(distance <= 2 for distance in distances)
    assert near == manifest.duplicates_near
    assert sum(distance >= SPEC.rows // 10 for distance in distances) == manifest.duplicates_far
    assert near > 150
    assert manifest.duplicates_far > 150


def test_late_rows_are_late_and_all_others_in_order(made: tuple[Manifest, list[Line]]) -> None:
    manifest, lines = made
    good, _ = good_and_repeated(lines)
    newest, late, since = MIDNIGHT, Counter(), {}
    for line in good:
        started = line.time("started_at")
        if started >= newest:
            newest = started
            continue
        # Its place in the file is between two rows on time; a night hour has gaps of a few minutes.
        assert newest - started > timedelta(minutes=55)
        late["same_day" if started >= MIDNIGHT else "before_day"] += 1
        since[line.number] = started
    assert late == {"same_day": manifest.late_same_day, "before_day": manifest.late_before_day}
    assert sum(late.values()) == 600
    assert abs(late["same_day"] - late["before_day"]) < 40
    assert min(since.values()) >= MIDNIGHT - timedelta(hours=48)


def test_times_durations_and_texts_of_good_rows_agree(made: tuple[Manifest, list[Line]]) -> None:
    _, lines = made
    for line in (line for line in lines if not line.wrong):
        started, answered, ended = (line.time(name) for name in ("started_at", "answered_at", "ended_at"))
        row = line.row
        if row["duration_s"]:
            assert ended - started == timedelta(seconds=int(row["duration_s"]))
        if answered:
            assert ended - answered == timedelta(seconds=int(row["billed_s"]))
            assert row["disposition"] in ("answered", "dropped")
        elif row["record_type"] == "voice":
            assert row["billed_s"] == "0"
        assert (row["record_type"] == "data") == (row["direction"] == "")
        assert row["currency"] == "GBP"
        assert len(row["charge"].split(".")[1]) == 4
        own = row["called"] if row["direction"] == "mt" else row["caller"]
        assert own.startswith("+4479")
        assert len(own) == 13


def test_line_numbers_are_cut_where_there_are_many(tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, rows=60_000, duplicates=0.0, late=0.0, bad=0.2)
    manifest = generate_cdr(spec, tmp_path / "bad.csv")
    assert manifest.bad_rows == 12_000
    assert {len(bad.lines) for bad in manifest.bad.values()} == {1_000}
    assert manifest.as_dict()["bad_lines_complete"] is False


SHARES = st.floats(0, 0.13)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 600),
    seed=st.integers(0, 2**63 - 1),
    day=st.dates(date(2000, 1, 3), date(2034, 12, 31)),
    cells=st.integers(1, 40),
    subscribers=st.integers(2, 60),
    duplicates=SHARES,
    late=SHARES,
    bad=SHARES,
)
def test_no_row_is_lost_whatever_the_spec(tmp_path: Path, rows: int, day: date, **values: object) -> None:
    path = tmp_path / "small.csv"
    manifest = generate_cdr(GenerateSpec(rows=rows, day=day, **values), path)
    lines = read(path)
    good, copies = good_and_repeated(lines)
    assert len(lines) == manifest.rows_in == rows
    assert (manifest.good, manifest.duplicates) == (len(good), len(copies))
    assert {kind: bad.lines for kind, bad in manifest.bad.items() if bad.rows} == {
        kind: [line.number for line in lines if line.wrong == [kind]]
        for kind in BadKind
        if any(line.wrong == [kind] for line in lines)
    }
    assert manifest.rows_in == manifest.good + manifest.duplicates + manifest.bad_rows
    assert manifest.totals == totals(good)
