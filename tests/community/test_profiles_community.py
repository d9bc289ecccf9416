"""Profiles and the model of churn are the same on both editions."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from use import add_use, fading_population

from telestream.db import migrate

pytestmark = pytest.mark.community


def run(url: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SET timezone = 'UTC'")
        add_use(connection, fading_population(400, 11))
        connection.execute("SET ROLE telestream_owner")
        for task in ("customer_profile", "churn"):
            connection.execute("CALL analytics.run_task(%s)", (task,))
        found: list[Any] = []
        for query in (
            "SELECT result FROM analytics.run ORDER BY run_id",
            "SELECT week, subscriber_id, segment, recency_score, frequency_score, monetary_score, charge"
            " FROM gold.customer_segment ORDER BY 1, 2",
            "SELECT subscriber_id, profile::text FROM analytics.customer_profile ORDER BY 1",
            "SELECT first_week, last_week, customers, churned, round(auc_held::numeric, 6) FROM gold.churn_model",
            "SELECT subscriber_id, round(risk::numeric, 6) FROM gold.churn_risk ORDER BY 1",
            "SELECT analytics.forget(ARRAY[1, 2])",
        ):
            found.append(connection.execute(query).fetchall())
    return found


def test_the_editions_agree_on_customers(fresh_community_url: str, database: str, vault_key_file: str) -> None:
    assert vault_key_file
    migrate.upgrade(fresh_community_url)
    community = run(fresh_community_url)
    assert community == run(database)
    assert "trained model 1" in community[0][1][0]
    assert all(community)
