"""What Streamlit's page must know before it begins: the theme of this browser, and its server.

Streamlit follows the system and remembers a choice per path; this desk is dark unless the operator
chose otherwise, on every page alike. The choice is a cookie that holds nothing but its name. Its
server it would look for below the page's own path first, in vain: two 404s for each page.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "pitboss_theme"
THEMES = ("Dark", "Light", "System")

_SCRIPT = (
    b"<script>(()=>{const m=document.cookie.match(/(?:^|; )pitboss_theme=(Dark|Light|System)/);"
    b'localStorage.setItem("stActiveTheme-"+location.pathname+"-v2",'
    b'JSON.stringify(m?m[1]:"Dark"));'
    b"window.__streamlit={BACKEND_BASE_URL:location.origin}})()</script>"
)
_HEAD = b"<head>"
_DROPPED = frozenset({b"accept-encoding", b"if-none-match", b"if-modified-since", b"range"})
"""Headers of a request whose answer would not be the whole plain page."""


async def with_theme(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let `app` answer a request for a page and put the script into its head."""
    headers = [pair for pair in scope["headers"] if pair[0] not in _DROPPED]
    started: list[Message] = []
    body = bytearray()

    async def collect(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.append(message)
            return
        if message["type"] == "http.response.body":
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            whole = _with_script(bytes(body)) if _is_html(started[0]) else bytes(body)
            kept = [pair for pair in started[0]["headers"] if pair[0] not in _OF_THE_BODY]
            kept.append((b"content-length", str(len(whole)).encode()))
            await send({**started[0], "headers": kept})
            await send({"type": "http.response.body", "body": whole})

    await app({**scope, "headers": headers}, receive, collect)


_OF_THE_BODY = frozenset({b"content-length", b"etag", b"last-modified"})


def _is_html(start: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/html")
        for name, value in start["headers"]
    )


def _with_script(page: bytes) -> bytes:
    return page.replace(_HEAD, _HEAD + _SCRIPT, 1)
