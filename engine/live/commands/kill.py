"""KILL: latched, cancelled, proven, released by hand; of everything, or of a part.

A part is one account, bot or instrument: executors hold placing there and journal that, so it
survives a restart; whoever trades there is stopped. Of everything it is the engine that takes the
latch (`Engine.take_latch`). Both end with a proof that nothing of ours is open, and so does a stop.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

import msgspec

from engine.domain.bots import BotHappened
from engine.domain.commands import MANUAL, InventoryPolicy, Kill, ReleaseLatch, StopBot
from engine.domain.events import (
    CancelRefused,
    Event,
    LatchReleased,
    OrderCancelled,
    ScopeLatched,
    ScopeReleased,
)
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.orders import OrderState
from engine.errors import BadInput, StorageError
from engine.executor.executor import Executor
from engine.executor.fills import Holding
from engine.executor.halts import Hold
from engine.executor.proof import LISTINGS_NEEDED, Scope, within
from engine.gateway.core import GatewayCore
from engine.live.commands.registry import Done, Pending, command, part
from engine.runtime.account_runner import AccountRunner
from engine.runtime.bot_runner import BotRunner
from engine.runtime.recovery import ENGINE_WIDE
from engine.runtime.services import Services
from storage.commands import KILL_PROOF, SCOPE_PROOF, AccountProof, Receipt, keep_receipt, many
from storage.latch import Latch, prepare_spare

if TYPE_CHECKING:
    from engine.live.engine import Engine

# -- proofs that nothing of ours is open -----------------------------------------------------------

NOT_PROVEN_AFTER_NS = 3_000_000_000
"""After this a receipt says NOT PROVEN with what is missing, and again when that changes.

