"""Live reference prices: one socket per source that somebody wants prices of, none otherwise.

Chainlink comes over two relays of Polymarket, the newer one only with a data-only key; whichever
answers is received, and an older price never follows a newer one. Every source is public.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable

import msgspec

from engine.domain.events import Event, ReferencePriced
from engine.feeds.counts import FeedCounts
from engine.feeds.references.sources import SECOND_NS, TWAP_TOPICS, ReferenceCore
from engine.feeds.sockets import Socket

CHAINLINK = "chainlink"
OPEN = "binance-open1h"
"""A candle's open, repeated with each change of the candle."""
STALE_NS = 10 * SECOND_NS
"""An oracle silent for this long is reported as missing; its prices come each second."""


class ReferenceHosts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the sources are, and the data-only key: (key, secret, passphrase) or None."""

    binance: str
    coinbase: str
    rtds: str
    polybolt: str
    data_key: tuple[str, str, str] | None = None

    def __repr__(self) -> str:
        return f"ReferenceHosts(rtds={self.rtds}, polybolt={self.polybolt}, <hidden>)"


class ReferenceLine:
    """One source's socket and the symbols it is asked for."""

    def __init__(self, source: str, symbols: tuple[str, ...], task: asyncio.Task[None]) -> None:
        self.source = source
        self.symbols = symbols
        self.task = task
        self.why = "not connected yet"


