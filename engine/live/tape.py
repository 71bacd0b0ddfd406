"""`run --feed tape:PATH`: who trades a recording on the live loop, and what came of it.

A tape has a home of its own: its times are not those of a desk that trades today, and its account
begins with nothing but cash. It plays with paper accounts only, and opens no connection at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import msgspec

from engine.bots.bot import Bot
from engine.bots.taped import InputBatch, TapedCore
from engine.caches.markets import MarketCache
from engine.clock import TapeClock
from engine.config import Config
from engine.domain.events import Event
from engine.domain.instruments import BotId, Mode
from engine.domain.money import MICRO
from engine.domain.settings import CURRENCY, AccountSettings
from engine.errors import BadInput, ConfigError
from engine.lab.recordings.door import Recording
from engine.lab.recordings.open import open_recording
from engine.lab.replay.setup import GATEWAY, ReplayOptions, assemble, limits_of, paper_of
from engine.live.accounts import deciding
from engine.live.engine import Engine
from engine.live.tape_engine import ACCOUNT, TapeAccounts, TapeSeat
from engine.live.tape_player import Player
from engine.live.tape_runner import DecisionsHeard, EffectsHeard, TapeShell
from engine.runtime.journal import DigestRecorder, last_seq
from engine.runtime.recovery import executor_of, life_began
from engine.runtime.venue_plugin import PaperGateway
from engine.strategies.registry import build
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.door import PaperDoor
from storage.database import connect_writer
from storage.projection import register_account
from storage.schema import migrate
from storage.settings import SettingsVersion, applied, in_force, latest, save
from storage.users import ENGINE_ID

ELSEWHERE = (
    "this PITBOSS_HOME has a past: its times are not the recording's. Set PITBOSS_HOME to a new "
    "folder for the tape"
)


FEED = "tape"


class TapeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for."""

    replay: ReplayOptions
    speed: float | None
    """Times real time; None = as fast as it goes."""
    events: int
    """Stop after so many; 0 = play to the end."""
    verify: bool