A proof that nothing hinders takes two seconds: it has to outlive what may be under way.
"""

REPEAT_NS_MAX = 300_000_000_000
"""What stays missing is said again after twice the wait before, up to this: it is still tried."""

MS = 1_000_000
REFUSED_MAX = 1_000
ON_THEIR_WAY = frozenset({OrderState.PENDING, OrderState.SENT, OrderState.DELAYED})

ReceiptReported = Callable[[Receipt], None]
Inventory = tuple[tuple[str, int, int], ...]


def unaskable_text(why: str) -> str:
    """Return what is missing of an account whose venue nobody can ask."""
    return f"the venue cannot be asked: {why}; orders of an earlier run may rest there"


def inventory(held: Iterable[tuple[InstrumentId, Holding]]) -> Inventory:
    return tuple(
        (key, one.yes_settled + one.yes_pending, one.no_settled + one.no_pending)
        for key, one in held
    )


class Provable(Protocol):
    """An account on its way to a proof that nothing of it is open."""

    @property
    def unaskable(self) -> Callable[[], str]:
        """Says why nothing can be asked at its venue before a person acts; empty = it can."""
        ...

    def proof(self, now_ns: int) -> AccountProof: ...


class CancelProof:
    """An account, or a bot's or instrument's part of it, on its way to a proof.

    What was cancelled, what was refused, what is missing. `unaskable` says why nothing can be asked
    at the venue before a person acts; `trading` which of the desk's bots trades an instrument:
    after a start nobody has stated an intent yet.
    """

    def __init__(
        self,
        executor: Executor,
        core: GatewayCore,
        *,
        began_ns: int,
        scope: Scope = None,
        unaskable: Callable[[], str] = str,
        trading: Callable[[InstrumentId], BotId | None] = lambda _: None,
    ) -> None:
        self._executor = executor
        self._core = core
        self._scope = scope
        self.unaskable = unaskable
        self._trading = trading
        self._began_ns = began_ns
        self._open = self._open_and_unknown()[0]
        self._cancelled = 0
        self._refused: dict[int, str] = {}
        self._landed_ns = 0 if self._on_their_way() else began_ns

    def _on_their_way(self) -> int:
        if self._scope is None:
            return self._core.places_in_flight
        return sum(known.state in ON_THEIR_WAY for known in self._executor.live_in(self._scope))

    def _open_and_unknown(self) -> tuple[int, int]:
        if self._scope is None:
            return self._executor.open_and_unknown
        live = self._executor.live_in(self._scope)
        return len(live), sum(known.state is OrderState.UNKNOWN for known in live)

    def _holdings(self) -> Iterable[tuple[InstrumentId, Holding]]:
        executor, scope = self._executor, self._scope
        for key, one in executor.ledger.held.items():
            if scope in (None, key) or (executor.owner(key) or self._trading(key)) == scope:
                yield key, one

    def receive(self, event: Event) -> None:
        """Take what the venue said to our cancels; in a part, to those of that part."""
        if not isinstance(event, OrderCancelled | CancelRefused):
            return
        if self._scope is not None:
            order = self._executor.order(event.order)
            if order is None or not within(self._scope, order):
                return
        if isinstance(event, OrderCancelled):
            self._cancelled += 1
            self._refused.pop(event.order, None)
        elif len(self._refused) < REFUSED_MAX:
            self._refused[event.order] = event.venue_text

    def proof(self, now_ns: int) -> AccountProof:
        executor = self._executor
        if not self._landed_ns and not self._on_their_way():
            self._landed_ns = now_ns
        live, unknown = self._open_and_unknown()
        proven = executor.proven(self._scope)
        listings = 0 if proven is None else proven.listings
        missing = []
        closed = self.unaskable()
        if closed and listings < LISTINGS_NEEDED:
            missing.append(unaskable_text(closed))
        if not self._landed_ns:
            missing.append(f"{many(self._on_their_way(), 'place')} in flight without an answer")
        if listings < LISTINGS_NEEDED:
            missing.append("no two complete listings of open orders in a row without one of ours")
        if unknown:
            missing.append(
                f"{many(unknown, 'order')} UNKNOWN: the venue has not reported whether any is open"
            )
        if live > unknown:
            missing.append(f"{many(live - unknown, 'order')} may still fill")
        return AccountProof(
            account=executor.account,
            mode=executor.mode,
            open_at_latch=self._open,
            cancelled=self._cancelled,
            not_cancelled=tuple(self._refused.items()),
            in_flight_waited_ms=((self._landed_ns or now_ns) - self._began_ns) / MS,
            listings=listings,
            unknown=unknown,
            live=live,
            inventory=inventory(self._holdings()),
            foreign=proven.foreign if proven is not None else (),
            missing=tuple(missing),
        )


class ProofRun:
    """A KILL or a stop on its way to its receipt, over all accounts it is about.

    `part` is what of them; `title` names that for people. `proofs` are accounts that do not trade
    here; those that do are added with `cover`.
    """

    def __init__(
        self,
        *,
        name: str,
        who: str,
        reason: str,
        latched_ns: int,
        proofs: Mapping[str, Provable],
        part: Scope = None,
        title: str = "",
        what: str = KILL_PROOF,
    ) -> None:
        self.proofs: dict[str, Provable] = dict(proofs)
        self.runners: list[AccountRunner] = []
        self.unread: tuple[str, ...] = ()
        """What could not be read, or may rest where nobody looks: over it nothing is proven."""
        self.waiting: list[ReceiptReported] = []
        """Who wants the receipt when it is PROVEN."""
        self.first_cancel_ns: int | None = None
        """When the first cancel was handed to its connection."""
        self._part = part
        self._title = title
        self._what = what
        self._head = (name, who, reason, latched_ns)
        self.restart_patience(latched_ns)

    def restart_patience(self, now_ns: int) -> None:
        """Begin the patience anew: nothing was said yet."""
        self._reported: tuple[int, tuple[str, ...]] = (now_ns, ())
        self._repeat_ns = NOT_PROVEN_AFTER_NS

    def cover(self, runner: AccountRunner, now_ns: int) -> None:
        """Prove an account that trades here, too."""

        def trading(instrument: InstrumentId) -> BotId | None:
            return next((bot.name for bot in runner.core.bots if instrument in bot.cells), None)

        proof = CancelProof(
            runner.core.executor, runner.gateway, began_ns=now_ns, scope=self._part,
            unaskable=runner.unaskable, trading=trading,
        )  # fmt: skip
        self.proofs[str(runner.account)] = proof
        self.runners.append(runner)
        runner.on_report[self._subscription] = proof.receive

    @property
    def _subscription(self) -> str:
        return f"proof of {self._title}"

    def needs_operator(self, receipt: Receipt) -> bool:
        """Say whether a receipt stays unproven until a person acts: nobody else can be asked."""
        lacking = [one.account for one in receipt.accounts if one.missing]
        waits = bool(lacking or receipt.missing)
        unproven = [self.proofs[name] for name in lacking if name in self.proofs]
        return waits and all(one.unaskable() for one in unproven)

    def receipt(self, now_ns: int) -> Receipt:
        name, who, reason, latched_ns = self._head
        accounts = tuple(one.proof(now_ns) for one in self.proofs.values())
        return Receipt(
            id=name,
            who=who,
            reason=reason,
            latched_ns=latched_ns,
            first_cancel_ns=self.first_cancel_ns,
            reported_ns=now_ns,
            proven=not self.unread and not any(account.missing for account in accounts),
            accounts=accounts,
            missing=self.unread,
            scope=self._title,
        )

    def due(self, now_ns: int) -> Receipt | None:
        """Return the receipt if it is proven, or must be told now.

        Soon where it has changed what lacks, at once where waiting changes nothing, and ever later
        where all is as it was said.
        """
        receipt = self.receipt(now_ns)
        if not receipt.proven:
            at_ns, reported = self._reported
            lacking = self.unread + tuple(why for one in receipt.accounts for why in one.missing)
            same = lacking == reported
            wait_ns = self._repeat_ns if same else NOT_PROVEN_AFTER_NS
            if now_ns - at_ns < wait_ns and (same or not self.needs_operator(receipt)):
                return None
            longer = min(2 * self._repeat_ns, REPEAT_NS_MAX)
            self._repeat_ns = longer if same else NOT_PROVEN_AFTER_NS
            self._reported = (now_ns, lacking)
        return receipt

    def report(self, services: Services, receipt: Receipt) -> None:
        """Keep a receipt; one that is PROVEN ends the run and goes to whoever waits."""
        what, text = self._what, receipt.sentence()
        services.state.write_row(keep_receipt, what, receipt, awaited=True)
        services.log.warning("receipt", what=what, proven=receipt.proven, text=text)
        if receipt.proven:
            for runner in self.runners:
                runner.on_report.pop(self._subscription, None)
            waiting, self.waiting = self.waiting, []
            for answer in waiting:
                answer(receipt)


# -- KILL of a part, and what the command of a whole one asks --------------------------------------


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
        proof.first_cancel_ns = engine.clock.now_ns()
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
        return Done("the latch is released; paused bots stay paused until they are resumed")

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
            for name in sorted(engine.accounts.known - engine.runners.keys()):
                engine.journal(released(account=AccountId(name)), now_ns)
        return f"the latch of {scope} is released; stopped bots stay stopped until they are started"

    def _outside(self, scope: KillScope) -> tuple[str, ...]:
        if scope.account is not None:
            return ()
        return self._engine.accounts.resting_outside(scope.bot or scope.instrument)

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
        )
        run.waiting = before.waiting if before else []
        run.unread = self._outside(scope)
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
                        account=runner.account, bot=hold.bot, instrument=hold.instrument,
                        who=hold.who, reason=hold.reason,
                    )  # fmt: skip
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
