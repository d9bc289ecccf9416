"""The rotation of the vault's key on the community edition: the same tables after the same steps."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from staging import cdr, refine
from vault_keys import behind, states

from telestream.db import migrate, rotation
from telestream.db.vault import lend_key_in_force, vault_key

pytestmark = [pytest.mark.community, pytest.mark.slow]


def test_a_rotation_on_the_community_edition(fresh_community_url: str, own_vault_key: Path) -> None:
    old = own_vault_key.read_text().strip()
    migrate.upgrade(fresh_community_url)
    numbers = [f"+4479000000{number:02d}" for number in range(20)]
    # It takes one connection at a time.
    with psycopg.connect(fresh_community_url, autocommit=True, prepare_threshold=None) as connection:
        refine(connection, [cdr(native_key=number, caller=number, called=None) for number in numbers])
        facts = connection.execute("SELECT cdr_id, caller_id FROM silver.fact_cdr").fetchall()
        before = behind(connection, old)
    said = [step.what for step in rotation.rotate(fresh_community_url, slice_rows=7)]
    assert said[-1] == "retired the key before"
    with psycopg.connect(fresh_community_url, autocommit=True, prepare_threshold=None) as connection:
        assert states(connection) == ["retired", "current"]
        assert behind(connection, vault_key()) == before
        assert set(behind(connection, old).values()) == {None}
        refine(connection, [cdr(native_key="again", caller=numbers[0], called=numbers[1])])
        assert connection.execute("SELECT count(*) - 1 FROM vault.subscriber").fetchone() == (len(before),)
        again = connection.execute("SELECT cdr_id, caller_id FROM silver.fact_cdr").fetchall()
        assert set(facts) < set(again)
        (subscriber,) = connection.execute("SELECT min(caller_id) FROM silver.fact_cdr").fetchone() or (0,)
        connection.execute("SET ROLE telestream_privacy")
        lend_key_in_force(connection)
        shown = connection.execute("CALL vault.reveal(%s, 'court order 17', NULL)", (subscriber,)).fetchone()
        assert shown == (before[subscriber],)
