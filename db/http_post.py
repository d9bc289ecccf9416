"""Posts JSON to a receiver over HTTP and tells what became of it: taken, to be tried again, or refused for good."""

from __future__ import annotations

import email.utils
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import urllib3
from urllib3.util import Timeout, Url, parse_url

TIMEOUT = Timeout(connect=5.0, read=10.0)
_LONGEST_ASKED = 3600.0
_SHOWN = 200
# What another try of the same body may change: a wrong key or address is set right, a busy server rests.
_LATER = {401, 403, 404, 405, 407, 408, 425, 429}


@dataclass(frozen=True)
class Answer:
    """What became of a post; `wait` are the seconds the receiver asks for."""

    outcome: Literal["taken", "later", "refused"]
    problem: str = ""
    wait: float | None = None


def http_url(url: str) -> Url | None:
    """Return the parts of an HTTP URL; None where it is none."""
    try:
        parsed = parse_url(url)
    except urllib3.exceptions.LocationParseError:
        return None
    return parsed if parsed.host and parsed.scheme in ("http", "https") else None


class JsonPoster:
    """Posts JSON to one URL.

    Args:
        url: of the receiver; it is in no answer.
        headers: sent besides the content type.
        timeout: of connecting and of each wait for bytes.
    """

    def __init__(self, url: str, headers: dict[str, str] | None = None, *, timeout: Timeout = TIMEOUT) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        # A redirect would carry the key to a place nobody named.
        self._http = urllib3.PoolManager(timeout=timeout, retries=False)

    def post(self, body: str) -> Answer:
        """Post JSON; whatever happens is an answer."""
        try:
            response = self._http.request(
                "POST", self._url, body=body.encode(), headers=self._headers, preload_content=False
            )
            # No more than comes at once: a body that drips or does not end must not hold the others up.
            text = response.read1(_SHOWN).decode("utf-8", "replace")
            if text:
                response.close()
            else:
                response.release_conn()
        except urllib3.exceptions.HTTPError as exc:
            return Answer("later", f"the server does not answer: {type(exc).__name__}")
        if 200 <= response.status < 300:
            return Answer("taken")
        said = " ".join(f"{response.status} {response.reason or ''} {text}".split())
        if response.status in _LATER or not 400 <= response.status < 500:
            return Answer("later", said, _retry_after(response.headers.get("Retry-After")))
        return Answer("refused", said)


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, an hour at most; None where it cannot be read."""
    if value is None:
        return None
    try:
        seconds = float(int(value))
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_ASKED)
