"""Days leave Silver for Delta Lake: equal, resumable, readable by other engines, and Gold stays as it was."""

from __future__ import annotations

import datetime
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import polars
import psycopg
import pyarrow.parquet as pq
import pytest
from alembic.script import ScriptDirectory
from command import ROOT, assert_clear_error, kill_when, start, telestream
from deltalake import DeltaTable, write_deltalake
from staging import cdr, event, refine, refine_events

from telestream.db import migrate, rollups
from telestream.db.archive import Archiver, Dataset
from telestream.db.archive_table import Content
from telestream.db.retention import exclusive
from telestream.errors import TerminalError, TransientError

DAYS = [datetime.date(2026, 3, 1) + datetime.timedelta(days=n) for n in range(3)]
STORES = (
    "cell_traffic_5m_v1", "cell_traffic_1h_v1", "cell_traffic_1d_v1", "customer_usage_1d_v1", "revenue_1d_v1",
    "network_5m_v1", "network_1h_v1",
)  # fmt: skip


def load(connection: psycopg.Connection, url: str) -> None:
    """Load three days of CDRs and events, with values that texts and engines may write differently."""
    for day in DAYS:
        refine(
            connection,
            [
                cdr(
                    native_key=f"{day}-{n}",
                    started_at=f"{day}T{n % 24:02d}:{n * 7 % 60:02d}:00.{n:06d}Z",
                    answered_at=None,
                    ended_at=None,
                    cell_id=f"234-15-{n % 3}" if n % 4 else None,
                    cause=(None, "", "ünïcode 'quoted'", "16")[n % 4],
                    is_roaming=(None, True, False)[n % 3],
                    extras=json.dumps({"msisdn": "+447900000001"}),
                )
                for n in range(40)
            ],
        )
        refine_events(
            connection,
            [
                event(
                    event_id=f"{day}-{n}",
                    event_at=f"{day}T{n % 24:02d}:{n * 7 % 60:02d}:00Z",
                    rsrp_dbm=-80.1 - n / 7,
                    latency_ms=None if n % 5 == 0 else 0.1 * n,
                    throughput_down_kbps=1e8 / (n + 1),
                )
                for n in range(40)
            ],
        )
    rollups.refresh(url)


def gold(connection: psycopg.Connection) -> dict[str, list[str]]:
    """Return the text of every row of every rollup as stored."""
    connection.execute("SET timezone = 'UTC'")
    connection.execute("SET ROLE telestream_owner")
    try:
        return {
            store: sorted(row for (row,) in connection.execute(f"SELECT t::text FROM rollup.{store} AS t").fetchall())
            for store in STORES
        }
    finally:
        connection.execute("RESET ROLE")


@pytest.fixture
def loaded(connection: psycopg.Connection, database: str) -> psycopg.Connection:
    load(connection, database)
    return connection


@pytest.fixture
def target(tmp_path: Path) -> str:
    return str(tmp_path / "archive")


def archive(url: str, target: str, dataset: Dataset = "cdr", *, drop: bool = False) -> list[Any]:
    """Archive every due day; return what came of each, and of the drop if asked for."""
    with exclusive(url) as connection:
        archiver = Archiver(connection, url, dataset, target)
        results = [archiver.archive(day) for day in archiver.due(1)]
        return archiver.drop(1) if drop else results


@pytest.mark.parametrize("dataset", ["cdr", "network_event"])
def test_a_day_is_written_verified_and_not_written_again(
    loaded: psycopg.Connection, database: str, target: str, dataset: Dataset
) -> None:
    assert [(item.day, item.outcome, item.rows) for item in archive(database, target, dataset)] == [
        (day, "written", 40) for day in DAYS
    ]
    version = DeltaTable(f"{target}/fact_{dataset}").version()
    with exclusive(database) as connection:
        archiver = Archiver(connection, database, dataset, target)
        assert [archiver.archive(day, thorough=True).outcome for day in DAYS] == ["verified again"] * 3
    assert DeltaTable(f"{target}/fact_{dataset}").version() == version
    assert loaded.execute("SELECT count(*), sum(rows) FROM ops.archive_day WHERE state = 'verified'").fetchone() == (
        3,
        120,
    )


