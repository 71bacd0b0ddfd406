"""Correlated-market arbitrage: where A implies B, A may not cost more than B.

Idea: what cannot happen without something else is at most as likely as that ("will it win the
final" and "will it reach the final"). Where A implies B, NO of A and YES of B together pay 1 at
least: 1 where A happens (B pays) or where B does not (NO of A pays), 2 where B alone does. So where
the bid of A lies above the ask of B and the fees, both are bought for less than they pay.
(Hailperin, 1965, "Best possible inequalities for the probability of a logical function of events";
Saguillo and others, 2025, "Unravelling the probabilistic forest: arbitrage in prediction markets".)

Which market implies which is what a person types, and all of it rests on that: where the two are
settled by other sources, other times or other words than they seem, both may lose, and then the
whole stake is lost. Read both sets of rules. It loses, too, where one leg is gone before its order
arrives: it is completed while the set costs no more than it pays, else sold; what is not whole is
never more than `risk_max`. Without a typed pair it has nothing to do and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from pydantic import field_validator

from engine.caches.views import BookView
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Gate
from engine.domain.instruments import BotId, InstrumentId
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

ARROW = "=>"
PAIRS_MAX = 50


class Implied(NamedTuple):
    """Two markets of which the first cannot pay YES without the second."""

    narrow: InstrumentId
    wide: InstrumentId

    @property
    def key(self) -> str:
        return f"{self.narrow}{ARROW}{self.wide}"


def implied_of(text: str) -> tuple[Implied, ...]:
    """Return the pairs of `A => B; C => D`. Raises ValueError with the piece that is none."""
    found: list[Implied] = []
    for piece in filter(None, (one.strip() for one in text.replace("\n", ";").split(";"))):
        narrow, arrow, wide = (one.strip() for one in piece.partition(ARROW))
        if not arrow or not narrow or not wide or ARROW in wide or " " in narrow + wide:
            raise ValueError(f"{piece[:80]!r} is no pair: write MARKET {ARROW} MARKET")
        found.append(Implied(InstrumentId(narrow), InstrumentId(wide)))
    named = [name for pair in found for name in pair]
    if twice := next((name for name in named if named.count(name) > 1), ""):
        raise ValueError(f"{twice} stands in it twice: a market belongs to one pair of a bot")
    if len(found) > PAIRS_MAX:
        raise ValueError(f"{len(found)} pairs: {PAIRS_MAX} are the most")
    return tuple(found)


class CorrelatedArbitrageParameters(SetParameters):
    """Which markets imply which, what is worth it, and what one leg may lose."""

    implies: str = ""
    """Pairs of the bot's markets, the first of which implies the second: A => B; C => D.

    Empty: which market implies which is for a person to know."""

    @field_validator("implies")
    @classmethod
    def _pairs(cls, text: str) -> str:
        return "; ".join(f"{one.narrow} {ARROW} {one.wide}" for one in implied_of(text))


class CorrelatedArbitrage(SetArbitrage):
    """Buys NO of a market and YES of one that it implies, where both cost less than they pay."""

    name: ClassVar[str] = "correlated_arbitrage"
    category: ClassVar[str] = "binaries"
    parameters_type: ClassVar[type[Parameters]] = CorrelatedArbitrageParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        "implied": GateWords(
            "the market is in a pair that a person typed, and the bot has both",
            "it were in a typed pair of which the bot had both",
            "{value} of {limit} markets of a typed pair are open",
            sign="≥",
            needed=True,
        ),
        **SET_GATES,
    }
    values: ClassVar[Mapping[str, ValueWords]] = SET_VALUES

    def __init__(self, parameters: CorrelatedArbitrageParameters, bot: BotId) -> None:
        super().__init__(parameters, bot)
        pairs = implied_of(parameters.implies)
        self._pairs = {name: pair for pair in pairs for name in pair}

    def found(self, context: Context) -> SetsFound:
        """Return the books of the pair the instrument is in, the one that implies first."""
        pair = self._pairs.get(context.view.instrument.id)
        if pair is None:
            return SetsFound("", [], Gate("implied", False, 0.0, 2.0))
        known = {view.instrument.id: view for view in context.others.views()}
        views = [known[name] for name in pair if name in known]
        views = [view for view in views if view.instrument.product.second is not None]
        return SetsFound(pair.key, views, Gate("implied", len(views) == 2, float(len(views)), 2.0))

    def sets_of(self, views: list[BookView]) -> list[BasketSet]:
        """Return NO of the first at its bid and YES of the second at its ask."""
        narrow, wide = views
        bid, ask = narrow.best_bid, wide.best_ask
        if bid is None or ask is None or not pays_its_fee(narrow, bid):
            return []
        no = BasketLeg(narrow, bid, narrow.book.touch[1], yes=False)
        yes = BasketLeg(wide, ask, wide.book.touch[3], yes=True)
        return [BasketSet((no, yes), 1)]
