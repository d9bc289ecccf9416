"""`telestream vault`: the identity behind a surrogate, for a reason that the access log keeps; the vault's keys."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from telestream.console import console
from telestream.db import migrate, rotation
from telestream.db.connection import connect, translated
from telestream.db.officer import act_as_officer
from telestream.db.vault import lend_key_in_force, vault_key
from telestream.errors import UsageError
from telestream.settings import settings

vault_app = typer.Typer(help="The vault: who is behind a surrogate, and its keys.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(vault_app, name="vault")


@vault_app.command("reveal")
def vault_reveal(
    subscriber: Annotated[int, typer.Option(help="Surrogate, as facts carry it.")],
    reason: Annotated[str, typer.Option(help="What it is needed for; kept in the access log.")],
) -> None:
    """Show the number behind a surrogate. The read and its reason are in the access log before it is shown."""
    vault_key()  # a missing file is said before anything else
    with translated(), connect(autocommit=True) as connection:
        migrate.require_head(connection)
        act_as_officer(connection)
        lend_key_in_force(connection)
        row = connection.execute("CALL vault.reveal(%s, %s, NULL)", (subscriber, reason)).fetchone()
        console.print(row[0] if row else "", highlight=False, markup=False)
        connection.execute("SELECT audit.seal()")


@vault_app.command("keys")
def vault_keys() -> None:
    """Show the keys the vault was and is used with, by fingerprint, and how a rotation stands."""
    table = Table("key", "state", "fingerprint", "added", "in force from", "retired", "surrogates left", title="Keys")
    with translated(), connect(role=rotation.OWNER) as connection:
        migrate.require_head(connection)
        for row in connection.execute(
            "SELECT key_id, state, left(encode(fingerprint, 'hex'), 16), added_at::timestamptz(0),"
            " current_from::timestamptz(0), retired_at::timestamptz(0), CASE WHEN state = 'coming' OR state = 'current'"
            " AND EXISTS (SELECT FROM vault.key WHERE state = 'retiring') THEN walk_until - walked_to END"
            " FROM vault.key ORDER BY key_id"
        ):
            table.add_row(*("" if value is None else str(value) for value in row))
        (stray,) = connection.execute(
            "SELECT count(*) FROM vault.subscriber AS s WHERE s.token IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM vault.key AS k WHERE k.key_id = s.key_id AND k.state <> 'retired')"
            " AND EXISTS (SELECT FROM vault.key)"
        ).fetchone() or (0,)
    console.print(table)
    if stray:
        console.print(f"{stray:,} identities were made with a key that is not in force: no key here opens them")


@vault_app.command("rotate")
def vault_rotate(
    slice_rows: Annotated[int, typer.Option("--slice", min=1, max=1_000_000, help="Persons per transaction.")] = 10_000,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only make the next key, to copy it to every machine first.")
    ] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Take back a rotation that has not switched yet; changes no file.")
    ] = False,
    forget_old: Annotated[
        bool, typer.Option("--forget-old", help="Remove the file of the key before, once nothing needs it.")
    ] = False,
) -> None:
    """Replace the vault's key; loads go on, surrogates stay. Run again, it goes on where it was.

    The next key lies beside the key file, with the ending .next, or where TELESTREAM_VAULT_NEXT_KEY_FILE says, in
    which case no file is changed. Loaders and consumers on other machines need it there before this runs, see
    docs/security.md. Afterwards the old key opens nothing in this database; of backups made before it does.
    """
    if prepare + abort + forget_old > 1:
        raise UsageError("--prepare, --abort and --forget-old exclude each other")
    if prepare:
        made = rotation.make_next_key()
        console.print(f"{'made' if made else 'it is there already:'} {settings().vault_next_key_path}", highlight=False)
    elif abort:
        rotation.abort()
        console.print("the rotation is taken back; the current key stays in force")
    elif forget_old:
        console.print("the key before is removed" if rotation.forget_old_key() else "there is no key before")
    else:
        with console.status("rotating the vault's key") as status:
            for step in rotation.rotate(slice_rows=slice_rows):
                if step.left:
                    status.update(f"{step.what}, {step.left:,} left")
                else:
                    console.print(step.what, highlight=False)
