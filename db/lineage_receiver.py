"""Posts lineage events to an HTTP server that speaks OpenLineage, Marquez for one."""

from __future__ import annotations

import email.utils
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import urllib3
from urllib3.util import Timeout, Url, parse_url

from telestream.errors import UsageError
from telestream.settings import settings

_TIMEOUT = Timeout(connect=5.0, read=10.0)
_ENDPOINT = "/api/v1/lineage"
_LONGEST_ASKED = 3600.0
_SHOWN = 200
# What another try of the same event may change: a wrong key or address is set right, a busy server rests.
_LATER = {401, 403, 404, 405, 407, 408, 425, 429}
_HINT = "Set TELESTREAM_LINEAGE_URL, e.g. http://marquez.example:5000; the key goes to TELESTREAM_LINEAGE_API_KEY."


@dataclass(frozen=True)
class Answer:
    """What became of an event; `wait` are the seconds the server asks for."""

    outcome: Literal["taken", "later", "refused"]
    problem: str = ""
    wait: float | None = None


class Receiver:
    """A lineage server.

    Args:
        url: of the server; without a path the usual one of OpenLineage is meant.
        key: bearer token, or none.
        timeout: of connecting and of each wait for bytes.

    Raises:
        UsageError: the URL cannot be used, or holds a password.
    """

    def __init__(self, url: str, key: str = "", *, timeout: Timeout = _TIMEOUT) -> None:
        try:
            parsed = parse_url(url)
        except urllib3.exceptions.LocationParseError:
            parsed = Url()
        if not parsed.host or parsed.scheme not in ("http", "https"):
            raise UsageError("the URL of the lineage server cannot be used", hint=_HINT)
        if parsed.auth or parsed.query:
            raise UsageError("the URL of the lineage server holds a password or a query", hint=_HINT)
        path = parsed.path if parsed.path and parsed.path != "/" else _ENDPOINT
        self.url = parsed._replace(path=path, fragment=None).url
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        # A redirect would carry the key to a place nobody named.
        self._http = urllib3.PoolManager(timeout=timeout, retries=False)

    def post(self, event: str) -> Answer:
        """Post an event, as JSON; whatever happens is an answer."""
        try:
            response = self._http.request(
                "POST", self.url, body=event.encode(), headers=self._headers, preload_content=False
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


def configured_receiver() -> Receiver | None:
    """Return the lineage server of the settings; None where there is none.

    Raises:
        UsageError: its URL or the file of its key cannot be used.
    """
    given = settings()
    if not given.lineage_url:
        return None
    key = given.lineage_api_key.get_secret_value()
    if given.lineage_api_key_file is not None:
        key = _key_of(given.lineage_api_key_file)
    return Receiver(given.lineage_url, key)


def _key_of(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(
            "the key of the lineage server cannot be read",
            detail=f"{path}: {type(exc).__name__}.",
            hint="Check TELESTREAM_LINEAGE_API_KEY_FILE.",
        ) from exc


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
