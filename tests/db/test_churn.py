"""Churn: the model is the regression it says it is, is judged on what it has not seen, and needs enough to learn from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from use import MONDAY, Use, add_use, fading_population, profiled

WEEKS = 18
LAST = MONDAY + timedelta(weeks=WEEKS - 1)


def model(connection: psycopg.Connection) -> dict[str, Any]:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute("SELECT * FROM analytics.churn_model ORDER BY version DESC LIMIT 1").fetchone()
    assert row is not None
    return row


def said(connection: psycopg.Connection) -> str:
    return str(connection.execute("SELECT result FROM analytics.run ORDER BY run_id DESC LIMIT 1").fetchone())


def test_it_finds_who_leaves_and_says_why(connection: psycopg.Connection, database: str) -> None:
    add_use(connection, fading_population(400, WEEKS))
    profiled(database)
    made = model(connection)
    # What it was trained at had its outcome before the week it is judged at.
    assert made["later_week"] == LAST - timedelta(weeks=4)
    assert made["last_week"] == LAST - timedelta(weeks=8)
    assert made["auc_held"] > 0.8
    assert made["auc_later"] > 0.8
    assert made["held_customers"] + made["customers"] > 800
    rows = connection.execute(
        "SELECT risk, contributions FROM gold.churn_risk WHERE week = %s ORDER BY risk DESC", (LAST,)
    ).fetchall()
    assert rows[0][0] > 0.5 > rows[len(rows) // 2][0]
    for risk, contributions in rows:
        odds = made["coefficients"][0] + sum(contributions)
        assert risk == pytest.approx(1 / (1 + np.exp(-odds)))
    # Twice is once, and the model is kept until another week has its outcome.
    profiled(database)
    assert "kept model 1" in said(connection)
    assert "0 risks written" in said(connection)
    add_use(connection, [Use(c, LAST + timedelta(days=7 + d)) for c in range(1, 400) for d in range(7) if c % 3])
    profiled(database)
    assert "trained model 2" in said(connection)
    assert connection.execute("SELECT DISTINCT week, version FROM gold.churn_risk ORDER BY 1").fetchall() == [
        (LAST, 1), (LAST + timedelta(weeks=1), 2),
    ]  # fmt: skip


def test_the_fit_is_the_maximum_of_its_likelihood(connection: psycopg.Connection) -> None:
    """Against Newton's method in numpy, with features that are constant, collinear and far apart in size."""
    random = np.random.default_rng(3)
    rows = 3_000
    x = random.normal(size=(rows, 4))
    x[:, 2] = 0
    x[:, 3] = 2 * x[:, 0]
    odds = 0.3 - 1.2 * x[:, 0] + 0.7 * x[:, 1]
    y = (random.random(rows) < 1 / (1 + np.exp(-odds))).astype(float)
    connection.execute(
        "CREATE TEMP TABLE _churn_row (x double precision[], is_churned boolean, is_held boolean, is_later boolean)"
    )
    with connection.cursor().copy("COPY _churn_row FROM STDIN") as copy:
        for row, churned in zip(x.tolist(), y.tolist(), strict=True):
            copy.write_row((row, bool(churned), False, False))
    found = connection.execute("SELECT o_coefficients, o_steps FROM analytics._fit_logistic(4)").fetchone()
    assert found is not None
    design = np.hstack([np.ones((rows, 1)), x])
    ridge = np.diag([0.0, 1, 1, 1, 1])
    beta = np.zeros(5)
    for _ in range(30):
        p = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (y - p) - ridge @ beta
        beta += np.linalg.solve(design.T @ (design * (p * (1 - p))[:, None]) + ridge, gradient)
    assert found[0] == pytest.approx(beta.tolist(), abs=1e-7)
    assert found[1] < 15
    connection.execute("UPDATE _churn_row SET is_held = true")
    auc = connection.execute("SELECT o_auc FROM analytics._churn_auc(%s, false)", (found[0],)).fetchone()
    assert auc is not None
    score = design @ beta
    positive, negative = score[y == 1], score[y == 0]
    wins = (positive[:, None] > negative).mean() + (positive[:, None] == negative).mean() / 2
    assert auc[0] == pytest.approx(float(wins), abs=1e-9)


def test_without_enough_there_is_no_model(connection: psycopg.Connection, database: str) -> None:
    profiled(database)
    assert "no model" in said(connection)
    add_use(connection, fading_population(60, WEEKS))
    profiled(database)
    assert "no model" in said(connection)
    assert connection.execute("SELECT count(*) FROM gold.churn_risk").fetchone() == (0,)


def test_with_little_history_it_is_not_judged_later(connection: psycopg.Connection, database: str) -> None:
    add_use(connection, fading_population(400, 11))
    profiled(database)
    made = model(connection)
    assert (made["later_week"], made["auc_later"], made["later_customers"]) == (None, None, 0)
    assert made["last_week"] == MONDAY + timedelta(weeks=6)


def test_if_nobody_leaves_there_is_nothing_to_learn(connection: psycopg.Connection, database: str) -> None:
    """A constant series: each customer the same every day."""
    days = [MONDAY + timedelta(days=n) for n in range(0, 7 * WEEKS, 3)]
    add_use(connection, [Use(customer, day) for customer in range(1, 301) for day in [*days, LAST + timedelta(days=6)]])
    profiled(database)
    assert "no model" in said(connection)
