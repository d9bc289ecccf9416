"""PostgreSQL and Redis over TLS: the settings take it, the certificate is checked, and a wrong one is said clearly."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from command import assert_clear_error, telestream
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from stack_cli import skip_if_server_given

from telestream.consumers.cache import Cache
from telestream.consumers.telemetry import Telemetry
from telestream.db.connection import connect
from telestream.graphql.redis_link import RedisLink
from telestream.settings import settings
from telestream.stack.sandbox import give_to_server
from telestream.stack.state import StackPaths


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that is its own authority; return its file and that of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate, private = folder / f"{name}.crt", folder / f"{name}.key"
    certificate.write_bytes(signed.public_bytes(pem))
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate, private


def eventually(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


# PostgreSQL -------------------------------------------------------------------------------------------


@pytest.fixture
def tls_server(superuser_url: str, tmp_path: Path) -> Iterator[Path]:
    """The embedded server with TLS switched on; yields the certificate to trust."""
    skip_if_server_given()
    certificate, private = self_signed(tmp_path, "server")
    given = [StackPaths.current().data / name for name in ("test-tls.crt", "test-tls.key")]
    for source, target in zip((certificate, private), given, strict=True):
        target.touch(mode=0o600)
        target.write_bytes(source.read_bytes())
        give_to_server(target)
    with psycopg.connect(superuser_url, autocommit=True) as server:
        try:
            server.execute("ALTER SYSTEM SET ssl_cert_file = 'test-tls.crt'")
            server.execute("ALTER SYSTEM SET ssl_key_file = 'test-tls.key'")
            server.execute("ALTER SYSTEM SET ssl = on")
            server.execute("SELECT pg_reload_conf()")
            eventually(lambda: server.execute("SHOW ssl").fetchone() == ("on",), "the server offers TLS")
            yield certificate
        finally:
            for name in ("ssl", "ssl_cert_file", "ssl_key_file"):
                server.execute(f"ALTER SYSTEM RESET {name}")
            server.execute("SELECT pg_reload_conf()")
            eventually(lambda: server.execute("SHOW ssl").fetchone() == ("off",), "the server is as before")
            for path in given:
                path.unlink()


def test_the_database_over_tls(
    tls_server: Path, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{database}?sslmode=verify-full&sslrootcert={tls_server}"
    monkeypatch.setenv("TELESTREAM_DATABASE_URL", url)
    settings.cache_clear()
    with connect() as connection:
        row = connection.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    assert row is not None
    assert row[0] is True
    assert row[1] in {"TLSv1.2", "TLSv1.3"}
    status = telestream("db", "status")
    assert status.returncode == 0, status.stderr
    other, _ = self_signed(tmp_path, "other")
    refused = telestream("db", "status", TELESTREAM_DATABASE_URL=f"{database}?sslmode=verify-full&sslrootcert={other}")
    assert_clear_error(refused, "the database's certificate is not accepted", "sslrootcert")
    assert refused.returncode == 1


def test_a_server_without_tls_is_not_spoken_to(database: str) -> None:
    skip_if_server_given()
    refused = telestream("db", "status", TELESTREAM_DATABASE_URL=f"{database}?sslmode=require")
    assert_clear_error(refused, "the database does not offer TLS", "ssl = on")
    assert refused.returncode == 1


# Redis --------------------------------------------------------------------------------------------------


@contextmanager
def tls_in_front_of(host: str, port: int, certificate: Path, private: Path) -> Iterator[int]:
    """End TLS on a port of its own and pass on to a server that speaks none; the embedded cache is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    started: list[int] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    async def main(stop: asyncio.Event) -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
            started.append(server.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(stop),), name="tls")
    thread.start()
    assert ready.wait(30)
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


def test_redis_over_tls(redis_url: str, tmp_path: Path) -> None:
    place = urlsplit(redis_url)
    certificate, private = self_signed(tmp_path, "cache")
    other, _ = self_signed(tmp_path, "other")
    with tls_in_front_of(place.hostname or "", place.port or 6379, certificate, private) as port:
        user = place.netloc.rpartition("@")[0]
        secure = f"rediss://{user}@127.0.0.1:{port}{place.path}?ssl_ca_certs="

        def writes(trusted: Path) -> Cache:
            return Cache(f"{secure}{trusted}", Telemetry())

        cache = writes(certificate)
        # Its time-outs are short, and this machine may be busy.
        eventually(
            lambda: cache.run(lambda pipeline: pipeline.set("test:tls", "read along", ex=300)), "the cache takes it"
        )
        cache.close()

        async def read(trusted: Path, seconds: float) -> bytes | None:
            link = RedisLink(f"{secure}{trusted}")
            deadline = time.monotonic() + seconds
            try:
                while time.monotonic() < deadline:
                    if (found := await link.run(lambda client: client.get("test:tls"))) is not None:
                        return bytes(found)
                    await asyncio.sleep(0.05)
                return None
            finally:
                await link.close()

        assert asyncio.run(read(certificate, 60)) == b"read along"
        strange = writes(other)
        assert not strange.run(lambda pipeline: pipeline.get("test:tls"))
        strange.close()
        assert asyncio.run(read(other, 0.2)) is None
