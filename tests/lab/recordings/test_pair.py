"""A recording of the demo exchange's spot pair: its currency, its product, and one digest."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import msgspec

from engine.config import Config
from engine.domain.events import BookProven, InstrumentListed
from engine.domain.instruments import Instrument
from engine.domain.money import MICRO
from engine.lab.recordings.open import currency_recorded
from engine.lab.replay.result import ReplayResult
from engine.lab.replay.setup import ReplayOptions, prepare
from engine.venues.demo.profiles import SPOT, THIN
from engine.venues.demo.spot import spot_instrument
from engine.venues.demo.world import open_world
from storage.jobs import RecordingState
from tests.lab.recordings.test_taped import Desk, Timed
from tests.lab.test_paced import Played, replayed
from tests.venues.demo.builders import START, S

PAIR = spot_instrument(SPOT)
GRID = {"bars": "1s", "distance": "0.00002", "steps": "4"}
SECONDS = 120


def day(terms: Instrument) -> Timed:
    """Return what the exchange says of the pair in two minutes, the pair listed by these terms."""
    world = msgspec.structs.replace(THIN, series=(), events=(), spots=(SPOT,))
    made = open_world(world, rng=Random(4), now_ns=START)
    made.take_public()
    found: Timed = [(START, event) for event in made.opening()]
    for second in range(1, SECONDS + 1):
        made.advance(START + second * S)
        found += [(at, one) for at, one in made.take_public() if not hasattr(one, "price_e8")]
        found.append((made.now_ns, BookProven(instrument=PAIR.id)))
    return [
        (at, InstrumentListed(instrument=terms) if isinstance(one, InstrumentListed) else one)
        for at, one in found
    ]


def recorded(folder: Path, terms: Instrument) -> Path:
    desk = Desk(folder, [PAIR.id], START)
    asyncio.run(desk.record(day(terms)))
    assert desk.ends == [(RecordingState.STOPPED, "stopped by ann")]
    return folder


def replay(path: Path, home: Path) -> ReplayResult:
    options = ReplayOptions(
        path=path, strategy="grid", parameters=GRID, limits={}, cash_micro=1_000 * MICRO,
        model="realistic", latency_ms=150, decisions=False, journal_full=False,
    )  # fmt: skip
    return prepare(options, Config(home=home)).run(lambda *_: None)


def test_a_recorded_pair_is_replayed_as_it_was_played_live(tmp_path: Path) -> None:
    path = recorded(tmp_path / "day", PAIR)
    first, again = (replay(path, tmp_path) for _ in range(2))
    assert first.digest == again.digest
    assert (first.currency, first.fills > 1, first.fees_micro > 0) == ("pUSD", True, True)


def test_the_live_paper_session_decides_what_the_replay_decides(tmp_path: Path) -> None:
    path = recorded(tmp_path / "day", PAIR)
    given = {**GRID, "strategy": "grid"}
    expected = replayed(path, given)
    played = Played(path, tmp_path, given)
    assert played.executor.fills > 1
    assert (played.decisions, played.effects) == (expected.decisions, expected.effects)


def test_the_account_of_a_replay_counts_in_the_recordings_currency(tmp_path: Path) -> None:
    terms = msgspec.structs.replace(PAIR, currency="USDC")
    path = recorded(tmp_path / "day", terms)
    assert currency_recorded(path) == "USDC"
    result = replay(path, tmp_path)
    assert (result.currency, result.fills > 1) == ("USDC", True)
    assert result.equity_start_micro == 1_000 * MICRO
