"""A person is erased: no table leads to them, everybody else's rows and Gold stay, and a proof remains."""

from __future__ import annotations

import re

import psycopg
import pytest
from erasing import (
    CUSTOMER,
    DEVICE,
    DIGITS,
    NUMBER,
    OTHER,
    REASON,
    SIM,
    dump,
    erase,
    gold,
    naming,
    quarantined,
    refuse,
)  # fmt: skip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from staging import cdr, change, refine, refine_customers, rekey

from telestream.db import analytics, erasure, rollups
from telestream.db.access_chain import verify
from telestream.db.vault import lend_vault_key, vault_key

PROFILES = ("customer_week", "customer_profile", "customer_segment", "churn_score")


def profiled(connection: psycopg.Connection) -> set[tuple[str, int]]:
    """Return who has what in the tables of profiles."""
    return {
        (table, one)
        for table in PROFILES
        for (one,) in connection.execute(f"SELECT subscriber_id FROM analytics.{table}").fetchall()
    }


def vaulted(connection: psycopg.Connection) -> set[int]:
    return {one for (one,) in connection.execute("SELECT subscriber_id FROM vault.subscriber").fetchall()}


def test_nothing_leads_to_the_person_any_more(peopled: psycopg.Connection, database: str) -> None:
    lines = [
        refuse(peopled, text)
        for text in ("k;07911123456;x", "0044 7911 123456", "(0)7911-123-456,+447900000002", "tel:447911123456")
    ]
    kept = refuse(peopled, "k;+447900000002;x")
    longer = refuse(peopled, "1447911123456;4479111234567")
    assert naming(peopled, CUSTOMER, SIM) >= {
        "bronze.cdr", "bronze.network_event", "bronze.customer", "quality.quarantine", "ops.dead_letter",
        "silver.customer_change", "silver.dim_customer", "silver.fact_cdr", "ops.source_file", "ops.lineage_event",
    }  # fmt: skip
    before, counts = gold(peopled), peopled.execute("SELECT dataset, sum(rows_in) FROM ops.batch GROUP BY 1").fetchall()
    rows = peopled.execute("SELECT count(*) FROM bronze.cdr").fetchone()
    surrogates = peopled.execute("SELECT subscriber_id FROM silver.fact_cdr ORDER BY cdr_id").fetchall()
    suspects = peopled.execute("SELECT subscriber_id FROM analytics.fraud_case").fetchall()
    before_profiles = profiled(peopled)
    assert {table for table, _ in before_profiles} == set(PROFILES)
    proof = erase(peopled, NUMBER)

    assert peopled.execute(
        "SELECT c.subscriber_id FROM analytics.fraud_case AS c LEFT JOIN vault.subscriber AS s USING (subscriber_id)"
        " WHERE s.subscriber_id IS NULL"
    ).fetchall() == []  # fmt: skip
    assert 0 < len(peopled.execute("SELECT FROM analytics.fraud_case").fetchall()) < len(suspects)
    analytics.run(database, "customer_profile")
    after = profiled(peopled)
    assert after == {(table, one) for table, one in before_profiles if one in vaulted(peopled)}
    assert after < before_profiles
    peopled.execute("DELETE FROM quality.quarantine WHERE quarantine_id = %s", (longer,))
    assert naming(peopled, CUSTOMER, SIM) == set()
    assert peopled.execute("SELECT 1 FROM silver.fact_cdr WHERE customer_key <> 0 AND customer_key NOT IN"
                          " (SELECT customer_key FROM silver.dim_customer)").fetchall() == []  # fmt: skip
    assert gold(peopled) == before
    assert rollups.check(database) == []
    assert peopled.execute("SELECT subscriber_id FROM silver.fact_cdr ORDER BY cdr_id").fetchall() == surrogates
    assert peopled.execute("SELECT count(*) FROM bronze.cdr").fetchone() == rows
    assert peopled.execute("SELECT dataset, sum(rows_in) FROM ops.batch GROUP BY 1").fetchall() == counts
    # Others are as they were.
    assert quarantined(peopled, kept)[0] == "k;+447900000002;x"
    assert all(
        quarantined(peopled, one) == ("erased", "erased on request; it cannot be replayed", None) for one in lines
    )
    assert peopled.execute("SELECT count(*) FROM silver.dim_customer WHERE customer_id = 'CRM-000816'").fetchone() == (
        1,
    )
    assert peopled.execute("SELECT caller, imsi FROM bronze.cdr WHERE native_key = 'others'").fetchone() == (
        OTHER, "234150000000002",
    )  # fmt: skip
    assert peopled.execute("SELECT value FROM ops.dead_letter ORDER BY kafka_offset").fetchall() == [
        (b"erased",), (b"\x00\x1a+447900000002\x05",),
    ]  # fmt: skip
    # A refused record of somebody else loses the number and can be replayed; the person's own cannot.
    own, others = peopled.execute(
        "SELECT record FROM quality.quarantine WHERE rules = '{negative_duration}' ORDER BY line"
    ).fetchall()
    assert own == (None,)
    assert (others[0]["caller"], others[0]["called"]) == (OTHER, None)

    # The proof: counts, no person, the same hash in the access log.
    assert proof.record["found"] == 0
    assert proof.record["identities"] == {"customers": 1, "numbers and SIMs": 3, "numbers shared with others": 0}
    assert proof.record["rows"]["silver.dim_customer"] == 2
    peopled.execute("SELECT audit.seal()")
    assert erasure.is_sealed(peopled, proof)
    assert verify(peopled).broken is None
    assert peopled.execute("SELECT subject_token, plan_encrypted FROM privacy.erasure").fetchall() == [(None, None)]
    # Nobody knows the person any more.
    with pytest.raises(psycopg.Error) as caught:
        erase(peopled, NUMBER)
    assert caught.value.sqlstate == "TS037"
    peopled.execute("RESET ROLE")


