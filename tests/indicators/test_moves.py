from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.indicators.moves import BUCKETS, MoveWindow

S = 1_000_000_000


def test_the_first_price_has_not_moved() -> None:
    assert MoveWindow(window_s=1).take(100.0, 0) == 0.0


def test_a_move_is_the_largest_distance_to_the_window() -> None:
    moves = MoveWindow(window_s=1)
    moves.take(100.0, 0)
    assert moves.take(104.0, S // 4) == 4.0
    assert moves.take(99.0, S // 2) == 5.0
    assert moves.take(101.0, S // 2) == 3.0


def test_a_move_that_left_the_window_is_forgotten() -> None:
    moves = MoveWindow(window_s=1)
    moves.take(90.0, 0)
    moves.take(100.0, S // 2)
    assert moves.take(100.0, 3 * S) == 0.0


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, S)), min_size=1, max_size=120),
)
def test_it_agrees_with_a_window_kept_whole(steps: list[tuple[int, int]]) -> None:
    moves = MoveWindow(window_s=1)
    width_ns = S // BUCKETS
    kept: list[tuple[int, int]] = []
    now_ns = 0
    for price, elapsed_ns in steps:
        now_ns += elapsed_ns
        kept.append((now_ns // width_ns, price))
        window = [p for bucket, p in kept if bucket >= now_ns // width_ns - BUCKETS]
        found = moves.take(float(price), now_ns)
        exact = max(price - min(window), max(window) - price)
        # Within one bucket an extreme may stand a bucket longer than its sample.
        older = [p for bucket, p in kept if bucket >= now_ns // width_ns - BUCKETS - 1]
        assert exact <= found <= max(price - min(older), max(older) - price)
        assert len(moves.lows) <= BUCKETS + 2
        assert len(moves.highs) <= BUCKETS + 2
