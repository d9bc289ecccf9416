"""Executes documents; lists of scalars, which series are made of, are completed at once."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from datetime import date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

from graphql import GraphQLList, GraphQLNonNull, GraphQLOutputType, GraphQLResolveInfo, GraphQLScalarType
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.incremental.incremental_executor import IncrementalExecutor
from graphql.pyutils import AwaitableOrValue, Path

# What a resolver may give for a scalar; anything else may have to be awaited.
_PLAIN = frozenset({bool, int, float, str, date, datetime, Decimal, UUID, NoneType})


class ListExecutor(IncrementalExecutor):
    """graphql-core's executor, which makes a path and tries a handful of types for each item of a list.

    A list of plain values is converted in one go here. Where that fails the list goes the long way, which knows which
    item it was.
    """

    def complete_list_value(
        self,
        return_type: GraphQLList[GraphQLOutputType],
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: AsyncIterable[Any] | Iterable[Any],
        position_context: Any,
    ) -> AwaitableOrValue[list[Any]]:
        """Complete a list."""
        item = return_type.of_type
        scalar = item.of_type if isinstance(item, GraphQLNonNull) else item
        if isinstance(scalar, GraphQLScalarType) and type(result) is list:
            completed = _completed(scalar, result, nullable=item is scalar)
            if completed is not None:
                return completed
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)


def _completed(scalar: GraphQLScalarType, values: list[Any], *, nullable: bool) -> list[Any] | None:
    """Return the values as they are sent, None where one of them needs a closer look."""
    kinds = set(map(type, values))
    if not kinds <= _PLAIN or (NoneType in kinds and not nullable):
        return None
    convert = scalar.coerce_output_value
    try:
        completed = [None if value is None else convert(value) for value in values]
    except Exception:
        return None
    return completed if completed.count(None) == values.count(None) else None
