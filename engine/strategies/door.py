"""The strategy's door: what every strategy takes, gives and may look at."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict

from engine.caches.views import BookView, InventoryView, Observations, References
from engine.domain.bars import DEPTH_MAX, Bar, bar_spec
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Decision, Gate, Rest
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, InstrumentId, Kind
from engine.domain.intents import Basket, Intent
from engine.errors import BadInput
from engine.indicators.columns import FloatColumn
from engine.indicators.door import Variant
from engine.indicators.library import fresh


class Parameters(BaseModel):
    """Base of a strategy's parameters: frozen, unknown keys refused, units in names, bounds.

    A parameter's docstring is its help: unit and meaning, and after an empty line why this default.
    `Field(title=...)` is its label in forms, with the unit; without one its name is read as words.
    A form shows them by the `groups` of its JSON schema, where there are some: [title, names].
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Reads(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy reads of each of its instruments besides the book; its field `reads`.

    Raises BadInput where there are no such bars or no such indicator.
    """

    bars: Mapping[str, int] = {}
    """Name of the bars → how many closed ones it looks back on, for example `{"1m": 200}`."""
    indicators: Mapping[str, Variant] = {}
    """The name the strategy gives it → the variant. Equal variants are computed once for all."""

    def __post_init__(self) -> None:
        for name, depth in self.bars.items():
            if bar_spec(name).text != name:
                raise BadInput(f"bars {name}: they are named {bar_spec(name).text}")
            if not 1 <= depth <= DEPTH_MAX:
                raise BadInput(f"bars {name}: {depth} closed ones cannot be kept: 1 to {DEPTH_MAX}")
        for variant in self.indicators.values():
            fresh(variant)

    @property
    def series(self) -> dict[str, int]:
        """Name of every series it needs → closed bars that are kept of it."""
        needed = {variant.bars: 1 for variant in self.indicators.values() if variant.bars}
        return needed | dict(self.bars)


NOTHING = Reads()


def not_declared(name: str, count: int, reads: Reads) -> str:
    """Return why so many closed bars may not be read: what is kept is what `reads` declares.

    More of them may lie there while another bot reads more, and are gone after a restart.
    """
    depth = reads.bars.get(name)
    if depth is None:
        return f"bars {name} are not declared: name them in `reads`"
    return f"{count:,} bars {name} are read, {depth:,} are declared: declare as many in `reads`"


class Readings(Protocol):
    """The bars and indicators a strategy declared, as they stand at one evaluation."""

    def bars(self, name: str, count: int) -> Sequence[Bar]:
        """Return the last closed bars, the oldest first; fewer where there are not so many.

        Raises BadInput where `reads` does not name them, or declares fewer.
        """
        ...

    def indicator(self, name: str) -> float | None:
        """Return the number of the variant of this name; None = it is not known yet.

        Raises BadInput where `reads` does not name it.
        """
        ...


class ColumnReadings(Protocol):
    """The same of many bars that are known ahead: a number for each, as it will stand at its close.

    Not a number = it is not known.
    """

    def indicator(self, name: str) -> FloatColumn:
        """Return the numbers of a declared variant. Raises BadInput for one not fed with bars."""
        ...

    def bars(self, field: str, back: int = 0) -> FloatColumn:
        """Return `open`, `high`, `low`, `close` or `volume` of the bar so many before each.

        Raises BadInput for more than `reads` declares.
        """
        ...


class NoReadings:
    """The readings of a strategy that declared none."""

    def bars(self, name: str, count: int) -> Sequence[Bar]:
        """Raise BadInput."""
        raise BadInput(not_declared(name, count, NOTHING))

    def indicator(self, name: str) -> float | None:
        """Raise BadInput."""
        raise BadInput(f"indicator {name} is not declared: name it in `reads`")


NO_READINGS = NoReadings()


class BotView(Protocol):
    """All instruments of the bot: what a strategy of several looks at in one evaluation."""

    def views(self) -> Sequence[BookView]:
        """Return the books of its instruments that are not closed, in the order it took them."""
        ...

    def inventory(self, instrument: InstrumentId) -> InventoryView:
        """Return what the bot holds in one of them. Raises BadInput for another instrument."""
        ...

    def readings(self, instrument: InstrumentId, now_ns: int) -> Readings:
        """Return the bars and indicators `reads` declares, of one; raises as `inventory`."""
        ...


def not_the_bots(instrument: InstrumentId) -> str:
    """Return why a strategy may not look at an instrument that its bot does not trade."""
    return f"{instrument} is none of the bot's instruments"


class NoOthers:
    """The instruments of a bot that has none yet."""

    def views(self) -> Sequence[BookView]:
        return ()

    def inventory(self, instrument: InstrumentId) -> InventoryView:
        """Raise BadInput."""
        raise BadInput(not_the_bots(instrument))

    def readings(self, instrument: InstrumentId, now_ns: int) -> Readings:
        """Raise BadInput."""
        del now_ns
        raise BadInput(not_the_bots(instrument))


NO_OTHERS = NoOthers()


NO_OBSERVATIONS = Observations()


class Context(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything a strategy may look at in one evaluation of one instrument."""

    bot: BotId
    decision: int
    """The number the decision record must carry."""
    view: BookView
    inventory: InventoryView
    references: References
    capital_micro: int
    """What the bot may use, in micro-units of the account's currency."""
    healthy: bool = True
    """False while anything of law M forbids placing."""
    reducing: bool = False
    """True while the bot winds down: only reduce."""
    readings: Readings = NO_READINGS
    """What the strategy's `reads` declares."""
    others: BotView = NO_OTHERS
    """All instruments of the bot, this one among them."""
    observed: Observations = NO_OBSERVATIONS
    """What the keys of its `observes` said last."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a strategy believes an instrument is worth, for the sizing of its bot."""

    fair: float
    """In the currency; of a binary the probability of YES, 0 to 1."""
    confidence: float = 1.0
    """How sure it is of that, 0 to 1."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one evaluation gave: the record of why, and what to tell the executor.

    `intents` empty = the previous intent stands (sticky); an empty `Quotes` cancels it.
    """

    decision: Decision
    intents: tuple[Intent, ...] = ()
    alert: str = ""
    """An alert for a person, once: the facts and what to do; empty = nothing."""
    quiet: bool = False
    """True = no market event changes this answer before the next timer: until then only an own
    fill, new terms, a lost book and an `Observed` of its keys wake it. `receive` is called all the
    same."""
    rest: Rest | None = None
    """A pause of its own, said with every evaluation while it lasts; None = it may open."""
    claim: Claim | None = None
    """The edge behind a `Target`, where the strategy has one: Kelly sizing is made of it."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Evaluation)


def check_evaluation(given: object, bot: BotId, watched: Container[InstrumentId]) -> None:
    """Raise BadInput where `given` is no evaluation, or what it wants is not this bot's to want.

    `watched` are the instruments of the bot. A struct does not check what it is made of: a position
    of 1.5 would stand in the journal, and no start could read it again.
    """
    if type(given) is not Evaluation:
        raise BadInput(f"evaluate gave {type(given).__name__}: it must give an Evaluation")
    try:
        _DECODER.decode(_ENCODER.encode(given))
    except (msgspec.ValidationError, TypeError, OverflowError) as error:
        raise BadInput(f"evaluate gave an Evaluation that cannot be kept: {error}") from None
    for intent in given.intents:
        parts = intent.targets if type(intent) is Basket else (intent,)
        for part in (intent, *parts):
            if part.bot != bot:
                raise BadInput(f"evaluate gave an intent of {part.bot!r}: it must be of {bot!r}")
        for part in parts:
            if not isinstance(part, Basket) and part.instrument not in watched:
                raise BadInput(f"evaluate wants {part.instrument!r}, which is not its bot's")


def decided(
    context: Context,
    now_ns: int,
    *,
    regime: str,
    gates: tuple[Gate, ...],
    inputs: tuple[tuple[str, float], ...] = (),
    intent: Intent | None = None,
    acts: str = "quote",
    notes: tuple[tuple[str, str], ...] = (),
) -> Decision:
    """Return the record of an evaluation of `context.view.instrument`.

    Its outcome is `acts` where there is an intent, otherwise the first gate that failed, or `hold`.
    """
    failed = next((gate.name for gate in gates if not gate.passed), "hold")
    return Decision(
        number=context.decision,
        bot=context.bot,
        instrument=context.view.instrument.id,
        at_ns=now_ns,
        regime=regime,
        inputs=inputs,
        build_up=(),
        gates=gates,
        outcome=acts if intent else failed,
        intent=intent,
        notes=notes,
    )


class Needs(NamedTuple):
    """What data must hold for a strategy to ever decide; its class field `needs`.

    A proof reads it before it plays anything: where the data cannot have it, the strategy would
    lack it at every moment, so it is not played.
    """

    instruments: int = 1
    """So many at the same time."""
    kinds: frozenset[Kind] = frozenset()
    """An instrument of each of these; empty = of any."""
    observed: bool = False
    """Something that somebody outside said."""


NEEDS_NOTHING = Needs()


class StrategyDeclared(NamedTuple):
    """What a strategy declares of itself, read once when its bot is made."""

    replan_ns_min: int
    timer_ns: int
    mid2_moved_min: int
    touch_alone: bool
    references: tuple[str, ...]
    reads: Reads
    observes: tuple[str, ...]
    gates: Mapping[str, GateWords]


OPTIONAL: Mapping[str, object] = {"reads": NOTHING, "observes": (), "gates": {}}


def declared_by(strategy: object) -> StrategyDeclared:
    """Return what a strategy declares. Raises BadInput for a field that lacks or is another kind.

    A field may be a property: whoever calls this watches how long it takes.
    """
    given = {}
    for name in StrategyDeclared._fields:
        found = getattr(strategy, name, OPTIONAL.get(name))
        if not _KINDS[name](found):
            raise BadInput(f"its {name} is {found!r}: it must be {_WORDS[name]}")
        given[name] = found
    return StrategyDeclared(**given)  # type: ignore[arg-type]


def _whole_number(found: object) -> bool:
    return type(found) is int and found >= 0


def _names(found: object) -> bool:
    return isinstance(found, tuple) and all(isinstance(one, str) for one in found)


_KINDS: Mapping[str, Callable[[object], bool]] = {
    "replan_ns_min": _whole_number,
    "timer_ns": lambda found: _whole_number(found) and found != 0,
    "mid2_moved_min": _whole_number,
    "touch_alone": lambda found: isinstance(found, bool),
    "references": _names,
    "reads": lambda found: isinstance(found, Reads),
    "observes": _names,
    "gates": lambda found: isinstance(found, Mapping),
}
_WORDS: Mapping[str, str] = {
    "replan_ns_min": "a whole number of nanoseconds, 0 or more",
    "timer_ns": "a whole number of nanoseconds, 1 or more",
    "mid2_moved_min": "a whole number of increments, 0 or more",
    "touch_alone": "True or False",
    "references": "a tuple of texts",
    "reads": "of the kind Reads",
    "observes": "a tuple of texts",
    "gates": "a mapping of names to GateWords",
}


class Strategy(Protocol):
    """One strategy object serves all instruments of one bot.

    `receive` is called with every market event and own fill of the watched instruments and
    references and says whether the instrument should be evaluated; `evaluate` is then called at
    most every `replan_ns_min`, and at least every `timer_ns`. One with a field `reads: Reads` is
    given bars and indicators, too: each `BarClosed` of its bars comes to `receive`. One with a
    field `observes: tuple[str, ...]`, keys of outside information, is given every `Observed` of
    them in `receive`, and the last ones as `context.observed`.
    """

    name: ClassVar[str]
    parameters_type: ClassVar[type[Parameters]]
    gates: ClassVar[Mapping[str, GateWords]]
    """Every gate its decisions may hold, in words; pages show them and know none by heart."""
    values: ClassVar[Mapping[str, ValueWords]]
    """Every input and part of a fair value its decisions may hold, in words."""
    replan_ns_min: int
    timer_ns: int
    mid2_moved_min: int
    """0 = it gets every event of its books and trades; otherwise only a move of twice the mid by
    this many increments since it was last woken wakes it, and `receive` is not called for them."""
    touch_alone: bool
    """True = of a book it reads the best prices and their sizes alone: only a snapshot and a change
    of those wake it, and `receive` is called for trades but not for books."""
    references: tuple[str, ...]
    """Keys of the reference prices it listens to."""

    def receive(self, event: Event, now_ns: int) -> bool:
        """Take an event into the indicators, O(1). True = evaluate the instrument soon."""
        ...

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Take an own fill (price in the leg's space) for markout and inventory learning."""
        ...

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Say what to quote in `context.view.instrument`, and why."""
        ...

    def forget(self, instrument: InstrumentId) -> None: ...

    def state(self) -> bytes:
        """Return everything that must survive a restart."""
        ...

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        ...
