"""What is done in a shorter way gives the same as the long one."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from graphql import GraphQLError, Lexer, Source, TokenKind, build_schema, execute_sync, get_introspection_query, parse
from graphql_api.fix_api import Api
from hypothesis import given
from hypothesis import strategies as st
from staging import cdr, refine

from telestream.graphql import documents
from telestream.graphql.documents import Documents, InvalidDocumentError
from telestream.graphql.executor import ListExecutor
from telestream.graphql.problems import AliasesProblem, CostProblem, TokensProblem
from telestream.graphql.schema import schema, sdl

LISTS = build_schema("type Query { floats: [Float] ints: [Int!] texts: [String!]! ids: [ID] nested: [[Float]] }")
VALUES = st.lists(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just([1.5]), st.builds(object)
    ),
    max_size=4,
)


def tokens(text: str) -> int:
    return sum(1 for found in documents._TOKEN.finditer(text) if found[1])


def lexed(text: str) -> int:
    lexer, count = Lexer(Source(text)), 0
    while lexer.advance().kind is not TokenKind.EOF:
        count += 1
    return count


@pytest.mark.parametrize(
    "text",
    [
        get_introspection_query(),
        sdl(),
        r'{ a(b: "x\"y # no comment", c: -1.5e+3, d: """q "" \""" w""") ...F @skip(if: $v) } # "hi" """ {',
        r'"" """""" "a" """\""" """ """a""b""" "\\"',
        "{a,b,,c\ufeff d\r\n#x\ry}",
    ],
)
def test_tokens_are_counted_as_the_parser_does(text: str) -> None:
    assert tokens(text) == lexed(text)


@given(st.text(alphabet='{}()"\\#.,:a1-e \n', max_size=60))
def test_no_document_that_can_be_parsed_is_taken_for_longer(text: str) -> None:
    try:
        counted = lexed(text)
    except GraphQLError:
        return
    assert tokens(text) == counted


def test_a_long_document_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "parse", lambda *_, **__: pytest.fail("it was parsed"))
    text = "{" + " ".join(f"a{n}: regions {{ name }}" for n in range(1000)) + "}"
    with pytest.raises(TokensProblem):
        Documents(schema(), production=False).prepare(text, {})


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{" + " ".join(f"a{n}: regions {{ name }}" for n in range(100)) + "}", AliasesProblem),
        ("{ nope }", InvalidDocumentError),
        ("{ regions {", InvalidDocumentError),
    ],
)
def test_a_refused_document_is_not_parsed_again(
    monkeypatch: pytest.MonkeyPatch, text: str, kind: type[Exception]
) -> None:
    prepared = Documents(schema(), production=False)
    shown = []
    for _ in range(3):
        with pytest.raises(kind) as caught:
            prepared.prepare(text, {})
        refusal: Any = caught.value
        shown.append([e.formatted for e in refusal.errors] if kind is InvalidDocumentError else refusal.extensions)
        monkeypatch.setattr(documents, "parse", lambda *_, **__: pytest.fail("it was parsed again"))
    assert shown[0] == shown[1] == shown[2]
    if kind is InvalidDocumentError:
        assert shown[0][0]["locations"]


def test_what_depends_on_variables_is_looked_at_again() -> None:
    prepared = Documents(schema(), production=False)
    dear = "query($n: Int!) { " + " ".join(
        f"a{n}: cells(first: $n) {{ nodes {{ region {{ name }} }} }}" for n in range(10)
    )
    dear += " }"
    with pytest.raises(CostProblem):
        prepared.prepare(dear, {"n": 500})
    assert prepared.prepare(dear, {"n": 1}).operation(None) is not None


def test_only_so_many_refusals_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_MOST_REFUSED", 5)
    prepared = Documents(schema(), production=False)
    for n in range(20):
        with pytest.raises(InvalidDocumentError):
            prepared.prepare(f"{{ nope{n} }}", {})
    with pytest.raises(InvalidDocumentError):
        prepared.prepare("{ " + "nope" * 10_000 + " }", {})
    assert len(prepared._refused) == 5


@given(st.fixed_dictionaries(dict.fromkeys(("floats", "ints", "texts", "ids"), VALUES)))
def test_a_list_is_completed_as_item_by_item(values: dict[str, list[Any]]) -> None:
    document = parse("{ floats ints texts ids nested }")
    root = {**values, "nested": [values["floats"], [1.0, None]]}
    short = execute_sync(LISTS, document, root, executor_class=ListExecutor)
    long = execute_sync(LISTS, document, root)
    assert repr(short.data) == repr(long.data)
    assert [(e.path, e.locations) for e in short.errors or ()] == [(e.path, e.locations) for e in long.errors or ()]


@pytest.mark.parametrize("grain", ["FIVE_MINUTES", "HOUR", "DAY"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_regions_add_up_to_their_cells(connection: psycopg.Connection, api: Api, grain: str, zone: str) -> None:
    refine(
        connection,
        [
            cdr(
                native_key=f"k{n}", started_at=f"2026-03-01T{n % 24:02d}:{n * 7 % 60:02d}:00Z", answered_at=None,
                ended_at=None, cell_id=f"234-15-{n % 3}", disposition="answered" if n % 4 else "failed",
            )
            for n in range(60)
        ],
    )  # fmt: skip
    arguments = f'from: "2026-03-01T03:00:00Z", to: "2026-03-01T21:00:00Z", grain: {grain}, timeZone: "{zone}"'
    columns = "times series { key columns { name values } }"
    cells = 'cells: ["234-15-0", "234-15-1", "234-15-2"]'
    text = f"""{{
        region: traffic(measures: [ATTEMPTS, SECONDS, BYTES_DOWN], {arguments}, by: REGION) {{ {columns} }}
        cell: traffic(measures: [ATTEMPTS, SECONDS, BYTES_DOWN], {arguments}, by: REGION, {cells}) {{ {columns} }}
        network: networkPerformance(kpis: [ATTEMPTS, ASR_PCT, ERLANGS], {arguments}) {{ {columns} }}
        sum: networkPerformance(kpis: [ATTEMPTS, ASR_PCT, ERLANGS], {arguments}, {cells}) {{ {columns} }}
    }}"""
    before = api.query(text).data
    connection.execute("CALL rollup.refresh_pending()")
    after = api.query(text).data
    for data in (before, after):
        assert data["region"] == data["cell"]
        assert data["network"] == data["sum"]
        assert sum(data["region"]["series"][0]["columns"][0]["values"]) > 0
    assert before == after
