"""Rebalance to weights: each instrument of the bot is held at its part of what all are worth.

Idea: a fixed mix sells what rose and buys what fell: the risk stays as it was chosen, and prices
that swing around each other earn something (Perold and Sharpe, 1988, "Dynamic strategies for asset
allocation"). It loses against holding where one instrument rises or falls for good, and every trade
costs the spread and a fee: a band keeps it from trading at each bar. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from engine.caches.views import BookView
from engine.domain.bars import bar_spec
from engine.domain.catalog import GateWords, ValueUnit, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import BarClosed, Event, OrderFilled
from engine.domain.instruments import BotId, Instrument, InstrumentId
from engine.domain.intents import Target
from engine.strategies.bar_rule import BPS, HOUR_NS, NO_MOVE, BarParameters
from engine.strategies.door import Context, Evaluation, Reads
from engine.strategies.taking import crossing_target, stated


def weights_of(text: str) -> dict[str, float]:
    """Return instrument → weight of `okx:BTC/USDT=0.6 okx:ETH/USDT=0.3`. Raises ValueError."""
    found: dict[str, float] = {}
    for one in text.replace(",", " ").split():
        name, equals, weight = one.rpartition("=")
        try:
            number = float(weight)
        except ValueError:
            number = -1.0
        if not equals or not 0.0 <= number <= 1.0:
            raise ValueError(f"{one!r} is no instrument=weight with a weight from 0 to 1")
        if name in found:
            raise ValueError(f"{name} stands there twice")
        found[name] = number
    if sum(found.values()) > 1.0 + 1e-9:
        raise ValueError(
            f"the weights sum to {sum(found.values()):g}, more than 1: no cash is left"
        )
    return found


class RebalanceParameters(BarParameters):
    """Which weights, how far they may drift, and how a trade is taken."""

    bars: str = "1d"
    """Bars at whose close it looks, for example 1d.

    A day: weights drift slowly, and every look may cost a trade."""
    weights: str = ""
    """instrument=weight of each, with spaces between; what is left of 1 stays cash.

    Empty: equal parts of all instruments of the bot."""
    drift_max: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05
    """How far a part may be from its weight before it trades, as a part of the whole.

    Five percent: the most common band; nothing here was fitted."""

    @field_validator("weights")
    @classmethod
    def _weights(cls, text: str) -> str:
        weights_of(text)
        return text


class Rebalance:
    """Holds each instrument of its bot at its weight; trades what drifted out of a band."""

    name: ClassVar[str] = "rebalance"
    parameters_type: ClassVar[type[BarParameters]] = RebalanceParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        "priced": GateWords(
            "every instrument has two sides",
            "every book had both sides",
            "{value} of {limit} instruments have both sides of a book",
            sign="≥",
            needed=True,
        ),
        "drift": GateWords(
            "it drifted out of its band",
            "it drifted further",
            "it drifted by {value}, the band is {limit}",
            sign="≥",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        "whole": ValueWords("Capital and what it brought so far", ValueUnit.PRICE),
        "part": ValueWords("Part of the whole it is now"),
        "weight": ValueWords("Part of the whole it should be"),
    }
    references: tuple[str, ...] = ()
    touch_alone = False
    mid2_moved_min = NO_MOVE
    replan_ns_min = 0
    timer_ns = HOUR_NS

    def __init__(self, parameters: RebalanceParameters, bot: BotId) -> None:
        self._p = parameters
        del bot
        self._weights = weights_of(parameters.weights)
        self.reads = Reads(bars={parameters.bars: 1})

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake at the close of its bars."""
        del now_ns
        return type(event) is BarClosed and event.bars == bar_spec(self._p.bars).text

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: what is held comes with each evaluation."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Compare the part of one instrument with its weight; trade it back where it drifted."""
        views = context.others.views()
        priced = [view for view in views if view.best_bid is not None and view.best_ask is not None]
        gate = Gate("priced", bool(views) and len(priced) == len(views), float(len(priced)),
                    float(len(views)))  # fmt: skip
        if not gate.passed or not context.readings.bars(self._p.bars, 1):
            return self._decided(context, now_ns, (gate,))
        whole = self._whole_micro(context, priced)
        instrument, have = context.view.instrument, context.inventory.position
        mid = _mid(context.view)
        worth = have * mid / instrument.value_divisor
        weight = self._weight(instrument, len(views)) * self._p.share
        part = worth / whole if whole > 0 else 0.0
        drift = Gate("drift", abs(part - weight) >= self._p.drift_max, abs(part - weight),
                     self._p.drift_max)  # fmt: skip
        values = ("whole", whole / 1e6), ("part", part), ("weight", weight)
        if not drift.passed or context.reducing:
            return self._decided(context, now_ns, (gate, drift), values)
        wanted = int(max(0.0, whole) * weight * instrument.value_divisor / mid)
        wanted = wanted // instrument.lot * instrument.lot
        slip = mid * self._p.slippage_bps_max / BPS
        limit = max(instrument.tick, round(mid + slip if wanted > have else mid - slip))
        if wanted > have:
            wanted = min(wanted, have + _affordable(context, instrument, limit))
        if wanted == have:
            return self._decided(context, now_ns, (gate, drift), values)
        intent = crossing_target(context, context.view, wanted, limit, now_ns + HOUR_NS)
        return self._decided(context, now_ns, (gate, drift), values, intent)

    def _weight(self, instrument: Instrument, count: int) -> float:
        return self._weights.get(instrument.id, 0.0) if self._weights else 1.0 / count

    def _whole_micro(self, context: Context, views: list[BookView]) -> float:
        """Return the capital with what was realised and what is held gained or lost, no more."""
        gained = 0.0
        for view in views:
            held = context.others.inventory(view.instrument.id)
            paid = held.average_price or 0
            gained += held.position * (_mid(view) - paid) / view.instrument.value_divisor
            gained += held.realised_micro - held.fees_micro
        return context.capital_micro + min(0.0, gained)

    def _decided(
        self,
        context: Context,
        now_ns: int,
        gates: tuple[Gate, ...],
        values: tuple[tuple[str, float], ...] = (),
        intent: Target | None = None,
    ) -> Evaluation:
        regime = "held" if context.inventory.position else "flat"
        intents = (intent,) if intent else ()
        return stated(context, now_ns, regime=regime, gates=gates, inputs=values, intents=intents)

    def forget(self, instrument: InstrumentId) -> None:
        """Keep nothing of it anyway."""

    def state(self) -> bytes:
        """Return nothing: what is held and worth comes with each evaluation."""
        return b""

    def restore(self, state: bytes) -> None:
        """Take nothing back."""


def _mid(view: BookView) -> float:
    return ((view.best_bid or 0) + (view.best_ask or 0)) / 2.0


def _affordable(context: Context, instrument: Instrument, limit: int) -> int:
    """Return the size the free cash pays for at this price."""
    size = max(0, context.inventory.cash_free_micro) * instrument.value_divisor // limit
    return size // instrument.lot * instrument.lot
