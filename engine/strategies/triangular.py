"""Triangular arbitrage: what a round through three pairs would leave; it states no order here.

Idea: three pairs of three assets, A and B in the currency and B in A, give two ways round: buy A,
buy B with it, sell B; or buy B, sell it for A, sell A. Where the product of the three prices is
above 1 after three fees, the round leaves more than it took (Fenn and others, 2009, "The mirage of
triangular arbitrage in the spot foreign exchange market", found gaps of a basis point that last a
second or less, and that most are gone before three orders arrive). It loses there: a leg that is
not filled leaves an asset that was not wanted, and the three fees are certain.

It counts both rounds at the touch, after fees, and the size that all three touches allow, and says
them with each decision. It wants no position: an account here counts money in one currency, and the
pair of B in A is paid in another, so neither its cost nor its risk could be bounded. That is the
gate `counted`, which fails wherever the three pairs are no triangle of one currency, and so its
evidence is *no data*. No edge is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Annotated, ClassVar, NamedTuple

from msgspec import UNSET
from pydantic import Field

from engine.caches.views import BookView
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, InstrumentId, Kind
from engine.strategies.door import Context, Evaluation, Needs, Parameters, decided

S = 1_000_000_000
BPS = 10_000


class TriangularParameters(Parameters):
    """What a round must leave, and how old a quote may be."""

    edge_min_bps: Annotated[float, Field(ge=0.0, le=1_000.0)] = 2.0
    """Basis points a round must leave after its three fees.

    Two: what one leg a tick worse would cost on a usual pair."""
    age_s_max: Annotated[float, Field(gt=0.0, le=60.0)] = 1.0
    """Oldest proof of any of the three books, in seconds.

    One: such gaps last no longer."""


class Triangle(NamedTuple):
    """Three books: A and B in the currency, and B in A."""

    a: BookView
    b: BookView
    cross: BookView


class WayRound(NamedTuple):
    """What one way round leaves."""

    edge_bps: float
    """Of what it takes, after three fees."""
    worth: float
    """Most it could take at these touches, in the currency."""


class TriangularArbitrage:
    """Counts what a round through three pairs would leave after fees; states no order."""

    name: ClassVar[str] = "triangular"
    category: ClassVar[str] = "several instruments"
    tags: ClassVar[tuple[str, ...]] = ("looks on",)
    needs: ClassVar[Needs] = Needs(instruments=3, kinds=frozenset({Kind.SPOT}))
    parameters_type: ClassVar[type[Parameters]] = TriangularParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        "triangle": GateWords(
            "the bot has three pairs of three assets",
            "the bot had two pairs of one currency and the pair between them",
            "{value} of {limit} pairs of a triangle are open",
            sign="≥",
            needed=True,
        ),
        "fresh": GateWords(
            "all books are fresh and have both sides",
            "all books were fresh and had both sides",
            "the oldest book is {value} s old, at most {limit}",
            sign="≤",
        ),
        "edge": GateWords(
            "a round leaves enough",
            "a round left more",
            "{value} basis points are left after three fees, at least {limit}",
            sign="≥",
        ),
        "counted": GateWords(
            "the account counts in what all three pairs are paid in",
            "the account counted in more than one currency",
            "the pairs are paid in {value} currencies, an account counts in {limit}",
            sign="≤",
            needed=True,
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        "first_bps": ValueWords("Left of buying A, then B with it, then selling B, basis points"),
        "second_bps": ValueWords("Left of buying B, then selling it for A, then A, basis points"),
        "worth": ValueWords("Most the better round could take at these touches, in the currency"),
    }
    references: tuple[str, ...] = ()
    touch_alone = True
    mid2_moved_min = 0
    replan_ns_min = 0
    timer_ns = 5 * S

    def __init__(self, parameters: TriangularParameters, bot: BotId) -> None:
        del bot
        self._p = parameters

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake on a change of a touch alone: the core sees to that."""
        del event, now_ns
        return False

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: it has no orders."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Count both ways round, and say what keeps it from more than that."""
        views = context.others.views()
        triangle = triangle_of(list(views))
        found = 3.0 if triangle else float(min(2, len(views)))
        gates: tuple[Gate, ...] = (Gate("triangle", triangle is not None, found, 3.0),)
        values: tuple[tuple[str, float], ...] = ()
        if triangle is not None:
            age_s = max(_age_s(view, now_ns) for view in triangle)
            gates = (*gates, Gate("fresh", age_s <= self._p.age_s_max, age_s, self._p.age_s_max))
            paid = float(len({view.instrument.currency for view in triangle}))
            counted = Gate("counted", paid <= 1.0, paid, 1.0)
            if gates[-1].passed:
                first, second = rounds_of(triangle)
                best = max(first, second)
                least = self._p.edge_min_bps
                gates = (*gates, Gate("edge", best.edge_bps >= least, best.edge_bps, least))
                values = (
                    ("first_bps", first.edge_bps),
                    ("second_bps", second.edge_bps),
                    ("worth", best.worth),
                )
            gates = (*gates, counted)
        decision = decided(context, now_ns, regime="looks on", gates=gates, inputs=values)
        return Evaluation(decision=decision)

    def forget(self, instrument: InstrumentId) -> None:
        """Keep nothing of it anyway."""

    def state(self) -> bytes:
        """Return nothing: all it needs is in the books."""
        return b""

    def restore(self, state: bytes) -> None:
        """Take nothing back."""


