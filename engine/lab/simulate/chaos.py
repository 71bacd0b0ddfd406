"""Chaos: the faults that befall one account's engine and its feeds, when their time comes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from engine.domain.events import ScopeLatched, ScopeReleased
from engine.domain.instruments import BotId, InstrumentId
from engine.executor.proof import within
from engine.lab.simulate.engine_run import EngineRun, S
from engine.lab.simulate.faults import Fault
from engine.lab.simulate.network import MS, Redeeming
from engine.lab.simulate.simulated_account import SimulatedAccount
from engine.live.proof import CancelProof

# -- KILLs of a part of an account, as an operator gives them, and the judge of their proofs -------
# Set while the engine trades elsewhere, proven by the same class that makes the real receipts,
# looked at on the exchange, released some seconds later. A start proves anew what it finds
# latched.


class Part(NamedTuple):
    """A bot, an instrument, or neither: the whole account."""

    bot: BotId | None = None
    instrument: InstrumentId | None = None


class SimulatedScopedKills:
    """One part at a time of one station's account."""

    def __init__(self, station: SimulatedAccount) -> None:
        self._station = station
        self._part: Part | None = None
        self._life: EngineRun | None = None
        self._ending: CancelProof | None = None
        self._release_ns = 0
        self._released_seq: int | None = None
        """The record of the release; a life that dies before it is durable may be asked again."""

    def kill(self, life: EngineRun, random: Random) -> None:
        """KILL a part, unless another one is under way."""
        if self._part is not None:
            return
        bots = [bot.name for bot in life.desk.bots]
        markets = list(life.desk.cache.views)
        parts = [Part(), Part(bot=random.choice(bots))]
        parts += [Part(instrument=random.choice(markets))] if markets else []
        part = self._part = random.choice(parts)
        station = self._station
        self._released_seq = None
        self._release_ns = station.now() + random.randint(1, 20) * S
        # Before it is told: an engine that dies of the telling leaves a latch to be released.
        station.later(station.now() + S, self._second)
        life.tell(
            ScopeLatched(
                account=station.account,
                bot=part.bot,
                instrument=part.instrument,
                who="operator",
                reason="simulated KILL of a part",
            ),
            station.now(),
        )
        self._look(life)

    def _look(self, life: EngineRun) -> None:
        part, now_ns = self._part, life.now_ns(self._station.now())
        if part is not None:
            self._life = life
            scope = part.bot or part.instrument
            self._ending = CancelProof(life.executor, life.core, began_ns=now_ns, scope=scope)

    def _second(self) -> None:
        """Look whether it is proven, whether that is true, and whether it is time to release."""
        station, life = self._station, self._station.life
        if self._part is None:
            return
        if self._released_seq is not None and station.disk.durable >= self._released_seq:
            self._part = None
            return
        if life is not None and not life.frozen and not life.dead:
            station.within(life, lambda: self._watch(life, self._part or Part()))
        station.later(station.now() + S, self._second)

    def _watch(self, life: EngineRun, part: Part) -> None:
        now_ns = self._station.now()
        if life is not self._life:
            self._released_seq = None
            if all(hold.place != part for hold in life.executor.holds):
                self._part = None  # the latch had not reached the disk: nobody was told of it
                return
            self._look(life)
            life.desk.prove(part.bot or part.instrument, life.now_ns(now_ns))
        ending = self._ending
        if (
            self._released_seq is not None
            or ending is None
            or ending.proof(life.now_ns(now_ns)).missing
        ):
            return
        self._judge(part)
        if now_ns >= self._release_ns:
            life.tell(
                ScopeReleased(
                    account=self._station.account,
                    bot=part.bot,
                    instrument=part.instrument,
                    who="operator",
                    reason="simulated release",
                ),
                now_ns,
            )
            self._released_seq = len(self._station.disk.rows)

    def _judge(self, part: Part) -> None:
        """See that a proof is true: nothing of the part rests at the exchange or flies there."""
        seen, scope = self._station.seen, part.bot or part.instrument
        left = [order.id for order, left in seen.alive(None) if left and within(scope, order)]
        if left:
            self._station.speak("scope", f"zero is proven for {part}, and {left} may still fill")


