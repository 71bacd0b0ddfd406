"""Perpetuals at the paper venue: the funding of their stamps.

A settled rate moves cash once for its stamp, by the position held when it is received, at the mark
that the event says: −(signed value) · rate, rounded down. Nothing here knows a rate or a mark by
itself: where the market says none, nothing is paid.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from engine.domain.events import VenueEvent
from engine.domain.instruments import Instrument
from engine.domain.perpetual_events import FundingPaid, FundingSettled
from engine.domain.products.funding import funding_cash
from engine.venues.paper.account import LegFunds
from engine.venues.paper.market import PaperMarket
from engine.venues.paper.matching import Matching

STAMPS_MAX = 10_000
"""Stamps remembered by name, so that each is paid once: a year of hourly ones."""


class PaperMargin:
    """What happens to the signed positions of one account besides their fills."""

    def __init__(self, matching: Matching) -> None:
        self._matching = matching
        self._stamps: dict[str, None] = {}
        self._fundings: deque[FundingPaid] = matching.fundings

    def restore(self, paid: Iterable[str]) -> None:
        """Take the names of stamps that were paid before this start."""
        self._stamps = dict.fromkeys(paid)

    def fund(self, event: FundingSettled) -> list[VenueEvent]:
        """Pay what a stamp's rate takes or brings, once."""
        market = self._matching.markets.get(event.instrument)
        if market is None or event.name in self._stamps:
            return []
        self._stamps[event.name] = None
        if len(self._stamps) > STAMPS_MAX:
            del self._stamps[next(iter(self._stamps))]
        funds = signed_funds(market)
        if funds is None or not funds.holding.settled or not event.rate_e18:
            return []
        paid = self._paid(market.instrument, funds, event)
        funds.wallet.cash += paid.amount_micro
        self._fundings.append(paid)
        return [paid]

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


def signed_funds(market: PaperMarket) -> LegFunds | None:
    """Return the position of a market that may be held short; None = it is of another product."""
    if not market.instrument.product.signed:
        return None
    (funds,) = market.funds.values()
    return funds