def test_the_files_are_sorted_zstd_and_hold_no_number(loaded: psycopg.Connection, database: str, target: str) -> None:
    archive(database, target)
    archive(database, target, "network_event")
    files = [Path(uri) for name in ("cdr", "network_event") for uri in DeltaTable(f"{target}/fact_{name}").file_uris()]
    assert len(files) == 6
    for file in files:
        table = pq.read_table(file)
        times = table.column(0).to_pylist()
        assert times == sorted(times)
        assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"
        assert {"extras", "payload"}.isdisjoint(table.column_names)
        assert "4479000" not in str(table.to_pydict())


def test_every_column_of_a_fact_is_archived_or_left_out_with_a_reason(connection: psycopg.Connection) -> None:
    for dataset in ("cdr", "network_event"):
        columns = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            (f"silver.fact_{dataset}",),
        ).fetchall()
        listed = connection.execute("SELECT name FROM ops.archive_column WHERE dataset = %s", (dataset,)).fetchall()
        assert sorted(columns) == sorted(listed)


def test_two_other_engines_read_the_sums_of_gold(loaded: psycopg.Connection, database: str, target: str) -> None:
    archive(database, target)
    wanted = loaded.execute(
        "SELECT sum(attempts)::bigint, sum(seconds)::bigint, (sum(charge) * 1000000)::bigint FROM gold.cell_traffic_1d"
    ).fetchone()
    table = DeltaTable(f"{target}/fact_cdr")
    with duckdb.connect() as engine:
        found = engine.execute(
            "SELECT count(*), sum(coalesce(billed_s, duration_s, 0)), sum(charge_micro) FROM read_parquet($1)",
            [table.file_uris()],
        ).fetchone()
    assert found == wanted
    # As the page on the archive shows it.
    page = (ROOT / "docs" / "archive.md").read_text()
    blocks = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "answer = " in block]
    assert len(blocks) == 2
    answers = []
    for block in blocks:
        names: dict[str, Any] = {}
        exec(block.replace("/srv/history", target), names)
        answers.append(names["answer"])
    assert answers == [[("voice", 40, 10.0)]] * 2
    frame = polars.scan_delta(f"{target}/fact_cdr").select(
        polars.len(), polars.coalesce("billed_s", "duration_s").sum(), polars.col("charge_micro").sum()
    )
    assert frame.collect().row(0) == wanted


def test_a_late_row_is_written_with_its_day_anew(loaded: psycopg.Connection, database: str, target: str) -> None:
    archive(database, target)
    refine(loaded, [cdr(native_key="late", started_at="2026-03-02T05:00:00Z", answered_at=None, ended_at=None)])
    assert [(item.outcome, item.rows) for item in archive(database, target)] == [
        ("verified again", 40),
        ("written", 41),
        ("verified again", 40),
    ]
    assert DeltaTable(f"{target}/fact_cdr").to_pyarrow_table().num_rows == 121


@pytest.mark.slow
def test_gold_is_the_same_after_the_drop_late_rows_replay_and_refresh(
    loaded: psycopg.Connection, database: str, target: str, superuser: psycopg.Connection
) -> None:
    before = gold(loaded)
    sizes = "SELECT pg_database_size(current_database()), hypertable_size('silver.fact_cdr')"
    superuser.execute("CHECKPOINT")
    [size, table_size] = loaded.execute(sizes).fetchone()
    for dataset in ("cdr", "network_event"):
        dropped = archive(database, target, dataset, drop=True)
        assert [item.kept_because for item in dropped] == [None] * 3
        assert all(item.freed_bytes > 0 for item in dropped)
        if dataset == "cdr":
            freed = sum(item.freed_bytes for item in dropped)
    [size_after, table_size_after] = loaded.execute(sizes).fetchone()
    assert table_size - table_size_after == freed
    assert size - size_after >= freed
    assert loaded.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (0,)
    assert gold(loaded) == before
    assert rollups.check(database) == []

    # Late rows of dropped days, one on each side of the horizon, and a replay of those refused.
    rows = [
        cdr(native_key=f"late-{day}", started_at=f"{day}T05:00:00Z", answered_at=None, ended_at=None) for day in DAYS
    ]
    assert refine(loaded, rows)[1:] == (0, 0, 3)
    assert refine_events(loaded, [event(event_id="late")])[1:] == (0, 0, 1)
    assert loaded.execute("SELECT DISTINCT rules FROM quality.quarantine").fetchall() == [(["before_horizon"],)]
    result = telestream("quality", "replay")
    assert result.returncode == 0, result.stderr
    assert loaded.execute("SELECT count(*) FROM quality.quarantine WHERE replayed_at IS NULL").fetchone() == (4,)
    assert rollups.refresh(database) == 0
    assert gold(loaded) == before

    # Newer days go on to be loaded, refreshed and checked.
    refine(loaded, [cdr(native_key="new", started_at="2026-03-09T05:00:00Z", answered_at=None, ended_at=None)])
    rollups.refresh(database)
    after = gold(loaded)
    assert all(set(before[store]) <= set(after[store]) for store in STORES)
    assert loaded.execute("SELECT sum(attempts) FROM gold.cell_traffic_1d").fetchone() == (121,)
    assert rollups.check(database) == []
    result = telestream("gold", "check")
    assert result.returncode == 0, result.stdout


