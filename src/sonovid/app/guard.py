"""ASGI middleware for access control: tokens, hosts, origins, request sizes, and the routes of Gradio that are served."""

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from sonovid.app.errors import error_body
from sonovid.app.settings import Settings, is_loopback

Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

COOKIE = "sonovid"
PUBLIC_PATHS = ("/health", "/login")
# The routes of Gradio's API that the page uses. Others can proxy requests, record, rewrite files or run functions.
GRADIO_ROUTES = (
    *("queue/join", "queue/data", "upload", "upload_progress", "file=", "heartbeat/", "startup-events", "theme.css"),
    *("app_id", "info", "cancel", "reset", "user", "login_check"),
)
GRADIO_FILES = ("/assets/", "/static/", "/svelte/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json")
API_PREFIXES = ("/v1/", "/health", "/docs", "/openapi.json", "/static-offline-docs/", "/login", "/logout")
MAX_PAGE_MESSAGE = 2**20  # Bytes; the largest message of the page.
FORM_OVERHEAD = 2**20  # Bytes; what a form may hold besides its file.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' blob: 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
LOGIN_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sonovid</title>
<style>
:root{color-scheme:light dark}
body{font:1rem system-ui,sans-serif;max-width:24rem;margin:20vh auto;padding:0 1rem}
input,button{font:inherit;padding:.5rem;width:100%%;box-sizing:border-box;margin:.25rem 0}
p{color:#c0392b}
</style>
<h1>Sonovid</h1>%s
<form method="post">
<label>Token <input type="password" name="token" autocomplete="current-password" autofocus required></label>
<button>Sign in</button>
</form></html>"""


class TooLarge(HTTPException):
    """A request body above the limit. Applications that read the body answer it themselves."""

    def __init__(self, limit: int):
        super().__init__(413, f"the request is larger than the limit of {limit / 2**20:g} MiB")


class Guard:
    """ASGI middleware around the whole server."""

    def __init__(self, app: Any, settings: Settings):
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject a request or forward it to the application."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # No route uses WebSocket. The server closes unanswered connections.
        request = Request(scope)
        send = self._add_headers(send)
        refusal = self._refusal(request)
        if refusal is not None:
            await refusal(scope, receive, send)
        elif request.url.path == "/login":
            await (await self._login(Request(scope, receive)))(scope, receive, send)
        else:
            await self._forward(request, scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        """The response to a request that is rejected, or None."""
        path = request.url.path
        if not self._is_known_host(request):
            return _error_response(403, "this server accepts only this machine's own names as Host")
        if request.method not in ("GET", "HEAD") and not _is_same_origin(request):
            return _error_response(403, "requests from pages of other sites are not accepted")
        if not _is_allowed_route(path):
            return _error_response(404, f"{path[:80]}: no such route")
        if self.settings.token is not None and path not in PUBLIC_PATHS and not self._is_authorized(request):
            if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                return RedirectResponse("/login", 303)
            refused = _error_response(401, "a token is needed: Authorization: Bearer TOKEN")
            refused.headers["www-authenticate"] = "Bearer"
            return refused
        return None

    def _is_known_host(self, request: Request) -> bool:
        """Whether the Host header is expected, which protects against DNS rebinding by other sites.

        With a token any host is accepted, as behind a proxy: browsers send the cookie to one host only.
        """
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        return self.settings.token is not None or not is_loopback(self.settings.host) or is_loopback(host)

    def _is_authorized(self, request: Request) -> bool:
        """Whether the request carries the token, or the cookie that stands for it."""
        assert self.settings.token is not None
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.settings.token.encode()):
            return True
        return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), _session_cookie(self.settings.token).encode())

    async def _login(self, request: Request) -> Response:
        """The form that takes the token in a browser, and sets the cookie."""
        if self.settings.token is None:
            return RedirectResponse("/", 303)
        if request.method != "POST":
            return HTMLResponse(LOGIN_PAGE % "")
        try:
            body = await _read_body(request.receive, 4096)
        except TooLarge:
            return _error_response(413, "not a token")
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
        if not hmac.compare_digest(given.encode(), self.settings.token.encode()):
            return HTMLResponse(LOGIN_PAGE % "<p role='alert'>That is not the token of this server.</p>", 401)
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        kept = _session_cookie(self.settings.token)
        answer.set_cookie(COOKIE, kept, max_age=30 * 86400, httponly=True, samesite="strict", secure=secure)
        return answer

    async def _forward(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request whose body is limited in size."""
        limit = self.settings.max_upload + FORM_OVERHEAD
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limit:
            await _error_response(413, TooLarge(limit).detail)(scope, receive, send)
            return
        if request.url.path != "/gradio_api/queue/join":
            await self.app(scope, _limit_body(receive, limit), send)
            return
        try:
            body = await _read_body(receive, MAX_PAGE_MESSAGE)
        except TooLarge as error:
            await _error_response(413, error.detail)(scope, receive, send)
            return
        if remote_paths(body):
            await _error_response(400, "URLs are not fetched: upload the file itself")(scope, receive, send)
            return
        await self.app(scope, _replay_body(body, receive), send)

    def _add_headers(self, send: Send) -> Send:
        """Add headers that prevent browsers from loading from other hosts, and other sites from framing this one."""

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                added = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in there]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        return sent


def remote_paths(body: bytes) -> list[str]:
    """File paths in a message of the page that are URLs, which Gradio would fetch."""
    try:
        message = json.loads(body)
    except ValueError:
        return []
    return [path for path in _find_paths(message) if "://" in path or path.startswith("//")]


def _find_paths(node: Any) -> Iterator[str]:
    """All strings under the key "path", at any depth."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("path"), str):
                yield one["path"]
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _is_allowed_route(path: str) -> bool:
    """Whether a path belongs to the API, to the page, or to a route of Gradio that the page uses."""
    if path == "/" or path.startswith((*API_PREFIXES, *GRADIO_FILES)):
        return True
    prefix = "/gradio_api/"
    return path.startswith(prefix) and path.removeprefix(prefix).startswith(GRADIO_ROUTES)


def _is_same_origin(request: Request) -> bool:
    """Whether a request does not come from another site's page. Programs send neither header."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    return urlsplit(origin).netloc == request.headers.get("host", "")


def _session_cookie(token: str) -> str:
    """The value of a browser's cookie, a hash of the token."""
    return hashlib.sha256(f"sonovid app {token}".encode()).hexdigest()


def _error_response(status: int, line: str) -> JSONResponse:
    return JSONResponse(error_body(line, status), status)


def _limit_body(receive: Receive, limit: int) -> Receive:
    """Wrap `receive` to raise TooLarge when the body exceeds `limit` bytes."""
    total = 0

    async def received() -> Any:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > limit:
                raise TooLarge(limit)
        return message

    return received


async def _read_body(receive: Receive, limit: int) -> bytes:
    """Read a whole body of at most `limit` bytes."""
    body, more, limited = b"", True, _limit_body(receive, limit)
    while more:
        message = await limited()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    return body


def _replay_body(body: bytes, receive: Receive) -> Receive:
    """Wrap `receive` to return a body that was read already first."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Any:
        return pending.pop() if pending else await receive()

    return received
