"""The rules of the SQL files, read from their text: one object a file, search paths, error codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pglast import ast, parse_sql
from pglast.enums import ObjectType

from telestream.db import routines
from telestream.db.sqlstate import SqlState

VERSIONS = Path(__file__).resolve().parents[2] / "migrations" / "versions"
FILES = {routine.path: routine.sql for routine in routines.routines() if "partman" not in routine.path}
# The one file without an object of its own: privileges on schemas and tables.
GRANTS = "ops/grants.sql"
OBJECT_FILES = sorted(FILES.keys() - {GRANTS})
# They commit, so they cannot carry a SET clause.
COMMITTING = {
    "analytics/run_job.sql", "analytics/run_task.sql",
    "ops/enforce_retention.sql", "ops/refresh_job.sql", "ops/retention_job.sql", "rollup/refresh_pending.sql",
    "silver/rekey_pending.sql", "vault/reveal.sql",
}  # fmt: skip
SEARCH_PATH = ["pg_catalog", "pg_temp"]
SET_LOCAL = "SET LOCAL search_path = pg_catalog, pg_temp;"


def statements(path: str) -> list[ast.Node]:
    return [raw.stmt for raw in parse_sql(FILES[path])]


def functions(path: str) -> list[ast.CreateFunctionStmt]:
    """Return what the file creates with CREATE FUNCTION or CREATE PROCEDURE."""
    return [node for node in statements(path) if isinstance(node, ast.CreateFunctionStmt)]


def names(parts: tuple[ast.String, ...]) -> list[str]:
    return [part.sval for part in parts]


def option(function: ast.CreateFunctionStmt, name: str) -> list[ast.Node]:
    return [element.arg for element in function.options or () if element.defname == name]


def code(sql: str) -> str:
    """Return the SQL without its line comments."""
    return re.sub(r"--.*", "", sql)


@pytest.mark.parametrize("path", sorted(FILES))
def test_a_routine_file_only_replaces_comments_and_grants(path: str) -> None:
    for node in statements(path):
        match node:
            case ast.CommentStmt() | ast.GrantStmt():
                pass
            case ast.CreateFunctionStmt() | ast.ViewStmt() | ast.CreateTrigStmt():
                assert node.replace
            case _:
                pytest.fail(f"{type(node).__name__} belongs in a revision")


def test_the_file_of_grants_holds_nothing_else() -> None:
    assert {type(node) for node in statements(GRANTS)} == {ast.GrantStmt}


@pytest.mark.parametrize("path", OBJECT_FILES)
def test_a_routine_file_holds_the_one_object_it_is_named_after(path: str) -> None:
    objects = [names(function.funcname) for function in functions(path)]
    views = [node.view for node in statements(path) if isinstance(node, ast.ViewStmt)]
    objects += [[view.schemaname, view.relname] for view in views]
    assert objects == [path.removesuffix(".sql").split("/")]


@pytest.mark.parametrize("path", OBJECT_FILES)
def test_a_trigger_stands_beside_its_function(path: str) -> None:
    for node in statements(path):
        if isinstance(node, ast.CreateTrigStmt):
            assert names(node.funcname) == path.removesuffix(".sql").split("/")


@pytest.mark.parametrize("path", OBJECT_FILES)
def test_what_a_routine_file_comments_on_and_grants_is_its_object(path: str) -> None:
    own = path.removesuffix(".sql").split("/")
    for node in statements(path):
        match node:
            case ast.CommentStmt(objtype=ObjectType.OBJECT_COLUMN):
                assert names(node.object)[:-1] == own
            case ast.CommentStmt(objtype=ObjectType.OBJECT_VIEW):
                assert names(node.object) == own
            case ast.CommentStmt(objtype=ObjectType.OBJECT_FUNCTION | ObjectType.OBJECT_PROCEDURE):
                assert names(node.object.objname) == own
            case ast.GrantStmt(objtype=ObjectType.OBJECT_TABLE):
                assert [[item.schemaname, item.relname] for item in node.objects] == [own]
            case ast.GrantStmt():
                assert [names(item.objname) for item in node.objects] == [own]


@pytest.mark.parametrize("path", sorted(set(OBJECT_FILES) - COMMITTING))
def test_every_function_pins_its_search_path(path: str) -> None:
    for function in functions(path):
        [setting] = [node for node in option(function, "set") if node.name == "search_path"]
        assert [constant.val.sval for constant in setting.args] == SEARCH_PATH


@pytest.mark.parametrize("path", sorted(COMMITTING))
def test_a_committing_procedure_sets_its_search_path_first_and_after_each_commit(path: str) -> None:
    [procedure] = functions(path)
    assert procedure.is_procedure
    assert option(procedure, "set") == []
    [[body]] = option(procedure, "as")
    text = code(body.sval)
    parts = [text.split("\nBEGIN\n", 1)[1], *re.split(r"\bCOMMIT;", text)[1:]]
    assert [part for part in parts if not part.lstrip().startswith(SET_LOCAL)] == []


def test_the_error_codes_of_the_sql_and_of_python_are_the_same() -> None:
    files = routines.FOLDER.parent.rglob("*.sql")
    raised = {found for path in files for found in re.findall(r"\bTS\d{3}\b", code(path.read_text()))}
    assert raised == {str(state) for state in SqlState}


def test_no_revision_mentions_a_routine() -> None:
    objects = [path.removesuffix(".sql").replace("/", ".") for path in OBJECT_FILES]
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, objects)) + r")\b")
    revisions = [path for path in VERSIONS.rglob("*") if path.suffix in {".sql", ".py"}]
    assert revisions
    for path in revisions:
        assert pattern.findall(path.read_text()) == [], path.name
