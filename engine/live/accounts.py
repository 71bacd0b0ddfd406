"""Accounts of a running engine: what each mode is wired to, at the start and while it trades.

`live.venues` says what can be opened and how; anything else is refused in words (law R).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from sqlite3 import Connection

from engine.bots.bot import InputBatch
from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.decisions import Decision, Planned
from engine.domain.events import LatchSet, OrderNotSent
from engine.domain.inputs import Opened
from engine.domain.instruments import AccountId, Mode
from engine.domain.plain import PlainDict
from engine.domain.settings import AccountSettings, SettingsDocument
from engine.errors import ConfigError, StorageError
from engine.executor.executor import Executor
from engine.executor.proof import Scope
from engine.live.engine import Engine
from engine.live.kill_bare import BareProof
from engine.live.reopen import Restored, attach_bots, restore
from engine.live.venues import Venues, rate_markets
from engine.risk.exposure import ExposureBook, share_total
from engine.risk.gate import RiskGate
from engine.runtime.account_runner import AccountRunner
from engine.runtime.aids import Tolerates
from engine.runtime.recovery import executor_of, live_orders
from engine.runtime.services import Stream
from storage.commands import many
from storage.latch import Latch
from storage.projection import accounts_known, register_account
from storage.users import ENGINE_ID

UNNAMED = "the engine died before the order had a name"


class Accounts:
    """Wires accounts to an engine. `venues` says what can be opened, `fence` which start it is."""

    def __init__(self, venues: Venues, *, fence: int) -> None:
        self.venues = venues
        self.fence = fence
        self._sharing: dict[Mode, list[ExposureBook]] = {}
        """Books that count together: modes and currencies never mix in a sum."""
        self._open: dict[str, str] = {}
        """Account → venue."""
        self._batch = InputBatch()
        self._past: dict[str, AccountSettings] = {}
        """Accounts of earlier starts: they are recovered, never opened afresh."""
        self._outside: dict[str, tuple[AccountSettings, Executor]] = {}
        """Those of them that a start does not open, with what the journal knows of each."""
        self._proofs: dict[str, BareProof] = {}

    def refusal(self, settings: AccountSettings) -> str:
        """Return why this engine cannot open an account; empty = it can, or it is open."""
        name = settings.name
        why = self.venues.refusal(settings)
        if not why and name in self._past and name not in self._open:
            how = ", or open the vault that holds its key" if settings.mode is Mode.LIVE else ""
            past = f"account {name!r} has a past in the journal"
            return f"{past}: restart the engine (page Engine) to open it{how}"
        return why

    async def restore(self, engine: Engine, settings: AccountSettings) -> Restored | None:
        """Return a closed account as the journal has it; None = it is new.

        Open it at once, without a wait. Raises StorageError, JournalCorrupt.
        """
        if settings.name not in self._past:
            return None
        return await restore(engine, settings, self.fence)

    def is_open(self, name: str) -> bool:
        return name in self._open

    def register(self, connection: Connection, document: SettingsDocument) -> None:
        """Note every account this engine can open in the state, before its first record.

        Raises ConfigError where an account's mode or venue would change.
        """
        self.check(connection, document)
        for one in document.accounts.values():
            if not self.refusal(one):
                register_account(
                    connection,
                    engine_id=ENGINE_ID,
                    account=one.name,
                    mode=one.mode,
                    venue=one.venue,
                    currency=one.currency,
                )

    def check(self, connection: Connection, document: SettingsDocument) -> None:
        """Raise ConfigError where an account's mode or venue would change: its past is of that."""
        known = accounts_known(connection, ENGINE_ID)
        for one in document.accounts.values():
            before = known.get(one.name, one)
            if before.mode is not one.mode:
                raise ConfigError(
                    f"account {one.name!r} is {before.mode} and cannot become {one.mode}: "
                    "positions never cross modes; make an account of another name"
                )
            if before.venue != one.venue:
                raise ConfigError(
                    f"account {one.name!r} is at {before.venue} and cannot move to {one.venue}: "
                    "make an account of another name"
                )

    def made(
        self, document: SettingsDocument
    ) -> dict[AccountId, tuple[AccountSettings, Executor, RiskGate]]:
        return {
            AccountId(one.name): (one, *executor_of(one, self.fence))
            for one in document.accounts.values()
            if not self.refusal(one)
        }

    def know(self, connection: Connection, document: SettingsDocument) -> dict[AccountId, Executor]:
        """Learn which accounts have a past, when those of this start are chosen.

        Return a fresh executor for each that is not opened, by whatever reason: it does not trade,
        and what the journal knows of it must not be left out of a proof.
        """
        self._past = accounts_known(connection, ENGINE_ID)
        known = self._past | {
            name: one for name, one in document.accounts.items() if name in self._past
        }
        for name, one in known.items():
            opened = name in document.accounts and not self.venues.refusal(one)
            if not opened and one.mode is not Mode.PAPER:  # a paper venue died with its engine
                self._outside[name] = one, executor_of(one, self.fence)[0]
        return {AccountId(name): one[1] for name, one in self._outside.items()}

    @property
    def known(self) -> frozenset[str]:
        """Every account that was ever registered, when those of this start were chosen."""
        return frozenset(self._past)

    def resting_outside(self, scope: Scope) -> tuple[str, ...]:
        return tuple(
            f"account {name} is not open here, and by the journal {many(count, 'order')} of it may "
            "rest: open it and ask again, or look at its venue"
            for name, (_, executor) in self._outside.items()
            if name not in self._open and (count := executor.may_rest(scope))
        )

    def closed(self, name: str) -> Executor | None:
        """Return what the journal knew at the start of an account that is not open; None = nothing.

        Also None for a paper account, whose orders ended with its engine.
        """
        known = None if self.is_open(name) else self._outside.get(name)
        return known and known[1]

    def outside(self, besides: Iterable[AccountSettings] = ()) -> dict[str, BareProof]:
        """Begin to cancel at every account with a past that does not trade here, and return it.

        Also those that settings in force name no more. Left out is one whose venue nobody here can
        ask and all of whose orders ended. `besides` are accounts that other sources name.
        """
        for proof in self._proofs.values():
            proof.over()
        self._proofs = {}
        places = [*self._outside.values(), *((one, None) for one in besides)]
        for one, executor in places:
            place = one.venue, one.mode
            if one.name in self._open or one.mode is Mode.PAPER:
                continue
            # Where two sources say two places of one account, both are asked.
            name = one.name if one.name not in self._proofs else f"{one.name} at {place}"
            known = self._proofs.get(one.name)
            if known is None or (known.settings.venue, known.settings.mode) != place:
                opener = self.venues.openers.get(place)
                self._proofs[name] = BareProof(one, opener, executor)
        self._proofs = {name: one for name, one in self._proofs.items() if not one.settled}
        for proof in self._proofs.values():
            proof.begin()
        return self._proofs

    # -- wiring ------------------------------------------------------------------------------------

    def wire(
        self, engine: Engine, settings: AccountSettings, executor: Executor, gate: RiskGate
    ) -> AccountRunner:
        account = AccountId(settings.name)
        executor.resume()  # a stop of the engine is over with its start
        decide = deciding(engine)
        wiring: PlainDict = {
            "core": AccountCore(
                sliced=True,
                tape=engine.record,
                batch=self._batch,
                cache=MarketCache(),
                executor=executor,
                bots=(),
                decide=decide,
                explain=decide,
            ),
            "recorder": engine.recorder,
            "clock": engine.clock,
            "meter": engine.meter,
            "alert": engine.alert,
            "crash": engine.end,
            "turns": engine.turns,
        }
        opener = self.venues.openers[settings.venue, settings.mode]
        runner = opener.runner(engine, settings, executor, wiring)
        engine.gates[account] = gate
        engine.runners[account] = runner
        sharing = self._sharing.setdefault(settings.mode, [])
        sharing.append(gate.exposure)
        share_total(sharing)
        self._open[settings.name] = settings.venue
        if rates := dict.fromkeys(rate_markets(settings)):
            engine.followed.setdefault(account, {}).update(rates)
        if proof := self._proofs.pop(settings.name, None):
            proof.over()  # it is proven by its own gateway from now on
        return runner

    def begin(self, engine: Engine, funded: set[str]) -> list[Stream]:
        """Start every account blind; return what must be listened to."""
        streams: list[Stream] = []
        known = engine.settings.document.accounts
        for account, runner in engine.runners.items():
            streams += self._begin(engine, runner, known[account], funded=account in funded)
        for venue, market in self.venues.markets.items():
            opened = [runner for key, runner in engine.runners.items() if self._open[key] == venue]
            if opened:
                streams += market.begin(engine, opened)
        return streams

    def _begin(
        self, engine: Engine, runner: AccountRunner, settings: AccountSettings, *, funded: bool
    ) -> list[Stream]:
        account, now_ns = runner.account, engine.clock.now_ns()
        runner.core.begin(now_ns)
        for known in live_orders(runner.core.executor):
            if known.identity is None:  # what has no name has never left (law K)
                never = OrderNotSent(account=account, order=known.order.id, reason=UNNAMED)
                runner.deliver(never, now_ns)
        opener = self.venues.openers[settings.venue, settings.mode]
        return opener.begin(settings, funded=funded)

    def open(
        self, engine: Engine, settings: AccountSettings, now_ns: int, past: Restored | None = None
    ) -> None:
        """Open an account while the engine runs. `refusal` was asked, `register` was called.

        One that has a past is given it, from `restore` of this very moment.
        """
        body = settings.model_dump_json().encode()
        engine.record(Opened(AccountId(settings.name), body, past.seq if past else 0), now_ns)
        made = (past.executor, past.gate) if past else executor_of(settings, self.fence)
        runner = self.wire(engine, settings, *made)
        attach_bots(engine, engine.absent, account=runner.account)
        for stream in self._begin(
            engine, runner, settings, funded=past is not None and past.funded
        ):
            engine.spawn(stream)
        if engine.killed.is_set():
            runner.latch(LatchSet(who="engine", reason="the KILL latch was set before"), now_ns)
            if past:
                engine.prove_too(runner, now_ns)
        elif runner.core.executor.latched:  # by a KILL that is not released at this account
            engine.take_latch(Latch(who="journal", at_ns=now_ns))
            engine.keep_latch("journal", now_ns)
        for stream in self.venues.markets[settings.venue].join(engine, runner):
            engine.spawn(stream)


def deciding(engine: Engine) -> Callable[[Decision | Planned], None]:
    """Return who keeps decisions: a log that refuses is noted, trading goes on."""
    append, notes = engine.decisions.append, engine.notes("decisions")

    def said(error: Exception) -> str:
        text = str(error) if isinstance(error, StorageError) else repr(error)
        return f"decisions are left out: {text}"

    # A note, no alert: one for each would fill the state's queue, which halts trading.
    tolerates = Tolerates(notes.add, said)

    def decide(decision: Decision | Planned) -> None:
        with tolerates:
            append(decision)

    return decide