class TapeDeck:
    """One recording with the bot that trades it. `recording` may be played once."""

    def __init__(self, options: TapeOptions) -> None:
        replay = options.replay
        self._options = options
        self._limits = limits_of(replay.limits)
        self._paper = paper_of(replay)
        self.bot()
        self.recording: Recording = open_recording(replay.path, replay.trade_size_cap)
        self.told: dict[str, Any] = {}
        """What came of it, once it was played."""
        self.torn: BadInput | None = None
        """Where the recording is torn; None = it is not, as far as it was played."""

    def bot(self) -> Bot:
        """Return the bot, fresh. Raises ConfigError for its parameters."""
        replay = self._options.replay
        name = BotId(replay.strategy)
        try:
            strategy = build(replay.strategy, replay.parameters, name)
        except BadInput as error:
            raise ConfigError(str(error)) from None
        return Bot(
            name=name, account=ACCOUNT, strategy=strategy, capital_micro=replay.cash_micro,
            everything=True,
        )  # fmt: skip

    def settings(self, config: Config, now_ns: int) -> SettingsVersion:
        """Save the account and the bot as version 1, so that pages know them.

        Raises ConfigError where the home has a past.
        """
        replay = self._options.replay
        config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        migrate(config.state_path)
        if config.journal_path.exists() and last_seq(config.journal_path):
            raise ConfigError(ELSEWHERE)
        bot = {
            "name": replay.strategy, "strategy": replay.strategy, "account": ACCOUNT,
            "capital": replay.cash_micro / MICRO, "parameters": dict(replay.parameters),
        }  # fmt: skip
        account = self._account().model_dump(mode="json")
        diff = {"accounts": {ACCOUNT: account}, "bots": {replay.strategy: bot}}
        with closing(connect_writer(config.state_path)) as connection:
            if latest(connection, ENGINE_ID).version:
                raise ConfigError(ELSEWHERE)
            save(
                connection, engine_id=ENGINE_ID, who=FEED, diff=diff, base_version=0, now_ns=now_ns
            )
            applied(connection, ENGINE_ID, 1, now_ns)
            register_account(
                connection, engine_id=ENGINE_ID, account=ACCOUNT, mode=Mode.PAPER, venue=FEED,
                currency=CURRENCY,
            )  # fmt: skip
            return in_force(connection, ENGINE_ID)

    def _account(self) -> AccountSettings:
        return AccountSettings(
            name=ACCOUNT,
            venue=FEED,
            mode=Mode.PAPER,
            currency=CURRENCY,
            starting_cash=self._options.replay.cash_micro / MICRO,
            limits=self._limits,
        )

    # -- live --------------------------------------------------------------------------------------

    def wire(self, engine: Engine, clock: TapeClock, wall_ns: Callable[[], int]) -> None:
        """Put the account together around the player, in the order of the flow."""
        self._recorder = EffectsHeard(engine.recorder)
        self._runner = self._wired(engine, clock)
        engine.accounts = TapeAccounts()
        engine.runners[ACCOUNT] = self._runner
        for name, given in engine.settings.document.bots.items():
            bot_runner = engine.bot_runners[name] = TapeSeat(given, self._runner)
            bot_runner.bot.everything = True
            self._runner.desk.add(bot_runner.bot, 0)
        self._player = Player(
            runner=self._runner,
            recorder=engine.recorder,
            clock=clock,
            keep=engine.keep,
            ended=engine.ended.done,
            heard=engine.meter.events,
            wall_ns=wall_ns,
        )
        self._wall_ns = wall_ns

    def _wired(self, engine: Engine, clock: TapeClock) -> TapeShell:
        """Return the account's runner; the tape says first that a life begins."""
        settings, path = self._account(), engine.config.journal_path
        feed = str(self._options.replay.path)
        engine.put(life_began(path, (settings,), fence=0, seq=engine.recorder.seq, feed=feed), 0)
        executor, gate = executor_of(settings, 0)
        engine.gates[ACCOUNT] = gate
        self._decide = DecisionsHeard(deciding(engine))
        core = PaperGateway(account=ACCOUNT, settings=GATEWAY)
        paper = PaperVenue(ACCOUNT, self._paper)
        return TapeShell(
            paper=paper,
            door=PaperDoor(paper, core),
            core=core,
            desk=TapedCore(
                put=engine.put,
                batch=InputBatch(),
                cache=MarketCache(),
                executor=executor,
                bots=(),
                decide=self._decide,
            ),
            recorder=self._recorder,
            clock=clock,
            meter=engine.meter,
            alert=engine.alert,
            crash=engine.end,
        )

    async def run(self, engine: Engine) -> None:
        """Play it, say what came of it, end the engine; time goes on until that is proven."""
        options, player = self._options, self._player
        started_ns = self._wall_ns()
        try:
            await player.play(
                self.recording,
                cash_micro=options.replay.cash_micro,
                speed=options.speed,
                stop_after=options.events,
            )
        except BadInput as error:
            self.torn = error  # everything whole before it was played, and is stopped in order
        finally:
            cut = engine.ended.done() or self.torn is not None
            self.told = self._tell(cut, (self._wall_ns() - started_ns) / 1e9)
        engine.log.info("tape.played", events=player.events, whole=self.told["whole"])
        engine.end()
        await player.linger()

    def _tell(self, cut: bool, elapsed_s: float) -> dict[str, Any]:
        executor, player, stats = self._runner.desk.executor, self._player, self.recording.stats
        return {
            "whole": not cut,
            "events": player.events,
            "orders": executor.orders_placed,
            "fills": executor.fills,
            "equity": executor.equity_mid_micro(0) / MICRO,
            "decisions": self._decide.count,
            "decisions_digest": self._decide.digest(),
            "effects": self._recorder.effects,
            "effects_digest": self._recorder.effects_digest(),
            "recorded_s": ((stats.last_ns or 0) - (stats.first_ns or 0)) / 1e9,
            "elapsed_s": round(elapsed_s, 3),
            "late_ms_max": player.late_ns_max / 1e6,
        }

    # -- the judge ---------------------------------------------------------------------------------

    def judged(self) -> dict[str, Any]:
        """Return what came of it, with the replay's word where that was asked for.

        A tape that was cut short from outside cannot be compared: it ended between two moments.
        """
        if not self._options.verify or not self.told["whole"]:
            return self.told
        return self.told | self._verified()

    def _verified(self) -> dict[str, Any]:
        """Replay the same events and say whether decisions and effects are the same."""
        replay = self._options.replay
        decide, recorder = DecisionsHeard(lambda _: None), EffectsHeard(DigestRecorder())
        recording = open_recording(replay.path, replay.trade_size_cap)
        assemble(
            recording=_Cut(recording, self._player.events),
            bots=(self.bot(),),
            limits=self._limits,
            paper=self._paper,
            cash_micro=replay.cash_micro,
            recorder=recorder,
            decide=decide,
            account=ACCOUNT,
        ).run(lambda *_: None)
        same = (decide.digest(), recorder.effects_digest()) == (
            self.told["decisions_digest"],
            self.told["effects_digest"],
        )
        return {
            "same_as_replay": same,
            "replay_decisions_digest": decide.digest(),
            "replay_effects_digest": recorder.effects_digest(),
        }


class _Cut:
    """The beginning of a recording."""

    def __init__(self, recording: Recording, events: int) -> None:
        self.stats = recording.stats
        self._recording = recording
        self._events = events

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield as many events as were played."""
        return islice(self._recording.events(), self._events)
