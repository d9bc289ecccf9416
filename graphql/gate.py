"""Who may come in: the caller of an HTTP request, and whether the minute still has room for it."""

from __future__ import annotations

from starlette.requests import Request

from telestream.graphql.authenticate import Authenticator
from telestream.graphql.principal import Principal
from telestream.graphql.problems import RateProblem, UnauthenticatedProblem
from telestream.graphql.rate import RateLimiter, Verdict

# Wrong keys per minute and address, before more are refused unread.
_WRONG_PER_MINUTE = 60


class Gate:
    """Admits requests; for one event loop."""

    def __init__(self, authenticator: Authenticator, limiter: RateLimiter) -> None:
        self._authenticator = authenticator
        self._limiter = limiter

    async def principal(self, request: Request) -> Principal:
        """Return who calls.

        Raises:
            Problem: nobody we know, or too many wrong keys came from this address.
        """
        address = request.client.host if request.client else "unknown"
        try:
            return await self._authenticator.principal(request.headers)
        except UnauthenticatedProblem:
            verdict = await self._limiter.count(f"address:{address}", _WRONG_PER_MINUTE)
            if not verdict.allowed:
                raise RateProblem(
                    "too many wrong keys from this address", headers={"Retry-After": str(verdict.reset)}
                ) from None
            raise

    async def count(self, principal: Principal) -> Verdict:
        """Count a request of a caller.

        Raises:
            RateProblem: the requests of the minute are used up; has the verdict's headers.
        """
        verdict = await self._limiter.count(principal.name, principal.rate)
        if not verdict.allowed:
            raise RateProblem(
                f"more than {verdict.limit} requests a minute",
                hint=f"Wait {verdict.reset} seconds.",
                headers=verdict.headers,
            )
        return verdict
