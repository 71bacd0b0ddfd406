"""One life of one engine: `engine.live` itself, from recovery to its death.

Recovery, opening, commands, KILL, proofs and the stop are the ones that trade; what they stand on
is simulated: the disk, the line, the market stream, the clock, and the loop they run on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.clock import WallClock
from engine.config import Config
from engine.domain.decisions import Decision, Planned
from engine.domain.events import Event
from engine.domain.instruments import AccountId, BotId, Mode
from engine.domain.settings import AccountSettings
from engine.executor.executor import Executor
from engine.lab.simulate.crashes import SimulatedMistake
from engine.lab.simulate.disk import DecisionSink, Disk, Journal, NullWriter, State
from engine.lab.simulate.market_network import MarketNetwork
from engine.lab.simulate.network import Network, S
from engine.lab.simulate.process import Process
from engine.live.accounts import Accounts
from engine.live.commands.kill import KillScope, ScopedKills
from engine.live.commands.registry import Commands
from engine.live.engine import Engine
from engine.live.lifecycle import close, trade
from engine.live.main import chosen, error_of, opened
from engine.live.telemetry import Telemetry
from engine.live.venues import Venues
from engine.runtime.account_runner import AccountRunner
from engine.runtime.recovery import rebuild
from engine.runtime.services import Services, Stream
from engine.runtime.tape import Entries
from engine.runtime.venue_plugin import (
    AccountLink,
    AccountOpening,
    AccountSpec,
    MarketData,
    VenueSetup,
)
from engine.venues.demo.streams import LASTING, UserStream
from storage.latch import Latch
from storage.users import ENGINE_ID

FORGET_AFTER_NS = 120 * S
"""How long a closed instrument stays: late settlements arrive within seconds."""

TICK_S = 0.1
"""How often the engine looks at the clock."""

VENUE = "demo"
AUTH = "auth"


class SimulatedLink(AccountLink):
    """An account of the demo exchange over a simulated line."""

    retry_s = (0.25, 0.25)

    def __init__(self, network: Network, services: Services, settings: AccountSettings) -> None:
        super().__init__(services, settings)
        self.door = network
        self._network: Any = network

    async def connect(self, credential: object) -> None:
        del credential
        await self._network.open()

    async def run(self) -> None:
        """Listen and beat, as the demo exchange's own link does."""
        user = UserStream(self.services, self.runner, self._network)
        await asyncio.gather(user.run(), user.heartbeat())


class SimulatedMarket(MarketData):
    """The market as one life receives it."""

    def __init__(self, connect: Callable[[], object]) -> None:
        self._connect = connect

    def begin(self, services: Services, runners: list[AccountRunner]) -> list[Stream]:
        """Connect; the world delivers."""
        del services, runners
        self._connect()
        return []


class NoTelemetry(Telemetry):
    """Reports nothing while the engine trades: no person looks at its pages."""

    def follow(self, now_ns: int) -> None:
        """Follow nothing."""

    def second(self, now_ns: int) -> None:
        """Tell nothing."""

    def seconds(self, now_ns: int) -> Iterator[None]:
        """Tell nothing."""
        del now_ns
        return iter(())

    tick = second


async def _mistaken() -> None:
    raise SimulatedMistake("a mistake of our own")


