"""Whatever is in a file: no line vanishes, none counts twice, and what is taken is what was written."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import profile_of, read_bytes

fixture_is_only_a_folder = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150
)
PROFILES = {
    "quoted": profile_of(),
    "unquoted": profile_of(dialect={"header": False, "quote": None}),
    "escaped": profile_of(dialect={"header": False, "escape": "\\"}),
    "several": profile_of(columns={1: ["key"], 2: ["key", "note"], 3: ["key", "note", "more"]}),
    "ignoring": profile_of(dialect={"header": False, "extra_fields": "ignore"}),
    "commented": profile_of(dialect={"header": False, "comment": "#"}),
    "typed": profile_of(fields={"native_key": "key", "duration_s": "key", "started_at": "note", "charge": "key"}),
    "jsonl": profile_of(format="jsonl", dialect={}, columns=None),
}
PIECES = st.sampled_from(
    [b",", b'"', b'""', b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xc3\xa9", b"\\", b"#", b" ", b"a", b"17", b"0.5"]
    + [b"2026-03-01", b'{"key": "a"}', b'{"key":', b"\x01", b"\t", b"\x0c", "\u2028".encode(), b"{", b"}"]
)
CONTENT = st.lists(PIECES, max_size=60).map(b"".join) | st.binary(max_size=200)


@pytest.mark.parametrize("name", sorted(PROFILES))
@fixture_is_only_a_folder
@given(content=CONTENT, size=st.integers(1, 80))
def test_no_line_vanishes(tmp_path: Path, name: str, content: bytes, size: int) -> None:
    content = b"k,1\n" + content  # so that the file is neither empty nor another format
    whole = read_bytes(tmp_path, content, PROFILES[name])
    comment = b"#" if name == "commented" else None
    lines = {
        number
        for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1)
        if line.strip() and not (comment and line.startswith(comment))
    }
    assert set(whole.rows) | set(whole.rejects) == lines
    assert sum(segment.rows_in for segment in whole.segments) == len(lines)
    parts = read_bytes(tmp_path, content, PROFILES[name], segment_bytes=size)
    assert parts.rows == whole.rows
    assert parts.rejects == whole.rejects
    for segment in parts.segments:
        wanted = [number for number in lines if segment.first_line <= number < segment.next_line]
        texts = segment.raw_lines(wanted)
        assert set(texts) == set(wanted)
        for number, text in texts.items():
            assert "\0" not in text
            assert text.encode()  # no half surrogates
            if number in parts.rejects:
                assert parts.rejects[number]["raw"] == text


VALUE = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=20)


@fixture_is_only_a_folder
@given(rows=st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=20), quoting=st.sampled_from([0, 1, 2]))
def test_what_csv_writes_is_read(tmp_path: Path, rows: list[tuple[str, str]], quoting: Any) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=quoting, lineterminator="\n").writerows(rows)
    data = b"\xef\xbb\xbf" + out.getvalue().encode()
    # As extras the text is kept to the letter.
    profile = profile_of(fields={"cause": {"const": "x"}}, extras=["key", "note"])
    found = read_bytes(tmp_path, data, profile)
    assert found.rejects == {}
    written = [json.loads(extras or "{}") for extras in found.column("extras")]
    given_rows = [{name: text for name, text in zip(("key", "note"), row, strict=True) if text} for row in rows]
    assert written == given_rows


@fixture_is_only_a_folder
@given(
    objects=st.lists(
        st.dictionaries(st.sampled_from(["key", "note", "x"]), VALUE, max_size=3), min_size=1, max_size=20
    ),
    ascii_only=st.booleans(),
)
def test_what_json_writes_is_read(tmp_path: Path, objects: list[dict[str, str]], ascii_only: bool) -> None:
    data = "\n".join(json.dumps(one, ensure_ascii=ascii_only) for one in objects).encode()
    profile = profile_of(
        format="jsonl", dialect={}, columns=None, fields={"cause": {"const": "x"}}, extras=["key", "note"]
    )
    found = read_bytes(tmp_path, data, profile)
    assert found.rejects == {}
    written = [json.loads(extras or "{}") for extras in found.column("extras")]
    assert written == [{key: text for key, text in one.items() if key != "x" and text} for one in objects]


@settings(fixture_is_only_a_folder, max_examples=25)
@given(
    values=st.lists(
        st.integers(-(10**20), 10**20).map(str)
        | st.decimals(-(10**13), 10**13, allow_nan=False).map(str)
        | st.text("0123456789+-.eExX_, ", max_size=12)
        | st.datetimes().map(str)
        | st.sampled_from(["true", "NaN", "infinity", "epoch", "now", "null", "0x10", "1e400", "१२"]),
        min_size=1,
        max_size=12,
    )
)
def test_typed_values_are_exact_or_refused(tmp_path: Path, values: list[str]) -> None:
    """Each value alone decides about its line: neighbours that take another way through the mapper change nothing."""
    for field in ("bytes_up", "charge", "started_at", "is_roaming"):
        profile = profile_of(
            fields={"native_key": "key", field: "note"}, dialect={"header": False, "quote": None, "delimiter": "|"}
        )
        column = "charge_micro" if field == "charge" else field
        together = read_bytes(tmp_path, "".join(f"k|{value}\n" for value in values).encode(), profile)
        for line, value in enumerate(values, start=1):
            alone = read_bytes(tmp_path, f"k|{value}\nk|\n".encode(), profile)
            assert (line in together.rows) == (1 in alone.rows), (field, value)
            if line in together.rows:
                read_value = together.rows[line][column]
                assert read_value == alone.rows[1][column], (field, value)
                if field in ("bytes_up", "charge") and read_value is not None:
                    assert Decimal(value.strip()) * (1 if field == "bytes_up" else 1_000_000) == read_value
