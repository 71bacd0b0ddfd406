"""Commands on a live desk: claimed → journaled → handled → answered. A dict says who takes what.

A handler gives its answer through `reply`, at once or when it has become true. What cannot be done
is refused with the reason. Nothing is answered before it is so, and before the journal holds all it
speaks of; where the disk refuses that, the answer says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from engine.domain.bots import BotHappened, may
from engine.domain.commands import (
    AckAlert,
    ApplySettings,
    CancelOrderByHand,
    Command,
    ExamineAccount,
    Kill,
    OpenVault,
    PauseBot,
    PlaceManual,
    ReleaseLatch,
    RemoveCredential,
    ResumeBot,
    SetCredential,
    SetMode,
    StartBot,
    StopBot,
    SyncMarkets,
)
from engine.domain.orders import OrderState
from engine.errors import BadInput, ConfigError, StorageError
from engine.live.commands.examination import Examining
from engine.live.commands.jobs import HANDLERS as JOB_HANDLERS
from engine.live.commands.jobs import Jobs
from engine.live.commands.kill import ScopedKills, scoped
from engine.live.commands.markets import MarketCommands
from engine.live.commands.orders import Hand
from engine.live.commands.settings import SettingsCommands
from engine.live.commands.vault import Keeping, VaultOpening
from engine.live.engine import Engine
from engine.runtime.bot_runner import BotRunner
from engine.runtime.recovery import HOUSE
from storage.alerts import see_alert
from storage.commands import CommandState, LeftCommand, answer
from storage.database import transaction
from storage.latch import Latch, prepare_spare

Reply = Callable[[CommandState, str], None]
DONE, REFUSED, FAILED = CommandState.DONE, CommandState.REFUSED, CommandState.FAILED


class Commands:
    """Handles commands for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._hand = Hand(engine)
        self._markets = MarketCommands(engine)
        self._scopes = ScopedKills(engine)
        self._settings = SettingsCommands(engine)
        self._keeping = Keeping(engine)
        self._examining = Examining(engine)
        self._opening = VaultOpening(engine)
        self.jobs = Jobs(engine)

    def hear(self, left: list[LeftCommand]) -> None:
        """Take claimed commands, oldest first."""
        for one in left:
            self._take(one)

    def _take(self, left: LeftCommand) -> None:
        engine = self._engine
        now_ns = engine.clock.now_ns()
        engine.log.info("command", id=left.id, kind=type(left.command).__name__, who=left.who)

        def reply(state: CommandState, text: str) -> None:
            self._answer(left.id, state, text)

        kind = type(left.command)
        handler = COMMAND_HANDLERS.get(kind)
        if handler is None:
            reply(REFUSED, f"this engine does not know {kind.__name__} yet")
            return
        try:
            if kind in CHECKS:
                CHECKS[kind](self, left.command)
            self._journal(left.command, now_ns)
            handler(self, left.command, left.who, reply)
        except (BadInput, ConfigError) as error:
            reply(REFUSED, str(error))
        except (StorageError, OSError) as error:
            reply(FAILED, str(error))

    def _journal(self, command: Command, now_ns: int) -> None:
        """Keep a command before it is done. Raises StorageError, but for one that makes safe."""
        engine = self._engine
        try:
            engine.recorder.append(HOUSE, command, now_ns)
        except StorageError as error:
            if type(command) not in SAFE:
                raise StorageError(f"nothing was done: {error}") from error
            engine.keep(command, now_ns)

    def _answer(self, name: str, state: CommandState, text: str) -> None:
        """Write an answer when the journal is on the disk up to here, or with why it is not."""
        engine, at_ns = self._engine, self._engine.wall_ns()

        def write(kept: Future[int]) -> None:
            error = kept.exception()
            told = text if error is None else f"{text} (not in the journal yet: {error})"
            engine.state.write(
                lambda c: answer(c, engine.engine_id, name, state=state, text=told, now_ns=at_ns)
            )

        engine.recorder.commit().add_done_callback(write)

    # -- bots --------------------------------------------------------------------------------------

    def _bot_runner(self, name: str, happened: BotHappened) -> BotRunner:
        bot_runner = self._engine.bot_runners.get(name)
        if bot_runner is None:
            known = ", ".join(sorted(self._engine.bot_runners)) or "none"
            raise BadInput(f"there is no bot {name!r} in force; known are: {known}")
        if not may(bot_runner.bot.state, happened):
            raise BadInput(f"bot {name} is {bot_runner.bot.state}: it cannot take {happened}")
        return bot_runner

    def may_start(self, command: StartBot | ResumeBot) -> None:
        """Raise BadInput where a bot cannot start, or go on."""
        resumes = isinstance(command, ResumeBot)
        asked = BotHappened.RESUME_ASKED if resumes else BotHappened.START_ASKED
        self._must_not_be_latched(self._bot_runner(command.bot, asked))

    def may_stop(self, command: PauseBot | StopBot) -> None:
        """Raise BadInput where a bot can be neither paused nor stopped."""
        pauses = isinstance(command, PauseBot)
        self._bot_runner(command.bot, BotHappened.PAUSE_ASKED if pauses else BotHappened.STOP_ASKED)

    def start(self, command: StartBot, who: str, reply: Reply) -> None:
        """Start a bot."""
        del who
        bot_runner = self._engine.bot_runners[command.bot]
        bot_runner.start(self._engine.clock.now_ns())
        reply(DONE, f"bot {command.bot} starts as soon as its account is ready")

    def resume(self, command: ResumeBot, who: str, reply: Reply) -> None:
        """Go on with a paused bot."""
        del who
        bot_runner = self._engine.bot_runners[command.bot]
        bot_runner.start(self._engine.clock.now_ns())
        reply(DONE, f"bot {command.bot} goes on")

    def _must_not_be_latched(self, bot_runner: BotRunner) -> None:
        if bot_runner.runner.desk.executor.latched:
            raise BadInput("the KILL latch is set; release it with a reason first")
        for hold in bot_runner.runner.desk.executor.holds:
            if hold.instrument is None and hold.bot in (None, bot_runner.bot.name):
                raise BadInput(
                    f"KILL of {hold} by {hold.who} stands; release it with a reason first"
                )

    def pause(self, command: PauseBot, who: str, reply: Reply) -> None:
        """Pause a bot; answered when none of its orders is open any more."""
        del who
        bot_runner = self._engine.bot_runners[command.bot]
        bot_runner.waiting.append(_later(reply))
        bot_runner.pause(self._engine.clock.now_ns())

    def stop(self, command: StopBot, who: str, reply: Reply) -> None:
        """Stop a bot; answered when that is proven."""
        del who
        bot_runner = self._engine.bot_runners[command.bot]
        bot_runner.waiting.append(_later(reply))
        bot_runner.stop(command.inventory, self._engine.clock.now_ns())

    # -- orders ------------------------------------------------------------------------------------

    def cancel(self, command: CancelOrderByHand, who: str, reply: Reply) -> None:
        """Cancel one order by hand."""
        del who
        engine = self._engine
        runner = engine.runners.get(command.account)
        if runner is None:
            raise BadInput(f"there is no account {command.account!r} here")
        known = runner.desk.executor.record(command.order)
        if known is None or known.state.ended:
            stands = "unknown" if known is None else f"already {known.state}"
            raise BadInput(f"order {command.order} of {command.account} is {stands}")
        if known.state is OrderState.UNKNOWN:
            text = "its cancel is sent; it stays UNKNOWN until the venue has said what became of it"
        else:
            text = "its cancel is sent; the order says CANCELLED when the venue has confirmed it"
        runner.cancel(command.order, engine.clock.now_ns())
        reply(DONE, text)

    def place(self, command: PlaceManual, who: str, reply: Reply) -> None:
        """Place one order by hand; answered when the venue has spoken."""
        del who
        self._hand.place(command, _later(reply))

    # -- KILL --------------------------------------------------------------------------------------

    def kill(self, command: Kill, who: str, reply: Reply) -> None:
        """Set the latch and cancel everything, or all in one scope; answered with the receipt."""
        engine = self._engine
        now_ns = engine.clock.now_ns()
        if scoped(command):
            self._scopes.kill(command, who, lambda receipt: reply(DONE, receipt.sentence()))
            return
        engine.take_latch(Latch(who=who, at_ns=now_ns))
        engine.tell_receipt(lambda receipt: reply(DONE, receipt.sentence()))
        engine.keep_latch(who, now_ns)

    def release(self, command: ReleaseLatch, who: str, reply: Reply) -> None:
        """Release the latch, or that of one scope."""
        if scoped(command):
            reply(DONE, self._scopes.release(command, who))
            return
        self._engine.release(who, command.reason)
        with contextlib.suppress(OSError):  # the disk may still be full; the next start makes it
            prepare_spare(self._engine.config.kill_path)
        reply(DONE, "the latch is released; paused bots stay paused until they are resumed")

    # -- settings and markets ----------------------------------------------------------------------

    def apply(self, command: ApplySettings, who: str, reply: Reply) -> None:
        """Put a saved version in force."""
        del who
        self._settings.apply(command, _or_refused(reply))

    def set_mode(self, command: SetMode, who: str, reply: Reply) -> None:
        """Move a stopped bot to its twin account of another mode."""
        self._settings.set_mode(command, who, _or_refused(reply))

    def sync(self, command: SyncMarkets, who: str, reply: Reply) -> None:
        """Compare the catalog with the venue's listing."""
        del who
        self._markets.sync(command.venue, _later(reply))

    def credential(self, command: SetCredential | RemoveCredential, who: str, reply: Reply) -> None:
        """Change what the vault holds; answered when it is on the disk."""
        del who
        self._keeping.change(command, _or_refused(reply))

    def open_vault(self, command: OpenVault, who: str, reply: Reply) -> None:
        """Open the vault by a sealed passphrase; answered when it is open, or why it is not."""
        del who
        self._opening.open(command, _later(reply))

    def examine(self, command: ExamineAccount, who: str, reply: Reply) -> None:
        """Let the doctor look at a live account; answered when its verdict is kept."""
        self._examining.examine(command.account, who, _later(reply))

    def ack(self, command: AckAlert, who: str, reply: Reply) -> None:
        """Mark an alert as seen."""
        engine = self._engine
        now_ns = engine.clock.now_ns()

        soon = engine.ended.get_loop().call_soon_threadsafe

        def seen(connection: Any) -> None:
            with transaction(connection):
                found = see_alert(connection, engine.engine_id, command.alert, who, now_ns)
            soon(reply, DONE if found else REFUSED, "seen" if found else "no such alert")

        engine.state.do(seen, refused=lambda why: soon(reply, REFUSED, why))


