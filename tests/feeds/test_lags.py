from hypothesis import given
from hypothesis import strategies as st

from engine.feeds.sockets import Lags

SAMPLES = st.lists(st.integers(0, 10**13), min_size=1, max_size=200)


@given(SAMPLES, st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_a_quantile_is_never_too_small_and_at_most_a_sixteenth_too_large(samples, share):
    lags = Lags()
    for ns in samples:
        lags.add(ns)
    true = sorted(samples)[min(len(samples) - 1, max(0, -int(-share * len(samples) // 1) - 1))]
    figures = lags.at(share)
    assert figures is not None
    assert true <= figures <= max(true + true // 16 + 1, 0)


def test_samples_that_were_taken_are_over():
    lags = Lags()
    assert lags.take() == {"p50_ms": None, "p99_ms": None, "max_ms": None}
    lags.add(2_000_000, 99)
    lags.add(5_000_000)
    figures = lags.take()
    assert figures["max_ms"] == 5.0
    assert 2.0 <= (figures["p50_ms"] or 0) <= 2.2
    assert lags.take()["max_ms"] is None


def test_no_wait_is_too_long_to_be_counted():
    lags = Lags()
    lags.add(1 << 70)
    lags.add(-5)
    assert lags.longest_ns == 1 << 70
    assert lags.at(1.0) == 1 << 70
