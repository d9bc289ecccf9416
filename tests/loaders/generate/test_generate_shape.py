"""The rows look like an operator's day: shares, hours, heavy tails, numbers, cells."""

import re
from collections import Counter
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from telestream.loaders.generate import GenerateSpec, cells, plans, regions
from telestream.loaders.generate.arrow_rows import ArrowRenderer
from telestream.loaders.generate.cdr import Maker
from telestream.loaders.generate.mixing import mix, stream_key

ROWS = 120_000


def day_of(day: date, **values: Any) -> pa.Table:
    spec = GenerateSpec(rows=ROWS, day=day, **values)
    maker = Maker(spec)
    return pa.Table.from_batches([ArrowRenderer(maker.texts).render(maker.block(0, ROWS))])


@pytest.fixture(scope="module")
def monday() -> pa.Table:
    return day_of(date(2026, 3, 2))


@pytest.fixture(scope="module")
def sunday() -> pa.Table:
    return day_of(date(2026, 3, 1))


def shares(column: pa.ChunkedArray) -> dict[Any, float]:
    return {entry["values"]: entry["counts"] / len(column) for entry in column.value_counts().to_pylist()}


def of_type(table: pa.Table, kind: str) -> pa.Table:
    return table.filter(pc.equal(table["record_type"], kind))


def by_hour(table: pa.Table) -> list[int]:
    counts = Counter(pc.hour(table["started_at"]).to_pylist())
    return [counts[hour] for hour in range(24)]


def top_share(column: pa.ChunkedArray, part: float) -> float:
    counts = sorted((entry["counts"] for entry in column.value_counts().to_pylist()), reverse=True)
    return sum(counts[: max(1, int(len(counts) * part))]) / sum(counts)


def test_record_types_have_their_shares_on_a_working_day(monday: pa.Table) -> None:
    wanted = {"data": 0.65, "voice": 0.25, "sms": 0.08, "mms": 0.015, "other": 0.005}
    found = shares(monday["record_type"])
    assert found.keys() == wanted.keys()
    for kind, share in wanted.items():
        assert found[kind] == pytest.approx(share, rel=0.1), kind


def test_weekends_have_fewer_calls_and_more_pictures(monday: pa.Table, sunday: pa.Table) -> None:
    weekday, weekend = shares(monday["record_type"]), shares(sunday["record_type"])
    assert weekend["voice"] < 0.8 * weekday["voice"]
    assert weekend["mms"] > 1.2 * weekday["mms"]


def test_calls_peak_before_noon_and_in_the_evening(monday: pa.Table) -> None:
    hours = by_hour(of_type(monday, "voice"))
    assert set(np.argsort(hours)[-4:].tolist()) == {10, 11, 18, 19}
    assert max(hours) > 15 * min(hours)
    assert np.argmin(hours) in (2, 3)


def test_data_stays_high_in_the_evening(monday: pa.Table) -> None:
    hours = by_hour(of_type(monday, "data"))
    assert hours[21] > 0.7 * max(hours)
    assert hours[3] < 0.2 * max(hours)


def test_weekend_mornings_start_later(monday: pa.Table, sunday: pa.Table) -> None:
    weekday, weekend = by_hour(of_type(monday, "voice")), by_hour(of_type(sunday, "voice"))
    assert weekend[7] / sum(weekend) < 0.7 * weekday[7] / sum(weekday)


def test_rows_are_in_order_and_within_the_day(monday: pa.Table) -> None:
    started = np.asarray(monday["started_at"].cast(pa.int64()))
    assert (np.diff(started) >= 0).all()
    assert shares(pc.strftime(monday["started_at"], format="%Y-%m-%d")) == {"2026-03-02": 1.0}


def test_keys_are_unique_uuids(monday: pa.Table) -> None:
    keys = monday["native_key"]
    assert len(keys.unique()) == ROWS
    uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(uuid.fullmatch(key) for key in keys.slice(0, 2_000).to_pylist())


def test_days_share_people_and_cells_but_no_keys(monday: pa.Table, sunday: pa.Table) -> None:
    assert not set(monday["native_key"].to_pylist()) & set(sunday["native_key"].to_pylist())
    for name in ("imsi", "cell_id"):
        both = set(monday[name].to_pylist()) & set(sunday[name].to_pylist())
        assert len(both) > 0.3 * len(monday[name].unique())


def test_few_subscribers_and_cells_make_most_rows(monday: pa.Table) -> None:
    assert top_share(monday["imsi"], 0.01) > 0.05
    assert top_share(monday["cell_id"], 0.1) > 0.25
    busiest = max(entry["counts"] for entry in monday["imsi"].value_counts().to_pylist())
    assert busiest < 0.005 * ROWS