def test_without_the_rule_the_database_raises_before_it_damages_gold(
    loaded: psycopg.Connection, database: str, target: str
) -> None:
    archive(database, target, drop=True)
    archive(database, target, "network_event", drop=True)
    before = gold(loaded)
    loaded.execute("SET ROLE telestream_owner")
    loaded.execute("UPDATE quality.rule SET is_enabled = false WHERE rule = 'before_horizon'")
    loaded.execute("RESET ROLE")
    late = cdr(native_key="late", started_at="2026-03-02T05:00:00Z", answered_at=None, ended_at=None)
    for attempt in (lambda: refine(loaded, [late]), lambda: refine_events(loaded, [event(event_id="late")])):
        with pytest.raises(psycopg.Error) as caught:
            attempt()
        assert caught.value.sqlstate == "TS011"
    loaded.execute("SET ROLE telestream_owner")
    # Even a mark that was made behind the trigger's back only stops the refresh.
    loaded.execute("ALTER TABLE rollup.pending DISABLE TRIGGER pending_guard")
    loaded.execute("INSERT INTO rollup.pending VALUES ('revenue_1d', '2026-03-02 00:00+00', 1)")
    loaded.execute("RESET ROLE")
    for call in ("SELECT rollup.refresh_table('revenue_1d')", "CALL rollup.refresh_pending()"):
        with pytest.raises(psycopg.Error) as caught:
            loaded.execute(call)
        assert caught.value.sqlstate == "TS011"
    assert gold(loaded) == before


def test_marks_holds_and_minimum_keep_a_day(loaded: psycopg.Connection, database: str, target: str) -> None:
    def reasons() -> list[str | None]:
        return [item.kept_because for item in archive(database, target, drop=True)]

    refine(loaded, [cdr(native_key="late", started_at="2026-03-02T05:00:00Z", answered_at=None, ended_at=None)])
    loaded.execute("INSERT INTO ops.legal_hold (from_at, to_at, reason) VALUES ('2026-03-01', '2026-03-02', 'file 7')")
    first, second, third = reasons()
    assert "legal hold 1: file 7" in str(first)
    assert "refresh" in str(second)
    assert "refresh" in str(third)
    assert loaded.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (121,)

    rollups.refresh(database)
    loaded.execute("INSERT INTO ops.retention_rule VALUES ('silver.cdr', '*', '10 years', NULL, 'test')")
    assert reasons() == ["minimum of 10 years"] * 3
    assert loaded.execute("SELECT kept_from = '-infinity' FROM ops.horizon WHERE dataset = 'cdr'").fetchone() == (True,)

    loaded.execute("DELETE FROM ops.retention_rule WHERE source = 'test'")
    assert reasons() == ["legal hold 1: file 7", None, None]
    assert loaded.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (40,)
    assert rollups.check(database) == []


