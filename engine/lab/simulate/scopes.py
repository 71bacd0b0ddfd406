"""KILLs of a part of an account, as an operator gives them, and the judge of their proofs.

Set while the engine trades elsewhere, proven by the same class that makes the real receipts, looked
at on the exchange, released some seconds later. A start proves anew what it finds latched.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from engine.domain.events import ScopeLatched, ScopeReleased
from engine.domain.instruments import BotId, InstrumentId
from engine.executor.proof import within
from engine.lab.simulate.engine_run import EngineRun, S
from engine.lab.simulate.simulated_account import SimulatedAccount
from engine.live.kill import ScopedCancelProof


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
        self._ending: ScopedCancelProof | None = None
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
            self._ending = ScopedCancelProof(life.executor, life.core, began_ns=now_ns, scope=scope)

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
