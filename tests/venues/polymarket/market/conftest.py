"""A market channel made by hand: it keeps books of its own and signs them as the venue does."""

import hashlib
import json
from collections.abc import Callable

import pytest

from engine.domain.instruments import FeeSchedule, Instrument
from engine.feeds.counts import FeedCounts
from engine.venues.polymarket.market.core import MarketFeedCore
from engine.venues.polymarket.market.metadata import binary

CONDITION = "0x" + "cd" * 32
YES = "1" * 77
NO = "2" * 77
OPEN_MS = 1_777_452_300_000
SLUG = f"btc-updown-15m-{OPEN_MS // 1000}"

Levels = dict[str, str]


def complement(price: str) -> str:
    return f"{1 - float(price):.4f}".rstrip("0")


class Channel:
    """The venue's side: books by token, prices ascending among bids, descending among asks."""

    condition, yes, no, open_ms, slug = CONDITION, YES, NO, OPEN_MS, SLUG

    def __init__(self, bids: Levels, asks: Levels, last: str = "0.500", tick: str = "0.01"):
        self.bids, self.asks, self.last, self.tick = dict(bids), dict(asks), last, tick

    def sides(self, token: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        bids, asks = self.bids, self.asks
        if token == NO:
            bids = {complement(price): size for price, size in self.asks.items()}
            asks = {complement(price): size for price, size in self.bids.items()}
        rising = sorted(bids.items(), key=lambda level: float(level[0]))
        falling = sorted(asks.items(), key=lambda level: -float(level[0]))
        return tuple([{"price": p, "size": s} for p, s in side] for side in (rising, falling))

    def hash(self, token: str, ms: int) -> str:
        bids, asks = self.sides(token)
        text = {"market": CONDITION, "asset_id": token, "timestamp": str(ms), "hash": ""}
        text |= {"bids": bids, "asks": asks, "min_order_size": "5", "tick_size": self.tick}
        text |= {"neg_risk": False, "last_trade_price": self.last}
        return hashlib.sha1(json.dumps(text, separators=(",", ":")).encode()).hexdigest()

    def book(self, ms: int, token: str = YES, *, short: bool = False, **other: object) -> bytes:
        """A `book` message; `short` leaves out tick and last price, as after a trade."""
        bids, asks = self.sides(token)
        frame = {"market": CONDITION, "asset_id": token, "timestamp": str(ms)}
        frame |= {"hash": self.hash(token, ms), "bids": bids, "asks": asks, "event_type": "book"}
        if not short:
            frame |= {"tick_size": self.tick, "last_trade_price": self.last}
        return json.dumps(frame | other, separators=(",", ":")).encode()

    def set(self, side: str, price: str, size: str) -> None:
        levels = self.bids if side == "BUY" else self.asks
        if float(size):
            levels[price] = size
        else:
            levels.pop(price, None)

    def entries(self, ms: int, side: str, price: str, size: str) -> list[dict[str, str]]:
        """One level as both tokens tell it, with hash and tops of the present book."""
        changes = []
        other = "SELL" if side == "BUY" else "BUY"
        for token, own_side, own_price in ((YES, side, price), (NO, other, complement(price))):
            bids, asks = self.sides(token)
            changes.append(
                {
                    "asset_id": token,
                    "price": own_price,
                    "size": size,
                    "side": own_side,
                    "hash": self.hash(token, ms),
                    "best_bid": bids[-1]["price"] if bids else "0",
                    "best_ask": asks[-1]["price"] if asks else "1",
                }
            )
        return changes

    def change(self, ms: int, *levels: tuple[str, str, str]) -> list[bytes]:
        """One frame per level of one batch: all carry the hash and tops of the batch's end."""
        for level in levels:
            self.set(*level)
        return [self.changed(ms, self.entries(ms, *level)) for level in levels]

    @staticmethod
    def changed(ms: int, entries: list[dict[str, str]]) -> bytes:
        frame = {"market": CONDITION, "price_changes": entries, "timestamp": str(ms)}
        # The venue writes these frames with spaces after its commas.
        return json.dumps(frame | {"event_type": "price_change"}).encode()

    @staticmethod
    def trade(ms: int, price: str, size: str, side: str, token: str = YES) -> bytes:
        frame = {"event_type": "last_trade_price", "market": CONDITION, "asset_id": token}
        frame |= {"price": price, "size": size, "side": side, "timestamp": str(ms)}
        return json.dumps(frame | {"fee_rate_bps": "0", "transaction_hash": "0xaa"}).encode()


@pytest.fixture(scope="session")
def channels() -> type[Channel]:
    """The venue's side itself, for tests that need many."""
    return Channel


@pytest.fixture(scope="session")
def fees() -> FeeSchedule:
    return FeeSchedule(taker_rate_ppm=70_000, exponent=1, rebate_rate_ppm=200_000)


@pytest.fixture
def channel() -> Channel:
    return Channel({"0.47": "50", "0.48": "300"}, {"0.53": "20.5", "0.52": "80"})


@pytest.fixture
def instrument(fees: FeeSchedule) -> Instrument:
    return binary(CONDITION, (YES, NO), tick="0.01", fees=fees, slug=SLUG)


@pytest.fixture
def core(instrument: Instrument) -> MarketFeedCore:
    core = MarketFeedCore(FeedCounts())
    core.watch(instrument, "0.01")
    return core


@pytest.fixture
def loaded(core: MarketFeedCore, channel: Channel) -> MarketFeedCore:
    """A core that has both tokens' snapshots of `channel`."""
    for token in (YES, NO):
        core.receive(channel.book(OPEN_MS, token), OPEN_MS * 1_000_000)
    return core


@pytest.fixture
def play() -> Callable[..., list[object]]:
    def receive(core: MarketFeedCore, *frames: bytes, at_ms: int = OPEN_MS) -> list[object]:
        return [event for frame in frames for event in core.receive(frame, at_ms * 1_000_000)]

    return receive