def test_a_hold_on_a_person_keeps_the_days_that_name_them(
    loaded: psycopg.Connection, database: str, target: str
) -> None:
    refine(
        loaded,
        [
            cdr(
                native_key="held",
                called="+447911111111",
                started_at="2026-03-02T05:00:00Z",
                answered_at=None,
                ended_at=None,
            )
        ],
    )
    rollups.refresh(database)
    loaded.execute(
        "INSERT INTO ops.legal_hold (subscriber_id, reason)"
        " SELECT called_id, 'file 8' FROM silver.fact_cdr GROUP BY called_id HAVING count(*) = 1"
    )
    assert [item.kept_because for item in archive(database, target, drop=True)] == [None, "legal hold 1: file 8", None]


_KILLED = """
import sys
from telestream.db import archive, archive_table
from telestream.db.retention import exclusive
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import time
def stop(name):
    if sys.argv[3] == name:
        Path(sys.argv[4]).touch()
        time.sleep(60)
def around(cls, name):
    whole = getattr(cls, name)
    def wrapped(self, *args, **kwargs):
        stop("before " + name)
        result = whole(self, *args, **kwargs)
        stop("after " + name)
        return result
    setattr(cls, name, wrapped)
around(archive_table.ArchiveTable, "replace_day")
around(archive.Archiver, "_written")
around(archive.Archiver, "_verified")
around(archive.Archiver, "_drop_unit")
with exclusive(sys.argv[1]) as connection:
    archiver = archive.Archiver(connection, sys.argv[1], "cdr", sys.argv[2])
    for day in archiver.due(1):
        archiver.archive(day)
    archiver.drop(1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        "before replace_day",
        "after replace_day",
        "after _written",
        "after _verified",
        "before _drop_unit",
        "after _drop_unit",
    ],
)
def test_killed_anywhere_the_next_run_ends_as_one_without_a_crash(
    loaded: psycopg.Connection, database: str, target: str, tmp_path: Path, moment: str
) -> None:
    before = gold(loaded)
    reached = tmp_path / "reached"
    process = start(_KILLED, database, target, moment, str(reached))
    assert kill_when(process, reached.exists)
    # Its connection may outlive it for a moment.
    for _ in range(100):
        try:
            assert all(item.kept_because is None for item in archive(database, target, drop=True))
            break
        except TransientError:
            loaded.execute("SELECT pg_sleep(0.1)")
    ids = DeltaTable(f"{target}/fact_cdr").to_pyarrow_table().column("cdr_id").to_pylist()
    assert len(ids) == len(set(ids)) == 120
    assert loaded.execute("SELECT state, count(*) FROM ops.archive_day GROUP BY 1").fetchall() == [("dropped", 3)]
    assert loaded.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (0,)
    assert gold(loaded) == before


def test_an_archived_day_is_never_written_from_what_is_left(
    loaded: psycopg.Connection, database: str, target: str
) -> None:
    archive(database, target)
    loaded.execute("SET ROLE telestream_owner")
    loaded.execute("DELETE FROM silver.fact_cdr WHERE started_at < '2026-03-01 12:00+00'")
    loaded.execute("UPDATE ops.archive_day SET verified_at = now() - interval '1 day'")
    with pytest.raises(TerminalError, match="Silver has less of 2026-03-01 than its archive"):
        archive(database, target)
    assert DeltaTable(f"{target}/fact_cdr").to_pyarrow_table().num_rows == 120


def test_the_database_drops_nothing_that_the_archive_has_otherwise(
    loaded: psycopg.Connection, database: str, target: str
) -> None:
    archive(database, target)
    loaded.execute("SET ROLE telestream_owner")
    loaded.execute("UPDATE ops.archive_day SET checksum = checksum + 1 WHERE day = '2026-03-02'")
    loaded.execute("SELECT ops.raise_horizon('cdr', '2026-03-04 00:00+00')")
    for lo, code in (("2026-03-02", "TS014"), ("2026-03-01", None)):
        call = f"SELECT ops.drop_silver('cdr', '{lo} 00:00+00', timestamptz '{lo} 00:00+00' + interval '1 day')"
        if code:
            with pytest.raises(psycopg.Error) as caught:
                loaded.execute(call)
            assert caught.value.sqlstate == code
        else:
            loaded.execute(call)
    assert loaded.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (80,)


def test_damage_in_the_archive_is_found_and_mended(loaded: psycopg.Connection, database: str, target: str) -> None:
    archive(database, target)
    table = DeltaTable(f"{target}/fact_cdr")
    table.delete("day = '2026-03-02' AND cell_key = 0")
    assert [item.kept_because for item in archive(database, target, drop=True)] == [None] * 3
    assert DeltaTable(f"{target}/fact_cdr").to_pyarrow_table().num_rows == 120


def test_two_runs_exclude_each_other(database: str) -> None:
    with exclusive(database), pytest.raises(TransientError, match="another run"), exclusive(database):
        pass


def test_the_horizon_is_a_boundary_of_the_operators_days(connection: psycopg.Connection) -> None:
    """A day of the operator must not lie on both sides: its facts would be half gone."""
    connection.execute("SET timezone = 'UTC'")
    connection.execute("UPDATE ops.setting SET value = 'Asia/Kolkata' WHERE name = 'time_zone'")
    connection.execute("SET ROLE telestream_owner")
    found = connection.execute("SELECT ops.raise_horizon('cdr', '2026-03-02 00:00+00')::text").fetchone()
    assert found == ("2026-03-02 18:30:00+00",)
    found = connection.execute("SELECT ops.raise_horizon('network_event', '2026-03-02 06:00+00')::text").fetchone()
    assert found == ("2026-03-02 06:00:00+00",)
    # It never sinks.
    connection.execute("SELECT ops.raise_horizon('cdr', '2026-02-02 00:00+00')")
    assert connection.execute("SELECT kept_from::text FROM ops.horizon WHERE dataset = 'cdr'").fetchone() == (
        "2026-03-02 18:30:00+00",
    )
    with pytest.raises(psycopg.Error, match="future"):
        connection.execute("SELECT ops.raise_horizon('cdr', now() + interval '1 day')")


@pytest.mark.slow
def test_the_command_says_what_it_did(loaded: psycopg.Connection, target: str) -> None:
    result = telestream("archive", "run", "--target", target, "--older-than", "30", "--drop")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "network_event" in result.stdout
    assert "Dropped from Silver" in result.stdout
    result = telestream("archive", "show")
    assert result.stdout.count("dropped") == 2
    assert "Gold is final before 2026-03-04" in result.stdout


def test_nothing_within_the_hot_window_is_archived(connection: psycopg.Connection, target: str) -> None:
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=40)
    refine(connection, [cdr(started_at=at.isoformat(), answered_at=None, ended_at=None)])
    result = telestream("archive", "run", "--target", target, "--drop")
    assert result.returncode == 0, result.stdout + result.stderr
    assert connection.execute("SELECT count(*) FROM ops.archive_day").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (1,)


@pytest.mark.slow
def test_targets_that_cannot_be_used_are_clear_errors(
    loaded: psycopg.Connection, database: str, target: str, tmp_path: Path
) -> None:
    def run(place: str, *more: str) -> Any:
        return telestream("archive", "run", "--target", place, "--older-than", "1", *more)

    file = tmp_path / "file"
    file.write_text("x")
    assert_clear_error(run(str(file / "below")), "the archive cannot be", "Nothing was dropped")
    assert_clear_error(run("gs://bucket"), "gs:// is not supported")
    assert_clear_error(run(target, "--dataset", "cdrs"), "there is no dataset cdrs")

    foreign = tmp_path / "foreign"
    write_deltalake(f"{foreign}/fact_cdr", polars.DataFrame({"a": [1]}))
    assert_clear_error(run(str(foreign)), "another Delta table is where the archive should be")
    occupied = tmp_path / "occupied" / "fact_cdr"
    occupied.mkdir(parents=True)
    (occupied / "letter.txt").write_text("mine")
    assert_clear_error(run(str(tmp_path / "occupied")), "there is something else")

    assert run(target, "--dataset", "cdr").returncode == 0
    assert_clear_error(run(str(tmp_path / "other"), "--dataset", "cdr"), "the archive of cdr is elsewhere")
    loaded.execute("SET ROLE telestream_owner")
    loaded.execute("UPDATE ops.archive_column SET left_out_because = 'test' WHERE name = 'apn'")
    assert_clear_error(run(target, "--dataset", "cdr"), "the archive has other columns", "apn")


def test_the_checksum_sees_every_column(loaded: psycopg.Connection, database: str, target: str) -> None:
    """A change of any archived column changes the sum, so equal sums mean equal rows."""
    loaded.execute("SET ROLE telestream_owner")
    sums = "SELECT o_checksum FROM ops.day_checksum(%s, '2026-03-02')"
    for dataset, time in (("cdr", "started_at"), ("network_event", "event_at")):
        whole = loaded.execute(sums, (dataset,)).fetchone()
        key = loaded.execute(
            f"SELECT {time}, batch_id, source_line FROM silver.fact_{dataset} WHERE {time} >= '2026-03-02' AND {time} < '2026-03-03' LIMIT 1"
        ).fetchone()
        columns = loaded.execute(
            "SELECT c.name, format_type(a.atttypid, NULL) FROM ops.archive_column AS c JOIN pg_attribute AS a"
            " ON a.attrelid = %s::regclass AND a.attname = c.name WHERE c.dataset = %s AND left_out_because IS NULL",
            (f"silver.fact_{dataset}", dataset),
        ).fetchall()
        assert len(columns) >= 20
        for name, kind in columns:
            changed = {
                "timestamp with time zone": f"coalesce({name}, {time}) + interval '1 microsecond'",
                "uuid": "gen_random_uuid()",
                "text": f"coalesce({name}, '') || 'x'",
                "boolean": f"NOT coalesce({name}, false)",
                "real": f"coalesce({name}, 0) * 1.5 + 0.5",
            }.get(kind, f"coalesce({name}, 0) + 1")
            with loaded.transaction(force_rollback=True):
                loaded.execute(
                    f"UPDATE silver.fact_{dataset} SET {name} = {changed}"
                    f" WHERE {time} = %s AND batch_id = %s AND source_line = %s",
                    key,
                )
                assert loaded.execute(sums, (dataset,)).fetchone() != whole, name


def test_an_empty_text_is_not_a_missing_one(loaded: psycopg.Connection, database: str, target: str) -> None:
    archive(database, target)
    with duckdb.connect() as engine:
        found = engine.execute(
            "SELECT count(*) FILTER (WHERE cause IS NULL), count(*) FILTER (WHERE cause = '') FROM read_parquet($1)",
            [DeltaTable(f"{target}/fact_cdr").file_uris()],
        ).fetchone()
    assert found == (30, 30)


def test_an_archive_on_an_object_store(
    loaded: psycopg.Connection, database: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    for name, value in (
        ("AWS_ENDPOINT_URL", s3_endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem(endpoint_url=s3_endpoint, skip_instance_cache=True).mkdir("history")
    assert [item.kept_because for item in archive(database, "s3://history/a", drop=True)] == [None] * 3
    assert (
        polars.scan_delta("s3://history/a/fact_cdr", storage_options={"AWS_ALLOW_HTTP": "true"})
        .select(polars.len())
        .collect()
        .item()
        == 120
    )
    with pytest.raises(TerminalError, match="the archive cannot be|does not let us in"):
        archive(database, "s3://missing/a", "network_event")


def test_content_of_a_day_that_is_not_there(database: str, target: str) -> None:
    with exclusive(database) as connection:
        assert Archiver(connection, database, "cdr", target).table.content(DAYS[0]) == Content(0, 0)


def test_the_horizon_waits_for_a_batch_in_flight(connection: psycopg.Connection, database: str) -> None:
    """Else its rows would come below the horizon, and the drop would take them from under Gold."""
    with psycopg.connect(database) as batch, ThreadPoolExecutor(1) as pool:
        refine(batch, [cdr()])
        raised = pool.submit(connection.execute, "SELECT ops.raise_horizon('cdr', '2026-03-02 00:00+00')")
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7301008 AND NOT granted"
        with psycopg.connect(database, autocommit=True) as watcher:
            while watcher.execute(waiting).fetchone() != (1,):
                assert not raised.done()
        batch.commit()
        with pytest.raises(psycopg.Error, match="buckets of Gold") as caught:
            raised.result()
        assert caught.value.sqlstate == "TS011"
    rollups.refresh(database)
    connection.execute("SELECT ops.raise_horizon('cdr', '2026-03-02 00:00+00')")
    assert refine(connection, [cdr(native_key="late")])[1:] == (0, 0, 1)


def test_the_horizon_is_not_migrated_away_from_under_gold(connection: psycopg.Connection, database: str) -> None:
    connection.execute("SET ROLE telestream_owner")
    connection.execute("SELECT ops.raise_horizon('cdr', '2026-03-02 00:00+00')")
    below = ScriptDirectory.from_config(migrate.config()).get_revision("0012").down_revision
    with pytest.raises(TerminalError, match="days have left Silver"):
        migrate.downgrade(database, str(below))
    connection.execute("UPDATE ops.horizon SET kept_from = '-infinity'")
    migrate.downgrade(database, str(below))


def test_the_archive_lets_go_of_what_is_too_old_but_for_what_is_held(
    loaded: psycopg.Connection, database: str, target: str
) -> None:
    archive(database, target, drop=True)
    maximum = (datetime.datetime.now(datetime.UTC).date() - DAYS[1]).days  # the third day has not been long enough
    loaded.execute(
        "INSERT INTO ops.retention_rule VALUES ('archive.cdr', '*', NULL, make_interval(days => %s), 'test')",
        (maximum - 1,),
    )
    person = "SELECT subscriber_id FROM silver.fact_cdr LIMIT 1"
    assert loaded.execute(person).fetchone() is None  # in the archive alone
    with duckdb.connect() as engine:
        files = DeltaTable(f"{target}/fact_cdr").file_uris(file_pruning_predicate=[("day", "=", DAYS[0].isoformat())])
        (somebody,) = engine.execute("SELECT min(caller_id) FROM read_parquet($1)", [files]).fetchone() or (0,)
    loaded.execute("INSERT INTO ops.legal_hold (subscriber_id, reason) VALUES (%s, 'file 7')", (somebody,))
    refine(
        loaded, [cdr(native_key="refused", duration_s=-1, billed_s=-1, started_at=f"{datetime.date.today()}T00:00:00Z")]
    )
    before = sum(path.stat().st_size for path in Path(target).rglob("*.parquet"))
    shown = telestream("retention", "run", "--dry-run")
    assert "legal hold 1: file 7" in " ".join(shown.stdout.split())
    assert telestream("retention", "run").returncode == 0
    assert loaded.execute("SELECT count(*) FROM ops.archive_day WHERE state = 'expired'").fetchone() == (0,)
    loaded.execute("UPDATE ops.legal_hold SET until = now()")
    # A disk that is not mounted: nothing passes for deleted, no empty table is made, the database's part is done.
    aged = loaded.execute("UPDATE quality.quarantine SET quarantined_at = now() - interval '1 year'")
    assert aged.rowcount == 1
    Path(target).rename(f"{target}.away")
    Path(target).mkdir()
    assert_clear_error(telestream("retention", "run"), "not where it was")
    assert list(Path(target).iterdir()) == []
    assert loaded.execute("SELECT count(*) FROM ops.archive_day WHERE state = 'expired'").fetchone() == (0,)
    assert loaded.execute("SELECT count(*) FROM quality.quarantine").fetchone() == (0,)
    Path(target).rmdir()
    Path(f"{target}.away").rename(target)
    result = telestream("retention", "run")
    assert result.returncode == 0, result.stderr
    assert loaded.execute("SELECT day, state, rows FROM ops.archive_day ORDER BY day").fetchall() == [
        (DAYS[0], "expired", 40), (DAYS[1], "expired", 40), (DAYS[2], "dropped", 40),
    ]  # fmt: skip
    left = list(Path(target).rglob("*.parquet"))
    assert {path.parent.name for path in left} == {f"day={DAYS[2]}"}
    freed = before - sum(path.stat().st_size for path in left)
    assert freed > 0
    assert f"{freed:,}" in result.stdout
    # Neither is it brought back, nor does a run that was killed before the ledger knew it stumble.
    archive(database, target, drop=True)
    loaded.execute("UPDATE ops.archive_day SET state = 'dropped', expired_at = NULL WHERE day = %s", (DAYS[0],))
    assert telestream("retention", "run").returncode == 0
    assert loaded.execute("SELECT count(*) FROM ops.archive_day WHERE state = 'expired'").fetchone() == (2,)
