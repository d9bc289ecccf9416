"""The vault's key is replaced while identities are enrolled: same surrogates, none twice, and the old key opens nothing."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from command import assert_clear_error, start, telestream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors
from staging import cdr, refine
from vault_keys import behind, enrol, states, write_key

from telestream.db import rotation
from telestream.db.vault import lend_key_in_force, lend_vault_key, vault_key, vault_keys
from telestream.errors import TerminalError, TransientError
from telestream.loaders.customers import load_customers
from telestream.loaders.sources import discover
from telestream.settings import settings as telestream_settings

PEOPLE = [f"+4479000000{number:02d}" for number in range(30)]
_UNTIL = """
import os, signal, sys
from telestream.db.rotation import rotate
for step in rotate(slice_rows=12):
    print(step.what, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def file_beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def lend_both(connection: psycopg.Connection, key: str, following: str) -> None:
    lend_vault_key(connection, key)
    connection.execute("SELECT set_config('telestream.vault_next_key', %s, false)", (following,))


def assert_rotated(connection: psycopg.Connection, old: str, new: str, people: dict[str, int]) -> None:
    """Everybody is where they were, once, under the new key, and nothing of the old one is left."""
    assert behind(connection, new) == {surrogate: identity for identity, surrogate in people.items()}
    assert set(behind(connection, old).values()) <= {None}
    tokens = connection.execute(
        "SELECT count(*) FROM unnest(%s::text[]) AS i (identity) CROSS JOIN vault._key_material(%s) AS m"
        " INNER JOIN vault.subscriber AS s"
        " ON s.token = sha256(m.p_outer || sha256(m.p_inner || convert_to(i.identity, 'UTF8')))",
        (list(people), old),
    ).fetchone()
    assert tokens == (0,)
    assert connection.execute("SELECT count(*) FROM vault.rotated").fetchone() == (0,)
    assert enrol(connection, new, people) == people


def refused(connection: psycopg.Connection, key: str) -> str | None:
    """Return the code with which a key is refused."""
    try:
        enrol(connection, key, PEOPLE[:1])
    except psycopg.Error as exc:
        return exc.sqlstate
    return None


# Any order ------------------------------------------------------------------------------------------

_STEPS = {
    "begin": "SELECT vault.rotate_begin()",
    "fill": "SELECT vault.rotate_fill(3)",
    "switch": "SELECT vault.rotate_switch(5)",
    "move": "SELECT vault.rotate_move(3)",
    "end": "SELECT vault.rotate_end()",
}
_enrolments = st.tuples(st.sampled_from(["old", "new"]), st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=8))
_orders = st.lists(st.one_of(_enrolments, st.sampled_from(sorted(_STEPS))), max_size=25)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=_orders)
def test_any_order_of_steps_and_enrolments(
    connection: psycopg.Connection, order: list[str | tuple[str, list[str]]]
) -> None:
    connection.execute("SET ROLE telestream_owner")
    connection.execute("TRUNCATE vault.rotated, vault.key")
    connection.execute("DELETE FROM vault.subscriber WHERE subscriber_id <> 0")
    connection.execute("RESET ROLE")
    keys = {"old": secrets.token_hex(32), "new": secrets.token_hex(32)}
    people = enrol(connection, keys["old"], PEOPLE[:10])
    # Where the given order stops, the rotation goes on to its end.
    ending = ["begin", *["fill"] * 11, "switch", *["fill"] * 11, "switch", *["move"] * 11, "end"]
    for one in [*order, *ending]:
        current = "old" if states(connection)[0] in {"current"} else "new"
        if isinstance(one, tuple):
            who, identities = one
            if who != current:
                assert refused(connection, keys[who]) == ("TS041" if len(states(connection)) == 2 else "TS040")
                continue
            found = enrol(connection, keys[who], identities)
            assert found.keys() == set(identities)
            assert found == {name: people.get(name, found[name]) for name in found}
            people |= found
        else:
            lend_both(connection, keys["old"], keys["new"])
            with contextlib.suppress(psycopg.Error):
                connection.execute(_STEPS[one])
    assert states(connection) == ["retired", "current"]
    assert len(set(people.values())) == len(people)
    assert_rotated(connection, keys["old"], keys["new"], people)


# The command ----------------------------------------------------------------------------------------


