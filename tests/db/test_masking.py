"""Masked views: made of rules, the same whenever they are made, and without a way around them."""

from __future__ import annotations

import psycopg
import pytest
from command import assert_clear_error, telestream
from psycopg import errors
from staging import cdr, event, refine, refine_events


def apply(connection: psycopg.Connection) -> dict[str, str]:
    connection.execute("SET ROLE telestream_owner")
    try:
        return dict(connection.execute("SELECT * FROM privacy.apply_masking()").fetchall())
    finally:
        connection.execute("RESET ROLE")


def rule(
    connection: psycopg.Connection, column: str, mask: str, arguments: str = "{}", *,
    role: str = "analyst", table: str = "silver.fact_cdr",
) -> None:  # fmt: skip
    schema, _, name = table.partition(".")
    connection.execute("SET ROLE telestream_owner")
    try:
        connection.execute(
            "INSERT INTO privacy.masking_rule VALUES (%s, %s, %s, %s, %s, %s, 'test') ON CONFLICT"
            " (schema_name, table_name, column_name, role) DO UPDATE SET mask = excluded.mask,"
            " arguments = excluded.arguments",
            (schema, name, column, role, mask, arguments),
        )
    finally:
        connection.execute("RESET ROLE")


def seen(connection: psycopg.Connection, query: str, role: str = "analyst") -> list[tuple[object, ...]]:
    connection.execute(f"SET ROLE telestream_{role}")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.execute("RESET ROLE")


def definitions(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT c.oid::regclass::text, pg_get_viewdef(c.oid), c.reloptions, c.relacl::text, obj_description(c.oid),"
        " ARRAY(SELECT col_description(c.oid, a.attnum) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND attnum > 0)"
        " FROM pg_class AS c WHERE c.relnamespace::regnamespace::text LIKE 'masked%' ORDER BY 1"
    ).fetchall()


def test_what_an_analyst_sees_of_bronze(connection: psycopg.Connection) -> None:
    refine(connection, [cdr(caller="+447911234123", bytes_up=1_000_000, called="112")])
    rows = seen(
        connection,
        "SELECT caller, called, imsi, imei, native_key, batch_id, line, extras, started_at::text, duration_s::text,"
        " bytes_up FROM masked_analyst.bronze_cdr",
    )
    *shown, amount = rows[0]
    assert shown == [
        "+4479*****123", "*****", "23415**********", "3569***********", None, None, None, None,
        "2026-03-01 09:00:00+00", "[60,120)",
    ]  # fmt: skip
    assert isinstance(amount, int)
    assert 900_000 <= amount <= 1_100_000
    assert amount != 1_000_000
    # Reading again does not average the noise away.
    assert seen(connection, "SELECT bytes_up FROM masked_analyst.bronze_cdr") == [(amount,)]


def test_pseudonyms_hold_within_a_role_and_join_with_nothing_outside(connection: psycopg.Connection) -> None:
    refine_events(connection, [event(event_id=f"e{n}", subscriber=f"+44790000000{n % 2}") for n in range(4)])
    refine_events(connection, [event(event_id="none", subscriber=None)])
    rows = connection.execute("SELECT event_id, subscriber_id FROM silver.fact_network_event").fetchall()
    real = dict(rows)
    shown = dict(seen(connection, "SELECT event_id, subscriber_id FROM masked_analyst.silver_fact_network_event"))
    pairs = {(real[key], shown[key]) for key in real}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == 3
    assert all((a == b) == (a == 0) for a, b in pairs)
    rule(connection, "subscriber_id", "pseudonym", table="silver.fact_network_event", role="api")
    apply(connection)
    others = dict(seen(connection, "SELECT event_id, subscriber_id FROM masked_api.silver_fact_network_event", "api"))
    assert {others[key] for key in real if real[key]}.isdisjoint({shown[key] for key in real})


