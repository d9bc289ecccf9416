"""Who is let in: keys and tokens, their ends, their scopes, their rates, and what is written down."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from datetime import timedelta
from typing import Any

import jwt
import psycopg
import pytest
from command import assert_clear_error, telestream
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from graphql_api.fix_api import POOL, Api, serve
from staging import cdr, refine

from telestream.graphql import keys
from telestream.graphql.authenticate import KEEP_SECONDS
from telestream.graphql.principal import Scope
from telestream.graphql.problems import Problem
from telestream.graphql.tokens import KeySet, Tokens

SECRET = "s" * 32
REGIONS = "{ regions { name } }"


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    wanted = {"sub": "ana", "iss": "us", "aud": "api", "iat": now, "exp": now + 60, "telestream_role": "analyst"}
    return {name: value for name, value in (wanted | changes).items() if value is not None}


def refused(tokens: Tokens, token: str) -> str:
    with pytest.raises(Problem) as caught:
        asyncio.run(tokens.principal(token))
    return caught.value.code


def test_a_key_is_made_shown_once_listed_and_revoked(api: Api) -> None:
    made = telestream("api", "key", "create", "web", "--role", "analyst", "--scope", "network", "--rate", "700")
    assert made.returncode == 0, made.stderr
    key = made.stdout.split("(shown once): ")[1].strip()
    listed = telestream("api", "key", "list").stdout
    parts = keys.split(key)
    assert parts is not None
    assert parts[0] in listed
    assert parts[1] not in listed
    assert api.query(REGIONS, key).data == {"regions": []}
    assert api.query("{ freshness { dataset } }", key).code == "FORBIDDEN"
    assert_clear_error(telestream("api", "key", "revoke", key), "not its id")
    assert telestream("api", "key", "revoke", parts[0]).returncode == 0
    deadline = time.monotonic() + KEEP_SECONDS + 60
    while api.query(REGIONS, key).code is None and time.monotonic() < deadline:
        time.sleep(0.2)
    reply = api.query(REGIONS, key)
    assert (reply.code, reply.status) == ("CREDENTIAL_EXPIRED", 401)
    assert_clear_error(telestream("api", "key", "revoke", "000000000000"), "no key")


def test_the_secret_is_nowhere_in_the_database(api: Api, connection: psycopg.Connection) -> None:
    key = api.key()
    row = str(connection.execute("SELECT k.* FROM api.key AS k").fetchall())
    assert key.split("_", 2)[2] not in row


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Bearer ts_{'0' * 12}_{'a' * 43}"},
        {"X-API-Key": ""},
    ],
)
def test_nobody_is_refused(api: Api, headers: dict[str, str]) -> None:
    response = POOL.request(
        "POST", api.url, body=json.dumps({"query": REGIONS}), headers={"Content-Type": "application/json", **headers}
    )
    assert response.status == 401
    assert "WWW-Authenticate" in response.headers
    assert json.loads(response.data)["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_an_expired_key_is_refused(api: Api, connection: psycopg.Connection) -> None:
    _, key = keys.create(connection, "old", "api", [Scope.NETWORK], timedelta(microseconds=1), 10)
    assert api.query(REGIONS, key).code == "CREDENTIAL_EXPIRED"


def test_a_key_over_its_rate_is_told_when_to_come_again(api: Api) -> None:
    key = api.key(rate=5)
    replies = [api.query(REGIONS, key) for _ in range(7)]
    assert [reply.status for reply in replies] == [200] * 5 + [429] * 2
    assert [reply.headers["RateLimit-Remaining"] for reply in replies[:5]] == ["4", "3", "2", "1", "0"]
    assert replies[6].code == "RATE_LIMITED"
    assert 1 <= int(replies[6].headers["Retry-After"]) <= 60


def test_the_rate_holds_without_redis(database: str) -> None:
    with serve(database, "redis://127.0.0.1:1/0") as api:
        key = api.key(rate=3)
        assert [api.query(REGIONS, key).status for _ in range(5)] == [200, 200, 200, 429, 429]


def test_tokens_of_the_shared_secret() -> None:
    tokens = Tokens(secret=SECRET, key_set=None, issuer="us", audience="api")
    good = jwt.encode(claims(scope="network alerts nonsense"), SECRET, "HS256")
    principal = asyncio.run(tokens.principal(good))
    assert (principal.name, principal.role, sorted(principal.scopes)) == ("jwt:ana", "analyst", ["alerts", "network"])
    assert refused(tokens, jwt.encode(claims(exp=int(time.time()) - 60), SECRET, "HS256")) == "CREDENTIAL_EXPIRED"
    for token in (
        jwt.encode(claims(), "x" * 32, "HS256"),
        jwt.encode(claims(iss="them"), SECRET, "HS256"),
        jwt.encode(claims(aud="other"), SECRET, "HS256"),
        jwt.encode(claims(exp=None), SECRET, "HS256"),
        jwt.encode(claims(telestream_role="owner"), SECRET, "HS256"),
        jwt.encode(claims(nbf=int(time.time()) + 600), SECRET, "HS256"),
        jwt.encode(claims(), "", "none"),
        jwt.encode(claims(), SECRET * 2, "HS512"),
        good[:-3],
        "a.b.c",
    ):
        assert refused(tokens, token) == "UNAUTHENTICATED", token
    # Within the leeway a clock that goes wrong does no harm.
    assert asyncio.run(tokens.principal(jwt.encode(claims(exp=int(time.time()) - 5), SECRET, "HS256")))


def test_a_public_key_is_no_secret_and_rotates() -> None:
    first, second = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    published: list[dict[str, Any]] = [
        json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(first.public_key())) | {"kid": "1"}
    ]
    now = [0.0]
    fetched = []

    def fetch(url: str) -> Any:
        fetched.append(url)
        return {"keys": published}

    tokens = Tokens(
        secret="", key_set=KeySet("http://idp", fetch=fetch, clock=lambda: now[0]), issuer="us", audience="api"
    )

    async def all_of_it() -> None:
        old = jwt.encode(claims(), first, "RS256", headers={"kid": "1"})
        new = jwt.encode(claims(), second, "ES256", headers={"kid": "2"})
        assert (await tokens.principal(old)).name == "jwt:ana"
        for _ in range(5):  # an unknown key makes no storm of requests
            with pytest.raises(Problem):
                await tokens.principal(new)
        assert len(fetched) == 1
        published[:] = [json.loads(jwt.algorithms.ECAlgorithm.to_jwk(second.public_key())) | {"kid": "2"}]
        now[0] += 11
        assert (await tokens.principal(new)).name == "jwt:ana"
        with pytest.raises(Problem):
            await tokens.principal(old)
        # A key of one kind is not taken for another, and the public key is no secret of HS256.
        wrong = jwt.encode(claims(), first, "RS256", headers={"kid": "2"})
        header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"2"}').decode().rstrip("=")
        for token in (wrong, ".".join([header, *new.split(".")[1:]])):
            with pytest.raises(Problem):
                await tokens.principal(token)

    asyncio.run(all_of_it())


def test_personal_reads_are_in_the_access_log_also_from_the_cache(api: Api, connection: psycopg.Connection) -> None:
    refine(connection, [cdr()])
    connection.execute("CALL rollup.refresh_pending()")
    (subscriber,) = connection.execute("SELECT subscriber_id FROM gold.cdr").fetchone() or (0,)
    text = "query Who($id: ID!) { customer(id: $id) { customer { id } } }"
    for _ in range(3):
        assert api.query(text, id=str(subscriber)).data["customer"]["customer"]["id"] == str(subscriber)
    api.query("{ regions { name } }")
    deadline = time.monotonic() + 60
    rows: list[Any] = []
    while len(rows) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
        rows = connection.execute(
            "SELECT principal, role, operation, field, object_ids, rows_read FROM audit.access_log"
        ).fetchall()
    key_id = api.key().split("_")[1]
    assert rows == [(f"key:{key_id}", "api", "Who", "customer", [str(subscriber)], 1)] * 3


def test_what_waits_for_the_access_log_is_written_at_the_end(
    database: str, clean_redis: str, connection: psycopg.Connection
) -> None:
    with serve(database, clean_redis) as api:
        api.query('{ customer(id: "77") { reason } }')
    assert connection.execute("SELECT object_ids FROM audit.access_log").fetchall() == [(["77"],)]


def test_when_a_key_was_used_is_noted(api: Api, connection: psycopg.Connection) -> None:
    from telestream.graphql.authenticate import Authenticator
    from telestream.graphql.reading import Database

    async def use(key: str) -> None:
        database = Database(api._database)
        await database.open()
        try:
            authenticator = Authenticator(database, Tokens(secret="", key_set=None, issuer="", audience=""))
            await authenticator.of_credential(key)
            await authenticator.note_used()
        finally:
            await database.close()

    asyncio.run(use(api.key()))
    assert connection.execute("SELECT count(*) FROM api.key WHERE last_used_at IS NOT NULL").fetchone() == (1,)
