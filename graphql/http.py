"""GraphQL over HTTP: what a request must look like, and what an answer does."""

from __future__ import annotations

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

from telestream.graphql.authenticate import Authenticator
from telestream.graphql.engine import Answer, Engine, GraphQLRequest
from telestream.graphql.problems import (
    BadRequestProblem,
    BatchProblem,
    BodyProblem,
    MediaTypeProblem,
    MethodProblem,
    NotAcceptableProblem,
    Problem,
    RateProblem,
    UnauthenticatedProblem,
)
from telestream.graphql.rate import RateLimiter
from telestream.graphql.telemetry import Telemetry

MAX_BODY = 256 * 1024
MAX_URL = 16 * 1024
RESPONSE_JSON = "application/graphql-response+json"
JSON = "application/json"
# Wrong keys per minute and address, before more are refused unread.
_WRONG_PER_MINUTE = 60
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

_log = logging.getLogger("telestream.graphql.access")


class GraphQLEndpoint:
    """The endpoint for POST and GET."""

    def __init__(
        self, engine: Engine, authenticator: Authenticator, limiter: RateLimiter, telemetry: Telemetry
    ) -> None:
        self._engine = engine
        self._authenticator = authenticator
        self._limiter = limiter
        self._telemetry = telemetry

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        started = time.perf_counter()
        request_id = request_id_of(request.headers)
        headers = {"X-Request-Id": request_id, "Vary": "Accept, Authorization, X-API-Key"}
        media = RESPONSE_JSON
        who = ""
        try:
            media = negotiate(request.headers.get("accept"))
            if request.method not in {"GET", "POST"}:
                raise MethodProblem("GraphQL takes GET and POST", headers={"Allow": "GET, POST"})
            principal = await self._principal(request)
            who = principal.name
            verdict = await self._limiter.count(principal.name, principal.rate)
            headers |= verdict.headers
            if not verdict.allowed:
                raise RateProblem(f"more than {verdict.limit} requests a minute", hint=f"Wait {verdict.reset} seconds.")
            wanted = _of_url(request) if request.method == "GET" else await _of_body(request)
            answer = await self._engine.answer(wanted, principal, request_id, only_queries=request.method == "GET")
        except Problem as exc:
            answer = self._engine.refusal(exc, request_id)
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
        return response

    async def _principal(self, request: Request) -> Any:
        address = request.client.host if request.client else "unknown"
        guard = f"address:{address}"
        try:
            return await self._authenticator.principal(request.headers)
        except UnauthenticatedProblem:
            verdict = await self._limiter.count(guard, _WRONG_PER_MINUTE)
            if not verdict.allowed:
                raise RateProblem(
                    "too many wrong keys from this address", headers={"Retry-After": str(verdict.reset)}
                ) from None
            raise


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
            decoded[name] = _json(text, name)
    return _request({"query": parameters.get("query"), "operationName": parameters.get("operationName")} | decoded)


async def _of_body(request: Request) -> GraphQLRequest:
    media, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charset = next((part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")), "utf-8")
    if media != JSON or charset not in {"utf-8", "utf8"}:
        raise MediaTypeProblem("the body must be JSON", hint=f"Send Content-Type: {JSON}.")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY:
        raise BodyProblem(f"the body is larger than {MAX_BODY:,} bytes", headers={"Connection": "close"})
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise BodyProblem(f"the body is larger than {MAX_BODY:,} bytes", headers={"Connection": "close"})
    except ClientDisconnect as exc:
        raise BadRequestProblem("the client went away") from exc
    return _request(_json(bytes(body), "body"))


def _json(text: str | bytes, name: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError as exc:
        raise BadRequestProblem(f"{name}: it is no JSON") from exc


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
