"""Requests that mean harm, each with the code it is refused with; sent as bytes where no client would send them."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from graphql_api.fix_api import Api
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

SECRET = "s" * 32
EXPONENTIAL = "{ ...F0 } " + " ".join(
    f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(28)
) + " fragment F28 on Query { regions { name } }"  # fmt: skip
DAY = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}
_KEY = rsa.generate_private_key(65537, 2048)


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good token of an analyst; None leaves one out."""
    now = int(time.time())
    wanted = {"sub": "ana", "iss": "us", "aud": "api", "iat": now, "exp": now + 3600, "telestream_role": "analyst"}
    return {name: value for name, value in (wanted | changes).items() if value is not None}


@contextmanager
def identity_provider() -> Iterator[dict[str, str]]:
    """Serve a key set, and give the settings that make the API trust it."""
    published = [json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_KEY.public_key())) | {"kid": "1", "alg": "RS256"}]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"keys": published}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield {
                "TELESTREAM_API_JWT_SECRET": SECRET,
                "TELESTREAM_API_JWKS_URL": f"http://127.0.0.1:{server.server_address[1]}/",
                "TELESTREAM_API_JWT_ISSUER": "us",
                "TELESTREAM_API_JWT_AUDIENCE": "api",
            }
        finally:
            server.shutdown()
            thread.join()


def signed(**header: Any) -> str:
    """Return a token that the identity provider has signed."""
    return jwt.encode(claims(), _KEY, "RS256", headers={"kid": "1"} | header)


def forged(
    header: bytes | dict[str, Any], payload: bytes | dict[str, Any] | None = None, signature: bytes = b"x"
) -> str:
    """Return a token with a header and a signature of one's own."""
    parts = [header, claims() if payload is None else payload, signature]
    encoded = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in encoded)


def _public_key_as_secret() -> str:
    import hashlib
    import hmac

    pem = _KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = ".".join(forged({"alg": "HS256", "kid": "1", "typ": "JWT"}).split(".")[:2])
    mac = hmac.new(pem, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def tokens() -> dict[str, tuple[str, str]]:
    """Return tokens that must not be taken, with the code of their refusal."""
    other = rsa.generate_private_key(65537, 2048)
    own_key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(other.public_key()))
    wrong = "UNAUTHENTICATED"
    return {
        "an expired token": (jwt.encode(claims(exp=int(time.time()) - 60), SECRET, "HS256"), "CREDENTIAL_EXPIRED"),
        "a wrongly signed token": (jwt.encode(claims(), "x" * 32, "HS256"), wrong),
        "alg none": (jwt.encode(claims(), "", "none"), wrong),
        "alg nOnE": (forged({"alg": "nOnE"}, signature=b""), wrong),
        "alg none with a signature": (forged({"alg": "none"}), wrong),
        "the public key as a secret": (_public_key_as_secret(), wrong),
        "a key of one's own in the header": (
            jwt.encode(claims(), other, "RS256", headers={"kid": "1", "jwk": own_key}), wrong,
        ),
        "a key set of one's own": (
            jwt.encode(claims(), other, "RS256", headers={"kid": "2", "jku": "http://127.0.0.1:1/"}), wrong,
        ),
        "kid is a path": (jwt.encode(claims(), "\0" * 32, "HS256", headers={"kid": "../../../dev/null"}), wrong),
        "kid is SQL": (jwt.encode(claims(), other, "RS256", headers={"kid": "' OR 1=1 --"}), wrong),
        "kid is a list": (forged({"alg": "RS256", "kid": ["1"]}), wrong),
        "alg is a list": (forged({"alg": ["RS256"], "kid": "1"}), wrong),
        "alg is missing": (forged({"kid": "1"}), wrong),
        "the header is a list": (forged(b"[]"), wrong),
        "the header is nested deeply": (forged(b'{"alg":' + b"[" * 4000), wrong),
        "the payload is nested deeply": (jwt.api_jws.encode(b'{"sub":' + b"[" * 3000, SECRET, "HS256"), wrong),
        "exp is infinite": (jwt.api_jws.encode(json.dumps(claims(exp=float("inf"))).encode(), SECRET, "HS256"), wrong),
        "the role is the owner": (jwt.encode(claims(telestream_role="owner"), SECRET, "HS256"), wrong),
        "the role is a list": (jwt.encode(claims(telestream_role=["api"]), SECRET, "HS256"), wrong),
        "the subject has a NUL": (jwt.encode(claims(sub="a\0b"), SECRET, "HS256"), wrong),
        "the subject is long": (jwt.encode(claims(sub="a" * 1000), SECRET, "HS256"), wrong),
        "critical headers": (jwt.encode(claims(), SECRET, "HS256", headers={"crit": ["x"], "x": 1}), wrong),
    }  # fmt: skip


