"""GraphQL over HTTP: what a request must look like, and what an answer does."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from telestream import tracing
from telestream.graphql.engine import Answer, Engine, GraphQLRequest
from telestream.graphql.gate import Gate
from telestream.graphql.problems import (
    BadRequestProblem,
    BatchProblem,
    BodyProblem,
    BodyTimeoutProblem,
    MediaTypeProblem,
    MethodProblem,
    NotAcceptableProblem,
    Problem,
)
from telestream.graphql.spans import request_span
from telestream.graphql.telemetry import Telemetry

MAX_BODY = 256 * 1024
MAX_URL = 16 * 1024
# From the end of the headers to the end of the body.
BODY_SECONDS = 10.0
RESPONSE_JSON = "application/graphql-response+json"
JSON = "application/json"
# Deeper than any variable or extension; the encoder of JSON and the coercion of variables recurse.
_MAX_JSON_DEPTH = 50
_OPENERS, _CLOSERS = frozenset("[{"), frozenset("]}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

_log = logging.getLogger("telestream.graphql.access")


class GraphQLEndpoint:
    """The endpoint for POST and GET."""

    def __init__(self, engine: Engine, gate: Gate, telemetry: Telemetry) -> None:
        self._engine = engine
        self._gate = gate
        self._telemetry = telemetry

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        request_id = request_id_of(request.headers)
        with request_span(request.method, request.headers):
            answer, response = await self._respond(request, request_id)
            tracing.note(
                http__response__status_code=response.status_code,
                graphql__operation__name=answer.operation,
                telestream__code=answer.code,
                telestream__request_id=request_id,
            )
        return response

    async def _respond(self, request: Request, request_id: str) -> tuple[Answer, Response]:
        started = time.perf_counter()
        headers = {"X-Request-Id": request_id, "Vary": "Accept, Authorization, X-API-Key"}
        media = RESPONSE_JSON
        who = ""
        try:
            media = negotiate(request.headers.get("accept"))
            if request.method not in {"GET", "POST"}:
                raise MethodProblem("GraphQL takes GET and POST", headers={"Allow": "GET, POST"})
            principal = await self._gate.principal(request)
            who = principal.name
            headers |= (await self._gate.count(principal)).headers
            wanted = _of_url(request) if request.method == "GET" else await _of_body(request)
            answer = await self._engine.answer(wanted, principal, request_id, only_queries=request.method == "GET")
        except Problem as exc:
            answer = self._engine.refusal(exc, request_id)
        except Exception:
            answer = self._engine.failure(request_id)
        response = _response(request, answer, media, headers)
        seconds = time.perf_counter() - started
        self._telemetry.seconds.observe(seconds)
        self._telemetry.requests.labels(answer.code).inc()
        _log.info(
            "request",
            extra={
                "fields": {
                    "request_id": request_id, "principal": who, "operation": answer.operation, "code": answer.code,
                    "status": response.status_code, "ms": round(seconds * 1000, 2),
                }
            },
        )  # fmt: skip
        return answer, response


def request_id_of(headers: Mapping[str, str]) -> str:
    """Return the id that the client gave the request, or a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def negotiate(accept: str | None) -> str:
    """Return the media type to answer in.

    Raises:
        NotAcceptableProblem: the client accepts none of the two.
    """
    if not accept:
        return JSON
    best, quality = "", 0.0
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        charset = "utf-8"
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
            elif name == "charset":
                charset = value.strip('"')
        offered = {RESPONSE_JSON: RESPONSE_JSON, JSON: JSON, "*/*": JSON, "application/*": JSON}.get(kind)
        if offered and charset == "utf-8" and weight > quality:
            best, quality = offered, weight
    if not best:
        raise NotAcceptableProblem("the API answers in JSON", hint=f"Accept {RESPONSE_JSON} or {JSON}.")
    return best


def _of_url(request: Request) -> GraphQLRequest:
    if len(str(request.url)) > MAX_URL:
        raise BodyProblem(f"the URL is longer than {MAX_URL:,} bytes")
    parameters = request.query_params
    decoded: dict[str, Any] = {}
    for name in ("variables", "extensions"):
        text = parameters.get(name)
        if text:
            decoded[name] = read_json(text, name)
    return _request({"query": parameters.get("query"), "operationName": parameters.get("operationName")} | decoded)


