"""The customer dimension: the same history for every order of changes, and facts that follow it."""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors, sql
from staging import cdr, change, refine, refine_customers, rekey

from telestream.db import rollups
from telestream.db.customers import carry_to_facts

START = datetime.datetime(2026, 2, 27, 22, tzinfo=datetime.UTC)
NUMBERS = ("+447900000001", "+447900000002")
PLANS = ("basic", "plus")


class Said(NamedTuple):
    """What a change says of a customer."""

    number: str | None
    plan: str | None
    segment: str
    deleted: bool

    def attributes(self) -> tuple[Any, ...]:
        """What is left of it: of a deleted customer nothing."""
        if self.deleted:
            return (None, "unknown", None, "terminated")
        return (self.number, self.plan or "unknown", self.segment, "active")


Changes = dict[tuple[str, int, str], Said]
Version = tuple[int, int | None, tuple[Any, ...]]


def at(hours: int) -> str:
    return (START + datetime.timedelta(hours=hours)).isoformat()


def rows_of(changes: Changes) -> list[dict[str, Any]]:
    return [
        change(
            customer_id=customer, changed_at=at(hour), source_system=source, msisdn=said.number, plan_code=said.plan,
            segment=said.segment, is_deleted=said.deleted,
        )
        for (customer, hour, source), said in changes.items()
    ]  # fmt: skip


def history_of(changes: Changes) -> dict[str, list[Version]]:
    """The naive model: walk the changes of each customer in order, one after the other."""
    histories: dict[str, list[Version]] = {}
    for customer in {key[0] for key in changes}:
        versions: list[Version] = []
        for hour in sorted({key[1] for key in changes if key[0] == customer}):
            source = max(key[2] for key in changes if key[:2] == (customer, hour))
            said = changes[customer, hour, source].attributes()
            if versions and versions[-1][2] == said:
                continue
            if versions:
                versions[-1] = (versions[-1][0], hour, versions[-1][2])
            versions.append((hour, None, said))
        histories[customer] = versions
    return histories


def customer_of(histories: dict[str, list[Version]], number: str, hour: int) -> tuple[str, int, str] | None:
    """Whose version a number leads to: customer, its beginning and its plan; of several the one that began last."""
    claims = [
        (begin, customer, said[1])
        for customer, versions in histories.items()
        for begin, end, said in versions
        if said[0] == number and begin <= hour and (end is None or hour < end)
    ]
    if not claims:
        return None
    begin, customer, plan = max(claims)
    return customer, begin, plan


