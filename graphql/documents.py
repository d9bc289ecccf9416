"""Documents: parsed, limited and validated once, then known by their text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
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
from telestream.graphql.problems import TokensProblem

MAX_TOKENS = 2_000
# More than so many tokens fill; the parser reads a comment letter by letter.
MAX_CHARACTERS = 50_000
_MOST_DOCUMENTS = 1_000
_MOST_ERRORS = 10


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
    """Prepares documents; the latest are kept."""

    def __init__(self, schema: GraphQLSchema, *, production: bool) -> None:
        self._schema = schema
        self._production = production
        self._known: OrderedDict[str, Document] = OrderedDict()

    def prepare(self, text: str, variables: Mapping[str, Any]) -> Document:
        """Return a document ready to be executed.

        Raises:
            InvalidDocumentError: it is no GraphQL, or does not fit the schema.
            Problem: it exceeds a limit.
        """
        known = self._known.get(text)
        if known is None:
            known = self._prepare(text, variables)
            self._known[text] = known
            while len(self._known) > _MOST_DOCUMENTS:
                self._known.popitem(last=False)
        self._known.move_to_end(text)
        return known

    def limit(self, document: Document, variables: Mapping[str, Any]) -> int:
        """Return the cost with these variables; raises as `limits.check`."""
        return limits.check(self._schema, document.node, variables, introspection=not self._production)

    def _prepare(self, text: str, variables: Mapping[str, Any]) -> Document:
        if len(text) > MAX_CHARACTERS:
            raise TokensProblem(f"the document has more than {MAX_CHARACTERS:,} characters")
        try:
            node = parse(text, max_lexical_tokens=MAX_TOKENS, max_comments=MAX_TOKENS)
        except GraphQLError as exc:
            if "token" in exc.message and str(MAX_TOKENS) in exc.message.replace(",", ""):
                raise TokensProblem(f"the document has more than {MAX_TOKENS:,} tokens") from exc
            raise InvalidDocumentError([exc]) from exc
        # Before validation, which may take long on what this refuses.
        limits.check(self._schema, node, variables, introspection=not self._production)
        errors = validate(self._schema, node, max_errors=_MOST_ERRORS, hide_suggestions=self._production)
        if errors:
            for error in errors:
                _name_argument(node, error)
            raise InvalidDocumentError(errors)
        return Document(node, tuple(_operations(node)))


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
