"""The ledger: one account's cash and holdings in whole micro-units and increments.

Takes fills, their settlement, deposits, merges and resolutions; gives what is free, what is held
and what it is worth. A fill the venue reports is always booked, even where it breaks a rule: then
the rule comes back as an `Anomaly` and nothing is lost. What we ask for ourselves (a reservation)
is refused with `BrokenInvariant` where it would break one. Resolved is not paid: winners become
redeemable at what they pay, losers nothing; cash comes with the redemption alone. Identity, to the
micro-unit: cash settled + cash pending + redeemable + cost of holdings = deposits + rewards
and rebates + realised − fees (`check`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from engine.domain.events import BookMarked, CashKind, OrderFilled, PairsConverted, TokensRedeemed
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import Instrument, InstrumentId, Leg, Side
from engine.domain.orders import Order, OrderId
from engine.domain.products.binary import pays_micro
from engine.errors import BrokenInvariant
from engine.executor.fills import (
    FillBook,
    Holding,
    LegHolding,
    Reservation,
    Unsettled,
    cost_out,
    exit_value_micro,
    mid_value_micro,
    payouts,
    redeemed_tokens,
)

# -- The ledger's books: everything of it that must survive, and the identity they keep ------------


class Anomaly(StrEnum):
    """A rule that a booked fact breaks. Facts are kept; a person is told."""

    CASH_NEGATIVE = "cash_negative"
    OVERSOLD = "oversold"
    """More tokens left than were settled: the venue sold what we thought pending."""


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """What a fill or its settlement did. `changed` is False for news already known."""

    changed: bool
    anomalies: tuple[Anomaly, ...] = ()


NOTHING = Booked(changed=False)
DONE = Booked(changed=True)


class LedgerState(msgspec.Struct, kw_only=True):
    """Everything of a ledger that must survive."""

    currency: str
    cash_settled_micro: int = 0
    cash_pending_micro: int = 0
    cash_reserved_micro: int = 0
    redeemable_micro: int = 0
    """What tokens of resolved instruments are still to bring: equity, and nobody's to spend."""
    redeemed_micro: int = 0
    """What redemptions have paid since the account began."""
    deposits_micro: int = 0
    income_micro: dict[CashKind, int] = {}
    """Rewards and rebates: no trade realised them."""
    payments: dict[str, int] = {}
    """Those by the venue's names, with their times: the last thousand."""
    funded_ns: int = 0
    """When the first cash was booked: what was paid before is in it."""
    realised_micro: int = 0
    fees_micro: int = 0
    holdings: dict[InstrumentId, Holding] = {}
    reservations: dict[OrderId, Reservation] = {}
    fills: FillBook
    instruments: dict[InstrumentId, Instrument] = {}


def balance(state: LedgerState) -> None:
    """Raise BrokenInvariant where the books do not balance to the micro-unit."""
    cost = sum(h.yes.cost_micro + h.no.cost_micro for h in state.holdings.values())
    have = state.cash_settled_micro + state.cash_pending_micro + state.redeemable_micro + cost
    accounted = state.deposits_micro + sum(state.income_micro.values())
    accounted += state.realised_micro - state.fees_micro
    if have != accounted:
        raise BrokenInvariant(f"ledger holds {have} micro and accounts for {accounted}")
    reserved = sum(entry.cash_micro for entry in state.reservations.values())
    if reserved != state.cash_reserved_micro:
        raise BrokenInvariant(
            f"reserved cash is {state.cash_reserved_micro}, orders account for {reserved}"
        )


# -- The moves that keep the ledger's books balanced -----------------------------------------------
# Each changes both sides of an entry, so that the identity of `balance` holds after it. Nothing
# is decided here: which move is due is the ledger's and the fill machine's affair.

_BUY = Side.BUY


