"""The gate before everything: pages, WebSocket, app files and /panic need a signed-in browser.

An ASGI middleware, because a check inside a page comes too late: Streamlit's files, its WebSocket
and its health answer come before any script runs. Only `/health` is open.
"""

from __future__ import annotations

import asyncio
from functools import partial
from urllib.parse import parse_qsl, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.config import Config
from engine.errors import StorageError
from pages.parts import lockout, sign_in_page
from pages.parts.clock import now_ns
from pages.parts.held_socket import HeldSocket, closed
from pages.parts.home import config
from pages.parts.session import AGE_S_MAX, COOKIE, end, sign, signed_in
from pages.parts.theme_script import with_theme
from storage.database import reading
from storage.users import OPERATOR, User, check_password, find_user

OPEN_PATHS = frozenset({"/health"})
BODY_BYTES_MAX = 4_096
_CSP = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
_HEADERS = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}
"""On every answer: a page with a KILL button must not be put into somebody's frame."""


class Gate:
    """Lets through who is signed in; shows everybody else the sign-in, or closes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # One guess at a time: guesses side by side would pass the growing delay.
        self._guessing = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        path = connection.url.path
        inside = path in OPEN_PATHS
        if not inside:
            token = connection.cookies.get(COOKIE)
            inside = await run_in_threadpool(signed_in, config(), token) is not None
        if scope["type"] == "websocket":
            if inside:
                held = HeldSocket(receive, send, partial(signed_in, config(), token))
                await self._app(scope, held.receive, held.send)
            else:
                await send(closed())
            return
        request = Request(scope, receive)
        answer = await self._own(request, path, inside=inside)
        if answer is None and _asks_for_page(request):
            await with_theme(self._app, scope, receive, _hardened(send))
        else:
            await (answer or self._app)(scope, receive, _hardened(send))

    async def _own(self, request: Request, path: str, *, inside: bool) -> Response | None:
        """Return the answer that is the gate's own, None where the app shall answer."""
        if request.method == "POST" and not _same_origin(request):
            return PlainTextResponse("refused: the request comes from another site", 403)
        if path == "/sign-in" and request.method == "POST":
            return await self._try(request)
        if path == "/sign-out" and inside:
            return (
                _signed_out(request) if request.method == "POST" else _page(sign_in_page.sign_out())
            )
        if path == "/sign-in" and inside:
            return RedirectResponse("/", 303)
        if inside:
            return None
        if _asks_for_page(request):
            query = f"?{request.url.query}" if request.url.query else ""
            return _asked("/" if path == "/sign-in" else path + query)
        return PlainTextResponse("sign in first", 401)

    async def _try(self, request: Request) -> Response:
        given = config()
        form = await _form(request)
        if form is None:
            return PlainTextResponse("the form is too large", 413)
        after = _local(form.get("next", "/"))
        async with self._guessing:
            try:
                wait_s, user = await run_in_threadpool(
                    _guess, given, form.get("name", ""), form.get("password", "")
                )
            except (StorageError, OSError) as error:
                return _page(sign_in_page.form(after, f"Nobody can sign in now: {error}"), 503)
        if wait_s:
            said = f"Too many wrong passwords. Try again in {wait_s} s."
            return _page(sign_in_page.form(after, said), 429, {"retry-after": str(wait_s)})
        if user is None:
            return _page(sign_in_page.form(after, "Wrong password."), 401)
        answer = RedirectResponse(after, 303)
        answer.set_cookie(
            COOKIE,
            sign(given, user),
            max_age=AGE_S_MAX,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return answer


def _asks_for_page(request: Request) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


def _guess(given: Config, name: str, password: str) -> tuple[int, User | None]:
    """Try a password unless it is too early: (seconds to wait, user)."""
    path = given.run_folder / "sign_in.json"
    state, now = lockout.read(path), now_ns()
    if wait_s := state.wait_s(now):
        return wait_s, None
    with reading(given.state_path) as connection:
        user = check_password(connection, name, password)
    if user is None or state.failures:
        lockout.write(path, state.failed(now) if user is None else lockout.Lockout())
    return 0, user


async def _form(request: Request) -> dict[str, str] | None:
    """Return the fields of a small form, None where the body is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            return None
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _local(path: str) -> str:
    """Return where to go after signing in: a path of this site, never another one."""
    plain = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if plain and path.isprintable() else "/"


def _same_origin(request: Request) -> bool:
    """Say whether a POST comes from our own page; programs send no Origin."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _asked(after: str) -> Response:
    given = config()
    try:
        with reading(given.state_path) as connection:
            known = find_user(connection, OPERATOR) is not None
    except StorageError:
        known = given.state_path.is_file()
    return _page(sign_in_page.form(after) if known else sign_in_page.nobody(), 401)


def _page(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    own = {"content-security-policy": _CSP, "cache-control": "no-store"}
    return HTMLResponse(text, status, own | (headers or {}))


def _signed_out(request: Request) -> Response:
    end(request.cookies[COOKIE])
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE)
    return answer


def _hardened(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await send(message)

    return wrapped


SignIn = Middleware(Gate)
