"""A recording on the live loop decides what the replay decides, however fast it is played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.clock import TapeClock, WallClock
from engine.domain.effects import CancelOrders, PlaceOrder
from engine.domain.events import OrderAccepted, OrderFilled
from engine.domain.instruments import AccountId, BotId, Mode
from engine.domain.money import MICRO
from engine.domain.settings import AccountSettings
from engine.executor.executor import Executor
from engine.lab.paced import PacedPump, PacedRunner
from engine.lab.recordings.open import open_recording
from engine.lab.replay.run import CURRENCY, GATEWAY, assemble
from engine.lab.replay.setup import limits_of
from engine.lab.replay.tape import DecisionsDigest, EffectsDigest
from engine.runtime.account_runner import Meter
from engine.runtime.journal import DigestRecorder
from engine.runtime.recovery import executor_of
from engine.runtime.venue_plugin import PaperGateway
from engine.strategies.registry import build
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.runner import PaperDoor
from engine.venues.paper.settings import PaperSettings
from storage.journal import decode, load
from storage.journal_writer import JournalWriter
from tests.lab.conftest import QUOTING, Market, write_recording

ACCOUNT = AccountId("paper")
CASH_MICRO = 1_000 * MICRO


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording of four windows, so that closed markets are forgotten on the way."""
    path = tmp_path_factory.mktemp("tape") / "day.jsonl"
    return write_recording(path, markets=4, frames=150, step_s=1.0)


def bot(parameters: dict[str, str]) -> Bot:
    name, given = BotId("maker"), dict(parameters)
    strategy = build(given.pop("strategy", "market_maker"), given, name)
    return Bot(
        name=name, account=ACCOUNT, strategy=strategy, capital_micro=CASH_MICRO, everything=True
    )


def paper(latency_ms: int) -> PaperSettings:
    return PaperSettings(
        order_latency_ms=latency_ms,
        cancel_latency_ms=latency_ms,
        starting_cash={CURRENCY: CASH_MICRO / MICRO},
    )


class Outcome:
    """What was decided and what was asked for."""

    def __init__(self, decide: DecisionsDigest, recorder: EffectsDigest) -> None:
        self.decisions = (decide.count, decide.digest())
        self.effects = (recorder.effects, recorder.effects_digest())


class Cut:
    """The beginning of a recording."""

    def __init__(self, path: Path, events: int | None) -> None:
        source = open_recording(path)
        self.stats = source.stats
        self.events = lambda: islice(source.events(), events)


def replayed(
    path: Path, parameters: dict[str, str], *, latency_ms: int = 150, events: int | None = None
) -> Outcome:
    decide, recorder = DecisionsDigest(), EffectsDigest(DigestRecorder())
    assemble(
        recording=Cut(path, events),
        bots=(bot(parameters),),
        limits=limits_of({}),
        paper=paper(latency_ms),
        cash_micro=CASH_MICRO,
        recorder=recorder,
        decide=decide.take,
        account=ACCOUNT,
    ).run(lambda *_: None)
    return Outcome(decide, recorder)


