"""Hostile requests are refused with their code, at once, before anything is asked of the database."""

from __future__ import annotations

import json

import pytest
from graphql import parse
from graphql_api.fix_api import POOL, Api

from telestream.graphql import limits
from telestream.graphql.problems import AliasesProblem, CostProblem, DepthProblem, FragmentsProblem, Problem
from telestream.graphql.schema import schema

EXPONENTIAL = "{ ...F0 } " + " ".join(
    f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(28)
) + " fragment F28 on Query { regions { name } }"  # fmt: skip


def check(text: str, **variables: object) -> int:
    return limits.check(schema(), parse(text), variables)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{ a " * 20 + "}" * 20, DepthProblem),
        ("{" + " ".join(f"a{n}: regions {{ name }}" for n in range(1000)) + "}", AliasesProblem),
        ("{" + "regions { name } " * 600 + "}", AliasesProblem),
        ("{ regions { name " + "@skip(if: false) " * 60 + "} }", AliasesProblem),
        (EXPONENTIAL, AliasesProblem),
        ("{ a } " + " ".join(f"fragment F{n} on Query {{ regions {{ name }} }}" for n in range(40)), FragmentsProblem),
        ("{ cdrs(first: 999999999) { nodes { cell { region { name } } } } }", CostProblem),
    ],
)
def test_the_rule_refuses(text: str, kind: type[Problem]) -> None:
    with pytest.raises(kind):
        check(text)


def test_a_fragment_is_walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    walked = []
    original = limits._Walk.selections

    def counted(self: limits._Walk, *arguments: object) -> limits.Weight:
        walked.append(1)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(limits._Walk, "selections", counted)
    with pytest.raises(AliasesProblem):
        check(EXPONENTIAL)
    assert len(walked) < 60


def test_a_fragment_within_itself_ends() -> None:
    assert check("{ ...A } fragment A on Query { regions { name } ...B } fragment B on Query { ...A }") > 0


def test_the_cost_follows_the_size_of_the_page_given_as_a_variable() -> None:
    text = "query($n: Int) { cells(first: $n) { nodes { region { name } } } }"
    assert check(text, n=10) < check(text) < check(text, n=500)


def test_the_usual_introspection_is_allowed_in_development() -> None:
    from graphql import get_introspection_query

    check(get_introspection_query())


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        ({"query": EXPONENTIAL}, "ALIASES_EXCEEDED", 400),
        ({"query": "{" + "a{" * 50 + "b" + "}" * 51}, "DEPTH_EXCEEDED", 400),
        ({"query": "{ regions { name } " + " ".join("regions" for _ in range(2000)) + "}"}, "TOKENS_EXCEEDED", 400),
        ({"query": "{ nope }"}, "VALIDATION_FAILED", 400),
        ({"query": "{"}, "PARSE_FAILED", 400),
        ({"query": "query($n: Int!) { cells(first: $n) { nodes { name } } }"}, "BAD_VARIABLES", 400),
        ({"query": "{ cells(first: 501) { nodes { name } } }"}, "BAD_ARGUMENT", 200),
        ({"query": "query A { regions { name } } query B { regions { name } }"}, "VALIDATION_FAILED", 400),
        ({"query": 'subscription { alerts { alertId } }'}, "BAD_REQUEST", 400),
        ([{"query": "{ regions { name } }"}] * 10, "BATCH_REFUSED", 400),
        ({"query": 1}, "BAD_REQUEST", 400),
        ({}, "BAD_REQUEST", 400),
        (b"\xff\xfe", "BAD_REQUEST", 400),
        (b"[" * 100_000, "BAD_REQUEST", 400),
        (b"x" * 10_000_000, "BODY_TOO_LARGE", 413),
        ({"query": "{ cdrs { nodes { caller } } }"}, "VALIDATION_FAILED", 400),
    ],
)  # fmt: skip
def test_what_is_refused_over_http(api: Api, body: object, code: str, status: int) -> None:
    before = api.service.database.statements
    reply = api.post(body)
    assert (reply.code, reply.status) == (code, status)
    # The key, the version of Gold: none of the request itself.
    assert api.service.database.statements - before <= 3


def test_an_error_names_the_argument_and_what_is_allowed(api: Api) -> None:
    reply = api.query('{ networkPerformance(kpis: [NOPE], from: "2026-03-01T00:00:00Z", to: "2026-03-02T00:00:00Z")'
                      " { grain } }")  # fmt: skip
    shown = reply.body["errors"][0]["extensions"]
    assert shown["argument"] == "kpis"
    assert "LATENCY_MS" in shown["allowed"]
    reply = api.query('{ traffic(measures: [SECONDS], from: "2026-03-01T00:00:00Z", to: "2026-03-02T00:00:00Z",'
                      ' timeZone: "Mars/Base") { grain } }')  # fmt: skip
    shown = reply.body["errors"][0]["extensions"]
    assert (shown["code"], shown["argument"]) == ("BAD_ARGUMENT", "timeZone")


def test_a_slow_query_is_ended(api: Api) -> None:
    import asyncio

    from psycopg import sql

    from telestream.graphql.principal import Principal
    from telestream.graphql.problems import TimeoutProblem
    from telestream.graphql.reading import Database

    async def slow() -> None:
        database = Database(api._database, seconds=0.1)
        await database.open()
        try:
            somebody = Principal("key:x", "api", frozenset(), 1, 0)
            with pytest.raises(TimeoutProblem):
                await database.read(somebody, sql.SQL("SELECT pg_sleep(10)"))
            # The connection serves the next one, as the gateway again.
            assert await database.read(somebody, sql.SQL("SELECT current_user::text AS who")) == [
                {"who": "telestream_api"}
            ]
        finally:
            await database.close()

    asyncio.run(slow())


def test_production_answers_the_allow_list_only_and_shows_no_schema(production_api: Api) -> None:
    text = "{ regions { name } }"
    assert production_api.query(text).code == "PERSISTED_QUERY_REQUIRED"
    import psycopg

    from telestream.graphql.persisted import digest

    with psycopg.connect(production_api._database, autocommit=True) as connection:
        for document in (text, "{ __schema { queryType { name } } }", "{ regons { name } }"):
            connection.execute(
                "INSERT INTO api.persisted_query (document_sha256, document, name) VALUES (%s, %s, 'test')",
                (digest(document), document),
            )
    assert production_api.query("{ plans { name } }").status == 403
    production_api.service.engine._persisted._listed.clear()
    by_hash = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest(text)}}}
    assert production_api.post(by_hash).data == {"regions": []}
    assert production_api.query("{ __schema { queryType { name } } }").code == "INTROSPECTION_DISABLED"
    misspelt = production_api.query("{ regons { name } }")
    assert misspelt.code == "VALIDATION_FAILED"
    assert "regions" not in json.dumps(misspelt.body)


def test_others_are_served_while_a_hostile_one_is_refused(api: Api) -> None:
    for _ in range(20):
        assert api.query(EXPONENTIAL).code == "ALIASES_EXCEEDED"
    assert api.query("{ regions { name } }").data == {"regions": []}
    assert POOL.request("GET", api.base + "/healthz").status == 200