def take_fill(
    state: LedgerState, holding: Holding, order: Order, event: OrderFilled, *, settled: bool
) -> Unsettled:
    """Move cash and tokens of a new fill; return what reverses it while it is not settled."""
    size, fee = event.size, event.fee_micro
    entry = Unsettled(
        fill=event.fill, order=order.id, instrument=order.instrument, leg=order.leg,
        side=order.side, size=size, cash_micro=0, fee_micro=fee,
    )  # fmt: skip
    instrument = state.instruments[order.instrument]
    leg = holding.leg(order.leg)
    if order.side is _BUY:
        cost = entry.cash_micro = event.moved_micro(instrument, order.side)
        state.cash_settled_micro -= cost + fee
        if settled:
            leg.settled += size
            leg.cost_settled_micro += cost
        else:
            leg.pending += size
            leg.cost_pending_micro += cost
    else:
        proceeds = entry.cash_micro = event.moved_micro(instrument, order.side)
        entry.cost_settled_micro, entry.cost_pending_micro = cost_out(leg, size)
        _sell(state, leg, entry, settled=settled)
        realise(state, holding, proceeds - entry.cost_settled_micro - entry.cost_pending_micro)
    charge(state, holding, fee)
    return entry


def _sell(state: LedgerState, leg: LegHolding, entry: Unsettled, *, settled: bool) -> None:
    leg.settled -= entry.size
    leg.cost_settled_micro -= entry.cost_settled_micro
    leg.cost_pending_micro -= entry.cost_pending_micro
    if settled:
        state.cash_settled_micro += entry.cash_micro - entry.fee_micro
    else:
        state.cash_pending_micro += entry.cash_micro - entry.fee_micro
        leg.leaving += entry.size
        leg.cost_leaving_micro += entry.cost_settled_micro + entry.cost_pending_micro


def charge(state: LedgerState, holding: Holding, fee: int) -> None:
    """Note what fees took; a negative amount takes it back."""
    holding.fees_micro += fee
    state.fees_micro += fee


def realise(state: LedgerState, holding: Holding, amount: int) -> None:
    """Note a profit or loss before fees."""
    holding.realised_micro += amount
    state.realised_micro += amount


def settle(state: LedgerState, entry: Unsettled, holding: Holding) -> None:
    """Turn what a fill promised into money or tokens that may be used."""
    leg = holding.leg(entry.leg)
    moving = entry.payout_micro
    if entry.side is not _BUY:
        moving = entry.cash_micro - entry.fee_micro
        leg.leaving -= entry.size
        leg.cost_leaving_micro -= entry.cost_settled_micro + entry.cost_pending_micro
    if moving is not None:
        state.cash_pending_micro -= moving
        if entry.side is _BUY:
            await_redemption(state, holding, leg, entry.size, moving)
        else:
            state.cash_settled_micro += moving
        return
    leg.pending -= entry.size
    leg.settled += entry.size
    leg.cost_pending_micro -= entry.cash_micro
    leg.cost_settled_micro += entry.cash_micro


def void(state: LedgerState, entry: Unsettled, holding: Holding) -> None:
    """Undo a fill to the unit: cash, tokens, costs, fee and what it had realised."""
    leg = holding.leg(entry.leg)
    cash, fee = entry.cash_micro, entry.fee_micro
    charge(state, holding, -fee)
    if entry.side is not _BUY:
        state.cash_pending_micro -= cash - fee
        leg.leaving -= entry.size
        leg.cost_leaving_micro -= entry.cost_settled_micro + entry.cost_pending_micro
        leg.settled += entry.size
        leg.cost_settled_micro += entry.cost_settled_micro
        leg.cost_pending_micro += entry.cost_pending_micro
        realise(state, holding, entry.cost_settled_micro + entry.cost_pending_micro - cash)
        return
    state.cash_settled_micro += cash + fee
    if entry.payout_micro is None:
        leg.pending -= entry.size
        leg.cost_pending_micro -= cash
    else:
        state.cash_pending_micro -= entry.payout_micro
        realise(state, holding, cash - entry.payout_micro)


def tidy(state: LedgerState, holding: Holding) -> None:
    """Leave no cost without tokens: only a sale beyond the settled tokens can strand one."""
    for leg in (holding.yes, holding.no):
        if leg.cost_pending_micro and not leg.pending:
            leg.cost_settled_micro += leg.cost_pending_micro
            leg.cost_pending_micro = 0
        if leg.cost_settled_micro and not leg.settled and not leg.pending:
            realise(state, holding, -leg.cost_settled_micro)
            leg.cost_settled_micro = 0


