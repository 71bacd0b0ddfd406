"""Chaos: the faults that befall one account's engine and its feeds, when their time comes."""

from __future__ import annotations

from collections.abc import Callable

from engine.lab.simulate.engine_run import MS, EngineRun, S
from engine.lab.simulate.faults import Fault
from engine.lab.simulate.network import Redeeming
from engine.lab.simulate.simulated_account import SimulatedAccount


class Chaos:
    """Lets faults happen at one station."""

    def __init__(self, station: SimulatedAccount) -> None:
        self._station = station
        self._random = station.random

    def happen(self, fault: Fault) -> None:
        """Let a fault happen to the engine that lives, if one does."""
        station, random = self._station, self._random
        life = station.life
        if life is None or life.frozen or not life.open or not station.faults.on:
            return
        acts: dict[Fault, Callable[[], object]] = {
            Fault.FEED_LOST: lambda: life.market.lose(random.randint(250, 10_000) * MS),
            Fault.FEED_SILENT: life.market.silent,
            Fault.FEED_STALE: life.market.stale,
            Fault.FEED_GAP: lambda: life.market.tear(crossed=False),
            Fault.FEED_CROSSED: lambda: life.market.tear(crossed=True),
            Fault.USER_FEED_DOWN: lambda: life.line.lose(
                silent_ns=0, pause_ns=random.randint(250, 20_000) * MS
            ),
            Fault.USER_FEED_SILENT: lambda: life.line.lose(
                silent_ns=random.randint(1, 5) * S, pause_ns=250 * MS
            ),
            Fault.BEATS_LOST: lambda: self._lapse(life),
            Fault.CLOCK_JUMP: lambda: self._jump(life),
            Fault.CRASH: lambda: setattr(life.journal, "dying", random.randint(0, 60)),
            Fault.CRASH_SENDING: lambda: setattr(life.line, "sending_dies", True),
            Fault.DISK_FULL: self._fill_disk,
            Fault.SECOND_ENGINE: lambda: self._hang(life),
            Fault.KILL: lambda: station.operator.kill(life),
            Fault.KILL_PART: lambda: station.operator.kill_part(life),
            Fault.SETTINGS: station.operator.limit,
            Fault.VENUE_REDEEMS: station.side.redeem_for,
            Fault.VENUE_CONVERTS: self._convert,
            Fault.CRASH_REDEEMING: lambda: setattr(
                life.line, "redeeming_dies", random.choice(tuple(Redeeming))
            ),
            Fault.JOURNAL_LOST: lambda: self._lose_journal(life),
        }
        station.faults.counts[fault] += 1
        acts[fault]()

    def end(self) -> None:
        """Take back the deaths that still wait for their moment."""
        station = self._station
        station.losing = False
        for life in (station.life, station.ghost):
            if life is not None:
                life.journal.dying = -1
                life.line.sending_dies = False
                life.line.redeeming_dies = None

    def _later(self, pause_ns: int, act: Callable[[], None]) -> None:
        self._station.later(self._station.now() + pause_ns, act)

    def _lapse(self, life: EngineRun) -> None:
        life.line.beating = False
        pause_ns = self._random.randint(5, 25) * S
        self._later(pause_ns, lambda: setattr(life.line, "beating", True))

    def _jump(self, life: EngineRun) -> None:
        life.jump_ns += self._random.randint(2_100, 60_000) * MS

    def _convert(self) -> None:
        """Split or merge at the venue; tokens from before the first cash are nobody's here."""
        if self._station.seen.told.deposits:
            self._station.side.convert_for(self._random)

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
        life.process.frozen = True
        station.ghost, station.life = life, None
        station.side.waiting.clear()  # it waits in the process until its time is over
        station.lives.died()
        self._later(self._random.randint(1, 15) * S, station.start)
        self._later(self._random.randint(16, 30) * S, lambda: self._wake(life))

    def _wake(self, life: EngineRun) -> None:
        life.process.frozen = False
        self._later(self._random.randint(2, 20) * S, lambda: self._lay(life))

    def _lay(self, life: EngineRun) -> None:
        self._station.die(life)
        self._station.ghost = None
