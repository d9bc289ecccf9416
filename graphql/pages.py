"""The pages for browsers: the operations page at `/`, the explorer at `/graphql`, and the files they are made of."""

from __future__ import annotations

import hashlib
import mimetypes
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

# Made by graphql/web/build.mjs.
DIST = Path(__file__).with_name("web") / "dist"
_EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Its editor writes style elements, has its fonts in its style sheet, and checks what is typed in workers.
_EXPLORER_POLICY = (
    _POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
    + "; font-src 'self' data:; worker-src 'self'"
)
_NOT_BUILT = (
    "This page is not built: its files are missing. Run ./bootstrap.sh in the checkout, which needs the npm registry,"
    " and start the API again.\nThe API itself works; GET and POST /graphql answer in JSON.\n"
)
_JSON = ("application/graphql-response+json", "application/json")


class Pages:
    """The pages as they were built when the service started."""

    def __init__(self, folder: Path = DIST) -> None:
        """Read the pages; files are read when they are asked for."""
        assets = folder / "assets"
        # Only what is listed is served, so no name leads anywhere else.
        self._files = {path.name: path for path in assets.iterdir()} if assets.is_dir() else {}
        self._home = _read(folder / "index.html")
        self._explorer = _read(folder / "explorer.html")

    def routes(self) -> list[Route]:
        """Return the routes of the page and of its files."""
        return [Route("/", self._get_home), Route("/assets/{name}", self._get_file)]

    def explorer(self, request: Request) -> Response:
        """Return the explorer."""
        return _page(request, self._explorer, _EXPLORER_POLICY)

    async def _get_home(self, request: Request) -> Response:
        return _page(request, self._home, _POLICY)

    async def _get_file(self, request: Request) -> Response:
        path = self._files.get(request.path_params["name"])
        if path is None:
            return PlainTextResponse("there is no such file\n", HTTPStatus.NOT_FOUND, _EVERYWHERE)
        # The name changes with the content.
        headers = {**_EVERYWHERE, "Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
        media = mimetypes.guess_type(path.name)[0]
        packed = self._files.get(f"{path.name}.gz")
        if packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return FileResponse(packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=media)
        return FileResponse(path, headers=headers, media_type=media)


def wants_explorer(request: Request) -> bool:
    """Tell whether a request is a browser's that opens the address, and not a client's that asks something."""
    if request.method != "GET" or not request.query_params.keys().isdisjoint({"query", "extensions"}):
        return False
    accept = request.headers.get("accept", "")
    html = _weight(accept, ("text/html",))
    return html > 0 and html >= _weight(accept, _JSON)


def _weight(accept: str, kinds: tuple[str, ...]) -> float:
    """Return how much a client wants the best of some media types that it names itself."""
    best = 0.0
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind not in kinds:
            continue
        given = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            best = max(best, float(given))
        except ValueError:
            continue
    return best


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _page(request: Request, body: bytes | None, policy: str) -> Response:
    if body is None:
        return PlainTextResponse(
            _NOT_BUILT, HTTPStatus.SERVICE_UNAVAILABLE, _EVERYWHERE | {"Cache-Control": "no-store"}
        )
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = _EVERYWHERE | {
        "Content-Security-Policy": policy, "ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept",
    }  # fmt: skip
    if tag in {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type="text/html; charset=utf-8")