class Played(Outcome):
    """The same on the live loop, with a journal on the disk."""

    def __init__(
        self,
        path: Path,
        folder: Path,
        parameters: dict[str, str],
        *,
        speed: float | None = None,
        latency_ms: int = 150,
        events: int = 0,
    ) -> None:
        self.journal = folder / "journal.db"
        self.errors: list[BaseException] = []
        writer = JournalWriter(self.journal, engine_id="pitboss", waits_when_full=True)
        decide, recorder = DecisionsDigest(), EffectsDigest(writer)
        settings = AccountSettings(
            name=ACCOUNT, venue="tape", mode=Mode.PAPER, currency=CURRENCY, limits=limits_of({})
        )
        self.executor: Executor = executor_of(settings, 0)[0]

        async def run() -> None:
            runner, player = self.wire(paper(latency_ms), recorder, decide.take)
            runner.core.add(bot(parameters), 0)
            await player.play(
                open_recording(path), cash_micro=CASH_MICRO, speed=speed, stop_after=events
            )
            super(Played, self).__init__(decide, recorder)
            await runner.close()

        asyncio.run(run())
        writer.close()
        assert not self.errors

    def wire(
        self, settings: PaperSettings, recorder: EffectsDigest, decide: Callable[[Any], None]
    ) -> tuple[PacedRunner, PacedPump]:
        clock, gateway = TapeClock(), PaperGateway(account=ACCOUNT, settings=GATEWAY)
        venue = PaperVenue(ACCOUNT, settings)
        runner = PacedRunner(
            paper=venue,
            door=PaperDoor(venue, gateway),
            gateway=gateway,
            core=AccountCore(cache=MarketCache(), executor=self.executor, bots=(), decide=decide),
            recorder=recorder,
            clock=clock,
            meter=Meter(),
            alert=lambda _alert, _at_ns: None,
            crash=self.errors.append,
        )
        player = PacedPump(
            runner=runner,
            recorder=recorder,
            clock=clock,
            keep=lambda _event, _at_ns: None,
            ended=lambda: bool(self.errors),
            received=lambda _: None,
            wall_ns=WallClock().now_ns,
        )
        return runner, player


@pytest.fixture(scope="module")
def played(tape: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    return Played(tape, tmp_path_factory.mktemp("played"), QUOTING)


def test_live_loop_trades(played: Played) -> None:
    assert played.executor.planning.orders_placed > 20
    assert played.executor.fills > 0


@pytest.mark.sampled(1)
@pytest.mark.parametrize("latency_ms", [0, 150, 2_000])
def test_live_loop_decides_what_the_replay_decides(
    tape: Path, tmp_path: Path, played: Played, latency_ms: int
) -> None:
    expected = replayed(tape, QUOTING, latency_ms=latency_ms)
    if latency_ms != 150:
        played = Played(tape, tmp_path, QUOTING, latency_ms=latency_ms)
    assert played.decisions == expected.decisions
    assert played.effects == expected.effects


@pytest.mark.long
def test_silence_of_days_is_played_as_a_replay_plays_it(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    times = [1.0 + number for number in range(150)]
    markets = (Market(0), Market(12 * 24 * 30))
    path.write_bytes(b"\n".join(line for market in markets for line in market.lines(times)))
    expected, played = replayed(path, QUOTING), Played(path, tmp_path, QUOTING)
    assert (played.decisions, played.effects) == (expected.decisions, expected.effects)
    assert played.executor.planning.orders_placed > 20


@pytest.mark.long
def test_wall_speed_changes_nothing(tape: Path, tmp_path: Path) -> None:
    expected = replayed(tape, QUOTING, events=300)
    for number, speed in enumerate((200.0, 700.0)):
        folder = tmp_path / str(number)
        folder.mkdir()
        played = Played(tape, folder, QUOTING, speed=speed, events=300)
        assert (played.decisions, played.effects) == (expected.decisions, expected.effects)


def test_every_place_is_named_before_it_is_sent_and_times_never_run_back(played: Played) -> None:
    named: set[int] = set()
    last_ns, fills, cancels = 0, 0, 0
    for record in load(played.journal):
        message = decode(record)
        assert record.at_ns >= last_ns
        last_ns = record.at_ns
        match message:
            case PlaceOrder(order=order, identity=str()):
                named.add(order.id)
            case OrderAccepted(order=number):
                assert number in named
            case OrderFilled():
                fills += 1
            case CancelOrders():
                cancels += 1
            case _:
                pass
    assert len(named) == played.executor.planning.orders_placed
    assert fills == played.executor.fills > 0
    assert cancels > 0


@pytest.mark.soak
@pytest.mark.parametrize("speed", [20.0, None])
def test_recorded_day_decides_what_the_replay_decides(
    recordings: Path, tmp_path: Path, speed: float | None
) -> None:
    day = recordings / "polymarket_btc5m_l2" / "raw" / "2026-04-14.jsonl.gz"
    events = 20_000 if speed else 0
    expected = replayed(day, {}, events=events or None)
    played = Played(day, tmp_path, {}, speed=speed, events=events)
    assert (played.decisions, played.effects) == (expected.decisions, expected.effects)