class ReferenceLines:
    """Reference prices by key `<source>:<symbol>`. `subscribe` them, `run` it until cancelled."""

    def __init__(
        self,
        hosts: ReferenceHosts,
        *,
        counts: FeedCounts,
        now_ns: Callable[[], int],
        publish: Callable[[list[Event], int], None],
        tape: Callable[[str, bytes, int], None],
    ) -> None:
        self._hosts = hosts
        self._core = ReferenceCore(counts)
        self._now_ns = now_ns
        self._publish = publish
        self._tape = tape
        self._lines: dict[str, ReferenceLine] = {}
        self._since_ns: dict[str, int] = {}
        """Key → when its last price came, or since when it is wanted."""
        self._newest: dict[str, Event] = {}

    def subscribe(self, keys: Iterable[str]) -> None:
        """Receive these keys and no others. Keys of no known source are in `missing`."""
        now_ns = self._now_ns()
        current = dict.fromkeys(keys)
        self._since_ns = {key: self._since_ns.get(key, now_ns) for key in current}
        self._newest = {key: one for key, one in self._newest.items() if key in current}
        by_source = self._sources(current)
        for source in [name for name in self._lines if name not in by_source]:
            self._lines.pop(source).task.cancel()
        for source, symbols in by_source.items():
            line = self._lines.get(source)
            if line is None or line.symbols != symbols:
                if line is not None:
                    line.task.cancel()
                self._lines[source] = self._connect(source, symbols)

    def missing(self, now_ns: int) -> dict[str, str]:
        """Return wanted keys without a fresh price, and why."""
        return {
            key: self._why(key)
            for key, since_ns in self._since_ns.items()
            if now_ns - since_ns >= STALE_NS
        }

    def ages_ms(self, now_ns: int) -> dict[str, float | None]:
        """Return the age of each wanted key's last price; None = none came yet."""
        return {
            key: (now_ns - since_ns) / 1e6 if key in self._newest else None
            for key, since_ns in self._since_ns.items()
        }

    async def run(self) -> None:
        """Let the sockets live until cancelled."""
        try:
            while True:
                await asyncio.sleep(1)
                for line in self._lines.values():
                    if line.task.done():
                        line.task.result()
        finally:
            tasks = [line.task for line in self._lines.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- sources -----------------------------------------------------------------------------------

    def _sources(self, keys: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return what each source is asked for: symbols, or topics with their symbols."""
        found: dict[str, dict[str, None]] = {}
        for key in keys:
            source, _, symbol = key.partition(":")
            if source in {"binance", "coinbase"}:
                found.setdefault(source, {})[symbol] = None
            elif source == OPEN:
                found.setdefault("binance", {})[f"{symbol}@kline_1h"] = None
            elif source.startswith(CHAINLINK) or source == "rtds-binance":
                found.setdefault("rtds", {})[key] = None
                if self._hosts.data_key is not None and source != "rtds-binance":
                    found.setdefault("polybolt", {})[key] = None
        return {source: tuple(sorted(names)) for source, names in sorted(found.items())}

    def _connect(self, source: str, symbols: tuple[str, ...]) -> ReferenceLine:
        hosts = self._hosts
        opened: Callable[[], list[str]]
        if source == "binance":
            streams = "/".join(one if "@" in one else f"{one}@trade" for one in symbols)
            url, ping, opened = f"{hosts.binance}/stream?streams={streams}", "", list
        elif source == "coinbase":
            url, ping, opened = hosts.coinbase, "", lambda: [_coinbase(symbols)]
        elif source == "rtds":
            url, ping, opened = hosts.rtds, "PING", lambda: [_rtds(key) for key in symbols]
        else:
            url, ping, opened = hosts.polybolt, "", lambda: [self._auth()]
        asks = _polybolt(symbols) if source == "polybolt" else ""

        def received(frame: bytes, at_ns: int) -> None:
            if asks and line.why:
                socket.send(asks)  # the first answer acknowledges the key: now it may be asked
            line.why = ""
            self._take(source, frame, at_ns)

        def lost(reason: str) -> None:
            line.why = f"{source}: {reason}"

        socket = Socket(
            url, now_ns=self._now_ns, opened=opened, received=received, lost=lost, ping=ping
        )
        task = asyncio.get_running_loop().create_task(socket.run())
        line = ReferenceLine(source, symbols, task)
        return line

    def _take(self, source: str, frame: bytes, at_ns: int) -> None:
        self._tape(f"reference.{source}", frame, at_ns)
        received = self._core.receive(source, frame, at_ns)
        # Two relays of one oracle tell every price twice; a candle its open.
        events = [event for event in received if event not in self._newest.values()]
        for event in received:
            if type(event) is ReferencePriced and event.key in self._since_ns:
                self._since_ns[event.key] = at_ns
                self._newest[event.key] = event
        if events:
            self._publish(events, at_ns)

    def _auth(self) -> str:
        key, secret, passphrase = self._hosts.data_key or ("", "", "")
        return json.dumps({"op": "auth", "apiKey": key, "secret": secret, "passphrase": passphrase})

    def _why(self, key: str) -> str:
        source = key.partition(":")[0]
        if not self._sources([key]):
            return f"no source named {source!r} is received here"
        source = "binance" if source == OPEN else source
        relays = ("rtds", "polybolt") if source.startswith(CHAINLINK) else (source, "rtds")
        reasons = [line.why for name in relays if (line := self._lines.get(name)) and line.why]
        return "; ".join(reasons) or "connected, but it sends no price"


def _coinbase(symbols: tuple[str, ...]) -> str:
    products = [symbol.upper() for symbol in symbols]
    return json.dumps({"type": "subscribe", "product_ids": products, "channels": ["ticker"]})


def _rtds(key: str) -> str:
    """Return one subscription: an unknown topic was seen to poison those that stand beside it."""
    source, _, symbol = key.partition(":")
    means = {f"{CHAINLINK}-twap{seconds}": topic for topic, seconds in TWAP_TOPICS.items()}
    topic = means.get(source, "crypto_prices_chainlink")
    if source == "rtds-binance":
        topic = "crypto_prices"
    # White space inside `filters` was seen to stop the updates.
    filters = json.dumps({"symbol": symbol}, separators=(",", ":"))
    one = {"topic": topic, "type": "update", "filters": filters}
    return json.dumps({"action": "subscribe", "subscriptions": [one]})


def _polybolt(keys: tuple[str, ...]) -> str:
    asked = []
    for key in keys:
        source, _, symbol = key.partition(":")
        name = {"symbol": symbol.replace("/", ""), "provider": "chainlink"}
        seconds = source.removeprefix(f"{CHAINLINK}-twap")
        if seconds.isdigit():
            mean = {**name, "window_seconds": int(seconds)}
            asked.append({"channel": "price.crypto.twap", "filter": mean})
        else:
            asked.append({"channel": "price.crypto", "filter": name})
    return json.dumps({"op": "subscribe", "subscriptions": asked})
