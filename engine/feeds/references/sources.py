"""The sources of reference prices, each as `frame → events`. Keys: `<source>:<symbol>`.

binance: trades of the spot streams, and the open of the running one-hour candle
(`binance-open1h:btcusdt`, which the hourly markets compare its close with). coinbase: the ticker
channel. rtds: Polymarket's relay of Chainlink (`chainlink:btc/usd`, what the 5- and 15-minute
markets settle on) and of Binance (`rtds-binance:btcusdt`, about 0.6 s behind Binance itself). pyth:
Hermes price updates.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from engine.domain.events import Event, ReferencePriced
from engine.domain.money import round_half_even_div
from engine.domain.readings import STAMP_NS_MAX, STAMP_NS_MIN, shown
from engine.feeds.counts import UNREADABLE, BadFrame, FeedCounts

# -- Prices as text → 1e-8 units, and the rule that a price never goes back in time ----------------

KEYS_MAX = 1_000
"""Reference keys followed at once."""

E8_DECIMALS = 8
MS_NS = 1_000_000
SECOND_NS = 1_000_000_000
DIGITS_MAX = 60

PRICE_E8_MAX = 10**18
"""Ten billion of a currency for one of anything."""

AHEAD_NS_MAX = 86_400 * SECOND_NS
"""How far a stamp may be ahead of our clock. One of next year would make every later one old."""

CHAINLINK_DECIMALS = 18
"""`full_accuracy_value` of the Chainlink topic counts 1e-18."""

DIFFERENCE_PPM_MAX = 10
"""How far the rounded value beside an accurate one may be from it."""

QUOTES = ("usdt", "usd")


def price_e8(text: str) -> int:
    """Return a decimal text in 1e-8 units, what is finer rounded half to even. Raises BadFrame."""
    whole, _, part = text.partition(".")
    digits = whole + part
    if not (digits.isascii() and digits.isdigit()) or len(digits) > DIGITS_MAX:
        raise BadFrame("price not a number", repr(text[:80]))
    return scaled_e8(digits, len(part))


def scaled_e8(digits: str, decimals: int) -> int:
    """Return digits · 10^−decimals in 1e-8 units, rounded half to even; above zero or BadFrame."""
    if not (digits.isascii() and digits.isdigit()) or len(digits) > DIGITS_MAX:
        raise BadFrame("price not a number", repr(digits[:80]))
    if not -DIGITS_MAX <= decimals <= DIGITS_MAX:
        raise BadFrame("price scale out of range", str(decimals))
    number = int(digits)
    if decimals <= E8_DECIMALS:
        number *= 10 ** (E8_DECIMALS - decimals)
    else:
        number = round_half_even_div(number, int(10 ** (decimals - E8_DECIMALS)))
    if number <= 0:
        raise BadFrame("price not above zero", repr(digits[:80]))
    if number > PRICE_E8_MAX:
        raise BadFrame("price out of range", repr(digits[:80]))
    return number


def accurate_e8(text: str, rounded: bytes) -> int:
    """Return `full_accuracy_value` in 1e-8 units, whether it counts 1e-18 or is a decimal.

    The two cannot be distinguished alone, so the rounded value beside it must agree; without
    one a text of digits alone counts 1e-18, as Chainlink's topic does. Raises BadFrame.
    """
    readings = [price_e8(text)]
    if "." not in text:
        readings.insert(0, scaled_e8(text, CHAINLINK_DECIMALS) if len(text) > 10 else 0)
    if not rounded:
        return readings[0] or readings[-1]
    rounded_price = price_e8(rounded.decode("latin-1").strip('"'))
    for price in readings:
        if abs(price - rounded_price) * 1_000_000 <= rounded_price * DIFFERENCE_PPM_MAX:
            return price
    raise BadFrame("accurate value differs from the rounded one")


def slashed(symbol: str) -> str:
    """Return a symbol as keys of Chainlink spell it: `btcusd` → `btc/usd`. Raises BadFrame."""
    plain = symbol.lower().replace("-", "/")
    if "/" in plain:
        return plain
    quote = next((one for one in QUOTES if plain.endswith(one) and plain != one), "")
    if not quote:
        raise BadFrame("symbol not readable", plain[:40])
    return f"{plain.removesuffix(quote)}/{quote}"


def iso_ns(text: str) -> int:
    """Return `2026-04-29T02:10:52.233043Z` in ns since 1970, UTC. Raises BadFrame."""
    seconds, _, part = text.removesuffix("Z").partition(".")
    plain = text.isascii() and f"0{part}".isdigit() and len(part) <= 9
    if not text.endswith("Z") or not plain:
        raise BadFrame("time not readable", repr(text[:40]))
    try:
        moment = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    except ValueError:
        raise BadFrame("time not readable", repr(text[:40])) from None
    return _time(int(moment.timestamp()) * SECOND_NS + int(part.ljust(9, "0")))


class Latest:
    """Lets a reference price through only where it is not older than the last one of its key."""

    def __init__(self, counts: FeedCounts) -> None:
        self._counts = counts
        self._stamps: dict[str, int] = {}
        self.now_ns = 0
        """Our clock when the frame came."""

    def take(self, key: str, price: int, exchange_ns: int) -> list[Event]:
        if exchange_ns > self.now_ns + AHEAD_NS_MAX and self.now_ns >= STAMP_NS_MIN:
            raise BadFrame("time in the future", key)
        last_ns = self._stamps.get(key)
        if last_ns is None and len(self._stamps) >= KEYS_MAX:
            raise BadFrame("too many reference keys", key)
        if last_ns is not None and exchange_ns < last_ns:
            self._counts.out_of_order += 1
            return []
        self._stamps[key] = exchange_ns
        return [ReferencePriced(key=key, price_e8=price, exchange_ns=exchange_ns)]


# -- The sources -----------------------------------------------------------------------------------

EQUITIES = "equity_prices"
TWAP_TOPICS = {"crypto_prices_twap_thirty": 30, "crypto_prices_twap_sixty": 60}
"""Topics of Chainlink's means → over how many seconds."""

