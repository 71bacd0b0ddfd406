"""`run --feed tape:PATH`: who trades a recording on the live loop, and what came of it.

A tape has a home of its own: its times are not those of a desk that trades today, and its account
begins with nothing but cash. It plays with paper accounts only, and opens no connection at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from engine.bots.bot import Bot
from engine.clock import TapeClock
from engine.config import Config
from engine.domain.bots import BotState
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import AnyEffect
from engine.domain.events import Event
from engine.domain.instruments import AccountId, BotId, Mode
from engine.domain.money import MICRO
from engine.domain.plain import PlainDict
from engine.domain.settings import AccountSettings
from engine.errors import BadInput, ConfigError
from engine.executor.executor import Executor
from engine.lab.paced import PacedPump, PacedRunner
from engine.lab.recordings.door import Recording
from engine.lab.recordings.open import currency_recorded, open_recording
from engine.lab.replay.run import GATEWAY, assemble
from engine.lab.replay.setup import ReplayOptions, limits_of, paper_of
from engine.runtime.bot_runner import BotRunner
from engine.runtime.decisions import DecisionLog
from engine.runtime.journal import DigestRecorder, Recorder
from engine.runtime.services import Services, Stream
from engine.runtime.venue_plugin import AccountOpening, AccountSpec, PaperGateway, VenueSetup
from engine.strategies.registry import build
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.runner import PaperDoor
from storage.database import connect_writer
from storage.journal import last_seq
from storage.journal_writer import NAMES, Digest
from storage.projection import register_account
from storage.schema import migrate
from storage.settings import SettingsVersion, applied, in_force, latest, save
from storage.users import ENGINE_ID

ELSEWHERE = (
    "this PITBOSS_HOME has a past: its times are not the recording's. Set PITBOSS_HOME to a new "
    "folder for the tape"
)

FEED = "tape"


ACCOUNT = AccountId("paper")
EFFECTS = frozenset(AnyEffect.__args__)


class EffectsDigest:
    """A recorder that passes everything on and keeps a digest of the effects alone.

    A live journal also holds what only a living engine has (commands, the engine's records, when a
    commit came back); what was decided is in its effects. The fence says which start it was.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._digest = Digest()
        self.effects = 0

    @property
    def tape(self) -> int:
        return self._recorder.tape

    @tape.setter
    def tape(self, position: int) -> None:
        self._recorder.tape = position

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        kind = type(message)
        if kind in EFFECTS:
            self.effects += 1
            self._digest.add([(NAMES[kind], at_ns, account, message)])
        return self._recorder.append(account, message, at_ns)

    def commit(self) -> Any:
        return self._recorder.commit()

    def flush(self) -> None:
        """Wait until everything appended so far is durable."""
        self._recorder.flush()

    def digest(self) -> str:
        return self._recorder.digest()

    def effects_digest(self) -> str:
        return self._digest.text()

    def close(self) -> None:
        self._recorder.close()


class DecisionsDigest:
    """Keeps count and digest of every decision; what the executor made of it is left out."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=32)
        self._encode = msgspec.msgpack.Encoder().encode
        self.count = 0

    def take(self, decision: Decision | Planned) -> None:
        if type(decision) is Decision:
            self.count += 1
            self._hash.update(self._encode(decision))

    def digest(self) -> str:
        return self._hash.hexdigest()


class TapeDecisionLog(DecisionLog):
    """A decision log of which every decision is digested."""

    def __init__(self, path: Path, digest: DecisionsDigest, *, engine_id: str) -> None:
        super().__init__(path, engine_id=engine_id, waits_when_full=True)
        self._digest = digest

    def append(self, decision: Decision | Planned) -> None:
        self._digest.take(decision)
        super().append(decision)


class TapeBotRunner(BotRunner):
    """A bot at a tape. As in a replay it goes on wishing while risk says no."""

    def watch(self, now_ns: int) -> bool:
        return self.bot.state is not BotState.RUNNING and super().watch(now_ns)


class TapeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for."""

    replay: ReplayOptions
    speed: float | None
    """Times real time; None = as fast as it goes."""
    events: int
    """Stop after so many; 0 = play to the end."""
    verify: bool


