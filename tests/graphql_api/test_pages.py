"""The pages as HTTP serves them: who gets which, under what rules, and what is said where they are not built."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from command import ROOT, telestream
from graphql import parse, validate
from graphql_api.fix_api import POOL, Api, serve
from starlette.applications import Starlette
from starlette.requests import Request

from telestream.graphql import pages, serving
from telestream.graphql.schema import schema

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
QUERIES = sorted((ROOT / "graphql" / "web" / "src" / "queries").glob("*.graphql"))


@pytest.fixture
def built() -> None:
    """Skip where the pages are not built."""
    if not (pages.DIST / "index.html").exists():
        pytest.skip("the pages are not built: run ./bootstrap.sh, which needs the npm registry")


class Got:
    """An answer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read().decode()


Ask = Callable[..., Got]


@contextmanager
def served(folder: Path) -> Iterator[Ask]:
    """Serve the pages of a folder; gives a function that asks for a path as it stands, dots and all."""
    bound = serving.listen("127.0.0.1", 0)
    app = Starlette(routes=pages.Pages(folder).routes())
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()

    def ask(path: str, method: str = "GET", **headers: str) -> Got:
        connection = http.client.HTTPConnection("127.0.0.1", bound.getsockname()[1])
        try:
            connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            return Got(connection.getresponse())
        finally:
            connection.close()

    try:
        yield ask
    finally:
        server.should_exit = True
        thread.join(30)
        bound.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Ask]:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<p>home")
    (tmp_path / "assets" / "page-ABC.js").write_text("1" * 2000)
    (tmp_path / "assets" / "page-ABC.js.gz").write_bytes(b"packed")
    (tmp_path / "secret").write_text("secret")
    with served(tmp_path) as ask:
        yield ask


@pytest.mark.parametrize(
    ("method", "accept", "query", "wanted"),
    [
        ("GET", BROWSER, "", True), ("GET", "text/html", "", True), ("GET", f"{BROWSER},application/json;q=0.1", "", True),
        ("GET", "application/json, text/html;q=0.9", "", False), ("GET", "*/*", "", False), ("GET", "", "", False),
        ("GET", "application/json", "", False), ("GET", "text/html;q=0", "", False), ("GET", "text/html;q=no", "", False),
        ("GET", BROWSER, "query={regions{name}}", False), ("GET", BROWSER, "extensions={}", False),
        ("GET", BROWSER, "utm=1", True), ("POST", BROWSER, "", False),
    ],
)  # fmt: skip
def test_only_a_browser_that_opens_the_address_gets_the_explorer(
    method: str, accept: str, query: str, wanted: bool
) -> None:
    headers = [(b"accept", accept.encode())] if accept else []
    scope = {"type": "http", "method": method, "headers": headers, "query_string": query.encode(), "path": "/graphql"}
    assert pages.wants_explorer(Request(scope)) is wanted


def test_the_rules_that_pages_come_with(api: Api, built: None) -> None:
    for url, extra in ((api.base + "/", ()), (api.url, ("style-src 'self' 'unsafe-inline'", "font-src 'self' data:"))):
        response = POOL.request("GET", url, headers={"Accept": BROWSER})
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = response.headers["Content-Security-Policy"]
        for rule in ("default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", *extra):
            assert rule in policy.split("; "), policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-cache"
        # Nothing is asked of another address, and no script stands in the page itself.
        text = response.data.decode()
        assert "://" not in text
        assert re.findall(r"<script(?![^>]* src=)", text) == []
        named = re.findall(r'(?:src|href)="(assets/[^"]+)"', text)
        assert len(named) >= 3
        assert [name for name in named if POOL.request("GET", f"{api.base}/{name}").status != 200] == []


def test_a_page_is_sent_again_only_when_it_changed(small: Ask) -> None:
    first = small("/")
    assert first.body == "<p>home"
    again = small("/", If_None_Match=f'"other", W/{first.headers["ETag"]}')
    assert (again.status, again.body) == (304, "")
    assert again.headers["Content-Security-Policy"] == first.headers["Content-Security-Policy"]


def test_files_are_kept_for_ever_and_sent_packed(small: Ask) -> None:
    plain = small("/assets/page-ABC.js", Accept_Encoding="br")
    assert plain.body == "1" * 2000
    assert "immutable" in plain.headers["Cache-Control"]
    assert plain.headers["Content-Type"].startswith("text/javascript")
    packed = small("/assets/page-ABC.js", Accept_Encoding="gzip, br")
    assert (packed.headers["Content-Encoding"], packed.body) == ("gzip", "packed")
    assert packed.headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("name", ["nothing.js", "../secret", "..%2Fsecret", "%2e%2e%2fsecret", "page-ABC.js/", ""])
def test_no_name_leads_out_of_the_folder(small: Ask, name: str) -> None:
    got = small(f"/assets/{name}")
    assert got.status in {404, 307}
    assert "secret" not in got.body


def test_where_pages_are_not_built_it_is_said_what_to_run(tmp_path: Path) -> None:
    with served(tmp_path) as ask:
        got = ask("/")
    assert got.status == 503
    assert "./bootstrap.sh" in got.body
    assert got.headers["Content-Type"].startswith("text/plain")


def test_production_mode_has_the_page_and_no_explorer(database: str, clean_redis: str, built: None) -> None:
    persisted = telestream("api", "persist", *QUERIES)
    assert persisted.returncode == 0, persisted.stdout + persisted.stderr
    with serve(database, clean_redis, TELESTREAM_API_PRODUCTION="true") as api:
        assert POOL.request("GET", api.base + "/", headers={"Accept": BROWSER}).status == 200
        refused = POOL.request("GET", api.url, headers={"Accept": "text/html"})
        assert (refused.status, refused.headers["Content-Type"]) == (
            406, "application/graphql-response+json; charset=utf-8",
        )  # fmt: skip
        start = next(path for path in QUERIES if path.name == "start.graphql").read_text()
        assert api.query(start).data["regions"] == []
        assert api.query(start + " ").code == "PERSISTED_QUERY_REQUIRED"


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_what_the_page_asks_fits_the_schema(path: Path) -> None:
    assert validate(schema(), parse(path.read_text())) == []


def test_there_are_queries() -> None:
    assert len(QUERIES) > 8
