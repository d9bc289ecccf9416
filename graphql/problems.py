"""The refusals of the API: one class is one code, listed in docs/errors.md, and a test holds both together."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar

from graphql import GraphQLError, GraphQLSyntaxError

from telestream.errors import TelestreamError


class Problem(TelestreamError):
    """Base of all refusals.

    `code` is what a client sees in `extensions.code`, `status` what HTTP answers when nothing could be executed,
    `headers` what goes with it. Raised in a resolver it becomes an entry of `errors`.
    """

    code: ClassVar[str] = "INTERNAL"
    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST

    def __init__(
        self,
        message: str,
        *,
        detail: str | None = None,
        hint: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.headers = headers or {}
        self._more = more

    @property
    def extensions(self) -> dict[str, Any]:
        """What `extensions` of the error holds; graphql-core takes it from here."""
        found: dict[str, Any] = {"code": self.code}
        if self.detail:
            found["detail"] = self.detail
        if self.hint:
            found["hint"] = self.hint
        return found | self._more


class InternalProblem(Problem):
    """A defect of ours: the message says nothing but the id of the request."""

    code = "INTERNAL"
    status = HTTPStatus.INTERNAL_SERVER_ERROR

    @classmethod
    def masked(cls, request_id: str) -> InternalProblem:
        """Return what a client is told; the log has the rest."""
        return cls("the service failed", hint=f"Report the request id {request_id}.", requestId=request_id)


class BadRequestProblem(Problem):
    """The HTTP request is no GraphQL request."""

    code = "BAD_REQUEST"


class ParseProblem(Problem):
    """The document is no GraphQL."""

    code = "PARSE_FAILED"


class ValidationProblem(Problem):
    """The document does not fit the schema."""

    code = "VALIDATION_FAILED"


class VariablesProblem(Problem):
    """A variable does not fit its type."""

    code = "BAD_VARIABLES"


class ArgumentProblem(Problem):
    """An argument has a value that cannot be used."""

    code = "BAD_ARGUMENT"

    def __init__(self, argument: str, message: str, *, allowed: list[str] | None = None, hint: str | None = None):
        more: dict[str, Any] = {"argument": argument}
        if allowed is not None:
            more["allowed"] = allowed
        super().__init__(f"{argument}: {message}", hint=hint, **more)


class BatchProblem(Problem):
    """Several requests in one array."""

    code = "BATCH_REFUSED"


class MethodProblem(Problem):
    """The HTTP method does not fit: only POST may change something."""

    code = "METHOD_NOT_ALLOWED"
    status = HTTPStatus.METHOD_NOT_ALLOWED


class NotAcceptableProblem(Problem):
    """The client accepts no format the API can answer in."""

    code = "NOT_ACCEPTABLE"
    status = HTTPStatus.NOT_ACCEPTABLE


class MediaTypeProblem(Problem):
    """The body is in a format the API cannot read."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class BodyProblem(Problem):
    """The body or the URL is too large."""

    code = "BODY_TOO_LARGE"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class BodyTimeoutProblem(Problem):
    """The body does not come."""

    code = "BODY_TIMEOUT"
    status = HTTPStatus.REQUEST_TIMEOUT


class TokensProblem(Problem):
    """The document is too long."""

    code = "TOKENS_EXCEEDED"


class DepthProblem(Problem):
    """The document is nested too deeply."""

    code = "DEPTH_EXCEEDED"


class AliasesProblem(Problem):
    """The document has too many aliases, fields or directives."""

    code = "ALIASES_EXCEEDED"


class FragmentsProblem(Problem):
    """The document defines too many fragments."""

    code = "FRAGMENTS_EXCEEDED"


class CostProblem(Problem):
    """Answering would cost too much."""

    code = "COST_EXCEEDED"


class IntrospectionProblem(Problem):
    """The schema is not shown in production mode."""

    code = "INTROSPECTION_DISABLED"


class PersistedNotFoundProblem(Problem):
    """No document is known under the hash; the text is the one that clients of automatic persisted queries expect."""

    code = "PERSISTED_QUERY_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound", hint="Send the document along with its hash once.")


class PersistedMismatchProblem(Problem):
    """The document has another hash than the one sent along."""

    code = "PERSISTED_QUERY_MISMATCH"


class PersistedRequiredProblem(Problem):
    """In production mode only queries of the allow-list are answered."""

    code = "PERSISTED_QUERY_REQUIRED"
    status = HTTPStatus.FORBIDDEN


class UnauthenticatedProblem(Problem):
    """No key or token, or one that is wrong."""

    code = "UNAUTHENTICATED"
    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, headers={"WWW-Authenticate": 'Bearer realm="telestream"'})


class ExpiredProblem(UnauthenticatedProblem):
    """The key or token was good once: it has expired or was revoked."""

    code = "CREDENTIAL_EXPIRED"


class ForbiddenProblem(Problem):
    """The caller is known and may not do this."""

    code = "FORBIDDEN"
    status = HTTPStatus.FORBIDDEN


class RateProblem(Problem):
    """The key has used up its requests of the minute."""

    code = "RATE_LIMITED"
    status = HTTPStatus.TOO_MANY_REQUESTS


class OverloadedProblem(Problem):
    """More requests are being answered than the service can bear."""

    code = "OVERLOADED"
    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, message: str = "the service has no room for more requests") -> None:
        super().__init__(message, hint="Try again after a second.", headers={"Retry-After": "1"})


class DatabaseProblem(Problem):
    """The database does not answer."""

    code = "DATABASE_UNAVAILABLE"
    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            "the database does not answer", hint="Try again after some seconds.", headers={"Retry-After": "5"}
        )


class TimeoutProblem(Problem):
    """The database took longer than a query may take."""

    code = "QUERY_TIMEOUT"
    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self) -> None:
        super().__init__("the query took too long", hint="Ask for a shorter range, fewer cells or a coarser grain.")


class LiveProblem(Problem):
    """Redis does not answer, so there is nothing live."""

    code = "LIVE_UNAVAILABLE"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class SlowConsumerProblem(Problem):
    """A subscriber does not take its events as fast as they come."""

    code = "SLOW_CONSUMER"


def as_problem(error: GraphQLError) -> Problem | None:
    """Return the refusal behind an error of graphql-core, nothing where it is a plain error of the document."""
    if isinstance(error.original_error, Problem):
        return error.original_error
    if isinstance(error.original_error, GraphQLError):
        return as_problem(error.original_error)
    return None


def formatted(error: GraphQLError | Problem, request_id: str, default: type[Problem]) -> dict[str, Any]:
    """Return an error as the response shows it; one that is neither ours nor of the document is masked.

    Args:
        error: what went wrong.
        request_id: what a masked error says.
        default: the class whose code an error of the document gets.
    """
    if isinstance(error, Problem):
        return {"message": str(error), "extensions": error.extensions}
    if as_problem(error) is not None:
        return dict(error.formatted)
    if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
        masked = InternalProblem.masked(request_id)
        shown: dict[str, Any] = {"message": str(masked), "extensions": masked.extensions}
        if error.path:
            shown["path"] = error.path
        return shown
    code = ParseProblem.code if isinstance(error, GraphQLSyntaxError) else default.code
    return dict(error.formatted) | {"extensions": {**(error.extensions or {}), "code": code}}
