"""Schema registries: in a folder, and over the REST API as Confluent documents it."""

from __future__ import annotations

import base64
import copy
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fastavro
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from quiet_server import QuietHandler, QuietServer, serving

from telestream import topics
from telestream.consumers import registry_http
from telestream.consumers.registry import (
    FolderRegistry,
    HttpRegistry,
    IncompatibleSchemaError,
    SchemaRegistry,
    UnknownSchemaError,
    ensure_schema,
    open_registry,
    packaged_schema,
)
from telestream.consumers.wire import AvroEncoder
from telestream.errors import TerminalError, TransientError, UsageError
from telestream.settings import settings

SUBJECT = "calls-value"


def record(**fields: Any) -> dict[str, Any]:
    parts = [{"name": name, **(type_ if "type" in type_ else {"type": type_})} for name, type_ in fields.items()]
    return {"type": "record", "name": "Call", "namespace": "test", "fields": parts}


OLD = record(caller="string", seconds="int")
NEWER = record(caller="string", seconds="long", note={"type": ["null", "string"], "default": None})
NARROWER = record(caller="string", seconds="int", note="string")


class Server(QuietServer):
    """A registry with the part of the REST API that we use; BACKWARD as `FolderRegistry` judges it."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.schemas: dict[int, str] = {}
        self.subjects: dict[str, list[int]] = {}
        self.asked: list[str] = []
        self.failures: list[int] = []
        """Statuses to answer with before anything else; 0 hangs up, -1 says nothing."""
        self.credentials = ""
        self.extra: dict[str, Any] = {}


class Handler(QuietHandler):
    server: Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        self.server.asked.append(f"{self.command} {self.path}")
        if self.server.failures:
            status = self.server.failures.pop(0)
            if status == -1:
                self.server.released.wait(10)
            if status <= 0:
                self.close_connection = True
                return
            self._answer(status, {"error_code": status * 100, "message": "injected"}, {"Retry-After": "3600"})
            return
        expected = "Basic " + base64.b64encode(self.server.credentials.encode()).decode()
        if self.server.credentials and self.headers.get("Authorization") != expected:
            self._answer(401, {"error_code": 401, "message": "Unauthorized"})
            return
        self._answer(*self._route(body))

    def _route(self, body: dict[str, Any]) -> tuple[int, Any]:
        path, server = self.path, self.server
        if match := re.fullmatch(r"/schemas/ids/(\d+)", path):
            text = server.schemas.get(int(match[1]))
            return (200, {"schema": text, **server.extra}) if text else self._missing(40403)
        if match := re.fullmatch(r"/subjects/([^/]+)/versions/latest", path):
            ids = server.subjects.get(unquote(match[1]))
            return (200, {"id": ids[-1], "schema": server.schemas[ids[-1]]}) if ids else self._missing(40401)
        if match := re.fullmatch(r"/compatibility/subjects/([^/]+)/versions/latest\?verbose=true", path):
            ids = server.subjects.get(unquote(match[1]))
            if not ids:
                return self._missing(40401)
            wrong = not can_read(json.loads(body["schema"]), json.loads(server.schemas[ids[-1]]))
            return 200, {"is_compatible": not wrong, "messages": ["the field 'note' has no default"] if wrong else []}
        if match := re.fullmatch(r"/subjects/([^/]+)", path):
            ids = server.subjects.get(unquote(match[1]))
            if not ids:
                return self._missing(40401)
            found = [one for one in ids if json.loads(server.schemas[one]) == json.loads(body["schema"])]
            return (200, {"id": found[0]}) if found else self._missing(40403)
        if match := re.fullmatch(r"/subjects/([^/]+)/versions", path):
            number = len(server.schemas) + 1
            server.schemas[number] = body["schema"]
            server.subjects.setdefault(unquote(match[1]), []).append(number)
            return 200, {"id": number}
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _missing(self, code: int) -> tuple[int, Any]:
        return 404, {"error_code": code, "message": "not found"}

    def _answer(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        self.answer(status, answer if isinstance(answer, bytes) else json.dumps(answer).encode(), headers)


def can_read(reader: dict[str, Any], writer: dict[str, Any]) -> bool:
    return {part["name"] for part in reader["fields"] if "default" not in part} <= {
        part["name"] for part in writer["fields"]
    }


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(registry_http, "_BACKOFF_SECONDS", 0.01)
    with serving(Server()) as opened:
        yield opened


@pytest.fixture(params=["folder", "http"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> SchemaRegistry:
    if request.param == "folder":
        return FolderRegistry(tmp_path / "schemas")
    return HttpRegistry(request.getfixturevalue("server").url)


@pytest.fixture
def http(server: Server) -> HttpRegistry:
    return HttpRegistry(server.url)


# of every registry --------------------------------------------------------------------------------


def test_a_schema_is_found_by_its_id_and_its_subject(registry: SchemaRegistry) -> None:
    assert registry.latest(SUBJECT) is None
    number = registry.register(SUBJECT, OLD)
    assert registry.schema(number) == OLD
    assert registry.latest(SUBJECT) == (number, OLD)


def test_registering_twice_is_registering_once(registry: SchemaRegistry) -> None:
    assert registry.register(SUBJECT, OLD) == registry.register(SUBJECT, copy.deepcopy(OLD))


def test_subjects_do_not_mix(registry: SchemaRegistry) -> None:
    first = registry.register("a/b.c-value", OLD)
    second = registry.register("c-value", NARROWER)
    assert registry.latest("a/b.c-value") == (first, OLD)
    assert registry.latest("c-value") == (second, NARROWER)


def test_a_schema_evolves(registry: SchemaRegistry) -> None:
    old = registry.register(SUBJECT, OLD)
    newer = registry.register(SUBJECT, NEWER)
    assert newer != old
    assert registry.latest(SUBJECT) == (newer, NEWER)
    assert registry.schema(old) == OLD


def test_a_producer_of_an_older_schema_goes_on(registry: SchemaRegistry) -> None:
    optional = record(caller={"type": "string", "default": ""})
    first = registry.register(SUBJECT, OLD)
    registry.register(SUBJECT, optional)
    assert registry.register(SUBJECT, OLD) == first
    assert registry.latest(SUBJECT) != (first, OLD)


def test_a_schema_that_cannot_read_the_latest_is_refused(registry: SchemaRegistry) -> None:
    number = registry.register(SUBJECT, OLD)
    with pytest.raises(IncompatibleSchemaError) as caught:
        registry.register(SUBJECT, NARROWER)
    assert "note" in str(caught.value.detail)
    assert registry.latest(SUBJECT) == (number, OLD)


def test_an_id_that_was_never_given_is_unknown(registry: SchemaRegistry) -> None:
    registry.register(SUBJECT, OLD)
    with pytest.raises(UnknownSchemaError):
        registry.schema(4711)


# the folder ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "newer",
    [
        record(caller="string", seconds="string"),
        record(caller="string", seconds="int", state={"type": {"type": "enum", "name": "State", "symbols": ["A"]}}),
        record(caller=["null", "int"], seconds="int"),
    ],
)
def test_the_folder_refuses_what_changes_the_meaning(tmp_path: Path, newer: dict[str, Any]) -> None:
    registry = FolderRegistry(tmp_path)
    registry.register(SUBJECT, OLD)
    with pytest.raises(IncompatibleSchemaError):
        registry.register(SUBJECT, newer)


def test_the_folder_holds_a_file_per_schema(tmp_path: Path) -> None:
    FolderRegistry(tmp_path).register(SUBJECT, OLD)
    assert [path.name for path in tmp_path.glob("*.avsc")] == ["1.calls-value.avsc"]
    assert FolderRegistry(tmp_path).schema(1) == OLD


REGISTERING = """
import json, pathlib, sys
from telestream.consumers.registry import FolderRegistry
registry = FolderRegistry(pathlib.Path(sys.argv[1]))
schemas = json.loads(sys.argv[2])
print(json.dumps({subject: registry.register(subject, schema) for subject, schema in schemas.items()}))
"""


def test_processes_share_a_folder(tmp_path: Path) -> None:
    schemas = json.dumps({f"subject{number}": record(**{f"field{number}": "string"}) for number in range(50)})
    command = [sys.executable, "-c", REGISTERING, str(tmp_path), schemas]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    first, *others = [json.loads(process.communicate()[0]) for process in processes]
    assert sorted(first.values()) == list(range(1, 51))
    assert all(other == first for other in others)


def test_a_schema_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="no valid Avro schema"):
        FolderRegistry(tmp_path).register(SUBJECT, record(caller="nonsense"))


@pytest.mark.parametrize(("name", "text"), [("1.a.avsc", "{"), ("1.a.avsc", "[]"), ("mine.avsc", "{}")])
def test_other_files_are_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TerminalError, match=re.escape(name)):
        FolderRegistry(tmp_path).register("a", OLD)


def test_a_folder_that_is_not_there_condemns_nothing(tmp_path: Path) -> None:
    registry = FolderRegistry(tmp_path / "schemas")
    with pytest.raises(TransientError, match="folder of the schemas"):
        registry.schema(1)
    (tmp_path / "schemas").mkdir()
    with pytest.raises(UnknownSchemaError):
        registry.schema(1)


def test_a_folder_that_cannot_be_used_may_be_later(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TransientError, match="folder of the schemas"):
        FolderRegistry(tmp_path / "file").register(SUBJECT, OLD)


# over HTTP ----------------------------------------------------------------------------------------


def test_a_schema_is_fetched_once(server: Server, http: HttpRegistry) -> None:
    number = http.register(SUBJECT, OLD)
    server.asked.clear()
    assert http.schema(number) == http.schema(number) == OLD
    assert server.asked == [f"GET /schemas/ids/{number}"]


def test_a_registry_that_stumbles_is_asked_again(server: Server, http: HttpRegistry) -> None:
    server.failures = [503, 0, 500]
    number = http.register(SUBJECT, OLD)
    server.failures = [429, 502]
    assert http.schema(number) == OLD


@pytest.mark.parametrize("failure", [503, 0])
def test_a_registry_that_stays_down_is_given_up(server: Server, http: HttpRegistry, failure: int) -> None:
    server.failures = [failure] * 100
    with pytest.raises(TransientError, match="schema registry"):
        http.schema(1)
    assert len(server.asked) == 4


def test_a_registry_that_says_nothing_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_http, "_READ_SECONDS", 0.2)
    server.failures = [-1] * 100
    registry = HttpRegistry(server.url)
    with pytest.raises(TransientError, match="does not answer"):
        registry.schema(1)


def test_nobody_listening_is_no_answer() -> None:
    with serving(Server()) as server:
        url = server.url
    registry = HttpRegistry(url)
    with pytest.raises(TransientError, match="does not answer"):
        registry.schema(1)


def test_it_logs_on(server: Server) -> None:
    server.credentials = "reader:pässword"
    registry = HttpRegistry(server.url, user="reader", password="pässword")
    assert registry.latest(SUBJECT) is None


def test_a_user_who_is_refused_is_told_so(server: Server, http: HttpRegistry) -> None:
    server.credentials = "reader:password"
    with pytest.raises(TerminalError, match="refused this user") as caught:
        http.schema(1)
    assert "TELESTREAM_SCHEMA_REGISTRY_PASSWORD" in str(caught.value.hint)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        HttpRegistry("http://reader:secret@localhost:8081")
    assert "secret" not in f"{caught.value}{caught.value.detail}{caught.value.hint}"


@pytest.mark.parametrize("url", ["http://", "https://[", "http://host:port"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        HttpRegistry(url)


def certificate(folder: Path) -> Path:
    """Make a key and a certificate for this machine that nobody has signed; return the file with both."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = folder / "registry.pem"
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(pem)
    )
    return path


