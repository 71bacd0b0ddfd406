"""What the server does beside drawing pages: it ends with its supervisor, and answers two routes.

An orphan would show a desk of nobody; one route says that the server lives, the other is KILL
without a script thread.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pages import found_pages
from pages.frame.kill import kill
from pages.frame.session import COOKIE, signed_in
from pages.kit.home import config, now_ns

LOOK_S = 1.0
SUPERVISED = "SUPERVISOR_ENABLED"
"""supervisord sets it for the programs it starts; started by hand a dashboard is its own master."""


@asynccontextmanager
async def watched(_app: Any) -> AsyncIterator[None]:
    if SUPERVISED not in os.environ or os.getppid() == 1:
        yield
        return
    looking = asyncio.create_task(end_with(os.getppid()))
    try:
        yield
    finally:
        looking.cancel()


async def end_with(parent: int) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 nobody tells us but the system
        await asyncio.sleep(LOOK_S)
    signal.raise_signal(signal.SIGTERM)


# -- Routes beside Streamlit's: one that says the server lives, and KILL without a script thr --


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


# -- After the first page: what lives as long as the server is taken out of the collector's w --


# What takes seconds to load is paid when the server starts, not by the first page.
found_pages()


@st.cache_resource(show_spinner=False)
def settle() -> bool:
    """Freeze what is loaded once; a tab's update costs half as much afterwards (36 to 70 ms)."""
    gc.collect()
    gc.freeze()
    return True
