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
more than it pays, else sold at the touch. Legs left alone lose at most 1 a share together, so what
is not whole is never more shares than `risk_max`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, NamedTuple

import msgspec
from pydantic import Field

from engine.caches.views import BookView, InventoryView
from engine.domain.catalog import GateWords, ValueUnit, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.intents import Basket, Intent, Target, Urgency
from engine.domain.money import MICRO
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Parameters, decided

S = 1_000_000_000
VALID_NS = 2 * S


class OneOfArbitrageParameters(Parameters):
    """What is worth it, and what one leg may lose."""

    edge_min: Annotated[float, Field(ge=0.0, le=1.0)] = 0.005
    """Least gain of a set after fees, in the currency.

    Half a cent: it pays for a leg that now and then has to be sold again."""
    risk_max: Annotated[float, Field(gt=0.0, le=1_000_000.0)] = 25.0
    """Most that legs left alone may lose, in the currency, whichever outcome wins.

    Twenty-five: small beside the capital of a thousand that forms begin with."""
    age_s_max: Annotated[float, Field(gt=0.0, le=60.0)] = 2.0
    """Oldest proof of any of the books, in seconds.

    Two: an older quote may be gone; a set is only worth what still stands."""
    complete: bool = False
    """True = one of the bot's outcomes must win, so that YES of all of them pays 1.

    False: a list may lack an outcome, and then all of it may lose."""


class BasketLeg(NamedTuple):
    """One outcome of a set: what is bought, at which level, and how much stands there."""

    view: BookView
    level: int
    """The touch, as a price of YES."""
    size: int


class BasketSet(NamedTuple):
    """Legs that together pay `pays` times their size at least, all of YES or all of NO."""

    legs: tuple[BasketLeg, ...]
    pays: int
    yes: bool

    def price(self, leg: BasketLeg) -> int:
        return leg.level if self.yes else leg.view.instrument.product.one - leg.level

    def cost_micro(self, leg: BasketLeg, size: int) -> int:
        """Return what a leg of this size costs, fee included."""
        instrument = leg.view.instrument
        fee = instrument.taker_fee_micro(leg.level, size)
        return instrument.cost_micro(self.price(leg), size) + fee

    def gain_micro(self, size: int) -> int:
        """Return the least a set of this size brings beyond its cost."""
        first = self.legs[0].view.instrument
        return first.proceeds_micro(self.pays * first.product.one, size) - sum(
            self.cost_micro(leg, size) for leg in self.legs
        )


class _HeldSet(msgspec.Struct):
    """The set bought in one market, until it is paid."""

    legs: list[InstrumentId] = []
    yes: bool = False


