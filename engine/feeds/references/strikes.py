"""The strike of an up/down market, proven by the oracle itself or not at all.

The 5- and 15-minute markets compare Chainlink's TWAP at the window's end with the one at its start:
30 s for 5 minutes, 60 s for 15 (since 2026-08-07). So the strike is the TWAP stamped with the very
start of the window. The hourly markets compare close and open of Binance's one-hour candle of the
USDT pair, so there it is the open of the candle that began with the window. Received = proven, with
where and when; not received = no strike and no reference quote: a price of our own making would be
a guess. What the 4-hour markets compare with which mean is not known: they have no strike.
"""

from __future__ import annotations

from engine.domain.events import Event, ReferencePriced, StrikeProven
from engine.domain.instruments import Instrument
from engine.feeds.references.sources import SECOND_NS

TWAP_S = {300: 30, 900: 60}
"""Length of the window → length of the mean, in seconds."""

OPEN_S = 3_600
"""Length of the window that begins with a candle's open."""
CANDLE = "binance.com/en/trade/"

ORACLE = "data.chain.link/streams/"
BOUNDARY_S = 300
"""Windows begin at multiples of this."""

POINTS_MAX = 2_000
MARKETS_MAX = 5_000


def twap_key(asset: str, seconds: int) -> str:
    """Return the reference key of an oracle's mean: `chainlink-twap30:btc/usd`."""
    return f"chainlink-twap{seconds}:{asset}/usd"


def open_key(asset: str) -> str:
    return f"binance-open1h:{asset}usdt"


def strike_key(instrument: Instrument, resolution_source: str) -> str:
    """Return whose price at the start is the strike; empty = this market's rule is not known.

    `resolution_source` is the venue's own word on what decides: another oracle is another rule.
    """
    asset = instrument.series.partition("-")[0]
    if not asset or instrument.starts_ns is None or instrument.closes_ns is None:
        return ""
    length_s = (instrument.closes_ns - instrument.starts_ns) // SECOND_NS
    if length_s == OPEN_S and resolution_source.endswith(f"{CANDLE}{asset.upper()}_USDT"):
        return open_key(asset)
    seconds = TWAP_S.get(length_s)
    if seconds is None or f"{ORACLE}{asset}-usd" not in resolution_source:
        return ""
    return twap_key(asset, seconds)


class Strikes:
    """Joins windows and the oracle's points at their starts."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, int], int] = {}
        """(key, boundary) → price: the newest `POINTS_MAX`."""
        self._waiting: dict[tuple[str, int], list[Instrument]] = {}
        self._waits = 0

    def watch(self, instrument: Instrument, resolution_source: str) -> list[Event]:
        """Prove a window's strike, now or when the point comes."""
        key = strike_key(instrument, resolution_source)
        if not key or instrument.starts_ns is None or self._waits >= MARKETS_MAX:
            return []
        place = (key, instrument.starts_ns)
        price = self._points.get(place)
        if price is not None:
            return [_proven(instrument, place, price)]
        self._waiting.setdefault(place, []).append(instrument)
        self._waits += 1
        return []

    def receive(self, event: ReferencePriced) -> list[Event]:
        stamp_ns = event.exchange_ns
        if stamp_ns is None or stamp_ns % (BOUNDARY_S * SECOND_NS):
            return []
        if not event.key.startswith(("chainlink-twap", "binance-open1h")):
            return []
        place = (event.key, stamp_ns)
        if place in self._points:
            return []
        self._points[place] = event.price_e8
        while len(self._points) > POINTS_MAX:
            self._points.pop(next(iter(self._points)))
        waiting = self._waiting.pop(place, [])
        self._waits -= len(waiting)
        self._expire(stamp_ns)
        return [_proven(instrument, place, event.price_e8) for instrument in waiting]

    def _expire(self, now_ns: int) -> None:
        """Give up windows whose start has passed ignored for a day."""
        old = [place for place in self._waiting if place[1] < now_ns - 86_400 * SECOND_NS]
        for place in old:
            self._waits -= len(self._waiting.pop(place))


def _proven(instrument: Instrument, place: tuple[str, int], price_e8: int) -> StrikeProven:
    key, at_ns = place
    return StrikeProven(
        instrument=instrument.id,
        strike_e8=price_e8,
        provenance=f"{key} stamped {at_ns // SECOND_NS} s, the start of the window",
    )