def test_facts_go_by_the_policy_delete(peopled: psycopg.Connection, database: str) -> None:
    others = peopled.execute("SELECT count(*) FROM silver.fact_cdr WHERE source_line IN (2, 6)").fetchone()
    proof = erase(peopled, f"customer:{CUSTOMER}", "delete")
    assert naming(peopled, CUSTOMER, SIM) == set()
    # Of a national form nobody knows the country: that fact leads to nobody, and stays.
    assert peopled.execute("SELECT source_line FROM silver.fact_cdr ORDER BY 1").fetchall() == [(2,), (5,), (6,)]
    assert peopled.execute("SELECT count(*) FROM silver.fact_cdr WHERE source_line IN (2, 6)").fetchone() == others
    assert peopled.execute("SELECT count(*) FROM silver.fact_network_event").fetchone() == (1,)
    assert proof.record["rows"]["silver.fact_cdr, deleted"] == 3
    rollups.refresh(database)
    assert rollups.check(database) == []
    assert peopled.execute("SELECT sum(attempts) FROM gold.cell_traffic_5m").fetchone() == (3,)
    assert peopled.execute("SELECT sum(events) FROM gold.network_5m").fetchone() == (1,)


def test_a_number_that_went_on_stays_with_its_new_customer(connection: psycopg.Connection, database: str) -> None:
    moved = "2026-03-01T12:00:00Z"
    refine(
        connection,
        [
            cdr(native_key="first", caller=NUMBER, imsi=None, plan_code=None),
            cdr(native_key="second", caller=NUMBER, imsi=None, started_at="2026-03-02T09:15:00Z",
                answered_at=None, ended_at=None),
        ],
    )  # fmt: skip
    connection.execute("UPDATE silver.dim_service_plan SET is_placeholder = false")
    refine_customers(
        connection,
        [
            change(customer_id="FIRST-1", msisdn=NUMBER),
            change(customer_id="FIRST-1", msisdn=None, changed_at=moved),
            change(customer_id="SECOND-2", msisdn=NUMBER, changed_at=moved),
        ],
    )
    rekey(connection)
    (surrogate,) = connection.execute("SELECT DISTINCT caller_id FROM silver.fact_cdr").fetchone()
    before = gold(connection)
    erase(connection, "customer:FIRST-1")
    rekey(connection)
    first, second = connection.execute(
        "SELECT f.caller_id, f.subscriber_id, d.customer_id FROM silver.fact_cdr AS f"
        " INNER JOIN silver.dim_customer AS d USING (customer_key) ORDER BY f.started_at"
    ).fetchall()
    assert second == (surrogate, surrogate, "SECOND-2")
    assert first[0] == first[1] != surrogate
    assert first[2] == "unknown"
    assert connection.execute("SELECT caller FROM bronze.cdr ORDER BY started_at").fetchall() == [
        ("erased",),
        (NUMBER,),
    ]
    assert connection.execute("SELECT count(*) FROM vault.subscriber WHERE subscriber_id IN (%s, %s)",
                              (surrogate, first[0])).fetchone() == (1,)  # fmt: skip
    assert gold(connection) == before
    assert rollups.check(database) == []
    # The next erasure takes the second customer, whose number it is now.
    erase(connection, NUMBER)
    assert naming(connection, "FIRST-1", "SECOND-2") == set()