class OneOfArbitrage:
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
        "fresh": GateWords(
            "all books are fresh",
            "all books were fresh",
            "the oldest book is {value} s old, at most {limit}",
            sign="≤",
        ),
        "edge": GateWords(
            "a set costs less than it pays",
            "a set were cheaper",
            "a set gains {value}, at least {limit}",
            sign="≥",
        ),
        "size": GateWords(
            "a set is large enough for every order",
            "more stood there",
            "{value} shares stand there together, at least {limit}",
            sign="≥",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        "gain": ValueWords("Gain of a set after fees", ValueUnit.PRICE),
        "legs": ValueWords("Outcomes in the set"),
        "open": ValueWords("Shares that are not part of a whole set"),
    }
    references: tuple[str, ...] = ()
    touch_alone = True
    mid2_moved_min = 0
    replan_ns_min = 0
    timer_ns = S

    def __init__(self, parameters: OneOfArbitrageParameters, bot: BotId) -> None:
        self._p = parameters
        self._bot = bot
        self._held: dict[str, _HeldSet] = {}

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake on a change of a touch alone: the core sees to that."""
        del event, now_ns
        return False

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: what is held comes with each evaluation."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Mend a set that is not whole; else buy one that costs less than it pays."""
        instrument = context.view.instrument
        key = instrument.exposure_key
        views = [view for view in context.others.views() if view.instrument.exposure_key == key]
        named = len(views) if instrument.one_wins else 0
        gates: tuple[Gate, ...] = (Gate("outcomes", named >= 2, float(named), 2.0),)
        if named < 2:
            return self._decided(context, now_ns, gates)
        held = self._held.get(key)
        if held is not None and held.legs:
            mended, left = self._mended(context, views, held, now_ns)
            if left:
                values = (("open", left / 10**instrument.size_decimals),)
                return self._decided(context, now_ns, gates, mended, values)
        age_s = max(_age_s(view, now_ns) for view in views)
        gates = (*gates, Gate("fresh", age_s <= self._p.age_s_max, age_s, self._p.age_s_max))
        if age_s > self._p.age_s_max or context.reducing or not context.healthy:
            return self._decided(context, now_ns, gates)
        return self._bought(context, views, gates, now_ns)

    def _bought(
        self, context: Context, views: list[BookView], gates: tuple[Gate, ...], now_ns: int
    ) -> Evaluation:
        """Want the best set of these books, where it is worth it."""
        sets = [one for one in (self._no_set(views), self._yes_set(views)) if one is not None]
        key, whole = context.view.instrument.exposure_key, 10**context.view.instrument.size_decimals
        held = self._held.get(key)
        if held is not None and held.legs:  # what is held is added to, never mixed
            sets = [one for one in sets if one.yes == held.yes and _ids(one) == held.legs]
        best = max(sets, key=lambda one: one.gain_micro(whole), default=None)
        gain = -1.0 if best is None else best.gain_micro(whole) / MICRO
        gates = (*gates, Gate("edge", gain >= self._p.edge_min, gain, self._p.edge_min))
        if best is None or gain < self._p.edge_min:
            return self._decided(context, now_ns, gates, values=(("gain", gain),))
        values = ("gain", gain), ("legs", float(len(best.legs)))
        size, least = self._size(context, best, views)
        worth = size > 0 and best.gain_micro(size) * whole >= self._p.edge_min * MICRO * size
        gates = (*gates, Gate("size", size >= least and worth, size / whole, least / whole))
        if size < least or not worth:
            return self._decided(context, now_ns, gates, values=values)
        targets = []
        for leg in best.legs:
            have = context.others.inventory(leg.view.instrument.id).position
            position = have + (size if best.yes else -size)
            targets.append(self._target(leg.view, position, leg.level, context, now_ns))
        self._held[key] = _HeldSet(_ids(best), best.yes)
        basket = Basket(
            bot=self._bot,
            targets=tuple(targets),
            valid_until_ns=now_ns + VALID_NS,
            decision=context.decision,
        )
        return self._decided(context, now_ns, gates, (basket,), values)

    def _no_set(self, views: list[BookView]) -> BasketSet | None:
        """Return NO of every outcome whose bid is more than its fee: it pays all but one."""
        legs = []
        for view in views:
            bid, book = view.best_bid, view.book
            if bid is None or not _pays_its_fee(view, bid):
                continue
            legs.append(BasketLeg(view, bid, book.touch[1]))
        return BasketSet(tuple(legs), len(legs) - 1, False) if len(legs) >= 2 else None

    def _yes_set(self, views: list[BookView]) -> BasketSet | None:
        """Return YES of every outcome, where one must win and all can be bought."""
        if not self._p.complete:
            return None
        legs = [
            BasketLeg(view, view.best_ask, view.book.touch[3])
            for view in views
            if view.best_ask is not None
        ]
        return BasketSet(tuple(legs), 1, True) if len(legs) == len(views) else None

    def _size(self, context: Context, best: BasketSet, views: list[BookView]) -> tuple[int, int]:
        """Return the size of the set, and the least that every leg's order must have."""
        instruments = [leg.view.instrument for leg in best.legs]
        lot = max(one.lot for one in instruments)
        unit = 10 ** instruments[0].size_decimals
        costs = [best.cost_micro(leg, unit) for leg in best.legs]
        paid = 0
        for view in views:
            held = context.others.inventory(view.instrument.id)
            price = held.average_price or 0
            price = price if held.position > 0 else view.instrument.product.one - price
            paid += view.instrument.cost_micro(price, abs(held.position))
        money = min(context.capital_micro - paid, context.inventory.cash_free_micro)
        bounds = [leg.size for leg in best.legs]
        bounds.append(max(0, money) * unit // sum(costs))
        bounds.append(int(self._p.risk_max * unit))
        size = min(bounds)
        least = max(
            max(one.size_min, -(-one.notional_min_micro * one.value_divisor // best.price(leg)))
            for leg, one in zip(best.legs, instruments, strict=True)
        )
        return size // lot * lot, max(lot, least)

    def _mended(
        self, context: Context, views: list[BookView], held: _HeldSet, now_ns: int
    ) -> tuple[tuple[Intent, ...], int]:
        """Return what makes the set whole again, and how many shares stand alone; none is fine.

        The set is completed where what was paid and what is missing cost no more together than it
        pays, else the surplus is sold.
        """
        mine = {view.instrument.id: view for view in views if view.instrument.id in held.legs}
        stands = {key: context.others.inventory(key) for key in mine}
        sizes = {key: abs(one.position) for key, one in stands.items()}
        common = min(sizes.values()) if len(mine) == len(held.legs) else 0
        most = max(sizes.values(), default=0)
        if not most:
            held.legs = []
            return (), 0
        left = most - common
        if not left:
            return (), 0
        if any(one.working_bid or one.working_ask for one in stands.values()):
            return (), left
        wanted = common
        if len(mine) == len(held.legs) and self._completes(held, mine, stands):
            wanted = most
        sign = 1 if held.yes else -1
        intents = []
        for key, view in mine.items():
            if sizes[key] == wanted:
                continue
            buys_yes = (sizes[key] < wanted) == held.yes
            level = view.best_ask if buys_yes else view.best_bid
            if level is not None and view.trusted:
                intents.append(self._target(view, sign * wanted, level, context, now_ns))
        return tuple(intents), left

    def _completes(
        self,
        held: _HeldSet,
        mine: Mapping[InstrumentId, BookView],
        stands: dict[InstrumentId, InventoryView],
    ) -> bool:
        """Say whether the set, what is missing bought at the touch, costs no more than it pays."""
        most = max(abs(one.position) for one in stands.values())
        pays = 1 if held.yes else len(mine) - 1
        cost = 0
        for key, view in mine.items():
            have, touch = stands[key], view.book.touch
            level, size = touch[2:] if held.yes else touch[:2]
            missing = most - abs(have.position)
            if missing and (size < missing or not (held.yes or _pays_its_fee(view, level))):
                return False
            whole = BasketSet((), pays, held.yes)
            paid = BasketLeg(view, have.average_price or 0, 0)
            cost += whole.cost_micro(paid, abs(have.position)) if have.position else 0
            cost += whole.cost_micro(BasketLeg(view, level, size), missing) if missing else 0
        first = next(iter(mine.values())).instrument
        return cost <= first.proceeds_micro(pays * first.product.one, most)

    def _target(
        self, view: BookView, position: int, level: int, context: Context, now_ns: int
    ) -> Target:
        return Target(
            bot=self._bot,
            instrument=view.instrument.id,
            position=position,
            limit_price=level,
            urgency=Urgency.CROSS,
            valid_until_ns=now_ns + VALID_NS,
            decision=context.decision,
        )

    def _decided(
        self,
        context: Context,
        now_ns: int,
        gates: tuple[Gate, ...],
        intents: tuple[Intent, ...] = (),
        values: tuple[tuple[str, float], ...] = (),
    ) -> Evaluation:
        decision = decided(
            context,
            now_ns,
            regime="set" if self._held.get(context.view.instrument.exposure_key) else "flat",
            gates=gates,
            inputs=values,
            intent=intents[0] if intents else None,
        )
        return Evaluation(decision=decision, intents=intents)

    def forget(self, instrument: InstrumentId) -> None:
        """Drop the set of a market one of whose outcomes is over."""
        for key in [key for key, held in self._held.items() if instrument in held.legs]:
            del self._held[key]

    def state(self) -> bytes:
        """Return which sets are held."""
        return msgspec.json.encode(self._held)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        try:
            self._held = msgspec.json.decode(state, type=dict[str, _HeldSet]) if state else {}
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"its state cannot be read: {error}") from None


def _ids(one: BasketSet) -> list[InstrumentId]:
    return [leg.view.instrument.id for leg in one.legs]


def _age_s(view: BookView, now_ns: int) -> float:
    """Return how long ago a book was proven; one that is not trusted is a day old."""
    age_ns = view.age_ns(now_ns) if view.trusted else None
    return 86_400.0 if age_ns is None else age_ns / S


def _pays_its_fee(view: BookView, bid: int) -> bool:
    """Say whether NO at this bid costs less than one, fee included: it adds to a set's gain."""
    instrument = view.instrument
    fee_micro = instrument.taker_fee_micro(bid, 10**instrument.size_decimals)
    return bid * MICRO > fee_micro * instrument.product.one
