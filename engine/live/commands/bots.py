"""Bots by hand: start, resume, pause, stop."""

from __future__ import annotations

from engine.domain.bots import BotHappened
from engine.domain.commands import PauseBot, ResumeBot, StartBot, StopBot
from engine.errors import BadInput
from engine.live.commands.registry import Done, Pending, command
from engine.live.engine import Engine
from engine.runtime.bot_runner import BotRunner


def _bot_runner(engine: Engine, name: str, happened: BotHappened) -> BotRunner:
    bot_runner = engine.bot_runners.get(name)
    if bot_runner is None:
        known = ", ".join(sorted(engine.bot_runners)) or "none"
        raise BadInput(f"there is no bot {name!r} in force; known: {known}")
    if not bot_runner.may(happened):
        raise BadInput(f"bot {name} is {bot_runner.bot.state}: it cannot take {happened}")
    return bot_runner


def may_start(engine: Engine, command: StartBot | ResumeBot) -> None:
    """Raise BadInput where a bot cannot start, or go on."""
    resumes = isinstance(command, ResumeBot)
    asked = BotHappened.RESUME_ASKED if resumes else BotHappened.START_ASKED
    bot_runner = _bot_runner(engine, command.bot, asked)
    executor = bot_runner.runner.core.executor
    if executor.latched:
        raise BadInput("the KILL latch is set; release it with a reason first")
    for hold in executor.holds:
        if hold.instrument is None and hold.bot in (None, bot_runner.bot.name):
            raise BadInput(f"KILL of {hold} by {hold.who} is set; release it with a reason first")


def may_stop(engine: Engine, command: PauseBot | StopBot) -> None:
    """Raise BadInput where a bot can be neither paused nor stopped."""
    pauses = isinstance(command, PauseBot)
    _bot_runner(engine, command.bot, BotHappened.PAUSE_ASKED if pauses else BotHappened.STOP_ASKED)


@command(StartBot, ResumeBot, check=may_start)
def start(engine: Engine, command: StartBot | ResumeBot, _who: str) -> Done:
    """Start a bot, or go on with a paused one."""
    engine.bot_runners[command.bot].start(engine.clock.now_ns())
    if isinstance(command, ResumeBot):
        return Done(f"bot {command.bot} continues")
    return Done(f"bot {command.bot} starts as soon as its account is ready")


@command(PauseBot, check=may_stop, makes_safe=True)
def pause(engine: Engine, command: PauseBot, _who: str) -> Pending:
    """Pause a bot; answered when none of its orders is open any more."""
    bot_runner, pending = engine.bot_runners[command.bot], Pending()
    bot_runner.waiting.append(pending.done_or_failed)
    bot_runner.pause(engine.clock.now_ns())
    return pending


@command(StopBot, check=may_stop, makes_safe=True)
def stop(engine: Engine, command: StopBot, _who: str) -> Pending:
    """Stop a bot; answered when that is proven."""
    bot_runner, pending = engine.bot_runners[command.bot], Pending()
    bot_runner.waiting.append(pending.done_or_failed)
    bot_runner.stop(command.inventory, engine.clock.now_ns())
    return pending
