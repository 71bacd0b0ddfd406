"""An account with a past, brought up while the engine runs: by the same recovery as a start's.

What the journal holds of it is read beside the loop, up to a record behind which nothing happened
that concerns it; then it is wired like any other: blind, the venue is asked everything, and nothing
is placed before that was answered. Its bots sit down as they stood.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from itertools import takewhile
from pathlib import Path

import msgspec

from engine.bots.failing import stopped
from engine.domain.bots import BotHappened, BotState
from engine.domain.commands import PauseBot, StartBot
from engine.domain.effects import RaiseAlert, caution
from engine.domain.instruments import AccountId, BotId
from engine.domain.settings import AccountSettings, BotSettings
from engine.errors import BadInput, ConfigError, StorageError, TookTooLong
from engine.executor.executor import Executor
from engine.live.engine import Engine
from engine.risk.gate import RiskGate
from engine.runtime.account_runner import AccountRunner
from engine.runtime.bot_runner import BotRunner, BotSnapshot, restored, unmade
from engine.runtime.recovery import BOTS, ENGINE_WIDE, Recovered, executor_of, rebuild
from engine.runtime.turn_watch import held_back
from storage.journal import Record, Snapshots, decode, latest_snapshots, load
from storage.quarantine import quarantined

ROUNDS_MAX = 50
"""How often what was journaled meanwhile is read after; each time there is less of it."""


class Restored(msgspec.Struct, kw_only=True):
    """An account as the journal has it."""

    account: AccountId
    executor: Executor
    gate: RiskGate
    found: Recovered
    seq: int
    """The record up to which it knows everything."""

    @property
    def funded(self) -> bool:
        """Say whether its first cash stands in the journal."""
        return self.account in self.found.funded

    def sentence(self) -> str:
        live = self.executor.open_and_unknown[0]
        return (
            f"{self.account} is recovered from {self.found.records:,} records; its venue is asked "
            f"about {live:,} orders without an end, and nothing is placed before it has answered"
        )


async def restore(engine: Engine, settings: AccountSettings, fence: int) -> Restored:
    """Return an account as the journal has it at this very moment; wire it before anything else.

    Raises StorageError where journal or disk refuse, JournalCorrupt.
    """
    path, made = engine.config.journal_path, None
    for _ in range(ROUNDS_MAX):
        if made is not None and engine.journaled_seq <= made.seq and engine.all_journaled:
            return made
        until = engine.recorder.seq
        await asyncio.wrap_future(engine.recorder.commit())
        if made is None:
            made = await asyncio.to_thread(_read, path, settings, fence, until)
        else:
            await asyncio.to_thread(_read_on, path, made, until)
    raise StorageError(
        "what concerns every account is journaled faster than it is read, or not at all"
    )


def _read(journal: Path, settings: AccountSettings, fence: int, until: int) -> Restored:
    """Fill a fresh executor from its snapshot and the tail behind it."""
    account = AccountId(settings.name)
    executor, gate = executor_of(settings, fence)
    latest = latest_snapshots(journal)
    # The bots' is recent: without one of them the whole journal would be read.
    mine = {name: one for name, one in latest.by_name.items() if name in (BOTS, _key(account))}
    found = rebuild(
        Snapshots(by_name=mine, problems=latest.problems),
        lambda after: _between(journal, after, until),
        {account: executor},
    )
    return Restored(account=account, executor=executor, gate=gate, found=found, seq=until)


def _read_on(journal: Path, made: Restored, until: int) -> None:
    """Give it what was journaled since for every account; of its own there is nothing yet."""
    for record in _between(journal, made.seq, until):
        if record.account == ENGINE_WIDE:
            made.executor.receive(decode(record), record.at_ns)
    made.seq = until


def _between(journal: Path, after: int, until: int) -> Iterator[Record]:
    return takewhile(
        lambda record: record.seq <= until, load(journal, after_seq=after, thinned=True)
    )


def _key(account: AccountId) -> str:
    return f"executor:{account}"


# -- bots ------------------------------------------------------------------------------------------


def pause_all(engine: Engine, snapshots: Mapping[str, BotSnapshot]) -> None:
    """Have every bot that would trade start paused: call it before `attach_bots`.

    The pause is in the journal, and the mark that asked for it goes when that is on the disk: a
    start that dies before then is followed by a paused one.
    """
    now_ns, mark = engine.clock.now_ns(), engine.config.start_paused_path
    for name, snapshot in snapshots.items():
        if snapshot.state in (BotState.STARTING, BotState.RUNNING, BotState.RISK_STOPPED):
            engine.recorder.append(ENGINE_WIDE, PauseBot(bot=BotId(name)), now_ns)
            snapshot.state = BotState.PAUSING

    def kept(commit: Future[int]) -> None:
        if not commit.cancelled() and commit.exception() is None:
            mark.unlink(missing_ok=True)

    engine.recorder.commit().add_done_callback(kept)


def attach_bots(
    engine: Engine,
    snapshots: Mapping[str, BotSnapshot],
    *,
    account: AccountId | None = None,
    first: bool = False,
) -> None:
    """Add every bot in force as it was kept, or those of one account; `first` = they start.

    One that cannot be added is reported, and stays in `engine.absent` as it was.
    """
    now_ns = engine.clock.now_ns()
    hung = quarantined(engine.config.home)
    for name, settings in engine.settings.document.bots.items():
        if name in engine.bot_runners or account not in (None, settings.account):
            continue
        runner = engine.runners.get(AccountId(settings.account))
        snapshot = engine.absent[name] = snapshots.get(name, BotSnapshot(state=BotState.IDLE))
        if runner is None:
            text = f"bot {name} trades at {settings.account}, which is not open: not started"
            engine.alert(_about_bot("mode", text, settings), now_ns)
            continue
        try:
            bot_runner, note = _made(engine, settings, snapshot, hung.get(name, ""))
            runner.core.add(bot_runner.bot, now_ns)
        except (BadInput, ConfigError) as error:
            text = f"bot {name} is not started: {error}"
            engine.alert(_about_bot("settings", text, settings), now_ns)
            continue
        engine.bot_runners[name] = bot_runner
        del engine.absent[name]
        if note:
            engine.alert(_about_bot("learning", note, settings), now_ns)
        if bot_runner.bot.state in (BotState.PAUSING, BotState.STOPPING):
            runner.core.withdraw(bot_runner.bot, now_ns)
        if engine.killed.is_set() and bot_runner.may(BotHappened.PAUSE_ASKED):
            bot_runner.pause(now_ns)
        if first and bot_runner.bot.state is not BotState.ERROR:
            engine.recorder.append(ENGINE_WIDE, StartBot(bot=BotId(name)), now_ns)
            bot_runner.start(now_ns)


def _made(
    engine: Engine, settings: BotSettings, snapshot: BotSnapshot, hung: str
) -> tuple[BotRunner, str]:
    """Return a bot as it was kept, and a sentence for a person; empty = nothing is to be said.

    One that `hung` an engine, or whose strategy cannot be made in its time, is in ERROR without it.
    Raises BadInput, ConfigError.
    """
    runner, name = engine.runners[AccountId(settings.account)], settings.name
    if hung:
        said = f"bot {name} is in quarantine and was not started: {hung}; mend it, then start it"
        return _without(runner, settings, snapshot, f"in quarantine: {hung}"), said
    try:
        with held_back(engine.config.home, name):
            bot_runner = BotRunner(settings, runner)
            return bot_runner, restored(bot_runner, snapshot)
    except TookTooLong as error:
        engine.alert(stopped(runner.account, BotId(name), str(error)), engine.clock.now_ns())
        return _without(runner, settings, snapshot, str(error)), ""


def _without(
    runner: AccountRunner, settings: BotSettings, snapshot: BotSnapshot, why: str
) -> BotRunner:
    """Return a bot in ERROR without its strategy: a start by a person makes that anew."""
    bot_runner = BotRunner(settings, runner, unmade(settings, runner.account))
    restored(bot_runner, snapshot)
    bot_runner.bot.fail(why)
    return bot_runner


def _about_bot(kind: str, text: str, settings: BotSettings) -> RaiseAlert:
    return caution(kind, text, account=AccountId(settings.account), bot=BotId(settings.name))
