"""Posts lineage events to an HTTP server that speaks OpenLineage, Marquez for one."""

from __future__ import annotations

from pathlib import Path

from urllib3.util import Timeout

from telestream.db.http_post import TIMEOUT, JsonPoster, http_url
from telestream.errors import UsageError
from telestream.settings import settings

_ENDPOINT = "/api/v1/lineage"
_HINT = "Set TELESTREAM_LINEAGE_URL, e.g. http://marquez.example:5000; the key goes to TELESTREAM_LINEAGE_API_KEY."


class Receiver:
    """A lineage server.

    Args:
        url: of the server; without a path the usual one of OpenLineage is meant.
        key: bearer token, or none.
        timeout: of connecting and of each wait for bytes.

    Raises:
        UsageError: the URL cannot be used, or holds a password.
    """

    def __init__(self, url: str, key: str = "", *, timeout: Timeout = TIMEOUT) -> None:
        parsed = http_url(url)
        if parsed is None:
            raise UsageError("the URL of the lineage server cannot be used", hint=_HINT)
        if parsed.auth or parsed.query:
            raise UsageError("the URL of the lineage server holds a password or a query", hint=_HINT)
        path = parsed.path if parsed.path and parsed.path != "/" else _ENDPOINT
        self.url = parsed._replace(path=path, fragment=None).url
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        #: Posts an event, as JSON; whatever happens is an answer.
        self.post = JsonPoster(self.url, headers, timeout=timeout).post


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
