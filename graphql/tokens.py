"""JSON Web Tokens: HS256 with a shared secret for development, RS256 and ES256 with a rotating key set."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import urllib3

from telestream.errors import UsageError
from telestream.graphql.principal import DEFAULT_RATE, READ_SCOPES, ROLES, Principal, Scope
from telestream.graphql.problems import ExpiredProblem, UnauthenticatedProblem

LEEWAY_SECONDS = 30
# A token with an unknown key id makes us fetch the key set again, at most this often: nobody makes us a client that
# hammers the identity provider.
_REFETCH_SECONDS = 10.0
_KEEP_SECONDS = 600.0
_SECRET_BYTES = 32
_LONGEST = 8_192
_LONGEST_SUBJECT = 200


def fetch_json(url: str) -> Any:
    """Return the JSON behind a URL; waits at most three seconds."""
    pool = urllib3.PoolManager(timeout=3.0, retries=False)
    response = pool.request("GET", url, headers={"Accept": "application/json"})
    if response.status != 200:
        raise ValueError(f"status {response.status}")
    return json.loads(response.data)


class KeySet:
    """The public keys of an identity provider by key id, fetched when needed."""

    def __init__(
        self, url: str, *, fetch: Callable[[str], Any] = fetch_json, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._tried = float("-inf")
        self._fetched = float("-inf")
        self._lock = asyncio.Lock()

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        """Return a key; one that is not known, or a set that is old, is fetched first. The old set serves meanwhile."""
        if key_id not in self._keys or self._clock() - self._fetched > _KEEP_SECONDS:
            async with self._lock:
                if self._clock() - self._tried > _REFETCH_SECONDS:
                    self._tried = self._clock()
                    await self._refresh()
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        try:
            found = jwt.PyJWKSet.from_dict(await asyncio.to_thread(self._fetch, self._url))
        except (urllib3.exceptions.HTTPError, ValueError, jwt.PyJWTError, AttributeError):
            return
        # The provider decides which keys are good: one that has left the set is refused from now on.
        self._keys = {key.key_id: key for key in found.keys if key.key_id}
        self._fetched = self._clock()


class Tokens:
    """Checks tokens: signature by an allowed algorithm, issuer, audience, times."""

    def __init__(self, *, secret: str, key_set: KeySet | None, issuer: str, audience: str) -> None:
        """Remember what tokens must have.

        Raises:
            UsageError: the secret is too short, or issuer and audience are missing.
        """
        if (secret or key_set) and not (issuer and audience):
            raise UsageError(
                "tokens need an issuer and an audience",
                hint="Set TELESTREAM_API_JWT_ISSUER and TELESTREAM_API_JWT_AUDIENCE.",
            )
        if secret and len(secret.encode()) < _SECRET_BYTES:
            raise UsageError(
                "the secret of tokens is too short",
                hint=f"TELESTREAM_API_JWT_SECRET has at least {_SECRET_BYTES} bytes.",
            )
        self._secret = secret
        self._key_set = key_set
        self._issuer = issuer
        self._audience = audience

    async def principal(self, token: str) -> Principal:
        """Return who a token stands for.

        Raises:
            UnauthenticatedProblem: it is no token of ours, or expired.
        """
        key, algorithms = await self._key(token)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError as exc:
            raise ExpiredProblem("the token has expired", hint="Get a new one from your identity provider.") from exc
        except (jwt.PyJWTError, RecursionError, OverflowError) as exc:
            raise UnauthenticatedProblem("the token is not accepted", hint=_reason(exc)) from exc
        return _as_principal(claims)

    async def _key(self, token: str) -> tuple[Any, list[str]]:
        """Return the key of a token and the algorithms that go with it; the token does not choose between them."""
        if len(token) > _LONGEST:
            raise UnauthenticatedProblem("the credential is neither a key nor a token")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, RecursionError) as exc:
            raise UnauthenticatedProblem("the credential is neither a key nor a token") from exc
        # Equal and not among: a hostile one is a list.
        asymmetric = any(header.get("alg") == name for name in ("RS256", "ES256"))
        if self._key_set is not None and asymmetric and isinstance(header.get("kid"), str):
            found = await self._key_set.key(header["kid"])
            # A key goes with one algorithm: the token does not choose another.
            if found is None or found.algorithm_name != header["alg"]:
                raise UnauthenticatedProblem("the token is signed with a key that is not known")
            return found.key, [header["alg"]]
        if self._secret and header.get("alg") == "HS256":
            return self._secret, ["HS256"]
        raise UnauthenticatedProblem("the token is signed in a way that is not accepted")


def _reason(exc: Exception) -> str:
    match exc:
        case jwt.InvalidAudienceError():
            return "Its audience is another one."
        case jwt.InvalidIssuerError():
            return "Its issuer is another one."
        case jwt.MissingRequiredClaimError():
            return "It lacks one of exp, iat, sub, iss, aud."
        case jwt.ImmatureSignatureError():
            return "It is not valid yet."
    return "Its signature or its form is wrong."


def _as_principal(claims: dict[str, Any]) -> Principal:
    subject = claims["sub"]
    # It goes to the access log and into the name of a counter.
    if not subject.isprintable() or not 1 <= len(subject) <= _LONGEST_SUBJECT:
        raise UnauthenticatedProblem("the token names a subject that cannot be used")
    role = claims.get("telestream_role", "analyst")
    if role not in ROLES:
        raise UnauthenticatedProblem("the token names a role that does not exist", hint=f"Roles: {', '.join(ROLES)}.")
    named = claims.get("scope")
    known = {str(scope) for scope in Scope}
    scopes = READ_SCOPES if named is None else [Scope(one) for one in str(named).split() if one in known]
    rate = claims.get("telestream_rate", DEFAULT_RATE)
    if not isinstance(rate, int) or rate < 1:
        rate = DEFAULT_RATE
    return Principal(f"jwt:{subject}", role, frozenset(scopes), rate, float(claims["exp"]))
