"""Routes beside Streamlit's: one that says the server lives, and KILL without a script thread."""

from __future__ import annotations

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pages.frame import warm  # noqa: F401 loaded with the server
from pages.frame.kill import kill
from pages.frame.session import COOKIE, signed_in
from pages.kit.clock import now_ns
from pages.kit.home import config


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _panic(request: Request) -> Response:
    given = config()
    # Asked again: this route must refuse even where somebody forgets the gate.
    who = await run_in_threadpool(signed_in, given, request.cookies.get(COOKIE))
    if who is None:
        return JSONResponse({"error": "sign in first"}, 401)
    receipt = await run_in_threadpool(kill, given, who, now_ns())
    latched = receipt.steps[0].done
    return JSONResponse(msgspec.to_builtins(receipt), 200 if latched else 500)


health = Route("/health", _health, methods=["GET"])
panic = Route("/panic", _panic, methods=["POST"])
