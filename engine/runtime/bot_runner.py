"""Bots on a live desk: created from settings, moved by the one table, watched until it is true.

PAUSED and STOPPED are said only when two complete listings have shown none of the bot's orders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec
from pydantic import BaseModel, ConfigDict

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.bots.signals import FAILS, learned_of
from engine.domain.bots import TRANSITIONS, BotHappened, BotState
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.commands import Answered, InventoryPolicy
from engine.domain.events import Event, OrderFilled
from engine.domain.inputs import BotReattached, Following
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.intents import Target, Urgency
from engine.domain.money import MICRO
from engine.domain.settings import BotSettings
from engine.errors import BadInput, BrokenInvariant, InvalidTransition, TookTooLong
from engine.runtime.account_runner import AccountRunner
from engine.strategies.door import Context, Evaluation
from engine.strategies.registry import STRATEGIES, build, code_of, restore_state

EXIT_NS_MAX = 30 * 1_000_000_000
"""How long EXIT tries before it says what is left, and how long a feed may take to list it."""

RETREAT_VALID_NS = 5 * 1_000_000_000
RETREAT_EVERY_NS = 1_000_000_000

S, H = BotState, BotHappened


class BotSnapshot(msgspec.Struct, kw_only=True):
    """What survives of a bot."""

    state: BotState
    error: str = ""
    inventory: InventoryPolicy = InventoryPolicy.HOLD
    strategy: bytes = b""
    killed: bool = False
    """A KILL paused it."""
    signals: bytes = b""
    """What its bars and indicators had learned."""


class BotRunner:
    """One bot at its account's desk."""

    def __init__(
        self, settings: BotSettings, runner: AccountRunner, bot: Bot | None = None
    ) -> None:
        """`bot` None = one is made. Raises BadInput, ConfigError where its strategy cannot be."""
        self.settings = settings
        self.runner = runner
        self.inventory = settings.inventory_on_stop
        self.killed = False
        """A KILL paused it, and no person has asked anything else of it since."""
        self.waiting: list[Answered] = []
        """Who waits for PAUSED or STOPPED."""
        self.retreat_ns = 0
        """Since when inventory is being reduced; 0 = it is not."""
        self.retreated_ns = 0
        self.touched: dict[InstrumentId, int] = {}
        """The touch at which an EXIT began: its slippage is counted from there."""
        self.told: BotState | None = None
        """The state that was reported last; None = none was."""
        self.knows = not settings.follows
        """False until it was found out what its filter leads to: until then nothing has left it."""
        self.bot = bot or bot_of(settings, runner.account)

    def snapshot(self, now_ns: int) -> BotSnapshot:
        """Return what survives of it. A strategy that cannot give its state stops with an error."""
        bot = self.bot
        learned = self.runner.core.kept_state(bot, now_ns)
        return BotSnapshot(
            state=bot.state,
            error=bot.error,
            inventory=self.inventory,
            killed=self.killed,
            strategy=learned,
            signals=self.runner.core.signals.state(bot.name),
        )

    @property
    def outdated(self) -> bool:
        """Whether its plug-in was taken anew since: it runs what it began with until it stops."""
        kind = STRATEGIES.get(self.settings.strategy)
        return bool(self.bot.code) and type(self.bot.strategy) is not kind

    def may(self, happened: BotHappened) -> bool:
        """Say whether the bot takes that where it stands."""
        return (self.bot.state, happened) in TRANSITIONS

    def happen(self, happened: BotHappened) -> None:
        """Move the bot. Raises InvalidTransition."""
        if not self.may(happened):
            raise InvalidTransition(f"a bot that is {self.bot.state} cannot take {happened}")
        self.bot.state = TRANSITIONS[self.bot.state, happened]

    def answer(self, *, done: bool, text: str) -> None:
        """Answer everybody who waits for the end of a pause or a stop."""
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one(done, text)

    # -- asked -------------------------------------------------------------------------------------

    def start(self, now_ns: int) -> str:
        """Start or resume: it runs as soon as its account is ready.

        Return a sentence where what its strategy had learned could not be read; empty = it was, or
        the same strategy goes on. Raises BadInput, ConfigError where its strategy cannot be made:
        then it stays as it was.
        """
        resumed = self.bot.state in (S.PAUSED, S.PAUSING)
        anew, kept = self.bot.state is S.ERROR, self.bot.kept
        if not anew and not resumed and self.outdated:
            anew, kept = True, self.runner.core.kept_state(self.bot, now_ns)
        note = renew(self.bot, kept) if anew else ""
        self.happen(H.RESUME_ASKED if resumed else H.START_ASKED)
        self.bot.error = ""
        self.killed = False
        self.retreat_ns = 0
        if not anew:
            return ""
        self.bot.cells.clear()
        given = BotReattached(self.bot.account, self.bot.name, self.bot.kept, self.bot.code)
        self.runner.core.receive(given, now_ns)
        return note

    def pause(self, now_ns: int, *, by_kill: bool = False) -> None:
        """Withdraw its intents; it is PAUSED when nothing of it is open any more."""
        self.happen(H.PAUSE_ASKED)
        self.killed = by_kill
        self.runner.core.withdraw(self.bot, now_ns)

    def stop(self, inventory: InventoryPolicy, now_ns: int) -> None:
        """Withdraw its intents, treat its inventory; it is STOPPED when that is proven."""
        self.happen(H.STOP_ASKED)
        self.killed = False
        self.inventory = inventory
        self.retreat_ns = 0
        self.runner.core.withdraw(self.bot, now_ns)

    def follow(self, instruments: list[InstrumentId], now_ns: int) -> None:
        """Have it trade these besides its own; of what left them what is held is only reduced."""
        self.knows = True
        if self.bot.followed != frozenset(instruments):
            given = Following(self.runner.account, self.bot.name, tuple(instruments))
            self.runner.receive(given, now_ns)

    def leaving(self) -> list[InstrumentId]:
        """Return what it holds of markets that left the filter it follows."""
        if not self.settings.follows or not self.knows:
            return []
        core, bot = self.runner.core, self.bot
        return [
            key
            for key in core.executor.ledger.held
            if core.executor.ledger.owned(key, bot.name).position
            and (view := core.cache.views.get(key)) is not None
            and not (view.closed or bot.wants(view.instrument))
        ]

    # -- watched -----------------------------------------------------------------------------------

    def watch(self, now_ns: int) -> bool:
        """Move on what has become true; True = its account had something to do for that.

        Call it several times a second.
        """
        executor, state = self.runner.core.executor, self.bot.state
        stopped = executor.stopped is not None
        if state is S.STARTING and not executor.recovering and not stopped:
            self.happen(H.READY)
            self.runner.core.reevaluate(self.bot, now_ns)
        elif stopped and self.may(H.RISK_STOP):
            self.happen(H.RISK_STOP)
            self.runner.core.withdraw(self.bot, now_ns)
        elif state is S.RISK_STOPPED and not stopped:
            self.happen(H.RISK_LIFTED)
        elif state is S.PAUSING and executor.proven(self.bot.name) is not None:
            self.happen(H.CLEARED)
            self.answer(done=True, text="paused; proven: none of its orders is open")
        elif state is S.STOPPING:
            self._watch_stop(now_ns)
        elif state is S.RUNNING and self.settings.follows:
            if now_ns - self.retreated_ns < RETREAT_EVERY_NS:
                return False
            self._reduce(self.leaving(), now_ns)
        else:
            if state is S.ERROR:
                self.answer(done=False, text=f"the bot is in ERROR: {self.bot.error}")
            return False
        return True

    def _watch_stop(self, now_ns: int) -> None:
        executor = self.runner.core.executor
        if self.inventory is not InventoryPolicy.HOLD:
            if executor.recovering:
                return  # after a start nothing is listed yet: what is held would not be seen
            held = self._open_holdings()
            late = bool(self.retreat_ns) and now_ns - self.retreat_ns > EXIT_NS_MAX
            waits = not late and self._ignored()
            if (held or waits) and not (late and self.inventory is InventoryPolicy.EXIT):
                self._retreat(held, now_ns)
                return
            if self.retreat_ns:
                self.retreat_ns = 0
                self.runner.core.withdraw(self.bot, now_ns)
            self.inventory = InventoryPolicy.HOLD
            return
        if executor.proven(self.bot.name) is None:
            return
        self.happen(H.CLEARED)
        left = len(self._open_holdings())
        where = "an open instrument" if left == 1 else f"{left} open instruments"
        rest = f"; inventory is left in {where}" if left else ""
        self.answer(done=True, text=f"stopped; proven: none of its orders is open{rest}")

    def _open_holdings(self) -> list[InstrumentId]:
        """Return where this bot holds something that still can be left."""
        core, ledger = self.runner.core, self.runner.core.executor.ledger
        return [
            key
            for key in ledger.held
            if ledger.owned(key, self.bot.name).position
            and (view := core.cache.views.get(key)) is not None
            and not view.closed
        ]

    def _ignored(self) -> bool:
        """Say whether this bot holds something that no feed has listed so far."""
        ledger = self.runner.core.executor.ledger
        return any(
            ledger.owned(key, self.bot.name).position and key not in self.runner.core.cache.views
            for key in ledger.held
        )

    def _retreat(self, held: list[InstrumentId], now_ns: int) -> None:
        """Aim at a position of zero: passively at the touch, or at the slippage limit."""
        if not self.retreat_ns:
            self.retreat_ns = now_ns
            self.touched.clear()
        if now_ns - self.retreated_ns >= RETREAT_EVERY_NS:
            self._reduce(held, now_ns, cross=self.inventory is InventoryPolicy.EXIT)

    def _reduce(self, held: list[InstrumentId], now_ns: int, *, cross: bool = False) -> None:
        self.retreated_ns, core = now_ns, self.runner.core
        for key in held:
            slip = None
            if cross:
                terms = core.cache.views[key].instrument
                slip = int(self.settings.slippage_exit_max * terms.price_unit)
            target = way_out(core, key, self.bot.name, now_ns, slip=slip, touched=self.touched)
            if target is not None:
                core.set_target(target, now_ns)


