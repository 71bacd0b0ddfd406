"""Decisions: why a strategy wants what it wants, and what the executor made of the intent."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from engine.domain.events import BookMarked
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.intents import Intent, Quotes, ResidualReason, Target
from engine.domain.orders import OrderId


class Gate(msgspec.Struct, frozen=True, gc=False):
    """One condition a strategy looked at, in order. The first that fails is the reason."""

    name: str
    passed: bool
    value: float
    limit: float


class Rest(msgspec.Struct, frozen=True, gc=False):
    """A pause a strategy gave itself in one instrument: it opens nothing until it is over."""

    until_ns: int
    why: str
    """A clause in plain words: the facts it rests for."""


class Stance(StrEnum):
    """What a decision comes to, whatever words its strategy has for it."""

    QUOTE = "quote"
    """It wants quotes."""
    TARGET = "target"
    """It wants a position, or several together."""
    HOLD = "hold"
    """What it wanted before stands."""
    BLOCKED = "blocked"
    """It wants nothing: a gate failed, or there is nothing it would trade."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One evaluation: inputs, fair-value build-up, gates in order with values, and the intent.

    `inputs` and `build_up` are (name, value) in the units their names end with; prices are floats
    in the currency, because they are a model's numbers and not orders.
    """

    number: int
    bot: BotId
    instrument: InstrumentId
    at_ns: int
    regime: str
    inputs: tuple[tuple[str, float], ...]
    build_up: tuple[tuple[str, float], ...]
    gates: tuple[Gate, ...]
    outcome: str
    """In the strategy's own word; where a gate failed, its name. Pages go by `stance`."""
    intent: Intent | None
    """What is wanted; None = the previous intent stands (sticky)."""
    notes: tuple[tuple[str, str], ...] = ()
    """(name, text): facts in words, for example where the strike was proven."""

    @property
    def stance(self) -> Stance:
        """What it comes to; it follows from intent and gates, so it never contradicts them."""
        intent = self.intent
        if isinstance(intent, Quotes):
            return Stance.QUOTE if intent.bids or intent.asks else Stance.BLOCKED
        if intent is not None:
            return Stance.TARGET
        failed = any(not gate.passed for gate in self.gates)
        return Stance.BLOCKED if failed else Stance.HOLD

    def alike(self, other: Decision | None) -> bool:
        """Say whether a reader would call the two the same: regime, outcome and intent."""
        return (
            other is not None
            and self.instrument == other.instrument
            and self.regime == other.regime
            and self.outcome == other.outcome
            and self.intent == other.intent
        )


class Verdict(StrEnum):
    """What a rule of risk said to a plan."""

    PASSED = "passed"
    SHRANK = "shrank"
    """It left room for less than was asked."""
    DENIED = "denied"
    NOT_ASKED = "not asked"
    """A rule before it had said no already."""


class Unit(StrEnum):
    """What a rule counts in."""

    NONE = "none"
    """It holds or it does not."""
    MICRO = "micro"
    """Micro-units of the account's currency."""
    COUNT = "count"
    SIZE = "size"
    """Size increments of the instrument."""
    BPS = "bps"
    """Basis points of a price."""
    NS = "ns"


class Rule(msgspec.Struct, frozen=True, gc=False):
    """One rule of risk as it stood after a plan, orders of the plan included."""

    name: str
    verdict: Verdict
    value: int
    limit: int
    unit: Unit


class Resting(msgspec.Struct, frozen=True, gc=False):
    """One order as a plan saw or made it: price of its own leg, size that may still fill."""

    order: OrderId
    leg: Leg
    side: Side
    price: int
    size: int


class LeftOver(msgspec.Struct, frozen=True, gc=False):
    """A part of an intent that became no order: YES-space side and price, size, and the reason."""

    reason: ResidualReason
    side: Side
    price: int
    size: int


class LevelsAhead(msgspec.Struct, frozen=True, gc=False):
    """The best levels, in YES-space, of the owners who go before one; None = no such level."""

    bid: int | None
    ask: int | None


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of the executor about one instrument: the intent against what rested, as a diff.

    Every order of `places` carries `at_ns` as its `created_ns`: that is the exact link back.
    """

    decision: int
    """Number of the decision behind the intent; 0 = no intent of a strategy stood."""
    account: AccountId
    bot: BotId | None
    instrument: InstrumentId
    at_ns: int
    places: tuple[Resting, ...]
    cancels: tuple[OrderId, ...]
    rests: tuple[Resting, ...]
    """What stayed as it was; orders whose cancel was asked earlier are not among them."""
    left: tuple[LeftOver, ...]
    rules: tuple[Rule, ...]
    """Risk's rules in the order it asks them; empty where nothing was to be placed."""
    denied: tuple[tuple[str, int], ...] = ()
    """Every number risk looked at when it said no."""
    mark: BookMarked | None = None
    """The book as the plan saw it: with the journal and the intent all that made the plan."""
    intent: Quotes | Target | None = msgspec.field(default=None, name="intent")
    """The intent, where it was the engine's own: a strategy's stands in its decision."""
    ahead: LevelsAhead | msgspec.UnsetType = msgspec.UNSET
    """What other owners who go first wanted or had resting; UNSET = none goes before this one."""
    turn: int | msgspec.UnsetType = msgspec.UNSET
    """Which of several turns of one moment it is of: 1 = the second. UNSET = the first."""
