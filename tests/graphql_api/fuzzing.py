"""What is sent to the API at random, and what an answer must be whatever was sent."""

from __future__ import annotations

import json
import re
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any

import schemathesis
from graphql import (
    ArgumentNode,
    FloatValueNode,
    IntValueNode,
    Node,
    ObjectFieldNode,
    ValueNode,
    Visitor,
    parse,
    print_ast,
    visit,
)
from hypothesis import strategies as st
from schemathesis.graphql import nodes

from telestream.graphql import arguments, problems
from telestream.graphql.schema import SDL

CODES = {made.code for made in vars(problems).values() if isinstance(made, type) and issubclass(made, problems.Problem)}
# What says that the service, and not the one who asked, has failed.
FAULTS = {"INTERNAL", "DATABASE_UNAVAILABLE", "OVERLOADED", "QUERY_TIMEOUT"}
# Texts of drivers and interpreters, names of tables, statements, paths.
LEAK = re.compile(
    r"psycopg|Traceback|File \"|\.py\b|site-packages|SELECT |INSERT |UPDATE |SQLSTATE|syntax error at|relation \"|"
    r"\b(silver|gold|ops|quality|analytics|vault|audit|rollup|api)\.(?!md)[a-z]|telestream_|NoneType|object at 0x"
)


def judge(status: int, text: str) -> None:
    """Check that an answer is one of those that docs/errors.md promises, and gives nothing of the inside away."""
    assert status < 500, (status, text)
    assert not LEAK.search(json.dumps(json.loads(text).get("errors", []), ensure_ascii=False)), text
    for error in json.loads(text).get("errors", []):
        assert error["extensions"]["code"] in CODES - FAULTS, text


# Values of scalars ----------------------------------------------------------------------------------

TIMES = st.one_of(
    st.sampled_from(["2026-03-01T00:00:00Z", "2026-03-01T09:00:00+05:30", "2026-03-02T00:00:00Z", "2026-03-08T00:00:00Z"]),
    st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
    st.sampled_from(
        ["", "now", "infinity", "2026-03-01", "2026-03-01T00:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
         "2026-02-30T00:00:00Z", "2026-03-01T24:00:00Z", "2026-W09-1T00:00Z", "1970-01-01T00:00:00.000000001Z"]
    ),
)  # fmt: skip
DAYS = st.one_of(
    st.sampled_from(["2026-01-01", "2026-12-31", "2026-11-25", ""]),
    st.dates().map(str),
    st.sampled_from(["0000-00-00", "infinity", "2026-02-30", "20260301", "-4713-01-01"]),
)
CURSORS = st.one_of(
    st.lists(
        st.one_of(
            st.integers(), st.floats(), st.text(max_size=8), TIMES, st.none(), st.booleans(), st.uuids().map(str),
            st.sampled_from(["\ud800", "234-15-1", 10**30, -1, float("nan"), [], {}]),
        ),
        max_size=3,
    ).map(lambda parts: arguments.encode_cursor(*parts)),
    st.text(max_size=8),
)  # fmt: skip
# By name of the argument: what has a chance to be taken, else everything ends at the check of arguments.
VALUES: dict[str, st.SearchStrategy[ValueNode]] = {
    "first": st.one_of(st.integers(1, 500), st.sampled_from([0, -1, 501, 2**31 - 1])).map(
        lambda value: IntValueNode(value=str(value))
    ),
    "timeZone": st.sampled_from(sorted(zoneinfo.available_timezones())).map(nodes.String),
    "region": st.sampled_from(["GB-LND", "'; --", "%", "\x01", ""]).map(nodes.String),
    "recordType": st.sampled_from(["voice", "data", "none"]).map(nodes.String),
    "technology": st.sampled_from(["4g", "5g", "\u2028"]).map(nodes.String),
    "after": CURSORS.map(nodes.String),
    "id": st.sampled_from(["1", "2", "0", "234-15-1", "-1", "9" * 18, "9" * 19, "\u0661", "1e3"]).map(nodes.String),
    "customerId": st.sampled_from(["1", "2", "0", "9" * 18]).map(nodes.String),
    "note": st.text(max_size=300).map(nodes.String),
    "rule": st.sampled_from(["duration_disagrees", "{}", "\\"]).map(nodes.String),
} | {
    name: st.floats(-most, most, allow_nan=False).map(lambda value: FloatValueNode(value=repr(value)))
    for name, most in {
        "latitude": 90, "longitude": 180, "south": 90, "north": 90, "west": 180, "east": 180, "radiusKm": 500
    }.items()
}  # fmt: skip


def operations() -> list[Any]:
    """Return the queries and mutations of the schema as schemathesis knows them."""
    for name, strategy in {
        "DateTime": TIMES.map(nodes.String),
        "Date": DAYS.map(nodes.String),
        "Long": st.integers(-(2**70), 2**70).map(lambda value: IntValueNode(value=str(value))),
        "Decimal": st.decimals().map(str).map(nodes.String),
    }.items():
        schemathesis.graphql.scalar(name, strategy)
    return [found.ok() for found in schemathesis.graphql.from_path(SDL).get_all_operations()]