def send_raw(api: Api, head: str, chunks: Iterator[bytes], pause: float = 0.0) -> tuple[int, Any]:
    """Send a head and then the chunks until there is an answer; return status and body. The connection must close."""
    address = (api.base.removeprefix("http://").split(":")[0], int(api.base.rpartition(":")[2]))
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(head.encode())
        for chunk in chunks:
            if select.select([connection], [], [], pause)[0]:
                break
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(chunk)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(1 << 16):
                answer += data
    top, _, body = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(body)


def head(api: Api, *headers: str) -> str:
    """Return the head of a POST."""
    lines = (
        "POST /graphql HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {api.key()}",
        "Content-Type: application/json",
    )
    return "\r\n".join([*lines, *headers]) + "\r\n\r\n"


def chunked(api: Api) -> str:
    """Send 10 MB that no Content-Length announces."""
    pieces = (b"10000\r\n" + b"x" * 0x10000 + b"\r\n" for _ in range(160))
    return _code(send_raw(api, head(api, "Transfer-Encoding: chunked"), pieces)[1])


def announced(api: Api) -> str:
    """Announce 10 MB and send them."""
    return _code(send_raw(api, head(api, "Content-Length: 10000000"), (b"x" * 0x10000 for _ in range(153)))[1])


def _code(body: Any) -> str:
    found = body["errors"][0]["extensions"]["code"] if "errors" in body else "ok"
    assert isinstance(found, str)
    return found


def _post(body: Any, role: str = "api", **headers: str) -> Callable[[Api], str]:
    return lambda api: _code(api.post(body, api.key(role), **headers).body)


def _query(text: str, role: str = "api", **variables: Any) -> Callable[[Api], str]:
    return _post({"query": text, "variables": variables}, role)


def _token(token: str) -> Callable[[Api], str]:
    return lambda api: _code(api.post({"query": "{ regions { name } }"}, token).body)


def _socket(*messages: Any) -> Callable[[Api], str]:
    def send(api: Api) -> str:
        with connect(api.socket_url, subprotocols=["graphql-transport-ws"], max_size=None, open_timeout=60) as opened:  # type: ignore[list-item]
            try:
                for message in messages:
                    text = message if isinstance(message, str) else json.dumps(message)
                    opened.send(text.replace("KEY", api.key()))
                while True:
                    opened.recv(60)
            except ConnectionClosed as exc:
                return str(exc.rcvd.code if exc.rcvd else 1006)

    return send


_INIT = {"type": "connection_init", "payload": {"Authorization": "Bearer KEY"}}
_CLEAR = "query($f: CdrFilter!) { cdrs(filter: $f) { nodes { msisdn } } }"

