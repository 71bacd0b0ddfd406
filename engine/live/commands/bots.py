"""Bots by hand: start, resume, pause, stop."""

from __future__ import annotations

from contextlib import suppress

from engine.code_digest import code_digest
from engine.domain.bots import BotHappened
from engine.domain.commands import PauseBot, ResumeBot, ResumeKilled, StartBot, StopBot
from engine.domain.effects import caution
from engine.domain.evidence import Edge, judged
from engine.domain.instruments import BotId, Mode
from engine.errors import BadInput, StorageError
from engine.live.capitals import start_refusal
from engine.live.commands.registry import Done, Pending, Refused, command, part
from engine.live.engine import Engine
from engine.runtime.bot_runner import BotRunner
from engine.runtime.recovery import ENGINE_WIDE
from engine.runtime.turn_watch import BYTES_MAX, held_back, too_heavy
from storage.commands import many
from storage.database import reading
from storage.evidence import evidence, shipped_evidence
from storage.quarantine import release
from storage.users import ENGINE_ID

REASON_LENGTH_MIN = 10


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
    if why := start_refusal(engine, bot_runner):
        raise BadInput(f"bot {command.bot} cannot start: {why}")
    if too_heavy(bot_runner.bot, BYTES_MAX):
        raise BadInput(
            f"bot {command.bot} cannot start: its plug-in's files hold more than "
            f"{BYTES_MAX / 2**20:,.0f} MB by now, which stays until the engine is restarted; mend "
            "the plug-in and update the bot, or restart the engine"
        )
    if isinstance(command, StartBot) and executor.mode is Mode.LIVE:
        _must_reason(engine, bot_runner, command.reason)


def _must_reason(engine: Engine, bot_runner: BotRunner, reason: str) -> None:
    """Raise BadInput where real money follows what loses by the evidence, without a reason.

    A strategy that is for paper alone is refused with any.
    """
    name = bot_runner.settings.strategy
    if getattr(bot_runner.bot.strategy, "paper_only", False):
        raise BadInput(f"strategy {name} is for paper and demo accounts alone: choose one of those")
    with reading(engine.config.state_path) as connection:
        rows = evidence(connection, ENGINE_ID, name)
    digest = code_digest(type(bot_runner.bot.strategy))
    verdict, why = judged(rows, digest, shipped_evidence(name))
    if verdict is Edge.LOSES and len(reason.strip()) < REASON_LENGTH_MIN:
        raise BadInput(
            f"strategy {name} loses by its evidence ({why}): to start it with real money give a "
            f"reason of at least {REASON_LENGTH_MIN} characters"
        )


def may_stop(engine: Engine, command: PauseBot | StopBot) -> None:
    """Raise BadInput where a bot can be neither paused nor stopped."""
    pauses = isinstance(command, PauseBot)
    _bot_runner(engine, command.bot, BotHappened.PAUSE_ASKED if pauses else BotHappened.STOP_ASKED)


@part
class Starts:
    """Starts bots for one engine, and judges late those whose account was not ready."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._unjudged: list[BotRunner] = []
        """Bots that were started before their account's equity was known."""
        engine.watchers.append(self.watch)

    @command(StartBot, ResumeBot, check=may_start)
    def start(self, command: StartBot | ResumeBot, _who: str) -> Done:
        """Start a bot, or go on with a paused one."""
        engine = self._engine
        bot_runner, later = engine.bot_runners[command.bot], ""
        if start_refusal(engine, bot_runner) is None:
            self._unjudged.append(bot_runner)
            account = bot_runner.settings.account
            later = f"; the equity of account {account} is not known yet: the capital of its "
            later += "bots is compared with it then"
        now_ns, bot = engine.clock.now_ns(), bot_runner.bot
        with held_back(engine.config.home, command.bot):
            lost = bot_runner.start(now_ns)
        if lost:
            engine.alert(caution("learning", lost, account=bot.account, bot=bot.name), now_ns)
            later += f"; {lost}"
        with suppress(OSError):  # it stays in quarantine at the next start, which says so
            release(engine.config.home, command.bot)
        if isinstance(command, ResumeBot):
            return Done(f"bot {command.bot} continues{later}")
        return Done(f"bot {command.bot} starts as soon as its account is ready{later}")

    @command(ResumeKilled)
    def resume_killed(self, _command: ResumeKilled, who: str) -> Done | Refused:
        """Go on with every bot that a KILL paused; those that cannot are named with the reason."""
        engine, resumed, refused = self._engine, [], list[str]()
        killed = [name for name, one in engine.bot_runners.items() if one.killed]
        for asked in [ResumeBot(bot=BotId(name)) for name in sorted(killed)]:
            try:
                may_start(engine, asked)
                engine.recorder.append(ENGINE_WIDE, asked, engine.clock.now_ns())
            except (BadInput, StorageError) as error:
                refused.append(f"{asked.bot}: {error}")
            else:
                self.start(asked, who)
                resumed.append(asked.bot)
        left = "".join(f"; not {one}" for one in refused)
        if not resumed:
            return Refused(f"no bot that KILL paused was resumed{left}")
        return Done(f"{many(len(resumed), 'bot')} resumed: {', '.join(resumed)}{left}")

    def watch(self, now_ns: int) -> None:
        """Pause what was started and does not fit, as soon as the equity is known."""
        waiting, self._unjudged = self._unjudged, []
        for bot_runner in waiting:
            if bot_runner.may(BotHappened.PAUSE_ASKED) and self._waits(bot_runner, now_ns):
                self._unjudged.append(bot_runner)

    def _waits(self, bot_runner: BotRunner, now_ns: int) -> bool:
        """Judge a bot; True = its account's equity is not known yet."""
        engine, why = self._engine, start_refusal(self._engine, bot_runner)
        if why is None:
            return True
        if why:
            bot = bot_runner.bot
            engine.recorder.append(ENGINE_WIDE, PauseBot(bot=bot.name), now_ns)
            bot_runner.pause(now_ns)
            text = f"bot {bot.name} is paused: {why}"
            engine.alert(caution("settings", text, account=bot.account, bot=bot.name), now_ns)
        return False


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
