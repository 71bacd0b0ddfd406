"""Arbitrage between the outcomes of one question: a set that pays more than it costs, as a basket.

Of the instruments of a market `…:one-of:…` at most one pays YES (a negative-risk event at
Polymarket). So NO of k of them pays at least k - 1: where their bids sum to more than 1 and the
fees, all these NOs together are bought for less than they pay. YES of all of them pays 1 where one
of them must win, which only a person can know (`complete`): then asks that sum to less than 1 are
bought. YES against NO of one instrument is no arbitrage here: both are one book, whose bid and ask
would have to cross. (Saguillo and others, 2025, "Unravelling the probabilistic forest: arbitrage in
prediction markets".)

It counts on quotes that all stand at the same moment. It loses where one leg is gone before its
order arrives: what was bought of the others is then completed where the whole set still costs no
more than it pays, else sold at the touch, and what is not whole is never more than `risk_max`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.caches.views import BookView
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Gate
from engine.domain.instruments import BotId
from engine.strategies.binary_sets import (
    SET_GATES,
    SET_VALUES,
    BasketLeg,
    BasketSet,
    SetArbitrage,
    SetParameters,
    SetsFound,
    pays_its_fee,
)
from engine.strategies.door import Context, Parameters


class OneOfArbitrageParameters(SetParameters):
    """What is worth it, what one leg may lose, and what is known of the outcomes."""

    complete: bool = False
    """True = one of the bot's outcomes must win, so that YES of all of them pays 1.

    False: a list may lack an outcome, and then all of it may lose."""


class OneOfArbitrage(SetArbitrage):
    """Buys sets of outcomes of one question that cost less than they pay, all legs or none."""

    name: ClassVar[str] = "one_of_arbitrage"
    parameters_type: ClassVar[type[Parameters]] = OneOfArbitrageParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        "outcomes": GateWords(
            "it has several outcomes of the question",
            "it had more outcomes of one question",
            "{value} of the question's outcomes, at least {limit}",
            sign="≥",
            needed=True,
        ),
        **SET_GATES,
    }
    values: ClassVar[Mapping[str, ValueWords]] = SET_VALUES

    def __init__(self, parameters: OneOfArbitrageParameters, bot: BotId) -> None:
        super().__init__(parameters, bot)
        self._complete = parameters.complete

    def found(self, context: Context) -> SetsFound:
        """Return the books of all outcomes of the instrument's question."""
        instrument = context.view.instrument
        key = instrument.exposure_key
        views = [view for view in context.others.views() if view.instrument.exposure_key == key]
        named = len(views) if instrument.one_wins else 0
        return SetsFound(key, views, Gate("outcomes", named >= 2, float(named), 2.0))

    def sets_of(self, views: list[BookView]) -> list[BasketSet]:
        """Return NO of what pays for it, and YES of all where one must win."""
        return [one for one in (_no_set(views), self._yes_set(views)) if one is not None]

    def _yes_set(self, views: list[BookView]) -> BasketSet | None:
        """Return YES of every outcome, where one must win and all can be bought."""
        if not self._complete:
            return None
        legs = [
            BasketLeg(view, view.best_ask, view.book.touch[3], yes=True)
            for view in views
            if view.best_ask is not None
        ]
        return BasketSet(tuple(legs), 1) if len(legs) == len(views) else None


def _no_set(views: list[BookView]) -> BasketSet | None:
    """Return NO of every outcome whose bid is more than its fee: it pays all but one."""
    legs = []
    for view in views:
        bid, book = view.best_bid, view.book
        if bid is None or not pays_its_fee(view, bid):
            continue
        legs.append(BasketLeg(view, bid, book.touch[1], yes=False))
    return BasketSet(tuple(legs), len(legs) - 1) if len(legs) >= 2 else None
