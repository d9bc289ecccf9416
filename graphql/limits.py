"""One rule for depth, aliases, fields, fragments and cost, in one walk that visits each fragment once.

It runs before validation, whose own checks can take long on a hostile document, so it must bear documents that do not
fit the schema: an unknown field costs one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_composite_type,
)
from strawberry.types.field import StrawberryField

from telestream.graphql.problems import (
    AliasesProblem,
    CostProblem,
    DepthProblem,
    FragmentsProblem,
    IntrospectionProblem,
)

MAX_DEPTH = 12
# The usual introspection query, which nests types within types, needs more; it reads no data.
_MAX_INTROSPECTION_DEPTH = 18
MAX_ALIASES = 30
MAX_FIELDS = 500
MAX_DIRECTIVES = 50
MAX_FRAGMENTS = 30
MAX_COST = 10_000
# A list in a list in a list, each of the size somebody writes: a greater number than JSON may have.
_COUNTED_COST = 10**15
_ROOTS = {"query": "query_type", "mutation": "mutation_type", "subscription": "subscription_type"}


@dataclass
class Weight:
    """What a selection weighs: nesting, and once its fragments are written out, aliases, fields, directives, cost."""

    depth: int = 0
    aliases: int = 0
    fields: int = 0
    directives: int = 0
    cost: int = 0
    introspects: bool = False

    def add(self, other: Weight) -> None:
        """Put what stands beside it."""
        self.depth = max(self.depth, other.depth)
        self.aliases += other.aliases
        self.fields += other.fields
        self.directives += other.directives
        self.cost += other.cost
        self.introspects |= other.introspects


def check(
    schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any], *, introspection: bool = True
) -> int:
    """Return the cost of the dearest operation of a document.

    Raises:
        Problem: the document exceeds a limit, or asks for the schema where that is not shown.
    """
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    count = sum(isinstance(node, FragmentDefinitionNode) for node in document.definitions)
    if count > MAX_FRAGMENTS:
        raise FragmentsProblem(f"the document defines {count} fragments, {MAX_FRAGMENTS} are allowed")
    walk = _Walk(schema, fragments, variables)
    most = 0
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            root: GraphQLNamedType | None = getattr(schema, _ROOTS[node.operation.value])
            weight = walk.selections(node.selection_set, root)
            weight.directives += len(node.directives or ())
            _judge(weight, introspection)
            most = max(most, weight.cost)
    return most


def _judge(weight: Weight, introspection: bool) -> None:
    if weight.introspects and not introspection:
        raise IntrospectionProblem(
            "the schema is not shown here", hint="It is in graphql/schema.graphql of the distribution."
        )
    deepest = _MAX_INTROSPECTION_DEPTH if weight.introspects else MAX_DEPTH
    if weight.depth > deepest:
        raise DepthProblem(f"the document is nested {weight.depth} deep, {deepest} is allowed")
    for name, found, most in (
        ("aliases", weight.aliases, MAX_ALIASES),
        ("fields", weight.fields, MAX_FIELDS),
        ("directives", weight.directives, MAX_DIRECTIVES),
    ):
        if found > most:
            raise AliasesProblem(
                f"the document has {found:,} {name} with its fragments written out, {most} are allowed",
                hint="Ask for fewer things at once.",
            )
    if weight.cost > MAX_COST:
        raise CostProblem(
            f"the query costs {weight.cost:,}, {MAX_COST:,} is allowed",
            hint="Ask for smaller pages; docs/api.md says how cost is counted.",
            cost=weight.cost,
        )


class _Walk:
    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, Any],
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._variables = variables
        # None: being walked. A fragment that contains itself is for validation to refuse.
        self._known: dict[str, Weight | None] = {}

    def selections(self, node: SelectionSetNode | None, parent: GraphQLNamedType | None) -> Weight:
        total = Weight()
        for selection in node.selections if node else ():
            match selection:
                case FieldNode():
                    total.add(self._field(selection, parent))
                case InlineFragmentNode():
                    condition = selection.type_condition
                    inner = self._schema.type_map.get(condition.name.value) if condition else parent
                    total.add(self.selections(selection.selection_set, inner))
                case FragmentSpreadNode():
                    total.add(self._fragment(selection.name.value))
            total.directives += len(selection.directives or ())
        return total

    def _fragment(self, name: str) -> Weight:
        if name in self._known or name not in self._fragments:
            return self._known.get(name) or Weight()
        self._known[name] = None
        node = self._fragments[name]
        weight = self.selections(node.selection_set, self._schema.type_map.get(node.type_condition.name.value))
        self._known[name] = weight
        return weight

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> Weight:
        name = node.name.value
        definition = parent.fields.get(name) if isinstance(parent, GraphQLObjectType) else None
        kind = get_named_type(definition.type) if definition else None
        inner = self.selections(node.selection_set, kind)
        own, times = 0 if kind is not None and not is_composite_type(kind) else 1, 1
        if definition is not None:
            marked = definition.extensions.get("strawberry-definition")
            if isinstance(marked, StrawberryField):
                own = marked.metadata.get("cost", own)
                if size := marked.metadata.get("size"):
                    times = self._size(node, size, marked.metadata["default"])
        return Weight(
            depth=inner.depth + 1,
            aliases=inner.aliases + (node.alias is not None),
            fields=inner.fields + 1,
            directives=inner.directives,
            cost=min(own + times * max(inner.cost, 0) + (times if times > 1 else 0), _COUNTED_COST),
            introspects=inner.introspects or name in {"__schema", "__type"},
        )

    def _size(self, node: FieldNode, argument: str, default: int) -> int:
        """Return how many items an argument asks for."""
        for given in node.arguments or ():
            if given.name.value != argument:
                continue
            value: Any = default
            if isinstance(given.value, IntValueNode):
                # Longer than any size; Python refuses to read a number of some thousand digits.
                value = int(given.value.value[:18])
            elif isinstance(given.value, VariableNode):
                value = self._variables.get(given.value.name.value, default)
            return max(1, value) if isinstance(value, int) else default
        return default
