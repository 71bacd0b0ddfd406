"""How a call of a strategy fails, in a form that can be played again.

What a strategy raises by itself it raises again with the same input. What ended it from outside,
its time or its memory, does not come again: the tape keeps it, right behind the input in which it
happened, and a replay ends the same call with the same words without making it.
"""

from __future__ import annotations

from typing import cast

from engine.bots.asked import AskedCore
from engine.bots.bot import Bot
from engine.bots.slices import Put
from engine.domain.effects import Effect, RaiseAlert, alarm
from engine.domain.events import Event, OrderFilled
from engine.domain.inputs import BotFailed
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.in_time import TurnOverdue
from engine.strategies.door import Context, Evaluation, Strategy

SPINS = 20_000_000


def wait_to_be_raised(overdue: list[tuple[Bot, object]]) -> None:
    """Run until another thread has raised into this one; it said before that it would.

    The call it wants to end has just ended by itself; raised later, it would end another one. Where
    it neither raises nor takes that back, the strategy has caught it: raises TurnOverdue itself.
    """
    for _ in range(SPINS):
        if not overdue:
            return
    raise TurnOverdue("its strategy caught what was to end it")


FROM_OUTSIDE = (TurnOverdue, MemoryError, RecursionError)
"""What depends on more than the input: on the time, the machine, on how deep the caller stands."""


class FailedThen(BaseException):
    """What ended a call in the life that is played again; its text is the error's of then."""


def said_of(error: BaseException) -> str:
    """Return an error of a strategy in words, with where in it that was.

    A strategy that leaves by SystemExit has failed as any other. Raises KeyboardInterrupt again: a
    person at the keyboard of a replay asked for it.
    """
    if isinstance(error, KeyboardInterrupt):
        raise error
    if type(error) is FailedThen:
        return str(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}: {error}"


def stopped(account: AccountId, bot: BotId, error: str) -> RaiseAlert:
    """Return the alert of a bot that stopped with an error."""
    return alarm("bot_error", f"bot {bot} stopped with an error: {error}", account, bot)


def fail(
    bot: Bot, error: BaseException, call: tuple[Bot, object] | None, tape: Put | None, now_ns: int
) -> RaiseAlert:
    """Stop a bot that raised; return the alert.

    `call` is the call of a strategy that ran, with what it was given. `tape` receives a failure
    that does not come again by itself.
    """
    said = said_of(error)
    given = None if call is None or call[0] is not bot else call[1]
    failed = BotFailed(
        account=bot.account,
        bot=bot.name,
        error=said,
        decision=given.decision if isinstance(given, Context) else 0,
        event=given if isinstance(given, Event) else None,  # type: ignore[arg-type]
        forgot=given if isinstance(given, str) else "",
    )
    if tape is not None and (not failed.within or isinstance(error, FROM_OUTSIDE)):
        tape(failed, now_ns)
    bot.fail(said)
    return stopped(bot.account, bot.name, said)


def failed_then(core: AskedCore, bot: BotId, error: str, now_ns: int) -> list[Effect]:
    """Have a bot fail as it did then; return the alert of one that failed before it was added."""
    known = [one for one in core.bots if one.name == bot]
    for one in known:
        core.fail(one, FailedThen(error), now_ns)
    return [] if known else [stopped(core.executor.account, bot, error)]


class Interrupted:
    """A strategy one call of which must end as it did then. Implements `strategies.door.Strategy`.

    All others go to the strategy itself.
    """

    def __init__(self, strategy: Strategy, failed: BotFailed) -> None:
        self._strategy = strategy
        self._failed = failed

    def __getattr__(self, name: str) -> object:
        given: object = getattr(self._strategy, name)
        return given

    def receive(self, event: Event, now_ns: int) -> bool:
        """Take an event, or fail by it."""
        if event == self._failed.event:
            raise FailedThen(self._failed.error)
        return self._strategy.receive(event, now_ns)

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Take a fill, or fail by it."""
        if event == self._failed.event:
            raise FailedThen(self._failed.error)
        self._strategy.filled(instrument, event, now_ns)

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Decide, or fail in the decision of that number."""
        if context.decision == self._failed.decision:
            raise FailedThen(self._failed.error)
        return self._strategy.evaluate(context, now_ns)

    def forget(self, instrument: InstrumentId) -> None:
        """Forget an instrument, or fail by it."""
        if instrument == self._failed.forgot:
            raise FailedThen(self._failed.error)
        self._strategy.forget(instrument)


def interrupted(strategy: Strategy, failed: BotFailed) -> Strategy:
    """Return a strategy one call of which ends as it did then."""
    return cast("Strategy", Interrupted(strategy, failed))
