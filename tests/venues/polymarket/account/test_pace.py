from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.venues.polymarket.account.pace import TIERS, Pace
from tests.fakes.polymarket.limits import TIERS as VENUE_TIERS

S = 1_000_000_000


def test_tiers_are_the_venue_s_and_four_fifths_of_them_are_ours() -> None:
    for name, rates in VENUE_TIERS.items():
        tier = TIERS[name]
        paces = (tier.orders_per_s, tier.orders_burst, tier.cancels_per_s, tier.cancels_burst)
        assert paces == rates
        paced = tier.paced()
        assert (paced.orders_per_s, paced.cancels_burst) == (rates[0] * 4 // 5, rates[3] * 4 // 5)


def test_burst_then_the_rate() -> None:
    pace = Pace(0)
    assert [pace.take(0) for _ in range(48)] == [0] * 48
    wait_ns = pace.take(0)
    assert wait_ns == S // 32
    assert pace.take(wait_ns - 1) > 0
    assert pace.take(wait_ns) == 0


@given(st.lists(st.integers(0, S), max_size=200))
def test_never_more_than_four_fifths_of_the_tier(pauses: list[int]) -> None:
    pace, now_ns, taken = Pace(0), 0, 0
    for pause_ns in pauses:
        now_ns += pause_ns
        taken += pace.take(now_ns) == 0
        assert taken <= 48 + now_ns * 32 // S


def test_venue_s_word_lowers_our_bucket_and_never_raises_it() -> None:
    pace = Pace(0)
    pace.receive(0, tier=None, remaining=14)
    assert [pace.take(0) for _ in range(3)] == [0, 0, S // 32]
    pace.receive(0, tier=None, remaining=60)
    assert pace.take(0) > 0


def test_bucket_the_venue_says_is_overdrawn_is_waited_for() -> None:
    pace = Pace(0)
    pace.receive(0, tier="Standard", remaining=-20)
    assert pace.take(0) == 33 * S // 32
    assert pace.take(33 * S // 32) == 0


def test_tier_is_the_one_the_venue_names_if_we_know_it() -> None:
    pace = Pace(0)
    pace.receive(0, tier="Gold", remaining=None)
    pace.receive(0, tier="Adamantium", remaining=None)
    assert pace.tier == "Gold"
    assert sum(pace.take(S) == 0 for _ in range(400)) == 48 + 320


def test_time_that_runs_backwards_brings_nothing() -> None:
    pace = Pace(S)
    while pace.take(S) == 0:
        pass
    assert pace.take(0) > 0
    assert pace.take(S) > 0