def test_a_reader_cannot_ask_for_the_hash_of_a_number(connection: psycopg.Connection) -> None:
    rule(connection, "source_system", "hash")
    apply(connection)
    refine(connection, [cdr()])
    ((shown,),) = seen(connection, "SELECT source_system FROM masked_analyst.silver_fact_cdr")
    ((plain,),) = connection.execute("SELECT encode(sha256('msc-01'), 'hex')").fetchall()
    assert len(str(shown)) == 64
    assert shown != plain
    called = connection.execute(
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'privacy'::regnamespace AND prorettype <> 'trigger'::regtype"
        " AND has_function_privilege('telestream_analyst', oid, 'EXECUTE')"
    ).fetchone()
    assert called == (0,)
    with pytest.raises(errors.InsufficientPrivilege):
        seen(connection, "SELECT salt FROM privacy.mask_salt")


@pytest.mark.parametrize(
    ("column", "mask", "arguments", "expected"),
    [
        ("apn", "keep", "{}", "internet"),
        ("apn", "null", "{}", None),
        ("apn", "partial", '{"prefix": 2, "padding": "’;--%s", "suffix": 1}', "in’;--%st"),
        ("apn", "partial", '{"prefix": 4, "padding": "*", "suffix": 4}', "*"),
        ("duration_s", "generalize", '{"step": 10}', "[60,70)"),
        ("charge_micro", "generalize", '{"step": 100000}', "[200000,300000)"),
        ("started_at", "generalize", '{"unit": "month"}', "2026-03-01 00:00:00+00"),
        ("duration_s", "noise", '{"ratio": 0}', "65"),
        ("extras", "null", "{}", None),
    ],
)
def test_each_mask(
    connection: psycopg.Connection, column: str, mask: str, arguments: str, expected: str | None
) -> None:
    refine(connection, [cdr(apn="internet")])
    rule(connection, column, mask, arguments)
    apply(connection)
    assert seen(connection, f"SELECT {column}::text FROM masked_analyst.silver_fact_cdr") == [(expected,)]


