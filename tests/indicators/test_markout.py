from __future__ import annotations

import pytest

from engine.indicators.markout import (
    HORIZONS_NS,
    MID_AGE_NS_MAX,
    PENDING_MAX,
    MarkoutMeans,
    MarkoutRecord,
    MarkoutTracker,
)

S = 1_000_000_000


def tracked(mids: list[tuple[float, int]], sign: int, price: float) -> MarkoutMeans:
    tracker, record = MarkoutTracker(), MarkoutRecord.empty(1e9, 30)
    tracker.fill(sign, price, 0)
    for mid, at_ns in mids:
        tracker.observe(mid, at_ns, record)
    return record.overall


def test_a_buy_before_a_fall_has_lost() -> None:
    means = tracked([(0.50, 0), (0.45, S // 5), (0.45, 2 * S)], 1, 0.49)
    assert means.counts == [1, 1, 0, 0]
    assert means.means[0] == pytest.approx(-0.04)


def test_a_sale_before_a_fall_has_won() -> None:
    means = tracked([(0.50, 0), (0.45, S // 5), (0.45, 2 * S)], -1, 0.51)
    assert means.means[1] == pytest.approx(0.06)


def test_the_mid_is_the_one_before_the_horizon_not_after_it() -> None:
    means = tracked([(0.50, 0), (0.90, S + 1)], 1, 0.50)
    assert means.means[1] == pytest.approx(0.0)
    exactly = tracked([(0.50, 0), (0.90, S)], 1, 0.50)
    assert exactly.means[1] == pytest.approx(0.4)


def test_a_mid_too_old_marks_nothing() -> None:
    tracker, record = MarkoutTracker(), MarkoutRecord.empty(10, 30)
    tracker.observe(0.5, 0, record)
    tracker.fill(1, 0.5, MID_AGE_NS_MAX)
    tracker.observe(0.9, MID_AGE_NS_MAX + 2 * S, record)
    assert record.overall.counts == [0, 0, 0, 0]
    assert tracker.dropped == 2


def test_a_fill_without_any_mid_is_dropped_not_guessed() -> None:
    tracker, record = MarkoutTracker(), MarkoutRecord.empty(10, 30)
    tracker.fill(1, 0.5, 0)
    tracker.observe(0.9, 2 * S, record)
    assert record.overall.counts == [0, 0, 0, 0]
    assert tracker.dropped == 2
    assert tracker.waiting == 2


def test_waiting_fills_are_bounded() -> None:
    tracker = MarkoutTracker()
    for number in range(PENDING_MAX + 10):
        tracker.fill(1, 0.5, number)
    assert all(len(queue) == PENDING_MAX for queue in tracker.pending)
    assert tracker.waiting == PENDING_MAX * len(HORIZONS_NS)
    assert tracker.dropped == 10 * len(HORIZONS_NS)


def test_the_mean_forgets_by_fills() -> None:
    means = MarkoutMeans(half_life_fills=1)
    means.take(0, 1.0)
    means.take(0, 4.0)
    assert means.means[0] == pytest.approx((4.0 + 0.5 * 1.0) / 1.5)
