"""A desk that puts on the tape what it is given, so that its moments can be lived again.

Every entry stands there before the desk acts on it: what the journal keeps of the outcome carries
the entry's position. A turn that cannot do anything is not worth an entry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.bots.bot import Bot
from engine.bots.roster import RosterCore
from engine.domain.commands import PlaceManual
from engine.domain.effects import Effect
from engine.domain.events import Event
from engine.domain.inputs import (
    Admitted,
    AnyInput,
    Asked,
    Began,
    CancelledByHand,
    Dismissed,
    Expiring,
    Fired,
    Forgot,
    Halted,
    Limited,
    Moved,
    PlacedByHand,
    Proving,
    Received,
    Roused,
    Seated,
    StartedOver,
    Turned,
    Wished,
    Withdrawn,
)
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.intents import Target
from engine.domain.orders import OrderId
from engine.domain.settings import RiskLimits
from engine.executor.manual import ManualRefused
from engine.executor.orders import LiveOrder
from engine.executor.proof import Scope

Put = Callable[[AnyInput, int], None]
"""Takes an input and its time in ns UTC."""


class InputBatch:
    """The market events put last, for all desks of one engine: they hear the same ones in a row."""

    def __init__(self) -> None:
        self.events: tuple[Event, ...] = ()


class TapedCore(RosterCore):
    """A `RosterCore` of which `put` hears every input, `batch` shared with the engine's others."""

    def __init__(self, *, put: Put, batch: InputBatch, **wiring: Any) -> None:
        super().__init__(**wiring)
        self._put = put
        self._batch = batch
        self._states: dict[BotId, str] = {}
        self._seating = False
        self._account: AccountId = self.executor.account
        self._turned = Turned(self._account)

    def _note(self, made: AnyInput, now_ns: int) -> None:
        """Put an input, and before it which bot stands in another state by now."""
        states = self._states
        for bot in self.bots:
            if states.get(bot.name) != bot.state:
                states[bot.name] = bot.state
                self._put(Moved(self._account, bot.name, bot.state), now_ns)
        self._put(made, now_ns)

    # -- time and the market -----------------------------------------------------------------------

    def turn(self, now_ns: int) -> list[Effect]:
        """Do a turn."""
        if self.due_ns <= now_ns or not self.executor.at_rest(now_ns):
            self._note(self._turned, now_ns)
        return super().turn(now_ns)

    def hears(self, events: tuple[Event, ...], now_ns: int) -> None:
        """Put the market's events, once for all desks that hear them."""
        if not events:
            return
        again = events is self._batch.events
        self._batch.events = events
        self._note(Received(self._account, None if again else events), now_ns)  # type: ignore[arg-type]

    def unkept(self, event: Event, now_ns: int) -> None:
        """Take an event the journal does not keep."""
        self._note(Fired(self._account, event), now_ns)  # type: ignore[arg-type]
        super().unkept(event, now_ns)

    def begin(self, now_ns: int) -> None:
        """Start the second's tick."""
        self._note(Began(self._account, bots_run=False), now_ns)
        super().begin(now_ns)

    def start(self, now_ns: int) -> None:
        """Start the second's tick and let idle bots run."""
        self._note(Began(self._account, bots_run=True), now_ns)
        super().start(now_ns)

    # -- bots --------------------------------------------------------------------------------------

    def add(self, bot: Bot, now_ns: int) -> None:
        """Add a bot."""
        self._states[bot.name] = bot.state
        learned = bot.strategy.state()
        self._note(Admitted(self._account, bot.given, bot.everything, bot.state, learned), now_ns)
        self._seating = True
        super().add(bot, now_ns)
        self._seating = False

    def attach(self, bot: Bot, now_ns: int) -> None:
        """Let a bot hear, again after an error."""
        if not self._seating:
            self._note(Seated(self._account, bot.name), now_ns)
        super().attach(bot, now_ns)

    def remove(self, bot: Bot, now_ns: int) -> None:
        """Remove a bot."""
        self._note(Dismissed(self._account, bot.name), now_ns)
        self._seating = True
        super().remove(bot, now_ns)
        self._seating = False

    def withdraw(self, bot: Bot, now_ns: int) -> None:
        """Forget a bot's wishes."""
        if not self._seating:
            self._note(Withdrawn(self._account, bot.name), now_ns)
        super().withdraw(bot, now_ns)

    def wish(self, target: Target, now_ns: int) -> None:
        """Take a wish of the engine itself."""
        self._note(Wished(self._account, target), now_ns)
        super().wish(target, now_ns)

    def place(self, asked: PlaceManual, now_ns: int) -> tuple[LiveOrder, int] | ManualRefused:
        """Place one order by hand."""
        self._note(PlacedByHand(self._account, asked), now_ns)
        return super().place(asked, now_ns)

    def reevaluate(self, bot: Bot, now_ns: int) -> None:
        """Evaluate all of a bot's instruments with the next turn."""
        self._note(Roused(self._account, bot.name), now_ns)
        super().reevaluate(bot, now_ns)

    # -- the engine
    # ---------------------------------------------------------------------------------

    def recover(self, now_ns: int) -> list[Effect]:
        """Ask the venue everything."""
        self._note(StartedOver(self._account), now_ns)
        return super().recover(now_ns)

    def cancel(self, order: OrderId, now_ns: int) -> list[Effect]:
        """Cancel one order by hand."""
        self._note(CancelledByHand(self._account, order), now_ns)
        return super().cancel(order, now_ns)

    def stop_all(self, reason: str, now_ns: int) -> list[Effect]:
        """Cancel everything and place nothing any more."""
        self._note(Halted(self._account, reason), now_ns)
        return super().stop_all(reason, now_ns)

    def asked(self, effect: Effect, now_ns: int) -> list[Effect]:
        """Take an effect the engine itself asks for."""
        self._note(Asked(self._account, effect), now_ns)  # type: ignore[arg-type]
        return super().asked(effect, now_ns)

    def prove(self, scope: Scope, now_ns: int) -> None:
        """Begin to prove that nothing in scope is open."""
        self._note(Proving(self._account, scope), now_ns)
        super().prove(scope, now_ns)

    def limit(self, limits: RiskLimits, now_ns: int) -> None:
        """Take other risk limits."""
        self._note(Limited(self._account, limits.model_dump_json().encode()), now_ns)
        super().limit(limits, now_ns)

    def expire_quotes(self, life_ms: int | None, now_ns: int) -> None:
        """Let resting orders end by themselves after so long; None = they do not."""
        self._note(Expiring(self._account, life_ms), now_ns)
        super().expire_quotes(life_ms, now_ns)

    def forget(self, instrument: InstrumentId, now_ns: int, *, held: bool) -> None:
        """Drop an instrument that is over."""
        self._note(Forgot(self._account, instrument, held), now_ns)
        super().forget(instrument, now_ns, held=held)
