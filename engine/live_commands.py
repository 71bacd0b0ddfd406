"""Commands on a live desk: claimed → journaled → handled → answered. A dict says who takes what.

A handler gives its answer through `reply`, at once or when it has become true. What cannot be done
is refused with the reason; nothing is answered before it is so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.bots.states import BotHappened, may
from engine.domain.commands import (
    AckAlert,
    ApplySettings,
    CancelOrderByHand,
    Command,
    Kill,
    PauseBot,
    ReleaseLatch,
    ResumeBot,
    StartBot,
    StopBot,
)
from engine.domain.effects import CancelAll, CancelScope
from engine.domain.orders import OrderState
from engine.domain.settings import SettingsDocument
from engine.errors import BadInput, ConfigError, StorageError
from engine.live_bots import Seat
from engine.live_house import House
from engine.live_start import HOUSE
from storage.commands import CommandState, LeftCommand, answer
from storage.latch import Latch, set_latch
from storage.live import see_alert
from storage.settings import applied, read

Reply = Callable[[CommandState, str], None]
DONE, REFUSED, FAILED = CommandState.DONE, CommandState.REFUSED, CommandState.FAILED


class Commands:
    """Handles commands for one house."""

    def __init__(self, house: House) -> None:
        self._house = house

    def hear(self, left: list[LeftCommand]) -> None:
        """Take claimed commands, oldest first."""
        for one in left:
            self._take(one)

    def _take(self, left: LeftCommand) -> None:
        house = self._house
        now_ns = house.clock.now_ns()
        house.log.info("command", id=left.id, kind=type(left.command).__name__, who=left.who)

        def reply(state: CommandState, text: str) -> None:
            at_ns = house.clock.now_ns()
            house.state.do(
                lambda c: answer(c, house.engine_id, left.id, state=state, text=text, now_ns=at_ns)
            )

        handler = COMMAND_HANDLERS.get(type(left.command))
        if handler is None:
            reply(REFUSED, f"this engine does not know {type(left.command).__name__} yet")
            return
        try:
            handler(self, left.command, left.who, reply)
        except (BadInput, ConfigError) as error:
            reply(REFUSED, str(error))
            return
        except (StorageError, OSError) as error:
            reply(FAILED, str(error))
            return
        try:
            house.recorder.append(HOUSE, left.command, now_ns)
        except StorageError as error:
            house.log.warning("command.unkept", id=left.id, error=str(error))

    # -- bots --------------------------------------------------------------------------------------

    def _seat(self, name: str, happened: BotHappened) -> Seat:
        seat = self._house.seats.get(name)
        if seat is None:
            known = ", ".join(sorted(self._house.seats)) or "none"
            raise BadInput(f"there is no bot {name!r} in force; known are: {known}")
        if not may(seat.bot.state, happened):
            raise BadInput(f"bot {name} is {seat.bot.state}: it cannot take {happened}")
        return seat

    def start(self, command: StartBot, who: str, reply: Reply) -> None:
        """Start a bot."""
        del who
        seat = self._seat(command.bot, BotHappened.START_ASKED)
        self._must_not_be_latched(seat)
        seat.start(self._house.clock.now_ns())
        reply(DONE, f"bot {command.bot} starts as soon as its account is ready")

    def resume(self, command: ResumeBot, who: str, reply: Reply) -> None:
        """Go on with a paused bot."""
        del who
        seat = self._seat(command.bot, BotHappened.RESUME_ASKED)
        self._must_not_be_latched(seat)
        seat.start(self._house.clock.now_ns())
        reply(DONE, f"bot {command.bot} goes on")

    def _must_not_be_latched(self, seat: Seat) -> None:
        if seat.shell.desk.executor.latched:
            raise BadInput("the KILL latch is set; release it with a reason first")

    def pause(self, command: PauseBot, who: str, reply: Reply) -> None:
        """Pause a bot; answered when none of its orders is open any more."""
        del who
        seat = self._seat(command.bot, BotHappened.PAUSE_ASKED)
        seat.waiting.append(_later(reply))
        seat.pause(self._house.clock.now_ns())

    def stop(self, command: StopBot, who: str, reply: Reply) -> None:
        """Stop a bot; answered when that is proven."""
        del who
        seat = self._seat(command.bot, BotHappened.STOP_ASKED)
        seat.waiting.append(_later(reply))
        seat.stop(command.inventory, self._house.clock.now_ns())

    # -- orders ------------------------------------------------------------------------------------

    def cancel(self, command: CancelOrderByHand, who: str, reply: Reply) -> None:
        """Cancel one order by hand."""
        del who
        house = self._house
        shell = house.shells.get(command.account)
        if shell is None:
            raise BadInput(f"there is no account {command.account!r} here")
        known = shell.desk.executor.record(command.order)
        if known is None or known.state.ended:
            stands = "unknown" if known is None else f"already {known.state}"
            raise BadInput(f"order {command.order} of {command.account} is {stands}")
        if known.state is OrderState.UNKNOWN:
            text = "its cancel is sent; it stays UNKNOWN until the venue has said what became of it"
        else:
            text = "its cancel is sent; the order says CANCELLED when the venue has confirmed it"
        shell.cancel(command.order, house.clock.now_ns())
        reply(DONE, text)

    # -- KILL --------------------------------------------------------------------------------------

    def kill(self, command: Kill, who: str, reply: Reply) -> None:
        """Set the latch and cancel everything, or all of one bot; answered with the receipt."""
        house = self._house
        now_ns = house.clock.now_ns()
        if command.instrument is not None or command.account is not None:
            raise BadInput("KILL covers everything or one bot; pause the bots that trade there")
        if command.bot is not None:
            seat = self._seat(command.bot, BotHappened.PAUSE_ASKED)
            seat.waiting.append(_later(reply))
            shell = seat.shell
            shell.ask(
                CancelAll(account=shell.account, scope=CancelScope(bot=seat.bot.name)), now_ns
            )
            seat.pause(now_ns)
            return
        house.take_latch(Latch(who=who, at_ns=now_ns))
        house.tell_receipt(lambda receipt: reply(DONE, receipt.sentence()))
        set_latch(house.config.kill_path, who, now_ns)

    def release(self, command: ReleaseLatch, who: str, reply: Reply) -> None:
        """Release the latch."""
        self._house.release(who, command.reason)
        reply(DONE, "the latch is released; paused bots stay paused until they are resumed")

    # -- settings ----------------------------------------------------------------------------------

    def apply(self, command: ApplySettings, who: str, reply: Reply) -> None:
        """Read the version where files are read, then go on here."""
        del who
        house = self._house
        loop = house.ended.get_loop()

        def fetch(connection: Any) -> None:
            try:
                version = read(connection, house.engine_id, command.version)
            except BadInput as error:
                text = str(error)
                loop.call_soon_threadsafe(lambda: reply(REFUSED, text))
                return
            loop.call_soon_threadsafe(lambda: self._apply(version.document, command.version, reply))

        house.state.do(fetch)

    def _apply(self, document: SettingsDocument, version: int, reply: Reply) -> None:
        house = self._house
        now_ns = house.clock.now_ns()
        try:
            problem = self._problem(document)
        except (BadInput, ConfigError) as error:
            problem = str(error)
        if problem:
            reply(REFUSED, problem)
            return
        for name, account in document.accounts.items():
            for known, gate in house.gates.items():
                if known == name:
                    gate.apply(account.limits)
        for name in [name for name in house.seats if name not in document.bots]:
            seat = house.seats.pop(name)
            seat.shell.desk.dismiss(seat.bot, now_ns)
        for name, settings in document.bots.items():
            seat_now = house.seats.get(name)
            if seat_now is not None and seat_now.settings == settings:
                continue
            shell = next(s for known, s in house.shells.items() if known == settings.account)
            made = Seat(settings, shell)
            if seat_now is not None:
                made.bot.state = seat_now.bot.state
                seat_now.shell.desk.dismiss(seat_now.bot, now_ns)
            house.seats[name] = made
            shell.desk.admit(made.bot, now_ns)
        house.state.do(lambda c: applied(c, house.engine_id, version, now_ns))
        reply(DONE, f"version {version} is in force")

    def _problem(self, document: SettingsDocument) -> str:
        """Return why this engine cannot work by a document, or nothing."""
        house = self._house
        for name in document.accounts:
            if name not in house.shells:
                return f"account {name!r} is new: restart the engine to open it"
        for name, settings in document.bots.items():
            seat = house.seats.get(name)
            if seat is not None and seat.settings != settings and not _rests(seat):
                return f"bot {name} is {seat.bot.state}: stop it before its settings change"
            if seat is None or seat.settings != settings:
                shell = next(s for known, s in house.shells.items() if known == settings.account)
                Seat(settings, shell)  # raises BadInput where its parameters are wrong
        for name, seat in house.seats.items():
            if name not in document.bots and not _rests(seat):
                return f"bot {name} is {seat.bot.state}: stop it before it is removed"
        return ""

    def ack(self, command: AckAlert, who: str, reply: Reply) -> None:
        """Mark an alert as seen."""
        house = self._house
        now_ns = house.clock.now_ns()

        def seen(connection: Any) -> None:
            found = see_alert(connection, house.engine_id, command.alert, who, now_ns)
            house.ended.get_loop().call_soon_threadsafe(
                lambda: reply(DONE if found else REFUSED, "seen" if found else "no such alert")
            )

        house.state.write(seen)


def _rests(seat: Seat) -> bool:
    """Say whether a bot has nothing at work: its settings may change."""
    return may(seat.bot.state, BotHappened.START_ASKED)


def _later(reply: Reply) -> Callable[[bool, str], None]:
    return lambda done, text: reply(DONE if done else FAILED, text)


COMMAND_HANDLERS: dict[type[Command], Callable[[Commands, Any, str, Reply], None]] = {
    StartBot: Commands.start,
    ResumeBot: Commands.resume,
    PauseBot: Commands.pause,
    StopBot: Commands.stop,
    CancelOrderByHand: Commands.cancel,
    Kill: Commands.kill,
    ReleaseLatch: Commands.release,
    ApplySettings: Commands.apply,
    AckAlert: Commands.ack,
}
