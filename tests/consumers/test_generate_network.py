"""The generated stream is what its manifest says, the same however it is cut, and shaped like a network."""

from __future__ import annotations

import io
import json
import statistics
import struct
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from command import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telestream.consumers.generate import (
    EVENT_SCHEMA,
    AnomalyKind,
    BadKind,
    Manifest,
    NetworkSpec,
    Planted,
    Tally,
    batches,
    cell_ids,
    encode_events,
    message_keys,
)
from telestream.consumers.generate.network import make_cells, subscriber_numbers
from telestream.errors import UsageError
from telestream.loaders.generate import GenerateSpec
from telestream.loaders.generate import cells as cdr_cells
from telestream.loaders.generate.population import Population

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TYPES = ("kpi_sample", "rrc_setup", "handover", "attach", "detach", "drop", "alarm", "other")
WITH_DEFECTS = NetworkSpec(
    events=60_000, start=MONDAY, duration=DAY / 2, cells=40, duplicates=0.02, late=0.02, bad=0.02
)  # fmt: skip

Row = dict[str, Any]


def made(spec: NetworkSpec, rows: int = 50_000) -> tuple[pa.Table, Manifest]:
    tally = Tally(spec)
    tables = list(batches(spec, rows, tally))
    assert all(0 < table.num_rows <= rows for table in tables)
    return pa.concat_tables([EVENT_SCHEMA.empty_table(), *tables]), tally.manifest


def faults(row: Row) -> list[BadKind]:
    """Say what is wrong with an event, without a look at how the generator plants it."""
    wrong = []
    if not row["event_id"]:
        wrong.append(BadKind.MISSING_EVENT_ID)
    if row["event_type"] not in TYPES:
        wrong.append(BadKind.UNKNOWN_EVENT_TYPE)
    subscriber = row["subscriber"]
    if subscriber is not None and not (subscriber.startswith("+") and subscriber[1:].isdigit()):
        wrong.append(BadKind.SUBSCRIBER_NOT_E164)
    for name, low, high in (("rsrp_dbm", -160, 0), ("rsrq_db", -50, 30), ("sinr_db", -60, 80)):
        if row[name] is not None and not low <= row[name] <= high:
            wrong.append(BadKind.RADIO_OUT_OF_RANGE)
    for name, high in (
        ("latency_ms", 6e5), ("packet_loss_pct", 100), ("throughput_up_kbps", 1e8), ("throughput_down_kbps", 1e8),
    ):  # fmt: skip
        if row[name] is not None and not 0 <= row[name] <= high:
            wrong.append(BadKind.SERVICE_OUT_OF_RANGE)
    if row["payload"] is not None:
        try:
            json.loads(row["payload"])
        except ValueError:
            wrong.append(BadKind.PAYLOAD_NOT_JSON)
    if row["event_at"].year < 2012:
        wrong.append(BadKind.EVENT_TIME_WINDOW)
    return wrong


def sorted_out(table: pa.Table) -> tuple[list[Row], list[tuple[Row, Row]], Counter[BadKind]]:
    """Split a stream into first good events, (first, copy) pairs and the number of bad events of each kind."""
    first: dict[str, Row] = {}
    copies, bad = [], Counter[BadKind]()
    for row in table.to_pylist():
        wrong = faults(row)
        assert len(wrong) <= 1, row
        if wrong:
            bad[wrong[0]] += 1
        elif earlier := first.get(row["event_id"]):
            copies.append((earlier, row))
        else:
            first[row["event_id"]] = row
    return list(first.values()), copies, bad


@pytest.fixture(scope="module")
def stream() -> tuple[pa.Table, Manifest]:
    return made(WITH_DEFECTS)


