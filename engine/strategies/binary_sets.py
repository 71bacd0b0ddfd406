"""Sets of outcomes that pay more than they cost: what strategies that buy them share.

A subclass says which sets stand at these books. This buys the best of them as a basket, all legs or
none, counts fees, and mends what is not whole: a leg that was not filled is completed where the
whole set still costs no more than it pays, else what was bought of the others is sold at the touch.
Legs left alone lose at most 1 a share together, so what is not whole is never more shares than
`risk_max`. Not a strategy itself: it has no name.
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
from engine.domain.intents import Intent
from engine.domain.money import MICRO
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Needs, Parameters
from engine.strategies.taking import basket_of, crossing_target, stated

S = 1_000_000_000
VALID_NS = 2 * S


class SetParameters(Parameters):
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


class BasketLeg(NamedTuple):
    """One outcome of a set: what is bought, at which level, and how much stands there."""

    view: BookView
    level: int
    """The touch, as a price of YES."""
    size: int
    yes: bool
    """True = YES is bought, False = NO."""

    @property
    def price(self) -> int:
        """What a share of it costs, in price increments, without fee."""
        return self.level if self.yes else self.view.instrument.product.one - self.level

    def cost_micro(self, size: int) -> int:
        """Return what this leg costs at a size, fee included."""
        instrument = self.view.instrument
        fee = instrument.taker_fee_micro(self.level, size)
        return instrument.cost_micro(self.price, size) + fee


class BasketSet(NamedTuple):
    """Legs that together pay `pays` times their size at least."""

    legs: tuple[BasketLeg, ...]
    pays: int

    def gain_micro(self, size: int) -> int:
        """Return the least a set of this size brings beyond its cost."""
        first = self.legs[0].view.instrument
        return first.proceeds_micro(self.pays * first.product.one, size) - sum(
            leg.cost_micro(size) for leg in self.legs
        )


class SetsFound(NamedTuple):
    """What a subclass finds at these books."""

    key: str
    """What its holdings are kept by: a set is mended under the key it was bought under."""
    views: list[BookView]
    """The books of all its legs; empty = there is no such set here."""
    gate: Gate
    """Whether there is one."""


class _HeldSet(msgspec.Struct):
    """The set bought under one key, until it is paid."""

    legs: list[InstrumentId] = []
    yes: bool = False
    """Of which side its legs are."""
    others: list[InstrumentId] = []
    """Those of its legs that are of the other side."""
    pays: int = 0
    """0 = it was kept before sets of both sides: all but one pays, or one where they are YES."""

    def is_yes(self, leg: InstrumentId) -> bool:
        """Say of which side a leg is."""
        return self.yes != (leg in self.others)

    @property
    def paid_back(self) -> int:
        """How many times its size the whole set pays."""
        return self.pays or (1 if self.yes else len(self.legs) - 1)


def held_of(one: BasketSet) -> _HeldSet:
    """Return a set as it is kept."""
    side = one.legs[0].yes
    others = [leg.view.instrument.id for leg in one.legs if leg.yes != side]
    return _HeldSet(_ids(one), side, others, one.pays)


SET_GATES: Mapping[str, GateWords] = {
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
SET_VALUES: Mapping[str, ValueWords] = {
    "gain": ValueWords("Gain of a set after fees", ValueUnit.PRICE),
    "legs": ValueWords("Outcomes in the set"),
    "open": ValueWords("Shares that are not part of a whole set"),
}


class SetArbitrage:
    """Buys sets that cost less than they pay. A subclass says which there are."""

    needs: ClassVar[Needs] = Needs(instruments=2)
    references: tuple[str, ...] = ()
    touch_alone = True
    mid2_moved_min = 0
    replan_ns_min = 0
    timer_ns = S

    def __init__(self, parameters: SetParameters, bot: BotId) -> None:
        self._p = parameters
        del bot
        self._held: dict[str, _HeldSet] = {}

    def found(self, context: Context) -> SetsFound:
        """Return the books of the sets the instrument belongs to."""
        raise NotImplementedError

    def sets_of(self, views: list[BookView]) -> list[BasketSet]:
        """Return the sets that can be bought at these books, each at the touch."""
        raise NotImplementedError

    # -- Strategy ----------------------------------------------------------------------------------

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake on a change of a touch alone: the core sees to that."""
        del event, now_ns
        return False

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: what is held comes with each evaluation."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Mend a set that is not whole; else buy one that costs less than it pays."""
        key, views, gate = self.found(context)
        gates: tuple[Gate, ...] = (gate,)
        if not gate.passed:
            return self._decided(context, now_ns, key, gates)
        held = self._held.get(key)
        if held is not None and held.legs:
            mended, left = self._mended(context, views, held, now_ns)
            if left:
                values = (("open", left / 10**context.view.instrument.size_decimals),)
                return self._decided(context, now_ns, key, gates, intents=mended, values=values)
        age_s = max(_age_s(view, now_ns) for view in views)
        gates = (*gates, Gate("fresh", age_s <= self._p.age_s_max, age_s, self._p.age_s_max))
        if age_s > self._p.age_s_max or context.reducing or not context.healthy:
            return self._decided(context, now_ns, key, gates)
        return self._bought(context, key, views, gates, now_ns)

    def _bought(
        self,
        context: Context,
        key: str,
        views: list[BookView],
        gates: tuple[Gate, ...],
        now_ns: int,
    ) -> Evaluation:
        """Want the best set of these books, where it is worth it."""
        sets, whole = self.sets_of(views), 10**context.view.instrument.size_decimals
        held = self._held.get(key)
        if held is not None and held.legs:  # what is held is added to, never mixed
            sets = [one for one in sets if _same(held, held_of(one))]
        best = max(sets, key=lambda one: one.gain_micro(whole), default=None)
        gain = -1.0 if best is None else best.gain_micro(whole) / MICRO
        gates = (*gates, Gate("edge", gain >= self._p.edge_min, gain, self._p.edge_min))
        if best is None or gain < self._p.edge_min:
            return self._decided(context, now_ns, key, gates, values=(("gain", gain),))
        values = ("gain", gain), ("legs", float(len(best.legs)))
        size, least = self._size(context, best, views)
        worth = size > 0 and best.gain_micro(size) * whole >= self._p.edge_min * MICRO * size
        gates = (*gates, Gate("size", size >= least and worth, size / whole, least / whole))
        if size < least or not worth:
            return self._decided(context, now_ns, key, gates, values=values)
        targets = []
        for leg in best.legs:
            have = context.others.inventory(leg.view.instrument.id).position
            position = have + (size if leg.yes else -size)
            until_ns = now_ns + VALID_NS
            targets.append(crossing_target(context, leg.view, position, leg.level, until_ns))
        self._held[key] = held_of(best)
        basket = basket_of(context, targets, now_ns + VALID_NS)
        return self._decided(context, now_ns, key, gates, intents=(basket,), values=values)

    def _size(self, context: Context, best: BasketSet, views: list[BookView]) -> tuple[int, int]:
        """Return the size of the set, and the least that every leg's order must have."""
        instruments = [leg.view.instrument for leg in best.legs]
        lot = max(one.lot for one in instruments)
        unit = 10 ** instruments[0].size_decimals
        costs = [leg.cost_micro(unit) for leg in best.legs]
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
            max(one.size_min, -(-one.notional_min_micro * one.value_divisor // leg.price))
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
        intents = []
        for key, view in mine.items():
            if sizes[key] == wanted:
                continue
            yes = held.is_yes(key)
            buys_yes = (sizes[key] < wanted) == yes
            level = view.best_ask if buys_yes else view.best_bid
            if level is not None and view.trusted:
                position = wanted if yes else -wanted
                until_ns = now_ns + VALID_NS
                intents.append(crossing_target(context, view, position, level, until_ns))
        return tuple(intents), left

    def _completes(
        self,
        held: _HeldSet,
        mine: Mapping[InstrumentId, BookView],
        stands: dict[InstrumentId, InventoryView],
    ) -> bool:
        """Say whether the set, what is missing bought at the touch, costs no more than it pays."""
        most = max(abs(one.position) for one in stands.values())
        cost = 0
        for key, view in mine.items():
            have, touch, yes = stands[key], view.book.touch, held.is_yes(key)
            level, size = touch[2:] if yes else touch[:2]
            missing = most - abs(have.position)
            if missing and (size < missing or not (yes or pays_its_fee(view, level))):
                return False
            paid = BasketLeg(view, have.average_price or 0, 0, yes)
            cost += paid.cost_micro(abs(have.position)) if have.position else 0
            cost += BasketLeg(view, level, size, yes).cost_micro(missing) if missing else 0
        first = next(iter(mine.values())).instrument
        return cost <= first.proceeds_micro(held.paid_back * first.product.one, most)

    def _decided(
        self,
        context: Context,
        now_ns: int,
        key: str,
        gates: tuple[Gate, ...],
        *,
        intents: tuple[Intent, ...] = (),
        values: tuple[tuple[str, float], ...] = (),
    ) -> Evaluation:
        regime = "set" if self._held.get(key) else "flat"
        return stated(context, now_ns, regime=regime, gates=gates, inputs=values, intents=intents)

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


def _same(one: _HeldSet, other: _HeldSet) -> bool:
    """Say whether two sets are of the same legs, each of the same side."""
    sides = ({leg: each.is_yes(leg) for leg in each.legs} for each in (one, other))
    return len({tuple(sorted(found.items())) for found in sides}) == 1


def _ids(one: BasketSet) -> list[InstrumentId]:
    return [leg.view.instrument.id for leg in one.legs]


def _age_s(view: BookView, now_ns: int) -> float:
    """Return how long ago a book was proven; one that is not trusted is a day old."""
    age_ns = view.age_ns(now_ns) if view.trusted else None
    return 86_400.0 if age_ns is None else age_ns / S


def pays_its_fee(view: BookView, bid: int) -> bool:
    """Say whether NO at this bid costs less than one, fee included: it adds to a set's gain."""
    instrument = view.instrument
    fee_micro = instrument.taker_fee_micro(bid, 10**instrument.size_decimals)
    return bid * MICRO > fee_micro * instrument.product.one
