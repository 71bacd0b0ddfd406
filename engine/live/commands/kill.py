"""KILL: latched, cancelled, proven, released by hand; of everything, or of a part.

A part is one account, bot or instrument: executors hold placing there and journal that, so it
survives a restart; whoever trades there is stopped. Of everything it is the engine that takes the
latch (`Engine.take_latch`). Both end with a proof that nothing of ours is open, and so does a stop.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from engine.domain.bots import BotHappened
from engine.domain.commands import MANUAL, InventoryPolicy, Kill, ReleaseLatch, StopBot
from engine.domain.events import LatchReleased, ScopeLatched, ScopeReleased
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.errors import BadInput, StorageError
from engine.executor.halts import Hold
from engine.live.accounts import Accounts
from engine.live.commands.registry import Done, Pending, command, part
from engine.live.proof import ProofRun
from engine.runtime.account_runner import AccountRunner
from engine.runtime.bot_runner import BotRunner
from engine.runtime.recovery import ENGINE_WIDE
from storage.commands import SCOPE_PROOF, Receipt
from storage.latch import Latch, prepare_spare

if TYPE_CHECKING:
    from engine.live.engine import Engine


class KillScope(msgspec.Struct, frozen=True):
    """What a KILL covers; exactly one is set."""

    account: AccountId | None
    bot: BotId | None
    instrument: InstrumentId | None

    def __str__(self) -> str:
        if self.account is not None:
            return f"account {self.account}"
        return f"instrument {self.instrument}" if self.bot is None else f"bot {self.bot}"


@part
class ScopedKills:
    """The scoped KILLs of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._proofs: dict[KillScope, ProofRun] = {}
        self._covered: set[AccountId] = set()
        engine.watchers.append(self.watch)

    @property
    def under_way(self) -> frozenset[KillScope]:
        return frozenset(self._proofs)

    # -- asked -------------------------------------------------------------------------------------

    @command(Kill, makes_safe=True)
    def kill(self, command: Kill, who: str) -> Pending:
        """Set the latch and cancel everything, or all in one scope; answered with the receipt."""
        engine, pending = self._engine, Pending()

        def proven(receipt: Receipt) -> None:
            pending.give(Done(receipt.sentence()))

        if scoped(command):
            self._part(command, who, proven)
            return pending
        now_ns = engine.clock.now_ns()
        engine.take_latch(Latch(who=who, at_ns=now_ns))
        engine.on_proven(proven)
        engine.keep_latch(who, now_ns)
        return pending

    def _part(self, command: Kill, who: str, answer: Callable[[Receipt], None]) -> None:
        """Latch the scope, cancel what is in it, stop who trades there. Raises BadInput."""
        engine, now_ns = self._engine, self._engine.clock.now_ns()
        scope = scope_of(command)
        runners, bot_runners = self._concerned(scope)
        proof = self._begin(scope, runners, who=who, at_ns=now_ns)
        proof.waiting.append(answer)
        for runner in runners:
            event = ScopeLatched(
                account=runner.account,
                bot=scope.bot,
                instrument=scope.instrument,
                who=who,
                reason=f"KILL of {scope}",
            )
            runner.deliver(event, now_ns)
            runner.settle(now_ns)
        proof.cancels_sent(engine.clock.now_ns())
        for bot_runner in bot_runners:
            if bot_runner.may(BotHappened.STOP_ASKED):
                self._journal(StopBot(bot=bot_runner.bot.name), now_ns)
                bot_runner.stop(InventoryPolicy.HOLD, now_ns)
        engine.log.warning("kill.scoped", scope=str(scope), who=who)

    @command(ReleaseLatch)
    def release(self, command: ReleaseLatch, who: str) -> Done:
        """Release the latch, or that of one scope. Raises BadInput without a reason or a proof."""
        if scoped(command):
            return Done(self._release(command, who))
        self._engine.release(who, command.reason)
        with contextlib.suppress(OSError):  # the disk may still be full; the next start makes it
            prepare_spare(self._engine.config.kill_path)
        left = [
            f"; {name} still places nothing: {'; '.join(runner.core.executor.to_release)}"
            for name, runner in self._engine.runners.items()
            if runner.core.executor.to_release
        ]
        said = "the latch is released; paused bots stay paused until they are resumed"
        return Done(said + "".join(left))

    def _release(self, command: ReleaseLatch, who: str) -> str:
        """Release one scope; give the answer. Raises BadInput without reason, latch or proof."""
        if not command.reason.strip():
            raise BadInput("type a reason to release the latch; nothing was changed")
        engine, now_ns, scope = self._engine, self._engine.clock.now_ns(), scope_of(command)
        place = (scope.bot, scope.instrument)
        held = [
            runner
            for runner in engine.runners.values()
            if scope.account in (None, runner.account)
            and any(hold.place == place for hold in runner.core.executor.holds)
        ]
        if not held:
            runner = engine.runners.get(scope.account) if scope.account else None
            if runner is not None and runner.core.executor.to_release:
                runner.latch(LatchReleased(who=who, reason=command.reason), now_ns)
                if not runner.core.executor.healthy:
                    left = "; ".join(runner.core.executor.reasons)
                    return f"{scope} is released, and still places nothing: {left}"
                return f"{scope} places again; a fall is counted from the equity of now"
            raise BadInput(f"no KILL of {scope} is set; nothing was changed")
        if scope in self._proofs:
            raise BadInput(f"the KILL of {scope} is not proven yet; it cannot be released")
        released = partial(
            ScopeReleased,
            bot=scope.bot,
            instrument=scope.instrument,
            who=who,
            reason=command.reason,
        )
        for runner in held:
            runner.deliver(released(account=runner.account), now_ns)
            runner.settle(now_ns)
        if scope.account is None:
            # Those that are closed read it when they open: else it would be held everywhere again.
            for name in sorted(engine.part(Accounts).known - engine.runners.keys()):
                engine.journal(released(account=AccountId(name)), now_ns)
        return f"the latch of {scope} is released; stopped bots stay stopped until they are started"

    def _outside(self, scope: KillScope) -> tuple[str, ...]:
        if scope.account is not None:
            return ()
        return self._engine.part(Accounts).resting_outside(scope.bot or scope.instrument)

    def _journal(self, command: StopBot, now_ns: int) -> None:
        try:
            self._engine.recorder.append(ENGINE_WIDE, command, now_ns)
        except StorageError as error:  # the latch stands all the same: a restart stops it again
            self._engine.log.warning("command.unkept", error=str(error))

    def _concerned(self, scope: KillScope) -> tuple[list[AccountRunner], list[BotRunner]]:
        """Return the accounts and the bots a scope is about. Raises BadInput where it is none."""
        engine = self._engine
        runners, bot_runners = list(engine.runners.values()), list(engine.bot_runners.values())
        if not runners:
            raise BadInput(
                f"no account is open here: nothing of {scope} was cancelled, and whether an order "
                "of it rests is not known. Look at the venue, or open the account and try again"
            )
        if scope.account is not None:
            runners = [runner for runner in runners if runner.account == scope.account]
            bot_runners = [
                bot_runner
                for bot_runner in bot_runners
                if bot_runner.runner.account == scope.account
            ]
            known = bool(runners)
        elif scope.bot is not None:
            bot_runners = [
                bot_runner for bot_runner in bot_runners if bot_runner.bot.name == scope.bot
            ]
            if bot_runners:
                runners = [bot_runner.runner for bot_runner in bot_runners]
            live = any(runner.core.executor.may_rest(scope.bot) for runner in runners)
            known = bool(bot_runners) or live or scope.bot == MANUAL
        else:
            # What rests is in the executors, also right after a start and with a dead feed.
            runners = [runner for runner in runners if _knows(runner, scope.instrument)]
            bot_runners = [
                bot_runner
                for bot_runner in bot_runners
                if scope.instrument in bot_runner.bot.cells
                or scope.instrument in bot_runner.settings.instruments
            ]
            known = bool(runners)
        if not known:
            rests = "".join(f"; {why}" for why in self._outside(scope))
            raise BadInput(f"there is no {scope} here; nothing was cancelled{rests}")
        return runners, bot_runners

    # -- proven ------------------------------------------------------------------------------------

    def _begin(
        self, scope: KillScope, runners: list[AccountRunner], *, who: str, at_ns: int
    ) -> ProofRun:
        before = self._proofs.get(scope)
        run = self._proofs[scope] = ProofRun(
            name=f"kill-{scope}-{at_ns}",
            who=who,
            reason="KILL",
            latched_ns=at_ns,
            proofs={},
            part=scope.bot or scope.instrument,
            title=str(scope),
            what=SCOPE_PROOF,
            unread=self._outside(scope),
            before=before,
        )
        for runner in runners:
            run.cover(runner, at_ns)
        return run

    def watch(self, now_ns: int) -> None:
        """Look whether a proof is done; keep its receipt when it is or what lacks has changed."""
        self._hold_everywhere(now_ns)
        if len(self._covered) < len(self._engine.runners):
            self._prove_recovered(now_ns)
        for scope, run in list(self._proofs.items()):
            receipt = run.due(now_ns)
            if receipt is not None:
                if receipt.proven:
                    del self._proofs[scope]
                run.report(self._engine, receipt)

    def _hold_everywhere(self, now_ns: int) -> None:
        """Hold a part also where it has come to since: a bot that moved, a market listed there."""
        runners = self._engine.runners.values()
        if not any(one.core.executor.holds for one in runners):
            return
        held = {hold.place: hold for one in runners for hold in one.core.executor.holds}
        for place, hold in held.items():
            for runner in runners if any(place) else ():
                here = {one.place for one in runner.core.executor.holds}
                if place not in here and _concerns(runner, hold):
                    event = ScopeLatched(
                        account=runner.account,
                        bot=hold.bot,
                        instrument=hold.instrument,
                        who=hold.who,
                        reason=hold.reason,
                    )
                    runner.deliver(event, now_ns)
                    runner.settle(now_ns)
                    self._covered.discard(runner.account)

    def _prove_recovered(self, now_ns: int) -> None:
        """Of a recovered account: prove anew what was latched, whether or not it was proven."""
        found: dict[KillScope, list[AccountRunner]] = {}
        who: dict[KillScope, str] = {}
        for account, runner in self._engine.runners.items():
            if account in self._covered:
                continue
            self._covered.add(account)
            for hold in runner.core.executor.holds:
                whole = hold.bot is None and hold.instrument is None
                scope = KillScope(account if whole else None, hold.bot, hold.instrument)
                found.setdefault(scope, []).append(runner)
                who[scope] = hold.who
                runner.core.prove(hold.bot or hold.instrument, now_ns)
        for scope, runners in found.items():
            before = self._proofs[scope].runners if scope in self._proofs else []
            self._begin(scope, [*before, *runners], who=who[scope], at_ns=now_ns)


def _concerns(runner: AccountRunner, hold: Hold) -> bool:
    if hold.bot is None:
        return _knows(runner, hold.instrument)
    return hold.bot == MANUAL or any(bot.name == hold.bot for bot in runner.core.bots)


def _knows(runner: AccountRunner, instrument: InstrumentId | None) -> bool:
    core = runner.core
    return instrument is not None and (
        core.executor.knows(instrument) or instrument in core.cache.views
    )


def scope_of(command: Kill | ReleaseLatch) -> KillScope:
    """Return what a command names. Raises BadInput where it is more than one thing."""
    scope = KillScope(command.account, command.bot, command.instrument)
    if sum(part is not None for part in msgspec.structs.astuple(scope)) != 1:
        raise BadInput("name one of account, bot and instrument")
    return scope


def scoped(command: Kill | ReleaseLatch) -> bool:
    return any(part is not None for part in (command.account, command.bot, command.instrument))
