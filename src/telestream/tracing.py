"""OpenTelemetry traces of every part, without a personal value in them; off unless OTEL_* says where to.

A batch has one trace, from the file or the messages through COPY and refine to the refresh of Gold. What refreshes may
be another process, so the context of the trace stands with the batch (`ops.batch.trace_context`). Nothing of
OpenTelemetry is imported while it is off. Times are Unix times in nanoseconds.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from telestream.errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

Value = str | int | float
_NAME = "telestream"
_OFF: AbstractContextManager[None] = contextlib.nullcontext()
# What an OpenTelemetry SDK keeps of the links of a span.
_MOST_LINKS = 128
_provider: TracerProvider | None = None


def start(service: str) -> None:
    """Begin to trace, if the environment says where traces go.

    Args:
        service: name of this part, unless OTEL_SERVICE_NAME gives another.

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
    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": service}
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


@contextlib.contextmanager
def traced(service: str) -> Iterator[None]:
    """Trace while the block runs, as `start` and `stop` do."""
    start(service)
    try:
        yield
    finally:
        stop()


def tracer() -> Tracer | None:
    """Return what makes spans; None while it is off."""
    return None if _provider is None else _provider.get_tracer(_NAME)


def batch(name: str, began: int | None = None, **attributes: Value) -> AbstractContextManager[None]:
    """Trace the block as a batch, in a trace of its own; `began`: it began before now."""
    made = tracer()
    return _OFF if made is None else _root(made, name, began, attributes)


def step(name: str, *, is_call: bool = False, **attributes: Value) -> AbstractContextManager[None]:
    """Trace the block as a step of what this thread traces; `is_call`: it waits for another server."""
    made = tracer()
    return _OFF if made is None else _step(made, name, is_call, attributes)


def record(name: str, began: int, ended: int | None = None) -> None:
    """Add a step that is over to what this thread traces; without `ended` it ended now."""
    made = tracer()
    if made is not None and _is_tracing():
        made.start_span(name, start_time=began).end(ended)


def note(**attributes: Value) -> None:
    """Add what is known by now to the span that is open on this thread; names with `__` for a dot."""
    if tracer() is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(_named(attributes))


def context() -> str | None:
    """Return the W3C `traceparent` of what this thread traces, for another process to go on with; None: nothing."""
    if tracer() is None or not _is_tracing():
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier["traceparent"]


def ids() -> dict[str, str]:
    """Return `trace_id` and `span_id` of what this thread traces, for its log lines; empty: nothing."""
    if tracer() is None or not _is_tracing():
        return {}
    from opentelemetry.trace import get_current_span

    now = get_current_span().get_span_context()
    return {"trace_id": f"{now.trace_id:032x}", "span_id": f"{now.span_id:016x}"}


@contextlib.contextmanager
def shared(name: str, contexts: Sequence[str]) -> Iterator[None]:
    """Trace work that serves many batches at once.

    It has a trace of its own, which links to those of the batches (the first 128); each batch gets a span of the same
    name and time, which links to it.

    Args:
        name: of the work.
        contexts: `traceparent` of each batch.
    """
    made = tracer()
    if made is None:
        yield
        return
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, get_current_span, use_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    propagator = TraceContextTextMapPropagator()
    batches = [propagator.extract({"traceparent": one}, Context()) for one in contexts]
    links = [Link(get_current_span(one).get_span_context()) for one in batches[:_MOST_LINKS]]
    began = time.time_ns()
    span = made.start_span(name, Context(), links=links, start_time=began)
    try:
        with use_span(span, record_exception=False):
            yield
    finally:
        ended = time.time_ns()
        span.set_attribute("telestream.batches", len(batches))
        span.end(ended)
        back = [Link(span.get_span_context())]
        for one in batches:
            made.start_span(name, one, links=back, start_time=began).end(ended)


@contextlib.contextmanager
def _root(made: Tracer, name: str, began: int | None, attributes: dict[str, Value]) -> Iterator[None]:
    from opentelemetry.context import Context
    from opentelemetry.trace import use_span

    span = made.start_span(name, Context(), attributes=_named(attributes), start_time=began)
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False), _naming(span):
        yield


@contextlib.contextmanager
def _step(made: Tracer, name: str, is_call: bool, attributes: dict[str, Value]) -> Iterator[None]:
    from opentelemetry.trace import SpanKind

    if not _is_tracing():
        yield
        return
    kind = SpanKind.CLIENT if is_call else SpanKind.INTERNAL
    with (
        made.start_as_current_span(
            name, kind=kind, attributes=_named(attributes), record_exception=False, set_status_on_exception=False
        ) as span,
        _naming(span),
    ):
        yield


@contextlib.contextmanager
def _naming(span: Any) -> Iterator[None]:
    """Give a span the class of its error; the text of an error of the database may name a value."""
    try:
        yield
    except BaseException as exc:
        span.set_attribute("error.type", type(exc).__name__)
        raise


def _named(attributes: dict[str, Value]) -> dict[str, Value]:
    return {name.replace("__", "."): value for name, value in attributes.items() if value != ""}


def _is_tracing() -> bool:
    from opentelemetry.trace import get_current_span

    return get_current_span().is_recording()
