"""One trace per batch, from file or message to Gold, by whatever process a step is done, and the log lines that belong to it."""

from __future__ import annotations

import itertools
import json
import logging
import re
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from collector import Collector, Span, collecting
from command import telestream
from opentelemetry.sdk.trace import TracerProvider
from streams import Stream, rows, wait_for
from truth import generated

from telestream import logs, tracing


def steps(collector: Collector, trace: str) -> dict[str, Span]:
    """Return the spans of a trace, which are of different names."""
    found = [one for one in collector.spans if one.trace == trace]
    assert len(found) == len({one.name for one in found}), found
    return {one.name: one for one in found}


def traces_of(url: str) -> list[tuple[str, str, int]]:
    """Return trace, span and batch of each batch."""
    found = rows(url, "SELECT trace_context, batch_id FROM ops.batch ORDER BY batch_id")
    made = []
    for context, batch_id in found:
        version, trace, span, flags = context.split("-")
        assert version == "00"
        assert int(flags, 16) & 1, "it is sampled"
        made.append((trace, span, batch_id))
    return made


def test_a_segment_of_a_file_is_one_trace_up_to_gold(tmp_path: Path, database: str) -> None:
    generated(tmp_path / "day.csv", rows=40_000)
    with collecting() as collector:
        done = telestream("load", "cdr", tmp_path / "day.csv", "--no-refresh", **collector.environment)
        assert done.returncode == 0, done.stderr
        # Gold is refreshed by another process.
        assert telestream("gold", "refresh", **collector.environment).returncode == 0
    made = traces_of(database)
    assert made
    [shared] = [one for one in collector.named("refresh gold") if not one.parent]
    assert shared.attributes["telestream.batches"] == len(made)
    for trace, span, batch_id in made:
        step = steps(collector, trace)
        assert set(step) == {"load cdr", "read", "enrol", "copy", "refine", "commit", "refresh gold"}
        root = step.pop("load cdr")
        assert root.span == span
        assert root.parent == ""
        assert root.service == "telestream-loader"
        assert root.attributes["telestream.batch_id"] == batch_id
        assert {one.parent for one in step.values()} == {span}
        order = [step[name] for name in ("read", "enrol", "copy", "refine", "commit", "refresh gold")]
        assert root.began <= order[0].began
        assert all(one.ended <= following.began for one, following in itertools.pairwise(order))
        assert step["refresh gold"].links == [(shared.trace, shared.span)]
    assert {trace for trace, _ in shared.links} == {trace for trace, _, _ in made}


def test_messages_written_together_are_one_trace(
    database: str, kafka_bootstrap: str, redis_url: str, tmp_path: Path
) -> None:
    stream = Stream.make(kafka_bootstrap, redis_url, tmp_path)
    stream.produce(3_000)
    with collecting() as collector:
        stream.drain(**collector.environment)
    made = traces_of(database)
    assert made
    for trace, span, batch_id in made:
        found = [one for one in collector.spans if one.trace == trace]
        assert {one.name for one in found} == {"consume network_event", "decode", "commit", "stage", "refine"}
        [root] = [one for one in found if not one.parent]
        assert root.service == "telestream-consumer"
        assert root.attributes["messaging.destination.name"] == stream.topic
        [commit] = [one for one in found if one.name == "commit"]
        assert commit.parent == root.span
        assert commit.attributes["telestream.batch_id"] == batch_id
        inner = {one.span for one in found if one.parent == commit.span}
        assert span in inner


def test_a_batch_of_customers_is_one_trace(tmp_path: Path, database: str) -> None:
    out = tmp_path / "customers.csv"
    made = telestream("generate", "customers", "--customers", "50", "--day", "2026-03-29", "--out", out)
    assert made.returncode == 0, made.stderr
    with collecting() as collector:
        done = telestream("load", "customers", out, **collector.environment)
        assert done.returncode == 0, done.stdout + done.stderr
    [(trace, span, batch_id)] = traces_of(database)
    step = steps(collector, trace)
    root = step.pop("load customer")
    assert (root.span, root.parent, root.attributes["telestream.batch_id"]) == (span, "", batch_id)
    assert {one.parent for one in step.values()} == {span}
    assert set(step) == {"enrol", "copy", "refine"}


def test_a_log_line_names_the_trace_it_belongs_to() -> None:
    provider = TracerProvider()
    tracing.install(provider)
    record = logging.LogRecord("telestream.x", logging.WARNING, "", 0, "waits: %s", ("why",), None)
    try:
        with tracing.batch("outer"), tracing.step("inner"):
            context = tracing.context()
            inside = json.loads(logs.JsonFormatter().format(record))
        outside = json.loads(logs.JsonFormatter().format(record))
    finally:
        tracing.stop()
    assert context is not None
    assert context.split("-")[1:3] == [inside["trace_id"], inside["span_id"]]
    assert (inside["message"], inside["level"]) == ("waits: why", "warning")
    assert not {"trace_id", "span_id"} & outside.keys()


def test_an_error_is_named_without_its_text(tmp_path: Path, connection: psycopg.Connection, database: str) -> None:
    generated(tmp_path / "day.csv", rows=2_000)
    connection.execute(
        "CREATE FUNCTION public.fail_for_test() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'secret 4477009' USING ERRCODE = '22000'; END $$"
    )
    connection.execute("GRANT EXECUTE ON FUNCTION public.fail_for_test() TO PUBLIC")
    connection.execute(
        "CREATE TRIGGER fail BEFORE INSERT ON ops.batch FOR EACH ROW EXECUTE FUNCTION public.fail_for_test()"
    )
    with collecting() as collector:
        assert telestream("load", "cdr", tmp_path / "day.csv", **collector.environment).returncode != 0
    [root] = collector.named("load cdr")
    assert root.attributes["error.type"]
    assert "4477009" not in repr(collector.spans)


def test_what_is_not_traced_has_no_context(tmp_path: Path, database: str) -> None:
    generated(tmp_path / "day.csv", rows=2_000)
    assert telestream("load", "cdr", tmp_path / "day.csv").returncode == 0
    assert rows(database, "SELECT DISTINCT trace_context FROM ops.batch") == [(None,)]


@pytest.mark.parametrize("text", ["json", "text"])
def test_a_service_logs_a_line_per_file(text: str, tmp_path: Path, database: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    generated(tmp_path / "day.csv", rows=2_000)
    (tmp_path / "day.csv").rename(folder / "day.csv")
    command = [sys.executable, "-m", "telestream.cli", "load", "cdr", str(folder), "--watch", "--interval", "0.2"]
    with collecting() as collector, (tmp_path / "log").open("w+") as log:
        environment = collector.environment | {"TELESTREAM_LOG_FORMAT": text}
        watcher = subprocess.Popen(
            ["env", *(f"{k}={v}" for k, v in environment.items()), *command], stderr=log, stdout=log
        )
        try:
            loaded = "SELECT count(*) FROM ops.source_file WHERE status = 'loaded'"
            wait_for(lambda: rows(database, loaded) == [(1,)], "the file is loaded")
        finally:
            watcher.send_signal(signal.SIGTERM)
            watcher.wait(60)
        said = (tmp_path / "log").read_text()
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    if text == "text":
        assert lines == []
        assert re.search(r"│ *2,000", said)
    else:
        [line] = [line for line in lines if line["logger"] == "telestream.loaders.report"]
        assert line["level"] == "info"
        assert line["file"].endswith("day.csv")
        assert line["rows_in"] == line["loaded"] + line["duplicate"] + line["quarantined"] > 0
        assert "│" not in said
