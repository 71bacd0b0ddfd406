"""The dashboard ends with the supervisor that started it: an orphan would show a desk of nobody."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

LOOK_S = 1.0
SUPERVISED = "SUPERVISOR_ENABLED"
"""supervisord sets it for the programs it starts; started by hand a dashboard is its own master."""


@asynccontextmanager
async def watched(_app: Any) -> AsyncIterator[None]:
    """Look, while the server runs, whether its supervisor does."""
    if SUPERVISED not in os.environ or os.getppid() == 1:
        yield
        return
    looking = asyncio.create_task(end_with(os.getppid()))
    try:
        yield
    finally:
        looking.cancel()


async def end_with(parent: int) -> None:
    """End this server, as a supervisor would, when its parent is gone."""
    while os.getppid() == parent:  # noqa: ASYNC110 nobody tells us but the system
        await asyncio.sleep(LOOK_S)
    signal.raise_signal(signal.SIGTERM)
