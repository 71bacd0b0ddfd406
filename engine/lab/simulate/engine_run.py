"""One life of one engine: from recovery to its death, turned by the driver of simulated time.

Wired as `engine.live.main` wires the real one, in the order of the flow; only the ends are
simulated: the disk, the line, the market stream, the heartbeat and the clock.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.bots import BotState
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    CashMoved,
    Event,
    HealthChanged,
    InstrumentClosed,
    LatchReleased,
    LatchSet,
    ModeChanged,
    VenueMode,
)
from engine.domain.inputs import Halted, StartedOver
from engine.domain.instruments import AccountId
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.gateway.core import GatewayCore
from engine.lab.pump import Driver
from engine.lab.simulate.disk import Disk, Journal
from engine.lab.simulate.market_network import MarketNetwork
from engine.lab.simulate.network import Network
from engine.runtime.recovery import Recovered, executor_of, rebuild
from engine.runtime.services import HEARTBEAT, USER_FEED

S = 1_000_000_000
FORGET_AFTER_NS = 120 * S
"""How long a closed instrument stays: late settlements arrive within seconds."""

AUTH = "auth"
CLOCK = "clock"


class EngineRun:
    """One process of one engine. `world_ns` is the world's time; its own clock may be ahead."""

    def __init__(
        self,
        settings: AccountSettings,
        disk: Disk,
        journal: Journal,
        line: Network,
        *,
        fence: int,
        decide: Callable[[Decision | Planned], None],
    ) -> None:
        self.account = AccountId(settings.name)
        self.fence = fence
        self.journal = journal
        self.line = line
        self.dead = False
        self.frozen = False
        """True while the process hangs: nothing in it moves."""
        self.beating = True
        self.missed = 0
        self.funded = False
        self.halted = False
        self._jumped = False
        self._snapshot_seq = len(disk.rows)
        self._disk = disk
        self._closed: list[tuple[int, Event]] = []
        self.executor, self.gate = executor_of(settings, fence)
        self.found: Recovered = rebuild(disk.latest(), disk.tail, {self.account: self.executor})
        self.executor.resume()
        self.desk = AccountCore(
            cache=MarketCache(), executor=self.executor, bots=(), decide=decide, explain=decide
        )
        self.core = GatewayCore(
            account=self.account, settings=GatewaySettings(), latched=self.executor.latched
        )
        line.veto = self.core.veto
        self.driver = self._driven()
        self.market: MarketNetwork

    def _driven(self) -> Driver:
        return Driver(
            desk=self.desk,
            gateway=self.core,
            venue=self.line,
            recorder=self.journal,
            placed=_unheard,
            filled=_unheard,
        )

    # -- time --------------------------------------------------------------------------------------

    @property
    def due_ns(self) -> int:
        """When something happens here by itself, in the world's time."""
        return self.driver.due_ns - self.line.offset_ns

    def now_ns(self, world_ns: int) -> int:
        """Return what this engine's clock says."""
        return world_ns + self.line.offset_ns

    def run(self, world_ns: int) -> None:
        """Let happen what is due."""
        self.driver.run_until(self.now_ns(world_ns))

    # -- the start ---------------------------------------------------------------------------------

    def begin(self, bots: list[Bot], world_ns: int, *, latched: bool) -> None:
        """Start blind; nothing is placed before every stream speaks and the venue was asked."""
        now_ns = self.now_ns(world_ns)
        self.driver.start(now_ns)
        self.desk.begin(now_ns)
        for bot in bots:
            self.desk.add(bot, now_ns)
        for source in (USER_FEED, HEARTBEAT):
            self.health(source, "not connected yet", world_ns)
        if latched and not self.executor.latched:
            self.latch(world_ns, pausing=True)

    def fund(self, cash_micro: int, currency: str, world_ns: int) -> None:
        """Book the first cash, once in the account's life."""
        if self.account not in self.found.funded and not self.funded:
            self.tell(
                CashMoved(account=self.account, currency=currency, amount_micro=cash_micro),
                world_ns,
            )
        self.funded = True

    # -- what is told ------------------------------------------------------------------------------

    def tell(self, event: Event, world_ns: int) -> None:
        """Tell the engine something of the engine."""
        self.driver.tell(event, self.now_ns(world_ns))

    def health(self, source: str, reason: str, world_ns: int) -> None:
        """Tell that a source is unwell; an empty reason = it is well."""
        self.tell(
            HealthChanged(account=self.account, source=source, healthy=not reason, reason=reason),
            world_ns,
        )

    def jump(self, jump_ns: int, world_ns: int) -> None:
        """Let the wall clock leap ahead and tell it, as the engine does when it finds that."""
        self.line.offset_ns += jump_ns
        self._jumped = True
        self.health(CLOCK, f"the wall clock jumped by {jump_ns / S:.1f} s", world_ns)

    def executor_unwell(self, source: str) -> bool:
        """Say whether the engine holds a source for unwell."""
        return source in self.executor.unhealthy

    def user_feed(self, mode: VenueMode, world_ns: int) -> None:
        """Connect the user stream: it tells the venue's mode, then everything is asked anew."""
        self.line.user_feed = True
        self.tell(ModeChanged(account=self.account, mode=mode), world_ns)
        self.driver.receive(StartedOver(self.account), self.now_ns(world_ns))
        self.health(USER_FEED, "", world_ns)

    def feed(self, event: Event, world_ns: int) -> None:
        """Deliver an event of the market."""
        self.driver.feed(event, self.now_ns(world_ns))
        if isinstance(event, InstrumentClosed):
            self._closed.append((world_ns + FORGET_AFTER_NS, event))

    def second(self, world_ns: int, snapshot_every: int) -> None:
        """Once a second: look at the clock, forget what is over, keep a snapshot where one is due.

        A jump may have been told by a life before this one, and its end never.
        """
        if self._jumped:
            self._jumped = False
        elif self.executor_unwell(CLOCK):
            self.health(CLOCK, "", world_ns)
        while self._closed and self._closed[0][0] <= world_ns:
            _, event = self._closed.pop(0)
            if self.executor.forget(event.instrument):  # type: ignore[attr-defined]
                self.desk.cache.forget(event.instrument)  # type: ignore[attr-defined]
        if len(self._disk.rows) - self._snapshot_seq >= snapshot_every:
            self._snapshot_seq = len(self._disk.rows)
            name = f"executor:{self.account}"
            self.journal.snapshot(name, self.executor.snapshot(), self.now_ns(world_ns))

    # -- stops -------------------------------------------------------------------------------------

    def latch(self, world_ns: int, *, pausing: bool) -> None:
        """Set the KILL latch and pause every bot, as the engine does; one may go on wishing."""
        self.tell(LatchSet(who="operator", reason="simulated KILL"), world_ns)
        now_ns = self.now_ns(world_ns)
        for bot in self.desk.bots if pausing else ():
            bot.state = BotState.PAUSED
            self.desk.withdraw(bot, now_ns)
        self.driver.run_until(now_ns)

    def release(self, world_ns: int) -> None:
        """Release the latch; the bots go on."""
        self.tell(LatchReleased(who="operator", reason="simulated release"), world_ns)
        for bot in self.desk.bots:
            bot.state = BotState.RUNNING
            self.desk.reevaluate(bot, self.now_ns(world_ns))

    def halt(self, world_ns: int) -> None:
        """Stop for good: cancel everything and prove it."""
        self.halted = True
        now_ns = self.now_ns(world_ns)
        for bot in self.desk.bots:
            bot.state = BotState.STOPPING
            self.desk.withdraw(bot, now_ns)
        self.driver.receive(Halted(self.account, "the simulation ends"), now_ns)


def _unheard(_: PlaceOrder | Event, __: int = 0) -> None:
    """Nobody listens: the journal tells the judges."""