SAID = st.builds(
    Said, st.sampled_from([*NUMBERS, None]), st.sampled_from([*PLANS, None]), st.sampled_from(["a", "b"]),
    st.sampled_from([False, False, False, True]),
)  # fmt: skip
CHANGES = st.dictionaries(
    st.tuples(st.sampled_from(["C1", "C2", "C3"]), st.integers(0, 9), st.sampled_from(["crm", "crn"])),
    SAID,
    min_size=3,
    max_size=14,
)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[Changes, list[list[dict[str, Any]]]]:
    """Return changes, and batches in which they arrive: in any order, some twice, several of a customer in one."""
    changes = draw(CHANGES)
    rows = draw(st.permutations(rows_of(changes)))
    if rows:
        rows = rows + draw(st.lists(st.sampled_from(rows), max_size=5))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), min_size=2, max_size=4)))
    return changes, [rows[low:high] for low, high in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


def calls(part: int) -> list[dict[str, Any]]:
    """Return CDRs of both numbers, one an hour over two days; every second one does not name its plan."""
    return [
        cdr(
            native_key=f"{part}-{number}-{hour}", caller=number, started_at=at(hour), answered_at=None, ended_at=None,
            plan_code=None if hour % 2 else "plus", charge_micro=hour + 1,
        )
        for number in NUMBERS
        for hour in range(part, 10, 2)
    ]  # fmt: skip


@pytest.fixture
def prepared(connection: psycopg.Connection) -> psycopg.Connection:
    connection.execute("SET ROLE telestream_owner")
    connection.execute(
        "INSERT INTO silver.dim_service_plan (plan_code, name) SELECT p, p FROM unnest(%s::text[]) AS p", (list(PLANS),)
    )
    connection.execute("INSERT INTO silver.dim_region (region_code, name) VALUES ('GB-LND', 'London')")
    connection.execute("RESET ROLE")
    return connection


def rekey_here(connection: psycopg.Connection) -> None:
    """What the procedures do, within a transaction."""
    upto, moment = connection.execute("SELECT * FROM silver.rekey_open()").fetchone() or (None, None)
    while moment is not None:
        [moment] = connection.execute("SELECT silver.rekey_slice(%s, %s)", (upto, moment)).fetchone() or (None,)
    connection.execute("SELECT silver.rekey_close(%s)", (upto,))
    for [name] in connection.execute("SELECT rollup_name FROM rollup.definition ORDER BY position").fetchall():
        connection.execute("SELECT rollup.refresh_table(%s)", (name,))


def stored_history(connection: psycopg.Connection) -> dict[str, list[Version]]:
    numbers = numbers_of(connection)
    histories: dict[str, list[Version]] = {}
    for customer, begin, end, current, subscriber, plan, segment, status in connection.execute(
        "SELECT d.customer_id, d.valid_from, d.next_from, d.is_current, d.subscriber_id, p.plan_code, d.segment, d.status"
        " FROM silver.dim_customer AS d INNER JOIN silver.dim_service_plan AS p USING (plan_key)"
        " WHERE d.customer_key <> 0 ORDER BY d.customer_id, d.valid_from"
    ).fetchall():
        assert current == (end is None)
        said = (numbers.get(subscriber), plan, segment, status)
        histories.setdefault(customer, []).append((hours(begin), None if end is None else hours(end), said))
    return histories


def hours(moment: datetime.datetime) -> int:
    return int((moment - START) / datetime.timedelta(hours=1))


def numbers_of(connection: psycopg.Connection) -> dict[int, str]:
    """Surrogate → number, asked of the vault."""
    rows = connection.execute(
        "SELECT s.subscriber_id, convert_from(public.decrypt_iv(s.identity_encrypted, p.p_cipher_key,"
        " substring(s.token FROM 1 FOR 16), 'aes-cbc'), 'UTF8')"
        " FROM vault.subscriber AS s CROSS JOIN vault._pads() AS p WHERE s.subscriber_id <> 0"
    ).fetchall()
    return dict(rows)


def facts(connection: psycopg.Connection) -> dict[str, tuple[Any, ...]]:
    """Native key → customer, beginning of the version, plan."""
    rows = connection.execute(
        "SELECT f.started_at, f.subscriber_id, nullif(d.customer_id, 'unknown'),"
        " CASE WHEN d.customer_key <> 0 THEN d.valid_from END, p.plan_code"
        " FROM silver.fact_cdr AS f INNER JOIN silver.dim_customer AS d USING (customer_key)"
        " INNER JOIN silver.dim_service_plan AS p ON f.plan_key = p.plan_key"
    ).fetchall()
    numbers = numbers_of(connection)
    return {
        f"{numbers[subscriber]} {hours(started)}": (customer, None if begin is None else hours(begin), plan)
        for started, subscriber, customer, begin, plan in rows
    }


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    arrived=arrivals(),
    calls_after=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    carried_after=st.sets(st.integers(0, 5)),
)
def test_every_order_gives_the_history_of_the_model_and_facts_follow(
    prepared: psycopg.Connection,
    arrived: tuple[Changes, list[list[dict[str, Any]]]],
    calls_after: tuple[int, int],
    carried_after: set[int],
) -> None:
    changes, batches = arrived
    with prepared.transaction(force_rollback=True):
        for number, batch in enumerate([*batches, []]):
            for part, after in enumerate(calls_after):
                if number == min(after, len(batches)):
                    refine(prepared, calls(part))
            _, loaded, duplicate, quarantined = refine_customers(prepared, batch)
            assert loaded + duplicate == len(batch)
            assert quarantined == 0
            if number in carried_after:
                rekey_here(prepared)
        prepared.execute("SET CONSTRAINTS ALL IMMEDIATE")
        rekey_here(prepared)
        model = history_of(changes)
        assert stored_history(prepared) == model
        wanted = {}
        for msisdn in NUMBERS:
            for hour in range(10):
                customer, begin, plan = customer_of(model, msisdn, hour) or (None, None, "unknown")
                wanted[f"{msisdn} {hour}"] = (customer, begin, plan if hour % 2 else "plus")
        assert facts(prepared) == wanted
        assert prepared.execute("SELECT * FROM gold.check_rollups()").fetchall() == []
        assert prepared.execute("SELECT count(*) FROM silver.customer_rekey").fetchone() == (0,)