T = TypeVar("T")


class BinanceTrade(msgspec.Struct, gc=False):
    """A trade of a Binance stream."""

    e: str
    s: str = ""
    p: str = ""
    T: int = 0
    k: BinanceCandle | None = None


class BinanceCandle(msgspec.Struct, gc=False):
    """A candle as it stands: its begin in ms, its length, its open."""

    t: int
    i: str
    o: str


class BinanceFrame(msgspec.Struct, gc=False):
    """A combined stream's wrapper; a single stream sends the trade bare."""

    data: BinanceTrade


class CoinbaseFrame(msgspec.Struct, gc=False):
    """A ticker, or the answer to a subscription."""

    type: str
    product_id: str = ""
    price: str = ""
    time: str = ""


class RtdsPoint(msgspec.Struct, gc=False):
    """One price of a backlog. The number stays text: a float would round it."""

    timestamp: int
    value: msgspec.Raw


class RtdsPayload(msgspec.Struct, gc=False):
    """An update, or the backlog of the last minute that follows a subscription."""

    symbol: str
    timestamp: int = 0
    full_accuracy_value: str = ""
    value: msgspec.Raw = msgspec.Raw()
    data: list[RtdsPoint] | None = None


class RtdsFrame(msgspec.Struct, gc=False):
    """A message of the real-time data socket."""

    topic: str
    payload: RtdsPayload


class PolyboltPayload(msgspec.Struct, gc=False):
    """A price of the newer relay; `window_seconds` where it is a mean."""

    symbol: str
    timestamp: int = 0
    source: str = "chainlink"
    full_accuracy_value: str = ""
    value: msgspec.Raw = msgspec.Raw()
    window_seconds: int = 0


class PolyboltFrame(msgspec.Struct, gc=False):
    """A message of the newer relay; what has no channel answers a request."""

    channel: str = ""
    dropped: int = 0
    payload: msgspec.Raw = msgspec.Raw()


class PythPrice(msgspec.Struct, gc=False):
    """price · 10^expo."""

    price: str
    expo: int
    publish_time: int


class PythFeed(msgspec.Struct, gc=False):
    """One feed's price."""

    id: str
    price: PythPrice


class PythFrame(msgspec.Struct, gc=False):
    """A Hermes update; the signed binary part is not read."""

    parsed: list[PythFeed]


