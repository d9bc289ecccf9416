"""The `telestream profiles` commands: see the layouts there are, and try one on a file."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import pyarrow as pa
import typer
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from telestream.errors import ProfileError, UsageError
from telestream.loaders import profile as profiles
from telestream.loaders.canonical import FIELDS, column_name
from telestream.loaders.profile import Profile
from telestream.loaders.readers import open_segments
from telestream.loaders.sniff import assess, sniff, source_columns
from telestream.loaders.sources import HEAD_BYTES, Source, discover

console = Console()
profiles_app = typer.Typer(
    help="Profiles say how a vendor's columns become the canonical CDR: one YAML file a layout, no code.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(profiles_app, name="profiles")


@profiles_app.command("list")
def list_profiles() -> None:
    """List the profiles: the shipped ones and your own.

    Your own are found in the folder named below the list; a file called acme.yaml there is the profile acme.
    """
    table = Table("profile", "version", "format", "what it reads")
    for found in profiles.load_all():
        own = "" if found.origin is None or found.origin.parent == profiles.SHIPPED else " [dim](your own)"
        table.add_row(found.name, str(found.version), found.format, escape(found.description) + own)
    console.print(table)
    console.print(f"your own profiles: {profiles.user_folder()}", soft_wrap=True, highlight=False)
    console.print("try one on a file: telestream profiles test FILE")


@profiles_app.command("show")
def show(name: Annotated[str, typer.Argument(help="Name of a profile, or path of a YAML file.")]) -> None:
    """Show a profile as YAML: the start of your own.

    Example: telestream profiles show canonical > acme.yaml
    """
    found = profiles.load(name)
    assert found.origin is not None  # it has been read from a file
    text = found.origin.read_text(encoding="utf-8")
    if console.is_terminal:
        console.print(Syntax(text, "yaml"))
    else:
        typer.echo(text, nl=False)


@profiles_app.command("test")
def test(
    file: Annotated[str, typer.Argument(help="File or s3:// object; of a folder the first file.")],
    profile: Annotated[
        str | None, typer.Option(help="Profile by name, or path of your own YAML; without it, it is sniffed.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, max=20, help="How many records to show.")] = 5,
) -> None:
    """Show what a profile makes of the beginning of a file; no database is needed and nothing is written.

    You see which profile fits and why, the first records field by field with where each value comes from,
    the columns that nothing reads, and which lines would go to quarantine for which reason.

    Examples: telestream profiles test Master.csv · telestream profiles test day.txt --profile ./acme.yaml
    """
    sources = discover([file])
    if not sources:
        raise UsageError(f"{file}: holds no file")
    source = sources[0]
    if profile is None:
        result = sniff(source)
        chosen, why = result.profile, result.reason
    else:
        chosen, why = profiles.load(profile), "named on the command line"
    _field("file", f"{source.uri} ({source.size:,} bytes{_packed(source)})")
    _field("profile", f"{chosen.name}, version {chosen.version}: {chosen.description}")
    _field("because", why)
    _field("read as", _manner(chosen))
    segment = next(open_segments(source, chosen, segment_bytes=HEAD_BYTES), None)
    if segment is None:
        console.print("the file holds no records")
        return
    whole = " (the whole file)" if segment.end >= source.size and source.compression() is None else ""
    fine, refused = segment.table.num_rows, segment.rejects.num_rows
    if fine:
        console.print(_records(segment.table.sort_by("line").slice(0, rows), chosen))
    read = {name.casefold() for name in chosen.used_columns(source_columns(source, chosen))}
    unread = [name for name in source_columns(source, chosen) if name.casefold() not in read]
    _field("not read", ", ".join(unread) or "nothing, every column is used")
    _field("sample", f"{segment.rows_in:,} records{whole}: {fine:,} can be mapped, {refused:,} cannot")
    if refused:
        console.print(_refusals(segment.rejects))
    refusal = assess(source, chosen)
    if refusal is not None:
        raise ProfileError(
            f"{source.uri}: a load would refuse the whole file", detail=f"{refusal.reason}.", hint=refusal.hint
        )
    option = "" if profile is None else f" --profile {profile}"
    _field("next", f"telestream load cdr {file}{option} --dry-run, then without --dry-run")


def _field(name: str, text: str) -> None:
    console.print(f"[bold]{name}:[/] {escape(text)}", soft_wrap=True, highlight=False)


def _packed(source: Source) -> str:
    compression = source.compression()
    return f", {compression}" if compression else ""


def _manner(profile: Profile) -> str:
    zone = f"local times in {profile.zone}"
    if profile.format != "csv":
        return f"{profile.format}, {zone}"
    dialect = profile.dialect
    quote = f"quoted by {dialect.quote}" if dialect.quote else "without quotes"
    header = "with a header" if dialect.header else "without a header"
    return f"csv, separated by {dialect.delimiter!r}, {quote}, {header}, {dialect.encoding}, {zone}"


def _records(table: pa.Table, profile: Profile) -> Table:
    """Lay records side by side, a field a row: 27 fields are too wide for a terminal."""
    shown = Table("field", "from")
    for line in table.column("line").to_pylist():
        shown.add_column(f"line {line:,}", overflow="fold")
    for name in FIELDS:
        values = table.column(column_name(name)).to_pylist()
        origin = _origin(name, profile)
        if origin or any(value is not None for value in values):
            shown.add_row(name, escape(origin), *(_value(name, value) for value in values))
    return shown


def _origin(name: str, profile: Profile) -> str:
    if name == "extras" and profile.extras:
        return ", ".join(profile.extras)
    rule = profile.fields.get(name)
    if rule is None:
        return ""
    if rule.column is not None:
        return rule.column
    if rule.const is not None:
        return f"= {rule.const}"
    expression = " ".join((rule.expr or "").split())
    return expression if len(expression) <= 40 else f"{expression[:39]}…"


def _value(name: str, value: object) -> str:
    if value is None:
        return "[dim]null"
    if name == "charge" and isinstance(value, int):
        return f"{value / 1_000_000:.6f}"
    return escape(value.isoformat() if hasattr(value, "isoformat") else str(value))


def _refusals(rejects: pa.Table) -> Table:
    """Count the refused lines by rule and field, with the first line of each."""
    counts: Counter[tuple[str, str | None]] = Counter()
    examples: dict[tuple[str, str | None], tuple[int, str]] = {}
    for row in rejects.select(["rule", "field", "line", "reason"]).to_pylist():
        kind = (row["rule"], row["field"])
        counts[kind] += 1
        examples.setdefault(kind, (row["line"], row["reason"]))
    shown = Table("refused", "rule", "first line", "reason")
    for kind, count in counts.most_common():
        line, reason = examples[kind]
        shown.add_row(f"{count:,}", kind[0], f"{line:,}", escape(reason))
    return shown