def triangle_of(views: list[BookView]) -> Triangle | None:
    """Return three spot pairs as a triangle; None = they are none, or a base is not known."""
    spots = [view for view in views if view.instrument.kind is Kind.SPOT]
    if len(spots) != 3:
        return None
    for a, b, cross in permutations(spots):
        one, two, three = a.instrument, b.instrument, cross.instrument
        if one.base is UNSET or two.base is UNSET or three.base is UNSET:
            return None
        same = one.currency == two.currency != three.currency
        if same and (three.base.id, three.currency) == (two.base.id, one.base.id):
            return Triangle(a, b, cross)
    return None


def rounds_of(triangle: Triangle) -> tuple[WayRound, WayRound]:
    """Return what both ways round leave at the touch; each book must have both sides.

    Sizes are what the least of the three touches allows, in the currency.
    """
    (a_bid, a_ask), (b_bid, b_ask), (x_bid, x_ask) = (_touch(view) for view in triangle)
    kept = 1.0
    for view in triangle:
        kept *= 1.0 - view.instrument.fees.taker_rate_ppm / 1e6
    first = b_bid.price / (a_ask.price * x_ask.price) * kept
    second = a_bid.price * x_bid.price / b_ask.price * kept
    return (
        WayRound(
            (first - 1.0) * BPS,
            min(a_ask.units * a_ask.price, x_ask.units * b_bid.price, b_bid.units * b_bid.price),
        ),
        WayRound(
            (second - 1.0) * BPS,
            min(b_ask.units * b_ask.price, x_bid.units * b_ask.price, a_bid.units * a_bid.price),
        ),
    )


class _Level(NamedTuple):
    """A price in what the pair is paid in, and how much of its base stands there."""

    price: float
    units: float


def _touch(view: BookView) -> tuple[_Level, _Level]:
    bid, bid_size, ask, ask_size = view.book.touch
    unit, whole = view.instrument.price_unit, 10**view.instrument.size_decimals
    return _Level(bid / unit, bid_size / whole), _Level(ask / unit, ask_size / whole)


def _age_s(view: BookView, now_ns: int) -> float:
    """Return how old the proof of a book is; one that lacks a side or is torn is a day old."""
    whole = view.trusted and view.best_bid is not None and view.best_ask is not None
    age_ns = view.age_ns(now_ns) if whole else None
    return 86_400.0 if age_ns is None else age_ns / S
