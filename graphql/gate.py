"""Who may come in: the caller of a request or WebSocket, and whether the minute still has room for it."""

from __future__ import annotations

from starlette.requests import HTTPConnection, Request

from telestream.graphql.authenticate import Authenticator, credential_of
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
        return await self.of_credential(credential_of(request.headers), request)

    async def of_credential(self, credential: str, connection: HTTPConnection) -> Principal:
        """Return who a key or token stands for that came over a connection, see `principal`."""
        try:
            return await self._authenticator.of_credential(credential)
        except UnauthenticatedProblem:
            address = connection.client.host if connection.client else "unknown"
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
