"""The life of a market: listed, its strike proven, closed, resolved, forgotten."""

from __future__ import annotations

import msgspec

from engine.domain.events import (
    BookReplaced,
    Event,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    StrikeProven,
)
from engine.domain.instruments import Instrument, InstrumentId
from engine.domain.orders import CancelReason
from engine.errors import BadInput, BrokenInvariant
from engine.venues.demo.accounts import ExchangeMarket
from engine.venues.demo.order_entry import OrderEntry
from engine.venues.demo.timeline import TimelineEntry

MARKET_KEPT_NS = 3_600_000_000_000
"""How long a resolved market is remembered."""
MARKETS_MAX = 2_000
PAYOUTS_MICRO = (0, 500_000, 1_000_000)


class MarketLife:
    """Opens and ends markets at the timeline's present moment."""

    def __init__(self, desk: OrderEntry) -> None:
        self._desk = desk
        self._outbox = desk.outbox

    def market(self, instrument: InstrumentId) -> ExchangeMarket:
        """Return a market. Raises BadInput where there is none."""
        market = self._desk.markets.get(instrument)
        if market is None:
            raise BadInput(f"{instrument} is not listed on the demo exchange")
        return market

    def add(self, instrument: Instrument) -> None:
        """Open a market for trading. Raises BadInput where it cannot be one."""
        if instrument.id in self._desk.markets:
            raise BadInput(f"{instrument.id} is listed already")
        if len(self._desk.markets) >= MARKETS_MAX:
            raise BrokenInvariant(f"more than {MARKETS_MAX} markets on the demo exchange")
        market = self._desk.markets[instrument.id] = ExchangeMarket(instrument)
        self._outbox.publish(InstrumentListed(instrument=instrument))
        self._outbox.publish(self.snapshot(market))

    def snapshot(self, market: ExchangeMarket) -> BookReplaced:
        """Return a market's whole book."""
        bids, asks = market.book.depth()
        now_ns = self._desk.timeline.now_ns
        return BookReplaced(
            instrument=market.instrument.id, bids=bids, asks=asks, exchange_ns=now_ns
        )

    def opening(self) -> list[Event]:
        """Return what a newcomer must hear to know every market as it stands."""
        events: list[Event] = []
        for name, market in self._desk.markets.items():
            events.append(InstrumentListed(instrument=market.instrument))
            if market.proof:
                events.append(_strike(market))
            if market.accepting:
                events.append(self.snapshot(market))
            else:
                events.append(InstrumentClosed(instrument=name))
            if market.payout is not None:
                events.append(_resolved(market, market.payout))
        return events

    def prove_strike(self, instrument: InstrumentId, strike_e8: int, proof: str) -> None:
        """Set a market's strike, once, and say where it comes from."""
        market = self.market(instrument)
        if market.proof:
            raise BrokenInvariant(f"{instrument}: its strike is proven already")
        market.instrument = msgspec.structs.replace(market.instrument, strike_e8=strike_e8)
        market.proof = proof
        self._outbox.publish(_strike(market))

    def change_tick(self, instrument: InstrumentId, tick: int) -> None:
        """Change a market's grid; what rests off the new one is cancelled."""
        market = self.market(instrument)
        changed = msgspec.structs.replace(market.instrument, tick=tick)
        ExchangeMarket(changed)  # refuses a grid that could not be traded
        market.instrument = changed
        self._outbox.publish(InstrumentListed(instrument=changed))
        off = [order for order in market.book.resting() if order.level % tick]
        self._desk.withdraw(off, CancelReason.TICK_CHANGED)
        self._outbox.publish(self.snapshot(market))

    def close(self, instrument: InstrumentId) -> None:
        """End trading: every order of the market is cancelled, held ones too."""
        market = self.market(instrument)
        if not market.accepting:
            return
        market.accepting = False
        orders = [order for order in self._desk.orders.values() if order.instrument == instrument]
        self._desk.withdraw(orders, CancelReason.MARKET_CLOSED)
        self._outbox.publish(InstrumentClosed(instrument=instrument))

    def resolve(self, instrument: InstrumentId, payout_yes_micro: int, source: str) -> None:
        """Say what a market pays, and pay it: 1, 0 or 50-50, once."""
        market = self.market(instrument)
        if market.payout is not None or payout_yes_micro not in PAYOUTS_MICRO:
            raise BadInput(f"{instrument} cannot pay {payout_yes_micro} micro now")
        self.close(instrument)
        self._desk.clearing.pay(market, payout_yes_micro)
        self._outbox.publish(_resolved(market, payout_yes_micro, source))
        now_ns = self._desk.timeline.now_ns
        self._desk.timeline.set(now_ns + MARKET_KEPT_NS, TimelineEntry.FORGET, instrument)

    def forget(self, instrument: InstrumentId) -> None:
        """Drop a resolved market whose last transaction has ended; else try again later."""
        pending = self._desk.clearing.settlement.pending.values()
        if any(fill.instrument == instrument for item in pending for fill in item.fills):
            at_ns = self._desk.timeline.now_ns + MARKET_KEPT_NS
            self._desk.timeline.set(at_ns, TimelineEntry.FORGET, instrument)
            return
        ledger = self._desk.ledger
        if ledger.collateral.pop(instrument, 0):
            raise BrokenInvariant(f"{instrument} would be forgotten with collateral inside")
        for wallet in ledger.wallets.values():
            wallet.yes.pop(instrument, None)
            wallet.no.pop(instrument, None)
        del self._desk.markets[instrument]


def _strike(market: ExchangeMarket) -> StrikeProven:
    strike = market.instrument.strike_e8
    if strike is None:
        raise BrokenInvariant(f"{market.instrument.id}: a proof without a strike")
    return StrikeProven(instrument=market.instrument.id, strike_e8=strike, provenance=market.proof)


def _resolved(
    market: ExchangeMarket, payout_yes_micro: int, source: str = "demo"
) -> InstrumentResolved:
    return InstrumentResolved(
        instrument=market.instrument.id, payout_yes_micro=payout_yes_micro, source=source
    )
