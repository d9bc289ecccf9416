"""What clients rely on: the schema as a file, a description of everything, a line for every code."""

from __future__ import annotations

import re

from command import ROOT, telestream
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    is_introspection_type,
    is_specified_scalar_type,
)

from telestream.graphql import problems
from telestream.graphql.principal import Scope
from telestream.graphql.schema import SDL, schema, sdl
from telestream.graphql.telemetry import Telemetry

PAGE = (ROOT / "docs" / "api.md").read_text()
ERRORS = (ROOT / "docs" / "errors.md").read_text()


def test_the_schema_file_is_the_schema() -> None:
    assert SDL.read_text() == sdl(), "run `telestream api schema --write` and look at the difference"
    assert telestream("api", "schema").stdout == sdl()


def test_everything_in_the_schema_is_described() -> None:
    missing = []
    for name, kind in schema().type_map.items():
        if is_introspection_type(kind) or is_specified_scalar_type(kind):
            continue
        if not kind.description:
            missing.append(name)
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            missing += [f"{name}.{field}" for field, made in kind.fields.items() if not made.description]
        if isinstance(kind, GraphQLObjectType):
            missing += [
                f"{name}.{field}({argument})"
                for field, made in kind.fields.items()
                for argument, given in made.args.items()
                if not given.description
            ]
        if isinstance(kind, GraphQLEnumType):
            missing += [f"{name}.{value}" for value, made in kind.values.items() if not made.description]
    assert missing == []


def test_one_class_is_one_code_is_one_line_of_the_page() -> None:
    classes = [
        made
        for made in vars(problems).values()
        if isinstance(made, type) and issubclass(made, problems.Problem) and made is not problems.Problem
    ]
    codes = {made.code: made.status for made in classes}
    assert len(codes) == len(classes)
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\d{3}) \|", ERRORS, re.MULTILINE)
    assert len(rows) == len(dict(rows))
    assert {code: int(status) for code, status in rows} == codes


def test_the_page_lists_every_scope_and_metric() -> None:
    for scope in Scope:
        assert f"| `{scope}` |" in PAGE
    for metric in Telemetry().registry.collect():
        assert f"`{metric.name}" in PAGE