class TapeDeck(AccountOpening):
    """One recording with the bot that trades it; opens its account. `recording` is played once.

    `clock` follows the recording.
    """

    def __init__(self, config: Config, options: TapeOptions, clock: TapeClock) -> None:
        super().__init__(VenueSetup(config=config, urls={}), AccountSpec())
        self._config = config
        replay = options.replay
        self._options = options
        self.clock = clock
        self._limits = limits_of(replay.limits)
        paper_of(replay)
        self.bot()
        self.recording_path = replay.path
        self.recording: Recording = open_recording(replay.path, replay.trade_size_cap)
        self._currency = currency_recorded(replay.path)
        self._paper = paper_of(replay, self._currency)
        self.decisions = DecisionsDigest()
        """Must be given every decision."""
        self.result: dict[str, object] = {}
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
            name=name,
            account=ACCOUNT,
            strategy=strategy,
            capital_micro=replay.cash_micro,
            everything=True,
        )

    def settings(self, now_ns: int) -> SettingsVersion:
        """Save the account and the bot as version 1, so that pages know them.

        Raises ConfigError where the home has a past.
        """
        replay, config = self._options.replay, self._config
        config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        migrate(config.state_path)
        if config.journal_path.exists() and last_seq(config.journal_path):
            raise ConfigError(ELSEWHERE)
        bot = {
            "name": replay.strategy,
            "strategy": replay.strategy,
            "account": ACCOUNT,
            "capital": replay.cash_micro / MICRO,
            "parameters": dict(replay.parameters),
        }
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
                connection,
                engine_id=ENGINE_ID,
                account=ACCOUNT,
                mode=Mode.PAPER,
                venue=FEED,
                currency=self._currency,
            )
            return in_force(connection, ENGINE_ID)

    def _account(self) -> AccountSettings:
        return AccountSettings(
            name=ACCOUNT,
            venue=FEED,
            mode=Mode.PAPER,
            currency=self._currency,
            starting_cash=self._options.replay.cash_micro / MICRO,
            limits=self._limits,
        )

    # -- the opener of its account -----------------------------------------------------------------

    def refusal(self, settings: AccountSettings) -> str:
        if settings.name == ACCOUNT:
            return ""
        return f"account {settings.name!r} is new: a tape plays with the account it began with"

    def runner(
        self,
        services: Services,
        settings: AccountSettings,
        executor: Executor,
        wiring: PlainDict,
    ) -> PacedRunner:
        del settings, executor
        self._services = services
        self._recorder = wiring["recorder"] = EffectsDigest(wiring["recorder"])
        gateway = PaperGateway(account=ACCOUNT, settings=GATEWAY)
        paper = PaperVenue(ACCOUNT, self._paper)
        self._runner = PacedRunner(
            paper=paper, door=PaperDoor(paper, gateway), gateway=gateway, **wiring
        )
        return self._runner

    def begin(self, settings: AccountSettings, *, funded: bool) -> list[Stream]:
        del settings, funded
        services = self._services
        for name, given in services.settings.document.bots.items():
            bot_runner = services.bot_runners[name] = TapeBotRunner(given, self._runner)
            bot_runner.bot.everything = True
            self._runner.core.add(bot_runner.bot, 0)
        self._pump = PacedPump(
            runner=self._runner,
            recorder=services.recorder,
            clock=self.clock,
            keep=services.journal,
            ended=services.ended.done,
            received=services.meter.events,
            wall_ns=services.wall_ns,
        )
        return [self._play]

    async def _play(self) -> None:
        """Play it, say what came of it, end the engine; time goes on until that is proven."""
        services, options, pump = self._services, self._options, self._pump
        started_ns = services.wall_ns()
        try:
            await pump.play(
                self.recording,
                cash_micro=options.replay.cash_micro,
                speed=options.speed,
                stop_after=options.events,
            )
        except BadInput as error:
            self.torn = error  # everything whole before it was played, and is stopped in order
        finally:
            cut = services.ended.done() or self.torn is not None
            self.result = self._summary(cut, (services.wall_ns() - started_ns) / 1e9)
        services.log.info("tape.played", events=pump.events, whole=self.result["whole"])
        services.end()
        await pump.run_on()

    def _summary(self, cut: bool, elapsed_s: float) -> dict[str, object]:
        executor, pump, stats = self._runner.core.executor, self._pump, self.recording.stats
        equity_micro = executor.equity_mid_micro(0)
        return {
            "whole": not cut,
            "events": pump.events,
            "orders": executor.planning.orders_placed,
            "fills": executor.fills,
            "equity": None if equity_micro is None else equity_micro / MICRO,
            "decisions": self.decisions.count,
            "decisions_digest": self.decisions.digest(),
            "effects": self._recorder.effects,
            "effects_digest": self._recorder.effects_digest(),
            "recorded_s": ((stats.last_ns or 0) - (stats.first_ns or 0)) / 1e9,
            "elapsed_s": round(elapsed_s, 3),
            "late_ms_max": pump.late_ns_max / 1e6,
        }

    # -- the judge ---------------------------------------------------------------------------------

    def judged(self) -> dict[str, object]:
        """Return what came of it, with the replay's word where that was asked for.

        A tape that was cut short from outside cannot be compared: it ended between two moments.
        """
        if not self._options.verify or not self.result["whole"]:
            return self.result
        return self.result | self._verified()

    def _verified(self) -> dict[str, object]:
        """Replay the same events and say whether decisions and effects are the same."""
        replay = self._options.replay
        decisions, recorder = DecisionsDigest(), EffectsDigest(DigestRecorder())
        recording = open_recording(replay.path, replay.trade_size_cap)
        assemble(
            recording=_Cut(recording, self._pump.events),
            bots=(self.bot(),),
            limits=self._limits,
            paper=self._paper,
            cash_micro=replay.cash_micro,
            recorder=recorder,
            decide=decisions.take,
            account=ACCOUNT,
        ).run(lambda *_: None)
        same = (decisions.digest(), recorder.effects_digest()) == (
            self.result["decisions_digest"],
            self.result["effects_digest"],
        )
        return {
            "same_as_replay": same,
            "replay_decisions_digest": decisions.digest(),
            "replay_effects_digest": recorder.effects_digest(),
        }


class _Cut:
    """The beginning of a recording."""

    def __init__(self, recording: Recording, events: int) -> None:
        self.stats = recording.stats
        self._recording = recording
        self._events = events

    def events(self) -> Iterator[tuple[int, Event]]:
        return islice(self._recording.events(), self._events)