def test_a_change_that_changes_nothing_makes_no_version_until_one_comes_between(prepared: psycopg.Connection) -> None:
    same = [change(changed_at="2026-01-01T00:00:00Z"), change(changed_at="2026-03-01T00:00:00Z")]
    assert refine_customers(prepared, same)[1:] == (2, 0, 0)
    assert prepared.execute("SELECT count(*) FROM silver.dim_customer").fetchone() == (2,)
    late = change(changed_at="2026-02-01T00:00:00Z", plan_code="plus")
    assert refine_customers(prepared, [late])[1:] == (1, 0, 0)
    assert prepared.execute(
        "SELECT p.plan_code, date(d.valid_from)::text FROM silver.dim_customer AS d"
        " INNER JOIN silver.dim_service_plan AS p USING (plan_key) WHERE d.customer_key <> 0 ORDER BY d.valid_from"
    ).fetchall() == [("basic", "2026-01-01"), ("plus", "2026-02-01"), ("basic", "2026-03-01")]


def test_a_version_that_stays_keeps_its_key_and_only_what_follows_is_keyed_anew(prepared: psycopg.Connection) -> None:
    refine_customers(prepared, [change()])
    early, late = "2026-02-01T09:00:00Z", "2026-02-20T09:00:00Z"
    rows = [cdr(native_key=one, started_at=one, answered_at=None, ended_at=None) for one in (early, late)]
    refine(prepared, rows)
    rekey(prepared)
    before = dict(prepared.execute("SELECT started_at, xmin::text FROM silver.fact_cdr").fetchall())
    refine_customers(prepared, [change(changed_at="2026-02-10T00:00:00Z", segment="business")])
    rekey(prepared)
    after = dict(prepared.execute("SELECT started_at, xmin::text FROM silver.fact_cdr").fetchall())
    first, last = sorted(before)
    assert before[first] == after[first]
    assert before[last] != after[last]
    assert prepared.execute("SELECT customer_key FROM silver.fact_cdr ORDER BY started_at").fetchall() == [(1,), (2,)]


BAD: dict[str, dict[str, Any]] = {
    "missing_customer_id": {"customer_id": None},
    "missing_source_system": {"source_system": None},
    "missing_changed_at": {"changed_at": None},
    "msisdn_not_e164": {"msisdn": "07900000001"},
    "birth_year_impossible": {"birth_year": 1850},
    "change_time_window": {"changed_at": "2226-01-01T00:00:00Z"},
    "unknown_plan": {"plan_code": "no-such-plan"},
}


@pytest.mark.parametrize("rule", BAD)
def test_each_error_rule_refuses_its_record_and_no_other(prepared: psycopg.Connection, rule: str) -> None:
    assert refine_customers(prepared, [change(), change(customer_id="C2") | BAD[rule]])[1:] == (1, 0, 1)
    [(rules, reason)] = prepared.execute("SELECT rules, reason FROM quality.quarantine").fetchall()
    assert rules == [rule]
    assert reason


def test_every_error_rule_with_a_condition_is_tested(connection: psycopg.Connection) -> None:
    rules = connection.execute(
        "SELECT rule FROM quality.rule WHERE dataset = 'customer' AND predicate IS NOT NULL AND severity = 'error'"
    ).fetchall()
    assert {rule for (rule,) in rules} == set(BAD)


def test_a_source_that_contradicts_itself_is_refused(prepared: psycopg.Connection) -> None:
    odd = change(segment="business")
    assert refine_customers(prepared, [change(), odd, change(customer_id="C2")])[1:] == (1, 0, 2)
    rows = prepared.execute("SELECT rules, line FROM quality.quarantine ORDER BY line").fetchall()
    assert rows == [(["conflicting_change"], 1), (["conflicting_change"], 2)]
    # Against what is known already the first one stays, and what waits in quarantine is not refused again.
    assert refine_customers(prepared, [change(customer_id="C2", segment="x"), change(customer_id="C2")])[1:] == (
        0,
        1,
        1,
    )
    assert refine_customers(prepared, [odd])[1:] == (1, 0, 0)
    assert refine_customers(prepared, [change(customer_id="C2", segment="x")])[1:] == (0, 1, 0)
    assert prepared.execute(
        "SELECT rule, violations FROM quality.rule_result WHERE rule = 'conflicting_change' ORDER BY batch_id"
    ).fetchall() == [("conflicting_change", 2), ("conflicting_change", 1), ("conflicting_change", 1)]


