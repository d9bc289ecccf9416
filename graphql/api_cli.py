"""The commands `telestream api …`."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from graphql import GraphQLError, parse, validate
from rich.table import Table

from telestream.console import console
from telestream.db import migrate
from telestream.db.connection import connect, translated
from telestream.errors import SourceError, TerminalError, UsageError
from telestream.graphql import keys
from telestream.graphql.persisted import digest
from telestream.graphql.principal import DEFAULT_RATE, READ_SCOPES, ROLES, Scope
from telestream.graphql.schema import SDL, schema, sdl
from telestream.settings import settings

app = typer.Typer(no_args_is_help=True, help="The GraphQL API: serve it, make keys for it, print its schema.")
key_app = typer.Typer(no_args_is_help=True, help="Keys of the API. A key is shown once and kept as a hash.")
app.add_typer(key_app, name="key")


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="api")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one, which is printed.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; each has a pool of its own.")] = 1,
    forwarded_from: Annotated[
        str, typer.Option(help="Addresses of proxies whose X-Forwarded-For is believed, separated by commas.")
    ] = "127.0.0.1",
) -> None:
    """Serve GraphQL on /graphql, an operations page on /, and /healthz, /readyz, /metrics beside them.

    A browser that opens /graphql gets an explorer. Both pages want a key.

    A first try, with the embedded stack running and migrated:

      telestream api key create first-try --role api

      telestream api serve

      curl -s http://127.0.0.1:8080/graphql -H "Authorization: Bearer KEY" -H "Content-Type: application/json"
      -d '{"query": "{ freshness { dataset newestEventAt } }"}'

    Subscriptions use the WebSocket protocol graphql-transport-ws on the same path. SIGTERM and Ctrl-C let running
    requests end. The log is one JSON object a line, without personal data. Settings are in docs/architecture.md,
    everything a client must know is in docs/api.md; TELESTREAM_API_PRODUCTION=true answers only queries that
    `telestream api persist` has allowed.
    """
    from telestream.graphql.serving import serve as run

    with translated(), connect(settings().api_database_url or None) as connection:
        migrate.require_served(connection)
        migrate.require_time_zone(connection)
    run(host, port, workers, forwarded_from)


@app.command("schema")
def print_sdl(
    write: Annotated[bool, typer.Option("--write", help="Write it to graphql/schema.graphql instead.")] = False,
) -> None:
    """Print the schema as SDL."""
    if write:
        SDL.write_text(sdl())
        console.print(f"wrote {os.path.relpath(SDL)}")
    else:
        typer.echo(sdl(), nl=False)


@app.command()
def persist(
    files: Annotated[list[Path], typer.Argument(help="Files with one GraphQL document each.")],
) -> None:
    """Put documents on the allow-list of production mode, and print the hash that clients send for each."""
    documents = []
    for path in files:
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as exc:
            raise SourceError(f"{path} cannot be read", hint="Name a file with a GraphQL document.") from exc
        try:
            errors = validate(schema(), parse(text))
        except GraphQLError as exc:
            errors = [exc]
        if errors:
            raise TerminalError(f"{path} does not fit the schema", detail=errors[0].message)
        documents.append((path, text))
    with translated(), connect() as connection:
        migrate.require_head(connection)
        for path, text in documents:
            connection.execute(
                "INSERT INTO api.persisted_query (document_sha256, document, name) VALUES (%s, %s, %s)"
                " ON CONFLICT (document_sha256) DO NOTHING",
                (digest(text), text, path.name),
            )
    for path, text in documents:
        typer.echo(f"{digest(text)}  {path}")


@key_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    role: Annotated[str, typer.Option(help=f"What it may read: {', '.join(ROLES)}; see docs/architecture.md.")] = "api",
    scope: Annotated[
        list[Scope] | None, typer.Option(help="Part of the schema it opens; repeatable. Left out: all that only read.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days until it expires.")] = 90,
    rate: Annotated[int, typer.Option(min=1, help="Requests per minute.")] = DEFAULT_RATE,
) -> None:
    """Make a key and show it once."""
    with translated(), connect() as connection:
        migrate.require_head(connection)
        key_id, text = keys.create(connection, name, role, scope or READ_SCOPES, timedelta(days=days), rate)
    console.print(f"key {key_id} reads as telestream_{role}, expires in {days} days")
    console.print(f"key (shown once): {text}", highlight=False, markup=False, soft_wrap=True)


@key_app.command("list")
def show() -> None:
    """Show all keys, without their secrets."""
    with translated(), connect() as connection:
        migrate.require_head(connection)
        rows = keys.every(connection)
    table = Table(
        "id", "name", "role", "scopes", "per minute", "expires", "last used", "state", title="Keys of the API"
    )
    for row in rows:
        state = "revoked" if row.revoked_at else "expired" if row.expires_at <= datetime.now(UTC) else "good"
        used = "never" if row.last_used_at is None else f"{row.last_used_at:%Y-%m-%d %H:%M}"
        table.add_row(
            row.key_id, row.name, row.role, " ".join(row.scopes), str(row.rate_per_minute),
            f"{row.expires_at:%Y-%m-%d}", used, state,
        )  # fmt: skip
    console.print(table)


@key_app.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(help="Id of the key, see `telestream api key list`.")]) -> None:
    """Refuse a key from now on; processes that know it follow within five seconds."""
    if keys.split(key_id) is not None:
        raise UsageError("this is the key itself, not its id", hint="Its id is the part after ts_.")
    with translated(), connect() as connection:
        migrate.require_head(connection)
        keys.revoke(connection, key_id)
    console.print(f"key {key_id} is revoked")
