"""From a request and its caller to an answer: document, limits, cache, execution, access log."""

from __future__ import annotations

import hashlib
import inspect
import logging
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from graphql import (
    ExecutionResult,
    GraphQLEnumType,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    create_source_event_stream,
    execute,
)
from graphql.execution import Executor
from strawberry.types.field import StrawberryField

from telestream.graphql.alert_fields import Alert
from telestream.graphql.audit import AUDITED, AuditLog
from telestream.graphql.context import Access, Context, Services
from telestream.graphql.documents import Document, Documents, InvalidDocumentError, Operation
from telestream.graphql.executor import ListExecutor
from telestream.graphql.persisted import PersistedQueries
from telestream.graphql.principal import Principal
from telestream.graphql.problems import (
    BadRequestProblem,
    InternalProblem,
    MethodProblem,
    OverloadedProblem,
    ParseProblem,
    Problem,
    ValidationProblem,
    VariablesProblem,
    as_problem,
    formatted,
)
from telestream.graphql.response_cache import Entry
from telestream.graphql.telemetry import Telemetry

MOST_IN_FLIGHT = 200
_ENUM = re.compile(r"in '(\w+)' enum")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GraphQLRequest:
    """What a client sent."""

    query: str | None
    operation_name: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    extensions: Any = None


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    `status` is for clients that accept application/graphql-response+json; `is_request_error` says that nothing was
    executed because of the document, which others are told with 200.
    """

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    is_request_error: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    code: str = "ok"
    operation: str = ""
    # Seconds a client may keep it: only where it was asked for by hash.
    max_age: int | None = None


@dataclass(frozen=True)
class _Prepared:
    document: Document
    operation: Operation
    text: str
    by_hash: bool


class Engine:
    """Answers requests; for one event loop."""

    def __init__(
        self,
        schema: GraphQLSchema,
        services: Services,
        persisted: PersistedQueries,
        audit: AuditLog,
        telemetry: Telemetry,
        *,
        production: bool,
    ) -> None:
        self._schema = schema
        self._services = services
        self._persisted = persisted
        self._audit = audit
        self._telemetry = telemetry
        self._production = production
        self._documents = Documents(schema, production=production)
        self._in_flight = 0

    async def answer(
        self, request: GraphQLRequest, principal: Principal, request_id: str, *, only_queries: bool = False
    ) -> Answer:
        """Answer a query or mutation; never raises.

        Args:
            request: what was sent.
            principal: who sent it.
            request_id: for the log and for masked errors.
            only_queries: whether the HTTP method may change nothing.
        """
        if self._in_flight >= MOST_IN_FLIGHT:
            return self.refusal(OverloadedProblem(), request_id)
        self._in_flight += 1
        self._telemetry.in_flight.set(self._in_flight)
        try:
            return await self._answer(request, principal, request_id, only_queries)
        except InvalidDocumentError as exc:
            return self._invalid(exc.errors, request_id, ValidationProblem)
        except Problem as exc:
            return self.refusal(exc, request_id)
        except Exception:
            return self.failure(request_id)
        finally:
            self._in_flight -= 1
            self._telemetry.in_flight.set(self._in_flight)

    def refusal(self, problem: Problem, request_id: str) -> Answer:
        """Return the answer for a request that was not executed."""
        return Answer(
            _encode({"errors": [formatted(problem, request_id, ValidationProblem)]}),
            problem.status,
            # What concerns the document is an answer of GraphQL, everything else one of HTTP.
            is_request_error=problem.status == HTTPStatus.BAD_REQUEST and not isinstance(problem, BadRequestProblem),
            headers=problem.headers,
            code=problem.code,
        )

    def failure(self, request_id: str) -> Answer:
        """Return the answer for an exception that nobody expected, and log it."""
        _log.exception("request %s failed", request_id)
        return self.refusal(InternalProblem.masked(request_id), request_id)

    async def events(
        self, request: GraphQLRequest, principal: Principal, request_id: str
    ) -> AsyncGenerator[dict[str, Any] | str, None]:
        """Yield the answers of an operation: one of a query or mutation, one per event of a subscription.

        An answer is an object, or its JSON text. Subscribers of the same query share what was made for an alert.

        Raises:
            Problem: the operation is refused, or its source has ended.
            InvalidDocumentError: the document does not fit the schema.
        """
        prepared = await self._prepare(request)
        if prepared.operation.kind is not OperationType.SUBSCRIPTION:
            answer = await self.answer(request, principal, request_id)
            yield answer.body.decode()
            return
        self._documents.limit(prepared.document, request.variables)
        context = Context(principal, self._services, request_id)
        executor = Executor.build(
            self._schema,
            prepared.document.node,
            context_value=context,
            raw_variable_values=request.variables,
            operation_name=request.operation_name,
            hide_suggestions=self._production,
        )
        if isinstance(executor, list):
            raise InvalidDocumentError(executor)
        source = create_source_event_stream(executor)
        if inspect.isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            raise _first(source.errors or [])
        shared = (prepared.text, request.operation_name, _encode_sorted(request.variables))
        try:
            async for event in source:
                yield await self._event(event, shared, prepared, request, context, request_id)
        except GraphQLError as exc:
            raise _first([exc]) from exc
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()

    async def _event(
        self,
        event: Any,
        shared: Any,
        prepared: _Prepared,
        request: GraphQLRequest,
        context: Context,
        request_id: str,
    ) -> str:
        rendered = event.rendered if isinstance(event, Alert) else None
        if rendered is not None and shared in rendered:
            return str(rendered[shared])
        result = execute(
            self._schema,
            prepared.document.node,
            root_value=event,
            context_value=context,
            variable_values=request.variables,
            operation_name=request.operation_name,
            executor_class=ListExecutor,
            hide_suggestions=self._production,
        )
        if inspect.isawaitable(result):
            result = await result
        text = _encode(self._shown(result, request_id)[0]).decode()
        if rendered is not None:
            rendered[shared] = text
        return text

    async def _prepare(self, request: GraphQLRequest) -> _Prepared:
        text, by_hash = await self._persisted.document(request.query, request.extensions)
        document = self._documents.prepare(text, request.variables)
        operation = document.operation(request.operation_name)
        if operation is None:
            raise ValidationProblem(
                "operationName: it is not clear which operation is meant",
                hint="Name one of the operations of the document.",
            )
        return _Prepared(document, operation, text, by_hash)

    async def _answer(
        self, request: GraphQLRequest, principal: Principal, request_id: str, only_queries: bool
    ) -> Answer:
        prepared = await self._prepare(request)
        operation = prepared.operation
        if operation.kind is OperationType.SUBSCRIPTION:
            raise BadRequestProblem(
                "a subscription needs a WebSocket", hint="Connect with the subprotocol graphql-transport-ws."
            )
        if only_queries and operation.kind is not OperationType.QUERY:
            raise MethodProblem("a mutation needs POST", headers={"Allow": "POST"})
        if operation.fields & AUDITED:
            self._audit.require_room()
        variables = _encode_sorted(request.variables)
        result: list[Answer] = []

        async def compute() -> Entry:
            answer, accesses = await self._execute(request, prepared, principal, request_id)
            result.append(answer)
            return Entry(answer.body, [[a.field, list(a.object_ids), a.rows] for a in accesses], answer.code == "ok")

        tags, seconds = self._caching(operation)
        key = (
            self._services.cache.key(principal, prepared.text, request.operation_name, variables, tags)
            if tags
            else None
        )
        entry = await (self._services.cache.get(key, seconds, compute) if key else compute())
        if not result and not entry.keep:
            # The one that computed it met an error: it is that one's, so this one tries for itself.
            entry = await compute()
        self._audit.add(
            principal,
            operation.name or "",
            hashlib.sha256(variables).hexdigest(),
            [Access(name, tuple(ids), rows) for name, ids, rows in entry.accesses],
            request_id,
        )
        answer = result[0] if result else Answer(entry.body)
        return Answer(
            answer.body, answer.status, answer.is_request_error, answer.headers, answer.code, operation.name or "",
            min(seconds, 5) if prepared.by_hash and tags and answer.code == "ok" else None,
        )  # fmt: skip

    async def _execute(
        self, request: GraphQLRequest, prepared: _Prepared, principal: Principal, request_id: str
    ) -> tuple[Answer, list[Access]]:
        self._documents.limit(prepared.document, request.variables)
        context = Context(principal, self._services, request_id)
        result = execute(
            self._schema,
            prepared.document.node,
            context_value=context,
            variable_values=request.variables,
            operation_name=request.operation_name,
            executor_class=ListExecutor,
            hide_suggestions=self._production,
        )
        if inspect.isawaitable(result):
            result = await result
        if result.data is None and not any(error.path for error in result.errors or ()):
            return self._invalid(result.errors or [], request_id, VariablesProblem), context.accesses
        shown, code = self._shown(result, request_id)
        problem = as_problem(result.errors[0]) if result.errors else None
        headers = problem.headers if problem is not None else {}
        return Answer(_encode(shown), code=code, headers=headers), context.accesses

    def _invalid(self, errors: list[GraphQLError], request_id: str, default: type[Problem]) -> Answer:
        shown = [self._with_choices(formatted(error, request_id, default), error) for error in errors]
        code = shown[0]["extensions"]["code"] if shown else ParseProblem.code
        return Answer(_encode({"errors": shown}), HTTPStatus.BAD_REQUEST, is_request_error=True, code=code)

    def _shown(self, result: ExecutionResult, request_id: str) -> tuple[dict[str, Any], str]:
        if not result.errors:
            return {"data": result.data}, "ok"
        errors = []
        for error in result.errors:
            if as_problem(error) is None and error.original_error is not None:
                _log.error("request %s failed in %s", request_id, error.path, exc_info=error.original_error)
            errors.append(formatted(error, request_id, VariablesProblem))
        return {"errors": errors, "data": result.data}, errors[0].get("extensions", {}).get("code", "ok")

    def _with_choices(self, shown: dict[str, Any], error: GraphQLError) -> dict[str, Any]:
        """Add the values of an enum to an error that one of them is meant."""
        match = _ENUM.search(error.message)
        kind = self._schema.type_map.get(match[1]) if match else None
        if isinstance(kind, GraphQLEnumType) and not self._production:
            shown["extensions"] = shown["extensions"] | {"allowed": list(kind.values)}
        return shown

    def _caching(self, operation: Operation) -> tuple[list[str], int]:
        """Return the tags of an operation and how long its answer may be kept; no tags: not at all."""
        if operation.kind is not OperationType.QUERY or self._schema.query_type is None:
            return [], 0
        tags: set[str] = set()
        seconds = 300
        for name in operation.fields:
            definition = self._schema.query_type.fields.get(name)
            marked = definition.extensions.get("strawberry-definition") if definition else None
            if not isinstance(marked, StrawberryField) or not marked.metadata.get("tags"):
                return [], 0
            tags.update(marked.metadata["tags"])
            seconds = min(seconds, marked.metadata["seconds"])
        return sorted(tags), seconds


def _first(errors: list[GraphQLError]) -> Exception:
    """Return the refusal among the errors of a subscription, or the errors themselves."""
    for error in errors:
        problem = as_problem(error)
        if problem is not None:
            return problem
    return InvalidDocumentError(errors)


def _encode(value: Any) -> bytes:
    return orjson.dumps(value)


def _encode_sorted(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
