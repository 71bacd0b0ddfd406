"""The desk of perpetuals: which orders margin allows, which ones end, and who is liquidated.

It stands beside order entry, which matches and rests their orders like any other. Three laws are
kept behind everything that moves a position or cash: an account below its maintenance margin is
liquidated at once, its orders first; a reduce-only order that could open a position ends; orders of
other markets that cash no longer covers end. An order never meets one of its own customer's: what
rests ends (OKX, `cancel_maker`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.domain.instruments import AccountId, Instrument, InstrumentId, Side
from engine.domain.money import PPM, money_text
from engine.domain.orders import AT_ONCE, CancelReason, RejectReason
from engine.domain.perpetual_events import FundingSettled, MarkPriced
from engine.domain.products.margin import order_cost
from engine.errors import BadInput
from engine.runtime import refusals
from engine.runtime.refusals import Refusal
from engine.venues.demo.accounts import Account, ExchangeMarket
from engine.venues.demo.clearing import Clearing
from engine.venues.demo.margin_ledger import LiquidatedPosition
from engine.venues.demo.orders import Funded, Liquidated, RestingOrder

BAND_PPM = 50_000
"""How far beyond the mark an order may buy or sell (Binance, PERCENT_PRICE: 5 to 15 %)."""
PRICE_E8 = 8

OWN_MATCH = "self-trade prevention: an order of the same account took its place"
LIQUIDATED = "the account was liquidated"
UNCOVERED = "perpetuals took the cash that it reserved"

Withdraw = Callable[[Iterable[RestingOrder], CancelReason | None, str], None]


class MarginDesk:
    """Perpetuals at the timeline's present moment."""

    def __init__(
        self, clearing: Clearing, orders: dict[int, RestingOrder], withdraw: Withdraw
    ) -> None:
        self.ledger = clearing.margin
        self.leverage: dict[InstrumentId, int] = {}
        self.liquidation_count = 0
        self._clearing = clearing
        self._orders = orders
        self._withdraw = withdraw

    def add(self, instrument: Instrument, mark_e8: int) -> None:
        """Take a perpetual with its margin before it is listed. BadInput where it cannot be one."""
        terms = instrument.margin
        if not terms:
            raise BadInput(f"{instrument.id} says no margin: it needs a leverage and tiers")
        if not 1 <= terms.leverage <= terms.tiers.tiers[0].leverage_max:
            raise BadInput(f"{instrument.id}: its tiers never allow a leverage of {terms.leverage}")
        self.ledger.listed(instrument, terms.tiers, mark_e8)
        self.leverage[instrument.id] = terms.leverage

    def marked(self, key: InstrumentId) -> MarkPriced:
        """Return the mark as it stands."""
        now_ns = self._clearing.outbox.timeline.now_ns
        mark_e8 = self.ledger.perpetuals[key].mark_e8
        return MarkPriced(instrument=key, mark_e8=mark_e8, exchange_ns=now_ns)

    # -- orders ------------------------------------------------------------------------------------

    def refuse(self, market: ExchangeMarket, order: RestingOrder) -> Refusal | None:
        """Say why margin, band or position forbid an order; nothing is reserved yet."""
        key, customer, ledger = order.instrument, order.customer, self.ledger
        wallet = self._clearing.ledger.wallets[customer]
        ledger.open(customer, wallet, self.leverage[key])
        if (beyond := self._refuse_band(market, order)) is not None:
            return beyond
        if order.reduce_only:
            return self._refuse_reducing(market, order)
        amount = order.price * order.size // market.divisor
        if amount < market.instrument.resting_min_micro:
            return refusals.below_value(amount, market.instrument.resting_min_micro)
        account = ledger.accounts[customer]
        before, size = account.worst(key), order.signed_remaining
        if why := ledger.reserve(customer, key, size):
            return RejectReason.NO_FUNDS, f"Margin is insufficient: {why}"
        opens, free = account.worst(key) > before, ledger.free_micro(customer)
        ledger.release(customer, key, size)
        if opens and (lacking := self._cost_micro(market, order) - free) > 0:
            why = f"it lacks {money_text(lacking)} for its fee and its loss at the mark"
            return RejectReason.NO_FUNDS, f"Margin is insufficient: {why}"
        return None

    def _cost_micro(self, market: ExchangeMarket, order: RestingOrder) -> int:
        """Return what an order costs beside its initial margin: fee, and loss where it opens."""
        instrument, of = market.instrument, self.ledger.perpetuals[order.instrument]
        price_e8 = order.price * 10**PRICE_E8 // instrument.price_unit
        terms = (instrument.contract, order.signed_remaining, price_e8, of.mark_e8)
        cost = order_cost(*terms, self.leverage[order.instrument])
        at_mark = order_cost(*terms[:2], price_e8, price_e8, self.leverage[order.instrument])
        return cost - at_mark + instrument.taker_fee_micro(order.price, order.size)

    def _refuse_band(self, market: ExchangeMarket, order: RestingOrder) -> Refusal | None:
        """Keep an order within the band: what matches at once is cut to it and ends there."""
        unit, tick = market.instrument.price_unit, market.instrument.tick
        mark = self.ledger.perpetuals[order.instrument].mark_e8 * unit
        if order.bid:
            end = mark * (PPM + BAND_PPM) // (PPM * 10**PRICE_E8) // tick * tick
        else:
            end = -(-mark * (PPM - BAND_PPM) // (PPM * 10**PRICE_E8) // tick) * tick
        if (order.price <= end) if order.bid else (order.price >= end):
            return None
        if order.type in AT_ONCE:
            order.level = max(end, tick)
            return None
        side = "buys above" if order.bid else "sells below"
        shown = market.instrument.price_text(end)
        return RejectReason.OTHER, f"an order {side} the limit of {shown} about the mark"

    def _refuse_reducing(self, market: ExchangeMarket, order: RestingOrder) -> Refusal | None:
        held = self.ledger.size(order.customer, order.instrument)
        working = self.ledger.accounts[order.customer].working.get(order.instrument)
        queued = 0
        if working is not None:
            queued = working.bids if order.bid else working.asks
        closes = (held < 0) is order.bid and abs(held) >= queued + order.size
        if held and closes:
            return None
        shown = market.instrument.size_text
        return refusals.reduces_nothing(shown(held), shown(queued))

    def end_own(self, account: Account, market: ExchangeMarket, order: RestingOrder) -> None:
        """End what an order would meet of its own customer's."""
        own = [
            one
            for one in account.open.values()
            if one.instrument == market.instrument.id
            and one.bid is not order.bid
            and ((one.level <= order.level) if order.bid else (one.level >= order.level))
        ]
        if own:
            self._withdraw(own, CancelReason.VENUE, OWN_MATCH)

    # -- what happens ------------------------------------------------------------------------------

    def mark(self, key: InstrumentId, mark_e8: int) -> None:
        """Move a mark, say so, and liquidate whom it leaves below margin."""
        self.ledger.set_mark(key, mark_e8)
        self._clearing.outbox.publish(self.marked(key))
        self.settle(list(self.ledger.accounts))

    def fund(self, key: InstrumentId, stamp_ns: int, rate: int) -> None:
        """Move the funding of a stamp, once, say its rate, and report to each its own."""
        sizes = {who: self.ledger.size(who, key) for who in self.ledger.accounts}
        paid = self.ledger.fund(key, stamp_ns, rate)
        mark_e8 = self.ledger.perpetuals[key].mark_e8
        now_ns = self._clearing.outbox.timeline.now_ns
        settled = FundingSettled(
            instrument=key,
            stamp_ns=stamp_ns,
            rate_e18=rate,
            mark_e8=mark_e8,
            source="demo",
            exchange_ns=now_ns,
        )
        self._clearing.outbox.publish(settled)
        for customer, amount in paid.items():
            if customer not in self._clearing.accounts:
                continue  # the fund
            report = Funded(
                instrument=key,
                amount_micro=amount,
                stamp_ns=stamp_ns,
                rate_e18=rate,
                mark_e8=mark_e8,
                size=sizes[customer],
            )
            self._clearing.accounts[customer].record(report)
            self._clearing.outbox.send(customer, report)
        self.settle(list(paid))

    def settle(self, customers: Iterable[AccountId]) -> None:
        """Keep the three laws for whom something moved."""
        ledger = self.ledger
        known = [one for one in customers if one in ledger.accounts]
        for customer in known:
            if ledger.due(customer):
                self._liquidate(customer)
        for customer in known:
            if customer not in self._clearing.accounts:
                continue
            if debt := ledger.forgive(customer):
                self._say(self._forgiven(customer, debt))
            self._end_opening(customer)
            self._end_uncovered(customer)

    def _forgiven(self, customer: AccountId, debt: int) -> LiquidatedPosition:
        """Return what a debt without a position is reported as: a fee below 0."""
        key, of = next(iter(self.ledger.perpetuals.items()))
        return LiquidatedPosition(customer, key, 0, of.mark_e8, 0, 0, -debt)

    def _liquidate(self, customer: AccountId) -> None:
        orders = self._clearing.accounts[customer].open.values()
        ended = [one for one in orders if self._margined(one) or one.side is Side.BUY]
        self._withdraw(ended, CancelReason.VENUE, LIQUIDATED)
        for taken in self.ledger.liquidate((customer,)):
            self._say(taken)

    def _say(self, taken: LiquidatedPosition) -> None:
        self.liquidation_count += 1
        report = Liquidated(
            number=self.liquidation_count,
            instrument=taken.instrument,
            size=taken.size,
            mark_e8=taken.mark_e8,
            realised_micro=taken.realised_micro,
            value_micro=taken.value_micro,
            fee_micro=taken.fee_micro,
            at_ns=self._clearing.outbox.timeline.now_ns,
        )
        self._clearing.accounts[taken.customer].record(report)
        self._clearing.outbox.send(taken.customer, report)

    def _margined(self, order: RestingOrder) -> bool:
        return order.instrument in self.ledger.perpetuals

    def _end_opening(self, customer: AccountId) -> None:
        """End reduce-only orders that could open a position now, the youngest first."""
        account = self._clearing.accounts[customer]
        reducing = [one for one in account.open.values() if one.reduce_only]
        for order in reversed(reducing):
            held = self.ledger.size(customer, order.instrument)
            working = self.ledger.accounts[customer].working[order.instrument]
            queued = working.bids if order.bid else working.asks
            if (held > 0) is order.bid or queued > abs(held):
                self._withdraw([order], CancelReason.VENUE, refusals.WOULD_OPEN)

    def _end_uncovered(self, customer: AccountId) -> None:
        """End purchases of other markets that cash does not cover any more, the youngest first."""
        wallet = self._clearing.ledger.wallets[customer]
        if wallet.cash >= wallet.reserved:
            return
        orders = self._clearing.accounts[customer].open.values()
        buys = [one for one in orders if one.side is Side.BUY and not self._margined(one)]
        for order in reversed(buys):
            if wallet.cash < wallet.reserved:
                self._withdraw([order], CancelReason.NO_FUNDS, UNCOVERED)

    # -- for judges --------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Name every rule of perpetuals that does not hold."""
        found = self.ledger.uneven()
        working: dict[tuple[AccountId, InstrumentId], list[int]] = {}
        for order in self._orders.values():
            if self._margined(order):
                sides = working.setdefault((order.customer, order.instrument), [0, 0])
                sides[0 if order.bid else 1] += order.remaining
        for customer, account in self.ledger.accounts.items():
            for key, held in account.working.items():
                if [held.bids, held.asks] != working.get((customer, key), [0, 0]):
                    found.append(f"{customer}: orders of {key} are not what reserves margin")
        return found
