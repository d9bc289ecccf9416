"""A client of schema registries with Confluent's REST API."""

from __future__ import annotations

import base64
import json
import ssl
from typing import Any, TypeVar
from urllib.parse import quote

import urllib3
from urllib3.util import Retry, Timeout, Url, parse_url

from telestream.consumers.registry_protocol import IncompatibleSchemaError, UnknownSchemaError
from telestream.errors import TelestreamError, TerminalError, TransientError, UsageError

_CONNECT_SECONDS = 3.0
_READ_SECONDS = 5.0
_RETRIES = 3
_BACKOFF_SECONDS = 0.2
_BUSY = (429, 500, 502, 503, 504)
_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
# What the API says in the body of a 404, beside a path that it does not know.
_NO_SUBJECT, _NO_VERSION, _NO_SCHEMA = 40401, 40402, 40403
_CREDENTIALS = "Check TELESTREAM_SCHEMA_REGISTRY_USER and TELESTREAM_SCHEMA_REGISTRY_PASSWORD."
_URL_HINT = "Correct TELESTREAM_SCHEMA_REGISTRY: http://host:port or https://host."

_T = TypeVar("_T")


class HttpRegistry:
    """Talks to a registry; see `SchemaRegistry`. It decides which schemas are compatible, by its own settings.

    Schemas are remembered by their id for good. A call is tried again a few times, for half a minute at most, before
    it counts as unanswered. Certificates are checked against those of the system, or of `SSL_CERT_FILE`.

    Args:
        url: where it is, `http://…` or `https://…`.
        user: name to log on with; empty: none.
        password: its password.

    Raises:
        UsageError: the URL cannot be used.
    """

    def __init__(self, url: str, *, user: str = "", password: str = "") -> None:
        try:
            parsed = parse_url(url)
        except urllib3.exceptions.LocationParseError:
            parsed = Url()
        if not parsed.host:
            raise UsageError("the URL of the schema registry cannot be used", hint=_URL_HINT)
        if parsed.auth:
            raise UsageError(
                "the URL of the schema registry holds a password",
                hint="Set TELESTREAM_SCHEMA_REGISTRY_USER and TELESTREAM_SCHEMA_REGISTRY_PASSWORD instead.",
            )
        self._url = parsed.url.rstrip("/")
        self._known: dict[int, dict[str, Any]] = {}
        self._headers = {"Accept": _MEDIA_TYPE}
        if user:
            self._headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._http = urllib3.PoolManager(
            timeout=Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            retries=Retry(
                _RETRIES,
                allowed_methods=None,  # registering twice is registering once
                status_forcelist=_BUSY,
                backoff_factor=_BACKOFF_SECONDS,
                raise_on_status=False,
                respect_retry_after_header=False,  # it may be hours
            ),
        )

    def schema(self, schema_id: int) -> dict[str, Any]:
        """Return a schema; see `SchemaRegistry.schema`."""
        if schema_id not in self._known:
            answer = self._call("GET", f"/schemas/ids/{schema_id}", absent=(_NO_SCHEMA,))
            if answer is None:
                raise UnknownSchemaError(f"there is no schema {schema_id}", detail=f"Registry {self._url}.")
            self._known[schema_id] = self._avro(answer, f"schema {schema_id}")
        return self._known[schema_id]

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Return the id of a schema, registered if need be; see `SchemaRegistry.register`."""
        body = {"schema": json.dumps(schema)}
        path = f"/subjects/{quote(subject, safe='')}"
        # An older schema of the subject need not follow the latest one: a producer not yet replaced still uses it.
        answer = self._call("POST", path, body, absent=(_NO_SUBJECT, _NO_SCHEMA))
        if answer is None:
            self._require_compatible(subject, body)
            answer = self._call("POST", f"{path}/versions", body)
        return self._field(answer, "id", int)

    def latest(self, subject: str) -> tuple[int, dict[str, Any]] | None:
        """Return the schema registered last, with its id; see `SchemaRegistry.latest`."""
        path = f"/subjects/{quote(subject, safe='')}/versions/latest"
        answer = self._call("GET", path, absent=(_NO_SUBJECT, _NO_VERSION))
        if answer is None:
            return None
        return self._field(answer, "id", int), self._avro(answer, f"the latest schema of {subject}")

    def _require_compatible(self, subject: str, body: dict[str, Any]) -> None:
        path = f"/compatibility/subjects/{quote(subject, safe='')}/versions/latest?verbose=true"
        answer = self._call("POST", path, body, absent=(_NO_SUBJECT, _NO_VERSION))
        if answer is not None and not self._field(answer, "is_compatible", bool):
            reasons = "; ".join(str(reason) for reason in answer.get("messages", []))
            raise IncompatibleSchemaError(
                f"the schema cannot follow the latest one of {subject}",
                detail=f"{self._url} says: {reasons or 'no reason'}.",
            )

    def _avro(self, answer: dict[str, Any], what: str) -> dict[str, Any]:
        if answer.get("schemaType", "AVRO") != "AVRO" or answer.get("references"):
            raise UnknownSchemaError(f"{what} is no Avro schema complete in itself", detail=f"Registry {self._url}.")
        try:
            schema = json.loads(self._field(answer, "schema", str))
        except ValueError:
            schema = None
        # A registry may name a primitive type alone; no message of ours is one.
        return schema if isinstance(schema, dict) else {"type": schema}

    def _field(self, answer: dict[str, Any] | None, name: str, kind: type[_T]) -> _T:
        value = answer.get(name) if answer else None
        if not isinstance(value, kind):
            raise self._no_registry(f"answers without {name}")
        return value

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, absent: tuple[int, ...] = ()
    ) -> dict[str, Any] | None:
        """Return what the registry answers; nothing if it answers with one of the codes `absent`.

        Raises:
            TransientError: it does not answer, or is busy.
            TerminalError: it refuses the user or the request, or there is no registry at the URL.
        """
        headers = {**self._headers, "Content-Type": _MEDIA_TYPE} if body else self._headers
        try:
            response = self._http.request(
                method, self._url + path, body=json.dumps(body) if body else None, headers=headers
            )
        except urllib3.exceptions.HTTPError as exc:
            raise self._unanswered(exc) from exc
        answer = _object(response.data)
        status, code = response.status, answer.get("error_code")
        if status == 200 and answer:
            return answer
        if status == 404 and code in absent:
            return None
        said = f"{self._url} answers {status}: {answer.get('message', response.reason)}."
        if status in _BUSY:
            raise TransientError("the schema registry is busy or out of order", detail=said)
        if status in (401, 403):
            raise TerminalError("the schema registry refused this user", detail=said, hint=_CREDENTIALS)
        if status == 409:
            raise IncompatibleSchemaError("the schema cannot follow the latest one of its subject", detail=said)
        if code is not None:
            raise TerminalError("the schema registry refused a request", detail=said)
        raise self._no_registry(f"answers {status}")

    def _unanswered(self, exc: urllib3.exceptions.HTTPError) -> TelestreamError:
        """Return the error for a call without an answer; a certificate that is not trusted will not be next time."""
        cause = exc.reason if isinstance(exc, urllib3.exceptions.MaxRetryError) and exc.reason else exc
        if any(isinstance(part, ssl.SSLCertVerificationError) for part in cause.args):
            return TerminalError(
                "the certificate of the schema registry is not trusted",
                detail=f"{self._url}: {cause}.",
                hint="Name the file of its authority in the environment variable SSL_CERT_FILE.",
            )
        return TransientError(
            "the schema registry does not answer",
            detail=f"{self._url}: {type(cause).__name__}.",
            hint="Start it, or correct TELESTREAM_SCHEMA_REGISTRY.",
        )

    def _no_registry(self, what: str) -> TerminalError:
        return TerminalError(
            "there is no schema registry at the URL",
            detail=f"{self._url} {what}.",
            hint=_URL_HINT,
        )


def _object(data: bytes) -> dict[str, Any]:
    """Return the JSON object of an answer; an empty one if it is something else."""
    try:
        answer = json.loads(data)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
