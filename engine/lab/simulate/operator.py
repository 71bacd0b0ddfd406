"""The person at one account: leaves commands as a page does, and looks after the desk each second.

He wants his bots to run: what a KILL, a start or a loss has stopped he starts again, and a latch
whose proof he has read he releases. Now and then he tries what must be refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.domain.bots import BotHappened, may
from engine.domain.commands import (
    AnyCommand,
    ApplySettings,
    Kill,
    ReleaseLatch,
    ResumeBot,
    StartBot,
)
from engine.domain.instruments import BotId, InstrumentId
from engine.lab.simulate.accounts import account_of
from engine.lab.simulate.engine_run import MS, EngineRun, S
from storage.commands import leave
from storage.latch import read_latch, set_latch
from storage.settings import Saved, latest, save
from storage.users import ENGINE_ID

if TYPE_CHECKING:
    from engine.lab.simulate.simulated_account import SimulatedAccount

WHO = "operator"
REASON = "simulated release"
TRIES = 0.1
"""How often, per second and bot, he tries to let one go on under the latch."""

Place = tuple[BotId | None, InstrumentId | None]


class Operator:
    """One account's. `ends` = he wants everything stopped, and it to stay so."""

    def __init__(self, station: SimulatedAccount) -> None:
        self.ends = False
        self._station = station
        self._random = station.random
        self._count = 0
        self._release_ns: dict[Place, int] = {}

    def leave(self, command: AnyCommand) -> None:
        """Leave a command; the engine that lives then hears of it, and so may a later one."""
        station, life = self._station, self._station.life
        self._count += 1
        leave(
            station.disk.state,
            engine_id=ENGINE_ID,
            id=f"{station.account}-{self._count}",
            command=command,
            who=WHO,
            now_ns=station.now() + (life.jump_ns if life else 0),  # it is one machine's clock
        )
        station.later(station.now() + self._random.randint(1, 50) * MS, self._knock)

    def _knock(self) -> None:
        life = self._station.life
        if life is not None:
            life.look()

    # -- now and then ------------------------------------------------------------------------------

    def kill(self, life: EngineRun) -> None:
        """KILL everything: by a command, or by the file that every program can write."""
        if self._random.random() < 0.5:
            self.leave(Kill())
            return
        set_latch(self._station.kill_path, WHO, self._station.now())
        life.take_latch(read_latch(self._station.kill_path))

    def kill_part(self, life: EngineRun) -> None:
        """KILL a bot, a market or the account alone."""
        random, parts = self._random, [Kill(account=life.account)]
        if life.engine is not None and life.engine.bot_runners:
            parts.append(Kill(bot=BotId(random.choice(list(life.engine.bot_runners)))))
        if markets := list(life.runner.desk.cache.views):
            parts.append(Kill(instrument=random.choice(markets)))
        self.leave(random.choice(parts))

    def limit(self) -> None:
        """Save other limits and have them applied."""
        station = self._station
        limits = account_of(station.settings.name, self._random).limits
        changed = {"limits": limits.model_dump(mode="json", exclude_none=True)}
        saved = save(
            station.disk.state,
            engine_id=ENGINE_ID,
            who=WHO,
            diff={"accounts": {station.settings.name: changed}},
            base_version=latest(station.disk.state, ENGINE_ID).version,
            now_ns=station.now(),
        )
        if isinstance(saved, Saved):
            station.limits[saved.version] = limits
            self.leave(ApplySettings(version=saved.version))

    # -- each second -------------------------------------------------------------------------------

    def look(self, life: EngineRun) -> None:
        """Look at the desk and do what is to be done."""
        told = self._station.seen.told
        if told.latched and not self.ends and life.proven:
            self.leave(ReleaseLatch(reason=REASON))
        elif self.ends and not told.latched:
            self.leave(Kill())
        self._release_parts(life)
        if not self.ends:
            self._start_bots(life, latched=told.latched)
        life.look()

    def _release_parts(self, life: EngineRun) -> None:
        now_ns, due = self._station.now(), self._release_ns
        for place in sorted(self._station.seen.told.holds, key=str):
            if due.setdefault(place, now_ns + self._random.randint(1, 20) * S) <= now_ns:
                del due[place]
                bot, instrument = place
                account = life.account if place == (None, None) else None
                self.leave(
                    ReleaseLatch(account=account, bot=bot, instrument=instrument, reason=REASON)
                )

    def _start_bots(self, life: EngineRun, *, latched: bool) -> None:
        assert life.engine is not None
        for name, bot_runner in life.engine.bot_runners.items():
            if latched and self._random.random() > TRIES:
                continue
            if may(bot_runner.bot.state, BotHappened.RESUME_ASKED):
                self.leave(ResumeBot(bot=BotId(name)))
            elif may(bot_runner.bot.state, BotHappened.START_ASKED):
                self.leave(StartBot(bot=BotId(name)))
