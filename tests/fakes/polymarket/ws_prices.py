"""Reference prices: both relays of Polymarket, and the two exchanges (polymarket.md §4.4, §4.5).

One seeded walk per asset stands behind all four, so that oracle and references agree as they do in
the world: Chainlink tells whole seconds, the exchanges several trades a second around it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.polymarket.settings import S
from tests.fakes.polymarket.web import VENUE

FIRST = {"btc": 60_000.0, "eth": 3_000.0}
TRADES_PER_S = 5
MEANS = {"crypto_prices_twap_thirty": 30, "crypto_prices_twap_sixty": 60}
HISTORY_S = 120


class Walk:
    """A price per whole second: the same seed and asset give the same ones."""

    def __init__(self, asset: str, seed: int) -> None:
        self._rng = Random(f"{seed}/{asset}")
        self._first = FIRST.get(asset, 100.0)
        self._start_s = 0
        self._prices: list[float] = []

    def at(self, second: int) -> float:
        """Return the price of a second."""
        if not self._prices:
            self._start_s = second - HISTORY_S
            self._prices = [self._first]
        while self._start_s + len(self._prices) <= second:
            self._prices.append(self._prices[-1] * (1 + self._rng.gauss(0, 1e-4)))
        return self._prices[max(0, second - self._start_s)]

    def mean(self, second: int, seconds: int) -> float:
        """Return the mean of the last `seconds` up to a second."""
        return sum(self.at(second - back) for back in range(seconds)) / seconds


class Prices:
    """All sockets that tell prices. `keys` are the API keys the newer relay lets in; None = any."""

    def __init__(self, seed: int) -> None:
        self._walks: dict[str, Walk] = {}
        self._seed = seed
        self.silent: set[str] = set()
        """Of `rtds`, `rt`, `binance`, `coinbase`: those that say nothing."""
        self.keys: set[str] | None = None
        self.asked: list[tuple[str, str]] = []
        """(socket, frame) of everything that was received, secrets left out."""

    def walk(self, asset: str) -> Walk:
        """Return the walk of an asset."""
        return self._walks.setdefault(asset, Walk(asset, self._seed))

    def routes(self) -> list[web.RouteDef]:
        """Return where the sockets are."""
        return [
            web.get("/ws/rtds", self._serve("rtds", self._rtds)),
            web.get("/ws/rt", self._serve("rt", self._rt)),
            web.get("/ws/binance/stream", self._serve("binance", self._binance)),
            web.get("/ws/coinbase", self._serve("coinbase", self._coinbase)),
        ]

    def _serve(
        self, name: str, make: Callable[[web.Request, list[Any], int], Iterator[str]]
    ) -> Any:
        async def serve(request: web.Request) -> web.WebSocketResponse:
            ws = web.WebSocketResponse()
            await ws.prepare(request)
            asked: list[Any] = []
            task = asyncio.ensure_future(self._publish(ws, name, request, asked, make))
            try:
                async for message in ws:
                    if message.type is WSMsgType.TEXT and message.data != "PING":
                        await self._receive(ws, name, message.data, asked)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            return ws

        return serve

    async def _receive(
        self, ws: web.WebSocketResponse, name: str, text: str, asked: list[Any]
    ) -> None:
        frame = json.loads(text)
        if name == "rt" and frame.get("op") == "auth":
            self.asked.append((name, "auth"))
            if self.keys is not None and frame.get("apiKey") not in self.keys:
                await ws.close(code=4001)
                return
            asked.append("auth")
            await ws.send_str(json.dumps({"op": "auth", "status": "ok"}))
            return
        self.asked.append((name, text))
        if name == "rt" and "auth" not in asked:
            await ws.close(code=4001)
            return
        asked.append(frame)
        if name == "coinbase":
            await ws.send_str(json.dumps({"type": "subscriptions", "channels": []}))

    async def _publish(
        self,
        ws: web.WebSocketResponse,
        name: str,
        request: web.Request,
        asked: list[Any],
        make: Callable[[web.Request, list[Any], int], Iterator[str]],
    ) -> None:
        clock, turn = request.app[VENUE].clock, 0
        step_ns = S if name in {"rtds", "rt"} else S // TRADES_PER_S
        while True:
            now_ns = clock.now_ns()
            await asyncio.sleep((step_ns - now_ns % step_ns) / S)
            if name in self.silent:
                continue
            turn += 1
            for text in make(request, asked, clock.now_ns()):
                await ws.send_str(text)

    # -- what each says ----------------------------------------------------------------------------

    def _rtds(self, _: web.Request, asked: list[Any], now_ns: int) -> Iterator[str]:
        second = now_ns // S
        for frame in asked:
            for one in frame["subscriptions"]:
                symbol = json.loads(one["filters"])["symbol"]
                asset = symbol.replace("usdt", "").partition("/")[0]
                seconds = MEANS.get(one["topic"], 1)
                price = self.walk(asset).mean(second, seconds)
                exact = f"{price:.8f}"
                if one["topic"] == "crypto_prices_chainlink":
                    exact = str(round(price * 10**8) * 10**10)
                payload = {"symbol": symbol, "timestamp": second * 1_000, "value": round(price, 6)}
                payload["full_accuracy_value"] = exact
                yield json.dumps(
                    {
                        "topic": one["topic"],
                        "type": "update",
                        "timestamp": now_ns // 1_000_000,
                        "payload": payload,
                    }
                )

    def _rt(self, _: web.Request, asked: list[Any], now_ns: int) -> Iterator[str]:
        second = now_ns // S
        subscribed = [frame for frame in asked if frame != "auth"]
        for number, one in enumerate(s for frame in subscribed for s in frame["subscriptions"]):
            wanted = one["filter"]
            asset = wanted["symbol"].removesuffix("usd")
            seconds = wanted.get("window_seconds", 1)
            price = self.walk(asset).mean(second, seconds)
            payload = {"symbol": wanted["symbol"], "source": "chainlink"}
            payload |= {"value": round(price, 6), "full_accuracy_value": f"{price:.8f}"}
            payload["timestamp"] = second * 1_000
            if "window_seconds" in wanted:
                payload["window_seconds"] = seconds
            frame = {"v": 1, "channel": one["channel"], "seq": second * 100 + number}
            yield json.dumps(frame | {"ts": now_ns // 1_000_000, "payload": payload})

    def _binance(self, request: web.Request, _: list[Any], now_ns: int) -> Iterator[str]:
        for stream in request.query.get("streams", "").split("/"):
            symbol = stream.partition("@")[0]
            price = self._between(symbol.replace("usdt", ""), now_ns) * 1.0004
            stamp = now_ns // 1_000_000
            if stream.endswith("@kline_1h"):
                began_s = now_ns // S // 3_600 * 3_600
                opened = self._between(symbol.replace("usdt", ""), began_s * S) * 1.0004
                candle = {"t": began_s * 1_000, "s": symbol.upper(), "i": "1h"}
                candle |= {"o": f"{opened:.8f}", "c": f"{price:.8f}", "x": False}
                kline = {"e": "kline", "E": stamp, "s": symbol.upper(), "k": candle}
                yield json.dumps({"stream": stream, "data": kline})
                continue
            trade = {"e": "trade", "E": stamp, "s": symbol.upper(), "t": stamp}
            trade |= {"p": f"{price:.8f}", "q": "0.00100000", "T": stamp, "m": False, "M": True}
            yield json.dumps({"stream": stream, "data": trade})

    def _coinbase(self, _: web.Request, asked: list[Any], now_ns: int) -> Iterator[str]:
        moment = datetime.fromtimestamp(now_ns / S, UTC).isoformat().replace("+00:00", "Z")
        for product in (p for frame in asked for p in frame["product_ids"]):
            price = self._between(product.partition("-")[0].lower(), now_ns)
            ticker = {"type": "ticker", "product_id": product, "price": f"{price:.2f}"}
            yield json.dumps(ticker | {"time": moment})

    def _between(self, asset: str, now_ns: int) -> float:
        walk, second, part = self.walk(asset), now_ns // S, now_ns % S / S
        return walk.at(second) * (1 - part) + walk.at(second + 1) * part


PRICES = web.AppKey("prices", Prices)