# -- Chaos: the faults that befall one account's engine and its feeds, when their time comes -------


class Chaos:
    """Lets faults happen at one station."""

    def __init__(self, station: SimulatedAccount) -> None:
        self._station = station
        self._random = station.random
        self._scopes = SimulatedScopedKills(station)

    def happen(self, fault: Fault) -> None:
        """Let a fault happen to the engine that lives, if one does."""
        station, random = self._station, self._random
        life = station.life
        if life is None or life.frozen or not station.faults.on:
            return
        acts: dict[Fault, Callable[[], object]] = {
            Fault.FEED_LOST: lambda: life.market.lose(random.randint(250, 10_000) * MS),
            Fault.FEED_SILENT: life.market.silent,
            Fault.FEED_STALE: life.market.stale,
            Fault.FEED_GAP: lambda: life.market.tear(crossed=False),
            Fault.FEED_CROSSED: lambda: life.market.tear(crossed=True),
            Fault.USER_FEED_DOWN: lambda: station.lose_user_feed(
                life, silent_ns=0, pause_ns=random.randint(250, 20_000) * MS
            ),
            Fault.USER_FEED_SILENT: lambda: station.lose_user_feed(
                life, silent_ns=random.randint(1, 5) * S, pause_ns=250 * MS
            ),
            Fault.BEATS_LOST: lambda: self._lapse(life),
            Fault.CLOCK_JUMP: lambda: self._jump(life),
            Fault.CRASH: lambda: setattr(life.journal, "dying", random.randint(0, 60)),
            Fault.CRASH_SENDING: lambda: setattr(life.line, "sending_dies", True),
            Fault.DISK_FULL: self._fill_disk,
            Fault.SECOND_ENGINE: lambda: self._hang(life),
            Fault.KILL: lambda: station.kill(life),
            Fault.KILL_PART: lambda: self._scopes.kill(life, random),
            Fault.SETTINGS: lambda: station.limit(life),
            Fault.VENUE_REDEEMS: station.side.redeem_for,
            Fault.CRASH_REDEEMING: lambda: setattr(
                life.line, "redeeming_dies", random.choice(tuple(Redeeming))
            ),
            Fault.JOURNAL_LOST: lambda: self._lose_journal(life),
        }
        station.faults.counts[fault] += 1
        station.within(life, acts[fault])

    def _later(self, pause_ns: int, act: Callable[[], None]) -> None:
        self._station.later(self._station.now() + pause_ns, act)

    def _lapse(self, life: EngineRun) -> None:
        life.beating = False
        pause_ns = self._random.randint(5, 25) * S
        self._later(pause_ns, lambda: setattr(life, "beating", True))

    def _jump(self, life: EngineRun) -> None:
        life.jump(self._random.randint(2_100, 60_000) * MS, self._station.now())

    def _fill_disk(self) -> None:
        disk = self._station.disk
        disk.full = True
        self._later(self._random.randint(1, 30) * S, lambda: setattr(disk, "full", False))

    def _lose_journal(self, life: EngineRun) -> None:
        """Let the engine die soon, and its journal lose its end; not beside one that hangs."""
        if self._station.ghost is None:
            self._station.losing = True
            life.journal.dying = self._random.randint(0, 60)

    def _hang(self, life: EngineRun) -> None:
        """Let the engine hang, another one start, and the first one come back for a while."""
        station = self._station
        if station.ghost is not None:
            return
        life.frozen = life.line.hung = True
        station.ghost, station.life = life, None
        station.side.waiting.clear()  # it waits in the process until its time is over
        station.lives.died()
        self._later(self._random.randint(1, 15) * S, station.start)
        self._later(self._random.randint(16, 30) * S, lambda: self._wake(life))

    def _wake(self, life: EngineRun) -> None:
        life.frozen = False
        self._station.within(life, life.line.wake)
        self._later(self._random.randint(2, 20) * S, lambda: self._lay(life))

    def _lay(self, life: EngineRun) -> None:
        self._station.die(life)
        self._station.ghost = None
