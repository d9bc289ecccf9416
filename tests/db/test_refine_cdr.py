"""The refine: what is loaded, what is refused and why, who is behind a surrogate, what is counted."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import errors
from staging import cdr, refine

BAD: dict[str, dict[str, Any]] = {
    "missing_native_key": {"native_key": None},
    "missing_source_system": {"source_system": None},
    "missing_start": {"started_at": None},
    "unknown_record_type": {"record_type": "fax"},
    "unknown_direction": {"direction": "sideways"},
    "unknown_disposition": {"disposition": "maybe"},
    "caller_not_e164": {"caller": "0790000001"},
    "negative_duration": {"billed_s": -1},
    "negative_volume": {"bytes_down": -5},
    "negative_charge": {"charge_micro": -1},
    "ended_before_started": {"ended_at": "2026-03-01T09:14:00Z"},
    "duration_disagrees": {"duration_s": 4000, "billed_s": 0},
    "event_time_window": {"started_at": "2036-03-01T09:15:00Z", "answered_at": None, "ended_at": None},
}


def fetch(connection: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


@pytest.mark.parametrize("rule", BAD)
def test_each_error_rule_refuses_its_record_and_no_other(connection: psycopg.Connection, rule: str) -> None:
    bad = cdr(native_key="bad") | BAD[rule]
    _, loaded, duplicate, quarantined = refine(connection, [cdr(), bad])
    assert (loaded, duplicate, quarantined) == (1, 0, 1)
    [(rules, reason, record)] = fetch(connection, "SELECT rules, reason, record FROM quality.quarantine")
    assert rules == [rule]
    assert reason
    assert record["caller"] == bad["caller"]
    assert fetch(connection, "SELECT rule, violations FROM quality.rule_result WHERE rule = '" + rule + "'") == [
        (rule, 1)
    ]


def test_every_rule_with_a_predicate_and_error_severity_is_tested(connection: psycopg.Connection) -> None:
    rules = fetch(
        connection,
        "SELECT rule FROM quality.rule WHERE dataset = 'cdr' AND predicate IS NOT NULL AND severity = 'error'",
    )
    # Nothing lies before the horizon until a day is dropped: see test_archive.py.
    assert {rule for (rule,) in rules} == BAD.keys() | {"before_horizon"}


def test_a_record_keeps_all_its_reasons(connection: psycopg.Connection) -> None:
    refine(connection, [cdr(bytes_up=-1, charge_micro=-1, record_type="fax")])
    [(rules,)] = fetch(connection, "SELECT rules FROM quality.quarantine")
    assert rules == ["negative_charge", "negative_volume", "unknown_record_type"]


def test_a_warning_is_loaded_and_counted(connection: psycopg.Connection) -> None:
    _, loaded, _, quarantined = refine(connection, [cdr(cell_id=None)])
    assert (loaded, quarantined) == (1, 0)
    assert fetch(connection, "SELECT rule, violations FROM quality.rule_result") == [("missing_cell", 1)]


def test_numbers_are_free_where_the_source_promises_nothing(connection: psycopg.Connection) -> None:
    _, loaded, *_ = refine(connection, [cdr(caller="211553")], promises=())
    assert loaded == 1


def test_duplicates_within_a_batch_and_against_silver(connection: psycopg.Connection) -> None:
    assert refine(connection, [cdr(), cdr(), cdr(native_key="k2")])[1:] == (2, 1, 0)
    assert refine(connection, [cdr(), cdr(leg=1)])[1:] == (1, 1, 0)
    assert fetch(connection, "SELECT count(*) FROM silver.fact_cdr") == [(3,)]


def test_facts_hold_surrogates_that_are_stable_and_no_number(connection: psycopg.Connection) -> None:
    refine(connection, [cdr(), cdr(native_key="k2", direction="mt")])
    refine(connection, [cdr(native_key="k3", caller="+447900000002", called="+447900000001")])
    rows = fetch(
        connection,
        "SELECT caller_id, called_id, subscriber_id FROM silver.fact_cdr ORDER BY batch_id, source_line",
    )
    (a, b, served), *_ = rows
    assert rows == [(a, b, a), (a, b, b), (b, a, b)]
    assert served == a
    assert a != b
    text = str(fetch(connection, "SELECT to_jsonb(f) FROM silver.fact_cdr AS f"))
    for secret in ("447900000001", "447900000002", "234150000000001", "356938035643809"):
        assert secret not in text
    assert fetch(connection, "SELECT DISTINCT tac FROM silver.fact_cdr") == [("35693803",)]


def test_the_imsi_stands_in_where_no_number_is_known(connection: psycopg.Connection) -> None:
    refine(connection, [cdr(caller=None), cdr(native_key="k2", caller=None, called=None)])
    rows = fetch(connection, "SELECT subscriber_id, caller_id FROM silver.fact_cdr")
    assert len({subscriber for subscriber, _ in rows}) == 1
    assert rows[0][0] != 0
    assert rows[0][1] == 0


def test_the_vault_holds_no_clear_text_and_the_key_opens_it(
    connection: psycopg.Connection, vault_key_file: str
) -> None:
    refine(connection, [cdr()])
    assert "447900000001" not in str(fetch(connection, "SELECT * FROM vault.subscriber"))
    connection.execute("SELECT set_config('telestream.vault_key', %s, false)", (vault_key_file,))
    rows = fetch(
        connection,
        "SELECT convert_from(public.decrypt_iv(s.identity_encrypted, p.p_cipher_key,"
        " substring(s.token FROM 1 FOR 16), 'aes-cbc'), 'UTF8')"
        " FROM vault.subscriber AS s CROSS JOIN vault._pads() AS p WHERE s.subscriber_id <> 0",
    )
    assert {value for (value,) in rows} == {"+447900000001", "+447900000002"}


def test_the_token_is_hmac_sha_256(connection: psycopg.Connection, vault_key_file: str) -> None:
    import hashlib
    import hmac

    refine(connection, [cdr()])
    wanted = hmac.new(bytes.fromhex(vault_key_file), b"+447900000001", hashlib.sha256).digest()
    assert fetch(
        connection,
        "SELECT count(*) FROM vault.subscriber WHERE token = decode('" + wanted.hex() + "', 'hex')",
    ) == [(1,)]


def test_unknown_cells_regions_and_plans_become_placeholders(connection: psycopg.Connection) -> None:
    refine(connection, [cdr(), cdr(native_key="k2", cell_id=None, region_code=None, plan_code=None)])
    assert fetch(
        connection,
        "SELECT k.cell_id, r.region_code, p.plan_code, k.is_placeholder FROM silver.fact_cdr AS f"
        " INNER JOIN silver.dim_network_cell AS k USING (cell_key)"
        " INNER JOIN silver.dim_region AS r ON f.region_key = r.region_key"
        " INNER JOIN silver.dim_service_plan AS p USING (plan_key) ORDER BY f.source_line",
    ) == [("234-15-1", "GB-LND", "basic", True), ("unknown", "unknown", "unknown", False)]


def test_a_rule_can_be_added_and_switched_off_without_a_deploy(connection: psycopg.Connection) -> None:
    connection.execute("SET ROLE telestream_owner")
    connection.execute(
        "INSERT INTO quality.rule (dataset, rule, dimension, severity, predicate, message)"
        " VALUES ('cdr', 'free_call', 'validity', 'error', 'b.charge_micro = 0', 'the call was free')"
    )
    connection.execute("UPDATE quality.rule SET is_enabled = false WHERE rule = 'negative_charge'")
    connection.execute("RESET ROLE")
    assert refine(connection, [cdr(charge_micro=0), cdr(native_key="k2", charge_micro=-1)])[1:] == (1, 0, 1)


def test_a_rule_that_cannot_run_is_refused_when_written(connection: psycopg.Connection) -> None:
    connection.execute("SET ROLE telestream_owner")
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(
            "INSERT INTO quality.rule (dataset, rule, dimension, severity, predicate, message)"
            " VALUES ('cdr', 'broken', 'validity', 'error', 'b.no_such_column = 1', 'x')"
        )
    assert caught.value.sqlstate == "TS004"
    assert "no_such_column" in str(caught.value)


def test_a_batch_that_does_not_reconcile_leaves_nothing(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.Error) as caught:
        refine(connection, [cdr()], rows_in=2)
    assert caught.value.sqlstate == "TS002"
    for table in ("silver.fact_cdr", "bronze.cdr", "ops.batch", "rollup.pending"):
        assert fetch(connection, f"SELECT count(*) FROM {table}") == [(0,)]


def test_the_check_constraint_holds_the_invariant_too(connection: psycopg.Connection) -> None:
    with pytest.raises(errors.CheckViolation):
        connection.execute(
            "INSERT INTO ops.batch (dataset, source_kind, rows_in, rows_loaded, status, code_version)"
            " VALUES ('cdr', 'file', 2, 1, 'done', 'test')"
        )


def test_a_batch_is_refined_once(connection: psycopg.Connection) -> None:
    batch_id, *_ = refine(connection, [cdr()])
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("CALL silver.refine_cdr(%s)", (batch_id,))
    assert caught.value.sqlstate == "TS001"


def test_without_the_vault_key_nothing_is_loaded(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("SELECT vault.enrol(ARRAY['+44'])")
    assert caught.value.sqlstate == "TS003"


def test_late_records_are_counted_against_the_watermark_of_their_source(
    connection: psycopg.Connection,
) -> None:
    refine(connection, [cdr()])
    early = {"started_at": "2026-03-01T07:00:00Z", "answered_at": None, "ended_at": None}
    refine(connection, [cdr(native_key="k2", **early), cdr(native_key="k3", source_system="msc-02", **early)])
    assert fetch(connection, "SELECT rows_late FROM ops.batch ORDER BY batch_id") == [(0,), (1,)]


def test_replay_sends_repaired_records_through_again(connection: psycopg.Connection, vault_key_file: str) -> None:
    refine(
        connection,
        [cdr(), cdr(native_key="k2", duration_s=4000, billed_s=0), cdr(native_key="k3", bytes_up=-1)],
    )
    connection.execute("UPDATE quality.rule SET is_enabled = false WHERE rule = 'duration_disagrees'")
    connection.execute("SELECT set_config('telestream.vault_key', %s, false)", (vault_key_file,))
    [(_, rows_in, loaded, duplicate, quarantined)] = fetch(connection, "SELECT * FROM quality.replay()")
    assert (rows_in, loaded, duplicate, quarantined) == (2, 1, 0, 1)
    assert fetch(connection, "SELECT count(*) FROM quality.quarantine WHERE replayed_at IS NULL") == [(1,)]
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("SELECT * FROM quality.replay(ARRAY['duration_disagrees'])")
    assert caught.value.sqlstate == "TS005"


def test_the_score_counts_what_was_refused(connection: psycopg.Connection) -> None:
    refine(connection, [cdr(native_key=f"k{n}") for n in range(9)] + [cdr(native_key="bad", bytes_up=-1)])
    [(rows_in, refused, score, validity, consistency)] = fetch(
        connection, "SELECT rows_in, rows_quarantined, score, validity, consistency FROM quality.score_by_day"
    )
    assert (rows_in, refused, float(score), float(validity), float(consistency)) == (10, 1, 90.0, 90.0, 100.0)
