"""Fraud: what is planted is found, what only looks like it is not, and cases stay what they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from command import telestream
from psycopg import errors
from staging import cdr, refine

from telestream.loaders.generate import GenerateSpec, generate_cdr
from telestream.loaders.generate.fraud import LOOKALIKES, RULES, Planted, read_truth, write_fraud

LAST_DAY = date(2026, 3, 30)
DAYS = 10
START = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)


def find(connection: psycopg.Connection, now: datetime | None = None) -> tuple[int, str]:
    connection.execute("SET ROLE telestream_owner")
    try:
        return connection.execute("SELECT o_rows, o_result FROM analytics.find_fraud(%s)", (now,)).fetchone()
    finally:
        connection.execute("RESET ROLE")


def cases(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT rule, subscriber_id, started_at, last_seen_at, round(score::numeric, 3), closed_at"
        " FROM analytics.fraud_case WHERE merged_into IS NULL ORDER BY 1, 2, 3"
    ).fetchall()


def subject(connection: psycopg.Connection, planted: Planted) -> int:
    (found,) = connection.execute(
        "SELECT caller_id FROM silver.fact_cdr WHERE cdr_id = md5('fraud-plant' || E'\\x1f' || %s || E'\\x1f' || 0)::uuid",
        (planted.native_key,),
    ).fetchone()
    return found
