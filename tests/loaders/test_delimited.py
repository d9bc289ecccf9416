"""CSV and its kin: each line is a record or is refused, alone and with its reason."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from reading import profile_of, read_bytes, source_of

from telestream.errors import ProfileError, SourceError
from telestream.loaders.readers import blocks, open_segments
from telestream.loaders.readers.segment import DoneSegment

HEADER = {"dialect": {"header": True}, "columns": None}


def test_line_ends_marks_and_blank_lines(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, b"\xef\xbb\xbfa,1\r\n\r\nb,2\n   \n\nc,\xc3\xa9\r\nd,4")
    assert found.column("native_key") == ["a", "b", "c", "d"]
    assert found.column("caller") == ["1", "2", "é", "4"]
    assert list(found.rows) == [1, 3, 6, 7]
    assert found.segments[0].rows_in == 4
    assert found.rejects == {}


def test_quotes(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, b'"a,b","x ""y"" z"\n"",5" pipe\n')
    assert found.column("native_key") == ["a,b", None]
    assert found.column("caller") == ['x "y" z', '5" pipe']


@pytest.mark.parametrize(
    ("bad", "rule", "raw"),
    [
        (b"x\0y,1", "nul_byte", "x\\x00y,1"),
        (b"x\xffy,1", "encoding", "x\\xffy,1"),
        (b"x\xc3,1", "encoding", "x\\xc3,1"),
        (b"x\ry,1", "carriage_return", "x\ry,1"),
        (b'"x,1', "unbalanced_quote", '"x,1'),
        (b'x,"1', "unbalanced_quote", 'x,"1'),
        (b"x", "field_count", "x"),
        (b"x,1,2", "field_count", "x,1,2"),
        (b'x,"1""', "unbalanced_quote", 'x,"1""'),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_bad_line_costs_no_other(tmp_path: Path, bad: bytes, rule: str, raw: str, place: int) -> None:
    lines = [b"a,1", b'"b",2', b"c,3"]
    lines.insert(place, bad)
    for end in (b"\n", b"\r\n"):
        for last in (b"", end):
            found = read_bytes(tmp_path, end.join(lines) + last)
            assert found.column("native_key") == ["a", "b", "c"]
            assert found.rules == {place + 1: rule}
            assert found.rejects[place + 1]["raw"] == raw
            assert found.rejects[place + 1]["reason"]
            assert found.segments[0].raw_lines([place + 1, 1])[place + 1] == raw


def test_two_open_quotes_do_not_pair_up(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, b'a,1\n"b,2\nc,3\nd",4\ne,"5\nf,6\n')
    assert found.rules == {2: "unbalanced_quote", 5: "unbalanced_quote"}
    assert found.column("native_key") == ["a", "c", 'd"', "f"]


def test_field_count_names_both_numbers(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, b"a,1\nb,2,3\nc\n")
    assert [one["reason"] for one in found.rejects.values()] == [
        "3 fields where 2 are expected",
        "1 field where 2 are expected",
    ]


def test_extra_fields_may_be_ignored(tmp_path: Path) -> None:
    profile = profile_of(dialect={"header": False, "quote": None, "extra_fields": "ignore"})
    found = read_bytes(tmp_path, b'a,1\nb,"2,x,y\nc\n', profile)
    assert found.column("caller") == ["1", '"2']
    assert found.rules == {3: "field_count"}


def test_layouts_by_number_of_fields(tmp_path: Path) -> None:
    profile = profile_of(
        columns={1: ["key"], 2: ["key", "note"], 4: ["key", "note", "leg", "more"]},
        fields={"native_key": "key", "caller": "note", "leg": {"column": "leg", "default": 0}},
    )
    found = read_bytes(tmp_path, b'a,1\nb\n"c,c",3,7,x\nd,4\ne,1,2\n', profile)
    assert found.column("native_key") == ["a", "b", "c,c", "d"]
    assert found.column("caller") == ["1", None, "3", "4"]
    assert found.column("leg") == [0, 0, 7, 0]
    assert found.rejects[5]["reason"] == "3 fields where 1 or 2 or 4 are expected"


def test_escapes_spaces_and_comments(tmp_path: Path) -> None:
    escaped = profile_of(dialect={"header": False, "quote": None, "escape": "\\"})
    found = read_bytes(tmp_path, b"a\\,b,1\nc\\\nd,2\n", escaped)
    assert found.column("native_key") == ["a,b", "d"]
    assert found.rules == {2: "unbalanced_quote"} or found.rules == {2: "field_count"}
    spaced = profile_of(dialect={"header": False, "skip_initial_space": True})
    assert read_bytes(tmp_path, b'"a", "1"\n"b","2"\n', spaced).column("caller") == ["1", "2"]
    commented = profile_of(dialect={"header": False, "comment": "#"})
    found = read_bytes(tmp_path, b"# note, with a comma\na,#1\n#\nb,2\n", commented)
    assert found.column("caller") == ["#1", "2"]
    assert list(found.rows) == [2, 4]
    assert found.rejects == {}


def test_lines_before_and_after_the_header(tmp_path: Path) -> None:
    dialect = {"header": True, "skip_lines": 1, "skip_after_header": "^INTEGER"}
    profile = profile_of(dialect=dialect, columns=None)
    found = read_bytes(tmp_path, b"export of today\nkey,note\nINTEGER,VARCHAR\na,1\n", profile)
    assert list(found.rows) == [4]
    # No line is skipped that does not look like it.
    found = read_bytes(tmp_path, b"export of today\nkey,note\nb,2\na,1\n", profile)
    assert found.column("native_key") == ["b", "a"]


def test_the_header_decides_not_the_position(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, b'other, NOTE ,"Key"\nx,1,a\n', profile_of(**HEADER))
    assert found.column("native_key") == ["a"]
    assert found.column("caller") == ["1"]


def test_a_header_that_lacks_a_column(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"data: profile minimal: the file has no column note") as caught:
        read_bytes(tmp_path, b"key,comment\na,1\n", profile_of(**HEADER))
    assert "comment" in (caught.value.detail or "")
    found = read_bytes(tmp_path, b"key,comment\na,1\n", profile_of(**HEADER, optional=["note"]))
    assert found.column("caller") == [None]
    assert (caught.value.detail or "").startswith("Its columns are key, comment")
    assert read_bytes(tmp_path, b"x,key,x,note\n0,a,0,1\n", profile_of(**HEADER)).column("caller") == ["1"]
    with pytest.raises(ProfileError, match="'key' twice"):
        read_bytes(tmp_path, b"key,note,KEY\na,1,2\n", profile_of(**HEADER))


def test_a_header_and_nothing_else(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, b"key,note\n", profile_of(**HEADER)).segments == []
    with pytest.raises(SourceError, match="before its header"):
        read_bytes(tmp_path, b"\n\n", profile_of(**HEADER))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le", "iso8859-15"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    profile = profile_of(dialect={"header": False, "encoding": encoding})
    text = "a,Zoë\nb,Straße\n" * 3
    found = read_bytes(tmp_path, text.encode(encoding), profile, segment_bytes=10)
    assert found.column("caller") == ["Zoë", "Straße"] * 3
    assert found.segments[1].raw_lines([2]) == {2: "b,Straße"} or len(found.segments) > 2


def test_a_byte_order_mark_outweighs_the_profile(tmp_path: Path) -> None:
    found = read_bytes(tmp_path, "a,Zoë\nb,2\n".encode("utf-16"))
    assert found.column("caller") == ["Zoë", "2"]


def test_bytes_the_encoding_does_not_know(tmp_path: Path) -> None:
    profile = profile_of(dialect={"header": False, "encoding": "cp1252"})
    found = read_bytes(tmp_path, b"a,\xe9\nb,\x81\nc,3\n", profile)
    assert found.rules == {2: "encoding"}
    assert found.column("caller") == ["é", "3"]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    for last in (b"\n", b""):
        data = b"a,1\n" + b"x" * 3_000_000 + b"\nb,2\n" + b"y" * 1_100_000 + last
        for size in (1 << 20, 600):
            found = read_bytes(tmp_path, data, segment_bytes=size)
            assert found.column("native_key") == ["a", "b"]
            assert found.rules == {2: "line_too_long", 4: "line_too_long"}
            assert found.rejects[2]["raw"] == "x" * blocks.SHOWN_BYTES
            assert "3,000,001 bytes" in found.rejects[2]["reason"]
            assert found.segments[-1].end == len(data)
            last_segment = found.segments[-1]
            assert last_segment.raw_lines([4]) == {4: "y" * blocks.SHOWN_BYTES}


def test_segments_do_not_change_the_rows(tmp_path: Path) -> None:
    lines = [f"k{number},{number}" for number in range(500)]
    lines[7], lines[70], lines[433] = '"open,1', "too,many,fields", ""
    data = "\n".join(lines).encode()
    whole = read_bytes(tmp_path, data)
    assert len(whole.segments) == 1
    for content in (data, gzip.compress(data)):
        for size in (1, 64, 1000):
            parts = read_bytes(tmp_path, content, segment_bytes=size)
            assert len(parts.segments) > 2
            assert parts.rows == whole.rows
            assert parts.rejects == whole.rejects
            ends = [segment.end for segment in parts.segments]
            assert ends[-1] == len(data)
            assert [segment.start for segment in parts.segments] == [0, *ends[:-1]]
            assert [segment.number for segment in parts.segments] == list(range(1, len(ends) + 1))
            for segment in parts.segments:
                line = segment.next_line - 1
                assert segment.raw_lines([line]) == {line: lines[line - 1]}


def test_resuming_skips_what_is_done(tmp_path: Path) -> None:
    dialect = {"header": True}
    data = b"\xef\xbb\xbfkey,note\n" + b"".join(b"k%d,\xc3\xa9%d\n" % (number, number) for number in range(300))
    profile = profile_of(dialect=dialect, columns=None)
    for content in (data, gzip.compress(data)):
        every = read_bytes(tmp_path, content, profile, segment_bytes=500).segments
        for kept in ([1], [1, 2, 3], [2, 4], list(range(1, len(every) + 1))):
            done = {number: DoneSegment(every[number - 1].end, every[number - 1].next_line) for number in kept}
            again = read_bytes(tmp_path, content, profile, segment_bytes=500, resume=done).segments
            expected = [segment for segment in every if segment.number not in done]
            assert [segment.number for segment in again] == [segment.number for segment in expected]
            for one, other in zip(again, expected, strict=True):
                assert (one.start, one.end, one.first_line) == (other.start, other.end, other.first_line)
                assert one.table.equals(other.table)


def test_another_segment_size_is_noticed(tmp_path: Path) -> None:
    data = b"k,1\n" * 100
    with pytest.raises(SourceError, match="segment 2 ended at byte 10, before"):
        read_bytes(tmp_path, data, segment_bytes=100, resume={2: DoneSegment(10, 3)})


def test_rows_come_ordered_by_time(tmp_path: Path) -> None:
    profile = profile_of(fields={"native_key": "key", "started_at": "note"})
    data = b"a,2026-03-01T02:00:00Z\nb,\nc,2026-03-01T01:00:00Z\nd,2026-03-01T02:00:00Z\n"
    [segment] = read_bytes(tmp_path, data, profile).segments
    assert segment.table.column("line").to_pylist() == [3, 1, 4, 2]


def test_raw_text_outlives_the_name_of_the_file(tmp_path: Path) -> None:
    [segment] = read_bytes(tmp_path, b"a,1\nb,2\n").segments
    (tmp_path / "data").unlink()
    assert segment.raw_lines([2]) == {2: "b,2"}
    assert segment.raw_lines([]) == {}


def test_a_file_that_grows_is_read_to_its_first_size(tmp_path: Path) -> None:
    path = tmp_path / "Master.csv"
    path.write_bytes(b"a,1\nb,2\n")
    source = source_of(path)
    before = source.fingerprint()
    with path.open("ab") as file:
        file.write(b"c,3\n")
    assert source.fingerprint() == before
    [segment] = open_segments(source, profile_of())
    assert segment.rows_in == 2
    path.write_bytes(b"a,1\n")
    with pytest.raises(SourceError, match="became shorter"):
        list(open_segments(source, profile_of()))