class ReferenceCore:
    """Turns frames of all sources into prices. Deterministic; never answers with a guess."""

    def __init__(self, counts: FeedCounts) -> None:
        self.counts = counts
        self._latest = Latest(counts)
        self._binance = msgspec.json.Decoder(BinanceFrame).decode
        self._binance_bare = msgspec.json.Decoder(BinanceTrade).decode
        self._coinbase = msgspec.json.Decoder(CoinbaseFrame).decode
        self._rtds = msgspec.json.Decoder(RtdsFrame).decode
        self._polybolt = msgspec.json.Decoder(PolyboltFrame).decode
        self._polybolt_payload = msgspec.json.Decoder(PolyboltPayload).decode
        self._pyth = msgspec.json.Decoder(PythFrame).decode
        self.sources: dict[str, Callable[[bytes], list[Event]]] = {
            "binance": self._read_binance,
            "coinbase": self._read_coinbase,
            "rtds": self._read_rtds,
            "polybolt": self._read_polybolt,
            "pyth": self._read_pyth,
        }

    def receive(self, source: str, frame: bytes, now_ns: int) -> list[Event]:
        """Take one frame of a source; what cannot be read is counted."""
        self._latest.now_ns = now_ns
        if not frame.strip() or frame in {b"PONG", b"pong"}:
            return []
        read = self.sources.get(source)
        if read is None:
            self.counts.anomaly(f"unknown source {source[:40]!r}")
            return []
        try:
            return read(frame)
        except BadFrame as error:
            self.counts.anomaly(f"{source}: {error.kind}")
            return []

    def _read_binance(self, frame: bytes) -> list[Event]:
        if b'"data"' in frame:
            trade = _decode(self._binance, frame).data
        else:
            trade = _decode(self._binance_bare, frame)
        if trade.e == "kline" and trade.k is not None:
            return self._opened(_symbol(trade.s), trade.k)
        if trade.e != "trade":
            raise BadFrame("unknown event type", trade.e)
        return self._latest.take(f"binance:{_symbol(trade.s)}", price_e8(trade.p), _ms(trade.T))

    def _opened(self, symbol: str, candle: BinanceCandle) -> list[Event]:
        """Tell a candle's open under the time it began: it never changes, and is repeated."""
        if candle.i != "1h":
            raise BadFrame("unknown candle", candle.i)
        key = f"binance-open1h:{symbol}"
        return self._latest.take(key, price_e8(candle.o), _ms(candle.t))

    def _read_coinbase(self, frame: bytes) -> list[Event]:
        ticker = _decode(self._coinbase, frame)
        if ticker.type in {"subscriptions", "heartbeat"}:
            return []
        if ticker.type != "ticker":
            raise BadFrame("unknown event type", ticker.type)
        return self._latest.take(
            f"coinbase:{_symbol(ticker.product_id)}", price_e8(ticker.price), iso_ns(ticker.time)
        )

    def _read_rtds(self, frame: bytes) -> list[Event]:
        """Read an update, or the newest point of a backlog: history given now would be no news."""
        message = _decode(self._rtds, frame)
        payload = message.payload
        if message.topic in TWAP_TOPICS and payload.data is None:
            key = f"chainlink-twap{TWAP_TOPICS[message.topic]}:{slashed(payload.symbol)}"
            price = accurate_e8(payload.full_accuracy_value, bytes(payload.value))
            return self._latest.take(key, price, _ms(payload.timestamp))
        if message.topic not in {"crypto_prices", "crypto_prices_chainlink", EQUITIES}:
            raise BadFrame("unknown topic", message.topic)
        # The backlog of the Chainlink topic comes under the other topic's name: only Chainlink
        # writes its symbols with a slash.
        chainlink = "/" in payload.symbol
        relayed = "rtds-equity" if message.topic == EQUITIES else "rtds-binance"
        key = f"{'chainlink' if chainlink else relayed}:{_symbol(payload.symbol)}"
        if payload.data is not None:
            if not payload.data:
                return []
            newest = max(payload.data, key=lambda point: point.timestamp)
            price = price_e8(bytes(newest.value).decode("latin-1"))
            return self._latest.take(key, price, _ms(newest.timestamp))
        text = payload.full_accuracy_value
        if chainlink and "." not in text:
            price = scaled_e8(text, CHAINLINK_DECIMALS)
        else:
            price = price_e8(text)
        return self._latest.take(key, price, _ms(payload.timestamp))

    def _read_polybolt(self, frame: bytes) -> list[Event]:
        """Read a price or a mean of Chainlink; other providers' prices settle nothing here."""
        message = _decode(self._polybolt, frame)
        if message.dropped:
            self.counts.gaps += 1
        if not message.channel:
            return []
        if message.channel not in {"price.crypto", "price.crypto.twap"}:
            raise BadFrame("unknown channel", message.channel)
        payload = _decode(self._polybolt_payload, bytes(message.payload))
        if payload.source != "chainlink":
            return []
        mean = message.channel.endswith("twap")
        if mean and not payload.window_seconds:
            raise BadFrame("mean without its window")
        name = f"chainlink-twap{payload.window_seconds}" if mean else "chainlink"
        price = accurate_e8(payload.full_accuracy_value, bytes(payload.value))
        return self._latest.take(f"{name}:{slashed(payload.symbol)}", price, _ms(payload.timestamp))

    def _read_pyth(self, frame: bytes) -> list[Event]:
        events: list[Event] = []
        for feed in _decode(self._pyth, frame).parsed:
            quote = feed.price
            price = scaled_e8(quote.price, -quote.expo)
            stamp_ns = _time(quote.publish_time * SECOND_NS)
            events += self._latest.take(f"pyth:{_symbol(feed.id)}", price, stamp_ns)
        return events


def _decode(decode: Callable[[bytes], T], frame: bytes) -> T:
    try:
        return decode(frame)
    except msgspec.ValidationError as error:
        raise BadFrame("unexpected shape", str(error)) from None
    except UNREADABLE as error:
        raise BadFrame("broken json", str(error)) from None


def _symbol(text: str) -> str:
    """Return a symbol as keys spell it. An empty one names nothing."""
    if not text:
        raise BadFrame("no symbol")
    return text.lower()


def _ms(stamp: int) -> int:
    """Return a venue's milliseconds in ns. Raises BadFrame for another unit."""
    return _time(stamp * MS_NS)


def _time(stamp_ns: int) -> int:
    if not STAMP_NS_MIN <= stamp_ns < STAMP_NS_MAX:
        raise BadFrame("time out of range", shown(stamp_ns))
    return stamp_ns