def test_a_legal_hold_refuses(peopled: psycopg.Connection) -> None:
    (surrogate,) = peopled.execute("SELECT caller_id FROM silver.fact_cdr WHERE source_line = 1").fetchone()
    for column, value in (
        ("subscriber_id", surrogate), ("dataset", "network_event"), ("from_at", "2026-03-01T00:00:00Z"),
    ):  # fmt: skip
        peopled.execute(f"INSERT INTO ops.legal_hold ({column}, reason) VALUES (%s, 'case 7')", (value,))
        before = dump(peopled)
        with pytest.raises(psycopg.Error) as caught:
            erase(peopled, NUMBER)
        assert caught.value.sqlstate == "TS038"
        assert "case 7" in caught.value.diag.message_detail
        assert dump(peopled) == before
        peopled.execute("UPDATE ops.legal_hold SET until = now()")
    # One on a time in which nothing of the person lies does not matter.
    peopled.execute(
        "INSERT INTO ops.legal_hold (dataset, from_at, to_at, reason)"
        " VALUES ('network_event', '2020-01-01', '2020-02-01', 'x')"
    )
    erase(peopled, NUMBER)


def test_what_cannot_be_erased(peopled: psycopg.Connection) -> None:
    for subject, reason, state in (
        ("447911123456", REASON, "TS037"),
        ("+449999999999", REASON, "TS037"),
        ("customer:nobody", REASON, "TS037"),
        ("imsi:234159999999999", REASON, "TS037"),
        (NUMBER, "short", "TS032"),
        (NUMBER, "request of 07911 123456", "TS032"),
    ):
        with pytest.raises(psycopg.Error) as caught:
            erase(peopled, subject, reason=reason)
        assert caught.value.sqlstate == state, subject
        assert DIGITS.search(caught.value.diag.message_detail or "") is None
        assert peopled.execute("SELECT count(*) FROM privacy.erasure").fetchone() == (0,)


def test_one_person_after_the_other(peopled: psycopg.Connection) -> None:
    peopled.execute("SET ROLE telestream_privacy")
    lend_vault_key(peopled, vault_key())
    number = erasure.request(peopled, NUMBER, REASON, "unlink")
    assert erasure.request(peopled, NUMBER, REASON, "unlink") == number
    with pytest.raises(psycopg.Error) as caught:
        erasure.request(peopled, OTHER, REASON, "unlink")
    assert caught.value.sqlstate == "TS039"


