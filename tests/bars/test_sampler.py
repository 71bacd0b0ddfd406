"""The sampler against a naive recomputation, and each of its rules."""

from __future__ import annotations

import itertools
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bars.sampler import EMPTY_MAX, GRACE_NS, Sampler
from engine.domain.bars import Bar, bar_spec

S = 1_000_000_000
T0 = 1_760_000_000 * S

Trade = tuple[int, int, int]
"""Price, size, stamp."""


def naive(trades: list[Trade], step_ns: int, until_ns: int) -> list[Bar]:
    """Return the time bars of trades in order of their stamps, by looking at all of them."""
    if not trades:
        return []
    bars, last = [], 0
    start_ns = trades[0][2] // step_ns * step_ns
    while start_ns + step_ns <= until_ns:
        inside = [one for one in trades if start_ns <= one[2] < start_ns + step_ns]
        prices = [price for price, _, _ in inside] or [last]
        last = prices[-1]
        bars.append(
            Bar(
                start_ns=start_ns,
                end_ns=start_ns + step_ns,
                open=prices[0],
                high=max(prices),
                low=min(prices),
                close=last,
                volume=sum(size for _, size, _ in inside),
                count=len(inside),
                value=sum(price * size for price, size, _ in inside),
            )
        )
        start_ns += step_ns
    return bars


trades_in_order = st.lists(
    st.tuples(st.integers(1, 10_000), st.integers(1, 10**9), st.integers(0, 40 * S)),
    max_size=60,
).map(lambda rows: sorted(((p, s, T0 + t) for p, s, t in rows), key=lambda row: row[2]))


@given(trades_in_order, st.sampled_from(["1s", "5s", "15s"]))
def test_time_bars_equal_a_naive_recomputation(trades: list[Trade], name: str) -> None:
    spec = bar_spec(name)
    sampler = Sampler(spec)
    bars = [bar for price, size, at in trades for bar in sampler.on_trade(price, size, at)]
    until_ns = T0 + 60 * S
    bars += sampler.on_clock(until_ns + GRACE_NS)
    assert bars == naive(trades, spec.step, until_ns)


@given(trades_in_order, st.integers(1, 7))
def test_tick_bars_hold_so_many_trades_each(trades: list[Trade], ticks: int) -> None:
    sampler = Sampler(bar_spec(f"ticks:{ticks}"))
    bars = [bar for one in trades for bar in sampler.on_trade(*one)]
    groups = [trades[at : at + ticks] for at in range(0, len(trades), ticks)]
    whole = [group for group in groups if len(group) == ticks]
    assert [bar.count for bar in bars] == [ticks] * len(whole)
    for bar, group in zip(bars, whole, strict=True):
        assert (bar.open, bar.close) == (group[0][0], group[-1][0])
        assert bar.volume == sum(size for _, size, _ in group)
        assert (bar.start_ns, bar.end_ns) == (group[0][2], group[-1][2])


@given(trades_in_order, st.integers(1, 3 * 10**9))
def test_volume_bars_end_with_the_trade_that_reaches_it(trades: list[Trade], volume: int) -> None:
    sampler = Sampler(bar_spec("volume:1000"), volume_step=volume)
    bars = [bar for one in trades for bar in sampler.on_trade(*one)]
    assert all(bar.volume >= volume for bar in bars)
    assert sum(bar.volume for bar in bars) + sampler.volume == sum(size for _, size, _ in trades)


@given(trades_in_order, st.integers(0, 60))
def test_a_sampler_goes_on_from_its_state_to_the_same_bars(trades: list[Trade], cut: int) -> None:
    whole, before = Sampler(bar_spec("5s")), Sampler(bar_spec("5s"))
    expected = [bar for one in trades for bar in whole.on_trade(*one)]
    bars = [bar for one in trades[:cut] for bar in before.on_trade(*one)]
    after = msgspec.msgpack.decode(msgspec.msgpack.encode(before), type=Sampler)
    bars += [bar for one in trades[cut:] for bar in after.on_trade(*one)]
    assert bars == expected


def test_shuffled_stamps_never_change_a_closed_bar_and_are_counted() -> None:
    chance = random.Random(7)
    trades = [(100 + i % 9, 5, T0 + i * S // 4) for i in range(400)]
    for i in range(0, 400, 3):
        price, size, at = trades[i]
        trades[i] = (price, size, at - chance.randrange(0, 3 * S))
    sampler = Sampler(bar_spec("1s"))
    bars, late, closed_ns = [], 0, 0
    for price, size, at in trades:
        late += at < closed_ns
        new = sampler.on_trade(price, size, at)
        bars += new
        closed_ns = sampler.closed_ns
    assert late > 20
    assert sum(bar.late for bar in bars) + sampler.late == late
    assert sum(bar.count for bar in bars) + sampler.count == len(trades) - late
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(bars))


def test_a_bar_waits_for_its_grace_and_not_longer() -> None:
    sampler = Sampler(bar_spec("1s"))
    sampler.on_trade(50, 1, T0)
    assert sampler.due_ns == T0 + S + GRACE_NS
    assert sampler.on_clock(T0 + S + GRACE_NS - 1) == []
    sampler.on_trade(51, 1, T0 + S - 1)
    assert [bar.close for bar in sampler.on_clock(T0 + S + GRACE_NS)] == [51]


def test_a_quiet_span_has_a_bar_of_the_last_close() -> None:
    sampler = Sampler(bar_spec("1s"))
    sampler.on_trade(50, 1, T0)
    first, quiet = sampler.on_trade(60, 1, T0 + 2 * S)
    assert (first.count, quiet.count) == (1, 0)
    assert {quiet.open, quiet.high, quiet.low, quiet.close} == {50}
    assert quiet.vwap is None


@pytest.mark.parametrize("by_clock", [True, False])
def test_a_long_silence_is_a_gap_however_time_passes(by_clock: bool) -> None:
    sampler = Sampler(bar_spec("1s"))
    bars = sampler.on_trade(50, 1, T0)
    end_ns = T0 + 3 * EMPTY_MAX * S
    if by_clock:
        while sampler.due_ns is not None and sampler.due_ns < end_ns:
            bars += sampler.on_clock(sampler.due_ns)
    bars += sampler.on_trade(55, 1, end_ns)
    assert len(bars) == 1 + EMPTY_MAX
    assert sampler.start_ns == end_ns


def test_a_lost_feed_leaves_no_bar_of_what_was_not_seen() -> None:
    sampler = Sampler(bar_spec("10s"))
    sampler.on_trade(50, 1, T0)
    assert sampler.on_gap(T0 + 4 * S) == []
    assert sampler.due_ns is None
    (before,) = sampler.on_restored(T0 + 73 * S)
    assert (before.start_ns, before.gap_ns) == (T0, 6 * S)
    (after,) = sampler.on_trade(70, 1, T0 + 80 * S)
    assert (after.start_ns, after.count, after.gap_ns) == (T0 + 70 * S, 0, 3 * S)


def test_bars_of_mids_count_changes_in_half_increments() -> None:
    sampler = Sampler(bar_spec("1s/mids"))
    for at, mid2 in enumerate([101, 101, 103, 99]):
        sampler.on_mid(mid2, T0 + at)
    (bar,) = sampler.on_mid(105, T0 + S)
    assert (bar.open, bar.high, bar.low, bar.close, bar.count) == (101, 103, 99, 99, 3)
    assert bar.volume == 0
