"""OpenTelemetry traces: a span per request and per statement, without a value in them; off unless OTEL_* says where to.

Nothing of OpenTelemetry is imported while it is off.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from psycopg import sql

from telestream.errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_NAME = "telestream.graphql"
_OFF: AbstractContextManager[None] = contextlib.nullcontext()
_provider: TracerProvider | None = None


def start() -> None:
    """Begin to trace, if the environment says where traces go.

    Raises:
        UsageError: they cannot go there, or the packages for it are not installed.
    """
    chosen = os.environ.get("OTEL_TRACES_EXPORTER", "")
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or chosen == "none"
    if is_off or not (chosen or endpoint):
        return
    if chosen not in {"", "otlp"}:
        raise UsageError(
            f"OTEL_TRACES_EXPORTER: traces cannot go to {chosen!r}", hint="Set otlp, or none to have no traces."
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        raise UsageError(
            "traces need packages that are not installed", hint="Install telestream[otel], or unset OTEL_*."
        ) from exc
    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "telestream-api"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    install(provider)


def install(provider: TracerProvider | None) -> None:
    """Trace with this provider from now on; None: no more."""
    global _provider
    _provider = provider


def stop() -> None:
    """Send what waits, and trace no more; may block for some seconds."""
    if _provider is not None:
        _provider.shutdown()
        install(None)


def request(method: str, headers: Mapping[str, str]) -> AbstractContextManager[Any]:
    """Return the span of a request, which belongs to the trace that the client names; None while it is off."""
    return _OFF if _provider is None else _request(_provider, method, headers)


def statement(text: sql.SQL | sql.Composed) -> AbstractContextManager[Any]:
    """Return the span of a statement of a request; None while it is off, and for what no request asked for."""
    return _OFF if _provider is None else _statement(_provider, text)


def note(span: Any, **attributes: str | int) -> None:
    """Add to a span what is known at its end; names with `__` for a dot."""
    if span is not None:
        span.set_attributes({name.replace("__", "."): value for name, value in attributes.items() if value != ""})


@contextlib.contextmanager
def _request(provider: TracerProvider, method: str, headers: Mapping[str, str]) -> Iterator[Any]:
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract(dict(headers))
    with provider.get_tracer(_NAME).start_as_current_span(
        f"{method} /graphql", context, SpanKind.SERVER, {"http.request.method": method, "url.path": "/graphql"}
    ) as span:
        yield span


@contextlib.contextmanager
def _statement(provider: TracerProvider, text: sql.SQL | sql.Composed) -> Iterator[Any]:
    from opentelemetry.trace import SpanKind, get_current_span

    if not get_current_span().is_recording():
        yield None
        return
    with provider.get_tracer(_NAME).start_as_current_span(
        "statement",
        kind=SpanKind.CLIENT,
        attributes={"db.system.name": "postgresql", "db.query.text": _without_values(text)},
        # The text of an error of the database may name a value.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except Exception as exc:
            span.set_attribute("error.type", type(exc).__name__)
            raise


def _without_values(text: sql.Composable) -> str:
    """Return the text of a statement with a question mark for each value."""
    if isinstance(text, sql.Composed):
        return "".join(_without_values(part) for part in text)
    return "?" if isinstance(text, sql.Literal) else text.as_string(None)
