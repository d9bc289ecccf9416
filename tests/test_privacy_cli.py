"""`telestream privacy`: what is known of a person as JSON, and erasure as a person runs it."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from command import assert_clear_error, start, telestream
from erasing import CUSTOMER, NUMBER, OTHER, REASON, SECOND, SIM, dump, erase, naming

from telestream import channels
from telestream.db.vault import lend_vault_key, vault_key
from telestream.privacy_cache import empty_answers
from telestream.settings import settings


@pytest.fixture
def cache(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    monkeypatch.setenv("TELESTREAM_REDIS_URL", redis_url)
    settings.cache_clear()
    return redis.Redis.from_url(redis_url)


def exported(path: Path) -> dict[str, Any]:
    result = telestream("privacy", "export", "--subject", NUMBER, "--reason", REASON, "--output", path)
    assert result.returncode == 0, result.stdout + result.stderr
    return dict(json.loads(path.read_text()))


def test_everything_of_the_person_and_nothing_of_others(
    peopled: psycopg.Connection, cache: redis.Redis, tmp_path: Path
) -> None:
    path = tmp_path / "person.json"
    path.write_text("old")
    path.chmod(0o644)
    found = exported(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert (found["customers"], sorted(found["identities"])) == ([CUSTOMER], [NUMBER, SECOND, f"imsi:{SIM}"])
    counts = {name: len(rows) for name, rows in found.items() if name not in {"subject", "customers", "identities"}}
    assert counts == {
        "customer_changes": 2, "customer_versions": 2, "cdrs": 4, "network_events": 1, "usage_by_day": 3,
        "fraud_cases": 1, "segments": 3, "churn_risks": 3,
        "raw_customer_changes": 3, "raw_cdrs": 6, "raw_network_events": 1, "refused_records": 3,
        "undecodable_messages": 1, "reads": 0,
    }  # fmt: skip
    received = next(one for one in found["cdrs"] if one["side"] == "called" and not one["is_served"])
    assert (received["charge_micro"], received["plan_code"]) == (None, None)
    # Neither a number nor a surrogate of the other party, nor a customer of theirs.
    text = path.read_text()
    assert OTHER not in text
    assert "CRM-000816" not in text
    others = peopled.execute("SELECT DISTINCT called_id::text FROM silver.fact_cdr WHERE source_line = 1").fetchone()
    assert others is not None
    assert f'"called_id": {others[0]}' not in text
    # Who asked is in the log before, and the next export tells of it.
    assert len(exported(path)["reads"]) == 1
    assert erase(peopled, NUMBER).record["found"] == 0
    assert_clear_error(
        telestream("privacy", "export", "--subject", NUMBER, "--reason", REASON, "--output", tmp_path / "none.json"),
        "nothing is known of this subject",
    )
    assert not (tmp_path / "none.json").exists()


def test_an_export_is_in_the_log_before_it_is_read(peopled: psycopg.Connection) -> None:
    peopled.execute("SET ROLE telestream_privacy")
    lend_vault_key(peopled, vault_key())
    # Written in a transaction that may still be rolled back: not before it commits.
    with peopled.transaction(force_rollback=True):
        (access,) = peopled.execute("SELECT privacy.request_export(%s, %s)", (NUMBER, REASON)).fetchone()
        with pytest.raises(psycopg.Error) as caught, peopled.transaction():
            peopled.execute("SELECT privacy.exported_person(%s, %s)", (access, NUMBER))
        assert caught.value.sqlstate == "TS034"
    with pytest.raises(psycopg.Error) as caught:
        peopled.execute("SELECT privacy.exported_person(0, %s)", (NUMBER,))
    assert caught.value.sqlstate == "TS034"


def test_the_command_erases_and_shows_the_proof(peopled: psycopg.Connection, cache: redis.Redis) -> None:
    cache.set(f"{channels.ANSWERS}x", "[]\nanswer")
    cache.hset(channels.hot_cell("234-15-1", "4g"), mapping={"events": 1})
    dropped = int(cache.get(channels.answers_dropped("traffic")) or 0)
    result = telestream("privacy", "erase", "--subject", NUMBER, "--reason", REASON, "--policy", "delete")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Gold is refreshed" in result.stdout
    assert naming(peopled, CUSTOMER, SIM) == set()
    assert cache.exists(f"{channels.ANSWERS}x") == 0
    assert int(cache.get(channels.answers_dropped("traffic")) or 0) == dropped + 1
    for key in cache.scan_iter("*"):
        value = cache.dump(key) or b""
        assert b"7911123456" not in key + value
    shown = telestream("privacy", "show", "1")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "sealed in the access log" in shown.stdout
    assert REASON in telestream("privacy", "list").stdout
    # Whoever changes the record is found out.
    peopled.execute("""UPDATE privacy.erasure SET proof = proof || '{"found": 1}'""")
    assert telestream("privacy", "show", "1").returncode == 1
    assert_clear_error(telestream("privacy", "erase", "--resume"), "no erasure is under way")


def test_the_answers_are_made_of_what_the_api_says(connection: psycopg.Connection) -> None:
    rows = connection.execute("SELECT tag FROM api.gold_version()").fetchall()
    assert {tag for (tag,) in rows} == set(channels.ANSWER_TAGS)


def test_killed_in_the_middle_it_goes_on(peopled: psycopg.Connection, database: str, cache: redis.Redis) -> None:
    before = "from telestream import cli; import sys; sys.argv = ['telestream', 'privacy', 'erase', '--subject', "
    with psycopg.connect(database) as reader:
        # It waits for this row in the step of the quarantine, and is killed there.
        reader.execute(
            "SELECT 1 FROM quality.quarantine WHERE raw IS NULL AND record ->> 'caller' = %s FOR UPDATE", (NUMBER,)
        )
        process = start(f"{before}{NUMBER!r}, '--reason', {REASON!r}]; cli.main()")
        waiting = threading.Event()
        for _ in range(1200):
            row = peopled.execute(
                "SELECT count(*) FROM privacy.erasure AS e, pg_stat_activity AS a WHERE e.step = 'quarantine'"
                " AND a.wait_event_type = 'Lock' AND a.datname = current_database()"
            ).fetchone()
            if row != (0,):
                break
            waiting.wait(0.1)
        process.kill()
        process.wait()
    assert "privacy.erasure" in dump(peopled)
    state = peopled.execute("SELECT state, step FROM privacy.erasure").fetchone()
    assert state == ("running", "quarantine")
    result = telestream("privacy", "erase", "--subject", NUMBER, "--reason", REASON)
    assert result.returncode == 0, result.stdout + result.stderr
    assert naming(peopled, CUSTOMER, SIM) == set()
    assert peopled.execute("SELECT count(*) FROM privacy.erasure").fetchone() == (1,)


def test_a_load_that_does_not_end_is_named(peopled: psycopg.Connection, database: str, cache: redis.Redis) -> None:
    with psycopg.connect(database, autocommit=True) as loader:
        loader.execute("SELECT ops.open_batch('cdr')")
        result = telestream("privacy", "erase", "--subject", NUMBER, "--reason", REASON, "--wait", "1")
        assert result.returncode == 75
        assert_clear_error(result, "a load does not end", str(loader.info.backend_pid), "--resume")
    result = telestream("privacy", "erase", "--resume")
    assert result.returncode == 0, result.stdout + result.stderr
    assert naming(peopled, CUSTOMER, SIM) == set()


def test_what_is_wrong_is_said(peopled: psycopg.Connection, tmp_path: Path) -> None:
    assert_clear_error(telestream("privacy", "erase"), "say whom to erase and why")
    assert_clear_error(
        telestream("privacy", "erase", "--subject", NUMBER, "--reason", REASON, "--policy", "forget"),
        "there is no policy",
    )
    # A configured cache that does not answer may hold answers: the erasure waits for it.
    result = telestream(
        "privacy", "erase", "--subject", NUMBER, "--reason", REASON, TELESTREAM_REDIS_URL="redis://127.0.0.1:1/0"
    )
    assert result.returncode == 75
    assert_clear_error(result, "the cache does not answer", "--resume")
    missing = tmp_path / "no" / "such.json"
    assert_clear_error(
        telestream("privacy", "export", "--subject", OTHER, "--reason", REASON, "--output", missing),
        "cannot be written",
    )


def test_without_a_cache_there_are_no_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TELESTREAM_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("TELESTREAM_REDIS_URL", raising=False)
    settings.cache_clear()
    try:
        assert empty_answers() == 0
    finally:
        monkeypatch.undo()
        settings.cache_clear()
