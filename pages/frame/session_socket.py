"""A WebSocket that ends with its session: an open tab must not outlive a sign-out."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Receive, Send


class HeldSocket:
    """Passes a browser's messages on while its session stands; closes the socket once it does not.

    A page asks again each second, so a tab that only looks on ends within that, too.
    """

    def __init__(self, receive: Receive, send: Send, who: Callable[[], str | None]) -> None:
        self._receive = receive
        self._send = send
        self._who = who
        self._ended = False

    async def receive(self) -> Message:
        """Return the browser's next message, or its farewell where nobody is signed in."""
        message = await self._receive()
        if message["type"] != "websocket.receive" or await run_in_threadpool(self._who):
            return message
        await self._send(closed())
        self._ended = True
        return {"type": "websocket.disconnect", "code": closed()["code"]}

    async def send(self, message: Message) -> None:
        """Send what the app says, unless the socket was closed under it."""
        if not self._ended:
            await self._send(message)


def closed() -> Message:
    """Return the message that closes a socket of somebody who is not signed in."""
    return {"type": "websocket.close", "code": 1008, "reason": "sign in first"}
