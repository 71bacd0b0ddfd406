"""The user channel's socket: signs in, keeps itself proven, gives text frames.

There is no snapshot, no replay and no acknowledgement (trading API, §4.1 and §4.3): what was missed
is asked by REST. Data may stop while PONGs go on, so the channel proves only that it is connected;
the listings asked every half minute prove that nothing was missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from engine.errors import NotSent, OutcomeUnknown

PING = "PING"
PING_EVERY_S = 5.0
SILENT_S_MAX = 15.0
"""No frame and no PONG for this long: three PINGs stayed unanswered (the SDK waits for 30 s)."""
OPEN_S_MAX = 10.0
FRAME_BYTES_MAX = 8 * 1024 * 1024
"""A frame may carry every order of a match; the library's own 1 MiB would end the connection."""


class UserSocket:
    """One account's connection to the user channel. `login` gives the sign-in frame."""

    def __init__(self, url: str, login: Callable[[], bytes]) -> None:
        self._url = url
        self._login = login

    def __repr__(self) -> str:
        return f"UserSocket({self._url}, <hidden>)"

    async def listen(self) -> AsyncIterator[str]:
        """Give text frames until the connection breaks; the first one proves that it is up.

        Raises NotSent where it could not be opened, OutcomeUnknown where it broke. A wrong key gets
        no word at this venue, only a closed connection.
        """
        try:
            socket = await connect(
                self._url,
                open_timeout=OPEN_S_MAX,
                close_timeout=1.0,
                ping_interval=None,
                max_size=FRAME_BYTES_MAX,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            text = f"the user channel cannot be opened: {type(error).__name__}"
            raise NotSent(text) from None
        pinging = asyncio.ensure_future(_ping(socket))
        try:
            await socket.send(self._login().decode())
            await socket.send(PING)
            while True:
                async with asyncio.timeout(SILENT_S_MAX):
                    raw = await socket.recv()
                yield raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
        except TimeoutError:
            text = f"the user channel was silent for {SILENT_S_MAX:.0f} s"
            raise OutcomeUnknown(text) from None
        except (OSError, WebSocketException) as error:
            # Its text may quote what was sent; its kind and code say enough.
            code = getattr(getattr(error, "rcvd", None), "code", "no code")
            text = f"the user channel broke: {type(error).__name__}, {code}"
            raise OutcomeUnknown(text) from None
        finally:
            pinging.cancel()
            await asyncio.gather(pinging, return_exceptions=True)
            await socket.close()


async def _ping(socket: ClientConnection) -> None:
    while True:
        await asyncio.sleep(PING_EVERY_S)
        await socket.send(PING)
