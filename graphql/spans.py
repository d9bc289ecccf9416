"""The spans of the API: one per request and one per statement, without a value in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from psycopg import sql

from telestream.tracing import step, tracer

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_OFF: AbstractContextManager[None] = contextlib.nullcontext()


def request_span(method: str, headers: Mapping[str, str]) -> AbstractContextManager[None]:
    """Trace the block as a request, in the trace that the client names."""
    made = tracer()
    return _OFF if made is None else _request(made, method, headers)


def statement_span(text: sql.SQL | sql.Composed) -> AbstractContextManager[None]:
    """Trace the block as a statement of a request; nothing for what no request asked for."""
    if tracer() is None:
        return _OFF
    return step("statement", is_call=True, db__system__name="postgresql", db__query__text=_without_values(text))


@contextlib.contextmanager
def _request(made: Tracer, method: str, headers: Mapping[str, str]) -> Iterator[None]:
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract(dict(headers))
    with made.start_as_current_span(
        f"{method} /graphql", context, SpanKind.SERVER, {"http.request.method": method, "url.path": "/graphql"}
    ):
        yield


def _without_values(text: sql.Composable) -> str:
    """Return the text of a statement with a question mark for each value."""
    if isinstance(text, sql.Composed):
        return "".join(_without_values(part) for part in text)
    return "?" if isinstance(text, sql.Literal) else text.as_string(None)