@pytest.mark.parametrize(
    ("column", "mask", "arguments"),
    [
        ("nothing", "keep", "{}"),
        ("duration_s", "partial", '{"prefix": 1, "padding": "*", "suffix": 1}'),
        ("apn", "partial", '{"prefix": 1, "suffix": 1}'),
        ("apn", "partial", "{}"),
        ("apn", "generalize", '{"step": 1}'),
        ("duration_s", "generalize", '{"unit": "hour"}'),
        ("apn", "noise", '{"ratio": 0.1}'),
        ("duration_s", "noise", "{}"),
        ("apn", "pseudonym", "{}"),
        ("duration_s", "noise", '{"ratio": 2}'),
        ("duration_s", "generalize", '{"step": 0}'),
        ("duration_s", "generalize", '{"step": "ten"}'),
        ("started_at", "generalize", '{"unit": "moon"}'),
        ("apn", "partial", '{"prefix": -1, "padding": "*", "suffix": 1}'),
        ("apn", "partial", '{"prefix": 1, "padding": null, "suffix": 1}'),
        ("apn", "keep", '{"step": 1}'),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_at_once(
    connection: psycopg.Connection, column: str, mask: str, arguments: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        rule(connection, column, mask, arguments)
    assert caught.value.sqlstate == "TS036"
    assert column in str(caught.value)


def test_making_them_again_changes_nothing(connection: psycopg.Connection) -> None:
    before = definitions(connection)
    assert len(before) == 9
    assert set(apply(connection).values()) == {"built"}
    assert definitions(connection) == before


def test_a_view_goes_with_its_rules_and_comes_back_with_them(connection: psycopg.Connection) -> None:
    connection.execute("SET ROLE telestream_owner")
    connection.execute("DELETE FROM privacy.masking_rule WHERE table_name = 'fact_cdr'")
    assert apply(connection)["masked_analyst.silver_fact_cdr"] == "dropped"
    rule(connection, "tac", "null")
    assert apply(connection)["masked_analyst.silver_fact_cdr"] == "built"
    # Personal columns whose rule is gone are not shown.
    refine(connection, [cdr()])
    assert seen(
        connection, "SELECT subscriber_id, caller_id, tac, apn, duration_s FROM masked_analyst.silver_fact_cdr"
    ) == [(None, None, None, None, 65)]


def test_another_type_of_a_column_makes_the_view_anew(connection: psycopg.Connection) -> None:
    rule(connection, "duration_s", "generalize", '{"step": 60}')
    apply(connection)
    rule(connection, "duration_s", "keep")
    assert apply(connection)["masked_analyst.silver_fact_cdr"] == "built"
    refine(connection, [cdr()])
    assert seen(connection, "SELECT duration_s FROM masked_analyst.silver_fact_cdr") == [(65,)]


def test_a_column_nobody_has_classified_is_not_shown(connection: psycopg.Connection) -> None:
    connection.execute("SET ROLE telestream_owner")
    connection.execute('ALTER TABLE quality.quarantine ADD COLUMN "the ""name" text DEFAULT \'Jane Doe\'')
    connection.execute("COMMENT ON COLUMN quality.quarantine.\"the \"\"name\" IS 'It''s a name'")
    apply(connection)
    refine(connection, [cdr(duration_s=-1)])
    ((row,),) = seen(connection, "SELECT to_jsonb(q) FROM masked_analyst.quality_quarantine AS q")
    assert isinstance(row, dict)
    assert row['the "name'] is None
    assert row["rules"]
    assert "Jane" not in str(row)
    ((comment,),) = connection.execute(
        "SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attname = 'the \"name'"
        " AND attrelid = 'masked_analyst.quality_quarantine'::regclass"
    ).fetchall()
    assert comment == "It's a name; mask: null, no rule for class unclassified"


def test_views_are_barriers_with_comments_and_a_grant_each(connection: psycopg.Connection) -> None:
    for name, _, options, grants, comment, columns in definitions(connection):
        assert options == ["security_barrier=true"], name
        assert "telestream_analyst=r/" in str(grants), name
        assert str(comment).endswith("(as analyst may see it)"), name
        assert all(columns), name
    # A function that tells what it is shown gets nothing that the view hides.
    refine(connection, [cdr()])
    connection.execute("SET ROLE telestream_analyst")
    connection.execute(
        "CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS"
        " $$ BEGIN RAISE WARNING 'told %', $1; RETURN true; END $$"
    )
    told: list[str] = []
    connection.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    connection.execute("SELECT 1 FROM masked_analyst.bronze_cdr WHERE pg_temp.tell(caller)")
    connection.execute("RESET ROLE")
    assert told == ["told +4479*****001"]


def test_a_time_range_still_excludes_chunks(connection: psycopg.Connection) -> None:
    for day in range(1, 6):
        refine(
            connection,
            [cdr(native_key=f"k{day}", started_at=f"2026-03-0{day}T09:00:00Z", answered_at=None, ended_at=None)],
        )
    plan = seen(
        connection,
        "EXPLAIN SELECT count(*) FROM masked_analyst.silver_fact_cdr"
        " WHERE started_at >= '2026-03-02' AND started_at < '2026-03-03'",
    )
    text = "\n".join(str(line) for (line,) in plan)
    assert text.count("_chunk") - text.count("_chunk_") <= 2, text
    assert text.count("Scan") >= 1


def test_the_commands(connection: psycopg.Connection) -> None:
    applied = telestream("masking", "apply")
    assert applied.returncode == 0, applied.stderr
    assert "masked_analyst.silver_fact_cdr" in applied.stdout
    listed = telestream("masking", "list", COLUMNS="240")
    assert listed.returncode == 0
    assert "partial" in listed.stdout
    connection.execute("SET ROLE telestream_owner")
    connection.execute("ALTER TABLE privacy.masking_rule DISABLE TRIGGER rule_guard")
    connection.execute("INSERT INTO privacy.masking_rule VALUES ('silver', 'gone', 'x', 'api', 'keep', '{}', 'test')")
    assert_clear_error(telestream("masking", "apply"), "silver.gone", "cannot be used")
