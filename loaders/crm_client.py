"""Reads pages of changed customers from the REST API of a CRM; the protocol is in docs/formats.md."""

from __future__ import annotations

import email.utils
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import urllib3
from urllib3.util import Timeout, Url, parse_url

from telestream.errors import TelestreamError, TerminalError, TransientError, UsageError

_ATTEMPTS = 5
_BACKOFF_SECONDS = 0.5
_LONGEST_WAIT = 300.0
_TIMEOUT = Timeout(connect=5.0, read=60.0)
_BUSY = (429, 500, 502, 503, 504)
_TOKEN_HINT = "Set TELESTREAM_CRM_TOKEN to a token that may read customers."
_PROTOCOL_HINT = "docs/formats.md tells what the API must answer; a small adapter can translate."


class ExpiredCursorError(TransientError):
    """The API no longer knows the place a sync stopped at; it has to begin again from its watermark."""


@dataclass(frozen=True)
class Page:
    """Some changed customers, and where the next ones are; no cursor at the end."""

    customers: list[Any]
    next_cursor: str | None


class CrmClient:
    """Asks the API of a CRM.

    Args:
        url: of the resource that lists customers.
        token: bearer token.
        sleep: waits some seconds; given by tests.

    Raises:
        UsageError: the URL cannot be used.
    """

    def __init__(self, url: str, token: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        try:
            parsed = parse_url(url)
        except urllib3.exceptions.LocationParseError:
            parsed = Url()
        hint = "Give --url or TELESTREAM_CRM_URL, e.g. https://crm.example/api/customers."
        if not parsed.host or parsed.scheme not in ("http", "https"):
            raise UsageError("the URL of the CRM cannot be used", hint=hint)
        if parsed.auth or parsed.query:
            raise UsageError("the URL of the CRM holds a password or a query", hint=hint)
        self._url = parsed.url
        self._sleep = sleep
        self._headers = {"Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        # A redirect would carry the token to a place nobody named.
        self._http = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)

    @property
    def url(self) -> str:
        """What is asked; it holds no secret."""
        return self._url

    def page(self, since: datetime | None, cursor: str | None, size: int) -> Page:
        """Return a page of the customers that changed at or after `since`; of all without it.

        A busy or broken server is asked again a few times, as late as it says itself.

        Raises:
            ExpiredCursorError: the cursor is not known any more.
            TransientError: the API does not answer, or is busy for longer than we wait.
            TerminalError: it refuses the token or the request, or is not such an API.
        """
        fields = {"limit": str(size)}
        if since is not None:
            fields["updated_since"] = since.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if cursor is not None:
            fields["cursor"] = cursor
        response = self._answered(fields)
        if response.status in (400, 404, 410) and cursor is not None:
            raise ExpiredCursorError(
                "the API does not know the place where the sync stopped", detail=self._said(response)
            )
        if response.status in (401, 403):
            raise TerminalError("the CRM refused the token", detail=self._said(response), hint=_TOKEN_HINT)
        if response.status != 200:
            raise TerminalError("the CRM refused the request", detail=self._said(response), hint="Check the URL.")
        return self._page(response)

    def _answered(self, fields: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Ask until there is an answer that another try would not change."""
        for attempt in range(1, _ATTEMPTS + 1):
            wait = _BACKOFF_SECONDS * 2 ** (attempt - 1)
            try:
                response = self._http.request("GET", self._url, fields=fields, headers=self._headers)
            except urllib3.exceptions.HTTPError as exc:
                error = self._unanswered(exc)
                if not error.transient or attempt == _ATTEMPTS:
                    raise error from exc
            else:
                if response.status not in _BUSY:
                    return response
                asked = _retry_after(response.headers.get("Retry-After"))
                if attempt == _ATTEMPTS or (asked or 0) > _LONGEST_WAIT:
                    raise TransientError(
                        "the CRM is busy or out of order",
                        detail=self._said(response),
                        hint="Run the same command again later: pages that were committed are kept."
                        + (f" It asks for {asked:.0f} s." if asked else ""),
                    )
                wait = wait if asked is None else asked
            self._sleep(wait)
        raise AssertionError("unreachable")

    def _page(self, response: urllib3.BaseHTTPResponse) -> Page:
        try:
            answer = json.loads(response.data)
        except (ValueError, RecursionError) as exc:
            kind = response.headers.get("Content-Type", "no content type")
            raise TerminalError(
                "the CRM's answer is no JSON", detail=f"{self._url} answers with {kind}.", hint=_PROTOCOL_HINT
            ) from exc
        customers = answer.get("customers") if isinstance(answer, dict) else None
        if not isinstance(customers, list):
            raise self._lacks("a list `customers`")
        if "next_cursor" not in answer:
            raise self._lacks("`next_cursor`, which is null at the end")
        cursor = answer["next_cursor"]
        if cursor is not None and not (isinstance(cursor, str) and cursor):
            raise self._lacks("a text as `next_cursor`")
        return Page(customers, cursor)

    def _lacks(self, what: str) -> TerminalError:
        return TerminalError("the CRM's answer lacks a field", detail=f"{self._url}: no {what}.", hint=_PROTOCOL_HINT)

    def _said(self, response: urllib3.BaseHTTPResponse) -> str:
        return f"{self._url} answers {response.status} {response.reason or ''}".rstrip() + "."

    def _unanswered(self, exc: urllib3.exceptions.HTTPError) -> TelestreamError:
        if any(isinstance(part, ssl.SSLCertVerificationError) for part in exc.args):
            return TerminalError(
                "the certificate of the CRM is not trusted",
                detail=f"{self._url}: {exc}.",
                hint="Name the file of its authority in the environment variable SSL_CERT_FILE.",
            )
        return TransientError(
            "the CRM does not answer",
            detail=f"{self._url}: {type(exc).__name__}.",
            hint="Check that it runs, and the URL.",
        )


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, a number or a date; None where it cannot be read."""
    if value is None:
        return None
    try:
        return max(float(int(value)), 0.0)
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
