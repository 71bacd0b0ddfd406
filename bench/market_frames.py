"""Frames of Polymarket's market channel made by seed: true hashes, true tops, on a file.

Each market has the depth of the recorded five-minute markets, 98 levels on a grid of a cent. Of a
hundred moments, 93 change one level, five change two or three at once (frames of one timestamp and
hash), one moves the touch, and one is a trade: its print, the change, the new tops and both books.
The file holds WebSocket frames ready to be sent, so that sending them costs the sender little.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha1
from pathlib import Path
from random import Random

from engine.domain.instruments import Leg
from tests.fakes.polymarket.listing import Listed, identify
from tests.fakes.polymarket.settings import Settings

CENTS = 100
CENT = 100
"""In increments of a price."""

MID_MIN, MID_MAX = 30, 70
FRAMES_PER_MS = 20
DAY_NS = 86_400 * 1_000_000_000
LEGS = (Leg.YES, Leg.NO)
SEED = Settings().seed
"""Ids are the same ones the fake venue gives its markets."""

OFFSET = "Q"
"""Type of the offsets beside the frames."""


def listed(count: int, now_ns: int) -> list[Listed]:
    """Return markets that trade for a day."""
    return [
        identify(Listed(slug=f"bench-{number}", last="0.500", end_ns=now_ns + DAY_NS), SEED, number)
        for number in range(count)
    ]


class MovingMarket:
    """One market's book on a grid of cents, and the frames its life makes."""

    def __init__(self, market: Listed, rng: Random) -> None:
        self.market = market
        self._rng = rng
        self.last = market.last
        self.bid = 50 + rng.randint(-10, 10)
        """The best bid in cents; the best ask is one or two above."""
        self.ask = self.bid + 1
        sizes = {cent: self._size() for cent in range(1, CENTS)}
        self.levels = (
            [(cent * CENT, _micro(sizes[cent])) for cent in range(1, self.bid + 1)],
            [(cent * CENT, _micro(sizes[cent])) for cent in range(self.ask, CENTS)],
        )
        """(bids, asks) it begins with, in the instrument's increments."""
        self._texts: dict[tuple[Leg, bool], list[str]] = {}
        for leg in LEGS:
            for buys in (True, False):
                self._texts[leg, buys] = [""] * (CENTS + 1)
        for cent in range(1, CENTS):
            self._set(cent, buys=cent <= self.bid, size=sizes[cent])

    def _size(self) -> str:
        return f"{self._rng.randint(500, 2_000_000) / 100:.2f}".rstrip("0").rstrip(".")

    def _set(self, cent: int, *, buys: bool, size: str) -> None:
        """Write a level into both tokens' texts; an empty size removes it."""
        for leg, price in ((Leg.YES, cent), (Leg.NO, CENTS - cent)):
            side = self._texts[leg, buys is (leg is Leg.YES)]
            at = price if buys is (leg is Leg.YES) else CENTS - price  # asks stand descending
            side[at] = f'{{"price":"{_price(price)}","size":"{size}"}}' if size else ""

    def sides(self, leg: Leg) -> tuple[str, str]:
        """Return a token's (bids, asks) as the venue writes them."""
        bids, asks = self._texts[leg, True], self._texts[leg, False]
        return f"[{','.join(filter(None, bids))}]", f"[{','.join(filter(None, asks))}]"

    def hash(self, leg: Leg, stamp: str) -> str:
        """Return the hash of a token's book."""
        bids, asks = self.sides(leg)
        market = self.market
        text = (
            f'{{"market":"{market.condition}","asset_id":"{market.token(leg)}","timestamp":'
            f'"{stamp}","hash":"","bids":{bids},"asks":{asks},"min_order_size":"5",'
            f'"tick_size":"0.01","neg_risk":false,"last_trade_price":"{self.last}"}}'
        )
        return sha1(text.encode()).hexdigest()

    def tops(self, leg: Leg) -> tuple[str, str]:
        """Return a token's best bid and ask."""
        if leg is Leg.YES:
            return _price(self.bid), _price(self.ask)
        return _price(CENTS - self.ask), _price(CENTS - self.bid)

    # -- frames ------------------------------------------------------------------------------------

    def book(self, leg: Leg, stamp: str, *, full: bool) -> str:
        """Return a `book` frame; `full` as after a subscription."""
        bids, asks = self.sides(leg)
        market = self.market
        end = f',"tick_size":"0.01","last_trade_price":"{self.last}"' if full else ""
        return (
            f'{{"market":"{market.condition}","asset_id":"{market.token(leg)}","timestamp":'
            f'"{stamp}","hash":"{self.hash(leg, stamp)}","bids":{bids},"asks":{asks}{end},'
            '"event_type":"book"}'
        )

    def moment(self, stamp: str) -> list[str]:
        """Let one thing happen; return its frames."""
        draw = self._rng.random()
        if draw < 0.93:
            return self._batch([self._resize()], stamp)
        if draw < 0.98:
            levels = {level[:2]: level for level in (self._resize() for _ in range(3))}
            return self._batch(list(levels.values()), stamp)
        if draw < 0.99:
            return self._batch([self._move()], stamp)
        return self._trade(stamp)

    def _resize(self) -> tuple[int, bool, str]:
        away = min(int(self._rng.expovariate(0.2)), 25)
        buys = self._rng.random() < 0.5
        return (self.bid - away if buys else self.ask + away), buys, self._size()

    def _move(self) -> tuple[int, bool, str]:
        """Widen the spread by taking a touch away, or close it again from either side."""
        if self.ask - self.bid > 1:
            buys = self.bid + 1 <= MID_MAX and (self.bid < MID_MIN or self._rng.random() < 0.5)
            cent = self.bid + 1 if buys else self.ask - 1
            self.bid, self.ask = (cent, self.ask) if buys else (self.bid, cent)
            return cent, buys, self._size()
        buys = self._rng.random() < 0.5
        cent = self.bid if buys else self.ask
        self.bid, self.ask = (self.bid - 1, self.ask) if buys else (self.bid, self.ask + 1)
        return cent, buys, ""

    def _batch(self, levels: list[tuple[int, bool, str]], stamp: str) -> list[str]:
        for cent, buys, size in levels:
            self._set(cent, buys=buys, size=size)
        ends = {leg: (self.hash(leg, stamp), *self.tops(leg)) for leg in LEGS}
        return [self._changed(level, ends, stamp) for level in levels]

    def _changed(
        self, level: tuple[int, bool, str], ends: dict[Leg, tuple[str, str, str]], stamp: str
    ) -> str:
        cent, buys, size = level
        entries = []
        for leg in LEGS:
            end = ends[leg]
            side = "BUY" if buys is (leg is Leg.YES) else "SELL"
            price = _price(cent if leg is Leg.YES else CENTS - cent)
            entries.append(
                f'{{"asset_id": "{self.market.token(leg)}", "price": "{price}", "size": '
                f'"{size or 0}", "side": "{side}", "hash": "{end[0]}", "best_bid": "{end[1]}", '
                f'"best_ask": "{end[2]}"}}'
            )
        return (
            f'{{"market": "{self.market.condition}", "price_changes": [{", ".join(entries)}], '
            f'"timestamp": "{stamp}", "event_type": "price_change"}}'
        )

    def _trade(self, stamp: str) -> list[str]:
        """Take a part of a touch: its print, the change, both books."""
        buys = self._rng.random() < 0.5
        cent = self.ask if buys else self.bid
        self.last = f"{cent / CENTS:.3f}"
        market = self.market
        printed = (
            f'{{"market":"{market.condition}","asset_id":"{market.token(Leg.YES)}","price":'
            f'"{_price(cent)}","size":"{self._size()}","fee_rate_bps":"0","side":'
            f'"{"BUY" if buys else "SELL"}","timestamp":"{stamp}","event_type":'
            f'"last_trade_price","transaction_hash":"0x{self._rng.getrandbits(256):064x}"}}'
        )
        changed = self._batch([(cent, not buys, self._size())], stamp)
        return [printed, *changed, *(self.book(leg, stamp, full=False) for leg in LEGS)]


