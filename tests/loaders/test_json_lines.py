"""JSON lines: an object a line; broken ones are refused alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reading import profile_of, read_bytes

from telestream.errors import ProfileError
from telestream.loaders.profile import Profile


def jsonl(**changes: Any) -> Profile:
    return profile_of(**{"format": "jsonl", "dialect": {}, "columns": None, **changes})


def test_objects(tmp_path: Path) -> None:
    lines = ['{"key": "a", "note": 1.5, "other": [1]}', "", '  {"note": null}', '{"key": true, "note": {"x": 1}}']
    found = read_bytes(tmp_path, "\r\n".join(lines).encode(), jsonl())
    assert found.column("native_key") == ["a", None, "true"]
    assert found.column("caller") == ["1.5", None, '{"x":1}']
    assert list(found.rows) == [1, 3, 4]
    assert found.rejects == {}


@pytest.mark.parametrize(
    ("bad", "rule", "part"),
    [
        (b'{"key": "x"', "json", "not valid JSON"),
        (b"nonsense", "json", "not valid JSON"),
        (b"[1, 2]", "json", "not a JSON object"),
        (b"3", "json", "not a JSON object"),
        (b'{"key": "x\x01y"}', "json", "control character"),
        (b'{"key": "\\ud800"}', "json", ""),
        (b'{"key": "x\\u0000y"}', "nul_byte", "column key"),
        (b'{"key": "\xff"}', "encoding", "0xff"),
        (b'{"key": "\0"}', "nul_byte", "NUL"),
        (b"[" * 100_000, "json", "not"),
    ],
)
def test_a_bad_line_costs_no_other(tmp_path: Path, bad: bytes, rule: str, part: str) -> None:
    found = read_bytes(tmp_path, b'{"key": "a"}\n' + bad + b'\n{"key": "b"}\n', jsonl())
    assert found.column("native_key") == ["a", "b"]
    assert found.rules == {2: rule}
    assert part in found.rejects[2]["reason"]
    assert found.rejects[2]["raw"] == bad.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def test_paths_and_nulls(tmp_path: Path) -> None:
    profile = jsonl(
        columns={"key": "$.id", "note": '$.party."the number"[0]'}, nulls=["-"], extras={"n": {"expr": "upper(note)"}}
    )
    lines = [{"id": "a", "party": {"the number": ["x", "y"]}}, {"id": "b", "party": "-"}, {"id": "-"}]
    found = read_bytes(tmp_path, "\n".join(map(json.dumps, lines)).encode(), profile)
    assert found.column("native_key") == ["a", "b", None]
    assert found.column("caller") == ["x", None, None]
    assert found.rows[1]["extras"] == '{"n": "X"}'


def test_long_numbers_keep_their_digits(tmp_path: Path) -> None:
    profile = jsonl(fields={"native_key": "key", "charge": "note"})
    found = read_bytes(tmp_path, b'{"key": 123456789012345678901234567890, "note": 0.2500}', profile)
    assert found.column("native_key") == ["123456789012345678901234567890"]
    assert found.column("charge_micro") == [250_000]


def test_segments_and_raw_text(tmp_path: Path) -> None:
    lines = [json.dumps({"key": f"k{number}", "note": number}) for number in range(200)]
    lines[50] = "{"
    data = "\n".join(lines).encode()
    whole, parts = (read_bytes(tmp_path, data, jsonl(), segment_bytes=size) for size in (1 << 20, 300))
    assert parts.rows == whole.rows
    assert parts.rejects == whole.rejects
    assert len(parts.segments) > 5
    assert whole.segments[0].raw_lines([51, 1]) == {1: lines[0], 51: "{"}


def test_a_profile_that_uses_no_key(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="uses no key"):
        read_bytes(tmp_path, b"{}", jsonl(fields={"native_key": {"const": "x"}}))