class EngineRun:
    """One process of one engine. `jump_ns` is how far the machine's wall clock has leapt ahead."""

    def __init__(
        self,
        account: AccountId,
        home: Path,
        *,
        disk: Disk,
        process: Process,
        journal: Journal,
        network: Network,
        others: Mapping[AccountId, Network],
        decided: Callable[[Decision | Planned], None],
        proven: Callable[[EngineRun, KillScope | None], None],
        snapshot_every: int,
        now_ns: Callable[[], int],
        market: Callable[[EngineRun], MarketNetwork],
        taper: Entries,
    ) -> None:
        self.account = account
        self.market = market(self)
        self.process = process
        self.journal = journal
        self.network = network
        self._networks = {account: network, **others}
        self.jump_ns = 0
        self.failed = False
        """True from the moment at which a mistake of its own ends it: `failed_ns` of the world."""
        self.failed_ns = 0
        self.failed_clock_ns = 0
        """The same by its own clock."""
        self.fence = disk.fence
        self.engine: Engine | None = None
        self._config = Config(home=home)
        self._disk = disk
        self._decided = decided
        self._proven = proven
        self._snapshot_every = snapshot_every
        self._now_ns = now_ns
        self._taper = taper
        self._receipt: object = None
        self._scopes: frozenset[KillScope] = frozenset()

    @property
    def dead(self) -> bool:
        """True where nothing of it moves any more."""
        return self.process.dead

    @property
    def frozen(self) -> bool:
        """True while the process hangs."""
        return self.process.frozen

    @property
    def runner(self) -> AccountRunner:
        """The account's runner; there is one as soon as the engine has opened."""
        assert self.engine is not None
        return self.engine.runners[self.account]

    @property
    def executor(self) -> Executor:
        """The account's executor."""
        return self.runner.core.executor

    @property
    def bots(self) -> list[BotId]:
        """Return the bots of the account that is judged in full."""
        found = self.engine.bot_runners.items() if self.engine is not None else ()
        return [BotId(name) for name, one in found if one.bot.account == self.account]

    def executor_of(self, name: AccountId) -> Executor:
        """Return the executor of one of several accounts."""
        assert self.engine is not None
        return self.engine.runners[name].core.executor

    @property
    def open(self) -> bool:
        """True as soon as there is a runner."""
        return self.engine is not None and bool(self.engine.runners)

    @property
    def proven(self) -> bool:
        """True where the latest KILL or stop is proven and nothing has begun since."""
        engine = self.engine
        return engine is not None and engine.proving is None and engine.receipt is not None

    @property
    def proving(self) -> bool:
        """True from the moment at which a KILL of all is taken, until it is proven."""
        return self.engine is not None and self.engine.proving is not None

    @property
    def stopped(self) -> bool:
        """True where it has ended in order, and nothing was left."""
        return self.engine is not None and self.engine.phase == "STOPPED" and self.proven

    @property
    def missing(self) -> object:
        """What lacks in the proof that is under way."""
        engine = self.engine
        return engine and engine.receipt and [one.missing for one in engine.receipt.accounts]

    @property
    def settings_version(self) -> int:
        return 0 if self.engine is None else self.engine.settings.version

    def now_ns(self) -> int:
        """Return what this engine's clock says."""
        return self._now_ns() if self.engine is None else self.engine.clock.now_ns()

    # -- the life ----------------------------------------------------------------------------------

    async def live(self) -> None:
        """Recover, open, trade, stop. Raises what ended it."""
        disk = self._disk
        clock = WallClock(lambda: self._now_ns() + self.jump_ns, self._now_ns)
        start = chosen(disk.state, Accounts(self._venues(), fence=self.fence), clock.now_ns())
        past = disk.latest()
        found = rebuild(past, disk.tail, start.executors)
        engine = self.engine = Engine(
            self._config,
            engine_id=ENGINE_ID,
            clock=clock,
            recorder=self.journal,
            taper=self._taper,
            decisions=DecisionSink(self._decided),
            settings=start.settings,
            followed=start.followed,
            parts={Accounts: start.accounts},
            outside=start.accounts.outside,
            forget_after_ns=FORGET_AFTER_NS,
            snapshot_every=self._snapshot_every,
        )
        self.journal.on_lease_lost(engine.crash)
        self.process.set_exception_handler(lambda _, context: engine.end(error_of(context)))
        commands = Commands(engine)
        self.state = State(
            disk,
            self.process,
            engine_id=ENGINE_ID,
            clock=clock,
            received=lambda left: self.process.within(commands.receive, left),
            crash=engine.crash,
        )
        engine.wire(self.state, NullWriter())
        telemetry = NoTelemetry(engine)
        try:
            streams = opened(engine, start, found, past)
            self._kills = engine.part(ScopedKills)
            engine.watchers.insert(0, self._note)
            engine.watchers.append(self._look)
            await trade(
                engine,
                streams,
                kill_only=False,
                telemetry=telemetry,
                tick_s=TICK_S,
                looks_at_turns=False,
            )
        finally:
            await close(engine, telemetry)

    def fail(self) -> None:
        """Let one of its streams make a mistake that no code catches."""
        engine = self.engine
        if engine is None or engine.ended.done():
            return
        self.failed, self.failed_ns, self.failed_clock_ns = True, self._now_ns(), self.now_ns()
        engine.spawn(_mistaken)

    def _venues(self) -> Venues:
        networks = self._networks

        async def door(_: object, account: AccountId, __: object) -> Network:
            return networks[account]

        def link(_: object, services: Services, settings: AccountSettings) -> SimulatedLink:
            return SimulatedLink(networks[AccountId(settings.name)], services, settings)

        spec = AccountSpec(link=link, door=door)
        setup = VenueSetup(config=self._config, urls={})
        return Venues(
            openers={(VENUE, Mode.DEMO): AccountOpening(setup, spec)},
            markets={VENUE: SimulatedMarket(self.market.connect_soon)},
        )

    def _note(self, now_ns: int) -> None:
        """Note which KILLs of a part are under way, before the engine looks at them."""
        del now_ns
        self._scopes = self._kills.under_way

    def _look(self, now_ns: int) -> None:
        """Tell of every proof at the very moment in which the engine holds it for true."""
        del now_ns
        engine = self.engine
        assert engine is not None
        before, self._receipt = self._receipt, engine.receipt
        if engine.receipt is not None and engine.receipt is not before and engine.receipt.proven:
            self._proven(self, None)
        if self._scopes:
            for scope in sorted(self._scopes - self._kills.under_way, key=str):
                self._proven(self, scope)

    # -- what reaches it ---------------------------------------------------------------------------

    def feed(self, events: tuple[Event, ...]) -> None:
        """Deliver what the market stream tells, as the demo exchange's own stream does."""
        engine = self.engine
        assert engine is not None
        now_ns = self.now_ns()
        for event in events:
            if isinstance(event, LASTING):
                engine.journal(event, now_ns)
        self.runner.market(events, now_ns)
        for name in self._networks:
            if name != self.account:  # each has a turn of its own
                self.process.within(self._market, name, events)

    def _market(self, name: AccountId, events: tuple[Event, ...]) -> None:
        assert self.engine is not None
        self.engine.runners[name].market(events, self.now_ns())

    def look(self) -> None:
        """Let it hear of the commands that were left."""
        if self.open:
            self.process.within(self.state.look)

    def take_latch(self, latch: Latch | None) -> None:
        """Tell it of a latch that was set, as the thread that looks for it does."""
        if self.engine is not None and latch is not None:
            self.process.within(self.engine.take_latch, latch)
