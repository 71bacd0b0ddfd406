"""The strategy's door: what every strategy takes, gives and may look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict

from engine.caches.views import BookView, InventoryView, References
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Decision
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.intents import Intent


class Parameters(BaseModel):
    """Base of a strategy's parameters: frozen, unknown keys refused, units in names, bounds.

    A parameter's docstring is its help: unit and meaning, and after an empty line why this default.
    A form shows them by the `groups` of its JSON schema, where there are some: [title, names].
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


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
    fill, new terms and a lost book wake it. `receive` is called all the same."""


class Strategy(Protocol):
    """One strategy object serves all instruments of one bot.

    `receive` is called with every market event and own fill of the watched instruments and
    references and says whether the instrument should be evaluated; `evaluate` is then called at
    most every `replan_ns_min`, and at least every `timer_ns`.
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
