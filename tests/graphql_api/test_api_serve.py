"""`telestream api serve` as a process: it says where it listens, logs JSON, and ends when told to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import psycopg
import pytest
import urllib3
from command import assert_clear_error, telestream
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fix_db import url_of
from graphql_api.fix_api import POOL
from psycopg.conninfo import conninfo_to_dict
from streams import wait_for


@contextmanager
def served(redis_url: str, *options: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "telestream.cli", "api", "serve", "--port", "0", *options],
        env={**os.environ, "TELESTREAM_REDIS_URL": redis_url, **environment}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith(("serving http://127.0.0.1:", "serving https://127.0.0.1:")), (
            line + process.stderr.read()
        )
        yield line.split()[1].removesuffix("/graphql"), process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        if process.stderr:
            process.stderr.close()


def answers(url: str, path: str) -> int:
    deadline = time.monotonic() + 60
    while True:
        try:
            return POOL.request("GET", url + path, timeout=5).status
        except Exception:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_it_serves_until_it_is_told_to_stop(database: str, redis_url: str, options: tuple[str, ...]) -> None:
    key = telestream("api", "key", "create", "serve").stdout.split("(shown once): ")[1].strip()
    with served(redis_url, *options) as (url, process):
        assert answers(url, "/readyz") == 200
        response = POOL.request(
            "POST", url + "/graphql", body=json.dumps({"query": "query Mine { regions { name } }"}),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}", "X-Request-Id": "mine-1234"},
        )  # fmt: skip
        assert response.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]
        assert process.wait(30) in {0, -signal.SIGTERM}
    [logged] = [line for line in lines if line["message"] == "request"]
    assert (logged["request_id"], logged["operation"], logged["code"]) == ("mine-1234", "Mine", "ok")
    assert key.split("_", 2)[2] not in json.dumps(lines)
    assert not any(line["level"] == "error" for line in lines), lines


def test_a_request_that_runs_is_answered_before_the_end(
    database: str, redis_url: str, superuser: psycopg.Connection
) -> None:
    key = telestream("api", "key", "create", "serve").stdout.split("(shown once): ")[1].strip()
    with served(redis_url) as (url, process), ThreadPoolExecutor(1) as pool:
        assert answers(url, "/readyz") == 200
        with superuser.transaction():
            superuser.execute("LOCK TABLE silver.dim_region IN ACCESS EXCLUSIVE MODE")
            running = pool.submit(
                POOL.request, "POST", url + "/graphql", body=json.dumps({"query": "{ regions { name } }"}),
                headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
            )  # fmt: skip
            waits = "SELECT count(*) FROM pg_locks AS l WHERE NOT l.granted"
            wait_for(lambda: superuser.execute(waits).fetchone() == (1,), "it waits for the lock")
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            wait_for(lambda: "Shutting down" in process.stderr.readline(), "it is going down")
        response = running.result(30)
        assert (response.status, json.loads(response.data)) == (200, {"data": {"regions": []}})
        assert "lost" not in process.stderr.read()
        assert process.wait(30) in {0, -signal.SIGTERM}


def test_a_port_that_is_taken_is_said(database: str, redis_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert_clear_error(
            telestream("api", "serve", "--port", port, TELESTREAM_REDIS_URL=redis_url), "cannot listen", "--port"
        )


def test_a_login_of_the_gateway_is_all_it_needs(
    database: str, redis_url: str, superuser_url: str, superuser: psycopg.Connection
) -> None:
    key = telestream("api", "key", "create", "gate", "--role", "analyst").stdout.split("(shown once): ")[1].strip()
    added = telestream("db", "user", "add", "test_gateway", "--role", "gateway")
    password = added.stdout.split("(shown once): ")[1].strip()
    url = url_of(superuser_url, str(conninfo_to_dict(database)["dbname"]), "test_gateway", password)
    try:
        with served(redis_url, TELESTREAM_DATABASE_URL="", TELESTREAM_API_DATABASE_URL=url) as (base, process):
            assert answers(base, "/readyz") == 200
            body = {"query": '{ freshness { dataset } customer(id: "5") { reason } batches { nodes { batchId } } }'}
            response = POOL.request(
                "POST", base + "/graphql", body=json.dumps(body),
                headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
            )  # fmt: skip
            answer = json.loads(response.data)
            assert len(answer["data"]["freshness"]) == 3
            assert answer["data"]["customer"] == {"reason": "UNKNOWN_ID"}
            assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        assert superuser.execute("SELECT role, object_ids FROM audit.access_log").fetchall() == [("analyst", ["5"])]
    finally:
        superuser.execute("DROP ROLE IF EXISTS test_gateway")


def test_another_time_zone_than_the_one_of_gold_is_refused(database: str, redis_url: str) -> None:
    result = telestream("api", "serve", TELESTREAM_TIME_ZONE="Asia/Tokyo", TELESTREAM_REDIS_URL=redis_url)
    assert_clear_error(result, "Asia/Tokyo")


def self_signed(folder: Path) -> dict[str, str]:
    """Make a certificate for 127.0.0.1 and return the settings that name it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {
        "TELESTREAM_API_TLS_CERT_FILE": str(folder / "cert.pem"), "TELESTREAM_API_TLS_KEY_FILE": str(folder / "key.pem"),
    }  # fmt: skip


def test_it_serves_https_where_a_certificate_is_set(database: str, redis_url: str, tmp_path: Path) -> None:
    given = self_signed(tmp_path)
    with served(redis_url, **given) as (url, _), urllib3.PoolManager(ca_certs=str(tmp_path / "cert.pem")) as trusting:
        assert url.startswith("https://")
        deadline = time.monotonic() + 60
        while True:
            try:
                assert trusting.request("GET", url + "/readyz", timeout=5, retries=False).status == 200
                break
            except urllib3.exceptions.NewConnectionError:
                assert time.monotonic() < deadline
        with pytest.raises(urllib3.exceptions.HTTPError):
            trusting.request("GET", url.replace("https", "http") + "/readyz", timeout=5, retries=False)
    (tmp_path / "key.pem").unlink()
    assert_clear_error(
        telestream("api", "serve", "--port", "0", TELESTREAM_REDIS_URL=redis_url, **given), "certificate"
    )
    del given["TELESTREAM_API_TLS_KEY_FILE"]
    assert_clear_error(
        telestream("api", "serve", "--port", "0", TELESTREAM_REDIS_URL=redis_url, **given), "one of the two is not set"
    )