def way_out(
    core: AccountCore,
    key: InstrumentId,
    bot: BotId,
    now_ns: int,
    *,
    slip: int | None,
    touched: dict[InstrumentId, int],
) -> Target | None:
    """Return the intent of a position of zero: at the touch, or taking up to `slip` beyond it.

    None = the book is empty there. `touched` keeps the touch at which it began: each try
    takes what is within reach and moves the touch, and a cap that followed it would walk through
    the whole book. A market that got better moves it our way.
    """
    view = core.cache.views[key]
    long = core.executor.ledger.owned(key, bot).position > 0
    touch = view.best_bid if long is (slip is not None) else view.best_ask
    if touch is None:
        return None
    instrument = view.instrument
    limit = touch
    if slip is not None:
        began = touched.setdefault(key, touch)
        limit = max(began, touch) - slip if long else min(began, touch) + slip
    limit = min(instrument.product.top, limit)
    return Target(
        bot=bot,
        instrument=key,
        position=0,
        limit_price=max(instrument.tick, limit),  # the planner rounds it our way
        urgency=Urgency.REST if slip is None else Urgency.CROSS,
        valid_until_ns=now_ns + RETREAT_VALID_NS,
    )


def bot_of(
    settings: BotSettings,
    account: AccountId,
    kind: type[object] | None = None,
    *,
    everywhere: bool = False,
) -> Bot:
    """Return the bot of these settings, fresh; `kind` = with a strategy of that class.

    `everywhere` = where they name no market and no series, it trades whatever is listed. Raises
    BadInput, ConfigError for its parameters.
    """
    name = BotId(settings.name)
    strategy = build(settings.strategy, settings.parameters, name, kind)
    return Bot(
        name=name,
        account=account,
        strategy=strategy,
        code=code_of(strategy),
        capital_micro=round(settings.capital * MICRO),
        instruments=frozenset(InstrumentId(name) for name in settings.instruments),
        series=frozenset(settings.series),
        instruments_max=settings.instruments_max,
        priority=settings.priority,
        given=settings.model_dump_json().encode(),
        sizing=settings.sizing,
        everything=everywhere and not (settings.instruments or settings.series),
    )


