"""The ledger: one account's cash and holdings in whole micro-units and increments.

Takes fills, their settlement, deposits, merges and resolutions; gives what is free, what is held
and what it is worth. A fill the venue reports is always booked, even where it breaks a rule: then
the rule comes back as an `Anomaly` and nothing is lost. What we ask for ourselves (a reservation)
is refused with `BrokenInvariant` where it would break one. Resolved is not paid: winners become
redeemable at what they pay, losers nothing; cash comes with the redemption alone. Identity, to the
micro-unit: cash settled + cash pending + redeemable + cost of holdings = deposits + rewards,
rebates and funding + realised − fees (`check`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from msgspec import UNSET

from engine.domain.assets import DECIMALS_MAX
from engine.domain.commands import MANUAL
from engine.domain.events import (
    BookMarked,
    CashKind,
    HoldingTransferred,
    OrderFilled,
    PairsConverted,
    TokensRedeemed,
)
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import UNASSIGNED, BotId, Instrument, InstrumentId, Leg, Side
from engine.domain.orders import Order, OrderId
from engine.domain.owners import HoldersPast, shares, taken_first
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated
from engine.domain.products.funding import nominal_stamp
from engine.errors import BrokenInvariant
from engine.executor.fills import (
    FillBook,
    Holding,
    Reservation,
    cost_out,
    exit_value_micro,
    mid_value_micro,
    opened_micro,
    unmarked,
)
from engine.executor.owners import balance, net_surplus, redemption_shares, summed
from engine.executor.settlement import (
    DONE,
    NOTHING,
    Anomaly,
    Booked,
    LedgerState,
    commit_signed,
    convert_leg,
    facts_of,
    give_signed,
    positions,
    realise,
    repay,
    settle,
    sweep,
    take_fill,
    take_in_signed,
    take_liquidation,
    take_redemption,
    tidy,
    totals_of,
    void,
)

__all__ = ["Anomaly", "Booked", "Ledger", "LedgerState"]

_BUY, _BASE = Side.BUY, Leg.BASE

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
        """Return what the account holds (read only); nothing where it was never traded."""
        return self.state.holdings.get(instrument) or Holding(instrument=instrument)

    def owned(self, instrument: InstrumentId, owner: BotId) -> Holding:
        """Return what one owner holds of an instrument (read only)."""
        holders = self.state.owned.get(instrument)
        held = None if holders is None else holders.get(owner)
        return held or Holding(instrument=instrument, owner=owner)

    def holders(self, instrument: InstrumentId) -> Mapping[BotId, Holding]:
        """Return what each owner holds of an instrument, or made in it (read only)."""
        return self.state.owned.get(instrument, {})

    def of_owners(self) -> Iterable[Holding]:
        """Give every owner's holding of every instrument (read only)."""
        for holders in self.state.owned.values():
            yield from holders.values()

    def listed(self, instrument: Instrument) -> None:
        """Learn an instrument's units, or its changed terms, before anything is booked in it."""
        self.state.instruments[instrument.id] = instrument

    # -- deposits and reservations -----------------------------------------------------------------

    def move_cash(
        self,
        amount_micro: int,
        kind: CashKind = CashKind.DEPOSIT,
        earned: Mapping[BotId, int] | None = None,
    ) -> Booked:
        """Book a deposit (+), a withdrawal (−), a reward or a rebate.

        `earned` = by what weights the owners share a reward or a rebate; unassigned where none is.
        """
        state = self.state
        state.cash_settled_micro += amount_micro
        if kind is CashKind.DEPOSIT:
            state.deposits_micro += amount_micro
        else:
            weights = dict(sorted((earned or {UNASSIGNED: 1}).items()))
            parts = shares(amount_micro, list(weights.values()))
            self._earn(kind, zip(weights, parts, strict=True))
        return self._verdict(None)

    def fund(self, event: FundingPaid) -> Booked:
        """Book funding that came (+) or was paid (−), shared by what was held at its stamp."""
        key = event.instrument
        self.state.cash_settled_micro += event.amount_micro
        held: Mapping[BotId, int] = positions(self.state, key)
        terms = self.state.instruments.get(key)
        contract = None if terms is None else terms.contract
        past = self.state.past.setdefault(key, HoldersPast())
        by_fills = facts_of(self.state, key).held_at(nominal_stamp(event.stamp_ns), held)
        self._earn(CashKind.FUNDING, past.share(held, event, contract, by_fills))
        return self._verdict(None)

    def liquidate(self, event: PositionLiquidated, *, now_ns: int = 0) -> Booked:
        """Book what the venue closed, pro rata of the owners in its direction, and its fee."""
        own = partial(self._own, event.instrument)
        for holding in take_liquidation(self.state, event, own, now_ns):
            self._after(holding)
        return self._verdict(None)

    def _earn(self, kind: CashKind, parts: Iterable[tuple[BotId, int]]) -> None:
        """Count income of owners, and with theirs the account's."""
        state = self.state
        for owner, part in parts:
            for income in (state.income_micro, totals_of(state, owner).income_micro):
                income[kind] = income.get(kind, 0) + part

    def take_in(
        self,
        key: InstrumentId,
        leg: Leg,
        size: int,
        cost_micro: int,
        owner: BotId = UNASSIGNED,
        *,
        now_ns: int = 0,
    ) -> Booked:
        """Book tokens that came to an owner without a trade here: a deposit of what they cost."""
        holding = self._own(key, owner)
        own = holding.leg(leg)
        if self.state.instruments[key].product.signed:
            take_in_signed(self.state, holding, size, cost_micro, now_ns)
        else:
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
        old = state.reservations.get(order.id)
        instrument = state.instruments[order.instrument]
        if instrument.product.signed:
            free = None if forced else state.cash_settled_micro - state.cash_reserved_micro
            commit_signed(state, self.owned(order.instrument, order.bot), order, remaining, free)
            if order.instrument in state.owned:
                self._sum(order.instrument)
            return
        if order.side is _BUY:
            tokens = 0
            cash = -(-order.price * remaining // instrument.value_divisor)
            if not order.post_only:
                cash += instrument.taker_fee_micro(order.price, remaining)
        else:
            cash, tokens = 0, remaining
        more_cash, more_tokens = cash, tokens
        if old is not None:
            more_cash -= old.cash_micro
            more_tokens -= old.tokens
        if not forced:
            self._must_be_free(order, more_cash, more_tokens)
        owner = order.bot
        state.reservations[order.id] = Reservation(order.instrument, order.leg, cash, tokens, owner)
        state.cash_reserved_micro += more_cash
        if more_tokens:
            self._own(order.instrument, owner).leg(order.leg).reserved += more_tokens
            self._sum(order.instrument)

    def reserve(self, order: Order) -> None:
        """Reserve what a new order may take. BrokenInvariant where that is not free."""
        # The usual order apart: of BASE a perpetual may be meant, of which margin is reserved.
        if order.side is not _BUY or not order.post_only or order.leg is _BASE:
            self.commit(order, order.size)
            return
        state = self.state
        divisor = state.instruments[order.instrument].value_divisor
        cash = -(-order.price * order.size // divisor)
        if cash > state.cash_settled_micro - state.cash_reserved_micro:
            self._must_be_free(order, cash, 0)
        state.reservations[order.id] = Reservation(order.instrument, order.leg, cash, 0, order.bot)
        state.cash_reserved_micro += cash

    def release(self, order: Order) -> None:
        """Give back all a working order reserved; nothing where it is given back already."""
        old = self.state.reservations.pop(order.id, None)
        if old is not None:
            self.state.cash_reserved_micro -= old.cash_micro
            if old.tokens:
                self._own(order.instrument, order.bot).leg(order.leg).reserved -= old.tokens
                self._sum(order.instrument)

    def _must_be_free(self, order: Order, more_cash: int, more_tokens: int) -> None:
        free = self.state.cash_settled_micro - self.state.cash_reserved_micro
        if more_cash > 0 and more_cash > free:
            raise BrokenInvariant(f"order {order.id} needs {more_cash} micro, {free} are free")
        if more_tokens > 0:
            leg = self.owned(order.instrument, order.bot).leg(order.leg)
            if more_tokens > leg.settled - leg.reserved:
                raise BrokenInvariant(
                    f"order {order.id} sells {more_tokens}, settled {leg.settled}, "
                    f"reserved {leg.reserved}"
                )

    def _own(self, instrument: InstrumentId, owner: BotId) -> Holding:
        """Return what an owner holds, to be changed; a new holding where it has none."""
        state = self.state
        holders = state.owned.get(instrument)
        if holders is None:
            if len(state.owned) >= HOLDINGS_MAX:
                raise BrokenInvariant(f"more than {HOLDINGS_MAX} holdings: forget resolved ones")
            holders = state.owned[instrument] = {}
        holding = holders.get(owner)
        if holding is None:
            holding = holders[owner] = Holding(instrument=instrument, owner=owner)
            for other in holders.values():  # what a result pays holds for all
                if other.payout_yes_micro is not None:
                    holding.payout_yes_micro = other.payout_yes_micro
            self._sum(instrument)
        return holding

    def _sum(self, instrument: InstrumentId) -> None:
        """Bring the account's holding up to its owners'; a sole owner's is the same one."""
        holders = self.state.owned[instrument]
        if len(holders) > 1 or instrument not in self.state.holdings:
            self.state.holdings[instrument] = summed(instrument, holders)

    # -- fills -------------------------------------------------------------------------------------

    def book(self, order: Order, event: OrderFilled, now_ns: int = 0) -> Booked:
        """Book a fill once; reported again, it only moves on to the state reported."""
        if event.fill in (state := self.state).fills.states:
            return self.advance(event.fill, event.state, now_ns)
        if order.instrument not in state.instruments:
            raise BrokenInvariant(f"{order.instrument} has an order and was never listed")
        fill_state = state.fills.add(event.fill, order.id, event.state)
        if fill_state is _FAILED:
            return NOTHING
        holding = self._own(order.instrument, order.bot)
        settled = fill_state is _CONFIRMED
        entry = take_fill(state, holding, order, event, settled=settled, now_ns=now_ns)
        if not settled:
            entry.at_ns = now_ns
            state.fills.unsettled[event.fill] = entry
        self._after(holding)
        verdict = self._verdict(holding)
        if entry.fee_micro > entry.cash_micro or event.fee is not UNSET:
            terms = state.instruments[order.instrument]
            if entry.fee_micro > event.moved_micro(terms, order.side):
                return Booked(changed=True, anomalies=(*verdict.anomalies, Anomaly.FEE_ABOVE_FILL))
        return verdict

    def advance(self, fill: FillId, reported: FillState, now_ns: int = 0) -> Booked:
        """Move a fill's settlement on; settles or voids it once.

        News of a fill that is not reported yet waits for it. Raises InvalidTransition on a
        contradiction, with nothing changed.
        """
        moved = self.state.fills.move(fill, reported)
        if moved is None or moved[0] is moved[1]:
            return NOTHING
        if (after := moved[1]) is not _CONFIRMED and after is not _FAILED:
            return DONE
        entry = self.state.fills.unsettled.pop(fill)
        holding = self._own(entry.instrument, entry.owner)
        if after is _CONFIRMED:
            settle(self.state, entry, holding)
        else:
            void(self.state, entry, holding, now_ns)
        self._after(holding)
        return self._verdict(holding)

    def _after(self, holding: Holding) -> None:
        """Tidy what a change left: stray costs, resolved tokens, the list of what is held."""
        state, key = self.state, holding.instrument
        tidy(state, holding)
        holders = state.owned[key]
        if holding.payout_yes_micro is None:
            debtor = holders.get(MANUAL)
            if debtor is not None and (debtor.yes.owed or debtor.no.owed):
                repay(state, debtor, holding)
        else:
            sweep(state, holding, holding.payout_yes_micro)
            if len(holders) > 1:
                net_surplus(holders, 10 ** state.instruments[key].size_decimals)
        self._sort(key)

    def _sort(self, key: InstrumentId) -> None:
        """List an instrument as held and as redeemable, where an owner holds of it."""
        self._sum(key)
        total = self.state.holdings[key]
        holders = self.state.owned[key].values()
        held = not all(one.flat for one in holders)
        redeems = any(one.redeems for one in holders)
        for of, is_of in ((self._held, held), (self._redeemable, redeems)):
            if is_of:
                of[key] = total
            else:
                of.pop(key, None)

    def _verdict(self, holding: Holding | None) -> Booked:
        negative, oversold = self.state.cash_settled_micro < 0, False
        if holding is not None and (holding.yes.settled < 0 or holding.no.settled < 0):
            oversold = not self.state.instruments[holding.instrument].product.signed
        found = (Anomaly.CASH_NEGATIVE,) * negative + (Anomaly.OVERSOLD,) * oversold
        return Booked(changed=True, anomalies=found) if found else DONE

    # -- merging and resolution --------------------------------------------------------------------

    def set_aside(
        self,
        operation: int,
        instrument: InstrumentId,
        *,
        cash_micro: int = 0,
        pairs: int = 0,
        owner: BotId = UNASSIGNED,
    ) -> None:
        """Keep what an operation of the wallet may take from everybody else until its end."""
        reservation = Reservation(instrument, None, cash_micro, pairs, owner)
        self.state.reservations[OrderId(-operation)] = reservation
        self._tie(reservation, 1)

    def give_back(self, operation: int) -> None:
        """Free what was set aside for an operation; nothing where that was done already."""
        if reservation := self.state.reservations.pop(OrderId(-operation), None):
            self._tie(reservation, -1)

    def _tie(self, reservation: Reservation, sign: int) -> None:
        self.state.cash_reserved_micro += sign * reservation.cash_micro
        holding = self._own(reservation.instrument, reservation.owner)
        for leg in (holding.yes, holding.no):
            leg.reserved += sign * reservation.tokens
            leg.aside += sign * reservation.tokens
        self._sum(reservation.instrument)

    def convert(self, event: PairsConverted, owner: BotId | None = None) -> Booked:
        """Book a split, its cost shared by both legs, or a merge: after the result, as redeemed.

        `owner` None = no order here asked for it: a split is by hand. `taken_first` says whose
        tokens a merge took. Whoever calls has not booked it before. More pairs than are held are
        booked all the same: what no owner held is owed until its fills come.
        """
        size, amount = event.size, event.amount_micro
        if size < 0 and self.holding(event.instrument).payout_yes_micro is not None:
            return self.redeem(
                TokensRedeemed(
                    account=event.account,
                    transaction=event.transaction,
                    at_ns=event.at_ns,
                    instrument=event.instrument,
                    yes=-size,
                    no=-size,
                    amount_micro=amount,
                )
            )
        booked, state = DONE, self.state
        holders = dict(self.holders(event.instrument))
        for slot, half in (("yes", amount // 2), ("no", amount - amount // 2)):
            whose = [(owner or MANUAL, abs(size))]
            if size < 0:
                held = {name: getattr(of, slot).settled for name, of in holders.items()}
                whose = taken_first(held, -size, owner)
            parts = shares(half, [part for _, part in whose])
            for (name, part), cash in zip(whose, parts, strict=True):
                holding = self._own(event.instrument, name)
                leg = getattr(holding, slot)
                convert_leg(state, holding, leg, part if size > 0 else -part, cash)
                if size < 0 and leg.settled < 0:  # no owner held this part
                    leg.owed += part
                    leg.owed_micro += cash
                self._after(holding)
                verdict = self._verdict(holding)
                booked = verdict if verdict.anomalies else booked
        return booked

    def transfer(self, event: HoldingTransferred, *, now_ns: int = 0) -> Booked:
        """Book what one owner gave another at a price: a sale of the one, a buy of the other.

        The account's cash does not move. It is a fact: where the giver's fills are still to come
        again behind a lost end of the journal, it owes the tokens until then.
        """
        state, giver = self.state, self._own(event.instrument, event.from_owner)
        taker = self._own(event.instrument, event.to_owner)
        own, taken, size = giver.leg(event.leg), taker.leg(event.leg), event.size
        terms = state.instruments[event.instrument]
        value = terms.proceeds_micro(event.price, size)
        if terms.product.signed:
            give_signed(state, giver, taker, size, value, now_ns=now_ns)
        else:
            cost, _ = cost_out(own, size)
            own.settled -= size
            own.cost_settled_micro -= cost
            realise(state, giver, value - cost)
            taken.settled += size
            taken.cost_settled_micro += value
        self._after(giver)
        self._after(taker)
        return DONE

    def resolve(self, instrument: InstrumentId, payout_yes_micro: int) -> None:
        """Take what an instrument pays: winners await their redemption, losers are worth nothing.

        Fills that come or settle later are treated likewise. A different payout holds for what was
        not paid yet, former losers too: held again, at no cost, what it now pays is all it brings.
        """
        if instrument not in self.state.owned:
            self._own(instrument, UNASSIGNED)
        for holding in list(self.state.owned[instrument].values()):
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
        reported. BrokenInvariant where it is not known what the instrument pays.
        """
        state, key = self.state, event.instrument
        payout = self.holding(key).payout_yes_micro
        if payout is None:
            raise BrokenInvariant(f"{key} was redeemed and never resolved here")
        parts = [(owner, event) for owner in state.owned[key]]
        if len(parts) > 1:
            unit = 10 ** state.instruments[key].size_decimals
            parts = list(redemption_shares(state.owned[key], payout, event, unit))
        for owner, part in parts:
            holding = self._own(key, owner)
            take_redemption(state, holding, payout, part)
            self._after(holding)
        return self._verdict(self.holding(key))

    def forget(self, instrument: InstrumentId) -> bool:
        """Drop a flat, resolved or idle instrument's holding; False where it is still needed."""
        if (holders := self.state.owned.get(instrument)) is None:
            return True
        for holding in holders.values():
            if not holding.flat or holding.redeems or holding.yes.reserved or holding.no.reserved:
                return False
        if any(entry.instrument == instrument for entry in self.state.fills.unsettled.values()):
            return False
        if any(held.yes.cost_micro or held.no.cost_micro for held in holders.values()):
            raise BrokenInvariant(f"{instrument} is flat and still has costs")
        del self.state.owned[instrument], self.state.holdings[instrument]
        self.state.netted.pop(instrument, None)
        self.state.facts.pop(instrument, None)
        return True

    def in_assets(self, *, margined: bool = True) -> dict[str, int]:
        """Return what the account has of every asset beside its currency, in 10^-18 of one.

        What is held and promised, with what equity leaves out (`beside_equity`). A position held
        long or short against margin is nothing it has: without `margined` it is left out.
        """
        found = self.beside_equity()
        for key, held in self.state.holdings.items():
            terms = self.state.instruments[key]
            if terms.base is not UNSET and (margined or not terms.product.signed):
                size = held.yes.total * 10 ** (DECIMALS_MAX - terms.size_decimals)
                found[terms.base.id] = found.get(terms.base.id, 0) + size
        return {name: amount for name, amount in found.items() if amount}

    def beside_equity(self) -> dict[str, int]:
        """Return what no holding counts of every asset, in 10^-18 of one.

        Dust of the traded assets, less what fees took of third ones: below zero where what pays
        those is at the venue alone.
        """
        state = self.state
        found: dict[str, int] = {}
        for key, held in state.holdings.items():
            base = state.instruments[key].base
            if base is not UNSET and held.dust:
                dust = held.dust * 10 ** (DECIMALS_MAX - base.decimals)
                found[base.id] = found.get(base.id, 0) + dust
        for name, books in state.assets.items():
            fees = books.fees * 10 ** (DECIMALS_MAX - books.asset.decimals)
            found[name] = found.get(name, 0) - fees
        return found

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
        value, state = self._sure_micro, self.state
        for key in self._held:
            terms, mark = state.instruments[key], marks.get(key)
            for holding in state.owned[key].values():
                value += exit_value_micro(holding, terms, mark, now_ns, mark_age_ns_max)
        return value if not state.netted else value - opened_micro(state.netted)

    def shown_equity_micro(self, marks: Mapping[InstrumentId, BookMarked]) -> int | None:
        """Return cash plus holdings at the last two-sided mid, for people; None = unknown."""
        value, state = self._sure_micro, self.state
        for key in self._held:
            terms, mark = state.instruments[key], marks.get(key)
            value += sum(mid_value_micro(held, terms, mark) for held in state.owned[key].values())
        if not state.netted:
            return value
        return None if unmarked(state.netted, marks) else value - opened_micro(state.netted)

    # -- survival ----------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise BrokenInvariant where the books do not balance to the micro-unit."""
        balance(self.state)

    def restore(self, state: LedgerState) -> None:
        """Take back a state that was saved. Raises BrokenInvariant where it does not balance."""
        self.state = state
        self._held, self._redeemable = {}, {}
        state.holdings = {}
        for key in state.owned:
            self._sort(key)
        self.check()