def await_redemption(
    state: LedgerState, holding: Holding, leg: LegHolding, size: int, payout_micro: int
) -> None:
    """Note tokens that wait for their redemption, apart from those that pay nothing."""
    if payout_micro:
        leg.redeemable += size
        holding.redeemable_micro += payout_micro
        state.redeemable_micro += payout_micro
    else:
        leg.lost += size


def sweep(state: LedgerState, holding: Holding, payout_yes_micro: int) -> None:
    """Realise a resolved instrument: settled tokens await redemption, pending ones are promised."""
    unit = 10 ** state.instruments[holding.instrument].size_decimals
    for leg, payout in payouts(holding, payout_yes_micro):
        if leg.settled:
            worth = leg.settled * payout // unit
            await_redemption(state, holding, leg, leg.settled, worth)
            realise(state, holding, worth - leg.cost_settled_micro)
            leg.settled = leg.cost_settled_micro = 0
    for entry in state.fills.unsettled.values():
        if entry.side is _BUY and entry.instrument == holding.instrument:
            payout = pays_micro(entry.leg, payout_yes_micro)
            worth, before = entry.size * payout // unit, entry.payout_micro
            if before is None:
                leg = holding.leg(entry.leg)
                leg.pending -= entry.size
                leg.cost_pending_micro -= entry.cash_micro
            entry.payout_micro = worth
            state.cash_pending_micro += worth - (before or 0)
            realise(state, holding, worth - (entry.cash_micro if before is None else before))


def take_redemption(
    state: LedgerState, holding: Holding, payout_yes_micro: int, event: TokensRedeemed
) -> None:
    """Turn redeemed tokens into the cash the venue paid for them; rounding is realised."""
    expected, unit = 0, 10 ** state.instruments[holding.instrument].size_decimals
    taken = redeemed_tokens(holding, payout_yes_micro, event, unit)
    sides = zip(payouts(holding, payout_yes_micro), taken, (event.yes, event.no), strict=True)
    for (leg, payout), burned, told in sides:
        leg.burn(burned, told)
        expected += burned * payout // unit
    if not (holding.yes.redeemable or holding.no.redeemable):
        expected = holding.redeemable_micro  # whatever was rounded fill by fill ends here
    holding.redeemable_micro -= expected
    state.redeemable_micro -= expected
    state.redeemed_micro += event.amount_micro
    state.cash_settled_micro += event.amount_micro
    realise(state, holding, event.amount_micro - expected)


# -- The ledger: one account's cash and holdings in whole micro-units and increments ---------------

HOLDINGS_MAX = 20_000

_CONFIRMED, _FAILED = FillState.CONFIRMED, FillState.FAILED