class _Plausible(Visitor):
    """Puts values that may be taken in the place of some of the generated ones."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        super().__init__()
        self._draw = draw

    def leave(self, node: Node, *_: Any) -> Any:
        if isinstance(node, ArgumentNode | ObjectFieldNode):
            name = node.name.value
            if name in VALUES and self._draw(st.integers(0, 3)):
                return type(node)(name=node.name, value=self._draw(VALUES[name]))
        return None


@st.composite
def documents(draw: Callable[[st.SearchStrategy[Any]], Any], operation: Any) -> str:
    """Generate documents with one field of the schema at their top."""
    text = draw(operation.as_strategy()).body
    return print_ast(visit(parse(text), _Plausible(draw)))


# What is no document --------------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
        st.sampled_from(["{ regions { name } }", "{ __typename }", "\ud800", "\0", "query A { plans { name } }", "A", "a" * 64]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["query", "variables", "operationName", "extensions", "persistedQuery", "sha256Hash", "n", "\ud800"]),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)  # fmt: skip
BODIES = st.one_of(
    JSON_VALUES.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=200),
    st.builds(
        lambda query, variables, operation, extensions: json.dumps(
            {"query": query, "variables": variables, "operationName": operation, "extensions": extensions}
        ).encode(),
        st.sampled_from(
            ["query($n: Int) { cells(first: $n) { nodes { cellId } } }", "query($n: ID!) { customer(id: $n) { reason } }",
             "query A($n: [ID!]) { realtimeMetrics(cells: $n) { source } }", "mutation($n: ID!) { acknowledgeAnomaly(id: $n) { reason } }"]
        ),
        st.one_of(st.none(), st.dictionaries(st.just("n"), JSON_VALUES, max_size=1)),
        st.sampled_from([None, "", "A", "\ud800"]),
        st.one_of(st.none(), JSON_VALUES),
    ),
    st.sampled_from([b"[" * 5000, b'{"query":' * 900, b'{"query":"' + b"{a" * 900 + b'"}', b'{"query":"{cells(first:' + b"9" * 5000 + b'){nodes{name}}}"}',
                     b'{"query":"{a(b:' + b"[" * 900 + b"]" * 900 + b')}"}', b'{"query":1e999}', b"\xef\xbb\xbf{}"]),
)  # fmt: skip
HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["Accept", "Content-Type", "Content-Encoding", "X-Request-Id", "If-None-Match", "Origin", "X-API-Key", "Cookie",
             "X-Forwarded-For", "X-Forwarded-Proto", "Host", "Range", "Expect", "Accept-Encoding", "Authorization", "Upgrade"]
        ),
        st.one_of(
            HEADER_TEXT,
            st.sampled_from(
                ["application/json", "application/json; charset=utf-16", "*/*;q=nan", "gzip", "[::1", "a:b:c", "bytes=0-", "W/\"", "websocket",
                 "Bearer e30.e30.e30", "Bearer eyJhbGciOlsiUlMyNTYiXX0.e30.e30", "100-continue"]
            ),
        ),
    ),
    max_size=4,
)  # fmt: skip
TARGETS = st.one_of(
    st.just("/graphql"),
    st.builds(
        lambda pairs: "/graphql?" + "&".join(f"{name}={value}" for name, value in pairs),
        st.lists(
            st.tuples(
                st.sampled_from(["query", "variables", "operationName", "extensions", "x"]),
                st.sampled_from(
                    ["%7B__typename%7D", "%7B%22n%22%3A%22%5Cud800%22%7D", "%ED%A0%80", "%00", "%", "{}", "[[", "%7B%7D", "1", "", "%FF" * 40]
                ),
            ),
            max_size=4,
        ),
    ),
    st.builds(
        lambda name, pairs: f"/export/{name}?" + "&".join(f"{key}={value}" for key, value in pairs),
        st.sampled_from(["traffic", "network-performance", "revenue", "x", "%00"]),
        st.lists(
            st.one_of(
                st.sampled_from(
                    [("measures", "SECONDS,ATTEMPTS"), ("kpis", "EVENTS"), ("from", "2026-03-01T00:00:00Z"),
                     ("to", "2026-03-02T00:00:00Z"), ("by", "CELL"), ("grain", "DAY"), ("format", "csv"), ("timeZone", "Europe/London"),
                     ("cells", "234-15-1,%00"), ("region", "%ED%A0%80"), ("from", "0001-01-01T00:00:00%2B23:59"), ("format", "arrow")]
                ),
                st.tuples(st.sampled_from(["measures", "kpis", "from", "to", "region", "x"]), st.sampled_from(["", "%FF", "'", "9" * 300])),
            ),
            max_size=8,
        ),
    ),
    st.sampled_from(["/graphql/", "//graphql", "/graphql;x", "/graphql?" + "a" * 20_000, "/healthz?x", "/nothing", "/%00"]),
)  # fmt: skip
METHODS = st.sampled_from(["POST", "POST", "POST", "GET", "GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])

_MESSAGE_TYPES = [
    "connection_init",
    "subscribe",
    "complete",
    "ping",
    "pong",
    "next",
    "error",
    "connection_ack",
    "",
    "x",
]
_PAYLOADS = st.one_of(
    JSON_VALUES,
    st.sampled_from(
        [{"query": "{ regions { name } }"}, {"query": "subscription { alerts { alertId } }"}, {"query": "{"},
         {"query": "subscription { cellMetrics(cells: [\"c1\"]) { events } }"}, {"Authorization": 7}, {"Authorization": "Bearer \ud800"}]
    ),
)  # fmt: skip
MESSAGES: st.SearchStrategy[list[str | bytes]] = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"type": st.sampled_from(_MESSAGE_TYPES)},
            optional={"id": st.one_of(st.sampled_from(["1", "2", "", "\ud800"]), JSON_VALUES), "payload": _PAYLOADS},
        ).map(json.dumps),
        JSON_VALUES.map(json.dumps),
        st.text(max_size=20),
        st.binary(max_size=20),
    ),
    max_size=8,
)


def rounds() -> Iterator[int]:
    """Yield seeds without end."""
    seed = 0
    while True:
        yield seed
        seed += 1
