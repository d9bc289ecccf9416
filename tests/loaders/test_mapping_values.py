"""Values become what they mean or are refused with a reason; nothing is guessed, nothing breaks the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from reading import Read, profile_of, read_bytes

from telestream.errors import ProfileError

BIG = 9_223_372_036_854_775_807


def one(tmp_path: Path, field: str, rule: Any, text: str, **profile: Any) -> Read:
    """Read one value between two rows that are fine by themselves."""
    fields = {"native_key": "key", field: rule}
    data = f'before,\nx,"{text}"\nafter,\n'.encode()
    found = read_bytes(tmp_path, data, profile_of(fields=fields, **profile))
    assert {1, 3} <= set(found.rows)
    return found


def value(tmp_path: Path, field: str, rule: Any, text: str, **profile: Any) -> Any:
    found = one(tmp_path, field, rule, text, **profile)
    assert found.rejects == {}
    return found.rows[2]["charge_micro" if field == "charge" else field]


def reason(tmp_path: Path, field: str, rule: Any, text: str, **profile: Any) -> str:
    found = one(tmp_path, field, rule, text, **profile)
    assert found.rules == {2: "unparsable_value"}
    assert found.rejects[2]["field"] == field
    assert found.rejects[2]["raw"] == f'x,"{text}"'
    return str(found.rejects[2]["reason"])


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("-7", -7), ("+7", 7), ("007", 7), (" 7 ", 7), ("7.0", 7), ("7.", 7), ("  ", None), ("-0", 0)],
)
def test_whole_numbers(tmp_path: Path, text: str, number: int | None) -> None:
    for field in ("duration_s", "bytes_up"):
        assert value(tmp_path, field, "note", text) == number


@pytest.mark.parametrize("text", ["7.5", "1e5", "0x1F", "1_000", "seven", "7 7", "--7", "NaN", "1,000", "-"])
def test_what_is_no_whole_number(tmp_path: Path, text: str) -> None:
    for field in ("duration_s", "bytes_up", "leg"):
        assert reason(tmp_path, field, "note", text) == f"{field}: cannot read {text!r} as a whole number"


def test_numbers_that_do_not_fit(tmp_path: Path) -> None:
    assert value(tmp_path, "duration_s", "note", "2147483647") == 2_147_483_647
    assert value(tmp_path, "bytes_up", "note", str(BIG)) == BIG
    reason(tmp_path, "duration_s", "note", "2147483648")
    reason(tmp_path, "bytes_up", "note", str(BIG + 1))


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0.2500", 250_000),
        ("0.000001", 1),
        ("-0.5", -500_000),
        (".5", 500_000),
        ("5.", 5_000_000),
        ("+3", 3_000_000),
        ("0.12345600000", 123_456),
        ("999999999999.999999", 999_999_999_999_999_999),
        ("0.1", 100_000),
        (" 1.5 ", 1_500_000),
        ("", None),
    ],
)
def test_amounts_are_exact(tmp_path: Path, text: str, micros: int | None) -> None:
    assert value(tmp_path, "charge", "note", text) == micros


@pytest.mark.parametrize("text", ["0.0000001", "1e-3", "0x10", "1.2.3", "GBP 5", "1000000000000", "1,5", "."])
def test_what_is_no_amount(tmp_path: Path, text: str) -> None:
    assert "an amount with at most six decimals" in reason(tmp_path, "charge", "note", text)


@pytest.mark.parametrize(
    ("text", "truth"),
    [("true", True), ("TRUE", True), ("t", True), ("1", True), ("Yes", True), ("no", False), ("0", False)],
)
def test_truth_values(tmp_path: Path, text: str, truth: bool) -> None:
    assert value(tmp_path, "is_roaming", "note", text) is truth
    assert "true or false" in reason(tmp_path, "is_roaming", "note", "roaming")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-01T09:14:58.123Z", datetime(2026, 3, 1, 9, 14, 58, 123000, UTC)),
        ("2026-03-01 09:14:58+01:00", datetime(2026, 3, 1, 8, 14, 58, tzinfo=UTC)),
        ("2026-03-01T09:14:58.123456789Z", datetime(2026, 3, 1, 9, 14, 58, 123456, UTC)),
        ("2026-03-01 09:14", datetime(2026, 3, 1, 9, 14, tzinfo=UTC)),
        ("1900-01-01 00:00:00", datetime(1900, 1, 1, tzinfo=UTC)),
        ("   ", None),
    ],
)
def test_times(tmp_path: Path, text: str, time: datetime | None) -> None:
    assert value(tmp_path, "started_at", "note", text) == time


@pytest.mark.parametrize(
    "text",
    [
        "08:31.0",
        "2026-02-30 00:00:00",
        "2026-13-45T25:61:61",
        "0001-01-01T00:00:00Z",
        "1899-12-31T23:59:59Z",
        "294277-01-01T00:00:00Z",
        "9999-12-31T12:00:00Z",
        "infinity",
        "01/03/2026 09:14",
    ],
)
def test_what_is_no_time(tmp_path: Path, text: str) -> None:
    expected = f"started_at: cannot read {text!r} as a time (ISO 8601, years 1900 to 9999)"
    assert reason(tmp_path, "started_at", "note", text) == expected


@pytest.mark.parametrize(("text", "shown"), [("447911123456", "…"), ("+447911123456", "+…"), ("1772355771", "…")])
def test_a_number_in_the_wrong_place_is_not_quoted(tmp_path: Path, text: str, shown: str) -> None:
    """Reasons are read by people who may not see numbers; the raw text has it."""
    expected = f"started_at: cannot read {shown!r} as a time (ISO 8601, years 1900 to 9999)"
    assert reason(tmp_path, "started_at", "note", text) == expected


def test_local_times(tmp_path: Path) -> None:
    def london(text: str) -> Any:
        return value(tmp_path, "started_at", "note", text, time_zone="Europe/London")

    assert london("2026-07-01 12:00:00") == datetime(2026, 7, 1, 11, tzinfo=UTC)
    # An offset in the value wins.
    assert london("2026-07-01 12:00:00Z") == datetime(2026, 7, 1, 12, tzinfo=UTC)
    # In the hour that there is twice, the second; in the hour that there is not, moved on by the gap.
    assert london("2026-10-25 01:30:00") == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert london("2026-03-29 01:30:00") == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    rule = {"column": "note", "format": "%d.%m.%Y %H:%M:%S"}
    assert value(tmp_path, "started_at", rule, "01.07.2026 12:00:00", time_zone="Asia/Shanghai") == datetime(
        2026, 7, 1, 4, tzinfo=UTC
    )


def test_time_formats(tmp_path: Path) -> None:
    several = {"column": "note", "format": ["%Y%m%d%H%M%S%z", "%d/%m/%y", "epoch_s"]}
    for text, time in (
        ("20260301091458+0100", datetime(2026, 3, 1, 8, 14, 58, tzinfo=UTC)),
        ("01/03/26", datetime(2026, 3, 1, tzinfo=UTC)),
        ("1541451924.25", datetime(2018, 11, 5, 21, 5, 24, 250000, UTC)),
    ):
        assert value(tmp_path, "started_at", several, text) == time
    for unit, text in (("epoch_ms", "1541451924123"), ("epoch_us", "1541451924123000")):
        rule = {"column": "note", "format": unit}
        assert value(tmp_path, "started_at", rule, text) == datetime(2018, 11, 5, 21, 5, 24, 123000, UTC)
    wrong_unit = {"column": "note", "format": "epoch_s"}
    for text in ("1541451924123", "99999999999999999999999999", "1e9", "-99999999999"):
        assert "epoch_s" in reason(tmp_path, "started_at", wrong_unit, text)


def test_units_and_scales(tmp_path: Path) -> None:
    assert value(tmp_path, "duration_s", {"column": "note", "unit": "ms"}, "61500") == 62
    assert value(tmp_path, "duration_s", {"column": "note", "unit": "min"}, "1.5") == 90
    assert value(tmp_path, "duration_s", {"column": "note", "format": "hms"}, "01:02:03") == 3723
    assert value(tmp_path, "bytes_down", {"column": "note", "unit": "KiB"}, "2") == 2048
    assert value(tmp_path, "charge", {"column": "note", "scale": "0.01"}, "2515") == 25_150_000
    reason(tmp_path, "duration_s", {"column": "note", "unit": "ms"}, "1e3")
    reason(tmp_path, "duration_s", {"column": "note", "unit": "h"}, "9999999")
    assert "hh:mm:ss" in reason(tmp_path, "duration_s", {"column": "note", "format": "hms"}, "1:99:03")
    reason(tmp_path, "duration_s", {"column": "note", "format": "hms"}, "99999999:00:00")


def test_decimal_commas(tmp_path: Path) -> None:
    german = {"dialect": {"header": False, "decimal": ","}}
    assert value(tmp_path, "charge", "note", "1.234,56", **german) == 1_234_560_000
    assert value(tmp_path, "charge", "note", "0,25", **german) == 250_000
    assert value(tmp_path, "duration_s", "note", "1.234", **german) == 1234
    # A point that does not part thousands is a mistake, not a decimal.
    reason(tmp_path, "charge", "note", "1.5", **german)
    reason(tmp_path, "charge", "note", "0,1234567", **german)


def test_maps(tmp_path: Path) -> None:
    rule = {"column": "note", "map": {"ANSWERED": "answered", 17: "busy"}}
    assert value(tmp_path, "disposition", rule, " ANSWERED ") == "answered"
    assert value(tmp_path, "disposition", rule, "17") == "busy"
    assert value(tmp_path, "disposition", rule, "") is None
    assert reason(tmp_path, "disposition", rule, "answered").endswith("as one of ANSWERED, 17")
    rest = {"column": "note", "map": {"A": "answered", "B": None, "*": "failed"}}
    assert value(tmp_path, "disposition", rest, "x") == "failed"
    assert value(tmp_path, "disposition", rest, "B") is None
    assert value(tmp_path, "is_roaming", {"column": "note", "map": {"R": True, "H": False}}, "R") is True
    assert value(tmp_path, "leg", {"column": "note", "map": {"a": 1, "*": 2}}, "a") == 1


def test_defaults_and_nulls(tmp_path: Path) -> None:
    rule = {"column": "note", "default": "GBP"}
    assert one(tmp_path, "currency", rule, "EUR").column("currency") == ["GBP", "EUR", "GBP"]
    rule = {"column": "note", "default": 3, "nulls": ["0", "-"]}
    assert one(tmp_path, "leg", rule, "-").column("leg") == [3, 3, 3]
    assert value(tmp_path, "caller", "note", "NULL", nulls=["NULL", "-"]) is None
    assert value(tmp_path, "caller", "note", "NULL") == "NULL"
    found = read_bytes(tmp_path, b"a,1\n")
    assert (found.rows[1]["source_system"], found.rows[1]["leg"]) == ("minimal", 0)


def test_text_loses_the_space_around_it_and_extras_keep_it(tmp_path: Path) -> None:
    profile = profile_of(fields={"native_key": "key", "caller": "note"}, extras=["note"])
    found = read_bytes(tmp_path, b"a,  x y\t\nb,   \n", profile)
    assert found.column("caller") == ["x y", None]
    assert found.rows[1]["extras"] == '{"note": "  x y\\t"}'


def test_constants(tmp_path: Path) -> None:
    fields = {
        "native_key": "key",
        "leg": {"const": 2},
        "is_roaming": {"const": False},
        "charge": {"const": "0.25"},
        "started_at": {"const": "2026-03-01"},
    }
    row = read_bytes(tmp_path, b"a,1\n", profile_of(fields=fields)).rows[1]
    assert (row["leg"], row["is_roaming"], row["charge_micro"]) == (2, False, 250_000)
    assert row["started_at"] == datetime(2026, 3, 1, tzinfo=UTC)
    with pytest.raises(ProfileError, match="leg: cannot read 'two' as a whole number"):
        read_bytes(tmp_path, b"a,1\n", profile_of(fields={"leg": {"const": "two"}}))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("+447700900001", "+447700900001"),
        ("00447700900001", "+447700900001"),
        ("07700 900-001", "+447700900001"),
        ("(07700) 900001", "+447700900001"),
        ("999", "999"),
        ("anonymous", "anonymous"),
        ("0", "0"),
        ("sip:alice@example.com", "sip:alice@example.com"),
        ("447700900001", "447700900001"),
    ],
)
def test_telephone_numbers(tmp_path: Path, given: str, wanted: str) -> None:
    numbers = {"country_code": "44", "international_prefix": "00", "national_prefix": "0"}
    assert value(tmp_path, "caller", "note", given, numbers=numbers) == wanted


def test_numbers_without_a_prefix(tmp_path: Path) -> None:
    assert value(tmp_path, "called", "note", "447700900001", numbers={"bare": "international"}) == "+447700900001"
    national = {"country_code": "44", "bare": "national"}
    assert value(tmp_path, "called", "note", "7700900001", numbers=national) == "+447700900001"
    assert value(tmp_path, "called", "note", "112", numbers=national) == "112"


def test_expressions(tmp_path: Path) -> None:
    assert value(tmp_path, "caller", {"expr": "upper(key) || note"}, "y") == "Xy"
    assert value(tmp_path, "duration_s", {"expr": "length(note) * 2"}, "abc") == 6
    assert value(tmp_path, "started_at", {"expr": "note || ' 00:00'"}, "2026-03-01") == datetime(2026, 3, 1, tzinfo=UTC)
    # An expression that fails on one record refuses that record.
    assert "the expression fails" in reason(tmp_path, "duration_s", {"expr": "CAST(note AS INTEGER) + 1"}, "x")
    assert "cannot read 'abc'" in reason(tmp_path, "duration_s", {"expr": "note"}, "abc")
    assert value(tmp_path, "cause", {"expr": "ipv4_le(note)"}, "1879097098") == "10.191.0.112"
    assert value(tmp_path, "cause", {"expr": "ipv4_le(note)"}, "-932957242") == "198.51.100.200"
    assert value(tmp_path, "cause", {"expr": "ipv4_le(note)"}, "0") is None


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("nosuch || key", "nosuch"),
        ("lower(", "fields|caller"),
        ("key) FROM raw; DROP TABLE raw; --", "caller"),
        ("unnest([key, note])", "caller"),
        ("(SELECT content FROM read_text('/etc/passwd'))", "disabled|Permission"),
        ("(SELECT max(x) FROM '/etc/passwd' AS t(x))", "caller"),
    ],
)
def test_expressions_that_cannot_be(tmp_path: Path, expression: str, complaint: str) -> None:
    profile = profile_of(fields={"native_key": "key", "caller": {"expr": expression}})
    with pytest.raises(ProfileError, match=complaint) as caught:
        read_bytes(tmp_path, b"a,1\nb,2\n", profile)
    assert "minimal" in str(caught.value)


def test_several_faults_are_one_refusal(tmp_path: Path) -> None:
    profile = profile_of(fields={"native_key": "key", "duration_s": "key", "charge": "note"})
    found = read_bytes(tmp_path, b"1,1\nx,y\n2,2\n", profile)
    assert list(found.rows) == [1, 3]
    assert found.rejects[2]["reason"] == (
        "duration_s: cannot read 'x' as a whole number; charge: cannot read 'y' as an amount with at most six decimals"
    )
    assert found.rejects[2]["field"] == "duration_s"


def test_a_long_value_is_shown_short(tmp_path: Path) -> None:
    text = reason(tmp_path, "duration_s", "note", "9" * 500 + "x")
    assert len(text) < 120
    assert "…" in text


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ('{"a": 1}', True),
        ("{}", True),
        ('{"a": NaN}', False),
        ('{"a": 1,}', False),
        ("[1]", False),
        ('{"a": "\\u0000"}', False),
        ('{"a": "\\ud800"}', False),
        ('{"a": "\\u00e9"}', True),
        ("{", False),
    ],
)
def test_given_extras_must_be_json_that_postgresql_takes(tmp_path: Path, text: str, taken: bool) -> None:
    profile = profile_of(dialect={"header": False, "quote": None, "delimiter": "|"}, fields={"extras": "note"})
    found = read_bytes(tmp_path, f"a|{{}}\nb|{text}\nc|\n".encode(), profile)
    assert (2 in found.rows) is taken
    assert {1, 3} <= set(found.rows)
    if taken:
        assert found.rows[2]["extras"] == text
    else:
        assert found.rejects[2]["field"] == "extras"
