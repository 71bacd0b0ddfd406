"""The ledger: one account's cash and holdings in whole micro-units and increments.

Takes fills, their settlement, deposits, merges and resolutions; gives what is free, what is held
and what it is worth. A fill the venue reports is always booked, even where it breaks a rule: then
the rule comes back as an `Anomaly` and nothing is lost. What we ask for ourselves (a reservation, a
merge) is refused with `BrokenInvariant` where it would break one. Identity, to the micro-unit:
cash settled + cash pending + cost of holdings = deposits + realised − fees (`check`).
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.events import BookMarked, OrderFilled
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import Instrument, InstrumentId, Side
from engine.domain.orders import Order
from engine.errors import BrokenInvariant
from engine.executor.fill_book import FillBook
from engine.executor.holdings import (
    Holding,
    empty_holding,
    exit_value_micro,
    mid_value_micro,
)
from engine.executor.ledger_moves import realise, settle, sweep, take_fill, tidy, void
from engine.executor.ledger_state import (
    DONE,
    NOTHING,
    Anomaly,
    Booked,
    LedgerState,
    Reservation,
    balance,
)

HOLDINGS_MAX = 20_000

_BUY = Side.BUY
_CONFIRMED = FillState.CONFIRMED
_FAILED = FillState.FAILED


class Ledger:
    """One account's money. Mutable, owned by the account's executor (law A)."""

    __slots__ = ("_held", "state")

    def __init__(self, *, currency: str) -> None:
        self.state = LedgerState(currency=currency, fills=FillBook())
        self._held: dict[InstrumentId, Holding] = {}

    # -- what it knows -----------------------------------------------------------------------------

    @property
    def cash_free_micro(self) -> int:
        """Cash that may be committed: settled, minus what working buys may take."""
        return self.state.cash_settled_micro - self.state.cash_reserved_micro

    @property
    def held(self) -> Mapping[InstrumentId, Holding]:
        """Holdings that are not flat."""
        return self._held

    def holding(self, instrument: InstrumentId) -> Holding:
        """Return what is held (read only); nothing where the instrument was never traded."""
        return self.state.holdings.get(instrument) or empty_holding(instrument)

    def listed(self, instrument: Instrument) -> None:
        """Learn an instrument's units, or its changed terms, before anything is booked in it."""
        self.state.instruments[instrument.id] = instrument

    # -- deposits and reservations -----------------------------------------------------------------

    def move_cash(self, amount_micro: int) -> Booked:
        """Book a deposit (+) or withdrawal (−)."""
        state = self.state
        state.cash_settled_micro += amount_micro
        state.deposits_micro += amount_micro
        return self._verdict(None)

    def commit(self, order: Order, remaining: int, *, forced: bool = False) -> None:
        """Reserve what `remaining` of a working order may take; 0 releases it (law G).

        A reservation that grows may not exceed what is free: BrokenInvariant. `forced` is for
        orders that exist whether we like it or not (found again after they were believed gone).
        """
        if remaining <= 0:
            self.release(order)
            return
        state = self.state
        if order.side is _BUY:
            instrument = state.instruments[order.instrument]
            tokens = 0
            cash = -(-order.price * remaining // instrument.value_divisor)
            if not order.post_only:
                cash += instrument.taker_fee_micro(order.price, remaining)
        else:
            cash, tokens = 0, remaining
        more_cash, more_tokens = cash, tokens
        old = state.reservations.get(order.id)
        if old is not None:
            more_cash -= old.cash_micro
            more_tokens -= old.tokens
        if not forced:
            self._must_be_free(order, more_cash, more_tokens)
        state.reservations[order.id] = Reservation(order.instrument, order.leg, cash, tokens)
        state.cash_reserved_micro += more_cash
        if more_tokens:
            self._own(order.instrument).leg(order.leg).reserved += more_tokens

    def reserve(self, order: Order) -> None:
        """Reserve what a new order may take. BrokenInvariant where that is not free."""
        if order.side is not _BUY or not order.post_only:
            self.commit(order, order.size)
            return
        state = self.state
        divisor = state.instruments[order.instrument].value_divisor
        cash = -(-order.price * order.size // divisor)
        if cash > state.cash_settled_micro - state.cash_reserved_micro:
            self._must_be_free(order, cash, 0)
        state.reservations[order.id] = Reservation(order.instrument, order.leg, cash, 0)
        state.cash_reserved_micro += cash

    def release(self, order: Order) -> None:
        """Give back all a working order reserved; nothing where it is given back already."""
        state = self.state
        old = state.reservations.pop(order.id, None)
        if old is not None:
            state.cash_reserved_micro -= old.cash_micro
            if old.tokens:
                self._own(order.instrument).leg(order.leg).reserved -= old.tokens

    def _must_be_free(self, order: Order, more_cash: int, more_tokens: int) -> None:
        free = self.state.cash_settled_micro - self.state.cash_reserved_micro
        if more_cash > 0 and more_cash > free:
            raise BrokenInvariant(f"order {order.id} needs {more_cash} micro, {free} are free")
        if more_tokens > 0:
            leg = self.holding(order.instrument).leg(order.leg)
            if more_tokens > leg.settled - leg.reserved:
                raise BrokenInvariant(
                    f"order {order.id} sells {more_tokens}, settled {leg.settled}, "
                    f"reserved {leg.reserved}"
                )

    def _own(self, instrument: InstrumentId) -> Holding:
        holdings = self.state.holdings
        holding = holdings.get(instrument)
        if holding is None:
            if len(holdings) >= HOLDINGS_MAX:
                raise BrokenInvariant(f"more than {HOLDINGS_MAX} holdings: forget resolved ones")
            holding = holdings[instrument] = empty_holding(instrument)
        return holding

    # -- fills -------------------------------------------------------------------------------------

    def book(self, order: Order, event: OrderFilled, *, now_ns: int = 0) -> Booked:
        """Book a fill once; told again, it only moves on to the state told."""
        state = self.state
        if event.fill in state.fills.states:
            return self.advance(event.fill, event.state)
        if order.instrument not in state.instruments:
            raise BrokenInvariant(f"{order.instrument} has an order and was never listed")
        stands = state.fills.first(event.fill, order.id, event.state)
        if stands is _FAILED:
            return NOTHING
        holding = self._own(order.instrument)
        entry = take_fill(state, holding, order, event, settled=stands is _CONFIRMED)
        if stands is not _CONFIRMED:
            entry.at_ns = now_ns
            state.fills.unsettled[event.fill] = entry
        self._after(holding)
        return self._verdict(holding)

    def advance(self, fill: FillId, told: FillState) -> Booked:
        """Move a fill's settlement on; settles or voids it once.

        News of a fill nobody has told yet waits for it. Raises InvalidTransition on a
        contradiction, with nothing changed.
        """
        moved = self.state.fills.tell(fill, told)
        if moved is None or moved[0] is moved[1]:
            return NOTHING
        after = moved[1]
        if after is not _CONFIRMED and after is not _FAILED:
            return DONE
        entry = self.state.fills.unsettled.pop(fill)
        holding = self._own(entry.instrument)
        if after is _CONFIRMED:
            settle(self.state, entry, holding)
        else:
            void(self.state, entry, holding)
        self._after(holding)
        return self._verdict(holding)

    def _after(self, holding: Holding) -> None:
        """Tidy what a change left: stray costs, resolved tokens, the list of what is held."""
        tidy(self.state, holding)
        if holding.payout_yes_micro is not None:
            sweep(self.state, holding, holding.payout_yes_micro)
        if holding.flat:
            self._held.pop(holding.instrument, None)
        else:
            self._held[holding.instrument] = holding

    def _verdict(self, holding: Holding | None) -> Booked:
        negative = self.state.cash_settled_micro < 0
        oversold = holding is not None and (holding.yes.settled < 0 or holding.no.settled < 0)
        if not negative and not oversold:
            return DONE
        found = ([Anomaly.CASH_NEGATIVE] if negative else []) + (
            [Anomaly.OVERSOLD] if oversold else []
        )
        return Booked(changed=True, anomalies=tuple(found))

    # -- merging and resolution --------------------------------------------------------------------

    def merge(self, instrument: InstrumentId, size: int) -> None:
        """Turn settled, unreserved YES + NO pairs into cash at 1.0 each."""
        holding = self._own(instrument)
        pairs = min(leg.settled - leg.reserved for leg in (holding.yes, holding.no))
        if size <= 0 or size > pairs:
            raise BrokenInvariant(f"{instrument}: cannot merge {size}, {pairs} pairs are free")
        terms = self.state.instruments[instrument]
        cost = 0
        for leg in (holding.yes, holding.no):
            out = leg.cost_settled_micro * size // leg.settled
            leg.settled -= size
            leg.cost_settled_micro -= out
            cost += out
        brought = terms.proceeds_micro(terms.one, size)
        self.state.cash_settled_micro += brought
        realise(self.state, holding, brought - cost)
        self._after(holding)

    def resolve(self, instrument: InstrumentId, payout_yes_micro: int) -> None:
        """Turn all tokens into cash: settled ones at once, pending ones into pending cash.

        Told twice it changes nothing; a different payout raises BrokenInvariant. Fills that come
        later are turned into cash as they are booked.
        """
        holding = self._own(instrument)
        before = holding.payout_yes_micro
        if before is not None and before != payout_yes_micro:
            raise BrokenInvariant(f"{instrument} paid {before} and is told {payout_yes_micro}")
        holding.payout_yes_micro = payout_yes_micro
        self._after(holding)

    def forget(self, instrument: InstrumentId) -> bool:
        """Drop a flat, resolved or idle instrument's holding; False where it is still needed."""
        holding = self.state.holdings.get(instrument)
        if holding is None:
            return True
        if not holding.flat or holding.yes.reserved or holding.no.reserved:
            return False
        if any(entry.instrument == instrument for entry in self.state.fills.unsettled.values()):
            return False
        if holding.yes.cost_micro or holding.no.cost_micro:
            raise BrokenInvariant(f"{instrument} is flat and still has costs")
        del self.state.holdings[instrument]
        return True

    # -- worth -------------------------------------------------------------------------------------

    def equity_micro(
        self, marks: Mapping[InstrumentId, BookMarked], *, now_ns: int, mark_age_ns_max: int
    ) -> int:
        """Return cash plus holdings at the side we would leave by: the risk's view."""
        state = self.state
        value = state.cash_settled_micro + state.cash_pending_micro
        for key, holding in self._held.items():
            value += exit_value_micro(
                holding, state.instruments[key], marks.get(key), now_ns, mark_age_ns_max
            )
        return value

    def shown_equity_micro(self, marks: Mapping[InstrumentId, BookMarked]) -> int:
        """Return cash plus holdings at the last two-sided mid: for people, labelled so."""
        state = self.state
        value = state.cash_settled_micro + state.cash_pending_micro
        for key, holding in self._held.items():
            value += mid_value_micro(holding, state.instruments[key], marks.get(key))
        return value

    # -- survival ----------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise BrokenInvariant where the books do not balance to the micro-unit."""
        balance(self.state)

    def restore(self, state: LedgerState) -> None:
        """Take back a state that was saved. Raises BrokenInvariant where it does not balance."""
        self.state = state
        self._held = {key: held for key, held in state.holdings.items() if not held.flat}
        self.check()
