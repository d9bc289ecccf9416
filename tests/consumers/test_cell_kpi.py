"""Measurements of a handset: every line becomes an event or is refused with its number and a reason."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from command import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telestream.consumers import cell_kpi
from telestream.consumers.cell_kpi import CellKpiFile, Refused
from telestream.errors import SourceError

DATA = Path(os.environ.get("TELESTREAM_REALDATA", ROOT.parent / "shared" / "data")) / "cell-kpi"

# The columns of G-NetTrack Pro; the values are made up.
GOOD = {
    "Timestamp": "2026.01.15_08.30.05", "Longitude": "-6.25", "Latitude": "53.35", "Speed": "12",
    "Operatorname": "B", "CellID": "7", "NetworkMode": "LTE", "RSRP": "-95", "RSRQ": "-11", "SNR": "4.5",
    "CQI": "9", "RSSI": "-70", "DL_bitrate": "1200", "UL_bitrate": "80", "State": "D", "PINGAVG": "31.5",
    "PINGMIN": "-", "PINGMAX": "-", "PINGSTDEV": "-", "PINGLOSS": "0", "CELLHEX": "7", "NODEHEX": "A81B",
    "LACHEX": "9CBA", "RAWCELLID": "11016967", "NRxRSRP": "-", "NRxRSRQ": "-",
}  # fmt: skip
HEADER = ",".join(GOOD)


def line(**changed: str) -> str:
    return ",".join({**GOOD, **changed}.values())


def read(path: Path) -> tuple[list[dict[str, Any]], list[Refused]]:
    events, refused, rows = [], [], 0
    for stretch in CellKpiFile(path).stretches():
        events += stretch.events.to_pylist()
        refused += stretch.refused
        rows += stretch.rows
    assert rows == len(events) + len(refused)
    return events, refused


def read_lines(tmp_path: Path, *lines: str) -> tuple[list[dict[str, Any]], list[Refused]]:
    path = tmp_path / "measured.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8", newline="")
    return read(path)


def test_a_line_is_a_sample(tmp_path: Path) -> None:
    (event,), refused = read_lines(tmp_path, line())
    assert refused == []
    assert json.loads(event.pop("payload")) == {
        "state": "D", "speed": 12.0, "latitude": 53.35, "longitude": -6.25, "network_mode": "LTE",
    }  # fmt: skip
    assert event.pop("event_id").endswith("-2")
    assert {name: value for name, value in event.items() if value is not None} == {
        "event_at": datetime(2026, 1, 15, 8, 30, 5, tzinfo=UTC), "source_system": "g-nettrack",
        "event_type": "kpi_sample", "cell_id": "B-11016967", "technology": "4g", "rsrp_dbm": -95.0,
        "rsrq_db": -11.0, "sinr_db": 4.5, "latency_ms": 31.5, "throughput_up_kbps": 80.0,
        "throughput_down_kbps": 1200.0, "packet_loss_pct": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "utc_hour"),
    [("2026.01.15_12.00.00", 12), ("2026.07.15_12.00.00", 11), ("2026.03.29_02.00.00", 1), ("2026.10.25_02.00.00", 2)],
)
def test_times_are_irish(tmp_path: Path, written: str, utc_hour: int) -> None:
    (event,), _ = read_lines(tmp_path, line(Timestamp=written))
    assert event["event_at"].astimezone(UTC).hour == utc_hour


@pytest.mark.parametrize(
    ("mode", "technology"),
    [("5G", "5g"), ("LTE", "4g"), ("HSPA+", "3g"), ("HSUPA", "3g"), ("HSDPA", "3g"), ("UMTS", "3g"), ("EDGE", "2g"),
     ("GPRS", "2g"), ("-", None), ("6G", None)],
)  # fmt: skip
def test_the_mode_is_the_technology(tmp_path: Path, mode: str, technology: str | None) -> None:
    (event,), _ = read_lines(tmp_path, line(NetworkMode=mode))
    assert event["technology"] == technology


def test_other_quantities_of_older_networks_are_no_rsrp(tmp_path: Path) -> None:
    (event,), _ = read_lines(tmp_path, line(NetworkMode="HSPA+", RSRQ="-2"))
    assert (event["rsrp_dbm"], event["rsrq_db"], event["sinr_db"]) == (None, None, None)
    payload = json.loads(event["payload"])
    assert (payload["level_dbm"], payload["quality"]) == (-95, -2)


@pytest.mark.parametrize(
    ("changed", "cell"),
    [
        ({"Operatorname": "27203"}, "27203-11016967"),
        ({"NetworkMode": "EDGE", "NODEHEX": "-", "LACHEX": "3FE", "RAWCELLID": "34056"}, "B-3FE-34056"),
        ({"RAWCELLID": "0"}, None),
        ({"RAWCELLID": "-"}, None),
        ({"Operatorname": "-"}, None),
    ],
)
def test_a_cell_is_operator_and_number(tmp_path: Path, changed: dict[str, str], cell: str | None) -> None:
    (event,), _ = read_lines(tmp_path, line(**changed))
    assert event["cell_id"] == cell


def test_what_is_missing_is_null(tmp_path: Path) -> None:
    names = ("Longitude", "Latitude", "Speed", "RSRP", "RSRQ", "SNR", "DL_bitrate", "UL_bitrate", "PINGAVG", "PINGLOSS")
    for nothing in ("-", "", " - "):
        (event,), refused = read_lines(tmp_path, line(**dict.fromkeys((*names, "State", "NetworkMode"), nothing)))
        assert refused == []
        assert event["payload"] == "{}"
        assert {name for name, value in event.items() if value is not None} == {
            "event_id", "event_at", "source_system", "event_type", "cell_id", "payload",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("", "the line is empty"),
        (line()[:40], "7 fields where 26 are expected"),
        (line() + ",", "27 fields where 26 are expected"),
        (line(Timestamp="-"), "Timestamp is missing"),
        (line(Timestamp="15/01/2026"), "Timestamp is not a time: 15/01/2026"),
        (line(Timestamp="2026.02.30_10.00.00"), "Timestamp is not a time: 2026.02.30_10.00.00"),
        (line(RSRP="weak"), "RSRP is not a number: weak"),
        (line(SNR="nan"), "SNR is not a number: nan"),
        (line(DL_bitrate="inf"), "DL_bitrate is not a number: inf"),
        (line(State="a\0b"), "the line holds a NUL character"),
    ],
)
def test_a_line_that_cannot_be_mapped_is_refused(tmp_path: Path, wrong: str, reason: str) -> None:
    events, refused = read_lines(tmp_path, line(), wrong, line())
    assert refused == [Refused(3, reason)]
    assert [event["event_id"].rpartition("-")[2] for event in events] == ["2", "4"]


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    path.write_bytes(b"\n".join([HEADER.encode(), line().encode(), line(State="\xff").encode("latin-1")]))
    events, refused = read(path)
    assert len(events) == 1
    assert refused == [Refused(3, "the line is not UTF-8")]


def test_names_decide_not_places(tmp_path: Path) -> None:
    reordered = dict(reversed(GOOD.items()))
    (tmp_path / "a.csv").write_text(f"\ufeff{','.join(reordered)}\r\n{','.join(reordered.values())}\r\n", newline="")
    (event,), _ = read(tmp_path / "a.csv")
    assert (event["rsrp_dbm"], event["cell_id"]) == (-95.0, "B-11016967")


def test_ids_follow_from_content_and_line(tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in ("one.csv", "two.csv", "three.csv"))
    for path, lines in ((one, [line(), line()]), (two, [line(), line()]), (three, [line(), line(), line()])):
        path.write_text("\n".join([HEADER, *lines]))
    ids = [[event["event_id"] for event in read(path)[0]] for path in (one, two, three)]
    assert ids[0] == ids[1]
    assert len({*ids[0], *ids[2]}) == 5


def test_other_files_are_refused_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read"):
        CellKpiFile(tmp_path / "none.csv")
    for text in ("", "a,b\n1,2\n", HEADER.replace("RSRP", "rsrp")):
        (tmp_path / "other.csv").write_text(text)
        with pytest.raises(SourceError, match="does not hold cell measurements"):
            CellKpiFile(tmp_path / "other.csv")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.binary(max_size=60).map(lambda text: text.replace(b"\n", b";"))
        | st.sampled_from(sorted(GOOD)).flatmap(
            lambda name: st.text(max_size=8).map(lambda text: line(**{name: text.replace("\n", "")}).encode())
        ),
        max_size=30,
    ),
    block=st.integers(20, 5_000),
)
def test_whatever_the_lines_each_is_sent_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[bytes], block: int
) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(HEADER.encode() + b"\n" + b"".join(text + b"\n" for text in lines))
    monkeypatch.setattr(cell_kpi, "_BLOCK_BYTES", block)
    events, refused = read(path)
    numbers = [int(event["event_id"].rpartition("-")[2]) for event in events] + [bad.line for bad in refused]
    assert sorted(numbers) == list(range(2, len(lines) + 2))
    for event in events:
        json.loads(event["payload"])


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA} (set TELESTREAM_REALDATA)")
def test_every_line_of_the_real_measurements() -> None:
    paths = sorted(DATA.glob("*.csv"))
    assert len(paths) == 29
    ids: set[str] = set()
    modes: Counter[str | None] = Counter()
    for path in paths:
        raw = path.read_text().splitlines()[1:]
        events, refused = read(path)
        assert refused == []
        assert len(events) == len(raw)
        ids |= {event["event_id"] for event in events}
        modes.update(event["technology"] for event in events)
        for event, text in zip(events, raw, strict=True):
            values = text.split(",")
            local = datetime.strptime(values[0], "%Y.%m.%d_%H.%M.%S").replace(tzinfo=ZoneInfo("Europe/Dublin"))
            assert event["event_at"] == local
            assert event["throughput_down_kbps"] == float(values[12])
            if event["technology"] in ("4g", "5g"):
                assert event["rsrp_dbm"] == float(values[7])
    assert len(ids) == 72_671
    assert modes == {"5g": 46_618, "4g": 15_049, "3g": 10_913, "2g": 91}