def test_certificates_are_checked(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    with pytest.raises(TerminalError, match="certificate"):
        HttpRegistry(url).latest(SUBJECT)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert HttpRegistry(url).latest(SUBJECT) is None


def test_a_wrong_path_is_no_unknown_schema(server: Server) -> None:
    registry = HttpRegistry(server.url + "/elsewhere/")
    with pytest.raises(TerminalError) as caught:
        registry.schema(1)
    assert not isinstance(caught.value, UnknownSchemaError)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"schema": 1}'])
def test_another_server_is_no_registry(
    server: Server, http: HttpRegistry, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(Handler, "_route", lambda self, body: (200, answer))
    with pytest.raises(TerminalError, match="no schema registry at the URL"):
        http.schema(1)


@pytest.mark.parametrize("extra", [{"schemaType": "PROTOBUF"}, {"references": [{"name": "a", "subject": "b"}]}])
def test_what_is_not_avro_in_itself_is_unknown(server: Server, http: HttpRegistry, extra: dict[str, Any]) -> None:
    server.extra = extra
    number = http.register(SUBJECT, OLD)
    with pytest.raises(UnknownSchemaError):
        http.schema(number)


def test_a_conflict_while_registering_is_an_incompatibility(
    server: Server, http: HttpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = Handler._route

    def conflicting(handler: Handler, body: dict[str, Any]) -> tuple[int, Any]:
        if handler.path.endswith("/versions"):
            return 409, {"error_code": 409, "message": "incompatible with an earlier schema"}
        return route(handler, body)

    monkeypatch.setattr(Handler, "_route", conflicting)
    with pytest.raises(IncompatibleSchemaError) as caught:
        http.register(SUBJECT, OLD)
    assert "earlier schema" in str(caught.value.detail)


def test_a_schema_the_registry_refuses_is_terminal(
    server: Server, http: HttpRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "_route", lambda self, body: (422, {"error_code": 42201, "message": "Invalid schema"}))
    with pytest.raises(TerminalError, match="refused a request") as caught:
        http.register(SUBJECT, OLD)
    assert "Invalid schema" in str(caught.value.detail)


# the registry of the settings ---------------------------------------------------------------------


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Sets settings for the time of a test."""

    def set_one(name: str, value: str) -> None:
        monkeypatch.setenv(f"TELESTREAM_{name}", value)
        settings.cache_clear()

    yield set_one
    monkeypatch.undo()
    settings.cache_clear()


def test_it_is_a_folder_of_the_state_unless_told_otherwise(
    configure: Callable[[str, str], None], tmp_path: Path
) -> None:
    configure("STATE_DIR", str(tmp_path))
    number = ensure_schema(open_registry(), topics.CDRS, "cdr")
    assert open_registry().latest("cdr-value") == (number, packaged_schema("cdr"))
    assert [path.name for path in (tmp_path / "schemas").glob("*.avsc")] == ["1.cdr-value.avsc"]


def test_it_is_the_folder_of_the_settings(configure: Callable[[str, str], None], tmp_path: Path) -> None:
    configure("SCHEMA_REGISTRY", str(tmp_path / "mine"))
    ensure_schema(open_registry(), topics.NETWORK_EVENTS, "network_event")
    assert (tmp_path / "mine" / "1.network-events-value.avsc").exists()


def test_it_is_the_one_at_the_url(server: Server, configure: Callable[[str, str], None]) -> None:
    server.credentials = "user:password"
    configure("SCHEMA_REGISTRY", server.url)
    configure("SCHEMA_REGISTRY_USER", "user")
    configure("SCHEMA_REGISTRY_PASSWORD", "password")
    number = ensure_schema(open_registry(), topics.ALERTS, "alert")
    assert open_registry().schema(number) == packaged_schema("alert")


# our schemas --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["network_event", "cdr", "alert"])
def test_a_vendor_may_add_an_optional_field(tmp_path: Path, name: str) -> None:
    schema = packaged_schema(name)
    added = {"name": "added", "type": ["null", "long"], "default": None}
    registry = FolderRegistry(tmp_path)
    first = registry.register(SUBJECT, schema)
    assert registry.register(SUBJECT, schema | {"fields": [added, *schema["fields"]]}) == first + 1
    assert registry.register(SUBJECT, schema) == first


@pytest.mark.parametrize("name", ["network_event", "cdr", "alert"])
def test_every_field_is_explained(name: str) -> None:
    schema = packaged_schema(name)
    fastavro.parse_schema(copy.deepcopy(schema))
    assert schema["doc"]
    assert all(part["doc"].endswith(".") for part in schema["fields"])
    optional = [part for part in schema["fields"] if isinstance(part["type"], list)]
    assert all(part["type"][0] == "null" and part["default"] is None for part in optional)


def test_an_encoded_message_is_framed() -> None:
    message = AvroEncoder(record(caller="string"), 258).encode({"caller": "a"})
    assert message == b"\0\0\0\1\2\2a"


def test_a_record_that_does_not_fit_is_refused() -> None:
    with pytest.raises((TypeError, ValueError)):
        AvroEncoder(record(caller="string"), 1).encode({"caller": 1})