class NoStrategy(BaseModel):
    """Parameters of a strategy that was not made: whatever was typed."""

    model_config = ConfigDict(extra="allow")


class Unmade:
    """Stands where a strategy could not be made, until a person starts its bot: it does nothing."""

    name = "unmade"
    parameters_type = NoStrategy
    gates: ClassVar[Mapping[str, GateWords]] = {}
    values: ClassVar[Mapping[str, ValueWords]] = {}
    replan_ns_min = 0
    timer_ns = 1 << 60
    mid2_moved_min = 1 << 60
    touch_alone = True
    references: tuple[str, ...] = ()

    def __init__(self, parameters: NoStrategy, bot: BotId) -> None:
        del parameters, bot

    def receive(self, event: Event, now_ns: int) -> bool:
        """Take nothing."""
        del event, now_ns
        return False

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Raise BrokenInvariant: its bot is in ERROR and is not asked."""
        raise BrokenInvariant(f"bot {context.bot} has no strategy and was asked at {now_ns}")

    def forget(self, instrument: InstrumentId) -> None:
        """Keep nothing of it anyway."""

    def state(self) -> bytes:
        """Return nothing: what was learned is kept by its bot."""
        return b""

    def restore(self, state: bytes) -> None:
        """Take nothing back."""


def unmade(settings: BotSettings, account: AccountId) -> Bot:
    """Return a bot of these settings without its strategy."""
    return bot_of(settings, account, Unmade)


def bot_again(
    settings: BotSettings, account: AccountId, kind: type[object] | None, learned: bytes
) -> Bot:
    """Return a bot as it was added in the life that is played again, with what it had learned.

    Where its strategy cannot be made or restored in its time it is without it, as it was then.
    """
    try:
        bot = bot_of(settings, account, kind)
        restore_state(bot.strategy, learned)
    except TookTooLong:
        return unmade(settings, account)
    return bot


def renew(bot: Bot, learned: bytes, kind: type[object] | None = None) -> str:
    """Give a bot a new strategy, as a start of the engine would; `kind` = of that class.

    What failed may hold half of a change, or all the memory there is. `bot.kept` is what the new
    one knows. Return a sentence where what was learned could not be read and is left out, as at a
    start.
    """
    settings = BotSettings.model_validate_json(bot.given)
    made, note = bot_of(settings, bot.account, kind), ""
    try:
        if learned:
            restore_state(made.strategy, learned)
    except FAILS as error:
        made, learned = bot_of(settings, bot.account, kind), b""
        note = _from_scratch(bot, error)
    bot.renew(made, learned)
    return note


def _from_scratch(bot: Bot, error: BaseException) -> str:
    said = error if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
    return f"bot {bot.name} starts learning from scratch: {said}"


def restored(bot_runner: BotRunner, snapshot: BotSnapshot) -> str:
    """Bring a bot back as it was kept; give a sentence where its learning could not be read.

    Raises TookTooLong where the restore of its strategy had to be interrupted.
    """
    bot = bot_runner.bot
    note = ""
    if snapshot.strategy:
        try:
            restore_state(bot.strategy, snapshot.strategy)
            bot.kept = snapshot.strategy
        except TookTooLong:
            raise
        except FAILS as error:
            note = _from_scratch(bot, error)
    try:
        bot.learned = learned_of(snapshot.signals)
    except BadInput as error:
        note = f"bot {bot.name} starts its bars and indicators from scratch: {error}"
    active = (S.STARTING, S.RUNNING, S.RISK_STOPPED)
    bot.state = S.STARTING if snapshot.state in active else snapshot.state
    bot.error = snapshot.error
    bot_runner.inventory = snapshot.inventory
    bot_runner.killed = snapshot.killed
    return note


def apply_record(snapshots: dict[str, BotSnapshot], message: Event | msgspec.Struct) -> None:
    """Take what the journal says after the snapshot: the latest command counts."""
    bot = str(getattr(message, "bot", None) or "")
    match type(message).__name__:
        case "StartBot" | "ResumeBot":
            _set(snapshots, bot, S.STARTING)
        case "PauseBot":
            _set(snapshots, bot, S.PAUSING)
        case "StopBot":
            _set(snapshots, bot, S.STOPPING)
            snapshots[bot].inventory = message.inventory  # type: ignore[union-attr]
        case "RaiseAlert" if getattr(message, "kind", "") == "bot_error":
            _set(snapshots, bot, S.ERROR)
            snapshots[bot].error = message.text  # type: ignore[union-attr]
        case "LatchSet":
            for one in snapshots.values():
                if one.state in (S.STARTING, S.RUNNING, S.RISK_STOPPED):
                    one.state, one.killed = S.PAUSING, True
        case _:
            pass


def _set(snapshots: dict[str, BotSnapshot], bot: str, state: BotState) -> None:
    if bot in snapshots:
        snapshots[bot].state, snapshots[bot].killed = state, False
    else:
        snapshots[bot] = BotSnapshot(state=state)
