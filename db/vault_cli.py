"""`telestream vault`: the identity behind a surrogate, for a reason that the access log keeps."""

from __future__ import annotations

from typing import Annotated

import typer

from telestream.console import console
from telestream.db import migrate
from telestream.db.connection import connect, translated
from telestream.db.officer import act_as_officer
from telestream.db.vault import lend_vault_key, vault_key

vault_app = typer.Typer(help="The vault: who is behind a surrogate.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(vault_app, name="vault")


@vault_app.command("reveal")
def vault_reveal(
    subscriber: Annotated[int, typer.Option(help="Surrogate, as facts carry it.")],
    reason: Annotated[str, typer.Option(help="What it is needed for; kept in the access log.")],
) -> None:
    """Show the number behind a surrogate. The read and its reason are in the access log before it is shown."""
    key = vault_key()
    with translated(), connect(autocommit=True) as connection:
        migrate.require_head(connection)
        act_as_officer(connection)
        lend_vault_key(connection, key)
        row = connection.execute("CALL vault.reveal(%s, %s, NULL)", (subscriber, reason)).fetchone()
        console.print(row[0] if row else "", highlight=False, markup=False)
        connection.execute("SELECT audit.seal()")