def test_no_rotation_of_the_key_beside_an_erasure(peopled: psycopg.Connection) -> None:
    lend_vault_key(peopled, vault_key())
    peopled.execute("SELECT set_config('telestream.vault_next_key', repeat('ab', 32), false)")
    number = erasure.request(peopled, NUMBER, REASON, "unlink")
    with pytest.raises(psycopg.Error) as caught:
        peopled.execute("SELECT vault.rotate_begin()")
    assert caught.value.sqlstate == "TS039"
    erasure.carry_out(peopled, number, lambda: 0, wait_seconds=60, told=lambda *_: None)
    peopled.execute("SELECT vault.rotate_begin()")
    with pytest.raises(psycopg.Error) as caught:
        erasure.request(peopled, OTHER, REASON, "unlink")
    assert caught.value.sqlstate == "TS039"


def test_a_person_is_erased_with_the_key_that_came_into_force(peopled: psycopg.Connection) -> None:
    lend_vault_key(peopled, vault_key())
    peopled.execute("SELECT set_config('telestream.vault_next_key', repeat('ab', 32), false)")
    peopled.execute("SELECT vault.rotate_begin(), vault.rotate_fill(1000)")
    assert peopled.execute("SELECT vault.rotate_switch(1000)").fetchone() == (True,)
    lend_vault_key(peopled, "ab" * 32)
    people = "SELECT count(*) FROM vault._clear(ARRAY(SELECT subscriber_id FROM vault.find(%s)))"
    assert peopled.execute(people, ([NUMBER, OTHER],)).fetchone() == (2,)
    peopled.execute("SELECT vault.rotate_move(1000), vault.rotate_end()")
    number = erasure.request(peopled, NUMBER, REASON, "unlink")
    erasure.carry_out(peopled, number, lambda: 0, wait_seconds=60, told=lambda *_: None)
    assert naming(peopled) == set()
    assert peopled.execute(people, ([NUMBER, OTHER],)).fetchone() == (1,)


def test_a_sim_and_a_device(peopled: psycopg.Connection) -> None:
    for subject in (f"imei:{DEVICE}", f"imsi:{SIM}"):
        erase(peopled, subject)
        assert subject.partition(":")[2] not in "\n".join(dump(peopled).values())


def test_below_the_horizon_gold_stays_as_it_is(peopled: psycopg.Connection, database: str) -> None:
    peopled.execute("SET ROLE telestream_owner")
    peopled.execute("SELECT ops.raise_horizon('cdr', '2026-03-02')")
    before = gold(peopled)
    erase(peopled, NUMBER, "delete")
    rollups.refresh(database)
    assert peopled.execute("SELECT count(*) FROM silver.fact_cdr").fetchone() == (3,)
    assert gold(peopled)["cell_traffic_5m"] == before["cell_traffic_5m"]
    assert rollups.check(database) == []


@given(
    country=st.sampled_from(["44", "1", "49", "353", "7"]),
    national=st.integers(10**8, 10**9 - 1).map(str),
    prefix=st.sampled_from(["+", "00", "011", "", "0", "none"]),
    gaps=st.lists(st.sampled_from(["", " ", "-", ".", ") "]), min_size=14, max_size=14),
    around=st.sampled_from([("", ""), (";", ";"), ("tel:", "@host"), ('"', '"')]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_number_is_found_however_it_is_written(
    connection: psycopg.Connection, country: str, national: str, prefix: str, gaps: list[str], around: tuple[str, str]
) -> None:
    digits = {"0": "0", "none": ""}.get(prefix, prefix + country)
    written = digits + "".join(gap + digit for gap, digit in zip(gaps, national, strict=False))
    number = f"+{country}{national}"
    row = connection.execute(
        "SELECT %(text)s ~ privacy._pattern(%(number)s), %(longer)s ~ privacy._pattern(%(number)s),"
        " privacy._pattern(%(number)s)",
        {"text": around[0] + written + around[1], "number": number, "longer": f"9{number[1:]} {number}5"},
    ).fetchone()
    assert row is not None
    assert row[:2] == (True, False)
    assert re.search(row[2], around[0] + written + around[1])
