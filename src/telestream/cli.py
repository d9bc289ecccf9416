"""The `telestream` command: gathers the parts' commands and turns errors into one clear message."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from telestream import __version__
from telestream.errors import TelestreamError
from telestream.settings import unknown_variables

app = typer.Typer(
    name="telestream",
    help="Telecom data in TimescaleDB: load CDR files, read network events, keep Gold correct, run the embedded stack.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"telestream {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the stack trace of an error.")] = False,
    _: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = False,
) -> None:
    if debug:
        os.environ["TELESTREAM_DEBUG"] = "1"


def _register() -> None:
    from telestream.consumers.alerts_cli import register as register_alerts
    from telestream.consumers.consume_cli import register as register_consume
    from telestream.consumers.produce_cli import register as register_produce
    from telestream.consumers.topics_cli import register as register_topics
    from telestream.db.analytics_cli import register as register_analytics
    from telestream.db.audit_cli import register as register_audit
    from telestream.db.backup_cli import register as register_backup
    from telestream.db.catalog_cli import register as register_catalog
    from telestream.db.cli import register as register_db
    from telestream.db.lineage_cli import register as register_lineage
    from telestream.db.notify_cli import register as register_notify
    from telestream.db.vault_cli import register as register_vault
    from telestream.demo import register as register_demo
    from telestream.graphql.api_cli import register as register_api
    from telestream.loaders.cli import register as register_loaders
    from telestream.privacy_cli import register as register_privacy
    from telestream.stack.cli import register as register_stack

    register_stack(app)
    register_db(app)
    register_backup(app)
    register_vault(app)
    register_audit(app)
    register_catalog(app)
    register_privacy(app)
    register_lineage(app)
    register_notify(app)
    register_analytics(app)
    register_loaders(app)
    register_topics(app)
    register_produce(app)
    register_consume(app)
    register_alerts(app)
    register_api(app)
    register_demo(app)
    app.add_typer(_benchmarks(), name="bench")


def _benchmarks() -> typer.Typer:
    from telestream.bench_api import api
    from telestream.bench_grafana import grafana
    from telestream.bench_load import load
    from telestream.consumers.bench_anomaly import anomaly
    from telestream.consumers.bench_stream import stream
    from telestream.loaders.bench import batch
    from telestream.loaders.bench_analytics import analytics
    from telestream.loaders.bench_archive import archive
    from telestream.loaders.bench_churn import churn
    from telestream.loaders.bench_forecast_cli import forecast_
    from telestream.loaders.bench_fraud import fraud

    benchmarks = typer.Typer(help="Benchmarks: commands that print ratios taken in one run.", no_args_is_help=True)
    for command in (batch, stream, anomaly, api, load, archive, analytics, fraud, churn, grafana):
        benchmarks.command()(command)
    benchmarks.command("forecast")(forecast_)
    return benchmarks


def report(error: TelestreamError, console: Console) -> None:
    """Print an error as its fact, detail and hint."""
    console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
    for line in (error.detail or "").splitlines():
        console.print(f"  {escape(line)}", soft_wrap=True, highlight=False)
    if error.hint:
        console.print(f"[bold]hint:[/] {escape(error.hint)}", soft_wrap=True, highlight=False)


def main() -> None:
    """Run the command line; exit code 0 for success, 1 or 2 for a terminal error, 75 for a transient one."""
    console = Console(stderr=True)
    for variable, meant in unknown_variables().items():
        hint = f"; did you mean {meant}?" if meant else ", see docs/architecture.md"
        console.print(f"[yellow]warning:[/] {variable} is no setting and is not read{hint}", soft_wrap=True)
    try:
        _register()
        app()
    except TelestreamError as exc:
        if os.environ.get("TELESTREAM_DEBUG") or "--debug" in sys.argv:
            raise
        report(exc, console)
        sys.exit(exc.exit_code)
    except KeyboardInterrupt:
        console.print("interrupted; what was committed stays, run the same command to go on")
        sys.exit(130)


if __name__ == "__main__":
    main()