async def _of_body(request: Request) -> GraphQLRequest:
    media, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charset = next((part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")), "utf-8")
    if media != JSON or charset not in {"utf-8", "utf8"}:
        raise MediaTypeProblem("the body must be JSON", hint=f"Send Content-Type: {JSON}.")
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise MediaTypeProblem("the body must not be compressed", hint="Leave out Content-Encoding.")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY:
        raise BodyProblem(f"the body is larger than {MAX_BODY:,} bytes", headers={"Connection": "close"})
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise BodyProblem(f"the body is larger than {MAX_BODY:,} bytes", headers={"Connection": "close"})
    except ClientDisconnect as exc:
        raise BadRequestProblem("the client went away") from exc
    except TimeoutError as exc:
        raise BodyTimeoutProblem(
            f"the body was not there after {BODY_SECONDS:.0f} seconds", headers={"Connection": "close"}
        ) from exc
    try:
        text = body.decode()
    except UnicodeDecodeError as exc:
        raise BadRequestProblem("body: it is not in UTF-8") from exc
    return _request(read_json(text, "body"))


def read_json(text: str, name: str) -> Any:
    """Return what a client wrote as JSON.

    Raises:
        BadRequestProblem: it is no JSON, is nested too deeply, or holds what is no text.
    """
    if text.count("[") + text.count("{") > _MAX_JSON_DEPTH and _is_deep(text):
        raise BadRequestProblem(f"{name}: it is nested more than {_MAX_JSON_DEPTH} deep")
    try:
        return orjson.loads(text)
    except ValueError as exc:
        raise BadRequestProblem(f"{name}: it is no JSON") from exc


def _is_deep(text: str) -> bool:
    """Tell whether JSON is nested too deeply; brackets within strings do not count."""
    depth = 0
    in_string = escaped = False
    for letter in text:
        if in_string:
            in_string = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            in_string = True
        elif letter in _OPENERS:
            depth += 1
            if depth > _MAX_JSON_DEPTH:
                return True
        elif letter in _CLOSERS:
            depth -= 1
    return False


def parse_request(value: Any) -> GraphQLRequest:
    """Return a request from the object that a client sent.

    Raises:
        BatchProblem: it is an array.
        BadRequestProblem: it has not the form of a GraphQL request.
    """
    return _request(value)


def _request(value: Any) -> GraphQLRequest:
    if isinstance(value, list):
        raise BatchProblem("several requests in an array are not answered", hint="Send them one by one over HTTP/1.1.")
    if not isinstance(value, dict):
        raise BadRequestProblem("the request is no JSON object")
    query, name = value.get("query"), value.get("operationName")
    variables, extensions = value.get("variables"), value.get("extensions")
    for argument, given, kind in (
        ("query", query, str), ("operationName", name, str), ("variables", variables, dict),
        ("extensions", extensions, dict),
    ):  # fmt: skip
        if given is not None and not isinstance(given, kind):
            raise BadRequestProblem(f"{argument}: it is no {'string' if kind is str else 'object'}")
    return GraphQLRequest(query, name or None, variables or {}, extensions)


def _response(request: Request, answer: Answer, media: str, headers: dict[str, str]) -> Response:
    status = answer.status
    if media == JSON and answer.is_request_error:
        status = HTTPStatus.OK
    headers = headers | answer.headers
    if request.method == "GET" and answer.max_age is not None:
        tag = f'"{hashlib.sha256(media.encode() + answer.body).hexdigest()[:32]}"'
        headers |= {"ETag": tag, "Cache-Control": f"private, max-age={answer.max_age}"}
        given = request.headers.get("if-none-match", "")
        if tag in {one.strip().removeprefix("W/") for one in given.split(",")}:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    else:
        headers["Cache-Control"] = "no-store"
    return Response(answer.body, status, headers, media_type=f"{media}; charset=utf-8")
