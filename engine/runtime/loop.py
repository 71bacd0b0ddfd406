"""The loop of every program of ours that runs on uvloop: a descriptor is closed once.

uvloop 0.22.1 closes a socket twice that was handed to it and given up before its protocol was
connected: libuv closes the descriptor, and the socket object, which `create_connection` has not
attached yet, closes the same number once more when it is collected. By then it may be another's:
of a connection, and libuv aborts the process (SIGABRT at the next poll, without a line of Python),
or of a file. aiohttp hands over every connection of its clients so.
"""

from __future__ import annotations

import socket
from collections.abc import Coroutine
from typing import TypeVar

import uvloop

T = TypeVar("T")


class OneCloseLoop(uvloop.Loop):
    """uvloop's loop, which alone closes the sockets that it was given."""

    async def create_connection(self, *args: object, **given: object):  # type: ignore[no-untyped-def]
        """As uvloop's. A socket `sock` is the loop's from here on, whatever becomes of it."""
        try:
            return await super().create_connection(*args, **given)  # type: ignore[call-overload]
        except BaseException:
            sock = given.get("sock")
            if isinstance(sock, socket.socket):
                sock.detach()  # its transport has closed it, or will
            raise


def run(main: Coroutine[object, object, T]) -> T:
    """Run a program's coroutine to its end, as `uvloop.run` does."""
    return uvloop.run(main, loop_factory=OneCloseLoop)
