"""The API's part of the demonstration: served in the background, with a key, and a query that anybody can repeat."""

from __future__ import annotations

import json
from datetime import timedelta

import urllib3
from rich.markup import escape
from rich.table import Table

from telestream.console import console
from telestream.db.connection import connect, translated
from telestream.errors import TerminalError
from telestream.graphql import keys
from telestream.graphql.principal import READ_SCOPES, Scope
from telestream.stack import lifecycle

_NAME = "demo"
_LIFETIME = timedelta(days=7)
_RATE = 1_000
_QUERY = (
    "{ networkPerformance(kpis: [EVENTS, DROP_RATE_PCT, LATENCY_MS], by: TECHNOLOGY, grain: HOUR,"
    ' from: "2026-03-01T08:00:00Z", to: "2026-03-01T10:00:00Z") { times series { key columns { name unit values } } } }'
)


def show_api() -> None:
    """Serve the API until `telestream stack down`, and show what a first query returns and how to send it.

    Raises:
        TerminalError: the query is not answered with data.
    """
    console.rule("GraphQL API")
    with console.status("starting the API"):
        url = lifecycle.serve_api()
    key = _key()
    body = json.dumps({"query": _QUERY})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with urllib3.PoolManager(retries=False, timeout=30) as pool:
        answer = pool.request("POST", f"{url}/graphql", body=body, headers=headers).json()
    if "errors" in answer or not answer["data"]["networkPerformance"]["series"]:
        raise TerminalError("the API does not answer the demonstration's query", detail=json.dumps(answer)[:500])
    _show(answer["data"]["networkPerformance"])
    console.print(
        f"API on [bold]{url}/graphql[/] until `telestream stack down`; the same query, with a key for a week:"
    )
    console.print(
        f"curl -s {url}/graphql -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{body}'",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def _key() -> str:
    """Return a new key, and refuse those of earlier demonstrations."""
    with translated(), connect() as connection:
        for row in keys.every(connection):
            if row.name == _NAME and row.revoked_at is None:
                keys.revoke(connection, row.key_id)
        return keys.create(connection, _NAME, "api", [*READ_SCOPES, Scope.ALERTS_WRITE], _LIFETIME, _RATE)[1]


def _show(found: dict[str, list[object]]) -> None:
    table = Table("time", "technology", title="networkPerformance, answered by the API")
    series: list[dict[str, object]] = found["series"]  # type: ignore[assignment]
    columns: list[dict[str, list[float | None]]] = series[0]["columns"]  # type: ignore[assignment]
    for column in columns:
        table.add_column(escape(f"{column['name']} [{column['unit']}]".lower()), justify="right")
    for position, at in enumerate(found["times"]):
        for one in series:
            values = [column["values"][position] for column in one["columns"]]  # type: ignore[attr-defined]
            shown = ["" if value is None else f"{value:,.2f}".removesuffix(".00") for value in values]
            table.add_row(str(at)[:16].replace("T", " "), str(one["key"]), *shown)
    console.print(table)
