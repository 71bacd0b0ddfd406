"""The market channel: snapshots, batches of changes, prints (polymarket.md §4.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.fakes.polymarket.sockets import Socket
from tests.fakes.polymarket.venue import Venue
from tests.fakes.polymarket.web import VENUE, frame_text, text_of


class MarketSocket(Socket):
    """One reader and what it follows."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue, "market")
        self.tokens: set[str] = set()
        self.custom = False

    def take(self, frame: Any) -> None:
        """Take a subscription frame."""
        if not isinstance(frame, dict):
            return
        tokens = frame.get("assets_ids")
        tokens = [str(token) for token in tokens] if isinstance(tokens, list) else []
        operation = frame.get("operation", "")
        if operation == "unsubscribe":
            self.tokens -= set(tokens)
            return
        if str(frame.get("type", "")).lower() != "market" and operation != "subscribe":
            return
        # The flag is taken before a duplicate is refused, so naming an active token toggles it.
        if "custom_feature_enabled" in frame:
            self.custom = bool(frame["custom_feature_enabled"])
        new = [token for token in dict.fromkeys(tokens) if token not in self.tokens]
        self.tokens |= set(new)
        self.ready.set()
        most = self.venue.settings.quirks.no_dump_over
        if new and frame.get("initial_dump", True) and not (most and len(self.tokens) > most):
            self._dump(new)

    def _dump(self, tokens: list[str]) -> None:
        self.venue.pump()
        books = []
        for token in tokens:
            known = self.venue.ledger.tokens.get(token)
            if known is not None and self.venue.accepting(known[0]):
                wire = self.venue.books[known[0].instrument]
                books.append(wire.frame(known[1], wire.said_ms, full=True))
        if books:
            self.put(text_of(books), "book")


class MarketHub:
    """All readers."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.sockets: list[MarketSocket] = []
        venue.on_market.append(self.publish)

    def publish(self, tokens: tuple[str, ...], frame: dict[str, Any], custom: bool) -> None:
        """Send a frame to everybody it concerns."""
        text = ""
        for socket in self.sockets:
            if custom and not socket.custom:
                continue
            if tokens and socket.tokens.isdisjoint(tokens):
                continue
            text = text or frame_text(frame)
            socket.put(text, frame["event_type"])

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one reader until it leaves."""
        socket = MarketSocket(request.app[VENUE])
        self.sockets.append(socket)
        try:
            await socket.run(request, socket.take)
        finally:
            self.sockets.remove(socket)
        return socket.ws


def close_all(sockets: list[Any], how: Callable[[Socket], None]) -> int:
    """Do something to every socket; return how many there were."""
    for socket in list(sockets):
        how(socket)
    return len(sockets)
