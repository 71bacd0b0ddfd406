"""Perpetuals at the paper venue: marks, the funding of their stamps, and liquidation.

Nothing here knows a rate or a mark by itself: where the market says none, nothing is paid, and
nothing is liquidated.

*Funding.* A settled rate moves cash once for its stamp, by the position held when it is received,
at the mark that the event says: −(signed value) · rate, rounded down.

*Liquidation.* At each mark and each funding an account is judged by the venue's formulas
(`engine.domain.products.margin`: maintenance by tiers at the mark). Binance, tiers by value: it is
liquidated where the margin balance is below the maintenance margin. OKX, tiers by size: also where
they are equal, and the taker's fee is added to the rate. Cross: the balance is all cash of the
currency without what isolated positions have, and the open PnL of all cross positions; it backs
them together, and they are liquidated together. While one of them has no mark, none is judged.
Isolated: the balance is the position's own initial margin and its open PnL. A position whose
instrument says no margin is held at its full value and never liquidated.

*What then happens.* First the orders end: of a cross account all of its perpetuals, and what it
buys elsewhere in that currency; of an isolated position those of its instrument. Then the insurance
fund takes the positions over at the mark, keeps what is left of their balance as a fee, and pays
what they lack: the account loses its balance and never more. That is the bankruptcy price; a real
venue may sell for more and give the difference back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from msgspec import UNSET
from msgspec.structs import replace

from engine.domain.events import VenueEvent
from engine.domain.instruments import Instrument, InstrumentId, Side
from engine.domain.orders import CancelReason
from engine.domain.perpetual_events import (
    FundingPaid,
    FundingSettled,
    MarkPriced,
    PositionLiquidated,
)
from engine.domain.products.backing import due_micro
from engine.domain.products.funding import funding_cash
from engine.domain.products.margin import Exposure, Measure, liquidated, unrealised
from engine.venues.paper.account import LegFunds
from engine.venues.paper.market import PaperMarket
from engine.venues.paper.matching import Matching

STAMPS_MAX = 10_000
"""Stamps remembered by name, so that each is paid once: a year of hourly ones."""

SIZE = Measure.SIZE
LIQUIDATED = "the account was liquidated"


class PaperMargin:
    """What happens to the signed positions of one account besides their fills."""

    def __init__(self, matching: Matching) -> None:
        self._matching = matching
        self._marks: dict[InstrumentId, int] = {}
        self._stamps: dict[str, None] = {}
        self._fundings: deque[FundingPaid] = matching.fundings

    def restore(self, paid: Iterable[str]) -> None:
        """Take the names of stamps that were paid before this start."""
        self._stamps = dict.fromkeys(paid)

    def mark(self, event: MarkPriced, now_ns: int) -> list[VenueEvent]:
        """Take a mark; give what it ends where it leaves too little margin."""
        market = self._matching.markets.get(event.instrument)
        if market is None:
            return []
        self._marks[event.instrument] = event.mark_e8
        return self._judge(market, now_ns)

    def fund(self, event: FundingSettled, now_ns: int) -> list[VenueEvent]:
        """Pay what a stamp's rate takes or brings, once; give what it ends, too."""
        market = self._matching.markets.get(event.instrument)
        if market is None or event.name in self._stamps:
            return []
        self._stamps[event.name] = None
        if len(self._stamps) > STAMPS_MAX:
            del self._stamps[next(iter(self._stamps))]
        funds = _signed(market)
        if funds is None or not funds.holding.settled or not event.rate_e18:
            return []
        paid = self._paid(market.instrument, funds, event)
        funds.wallet.cash += paid.amount_micro
        self._fundings.append(paid)
        self._marks[event.instrument] = event.mark_e8
        return [paid, *self._judge(market, now_ns)]

    def _paid(self, of: Instrument, funds: LegFunds, event: FundingSettled) -> FundingPaid:
        size, mark_e8, rate = funds.holding.settled, event.mark_e8, event.rate_e18
        return FundingPaid(
            account=self._matching.account,
            instrument=of.id,
            currency=of.currency,
            amount_micro=funding_cash(of.contract, size, mark_e8, rate),
            stamp_ns=event.stamp_ns,
            rate_type=event.rate_type,
            rate_e18=rate,
            mark_e8=mark_e8,
            payment=f"paper:{event.name}",
        )

    # -- liquidation -------------------------------------------------------------------------------

    def _judge(self, market: PaperMarket, now_ns: int) -> list[VenueEvent]:
        """Liquidate a market's position, or with it all that are backed by the same cash."""
        funds, terms = _margined(market), market.instrument.margin
        if funds is None or not funds.holding.settled or terms is UNSET:
            return []
        if terms.isolated:
            return self._judged([funds], funds.holding.margin, now_ns)
        others = [
            one
            for one in map(_margined, self._matching.markets.values())
            if one is not None and one.wallet is funds.wallet and one.holding.settled
        ]
        cross = [one for one in others if not _isolated(one)]
        apart = sum(one.holding.margin for one in others if _isolated(one))
        return self._judged(cross, funds.wallet.cash - apart, now_ns)

    def _judged(self, held: Sequence[LegFunds], cash: int, now_ns: int) -> list[VenueEvent]:
        """Liquidate positions where cash and their open PnL are below their maintenance margin."""
        due, gains, measure = 0, [], Measure.VALUE
        for funds in held:
            mark_e8 = self._marks.get(funds.instrument.id)
            if mark_e8 is None or funds.instrument.margin is UNSET:
                return []
            of, size = funds.instrument, funds.holding.settled
            due += due_micro(of, size, mark_e8)
            gains.append(unrealised(of.contract, Exposure(size, abs(funds.holding.cost)), mark_e8))
            measure = SIZE if funds.instrument.margin.tiers.measure is SIZE else measure
        if not liquidated(cash + sum(gains), due, measure):
            return []
        return [*self._end_orders(held), *self._take_over(held, gains, cash, now_ns)]

    def _end_orders(self, held: Sequence[LegFunds]) -> list[VenueEvent]:
        first = held[0]
        matching, wallet, ended = self._matching, first.wallet, []
        for resting in matching.open.values():
            market = matching.markets[resting.order.instrument]
            if _isolated(first):
                ends = market.instrument.id == first.instrument.id
            else:
                ends = market.wallet is wallet and _backed(market, resting.order.side)
            if ends:
                ended.append(resting)
        return [matching.cancel(one, CancelReason.VENUE, LIQUIDATED) for one in ended]

    def _take_over(
        self, held: Sequence[LegFunds], gains: Sequence[int], cash: int, now_ns: int
    ) -> list[VenueEvent]:
        """Close positions at their marks, gains first; what is left is kept, what lacks is paid.

        What lacks is added to what a position is closed for, so that cash never falls below zero
        between two of them. A short never brings cash: what lacks of it then is a payment apart.
        """
        left, taken = cash, []
        for funds, gain in sorted(zip(held, gains, strict=True), key=lambda one: -one[1]):
            left, value = left + gain, funds.holding.cost + gain
            spared = max(-left, 0)
            if funds.holding.settled < 0:
                spared = min(spared, -value)
            left += spared
            taken.append(self._taken(funds, value + spared, now_ns))
        if left < 0:
            taken.append(replace(self._event(held[-1], now_ns), fee_micro=left))
        else:
            taken[-1] = replace(taken[-1], fee_micro=left)
        held[-1].wallet.cash -= left
        self._matching.liquidations.extend(taken)
        return list(taken)

    def _taken(self, funds: LegFunds, value: int, now_ns: int) -> PositionLiquidated:
        event = replace(self._event(funds, now_ns), size=funds.holding.settled, value_micro=value)
        funds.close(value)
        return event

    def _event(self, funds: LegFunds, now_ns: int) -> PositionLiquidated:
        matching, of = self._matching, funds.instrument
        matching.fill_count += 1
        return PositionLiquidated(
            account=matching.account,
            instrument=of.id,
            currency=of.currency,
            liquidation=f"paper-{matching.account}-l{matching.fill_count}",
            size=0,
            value_micro=0,
            mark_e8=self._marks[of.id],
            at_ns=now_ns,
        )


def _signed(market: PaperMarket) -> LegFunds | None:
    """Return the position of a market that may be held short; None = it is of another product."""
    if not market.instrument.product.signed:
        return None
    (funds,) = market.funds.values()
    return funds


def _margined(market: PaperMarket) -> LegFunds | None:
    """Return the position of a market that can be liquidated; None = it never is."""
    return None if market.instrument.margin is UNSET else _signed(market)


def _isolated(funds: LegFunds) -> bool:
    return funds.instrument.margin is not UNSET and funds.instrument.margin.isolated


def _backed(market: PaperMarket, side: Side) -> bool:
    """Say whether an order is backed by cash that cross positions share."""
    margin = market.instrument.margin
    if _signed(market) is None:
        return side is Side.BUY
    return margin is UNSET or not margin.isolated
