"""Whatever a file holds, every line of it ends in Silver, as a duplicate, or in quarantine with its text."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telestream.loaders.canonical import FIELDS
from telestream.loaders.pipeline import CdrLoader
from telestream.loaders.profile import load as load_profile
from telestream.loaders.sources import discover

HEADER = [name for name in FIELDS if name != "extras"]
_numbers = itertools.count()
# A line feed ends a record (docs/formats.md); everything else may stand in a value.
TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\n\r"), max_size=12)
VALUES = {
    "record_type": st.sampled_from(["voice", "data", "sms", "fax", ""]),
    "started_at": st.sampled_from(["2026-03-01T10:00:00Z", "2026-03-01 10:00:00.5+02:00", "yesterday", "", "0001-01-01T00:00:00Z", "294276-12-31T00:00:00Z"]),
    "duration_s": st.one_of(st.integers(-(2**40), 2**40).map(str), TEXT),
    "bytes_up": st.one_of(st.integers(-(2**70), 2**70).map(str), TEXT),
    "charge": st.one_of(st.decimals(-10**12, 10**12, places=4).map(str), TEXT),
    "is_roaming": st.sampled_from(["true", "false", "", "maybe"]),
    "disposition": st.sampled_from(["answered", "", "lost"]),
    "direction": st.sampled_from(["mo", "mt", "", "up"]),
    "currency": st.sampled_from(["GBP", ""]),
}  # fmt: skip
ROW = st.fixed_dictionaries({name: VALUES.get(name, TEXT) for name in HEADER})
RAW_LINE = st.binary(max_size=60).filter(lambda data: b"\n" not in data)


def as_line(row: dict[str, str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([row[name] for name in HEADER])
    return out.getvalue().encode()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.one_of(ROW.map(as_line), RAW_LINE), max_size=12))
def test_nothing_vanishes(lines: list[bytes], tmp_path: Path, connection: psycopg.Connection, database: str) -> None:
    number = next(_numbers)
    path = tmp_path / f"{number}.csv"
    # A comment in an unused column makes each file's content, and so the file, a new one.
    path.write_bytes(b"\n".join([",".join([*HEADER, f"run {number}"]).encode(), *(line for line in lines)]) + b"\n")
    with CdrLoader(database, segment_bytes=300) as loader:
        [result] = loader.load(discover([str(path)]), load_profile("canonical"))
    assert result.outcome in {"loaded", "refused", "failed"}, result
    if result.outcome == "failed":
        assert result.error is not None
        assert str(path) in str(result.error)
        return
    expected = sum(1 for line in lines if line.strip(b" \t\r\x0b\x0c"))
    counts = result.counts
    assert counts.rows_in == expected
    assert counts.rows_in == counts.loaded + counts.duplicate + counts.quarantined
    (refused,) = connection.execute(
        "SELECT count(*) FROM quality.quarantine AS q INNER JOIN ops.batch AS b USING (batch_id)"
        " INNER JOIN ops.source_file AS f USING (file_id) WHERE f.uri = %s AND q.raw IS NOT NULL",
        (str(path),),
    ).fetchone()
    assert refused == counts.quarantined


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cause=TEXT.filter(str.strip),
    up=st.integers(0, 2**63 - 1),
    charge=st.integers(0, 10**15),
    second=st.integers(0, 86_399),
)
def test_good_values_come_through_unchanged(
    cause: str, up: int, charge: int, second: int, tmp_path: Path, connection: psycopg.Connection, database: str
) -> None:
    number = next(_numbers)
    cause = cause.replace("\0", "").strip() or "x"
    at = f"2026-03-01T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"
    row = dict.fromkeys(HEADER, "") | {
        "source_system": "s", "native_key": f"key-{number}", "record_type": "data", "started_at": at,
        "bytes_up": str(up), "charge": f"{charge // 10**6}.{charge % 10**6:06d}", "cause": cause,
    }  # fmt: skip
    path = tmp_path / f"{number}.csv"
    path.write_bytes(",".join(HEADER).encode() + b"\n" + as_line(row) + b"\n")
    with CdrLoader(database) as loader:
        [result] = loader.load(discover([str(path)]), load_profile("canonical"))
    assert result.counts.loaded == 1, result
    assert connection.execute(
        "SELECT bytes_up, charge_micro, cause, started_at = %s FROM silver.fact_cdr WHERE batch_id ="
        " (SELECT max(batch_id) FROM ops.batch)",
        (at,),
    ).fetchone() == (up, charge, cause, True)
