"""What an engine was told, folded naively from its journal: the judges' own idea of its knowledge.

Written without the executor's code: a dictionary of orders, one of fills, sums over them. It may be
slow and simple; it is rebuilt from the journal whenever an engine starts anew.
"""

from __future__ import annotations

from typing import Any

from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    CashMoved,
    FillAdvanced,
    FillSettled,
    FillsListed,
    FillVoided,
    HealthChanged,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    LatchReleased,
    LatchSet,
    ModeChanged,
    OpenOrdersListed,
    OrderFilled,
    ScopeLatched,
    ScopeReleased,
    VenueMode,
)
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import BotId, Instrument, InstrumentId, Leg, Side
from engine.domain.orders import Order, OrderId

ENDS = (FillState.CONFIRMED, FillState.FAILED)
Token = tuple[InstrumentId, Leg]


class KnownFacts:
    """One account's knowledge by its journal."""

    def __init__(self) -> None:
        self.orders: dict[OrderId, Order] = {}
        self.fills: dict[FillId, OrderFilled] = {}
        self.states: dict[FillId, FillState] = {}
        self.instruments: dict[InstrumentId, Instrument] = {}
        self.payouts: dict[InstrumentId, int] = {}
        self.closed: set[InstrumentId] = set()
        self.filled: dict[OrderId, int] = {}
        self._by_instrument: dict[InstrumentId, list[FillId]] = {}
        self.deposits = 0
        self.latched = False
        self.holds: set[tuple[BotId | None, InstrumentId | None]] = set()
        """KILLs of a part: a bot, an instrument, or the whole account."""
        # What a start forgets:
        self.unwell: dict[str, str] = {}
        self.mode = VenueMode.OPEN
        self.listings = 0
        self.fill_listings = 0

    def born(self) -> None:
        """Begin a life: health, mode and what was asked are not remembered."""
        self.unwell, self.mode = {}, VenueMode.OPEN
        self.listings = self.fill_listings = 0

    def take(self, message: Any) -> None:
        """Take one record of the journal."""
        match message:
            case OrderFilled():
                self._fill(message)
            case FillsListed(fills=fills):
                self.fill_listings += 1
                for fill in fills:
                    self._fill(fill)
            case FillSettled(fill=fill):
                self._advance(fill, FillState.CONFIRMED)
            case FillVoided(fill=fill):
                self._advance(fill, FillState.FAILED)
            case FillAdvanced(fill=fill, state=state):
                self._advance(fill, state)
            case PlaceOrder(order=order):
                self.orders[order.id] = order
            case OpenOrdersListed():
                self.listings += 1
            case _:
                self._house(message)

    def _house(self, message: Any) -> None:
        match message:
            case HealthChanged(healthy=True, source=source):
                self.unwell.pop(source, None)
            case HealthChanged(source=source, reason=reason):
                self.unwell[source] = reason
            case LatchSet():
                self.latched = True
            case LatchReleased():
                self.latched = False
            case ModeChanged(mode=mode):
                self.mode = mode
            case ScopeLatched(bot=bot, instrument=key):
                self.holds.add((bot, key))
            case ScopeReleased(bot=bot, instrument=key):
                self.holds.discard((bot, key))
            case CashMoved(amount_micro=amount):
                self.deposits += amount
            case InstrumentListed(instrument=instrument):
                self.instruments[instrument.id] = instrument
            case InstrumentClosed(instrument=key):
                self.closed.add(key)
            case InstrumentResolved(instrument=key, payout_yes_micro=payout):
                self.payouts.setdefault(key, payout)
                self.closed.add(key)
            case _:
                pass

    def _fill(self, fill: OrderFilled) -> None:
        if fill.fill not in self.fills:
            self.fills[fill.fill] = fill
            self.filled[fill.order] = self.filled.get(fill.order, 0) + fill.size
            order = self.orders.get(fill.order)
            if order is not None:
                self._by_instrument.setdefault(order.instrument, []).append(fill.fill)
        self._advance(fill.fill, fill.state)

    def _advance(self, fill: FillId, state: FillState) -> None:
        if self.states.get(fill) not in ENDS:
            self.states[fill] = state

    # -- sums --------------------------------------------------------------------------------------

    def standing(self, key: InstrumentId) -> list[tuple[Order, OrderFilled, FillState]]:
        """Return every fill of an instrument that was told and is not void, with its order."""
        states, orders, fills = self.states, self.orders, self.fills
        return [
            (orders[fills[name].order], fills[name], states[name])
            for name in self._by_instrument.get(key, ())
            if states[name] is not FillState.FAILED
        ]

    def tokens(self, key: InstrumentId, leg: Leg) -> tuple[int, int]:
        """Return (settled, pending) tokens: what is sold is gone at once."""
        settled = pending = 0
        for order, fill, state in self.standing(key):
            if order.leg is not leg:
                continue
            if order.side is Side.SELL:
                settled -= fill.size
            elif state is FillState.CONFIRMED:
                settled += fill.size
            else:
                pending += fill.size
        return settled, pending

    def position(self, key: InstrumentId) -> int:
        """Return YES − NO, pending included."""
        return sum(self.tokens(key, Leg.YES)) - sum(self.tokens(key, Leg.NO))

    def holdings(self) -> dict[Token, int]:
        """Return all tokens of what has not been paid out, settled and pending."""
        held = {
            (key, leg): sum(self.tokens(key, leg))
            for key in self._by_instrument
            for leg in (Leg.YES, Leg.NO)
            if key not in self.payouts
        }
        return {place: size for place, size in held.items() if size}

    def cash(self, *, promised: bool = True) -> int:
        """Return cash in micro-units, payouts included; `promised` False = only what is settled."""
        cash = self.deposits
        for key in self._by_instrument:
            terms = self.instruments[key]
            for order, fill, state in self.standing(key):
                value = fill.price * fill.size // terms.value_divisor
                if order.side is Side.BUY:
                    cash -= value + fill.fee_micro
                elif promised or state is FillState.CONFIRMED:
                    cash += value - fill.fee_micro
            if key in self.payouts:
                unit, yes = 10**terms.size_decimals, self.payouts[key]
                for leg, pays in ((Leg.YES, yes), (Leg.NO, 1_000_000 - yes)):
                    settled, pending = self.tokens(key, leg)
                    cash += (settled + (pending if promised else 0)) * pays // unit
        return cash