class Ledger:
    """One account's money. Mutable, owned by the account's executor (law A)."""

    __slots__ = ("_held", "_redeemable", "state")

    def __init__(self, *, currency: str) -> None:
        self.state = LedgerState(currency=currency, fills=FillBook())
        self._held: dict[InstrumentId, Holding] = {}
        self._redeemable: dict[InstrumentId, Holding] = {}

    # -- what it knows -----------------------------------------------------------------------------

    @property
    def cash_free_micro(self) -> int:
        """Cash that may be committed: settled, minus what working buys may take."""
        return self.state.cash_settled_micro - self.state.cash_reserved_micro

    @property
    def held(self) -> Mapping[InstrumentId, Holding]:
        """Holdings that are not flat."""
        return self._held

    @property
    def redeemable(self) -> Mapping[InstrumentId, Holding]:
        """Holdings of resolved instruments whose winners have not been paid yet."""
        return self._redeemable

    def holding(self, instrument: InstrumentId) -> Holding:
        """Return what is held (read only); nothing where the instrument was never traded."""
        return self.state.holdings.get(instrument) or Holding(instrument=instrument)

    def listed(self, instrument: Instrument) -> None:
        """Learn an instrument's units, or its changed terms, before anything is booked in it."""
        self.state.instruments[instrument.id] = instrument

    # -- deposits and reservations -----------------------------------------------------------------

    def move_cash(self, amount_micro: int, kind: CashKind = CashKind.DEPOSIT) -> Booked:
        """Book a deposit (+), a withdrawal (−), a reward or a rebate."""
        state = self.state
        state.cash_settled_micro += amount_micro
        if kind is CashKind.DEPOSIT:
            state.deposits_micro += amount_micro
        else:
            state.income_micro[kind] = state.income_micro.get(kind, 0) + amount_micro
        return self._verdict(None)

    def take_in(self, key: InstrumentId, leg: Leg, size: int, cost_micro: int) -> Booked:
        """Book tokens that came without a trade here: a deposit of what they cost."""
        holding = self._own(key)
        own = holding.leg(leg)
        own.settled += size
        own.cost_settled_micro += cost_micro
        self.state.deposits_micro += cost_micro
        self._after(holding)
        return self._verdict(holding)

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
        old = self.state.reservations.pop(order.id, None)
        if old is not None:
            self.state.cash_reserved_micro -= old.cash_micro
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
            holding = holdings[instrument] = Holding(instrument=instrument)
        return holding

    # -- fills -------------------------------------------------------------------------------------

    def book(self, order: Order, event: OrderFilled, *, now_ns: int = 0) -> Booked:
        """Book a fill once; told again, it only moves on to the state told."""
        if event.fill in (state := self.state).fills.states:
            return self.advance(event.fill, event.state)
        if order.instrument not in state.instruments:
            raise BrokenInvariant(f"{order.instrument} has an order and was never listed")
        fill_state = state.fills.add(event.fill, order.id, event.state)
        if fill_state is _FAILED:
            return NOTHING
        holding = self._own(order.instrument)
        entry = take_fill(state, holding, order, event, settled=fill_state is _CONFIRMED)
        if fill_state is not _CONFIRMED:
            entry.at_ns = now_ns
            state.fills.unsettled[event.fill] = entry
        self._after(holding)
        return self._verdict(holding)

    def advance(self, fill: FillId, reported: FillState) -> Booked:
        """Move a fill's settlement on; settles or voids it once.

        News of a fill nobody has told yet waits for it. Raises InvalidTransition on a
        contradiction, with nothing changed.
        """
        moved = self.state.fills.move(fill, reported)
        if moved is None or moved[0] is moved[1]:
            return NOTHING
        if (after := moved[1]) is not _CONFIRMED and after is not _FAILED:
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
        self._sort(holding)

    def _sort(self, holding: Holding) -> None:
        key = holding.instrument
        for of, is_of in ((self._held, not holding.flat), (self._redeemable, holding.redeems)):
            if is_of:
                of[key] = holding
            else:
                of.pop(key, None)

    def _verdict(self, holding: Holding | None) -> Booked:
        negative = self.state.cash_settled_micro < 0
        oversold = holding is not None and (holding.yes.settled < 0 or holding.no.settled < 0)
        found = (Anomaly.CASH_NEGATIVE,) * negative + (Anomaly.OVERSOLD,) * oversold
        return Booked(changed=True, anomalies=found) if found else DONE

    # -- merging and resolution --------------------------------------------------------------------

    def set_aside(
        self, operation: int, instrument: InstrumentId, *, cash_micro: int = 0, pairs: int = 0
    ) -> None:
        """Keep what an operation of the wallet may take from everybody else until its end."""
        reservation = Reservation(instrument, None, cash_micro, pairs)
        self.state.reservations[OrderId(-operation)] = reservation
        self._tie(reservation, 1)

    def give_back(self, operation: int) -> None:
        """Free what was set aside for an operation; nothing where that was done already."""
        if reservation := self.state.reservations.pop(OrderId(-operation), None):
            self._tie(reservation, -1)

    def _tie(self, reservation: Reservation, sign: int) -> None:
        self.state.cash_reserved_micro += sign * reservation.cash_micro
        holding = self._own(reservation.instrument)
        for leg in (holding.yes, holding.no):
            leg.reserved += sign * reservation.tokens
            leg.aside += sign * reservation.tokens

    def convert(self, event: PairsConverted) -> Booked:
        """Book a split, its cost shared by both legs, or a merge: after the result, as redeemed.

        Whoever calls has not booked it before. More pairs than are held are booked all the same.
        """
        state, holding, size = self.state, self._own(event.instrument), event.size
        amount, cost = event.amount_micro, 0
        if holding.payout_yes_micro is not None and size < 0:
            return self.redeem(
                TokensRedeemed(
                    account=event.account, transaction=event.transaction, at_ns=event.at_ns,
                    instrument=event.instrument, yes=-size, no=-size, amount_micro=amount,
                )
            )  # fmt: skip
        for leg, half in ((holding.yes, amount // 2), (holding.no, amount - amount // 2)):
            settled, pending = (-half, 0) if size > 0 else cost_out(leg, -size)
            leg.settled += size
            leg.cost_settled_micro -= settled
            leg.cost_pending_micro -= pending
            cost += settled + pending
        brought = amount if size < 0 else -amount
        state.cash_settled_micro += brought
        realise(state, holding, brought - cost)
        self._after(holding)
        return self._verdict(holding)

    def resolve(self, instrument: InstrumentId, payout_yes_micro: int) -> None:
        """Take what an instrument pays: winners await their redemption, losers are worth nothing.

        Fills that come or settle later are treated likewise. A different payout holds for what was
        not paid yet, former losers too: held again, at no cost, what it now pays is all it brings.
        """
        holding = self._own(instrument)
        if holding.payout_yes_micro not in (None, payout_yes_micro):
            for leg in (holding.yes, holding.no):
                leg.reopen()
            realise(self.state, holding, -holding.redeemable_micro)
            self.state.redeemable_micro -= holding.redeemable_micro
            holding.redeemable_micro = 0
        holding.payout_yes_micro = payout_yes_micro
        self._after(holding)

    def redeem(self, event: TokensRedeemed) -> Booked:
        """Book a redemption of a resolved instrument. Whoever calls has not booked it before.

        More tokens than are redeemable here are booked all the same: their fills are still to be
        told. BrokenInvariant where nobody said what the instrument pays.
        """
        holding = self._own(event.instrument)
        if holding.payout_yes_micro is None:
            raise BrokenInvariant(f"{event.instrument} was redeemed and never resolved here")
        take_redemption(self.state, holding, holding.payout_yes_micro, event)
        self._after(holding)
        return self._verdict(holding)

    def forget(self, instrument: InstrumentId) -> bool:
        """Drop a flat, resolved or idle instrument's holding; False where it is still needed."""
        if (holding := self.state.holdings.get(instrument)) is None:
            return True
        if not holding.flat or holding.redeems or holding.yes.reserved or holding.no.reserved:
            return False
        if any(entry.instrument == instrument for entry in self.state.fills.unsettled.values()):
            return False
        if holding.yes.cost_micro or holding.no.cost_micro:
            raise BrokenInvariant(f"{instrument} is flat and still has costs")
        del self.state.holdings[instrument]
        return True

    # -- worth -------------------------------------------------------------------------------------

    @property
    def _sure_micro(self) -> int:
        """What no price changes any more: cash, and what is redeemable."""
        state = self.state
        return state.cash_settled_micro + state.cash_pending_micro + state.redeemable_micro

    def equity_micro(
        self, marks: Mapping[InstrumentId, BookMarked], *, now_ns: int, mark_age_ns_max: int
    ) -> int:
        """Return cash plus holdings at the side we would leave by: the risk's view."""
        value = self._sure_micro
        for key, holding in self._held.items():
            value += exit_value_micro(
                holding, self.state.instruments[key], marks.get(key), now_ns, mark_age_ns_max
            )
        return value

    def shown_equity_micro(self, marks: Mapping[InstrumentId, BookMarked]) -> int:
        """Return cash plus holdings at the last two-sided mid: for people, labelled so."""
        value = self._sure_micro
        for key, holding in self._held.items():
            value += mid_value_micro(holding, self.state.instruments[key], marks.get(key))
        return value

    # -- survival ----------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise BrokenInvariant where the books do not balance to the micro-unit."""
        balance(self.state)

    def restore(self, state: LedgerState) -> None:
        """Take back a state that was saved. Raises BrokenInvariant where it does not balance."""
        self.state = state
        self._held, self._redeemable = {}, {}
        for holding in state.holdings.values():
            self._sort(holding)
        self.check()
