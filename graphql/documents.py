"""Documents: parsed, limited and validated once, then known by their text."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from graphql import (
    BREAK,
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    Visitor,
    parse,
    validate,
    visit,
)

from telestream.graphql import limits
from telestream.graphql.problems import CostProblem, Problem, TokensProblem

MAX_TOKENS = 2_000
# More than so many tokens fill; the parser reads a comment letter by letter.
MAX_CHARACTERS = 50_000
_MOST_DOCUMENTS = 1_000
_MOST_REFUSED = 1_000
# Of longer documents it is not kept why they were refused: an error may quote them.
_LONGEST_REFUSED = 16 * 1024
_MOST_ERRORS = 10
# A token; comments are none and come without a group. The parser counts too, and takes 7 µs for each. A string that
# does not end is taken to the end of the text, so that no character is looked at twice.
_TOKEN = re.compile(
    r"""
    (\"{3}(?:[^"\\]|\\"{3}|\\|"(?!""))*+(?:"{3}|\Z)
    | "(?:[^"\\\n]|\\.)*+"?
    | [A-Za-z_]\w*
    | -?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?
    | \.\.\.
    | [^\s,\ufeff\#])
    | \#[^\n\r]*
    """,
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True)
class Operation:
    """An operation of a document: its kind, its name, and the fields at its top."""

    kind: OperationType
    name: str | None
    fields: frozenset[str]


@dataclass(frozen=True)
class Document:
    """A document that fits the schema."""

    node: DocumentNode
    operations: tuple[Operation, ...]

    def operation(self, name: str | None) -> Operation | None:
        """Return the operation of a name, or the only one; None where that is not clear."""
        if name is None:
            return self.operations[0] if len(self.operations) == 1 else None
        return next((one for one in self.operations if one.name == name), None)


class InvalidDocumentError(Exception):
    """A document that cannot be parsed or does not fit the schema."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__()
        self.errors = errors


class Documents:
    """Prepares documents; the latest are kept, and why the latest refused ones were."""

    def __init__(self, schema: GraphQLSchema, *, production: bool) -> None:
        self._schema = schema
        self._production = production
        self._known: OrderedDict[str, Document] = OrderedDict()
        # By the hash of the text, which may be long.
        self._refused: OrderedDict[bytes, Problem | InvalidDocumentError] = OrderedDict()

    def prepare(self, text: str, variables: Mapping[str, Any]) -> Document:
        """Return a document ready to be executed.

        Raises:
            InvalidDocumentError: it is no GraphQL, or does not fit the schema.
            Problem: it exceeds a limit.
        """
        known = self._known.get(text)
        if known is None:
            known = self._new(text, variables)
            self._known[text] = known
            while len(self._known) > _MOST_DOCUMENTS:
                self._known.popitem(last=False)
        self._known.move_to_end(text)
        return known

    def limit(self, document: Document, variables: Mapping[str, Any]) -> int:
        """Return the cost with these variables; raises as `limits.check`."""
        return limits.check(self._schema, document.node, variables, introspection=not self._production)

    def _new(self, text: str, variables: Mapping[str, Any]) -> Document:
        """Prepare a document that is not known; one that was refused is refused again without a look at it."""
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
        refused = self._refused.get(digest)
        if refused is not None:
            self._refused.move_to_end(digest)
            # Else it would grow with each time it is raised.
            raise refused.with_traceback(None)
        try:
            return self._prepare(text, variables)
        except CostProblem:
            raise  # with other variables it may cost less
        except (Problem, InvalidDocumentError) as exc:
            if len(text) <= _LONGEST_REFUSED:
                self._refused[digest] = _lightened(exc)
            while len(self._refused) > _MOST_REFUSED:
                self._refused.popitem(last=False)
            raise

    def _prepare(self, text: str, variables: Mapping[str, Any]) -> Document:
        if len(text) > MAX_CHARACTERS:
            raise TokensProblem(f"the document has more than {MAX_CHARACTERS:,} characters")
        if sum(1 for _ in islice((found for found in _TOKEN.finditer(text) if found[1]), MAX_TOKENS + 1)) > MAX_TOKENS:
            raise _too_long()
        try:
            node = parse(text, max_lexical_tokens=MAX_TOKENS, max_comments=MAX_TOKENS)
        except GraphQLError as exc:
            if "token" in exc.message and str(MAX_TOKENS) in exc.message.replace(",", ""):
                raise _too_long() from exc
            raise InvalidDocumentError([exc]) from exc
        # Before validation, which may take long on what this refuses.
        limits.check(self._schema, node, variables, introspection=not self._production)
        errors = validate(self._schema, node, max_errors=_MOST_ERRORS, hide_suggestions=self._production)
        if errors:
            for error in errors:
                _name_argument(node, error)
            raise InvalidDocumentError(errors)
        return Document(node, tuple(_operations(node)))


def _too_long() -> TokensProblem:
    return TokensProblem(f"the document has more than {MAX_TOKENS:,} tokens")


def _lightened(refusal: Problem | InvalidDocumentError) -> Problem | InvalidDocumentError:
    """Return a refusal that does not hold on to the document; places in it are kept as numbers."""
    refusal.__cause__ = refusal.__context__ = None
    if isinstance(refusal, InvalidDocumentError):
        for error in refusal.errors:
            error.nodes = error.source = None
            error.__cause__ = error.__context__ = error.__traceback__ = None
    return refusal


class _ArgumentFinder(Visitor):
    """Finds the argument that a value stands in."""

    def __init__(self, wanted: Node) -> None:
        super().__init__()
        self.name: str | None = None
        self._wanted = wanted
        self._open: list[str] = []

    def enter(self, node: Node, *_: Any) -> Any:
        """Go down."""
        if isinstance(node, ArgumentNode):
            self._open.append(node.name.value)
        if node is self._wanted and self._open:
            self.name = self._open[-1]
            return BREAK
        return None

    def leave(self, node: Node, *_: Any) -> Any:
        """Come back."""
        if isinstance(node, ArgumentNode):
            self._open.pop()


def _name_argument(document: DocumentNode, error: GraphQLError) -> None:
    """Let an error about a value say which argument it stands in."""
    if error.nodes and isinstance(error.nodes[0], ValueNode):
        finder = _ArgumentFinder(error.nodes[0])
        visit(document, finder)
        if finder.name is not None:
            error.extensions = {**(error.extensions or {}), "argument": finder.name}


def _operations(document: DocumentNode) -> list[Operation]:
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    return [
        Operation(node.operation, node.name.value if node.name else None, _fields(node.selection_set, fragments))
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
    ]


def _fields(node: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]) -> frozenset[str]:
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [node]
    while waiting:
        for selection in waiting.pop().selections:
            match selection:
                case FieldNode():
                    found.add(selection.name.value)
                case InlineFragmentNode():
                    waiting.append(selection.selection_set)
                case FragmentSpreadNode() if selection.name.value not in seen:
                    seen.add(selection.name.value)
                    waiting.append(fragments[selection.name.value].selection_set)
    return frozenset(found)