def test_the_manifest_is_the_truth(stream: tuple[pa.Table, Manifest]) -> None:
    table, manifest = stream
    good, copies, bad = sorted_out(table)
    assert manifest.messages == table.num_rows == WITH_DEFECTS.events
    assert manifest.good == len(good)
    assert manifest.duplicates == len(copies)
    assert manifest.bad == bad
    assert set(bad) == set(BadKind)
    assert manifest.messages == manifest.good + manifest.duplicates + manifest.bad_messages
    by_type = Counter(row["event_type"] for row in good)
    assert manifest.by_type == {kind: by_type[kind] for kind in TYPES}
    buckets = Counter(
        row["event_at"].replace(minute=row["event_at"].minute // 5 * 5, second=0, microsecond=0) for row in good
    )
    assert manifest.buckets == buckets
    for share, count in ((WITH_DEFECTS.duplicates, manifest.duplicates), (WITH_DEFECTS.late, manifest.late)):
        assert count == pytest.approx(share * WITH_DEFECTS.events, rel=0.15)


def test_a_duplicate_is_an_exact_copy_of_a_message_minutes_before(stream: tuple[pa.Table, Manifest]) -> None:
    _, copies, _ = sorted_out(stream[0])
    assert all(first == copy for first, copy in copies)
    place = {row["event_id"]: number for number, row in reversed(list(enumerate(stream[0].to_pylist())))}
    order = stream[0].column("event_id").to_pylist()
    distances = [number - place[key] for number, key in enumerate(order) if key and place[key] != number]
    assert sum(distance <= 3 for distance in distances) > len(distances) / 3
    assert max(distances) > 100


def test_late_events_are_behind_a_watermark_of_ten_minutes_and_no_others(stream: tuple[pa.Table, Manifest]) -> None:
    newest, late = MONDAY, []
    seen: set[str] = set()
    for row in stream[0].to_pylist():
        if faults(row) or row["event_id"] in seen:
            continue
        seen.add(row["event_id"])
        if row["event_at"] < newest - timedelta(minutes=10):
            late.append(newest - row["event_at"])
        else:
            assert row["event_at"] >= newest - timedelta(seconds=2)
        newest = max(newest, row["event_at"])
    assert len(late) == stream[1].late
    assert timedelta(minutes=14) < min(late)
    assert max(late) < timedelta(minutes=41)


def test_the_manifest_survives_a_file(stream: tuple[pa.Table, Manifest], tmp_path: Path) -> None:
    planted = (Planted(AnomalyKind.OUTAGE, 3, MONDAY, HOUR), Planted(AnomalyKind.SLEEPING, 4, MONDAY, HOUR / 7))
    _, manifest = made(NetworkSpec(events=5_000, start=MONDAY, duration=HOUR, bad=0.1, anomalies=planted))
    manifest.save(tmp_path / "truth.json")
    assert Manifest.load(tmp_path / "truth.json") == manifest
    with pytest.raises(UsageError):
        manifest.save(tmp_path / "none" / "truth.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"generator_version": 0}'])
def test_another_file_is_no_manifest(tmp_path: Path, text: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="not a manifest"):
        Manifest.load(path)


SHARES = st.floats(0, 0.16)


@st.composite
def specs(draw: st.DrawFn) -> NetworkSpec:
    cells = draw(st.integers(1, 30))
    start = draw(st.datetimes(datetime(2020, 1, 1), datetime(2034, 1, 1))).replace(tzinfo=UTC)
    duration = timedelta(seconds=draw(st.floats(0.001, 2e6)))
    kinds = st.sampled_from([AnomalyKind.OUTAGE, AnomalyKind.CONGESTION, AnomalyKind.SLEEPING])
    anomalies = draw(
        st.lists(
            st.builds(
                Planted,
                kinds,
                st.integers(0, cells - 1),
                st.just(start + duration * draw(st.floats(0, 1))),
                st.just(duration * draw(st.floats(0.001, 1)) + timedelta(microseconds=1)),
            ),
            max_size=3,
        )
    )
    return NetworkSpec(
        events=draw(st.integers(1, 400)),
        start=start,
        duration=duration,
        cells=cells,
        seed=draw(st.integers(0, 2**63 - 1)),
        duplicates=draw(SHARES),
        late=draw(SHARES),
        bad=draw(SHARES),
        subscribers=draw(st.integers(1, 50)),
        anomalies=tuple(anomalies),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec=specs(), rows=st.integers(1, 450))
def test_no_message_is_lost_and_the_cut_does_not_matter(spec: NetworkSpec, rows: int) -> None:
    table, manifest = made(spec)
    again, manifest_again = made(spec, rows)
    assert again.equals(table)
    assert manifest_again == manifest
    good, copies, bad = sorted_out(table)
    assert (manifest.good, manifest.duplicates, manifest.bad) == (len(good), len(copies), bad)
    assert manifest.messages == table.num_rows == spec.events - manifest.silenced
    assert sum(manifest.buckets.values()) == sum(manifest.by_type.values()) == manifest.good
    assert set(table.column("cell_id").to_pylist()) <= set(cell_ids(spec.cells, spec.seed))


def test_another_spec_has_other_ids() -> None:
    ids = [
        set(made(NetworkSpec(events=100, start=start, duration=HOUR, seed=seed))[0].column("event_id").to_pylist())
        for start, seed in ((MONDAY, 1), (MONDAY + HOUR, 1), (MONDAY, 2))
    ]
    assert len(set.union(*ids)) == 300


def test_the_same_moment_in_another_zone_is_the_same_spec() -> None:
    there = MONDAY.astimezone(timezone(timedelta(hours=5)))
    specs = [NetworkSpec(events=50, start=start, duration=HOUR) for start in (MONDAY, there)]
    assert made(specs[0])[0].equals(made(specs[1])[0])


def test_cells_and_people_are_those_of_the_cdrs() -> None:
    spec = GenerateSpec(rows=1, day=MONDAY.date(), cells=500, subscribers=1_000, seed=7)
    theirs = cdr_cells(spec)
    ours = make_cells(300, 7)
    assert ours.cell_id == theirs.column("cell_id").to_pylist()[:300]
    names = np.array(["4g", "5g", "3g", "2g"])[ours.technology].tolist()
    assert names == theirs.column("technology").to_pylist()[:300]
    numbers = [number.decode() for number in Population(spec).texts["caller"][:1_000].tolist()]
    assert subscriber_numbers(1_000, 7) == numbers


def test_days_have_busy_hours_and_weekends_less() -> None:
    _, manifest = made(NetworkSpec(events=100_000, start=MONDAY, duration=7 * DAY))
    by_hour, by_day = Counter[int](), Counter[int]()
    for bucket, count in manifest.buckets.items():
        by_day[bucket.weekday()] += count
        if bucket.weekday() < 5:
            by_hour[bucket.hour] += count
    assert by_hour[19] > 4 * by_hour[3]
    assert by_day[6] < 0.9 * by_day[1]


def test_the_mix_of_events_and_the_sizes_of_cells() -> None:
    table, manifest = made(NetworkSpec(events=100_000, start=MONDAY, duration=DAY))
    shares = {
        "kpi_sample": 0.45,
        "rrc_setup": 0.20,
        "handover": 0.15,
        "attach": 0.08,
        "detach": 0.06,
        "drop": 0.01,
        "alarm": 0.002,
    }
    for kind, share in shares.items():
        assert manifest.by_type[kind] / manifest.good == pytest.approx(share, rel=0.2), kind
    rows = table.to_pylist()
    handovers = [row for row in rows if row["event_type"] == "handover"]
    failed = [row for row in handovers if row["outcome"] == "failure"]
    assert len(failed) / len(handovers) == pytest.approx(0.03, rel=0.2)
    assert all(row["cause"] for row in failed)
    sizes = sorted(Counter(row["cell_id"] for row in rows).values())
    assert sizes[-20] > 2.5 * sizes[20]
    assert {row["event_type"] for row in rows if row["subscriber"] is None} == {"kpi_sample", "alarm"}
    assert {row["technology"] for row in rows if row["rsrp_dbm"] is not None} == {"4g", "5g"}
    assert all((row["severity"] is not None) == (row["event_type"] == "alarm") for row in rows)
    latency = defaultdict(list)
    for row in rows:
        if row["latency_ms"] is not None:
            latency[row["technology"]].append(row["latency_ms"])
    assert statistics.mean(latency["5g"]) < statistics.mean(latency["4g"]) < statistics.mean(latency["3g"])


def of_cell(kind: AnomalyKind, cell: int = 0) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    """Return the events of a cell before, in and after an anomaly, and those of the other cells."""
    start, duration = MONDAY + 10 * HOUR, 6 * HOUR
    spec = NetworkSpec(
        events=60_000, start=MONDAY, duration=DAY, cells=10, anomalies=(Planted(kind, cell, start, duration),)
    )
    rows = made(spec)[0].to_pylist()
    name = cell_ids(10)[cell]
    mine = [row for row in rows if row["cell_id"] == name]
    before = [row for row in mine if row["event_at"] < start]
    within = [row for row in mine if start <= row["event_at"] < start + duration]
    after = [row for row in mine if row["event_at"] >= start + duration]
    return before, within, after, [row for row in rows if row["cell_id"] != name]


def share(rows: list[Row], kind: str, outcome: str | None = None) -> float:
    counts = Counter((row["event_type"], row["outcome"]) for row in rows)
    of_kind = sum(count for (name, _), count in counts.items() if name == kind)
    return counts[kind, outcome] / of_kind if outcome else of_kind / len(rows)


def mean(rows: list[Row], name: str) -> float:
    return statistics.mean(row[name] for row in rows if row[name] is not None)


def test_an_outage_is_one_critical_alarm_and_silence() -> None:
    before, within, after, _ = of_cell(AnomalyKind.OUTAGE)
    assert len(before) > 500 < len(after)
    (alarm,) = within
    assert (alarm["event_type"], alarm["severity"], alarm["cause"]) == ("alarm", "critical", "cell_unavailable")
    assert alarm["event_at"] < MONDAY + 10 * HOUR + timedelta(minutes=5)
    assert faults(alarm) == []


def test_a_sleeping_cell_samples_on_and_serves_nobody() -> None:
    before, within, after, _ = of_cell(AnomalyKind.SLEEPING)
    assert {row["event_type"] for row in within} == {"kpi_sample"}
    assert len(within) > 500
    assert share(before, "kpi_sample") == pytest.approx(share(after, "kpi_sample"), rel=0.2)


def test_congestion_slows_loses_and_drops() -> None:
    before, within, after, _ = of_cell(AnomalyKind.CONGESTION)
    usual = before + after
    assert mean(within, "latency_ms") / mean(usual, "latency_ms") == pytest.approx(4, rel=0.2)
    assert mean(usual, "throughput_down_kbps") / mean(within, "throughput_down_kbps") == pytest.approx(4, rel=0.35)
    assert mean(within, "packet_loss_pct") > mean(usual, "packet_loss_pct") + 2
    assert share(within, "drop") / share(usual, "drop") == pytest.approx(6, rel=0.5)
    assert share(within, "handover", "failure") == pytest.approx(0.15, rel=0.3)


def test_a_drift_is_half_a_decibel_an_hour() -> None:
    cell = int(np.flatnonzero(np.isin(make_cells(10, 1).technology, [0, 1]))[0])
    before, within, after, _ = of_cell(AnomalyKind.DRIFT, cell)
    last = [row for row in within if row["event_at"] > MONDAY + 15 * HOUR]
    assert mean(before, "rsrp_dbm") - mean(last, "rsrp_dbm") == pytest.approx(2.75, abs=0.7)
    assert mean(last, "throughput_down_kbps") < 0.9 * mean(after, "throughput_down_kbps")


@pytest.mark.parametrize("kind", [AnomalyKind.OUTAGE, AnomalyKind.CONGESTION, AnomalyKind.SLEEPING])
def test_an_anomaly_leaves_the_other_cells_alone(kind: AnomalyKind) -> None:
    others = of_cell(kind)[3]
    name = cell_ids(10)[0]
    plain = made(NetworkSpec(events=60_000, start=MONDAY, duration=DAY, cells=10))[0].to_pylist()
    usual = [row for row in plain if row["cell_id"] != name]
    for row in (*others, *usual):
        del row["event_id"]
    assert others == usual


def test_drift_needs_a_cell_that_reports_rsrp() -> None:
    cell = int(np.flatnonzero(np.isin(make_cells(200, 1).technology, [2, 3]))[0])
    spec = NetworkSpec(
        events=10, start=MONDAY, duration=DAY, anomalies=(Planted(AnomalyKind.DRIFT, cell, MONDAY, DAY),)
    )
    with pytest.raises(UsageError, match="no RSRP") as caught:
        list(batches(spec))
    assert caught.value.hint.startswith("Take a cell of 4g or 5g")


@pytest.mark.parametrize(
    "wrong",
    [
        {"events": 0},
        {"cells": 0},
        {"seed": -1},
        {"subscribers": 0},
        {"duration": timedelta()},
        {"start": datetime(2026, 1, 1)},
        {"bad": -0.1},
        {"late": 0.6},
        {"duplicates": 0.3, "bad": 0.3},
        {"anomalies": (Planted(AnomalyKind.OUTAGE, 200, MONDAY, DAY),)},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        NetworkSpec(**{"events": 10, "start": MONDAY, "duration": DAY, **wrong})


def test_an_anomaly_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="no such anomaly"):
        Planted("flood", 0, MONDAY, DAY)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="time zone"):
        Planted(AnomalyKind.OUTAGE, 0, MONDAY.replace(tzinfo=None), DAY)


# Encoding -----------------------------------------------------------------------------------------

AVRO = fastavro.schema.load_schema(ROOT / "consumers" / "schemas" / "network_event.avsc")


def by_fastavro(row: Row, schema_id: int) -> bytes:
    out = io.BytesIO()
    out.write(struct.pack(">bI", 0, schema_id))
    fastavro.schemaless_writer(out, AVRO, row)
    return out.getvalue()


def test_the_columns_are_those_of_the_schema() -> None:
    assert [field["name"] for field in AVRO["fields"]] == EVENT_SCHEMA.names
    for field, column in zip(AVRO["fields"], EVENT_SCHEMA, strict=True):
        assert (isinstance(field["type"], list) and "null" in field["type"]) == column.nullable, column


def test_generated_events_are_encoded_as_fastavro_does(stream: tuple[pa.Table, Manifest]) -> None:
    table = stream[0].slice(0, 20_000)
    assert encode_events(table, 77) == [by_fastavro(row, 77) for row in table.to_pylist()]


TEXTS = st.text(st.characters(codec="utf-8"), max_size=80) | st.text("ab", min_size=60, max_size=200)
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda moment: moment.replace(tzinfo=UTC))


def values(field: pa.Field) -> st.SearchStrategy[Any]:
    if pa.types.is_timestamp(field.type):
        return TIMES
    plain = TEXTS if pa.types.is_string(field.type) else st.floats(allow_nan=False)
    return plain | st.none() if field.nullable else plain


ROWS = st.lists(st.fixed_dictionaries({field.name: values(field) for field in EVENT_SCHEMA}), max_size=12)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, schema_id=st.integers(0, 2**31 - 1), pieces=st.integers(1, 3))
def test_any_events_are_encoded_as_fastavro_does(rows: list[Row], schema_id: int, pieces: int) -> None:
    whole = pa.Table.from_pylist(rows, EVENT_SCHEMA)
    size = max(1, len(rows) // pieces)
    table = pa.concat_tables([EVENT_SCHEMA.empty_table(), *(whole.slice(i, size) for i in range(0, len(rows), size))])
    assert encode_events(table, schema_id) == [by_fastavro(row, schema_id) for row in rows]


def test_tables_that_are_no_events_are_refused() -> None:
    table = made(NetworkSpec(events=5, start=MONDAY, duration=DAY))[0]
    with pytest.raises(ValueError, match="columns of a network event"):
        encode_events(table.drop_columns(["payload"]), 1)
    names = EVENT_SCHEMA.names
    without = table.set_column(names.index("event_id"), "event_id", pa.nulls(5, pa.string()))
    with pytest.raises(ValueError, match="event_id"):
        encode_events(without, 1)


def test_keys_are_cells() -> None:
    table = made(NetworkSpec(events=50, start=MONDAY, duration=DAY))[0]
    assert message_keys(table) == [cell.encode() for cell in table.column("cell_id").to_pylist()]
