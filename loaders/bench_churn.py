"""Measures profiles of customers: seconds, memory, and how well the risk of churn tells who leaves."""

from __future__ import annotations

import datetime
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from rich.table import Table

from telestream.console import console
from telestream.db import migrate
from telestream.db.scratch import scratch_database
from telestream.loaders.bench import DATABASE, timed
from telestream.loaders.bench_task import run_task, surrogates
from telestream.loaders.generate import GenerateSpec
from telestream.loaders.generate.churn import LEAST_WEEKS, SOURCE, Planted, write_churn
from telestream.loaders.generate.planted import read_truth
from telestream.stack import lifecycle

_LAST_DAY = datetime.date(2026, 3, 29)
_ASKED = 20


def churn(
    customers: Annotated[int, typer.Option(min=500, help="People; each has about ten CDRs a week.")] = 50_000,
    weeks: Annotated[int, typer.Option(min=LEAST_WEEKS, help="Weeks they are spread over.")] = 18,
) -> None:
    """Load CDRs of customers of whom some leave, profile them, train the model of churn and hold it against the truth.

    In a database of its own, which is dropped afterwards. The area under the ROC curve is the probability that of two
    customers the one who leaves has the higher risk: 0.5 is a guess. Held back are one customer of five, and a later
    week.
    """
    state = lifecycle.up()
    with (
        scratch_database(state, DATABASE) as (url, superuser_url),
        psycopg.connect(superuser_url, autocommit=True) as superuser,
        tempfile.TemporaryDirectory() as folder,
    ):
        migrate.upgrade(url)
        out = Path(folder, "churn.csv")
        spec = GenerateSpec(rows=1, day=_LAST_DAY, cells=500, subscribers=customers)
        with console.status("generating and loading"):
            rows, beside = write_churn(spec, weeks, out)
            loaded, _ = timed(
                ["load", "cdr", str(out), "--profile", "canonical"], {**os.environ, "TELESTREAM_DATABASE_URL": url}
            )
        console.print(
            f"{platform.machine()}, {os.cpu_count()} cores; {rows:,} CDRs of {customers:,} customers in {weeks} weeks,"
            " database on the same machine"
        )
        table = Table("what", "measured", title="Profiles of customers")
        table.add_row("load and refresh", f"{loaded:.0f} s")
        for task in ("customer_profile", "churn"):
            for when in ("first run", "with nothing new"):
                run = run_task(superuser_url, url, task)
                table.add_row(f"{task}, {when}", f"{run.seconds:.1f} s, {run.memory_mb:.0f} MB at most: {run.result}")
        superuser.execute("INSERT INTO analytics.stale_customer_week SELECT max(week), -1 FROM analytics.customer_week")
        again = run_task(superuser_url, url, "customer_profile")
        table.add_row("customer_profile, newest week read again", f"{again.seconds:.1f} s")
        for name, value in (
            *_model(superuser),
            *_truth(superuser, list(read_truth(beside, Planted))),
            _similar(superuser),
        ):
            table.add_row(name, value)
    console.print(table)


def _model(connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    [(auc_held, held, auc_later, later, names, weights)] = connection.execute(
        "SELECT auc_held, held_customers, auc_later, later_customers, features, coefficients FROM gold.churn_model"
    ).fetchall()
    return [
        ("AUC on customers held back", f"{auc_held:.3f} ({held:,} customers and weeks)"),
        ("AUC on them four weeks later", f"{auc_later:.3f} ({later:,} customers)"),
        ("weights", ", ".join(f"{name} {weight:+.2f}" for name, weight in zip(names, weights[1:], strict=True))),
    ]


def _truth(connection: psycopg.Connection[Any], truth: list[Planted]) -> list[tuple[str, str]]:
    """Hold the newest risks against what was planted: who fades now, and did not before the last days."""
    surrogates_of = surrogates(connection, SOURCE, [one.native_key for one in truth])
    risks = dict(
        connection.execute(
            "SELECT subscriber_id, risk FROM gold.churn_risk WHERE week = (SELECT max(week) FROM gold.churn_risk)"
        ).fetchall()
    )
    kinds = {surrogates_of[one.native_key]: one.kind for one in truth}
    worst = sorted(risks, key=lambda one: -risks[one])[: max(1, len(risks) // 100)]
    shown = {kind: sum(kinds[one] == kind for one in worst) for kind in sorted(set(kinds.values()))}
    return [("the riskiest of a hundred are planted as", ", ".join(f"{n:,} {kind}" for kind, n in shown.items() if n))]


def _similar(connection: psycopg.Connection[Any]) -> tuple[str, str]:
    asked = connection.execute(
        "SELECT subscriber_id FROM analytics.customer_profile ORDER BY subscriber_id LIMIT %s", (_ASKED,)
    ).fetchall()
    began = time.monotonic()
    for one in asked:
        connection.execute("SELECT * FROM analytics.similar_customers(%s, 10)", one)
    [(profiles,)] = connection.execute("SELECT count(*) FROM analytics.customer_profile").fetchall()
    took = (time.monotonic() - began) / len(asked) * 1000
    return "similar customers, all compared", f"{took:.1f} ms of {profiles:,}"