def test_the_command(connection: psycopg.Connection, own_vault_key: Path) -> None:
    old = vault_key()
    people = enrol(connection, old, PEOPLE)
    refine(connection, [cdr(caller=PEOPLE[0], called=PEOPLE[1])])
    facts = connection.execute("SELECT caller_id, called_id FROM silver.fact_cdr").fetchall()
    done = telestream("vault", "rotate", "--slice", "7")
    assert done.returncode == 0, done.stderr
    new = vault_key()
    assert new != old
    assert file_beside(own_vault_key, ".old").read_text().strip() == old
    assert not file_beside(own_vault_key, ".next").exists()
    for path in own_vault_key.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert_rotated(connection, old, new, people)
    assert connection.execute("SELECT caller_id, called_id FROM silver.fact_cdr").fetchall() == facts
    assert facts == [(people[PEOPLE[0]], people[PEOPLE[1]])]
    shown = telestream("vault", "keys")
    assert re.search(r"│ 1 +│ retired .*\n.*│ 2 +│ current ", shown.stdout), shown.stdout

    # The key of the rotation before opens backups: it is not overwritten.
    assert_clear_error(telestream("vault", "rotate"), "still there", "--forget-old")
    forgotten = telestream("vault", "rotate", "--forget-old")
    assert forgotten.returncode == 0, forgotten.stderr
    assert [path.name for path in own_vault_key.parent.iterdir()] == [own_vault_key.name]
    prepared = telestream("vault", "rotate", "--prepare")
    assert prepared.returncode == 0, prepared.stderr
    again = telestream("vault", "rotate")
    assert again.returncode == 0, again.stderr
    assert_rotated(connection, new, vault_key(), people)
    said = "".join(one.stdout + one.stderr for one in (done, shown, forgotten, prepared, again))
    for key in (old, new, vault_key()):
        assert key not in said
    for path in own_vault_key.parent.iterdir():
        assert path.read_text().strip() not in said


