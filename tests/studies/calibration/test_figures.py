"""The demo exchange beside recorded markets: what is sampled, and that it is near."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.__main__ import OK
from engine.domain.books import Level
from engine.domain.events import (
    BookChanged,
    BookReplaced,
    Event,
    InstrumentClosed,
    InstrumentListed,
    TradePrinted,
)
from engine.domain.instruments import Side
from studies import calibration as command
from studies import main
from studies.calibration import Sampler
from tests.venues.demo.builders import CENT, COIN, SHARE, instrument

S = 1_000_000_000
BEGIN = 1_800_000_000 * S
MARKET = instrument(series="coin-5m", starts_ns=BEGIN, closes_ns=BEGIN + 300 * S)


def book(bid: Level, ask: Level) -> BookReplaced:
    return BookReplaced(instrument=COIN, bids=(bid,), asks=(ask,))


def matched(bid: Level, ask: Level) -> list[Event]:
    trade = TradePrinted(instrument=COIN, price=bid[0], size=SHARE, aggressor=Side.SELL)
    return [trade, book(bid, ask)]


def sampled(*moments: tuple[float, list[Event]]) -> Sampler:
    sampler = Sampler()
    sampler.take([(BEGIN, InstrumentListed(instrument=MARKET))])
    for at_s, events in moments:
        sampler.take([(BEGIN + round(at_s * S), event) for event in events])
    return sampler


BID, ASK = (50 * CENT, 100 * SHARE), (51 * CENT, 80 * SHARE)


def test_a_book_without_a_match_is_no_frame() -> None:
    found = sampled((1.0, [book(BID, ASK)]), (2.0, matched(BID, ASK))).figures()
    assert found.frames == 1
    assert found.spread[1] == 1.0
    assert found.touch[50] == 100.0


def test_only_the_running_window_is_sampled() -> None:
    found = sampled((-1.0, matched(BID, ASK)), (300.0, matched(BID, ASK))).figures()
    assert found.frames == 0


def test_depth_counts_five_ticks_and_not_the_sixth() -> None:
    levels = tuple((50 * CENT - k * CENT, 10 * SHARE) for k in range(6))
    whole = BookReplaced(instrument=COIN, bids=levels, asks=(ASK,))
    trade = TradePrinted(instrument=COIN, price=BID[0], size=SHARE, aggressor=Side.SELL)
    assert sampled((1.0, [trade, whole])).figures().depth[50] == 50.0


def test_the_mid_moves_between_seconds_that_follow_each_other() -> None:
    up = ((52 * CENT, SHARE), (53 * CENT, SHARE))
    found = sampled(
        (1.0, matched(BID, ASK)), (2.0, matched(*up)), (9.0, matched(BID, ASK))
    ).figures()
    assert found.moves[50] == 2.0  # the jump over seven silent seconds is none


def test_changes_build_on_the_book_before() -> None:
    change = BookChanged(instrument=COIN, changes=((Side.BUY, BID[0], 7 * SHARE),))
    trade = TradePrinted(instrument=COIN, price=BID[0], size=SHARE, aggressor=Side.SELL)
    found = sampled((1.0, [book(BID, ASK)]), (1.5, [trade, change])).figures()
    assert found.touch[50] == 7.0


def test_worlds_that_are_pooled_do_not_share_a_market() -> None:
    sampler = sampled((1.0, matched(BID, ASK)))
    sampler.end()
    sampler.take([(BEGIN, InstrumentListed(instrument=MARKET))])
    sampler.take([(BEGIN + S, event) for event in matched(BID, ASK)])
    found = sampler.figures()
    assert (found.markets, found.frames) == (2, 2)


def test_a_closed_market_still_counts() -> None:
    sampler = sampled((1.0, matched(BID, ASK)), (2.0, [InstrumentClosed(instrument=COIN)]))
    assert sampler.figures().markets == 1


def test_a_figure_out_of_its_tolerance_is_named() -> None:
    recorded = command.RECORDED
    wide = msgspec.structs.replace(recorded, move_std=recorded.move_std * 1.21)
    off = [line.label for line in command.compared(wide, recorded) if not line.near]
    assert off == [command.LABELS["move_std"]]


def calibrated(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, set[str], Any]:
    """Return the exit code, the figures that are off and how the naive maker fared."""
    code = main(command, [*words, "--json"])
    found = json.loads(capsys.readouterr().out)
    off = {line["label"] for line in found["figures"] if not line["near"]}
    return code, off, found["naive_maker"]


def loses(maker: Any) -> bool:
    """Who rests without a view loses: what real makers report, adverse selection."""
    return bool(maker["markout_5s_cents"] + 3 * maker["error_cents"] < 0)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))


@pytest.mark.long
def test_a_short_sample_is_within_twice_the_tolerance(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SHARE", 2 * command.SHARE)
    monkeypatch.setattr(command, "POINTS", 2 * command.POINTS)
    words = ("--minutes", "20", "--seed", "2", "--worlds", "1", "--figures-only")
    code, off, maker = calibrated(capsys, *words)
    assert not off
    assert code == OK
    assert maker["fills"] > 500
    assert loses(maker)


@pytest.mark.soak
def test_every_figure_of_the_demo_exchange_is_near_recorded_markets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("--minutes", "60", "--seed", "1", "--worlds", "3", "--figures-only")
    code, off, maker = calibrated(capsys, *words)
    assert not off
    assert code == OK
    assert maker["fills"] > 5_000
    assert loses(maker)
