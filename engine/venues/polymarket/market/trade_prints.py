"""`last_trade_price` messages → TradePrinted in YES-space, each match once."""

from __future__ import annotations

from collections import deque

from engine.domain.events import Event, TradePrinted
from engine.domain.instruments import InstrumentId, Side
from engine.feeds.bad_frame import BadFrame
from engine.feeds.counts import FeedCounts
from engine.venues.polymarket.market.book_hash import PRICE_STEPS, price_text
from engine.venues.polymarket.market.frames import LastTradeMessage
from engine.venues.polymarket.market.level_map import price_units
from engine.venues.polymarket.market.numbers import ONE, SIZE_DECIMALS, units

RECENT_MAX = 256
"""Prints remembered to recognise the other token's echo of the same match."""

_THOUSANDTH = ONE // PRICE_STEPS


class TradePrints:
    """Tells trades; drops the echo that the channel may send for the complementary token."""

    def __init__(self, counts: FeedCounts) -> None:
        self._counts = counts
        self._recent: deque[tuple[object, ...]] = deque(maxlen=RECENT_MAX)

    def read(
        self, message: LastTradeMessage, instrument: InstrumentId, *, mirrored: bool
    ) -> list[Event]:
        """Return the trade, in YES-space; `side` is the taker's. Raises BadFrame."""
        price = price_units(message.price)
        size = units(message.size, SIZE_DECIMALS, "size")
        if size == 0:
            raise BadFrame("size zero")
        if message.side not in {"BUY", "SELL"}:
            raise BadFrame("unknown side", message.side)
        buys = (message.side == "BUY") is not mirrored
        price = ONE - price if mirrored else price
        key = (instrument, message.timestamp, message.transaction_hash, price, size, buys)
        echo = (*key, not mirrored)
        if echo in self._recent:
            self._recent.remove(echo)
            self._counts.mirrored += 1
            return []
        self._recent.append((*key, mirrored))
        return [
            TradePrinted(
                instrument=instrument,
                price=price,
                size=size,
                aggressor=Side.BUY if buys else Side.SELL,
                exchange_ns=units(message.timestamp, 0, "timestamp") * 1_000_000,
            )
        ]

    @staticmethod
    def last_price(message: LastTradeMessage) -> str | None:
        """Return the price as book hashes write it; None where it has more than 3 decimals."""
        price = price_units(message.price)
        if price % _THOUSANDTH:
            return None
        return price_text(price // _THOUSANDTH)