def _later(reply: Reply) -> Callable[[bool, str], None]:
    return lambda done, text: reply(DONE if done else FAILED, text)


def _or_refused(reply: Reply) -> Callable[[bool, str], None]:
    return lambda done, text: reply(DONE if done else REFUSED, text)


SAFE: frozenset[type[Command]] = frozenset({Kill, PauseBot, StopBot, CancelOrderByHand})
"""What only cancels never waits for a disk: it is done, and journaled as soon as that can be."""

CHECKS: dict[type[Command], Callable[[Commands, Any], None]] = {
    StartBot: Commands.may_start,
    ResumeBot: Commands.may_start,
    PauseBot: Commands.may_stop,
    StopBot: Commands.may_stop,
}
"""Asked before the journal: a start takes every one of these that stands there for done."""

COMMAND_HANDLERS: dict[type[Command], Callable[[Commands, Any, str, Reply], None]] = {
    StartBot: Commands.start,
    ResumeBot: Commands.resume,
    PauseBot: Commands.pause,
    StopBot: Commands.stop,
    CancelOrderByHand: Commands.cancel,
    PlaceManual: Commands.place,
    Kill: Commands.kill,
    ReleaseLatch: Commands.release,
    ApplySettings: Commands.apply,
    SetMode: Commands.set_mode,
    SyncMarkets: Commands.sync,
    AckAlert: Commands.ack,
    SetCredential: Commands.credential,
    RemoveCredential: Commands.credential,
    OpenVault: Commands.open_vault,
    ExamineAccount: Commands.examine,
    **JOB_HANDLERS,
}