def test_subscribers_have_one_identity_each(monday: pa.Table) -> None:
    data = of_type(monday, "data")
    identities = set(zip(*(data[name].to_pylist() for name in ("caller", "imsi", "imei", "plan_code")), strict=True))
    for column in range(3):
        assert len({identity[column] for identity in identities}) == len(identities)
    for msisdn, imsi, imei, _ in identities:
        assert re.fullmatch(r"\+4479\d{8}", msisdn)
        assert re.fullmatch(r"23415\d{10}", imsi)
        doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(imei))
        assert sum(value // 10 + value % 10 for value in doubled) % 10 == 0


def test_calls_end_as_calls_do(monday: pa.Table) -> None:
    voice = of_type(monday, "voice")
    found = shares(voice["disposition"])
    assert found.keys() == {"answered", "no_answer", "busy", "failed", "congestion", "dropped"}
    assert 0.58 < found["answered"] < 0.66
    assert 0.02 < found["dropped"] < 0.06
    assert pc.all(pc.equal(pc.is_valid(voice["answered_at"]), pc.greater(voice["billed_s"], 0))).as_py()
    talk = np.asarray(voice["billed_s"].filter(pc.greater(voice["billed_s"], 0)))
    assert 55 < np.median(talk) < 85
    assert talk.mean() > 1.5 * np.median(talk)


def test_who_calls_whom(monday: pa.Table) -> None:
    voice = of_type(monday, "voice")
    ours = [number.startswith("+4479") for number in voice["called"].to_pylist()]
    theirs = [number.startswith("+4479") for number in voice["caller"].to_pylist()]
    both = sum(a and b for a, b in zip(ours, theirs, strict=True)) / len(ours)
    assert both == pytest.approx(0.6, abs=0.02)
    assert not any(pc.equal(voice["caller"], voice["called"]).to_pylist())
    assert pc.all(pc.is_null(of_type(monday, "data")["called"])).as_py()


def test_switches_roaming_and_bytes(monday: pa.Table) -> None:
    assert set(of_type(monday, "data")["source_system"].to_pylist()) == {"pgw-01"}
    assert set(of_type(monday, "voice")["source_system"].to_pylist()) == {"msc-01", "msc-02"}
    assert shares(monday["is_roaming"])[True] == pytest.approx(0.01, abs=0.002)
    down = np.asarray(of_type(monday, "data")["bytes_down"])
    assert down.mean() > 4 * np.median(down)


def test_cells_are_a_table_that_the_rows_refer_to(monday: pa.Table) -> None:
    table = cells(GenerateSpec(rows=1, day=date(2026, 3, 2)))
    assert table.column_names == [
        "cell_id", "name", "latitude", "longitude", "region_code", "technology", "weight",
    ]  # fmt: skip
    known = {row["cell_id"]: row for row in table.to_pylist()}
    assert len(known) == table.num_rows == 2_000
    assert all(re.fullmatch(r"234-15-\d{3,9}", cell) for cell in known)
    for row in monday.slice(0, 5_000).to_pylist():
        cell = known[row["cell_id"]]
        assert (row["region_code"], row["technology"]) == (cell["region_code"], cell["technology"])
    assert pc.min(table["latitude"]).as_py() > 49
    assert pc.max(table["latitude"]).as_py() < 60


def test_networks_of_different_seeds_share_hardly_a_cell() -> None:
    ours, theirs = (
        set(cells(GenerateSpec(rows=1, day=date(2026, 3, 2), seed=seed))["cell_id"].to_pylist()) for seed in (1, 2)
    )
    assert len(ours & theirs) < 0.01 * len(ours)


def test_regions_are_a_tree_of_two_levels() -> None:
    rows = regions().to_pylist()
    (country,) = [row for row in rows if row["parent_code"] is None]
    assert country["region_code"] == "GB"
    assert all(row["parent_code"] == "GB" for row in rows if row is not country)
    used = set(cells(GenerateSpec(rows=1, day=date(2026, 3, 2)))["region_code"].to_pylist())
    assert used <= {row["region_code"] for row in rows}


def test_plans_are_those_of_the_rows(monday: pa.Table) -> None:
    table = plans()
    assert set(monday["plan_code"].to_pylist()) == set(table["plan_code"].to_pylist())
    price = {row["plan_code"]: row["sms_price"] for row in table.to_pylist()}
    for row in of_type(monday, "sms").slice(0, 2_000).to_pylist():
        charged = row["direction"] == "mo" and row["disposition"] == "answered"
        assert row["charge"] == (price[row["plan_code"]] if charged else 0)


def test_mixing_is_splitmix64() -> None:
    # The first outputs for seed 1234567 in the reference implementation; index 1 is the first.
    first = mix(1234567, np.arange(1, 4, dtype=np.uint64)).tolist()
    assert first == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_streams_are_apart() -> None:
    assert stream_key(1, "a") != stream_key(1, "b") != stream_key(2, "b")
