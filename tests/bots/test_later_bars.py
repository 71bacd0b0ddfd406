"""Bars that are made when somebody looks at them are those that were kept at once."""

from __future__ import annotations

import random

import numpy as np
import pytest

from engine.bars.sampler import Sampler
from engine.bots.later_bars import LaterBars
from engine.bots.signals import Series
from engine.domain.bars import Bar, bar_spec
from engine.domain.instruments import InstrumentId
from engine.lab.recordings.bar_files import instrument_of
from engine.lab.recordings.made_bars import NO_COSTS, BarLaws, Stretch

S = 1_000_000_000
TERMS = instrument_of(InstrumentId("binance:BTC/USDT"), "USDT", NO_COSTS, decimals=(2, 4))
LAWS = BarLaws(TERMS, NO_COSTS, bar_spec("1m"))
BARS = 60


def known(first: int) -> Stretch:
    chance = random.Random(first)
    columns = [np.array([chance.randrange(1, 9) for _ in range(BARS)]) for _ in range(5)]
    return Stretch(LAWS, 60 * S * first, columns, 0)


def series(depth: int) -> Series:
    made = Series(Sampler(bar_spec("1m")), [], 0.01)
    made.depth = depth
    return made


def test_they_are_a_sequence_like_the_list_of_them() -> None:
    whole = known(0)
    later, bars = LaterBars(whole, 3, 9), whole.bars(3, 9)
    assert list(later) == bars
    assert len(later) == len(bars)
    assert [later[at] for at in range(-6, 6)] == [bars[at] for at in range(-6, 6)]
    assert [later[2:], later[-2:], later[::-1]] == [bars[2:], bars[-2:], bars[::-1]]
    for at in (6, -7):
        with pytest.raises(IndexError):
            later[at]


@pytest.mark.parametrize("seed", range(40))
def test_a_series_that_makes_them_later_has_the_bars_of_one_that_keeps_each(seed: int) -> None:
    chance = random.Random(seed)
    depth = chance.choice([1, 2, 7, 50])
    later, each, closed = series(depth), series(depth), list[Bar]()
    for number in range(4):
        bars, at = known(BARS * number), 0
        while at < BARS:
            count = min(BARS - at, chance.randrange(1, 25))
            if chance.random() < 0.7:
                later.keep_later(bars, at, at + count)
            else:
                for bar in bars.bars(at, at + count):
                    later.keep((bar,))
            for bar in bars.bars(at, at + count):
                each.keep((bar,))
            closed += bars.bars(at, at + count)
            at += count
            wanted = chance.randrange(depth + 1)
            assert list(later.closed(wanted)) == list(each.closed(wanted)) == _last(closed, wanted)
            if chance.random() < 0.2:
                assert later.bars[-depth:] == _last(closed, depth)


def _last(bars: list[Bar], count: int) -> list[Bar]:
    return bars[-count:] if count else []
