"""A backup that pg_restore could not load is not made."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from staging import cdr, refine

from telestream.db import backup, migrate
from telestream.errors import TerminalError

pytestmark = pytest.mark.community


def test_compressed_rows_want_a_timescaledb_that_can_restore_them(
    fresh_community_url: str, vault_key_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vault_key_file
    migrate.upgrade(fresh_community_url)
    with psycopg.connect(fresh_community_url, autocommit=True, prepare_threshold=None) as connection:
        refine(connection, [cdr()])
        backup.require_restorable(connection, "2.19.3")
        connection.execute("SET ROLE telestream_owner")
        connection.execute("ALTER TABLE silver.fact_cdr SET (timescaledb.compress)")
        connection.execute("SELECT public.compress_chunk(c) FROM public.show_chunks('silver.fact_cdr') AS c")
        connection.execute("RESET ROLE")
        for version in ("2.20.1", "2.30.2", "3.0.0-dev"):
            backup.require_restorable(connection, version)
        for version in ("2.19.3", "2.20.0"):
            with pytest.raises(TerminalError, match="could not be restored") as caught:
                backup.require_restorable(connection, version)
            assert "1 chunks are compressed" in str(caught.value.detail)
    # It is asked before anything is dumped, and nothing is left.
    monkeypatch.setattr(backup, "_RESTORES_COMPRESSED", (99,))
    with pytest.raises(TerminalError, match="could not be restored"):
        backup.create(fresh_community_url, tmp_path / "b", lambda _: None)
    assert not (tmp_path / "b").exists()