def test_kill_9_after_each_step_then_again(connection: psycopg.Connection, own_vault_key: Path) -> None:
    old = vault_key()
    people = enrol(connection, old, PEOPLE)
    done: list[str] = []
    while states(connection) != ["retired", "current"]:
        assert len(done) < 40, done
        killed = subprocess.run([sys.executable, "-c", _UNTIL], env=os.environ, capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        done.append(killed.stdout.decode().strip())
        # Whatever has been done, loads go on.
        lend_key_in_force(connection)
        (key,) = connection.execute("SHOW telestream.vault_key").fetchone() or ("",)
        people |= enrol(connection, key, [*PEOPLE, f"+4478000000{len(done):02d}"])
    assert {re.sub(" the key file.*", " the key file", what) for what in done} == {
        "made the next key", "registered the next key", "re-encrypted", "switched to the next key",
        "replaced the key file", "replaced what the key before made", "retired the key before",
    }  # fmt: skip
    assert len(set(people.values())) == len(people)
    assert_rotated(connection, old, vault_key(), people)
    assert file_beside(own_vault_key, ".old").read_text().strip() == old


def test_kill_9_between_the_two_renames(connection: psycopg.Connection, own_vault_key: Path) -> None:
    old = vault_key()
    people = enrol(connection, old, PEOPLE)
    code = (
        "import os, pathlib, signal\nfrom telestream.db.rotation import rotate\n"
        "pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\nlist(rotate())"
    )
    assert start(code).wait(60) == -signal.SIGKILL
    assert states(connection) == ["retiring", "current"]
    assert vault_keys()[0] == old
    lend_key_in_force(connection)
    assert connection.execute("SELECT vault.check_key()").fetchone() == ("current",)
    assert [step.what for step in rotation.rotate()][-1] == "retired the key before"
    assert file_beside(own_vault_key, ".old").read_text().strip() == old
    assert_rotated(connection, old, vault_key(), people)


def test_reveal_and_enrolments_at_every_step(connection: psycopg.Connection, own_vault_key: Path) -> None:
    assert own_vault_key
    old = vault_key()
    people = enrol(connection, old, PEOPLE)
    for number, _ in enumerate(rotation.rotate(slice_rows=4)):
        lend_key_in_force(connection)
        (key,) = connection.execute("SHOW telestream.vault_key").fetchone() or ("",)
        name = PEOPLE[number % len(PEOPLE)]
        shown = connection.execute("CALL vault.reveal(%s, 'case 17 of 2026', NULL)", (people[name],)).fetchone()
        assert shown == (name,)
        people |= enrol(connection, key, [name, f"+4478000000{number:02d}"])
        assert people[name] == enrol(connection, key, [name])[name]
    assert_rotated(connection, old, vault_key(), people)


def test_a_rotation_is_taken_back_until_the_switch(connection: psycopg.Connection, own_vault_key: Path) -> None:
    old = vault_key()
    people = enrol(connection, old, PEOPLE)
    with pytest.raises(TerminalError, match="no rotation can be taken back"):
        rotation.abort()
    for step in rotation.rotate(slice_rows=7):
        if step.what == "re-encrypted":
            break
    file_beside(own_vault_key, ".next").unlink()
    with pytest.raises(TerminalError, match="the next vault key is missing") as missing:
        list(rotation.rotate())
    assert "--abort" in str(missing.value.hint)
    write_key(file_beside(own_vault_key, ".next"))
    with pytest.raises(TerminalError, match="the next vault key cannot be used") as other:
        list(rotation.rotate())
    assert "--abort" in str(other.value.hint)
    aborted = telestream("vault", "rotate", "--abort")
    assert aborted.returncode == 0, aborted.stderr
    assert behind(connection, old) == {surrogate: identity for identity, surrogate in people.items()}
    assert states(connection) == ["current"]
    for step in rotation.rotate(slice_rows=7):
        if step.what.startswith("switched"):
            break
    with pytest.raises(TerminalError, match="no rotation can be taken back"):
        rotation.abort()
    list(rotation.rotate())
    assert_rotated(connection, old, vault_key(), people)


def test_one_rotation_at_a_time(connection: psycopg.Connection, own_vault_key: Path) -> None:
    enrol(connection, vault_key(), PEOPLE)
    first = rotation.rotate(slice_rows=7)
    next(first)
    with pytest.raises(TransientError, match="another rotation is running"):
        next(rotation.rotate())
    first.close()
    assert_clear_error(telestream("vault", "rotate", "--abort", "--prepare"), "exclude each other")


# Files that others manage -----------------------------------------------------------------------------


def test_files_of_others_are_read_and_left_alone(
    connection: psycopg.Connection, own_vault_key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = vault_key()
    people = enrol(connection, old, PEOPLE)
    following = tmp_path / "mounted" / "next"
    monkeypatch.setenv("TELESTREAM_VAULT_NEXT_KEY_FILE", str(following))
    telestream_settings.cache_clear()
    with pytest.raises(TerminalError, match="the next vault key cannot be read") as missing:
        list(rotation.rotate())
    assert str(following) in str(missing.value.detail)
    assert "openssl rand" in str(missing.value.hint)
    following.parent.mkdir()
    new = write_key(following)
    list(rotation.rotate())
    assert vault_keys() == [old, new]
    assert {path.name for path in own_vault_key.parent.iterdir()} == {own_vault_key.name}
    assert_rotated(connection, old, new, people)
    lend_key_in_force(connection)
    assert connection.execute("SELECT vault.check_key()").fetchone() == ("current",)
    # Until the files are put in order, there is nothing to rotate to.
    with pytest.raises(TransientError, match="not in force") as ended:
        list(rotation.rotate())
    assert "TELESTREAM_VAULT_KEY_FILE" in str(ended.value.hint)


@pytest.mark.parametrize("obstacle", ["folder", "earlier key"])
def test_a_key_file_that_cannot_be_replaced(connection: psycopg.Connection, own_vault_key: Path, obstacle: str) -> None:
    old = vault_key()
    people = enrol(connection, old, PEOPLE)
    steps = rotation.rotate()
    for step in steps:
        if step.what.startswith("switched"):
            break
    if obstacle == "folder":  # root cannot write over one either
        file_beside(own_vault_key, ".old.partial").mkdir()
    else:
        earlier = write_key(file_beside(own_vault_key, ".old"))
    told = [step.what for step in steps]
    assert re.match("could not replace the key file|left the key file as it is", told[0]), told
    assert_rotated(connection, old, vault_keys()[1], people)
    assert vault_key() == old
    if obstacle == "folder":
        file_beside(own_vault_key, ".old.partial").rmdir()
    else:
        assert file_beside(own_vault_key, ".old").read_text().strip() == earlier


# Keys that are wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize("registered", [True, False])
def test_a_wrong_key_gives_nobody_a_new_surrogate(
    connection: psycopg.Connection, own_vault_key: Path, tmp_path: Path, registered: bool
) -> None:
    people = enrol(connection, vault_key(), PEOPLE)
    if not registered:  # a database of before there were fingerprints
        connection.execute("DELETE FROM vault.key")
    file = tmp_path / "customers.csv"
    file.write_text("customer_id,changed_at,msisdn,status\nC1,2026-01-01T00:00:00Z,+447999999999,active\n")
    right = own_vault_key.read_text()
    wrong = write_key(own_vault_key)
    with pytest.raises(TerminalError, match="the vault key is not the one of this database"):
        load_customers(discover([str(file)]))
    assert refused(connection, wrong) == "TS040"
    assert connection.execute("SELECT count(*) - 1 FROM vault.subscriber").fetchone() == (len(people),)
    assert connection.execute("SELECT count(*) FROM ops.batch").fetchone() == (0,)
    assert states(connection) == (["current"] if registered else [])
    own_vault_key.write_text(right)
    [result] = load_customers(discover([str(file)]))
    assert result.outcome == "loaded"
    assert states(connection) == ["current"]
    assert set(people.values()) < set(behind(connection, right.strip()))


def test_of_two_first_keys_one_is_the_first(connection: psycopg.Connection, database: str) -> None:
    mine, other = secrets.token_hex(32), secrets.token_hex(32)
    with psycopg.connect(database, autocommit=True) as second:
        second.execute("SET lock_timeout = '100ms'")
        with connection.transaction():
            enrol(connection, mine, PEOPLE[:1])
            with pytest.raises(errors.LockNotAvailable):
                enrol(second, other, PEOPLE[1:2])
        assert refused(second, other) == "TS040"
        assert enrol(second, mine, PEOPLE[1:2])
    assert states(connection) == ["current"]


def test_sessions_that_use_the_first_key_at_once(connection: psycopg.Connection, database: str) -> None:
    key, sessions = secrets.token_hex(32), 8
    ready = threading.Barrier(sessions, timeout=60)

    def use(_: int) -> tuple[int] | None:
        # A new session plans every query, so the others have time to end between two of them.
        with psycopg.connect(database, autocommit=True) as session:
            lend_vault_key(session, key)
            ready.wait()
            return session.execute("SELECT vault._key_in_force()").fetchone()

    with ThreadPoolExecutor(sessions) as pool:
        # Where a session took its key for a wrong one, it was in every ninth round.
        for _ in range(60):
            connection.execute("DELETE FROM vault.key")
            assert set(pool.map(use, range(sessions))) == {(1,)}
    assert states(connection) == ["current"]


def test_an_identity_that_no_key_opens_stays_as_it_is(connection: psycopg.Connection, own_vault_key: Path) -> None:
    assert own_vault_key
    old = vault_key()
    people = enrol(connection, old, PEOPLE)
    # As a wrong key made them before there were fingerprints.
    lost = people.pop(PEOPLE[5])
    connection.execute("UPDATE vault.subscriber SET token = sha256(token) WHERE subscriber_id = %s", (lost,))
    list(rotation.rotate(slice_rows=7))
    found = behind(connection, vault_key())
    assert found.pop(lost) is None
    assert found == {surrogate: identity for identity, surrogate in people.items()}
    assert "1 identities were made with a key that is not in force" in telestream("vault", "keys").stdout


# At the same time ---------------------------------------------------------------------------------------


def test_the_switch_waits_for_an_enrolment_and_a_later_one_for_the_switch(
    connection: psycopg.Connection, database: str
) -> None:
    old, new = secrets.token_hex(32), secrets.token_hex(32)
    people = enrol(connection, old, PEOPLE)
    with psycopg.connect(database, autocommit=True) as other:
        lend_both(other, old, new)
        for step in ("begin", "fill", "fill"):
            other.execute(_STEPS[step])
        other.execute("SET lock_timeout = '100ms'")
        with connection.transaction():
            people |= enrol(connection, old, ["+447811111111"])
            with pytest.raises(errors.LockNotAvailable):
                other.execute("SELECT vault.rotate_switch(100)")
        connection.execute("SET lock_timeout = '100ms'")
        with other.transaction():
            assert other.execute("SELECT vault.rotate_switch(100)").fetchone() == (True,)
            assert refused(connection, old) == "55P03"
        assert refused(connection, old) == "TS041"
        people |= enrol(connection, new, ["+447822222222"])
        other.execute("SELECT vault.rotate_move(100)")
        other.execute("SELECT vault.rotate_end()")
    assert_rotated(connection, old, new, people)


def test_who_is_erased_meanwhile_stays_erased(connection: psycopg.Connection, own_vault_key: Path) -> None:
    assert own_vault_key
    old = vault_key()
    people = enrol(connection, old, PEOPLE)
    gone = iter(PEOPLE[::2])
    for _ in rotation.rotate(slice_rows=7):
        name = next(gone)
        surrogate = people.pop(name)
        connection.execute("DELETE FROM vault.subscriber WHERE subscriber_id = %s", (surrogate,))
        assert surrogate not in behind(connection, old, "vault.rotated")
    assert_rotated(connection, old, vault_key(), people)


def test_a_replay_after_a_rotation(connection: psycopg.Connection, own_vault_key: Path) -> None:
    refine(connection, [cdr(caller=PEOPLE[0]), cdr(native_key="k2", caller=PEOPLE[0], bytes_up=-1)])
    connection.execute("UPDATE quality.rule SET is_enabled = false WHERE rule = 'negative_volume'")
    before = own_vault_key.read_text()
    list(rotation.rotate())
    # A machine whose key file is still the one of before.
    file_beside(own_vault_key, ".next").write_text(own_vault_key.read_text())
    own_vault_key.write_text(before)
    replayed = telestream("quality", "replay")
    assert replayed.returncode == 0, replayed.stderr
    callers = connection.execute("SELECT count(*), count(DISTINCT caller_id) FROM silver.fact_cdr").fetchone()
    assert callers == (2, 1)
