"""A stored run is read once more for its prices: they are the recording's own, to the digit."""

from __future__ import annotations

import csv
import time
from contextlib import closing
from pathlib import Path

import pytest

from bench.bars import T0, written
from engine.caches.markets import MarketCache
from engine.config import Config
from engine.domain.events import TradePrinted
from engine.domain.instruments import Mode
from engine.domain.jobs.playback import PlaybackJob
from engine.domain.money import MICRO
from engine.errors import BadInput
from engine.jobs.run import JobContext, works
from engine.lab.recordings.open import open_recording
from engine.lab.replay.setup import ENGINE, ReplayOptions, prepare
from storage import views
from storage.database import connect_writer, reading, writing
from storage.jobs import Job, claim, queue
from storage.playback import Playback
from storage.projection import project, register_account
from storage.run_orders import run_orders
from storage.schema import migrate
from storage.ticks import Candle
from storage.users import ENGINE_ID

S = 1_000_000_000


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = Config(home=tmp_path / "home")
    migrate(made.state_path)
    return made


def played(config: Config, path: Path, *, keeps: bool = True, **more: object) -> int:
    """Play a recording as an operator does by hand; give the run's number."""
    asked = {
        "path": path,
        "strategy": "market_maker",
        "parameters": {},
        "limits": {},
        "cash_micro": 1_000 * MICRO,
        "model": "realistic",
        "latency_ms": 150,
        "decisions": False,
        "journal_full": keeps,
    }
    with prepare(ReplayOptions(**{**asked, **more}), config) as prepared:  # type: ignore[arg-type]
        return int(prepared.store(prepared.run(lambda *_: None))["run"])


def claimed(config: Config) -> Job:
    with closing(connect_writer(config.state_path)) as connection:
        queue(
            connection, engine_id=ENGINE_ID, kind="playback", arguments="{}", who="ann",
            now_ns=time.time_ns(),
        )  # fmt: skip
        job = claim(connection, ENGINE_ID, time.time_ns())
    assert job is not None
    return job


def made(config: Config, number: int) -> tuple[Playback, Path]:
    """Have the job read a run's prices; give them as the page loads them, and the run's folder."""
    works()["playback"](PlaybackJob(run=number), JobContext(config, claimed(config)))
    with reading(config.state_path) as connection:
        row = views.run(connection, ENGINE, number)
    assert row is not None
    folder = config.runs_folder / str(row["started_ns"])
    found = Playback.load(folder)
    assert found is not None
    return found, folder


def every(found: Playback, name: str) -> list[Candle]:
    """Return every candle of a market as it is stored."""
    span = found.span(name)
    assert span is not None
    step_ns, shown = found.candles(name, *span, 10**6)
    assert step_ns == found.step_ns
    return shown


SMA = {
    "strategy": "sma_cross",
    "parameters": {"bars": "1m", "share": "0.5"},
    "limits": {"order_value_max": "90%", "exposure_instrument_max": "90%"},
    "instrument": "file:BTC/USDT",
}


def test_the_candles_of_a_file_are_its_bars_and_its_orders_those_of_the_projection(
    config: Config, tmp_path: Path
) -> None:
    path = written(tmp_path / "bars.csv", 400)
    found, folder = made(config, played(config, path, **SMA))
    assert found.markets == ["file:BTC/USDT"]
    shown = every(found, "file:BTC/USDT")
    orders = run_orders(folder / "journal.db")
    unit = 2 * 10 ** orders.listed["file:BTC/USDT"].price_decimals
    with path.open(encoding="utf-8") as file:
        told = [
            [float(row[name]) for name in ("open", "high", "low", "close")]
            for row in csv.DictReader(file)
        ]
    assert [
        [price / unit for price in (one.open2, one.high2, one.low2, one.close2)]  # type: ignore[operator]
        for one in shown
    ] == told
    check_orders(folder)


def test_the_candles_of_a_file_end_with_the_run(config: Config, tmp_path: Path) -> None:
    path = written(tmp_path / "bars.csv", 300)
    until_ns = (T0 + 250 * 60) * S + 1
    found, _ = made(config, played(config, path, **SMA, until_ns=until_ns))
    assert found.span("file:BTC/USDT") == (T0 * S, until_ns - 1)


def check_orders(folder: Path) -> None:
    """Compare the orders of a run's journal with what the projection makes of the same journal."""
    orders = run_orders(folder / "journal.db")
    state = folder / "projected.db"
    migrate(state)
    with writing(state) as connection:
        register_account(
            connection, engine_id=ENGINE, account="paper:replay", mode=Mode.PAPER, venue="paper",
            currency="USD",
        )  # fmt: skip
    project(folder / "journal.db", state)
    with reading(state) as connection:
        rows = connection.execute(
            "SELECT id, state, filled, size, price, side FROM orders"
        ).fetchall()
    lives = [
        (one.id, one.state.value, one.filled, one.size, one.price, one.side.value)
        for one in orders.lives.values()
    ]
    assert len(rows) > 10
    assert sorted(rows) == sorted(lives)


@pytest.mark.long
def test_the_candles_of_a_recording_are_what_its_books_and_trades_were(
    config: Config, tape: Path, quoting: dict[str, str]
) -> None:
    found, folder = made(config, played(config, tape, parameters=quoting))
    check_orders(folder)
    closes: dict[tuple[str, int], int] = {}
    volumes: dict[str, int] = {}
    cache = MarketCache()
    for now_ns, event in open_recording(tape).events():
        view = cache.receive(event, now_ns)
        if isinstance(event, TradePrinted):
            volumes[event.instrument] = volumes.get(event.instrument, 0) + (event.size or 0)
        elif view is not None and view.best_bid is not None and view.best_ask is not None:
            closes[view.instrument.id, now_ns // S] = view.best_bid + view.best_ask
    assert found.step_ns == S
    assert len(found.markets) == 2
    for name in found.markets:
        shown = every(found, name)
        second = {one.start_ns // S: one.close2 for one in shown if one.close2 is not None}
        assert len(second) > 50
        assert all(closes[name, at] == close2 for at, close2 in second.items())
        assert sum(one.volume for one in shown) == volumes[name]


@pytest.mark.long
def test_a_run_that_is_not_there_kept_nothing_or_placed_nothing_is_refused_in_a_sentence(
    config: Config, tmp_path: Path
) -> None:
    work, context = works()["playback"], JobContext(config, claimed(config))
    with pytest.raises(BadInput, match="there is no backtest 7"):
        work(PlaybackJob(run=7), context)
    path = written(tmp_path / "bars.csv", 200)
    number = played(config, path, keeps=False, **SMA)
    with pytest.raises(BadInput, match="kept no journal"):
        work(PlaybackJob(run=number), context)
    quiet = played(config, path, **{**SMA, "limits": {"order_value_max": "0.01"}})
    with pytest.raises(BadInput, match="placed no order"):
        work(PlaybackJob(run=quiet), context)
    number = played(config, path, **SMA)
    path.unlink()
    with pytest.raises(BadInput, match="no such file"):
        work(PlaybackJob(run=number), context)
    with pytest.raises(BadInput, match="does not say what it played"):
        ReplayOptions.of_run({"id": 3, "parameters": "{}", "recording": "x", "strategy": "y"})
