"""The user channel: one key's orders and trades, quirks included (polymarket.md §4.3)."""

from __future__ import annotations

from typing import Any

from aiohttp import WSCloseCode, web

from tests.fakes.polymarket.auth import ApiKey
from tests.fakes.polymarket.sockets import Socket
from tests.fakes.polymarket.venue import Venue
from tests.fakes.polymarket.web import VENUE, text_of


class UserSocket(Socket):
    """One listener of one key. `markets` None = all."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue, "user")
        self.key: ApiKey | None = None
        self.markets: set[str] | None = None
        self._held: tuple[str, str] | None = None

    def take(self, frame: Any) -> None:
        """Take the authentication, or a change of markets. Wrong credentials get no word."""
        if not isinstance(frame, dict):
            return
        named = frame.get("markets")
        markets = {str(name) for name in named} if isinstance(named, list) else None
        if self.key is None:
            self.key = self.venue.auth.check_socket(frame.get("auth"))
            if self.key is None:
                self.close(WSCloseCode.POLICY_VIOLATION)
                return
            self.markets = markets
            self.ready.set()
        elif frame.get("operation") == "subscribe" and markets is not None:
            self.markets = (self.markets or set()) | markets
        elif frame.get("operation") == "unsubscribe" and markets is not None:
            self.markets = (self.markets or set()) - markets

    def publish(self, frame: dict[str, Any]) -> None:
        """Send a frame as the quirks want it."""
        settings = self.venue.settings
        text = text_of([frame] if settings.quirks.user_arrays else frame)
        delay_ms, event = settings.user_delay_ms, frame["event_type"]
        if settings.quirks.reorder_events and self._held is None:
            self._held = (text, event)
            return
        self.put(text, event, delay_ms)
        if settings.quirks.duplicate_events:
            self.put(text, event, delay_ms)
        if self._held is not None:
            held, self._held = self._held, None
            self.put(*held, delay_ms)


class UserHub:
    """All listeners."""

    def __init__(self, venue: Venue) -> None:
        self.sockets: list[UserSocket] = []
        venue.on_user.append(self.publish)

    def publish(self, key: str, condition: str, frame: dict[str, Any]) -> None:
        """Send a frame to every listener of a key that follows the market."""
        for socket in self.sockets:
            known = socket.key is not None and socket.key.key == key
            if known and (socket.markets is None or condition in socket.markets):
                socket.publish(frame)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one listener until it leaves."""
        socket = UserSocket(request.app[VENUE])
        self.sockets.append(socket)
        try:
            await socket.run(request, socket.take)
        finally:
            self.sockets.remove(socket)
        return socket.ws
