"""The rules that docs/quality.md shows can be added as they stand there."""

from __future__ import annotations

import re

import psycopg
from command import ROOT


def test_the_rules_shown_can_be_added_and_judged(connection: psycopg.Connection) -> None:
    shown = re.findall(r"^```sql\n(.*?)^```$", (ROOT / "docs" / "quality.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(shown) == 4
    for statements in shown:
        connection.execute(statements)
    outcomes = connection.execute("SELECT DISTINCT outcome FROM quality.check_expectations()").fetchall()
    assert ("error",) not in outcomes