# Name: how it is sent, and the code (over a WebSocket: the number) of the refusal.
HOSTILE: dict[str, tuple[Callable[[Api], str], str]] = {
    "selections 50 deep": (_query("{" + "a{" * 50 + "b" + "}" * 51), "DEPTH_EXCEEDED"),
    "selections 190 deep": (_query("{a" * 190 + "}" * 190), "DEPTH_EXCEEDED"),
    "selections 900 deep": (_query("{a" * 900 + "}" * 900), "TOKENS_EXCEEDED"),
    "lists 190 deep": (_query("{ cells(after: " + "[" * 190 + "]" * 190 + ") { nodes { name } } }"), "VALIDATION_FAILED"),
    "lists 900 deep": (_query("{ cells(after: " + "[" * 900 + "]" * 900 + ") { nodes { name } } }"), "PARSE_FAILED"),
    "types 900 deep": (_query("query($a: " + "[" * 900 + "Int" + "]" * 900 + ") { regions { name } }"), "PARSE_FAILED"),
    "a variable 900 deep": (
        _post(b'{"query":"query($a: ID!) { cell(id: $a) { reason } }","variables":{"a":' + b"[" * 900 + b"]" * 900 + b"}}"),
        "BAD_REQUEST",
    ),
    "600 aliases": (_query("{" + " ".join(f"a{n}:__typename" for n in range(600)) + "}"), "ALIASES_EXCEEDED"),
    "1,000 aliases": (
        _query("{" + " ".join(f"a{n}: regions {{ name }}" for n in range(1000)) + "}"), "TOKENS_EXCEEDED",
    ),
    "fragments that double 28 times": (_query(EXPONENTIAL), "ALIASES_EXCEEDED"),
    "a fragment within itself": (_query("{ ...A } fragment A on Query { ...A }"), "VALIDATION_FAILED"),
    "1,900 times the same field": (_query("{" + "a " * 1900 + "}"), "ALIASES_EXCEEDED"),
    "1,000 directives": (_query("{ regions " + "@a" * 990 + " { name } }"), "ALIASES_EXCEEDED"),
    "a document of 200 KB": (_query("{" + "a " * 100_000 + "}"), "TOKENS_EXCEEDED"),
    "a comment of 200 KB": (_query("#" * 200_000 + "\n{ a }"), "TOKENS_EXCEEDED"),
    "a number of 5,000 digits": (_query("{ cells(first: " + "9" * 5000 + ") { nodes { name } } }"), "COST_EXCEEDED"),
    "lists of 2 billion in each other": (
        _query(
            "{ cells(first: 2147483647) { nodes { similar(first: 2147483647) { cell { similar(first: 2147483647)"
            " { cell { name } } } } } } }"
        ),
        "COST_EXCEEDED",
    ),
    "a page of 2 billion": (_query("{ cells(first: 2147483647) { nodes { name } } }"), "COST_EXCEEDED"),
    "a page by a variable": (
        _query("query($n: Int!) { cells(first: $n) { nodes { region { name } } } }", n=10**9), "COST_EXCEEDED",
    ),
    "a list of 20,000 ids": (
        _query("query($c: [ID!]) { realtimeMetrics(cells: $c) { source } }", c=[str(n) for n in range(20_000)]), "BAD_ARGUMENT",
    ),
    "half a surrogate pair": (_post(b'{"query":"{ cell(id: \\"\\\\ud800\\") { reason } }"}'), "PARSE_FAILED"),
    "half a surrogate pair in JSON": (
        _post(b'{"query":"query($a: ID!) { cell(id: $a) { reason } }","variables":{"a":"\\ud800"}}'), "BAD_REQUEST",
    ),
    "a NUL in an id": (_query("query($a: ID!) { cell(id: $a) { reason } }", a="\0"), "BAD_ARGUMENT"),
    "100 requests in an array": (_post([{"query": "{ regions { name } }"}] * 100), "BATCH_REFUSED"),
    "10 MB, announced": (announced, "BODY_TOO_LARGE"),
    "10 MB in chunks": (chunked, "BODY_TOO_LARGE"),
    "a compressed body": (_post(b"\x1f\x8b" + b"0" * 100, Content_Encoding="gzip"), "UNSUPPORTED_MEDIA_TYPE"),
    "a clear phone number": (_query(_CLEAR, "analyst", f=DAY), "VALIDATION_FAILED"),
    "the text of refused records": (_query("{ quarantine { nodes { raw } } }", "analyst"), "FORBIDDEN"),
    "a batch as an analyst": (_query("{ batches { nodes { source } } }", "analyst"), "FORBIDDEN"),
    "no key": (lambda api: _code(api.post({"query": "{ regions { name } }"}, "x").body), "UNAUTHENTICATED"),
    **{name: (_token(token), code) for name, (token, code) in tokens().items()},
    "a socket without init": (_socket({"type": "subscribe", "id": "1", "payload": {"query": "{ regions { name } }"}}), "4401"),
    "a socket with a wrong key": (_socket({"type": "connection_init", "payload": {"Authorization": "Bearer x"}}), "4403"),
    "init twice": (_socket(_INIT, _INIT), "4429"),
    "a message of 1 MB": (_socket(_INIT, "x" * 1_000_000), "1009"),
    "a message nested deeply": (_socket(_INIT, "[" * 50_000), "4400"),
    "the same operation twice": (
        _socket(
            _INIT,
            *[{"type": "subscribe", "id": "1", "payload": {"query": "subscription { alerts { alertId } }"}}] * 2,
        ),
        "4409",
    ),
}  # fmt: skip