def _micro(size: str) -> int:
    return int(Decimal(size) * 1_000_000)


def _price(cents: int) -> str:
    return f"0.{cents:02d}".removesuffix("0")


def frames(markets: list[MovingMarket], count: int, begin_ms: int) -> Iterator[str]:
    """Give the first books and then `count` frames or a few more; markets take turns."""
    for market in markets:
        for leg in LEGS:
            yield market.book(leg, str(begin_ms), full=True)
    made = turn = 0
    while made < count:
        stamp = str(begin_ms + 1 + made // FRAMES_PER_MS)
        for frame in markets[turn % len(markets)].moment(stamp):
            yield frame
            made += 1
        turn += 1


def write(path: Path, markets: list[MovingMarket], count: int, begin_ms: int) -> int:
    """Write frames ready for a socket, and `path`.offsets beside it; return how many there are."""
    offsets = array(OFFSET, [0])
    at = 0
    with path.open("wb") as file:
        for text in frames(markets, count, begin_ms):
            payload = text.encode()
            size = len(payload)
            head = struct.pack("!BBH", 0x81, 126, size) if size > 125 else bytes((0x81, size))
            at += file.write(head + payload)
            offsets.append(at)
    path.with_suffix(".offsets").write_bytes(offsets.tobytes())
    return len(offsets) - 1
