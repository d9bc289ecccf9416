"""Wrong settings are all named at once, variables that nothing reads are reported, and no value is shown."""

from __future__ import annotations

from command import telestream

CANARY = "canary-7c1f"


def test_all_wrong_settings_are_named_in_one_message_without_their_values() -> None:
    done = telestream(
        "db", "status",
        TELESTREAM_TIME_ZONE="Mars/Olympus", TELESTREAM_LOG_FORMAT=CANARY, TELESTREAM_API_PRODUCTION=CANARY,
        TELESTREAM_KAFKA_SECURITY_PROTOCOL=CANARY, TELESTREAM_CRM_TOKEN=CANARY,
    )  # fmt: skip
    assert done.returncode != 0
    for name in ("TIME_ZONE", "LOG_FORMAT", "API_PRODUCTION", "KAFKA_SECURITY_PROTOCOL"):
        assert f"TELESTREAM_{name}: " in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_a_url_that_is_none_is_named_and_no_value_is_shown_not_even_in_a_stack_trace() -> None:
    wrong = {"TELESTREAM_DATABASE_URL": f"postgresql://u:{CANARY}@[bad/x", "TELESTREAM_KAFKA_PASSWORD": CANARY}
    said = telestream("db", "status", **wrong)
    assert "TELESTREAM_DATABASE_URL: cannot be read as a URL" in said.stderr
    traced = telestream("--debug", "db", "status", **wrong)
    assert "Traceback" in traced.stderr
    for done in (said, traced):
        assert done.returncode != 0
        assert CANARY not in done.stdout + done.stderr


def test_a_variable_that_nothing_reads_is_reported_with_what_was_meant() -> None:
    done = telestream(
        "stack", "--help", TELESTREAM_DATABSE_URL=CANARY, TELESTREAM_QQQQ=CANARY, TELESTREAM_TEST_SEED="1"
    )
    assert done.returncode == 0, done.stderr
    assert "TELESTREAM_DATABSE_URL is no setting and is not read; did you mean TELESTREAM_DATABASE_URL?" in done.stderr
    assert "TELESTREAM_QQQQ is no setting and is not read, see docs/architecture.md" in done.stderr
    assert "TELESTREAM_TEST_SEED" not in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert telestream("stack", "--help").stderr == ""