def test_an_unknown_plan_becomes_a_placeholder_where_the_rule_only_warns(prepared: psycopg.Connection) -> None:
    prepared.execute("SET ROLE telestream_owner")
    prepared.execute("UPDATE quality.rule SET severity = 'warning' WHERE rule = 'unknown_plan'")
    prepared.execute("RESET ROLE")
    assert refine_customers(prepared, [change(plan_code="new", region_code="GB-NEW")])[1:] == (1, 0, 0)
    assert prepared.execute(
        "SELECT h.plan_code, h.region_code, p.is_placeholder FROM gold.customer_history AS h"
        " INNER JOIN silver.dim_service_plan AS p USING (plan_code)"
    ).fetchall() == [("new", "GB-NEW", True)]


def test_a_plan_loaded_later_lets_the_refused_change_in(prepared: psycopg.Connection, vault_key_file: str) -> None:
    refine_customers(prepared, [change(plan_code="new")])
    prepared.execute("SET ROLE telestream_owner")
    prepared.execute("INSERT INTO silver.dim_service_plan (plan_code, name) VALUES ('new', 'New')")
    prepared.execute("RESET ROLE")
    prepared.execute("SELECT set_config('telestream.vault_key', %s, false)", (vault_key_file,))
    [(_, rows_in, loaded, duplicate, quarantined)] = prepared.execute("SELECT * FROM quality.replay()").fetchall()
    assert (rows_in, loaded, duplicate, quarantined) == (1, 1, 0, 0)
    assert prepared.execute("SELECT plan_code FROM gold.customer").fetchall() == [("new",)]


def test_a_deleted_customer_ends_and_a_new_owner_gets_the_number(prepared: psycopg.Connection) -> None:
    refine_customers(
        prepared,
        [
            change(),
            change(changed_at="2026-02-01T00:00:00Z", is_deleted=True),
            change(customer_id="C2", changed_at="2026-02-15T00:00:00Z"),
        ],
    )
    times = ("2026-01-15T00:00:00Z", "2026-02-10T00:00:00Z", "2026-02-20T00:00:00Z")
    refine(prepared, [cdr(native_key=one, started_at=one, answered_at=None, ended_at=None) for one in times])
    assert prepared.execute(
        "SELECT d.customer_id FROM silver.fact_cdr AS f INNER JOIN silver.dim_customer AS d USING (customer_key)"
        " ORDER BY f.started_at"
    ).fetchall() == [("C1",), ("unknown",), ("C2",)]
    assert prepared.execute("SELECT status FROM gold.customer ORDER BY valid_from").fetchall() == [
        ("terminated",), ("active",),
    ]  # fmt: skip


@pytest.fixture
def two_versions(prepared: psycopg.Connection) -> psycopg.Connection:
    refine_customers(prepared, [change(), change(changed_at="2026-02-01T00:00:00Z", segment="business")])
    prepared.execute("SET ROLE telestream_owner")
    return prepared


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE silver.dim_customer SET valid_to = '2026-03-01' WHERE customer_key = 1", errors.ForeignKeyViolation),
        ("UPDATE silver.dim_customer SET valid_to = '2026-01-15' WHERE customer_key = 1", errors.ForeignKeyViolation),
        ("UPDATE silver.dim_customer SET valid_to = '2026-03-01' WHERE customer_key = 2", errors.ForeignKeyViolation),
        ("DELETE FROM silver.dim_customer WHERE customer_key = 2", errors.ForeignKeyViolation),
        ("UPDATE silver.dim_customer SET valid_to = 'infinity' WHERE customer_key = 1", errors.UniqueViolation),
        ("UPDATE silver.dim_customer SET valid_to = valid_from WHERE customer_key = 2", errors.CheckViolation),
        (
            "INSERT INTO silver.dim_customer (customer_id, subscriber_id, plan_key, region_key, status, valid_from,"
            " valid_to, attributes_hash, source_system, batch_id) SELECT d.customer_id, d.subscriber_id, d.plan_key,"
            " d.region_key, d.status, '2026-01-15', d.valid_to, d.attributes_hash, d.source_system, d.batch_id"
            " FROM silver.dim_customer AS d WHERE d.customer_key = 1",
            errors.UniqueViolation,
        ),
    ],
)
def test_no_statement_can_make_a_wrong_history(
    two_versions: psycopg.Connection, statement: str, error: type[psycopg.Error]
) -> None:
    with pytest.raises(error):
        two_versions.execute(statement)


