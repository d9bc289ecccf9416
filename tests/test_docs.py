"""The documents tell the truth: queries run, commands exist, links lead somewhere, codes are complete."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow.csv
import pytest
from command import ROOT, telestream
from command_lines import complaint
from days import refresh
from staging import event, refine_events
from truth import DAY, generated

from telestream.db.sqlstate import SqlState
from telestream.loaders.generate import GenerateSpec, customers

_FENCE = re.compile(r"^( *)(```+|~~~+)(.*?)\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?)#*$", re.MULTILINE)
_COMMAND = re.compile(r"^(?:\w+=\S+ +)*(?:\S*/)?(telestream|make)(?: |$)")
_OPERATORS = {"|", "||", "&&", ";", "&", ">", ">>", "<", "(", ")"}


def documents() -> list[Path]:
    """Return the Markdown files of the repository; what tools put there lies in hidden folders or `node_modules`."""
    below = (path for folder in ROOT.iterdir() if folder.is_dir() for path in folder.rglob("*.md"))
    return sorted(
        path
        for path in (*ROOT.glob("*.md"), *below)
        if not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)
    )


def blocks(path: Path, *languages: str) -> list[str]:
    """Return the fenced blocks in one of the languages."""
    return [body for _, _, language, body in _FENCE.findall(path.read_text()) if language.strip() in languages]


def shell_lines(path: Path) -> Iterator[str]:
    """Yield the commands that a document shows; in a console block with prompts only what follows one."""
    for block in blocks(path, "console", "sh", "shell", "bash"):
        lines = block.replace("\\\n", " ").splitlines()
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        yield from prompted or lines


def commands(path: Path, program: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of a program that a document shows."""
    for line in shell_lines(path):
        if (match := _COMMAND.match(line)) is None or match[1] != program:
            continue
        lexer = shlex.shlex(line[match.end(1) :], posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        lexer.commenters = "#"
        arguments = []
        for token in lexer:
            if token in _OPERATORS:
                break
            arguments.append(token)
        yield arguments


def test_every_command_shown_exists() -> None:
    shown = [(path, arguments) for path in documents() for arguments in commands(path, "telestream")]
    wrong = [
        f"{path.relative_to(ROOT)}: telestream {shlex.join(arguments)}: {text}"
        for path, arguments in shown
        if arguments and (text := complaint(arguments))
    ]
    assert wrong == []
    assert len(shown) > 20


def test_every_command_named_in_a_sentence_exists() -> None:
    named = [
        (path, line)
        for path in documents()
        for line in re.findall(r"`telestream ([^`|…]+)`", _FENCE.sub("", path.read_text()))
    ]
    assert len(named) > 20
    # A sentence may leave out what a command line must have.
    wrong = [f"{path.name}: telestream {line}" for path, line in named if complaint(line.split()).startswith("No such")]
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    ["lod cdr x.csv", "load cdr --wrokers 2 x.csv", "load cdr", "load cdr x.csv --workers many", "gold chek"],
)
def test_a_wrong_command_is_found(line: str) -> None:
    assert complaint(line.split())


def test_every_make_target_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {
        target
        for path in documents()
        for arguments in [
            *commands(path, "make"),
            *(found.split() for found in re.findall(r"`make ([a-z-]+)`", path.read_text())),
        ]
        for target in arguments
    }
    assert shown >= {"demo", "test"}
    assert shown <= targets


def anchors(path: Path) -> set[str]:
    """Return the anchors that a viewer makes of the headings."""
    headings = _HEADING.findall(_FENCE.sub("", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    broken = []
    for target in _LINK.findall(_FENCE.sub("", path.read_text())):
        if re.match(r"[a-z+]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


def test_the_page_of_errors_lists_exactly_the_codes_of_the_sql() -> None:
    listed = re.findall(r"^\| `(TS\d{3})` \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    assert listed == sorted(SqlState)


def test_the_page_of_errors_lists_every_class_and_its_exit_code() -> None:
    from telestream import errors

    rows = re.findall(r"^\| `(\w+Error)` \| (\d+) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    classes = {
        name: made
        for name, made in vars(errors).items()
        if isinstance(made, type) and issubclass(made, errors.TelestreamError) and made is not errors.TelestreamError
    }
    assert {name: int(code) for name, code in rows} == {name: made.exit_code for name, made in classes.items()}


def test_every_setting_and_path_of_the_architecture_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    from telestream.settings import Settings

    for name in Settings.model_fields:
        assert f"`TELESTREAM_{name.upper()}`" in text, name
    source_map = text.partition("## Source map")[2]
    named = [
        part for row in re.findall(r"^\| (`.+?) \|", source_map, re.MULTILINE) for part in re.findall(r"`([^`]+)`", row)
    ]
    assert len(named) > 40
    for name in named:
        folder, brace, choices = name.partition("{")
        for choice in choices.rstrip("}").split(",") if brace else [""]:
            assert (ROOT / (folder + choice).partition("<")[0]).exists(), name


def test_the_queries_of_the_runbook_run_for_an_engineer(connection: psycopg.Connection) -> None:
    connection.execute("SET ROLE telestream_engineer")
    queries = blocks(ROOT / "docs" / "runbook.md", "sql")
    assert len(queries) >= 10
    for query in queries:
        connection.execute(query)


def test_the_queries_shown_answer_an_analyst(tmp_path: Path, database: str, connection: psycopg.Connection) -> None:
    generated(tmp_path / "day.csv")
    loaded = telestream("load", "cdr", tmp_path / "day.csv")
    assert loaded.returncode == 0, loaded.stdout + loaded.stderr
    spec = GenerateSpec(rows=1, day=DAY, cells=50, subscribers=500)
    pyarrow.csv.write_csv(customers(spec, 400), tmp_path / "customers.csv")
    # The plans are placeholders of the CDRs until somebody describes them.
    connection.execute("UPDATE silver.dim_service_plan SET is_placeholder = false")
    loaded = telestream("load", "customers", tmp_path / "customers.csv")
    assert loaded.returncode == 0, loaded.stdout + loaded.stderr
    # So are cells and regions.
    connection.execute("INSERT INTO silver.dim_region (region_code, name) VALUES ('GB', 'United Kingdom')")
    connection.execute(
        "UPDATE silver.dim_region AS r SET parent_key = p.region_key FROM silver.dim_region AS p"
        " WHERE p.region_code = 'GB' AND r.region_code LIKE 'GB-%'"
    )
    connection.execute(
        "UPDATE silver.dim_network_cell SET latitude = 51.5, longitude = -0.01 * (cell_key % 50) WHERE cell_key <> 0"
    )
    refine_events(connection, [event(event_id=f"e{n}", latency_ms=20.0 + n) for n in range(3)])
    refresh(connection)
    connection.execute("SET ROLE telestream_analyst")
    cookbook = blocks(ROOT / "docs" / "sql-cookbook.md", "sql")
    assert len(re.findall(r"^## .*\?$", (ROOT / "docs" / "sql-cookbook.md").read_text(), re.MULTILINE)) >= 20
    for query in [*cookbook, *blocks(ROOT / "README.md", "sql")]:
        assert connection.execute(query).fetchall(), f"no rows:\n{query}"
