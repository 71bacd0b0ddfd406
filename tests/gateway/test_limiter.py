import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BrokenInvariant
from engine.gateway.lanes import TokenBucket

SECOND = 1_000_000_000


def test_a_full_bucket_gives_its_burst_at_once_and_no_more():
    bucket = TokenBucket(rate_per_s=10, burst=3)
    assert [bucket.take(1, 10**18) for _ in range(4)] == [True, True, True, False]


def test_a_token_comes_back_at_its_nanosecond_and_not_one_before():
    bucket = TokenBucket(rate_per_s=3, burst=1)
    assert bucket.take(1, SECOND)
    ready = bucket.ready_ns()
    assert ready == SECOND + 333_333_334
    assert not bucket.take(1, ready - 1)
    assert bucket.take(1, ready)


def test_a_refusal_takes_nothing():
    bucket = TokenBucket(rate_per_s=1, burst=2)
    assert not bucket.take(3, 10**18)
    assert bucket.available(10**18) == 2


def test_a_third_of_a_token_is_never_lost_nor_won_in_a_hundred_thousand_steps():
    bucket = TokenBucket(rate_per_s=3, burst=2)
    taken = sum(bucket.take(1, step * 10_000) for step in range(100_001))
    assert taken == 2 + 3  # the burst at first, then three in exactly one second


def test_what_can_never_pass_is_a_bug():
    with pytest.raises(BrokenInvariant):
        TokenBucket(rate_per_s=0, burst=1)
    with pytest.raises(BrokenInvariant):
        TokenBucket(rate_per_s=1, burst=0)
    with pytest.raises(BrokenInvariant, match="never"):
        TokenBucket(rate_per_s=1, burst=5).ready_ns(6)


def test_time_that_goes_back_and_forth_adds_no_token():
    bucket = TokenBucket(rate_per_s=1, burst=1)
    assert bucket.take(1, 100 * SECOND)
    for _ in range(10):
        assert not bucket.take(1, 50 * SECOND)
        assert bucket.available(50 * SECOND) == 0
        assert not bucket.take(1, 101 * SECOND - 1)
    assert bucket.take(1, 101 * SECOND)


steps = st.lists(st.tuples(st.integers(-SECOND, 3 * SECOND), st.integers(1, 4)), max_size=60)


@pytest.mark.long
@given(st.integers(1, 50), st.integers(1, 20), st.integers(SECOND, 10**18), steps)
@settings(max_examples=200, deadline=None)
def test_no_window_holds_more_than_rate_times_its_length_plus_the_burst(rate, burst, now, steps):
    bucket = TokenBucket(rate_per_s=rate, burst=burst)
    taken = []
    latest = 0  # of the moments at which tokens were given: a refusal leaves no trace
    for step_ns, count in steps:
        now = max(0, now + step_ns)
        if bucket.take(count, now):
            latest = max(latest, now)
            taken.append((latest, count))
    for first, (start, _) in enumerate(taken):
        total = 0
        for end, count in taken[first:]:
            total += count
            assert total * SECOND <= rate * (end - start) + burst * SECOND


@given(st.integers(1, 50), st.integers(1, 20), st.lists(st.integers(0, SECOND), max_size=40))
@settings(max_examples=100, deadline=None)
def test_ready_is_the_first_moment_a_token_can_be_taken(rate, burst, waits):
    bucket, now = TokenBucket(rate_per_s=rate, burst=burst), 10**18
    for wait_ns in waits:
        now += wait_ns
        expected = bucket.ready_ns() <= now
        assert (bucket.available(now) >= 1) is expected
        assert bucket.take(1, now) is expected
        if not expected:
            assert not bucket.take(1, bucket.ready_ns() - 1)