def test_nothing_of_a_person_is_in_silver_or_gold(prepared: psycopg.Connection) -> None:
    refine_customers(prepared, [change(customer_id="CRM-0815-X")])
    for table in ("silver.dim_customer", "silver.customer_change", "gold.customer", "gold.customer_history"):
        assert "447900000001" not in str(prepared.execute(f"SELECT to_jsonb(t) FROM {table} AS t").fetchall()), table
    for view in ("gold.customer", "gold.customer_history", "gold.cdr"):
        assert "CRM-0815-X" not in str(prepared.execute(f"SELECT to_jsonb(t) FROM {view} AS t").fetchall()), view


def test_a_carrying_that_died_goes_on_with_the_next_one(prepared: psycopg.Connection, database: str) -> None:
    days = ("2026-02-10", "2026-02-11", "2026-02-12")
    rows = [cdr(native_key=day, started_at=f"{day}T09:00:00Z", answered_at=None, ended_at=None) for day in days]
    refine(prepared, [row | {"plan_code": None} for row in rows])
    refine_customers(prepared, [change()])
    # The first day committed, then the process was gone: its list is there still.
    upto, moment = prepared.execute("SELECT * FROM silver.rekey_open()").fetchone() or (None, None)
    prepared.execute("SELECT silver.rekey_slice(%s, %s)", (upto, moment))
    [(done,)] = prepared.execute("SELECT count(*) FROM silver.fact_cdr WHERE customer_key <> 0").fetchall()
    assert done == 1
    refine_customers(prepared, [change(changed_at="2026-02-11T00:00:00Z", plan_code="plus")])
    rekey(prepared)
    assert prepared.execute("SELECT plan_code, customer_key FROM gold.cdr ORDER BY started_at").fetchall() == [
        ("basic", 1), ("plus", 2), ("plus", 2),
    ]  # fmt: skip
    assert rollups.check(database) == []


def test_facts_of_a_refine_under_way_are_not_forgotten(
    prepared: psycopg.Connection, database: str, vault_key_file: str
) -> None:
    with psycopg.connect(database) as other, ThreadPoolExecutor(1) as pool:
        # The batch is refined by what the customers are, and not committed yet.
        other.execute("SET ROLE telestream_consumer")
        other.execute("SELECT set_config('telestream.vault_key', %s, false)", (vault_key_file,))
        [batch] = other.execute("SELECT ops.open_batch('cdr')").fetchone() or (0,)
        other.execute(
            "INSERT INTO ops.batch (batch_id, dataset, source_kind, rows_in, code_version)"
            " VALUES (%s, 'cdr', 'kafka', 1, 'test')",
            (batch,),
        )
        row = cdr(plan_code=None) | {"batch_id": batch, "line": 1}
        other.execute(
            sql.SQL("INSERT INTO bronze.cdr ({}) VALUES ({})").format(
                sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(sql.Placeholder() * len(row))
            ),
            list(row.values()),
        )
        # Enrolment would keep the number from others until the end.
        refine_customers(
            prepared, [change(customer_id="C2", msisdn="+447900000001", changed_at="2026-01-01T00:00:00Z")]
        )
        rekey(prepared)
        other.execute("CALL silver.refine_cdr(%s)", (batch,))
        refine_customers(prepared, [change(customer_id="C2", changed_at="2026-02-01T00:00:00Z", plan_code="plus")])
        carried = pool.submit(lambda: carry_to_facts(database))
        waiting: tuple[object, ...] | None = (0,)
        while waiting == (0,) and not carried.done():
            waiting = prepared.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7301011 AND NOT granted"
            ).fetchone()
        assert not carried.done()
        other.commit()
        assert carried.result(30) == 1
    rekey(prepared)
    assert prepared.execute("SELECT plan_code FROM gold.cdr").fetchall() == [("plus",)]
    assert prepared.execute(
        "SELECT d.customer_key = f.customer_key FROM silver.fact_cdr AS f, silver.dim_customer AS d WHERE d.is_current"
        " AND d.customer_id = 'C2'"
    ).fetchall() == [(True,)]
    assert rollups.check(database) == []
