"""What an engine asks of the core of an account, in words.

Each question becomes one input, which is what the tape keeps: a core is asked through `receive`.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.bots.bot import Bot, Cell
from engine.bots.signals import Signals
from engine.caches.markets import MarketCache
from engine.domain.bots import BotState
from engine.domain.decisions import Decision
from engine.domain.effects import Effect
from engine.domain.events import Event
from engine.domain.inputs import (
    AnyInput,
    Began,
    BotReevaluated,
    BotRemoved,
    Expiring,
    Limited,
    TargetSet,
)
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.intents import Target
from engine.domain.settings import RiskLimits
from engine.executor.executor import Executor

FAR = 1 << 59
"""More than twice the mid of any book, in increments."""


class AskedCore:
    """The questions of an engine to one account's core."""

    _account: AccountId
    _cells: dict[InstrumentId, tuple[Cell, ...]]
    cache: MarketCache
    signals: Signals
    bots: tuple[Bot, ...]
    executor: Executor
    busy: tuple[Bot, object] | None
    """The call of a strategy that runs now."""

    def receive(self, given: AnyInput | Event, now_ns: int) -> list[Effect]:
        """Take an input; return the effects it asks for at once."""
        raise NotImplementedError

    def _bot(self, name: BotId) -> Bot:
        return next(bot for bot in self.bots if bot.name == name)

    def fail(self, bot: Bot, error: BaseException, now_ns: int) -> None:
        """Stop a bot that raised, and no other."""
        raise NotImplementedError

    def _over(self, *, raised: bool = False) -> None:
        """Note that a call of a strategy is over."""
        raise NotImplementedError

    def kept_state(self, bot: Bot, now_ns: int) -> bytes:
        """Return what a bot's strategy has learned. One that raises stops its own bot alone.

        Of a bot that failed it is what was read last: its strategy is not asked again.
        """
        if bot.state is BotState.ERROR:
            return bot.kept
        self.busy = bot, self
        try:
            state = bot.strategy.state()
            self._over()
            bot.keep(state)
        except BaseException as error:  # noqa: BLE001 a bot that raises stops alone (architecture §9)
            self.fail(bot, error, now_ns)
        return bot.kept

    def _made_by(
        self, bot: Bot, ask: Callable[[], Decision | None], now_ns: int
    ) -> Decision | None:
        """Return the decision a strategy gives; None = it gives none, or raised and is stopped."""
        self.busy = bot, self
        try:
            made = ask()
            self._over()
        except BaseException as error:  # noqa: BLE001 a bot that raises stops alone (architecture §9)
            self.fail(bot, error, now_ns)
            return None
        return made

    def reads_bars_alone(self, instrument: InstrumentId) -> bool:
        """Say whether no snapshot and no trade of it wakes a bot or feeds what one reads.

        Only where its bars are given, as a file tells them, and its book is trusted.
        """
        view = self.cache.views.get(instrument)
        if view is None or not view.trusted or not self.signals.bars_alone(instrument):
            return False
        for cell in self._cells.get(instrument, ()):
            if cell.mid2_above >= 0 or cell.mid2_below <= FAR:
                return False
        return True

    def start(self, now_ns: int) -> None:
        """Start the second's tick and let all idle bots run."""
        self.receive(Began(self._account, bots_run=True), now_ns)

    def begin(self, now_ns: int) -> None:
        """Start the second's tick; no bot is started."""
        self.receive(Began(self._account, bots_run=False), now_ns)

    def remove(self, bot: Bot, now_ns: int) -> None:
        """Remove a bot, and its intents with it."""
        self.receive(BotRemoved(self._account, bot.name), now_ns)

    def reevaluate(self, bot: Bot, now_ns: int) -> None:
        """Have a bot state its intents anew with the next turn."""
        self.receive(BotReevaluated(self._account, bot.name), now_ns)

    def set_target(self, target: Target, now_ns: int) -> None:
        """Take an intent of the engine itself: a bot that leaves evaluates no more."""
        self.receive(TargetSet(self._account, target), now_ns)

    def limit(self, limits: RiskLimits, now_ns: int) -> None:
        self.receive(Limited(self._account, limits.model_dump_json().encode()), now_ns)

    def expire_quotes(self, life_ms: int | None, now_ns: int) -> None:
        """Let resting orders end by themselves after so long; None = they do not."""
        self.receive(Expiring(self._account, life_ms), now_ns)
