from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.instruments import Mode
from engine.domain.settings import Limit, RiskLimits
from engine.errors import BadInput
from engine.risk.gate import DAY_NS, Breakers
from engine.risk.reasons import DenyReason

UNIT = 1_000_000
DAY = 20_000 * DAY_NS
NOON = DAY + DAY_NS // 2
NEXT_DAY = DAY + DAY_NS


def started(equity=1_000, **limits):
    breakers = Breakers(RiskLimits(**limits))
    assert breakers.equity(equity * UNIT, NOON) == ()
    return breakers


def restarted(breakers, **limits):
    again = Breakers(RiskLimits(**limits))
    again.restore(breakers.state())
    return again


def kinds(trips):
    return [trip.kind for trip in trips]


def test_first_equity_is_the_days_anchor_and_the_peak():
    breakers = Breakers(RiskLimits())
    assert (breakers.day_start_equity_micro, breakers.peak_equity_micro) == (0, 0)
    breakers.equity(1_000 * UNIT, NOON)
    assert breakers.day_start_equity_micro == breakers.peak_equity_micro == 1_000 * UNIT


def test_anchor_stays_for_the_day_and_the_peak_only_rises():
    breakers = started()
    breakers.equity(1_030 * UNIT, NOON + 1)
    breakers.equity(990 * UNIT, NOON + 2)
    assert breakers.day_start_equity_micro == 1_000 * UNIT
    assert breakers.peak_equity_micro == 1_030 * UNIT


def test_loss_at_the_limit_is_allowed_and_one_micro_unit_over_stops():
    breakers = started()
    assert breakers.equity(950 * UNIT, NOON + 1) == ()
    (trip,) = breakers.equity(950 * UNIT - 1, NOON + 2)
    assert trip.kind is DenyReason.DAILY_LOSS
    assert dict(trip.numbers)["daily_loss_max_micro"] == 50 * UNIT
    assert dict(trip.numbers)["equity_micro"] == 950 * UNIT - 1
    assert breakers.stopped is DenyReason.DAILY_LOSS


def test_a_stop_is_told_once_and_stays_though_equity_comes_back():
    breakers = started()
    assert kinds(breakers.equity(900 * UNIT, NOON + 1)) == [DenyReason.DAILY_LOSS]
    assert breakers.equity(890 * UNIT, NOON + 2) == ()
    assert breakers.equity(1_000 * UNIT, NOON + 3) == ()
    assert breakers.stopped is DenyReason.DAILY_LOSS


def test_daily_stop_lifts_at_midnight_and_the_peak_does_not():
    breakers = started()
    breakers.equity(940 * UNIT, NOON + 1)
    assert breakers.equity(940 * UNIT, NEXT_DAY - 1) == ()
    assert breakers.stopped is DenyReason.DAILY_LOSS
    assert breakers.equity(940 * UNIT, NEXT_DAY) == ()
    assert breakers.stopped is None
    assert breakers.day_start_equity_micro == 940 * UNIT
    assert breakers.peak_equity_micro == 1_000 * UNIT


def test_a_loss_over_a_restart_at_midnight_counts_for_the_new_day():
    breakers = restarted(started())
    assert kinds(breakers.equity(940 * UNIT, NEXT_DAY + 1)) == [DenyReason.DAILY_LOSS]
    assert breakers.day_start_equity_micro == 1_000 * UNIT


def test_an_equity_of_last_week_is_no_anchor_for_today():
    breakers = restarted(started())
    assert breakers.equity(940 * UNIT, NEXT_DAY + 7 * DAY_NS) == ()
    assert breakers.day_start_equity_micro == 940 * UNIT


def test_a_clock_that_goes_back_over_midnight_moves_no_anchor():
    breakers = started()
    breakers.equity(990 * UNIT, NEXT_DAY)
    breakers.equity(980 * UNIT, NEXT_DAY - 1)
    assert breakers.day_start_equity_micro == 1_000 * UNIT
    breakers.equity(970 * UNIT, NEXT_DAY + 1)
    assert breakers.day_start_equity_micro == 1_000 * UNIT


def test_a_clock_that_ran_ahead_and_is_set_back_lifts_no_stop_and_moves_no_anchor_of_today():
    breakers = started()
    breakers.equity(940 * UNIT, NOON + 1)
    breakers.equity(940 * UNIT, NEXT_DAY + 1)
    assert breakers.stopped is None
    breakers.cash_moved(100 * UNIT)
    breakers = restarted(breakers)

    assert breakers.equity(1_040 * UNIT, NOON + 2) == ()
    assert breakers.stopped is DenyReason.DAILY_LOSS
    assert breakers.day_start_equity_micro == 1_100 * UNIT


def test_the_day_a_clock_ran_into_too_early_counts_from_the_equity_of_its_midnight():
    breakers = started()
    breakers.equity(1_000 * UNIT, NEXT_DAY + 1)
    breakers = restarted(breakers)
    breakers.equity(1_040 * UNIT, NEXT_DAY - 1)
    assert breakers.equity(1_040 * UNIT, NEXT_DAY) == ()
    assert breakers.day_start_equity_micro == 1_040 * UNIT
    assert kinds(breakers.equity(980 * UNIT, NEXT_DAY + 1)) == [DenyReason.DAILY_LOSS]
    assert breakers.equity(980 * UNIT, NEXT_DAY + DAY_NS) == ()
    assert breakers.day_start_equity_micro == 980 * UNIT


def test_a_stop_of_a_day_that_is_left_and_entered_again_stands():
    breakers = started()
    breakers.equity(1_000 * UNIT, NEXT_DAY)
    breakers.equity(940 * UNIT, NEXT_DAY + 1)
    assert breakers.stopped is DenyReason.DAILY_LOSS
    breakers.equity(940 * UNIT, NEXT_DAY - 1)
    breakers.equity(940 * UNIT, NEXT_DAY + 2)
    assert breakers.stopped is DenyReason.DAILY_LOSS
    assert breakers.day_start_equity_micro == 1_000 * UNIT


def test_a_clock_that_was_days_ahead_keeps_its_anchor_until_the_next_midnight():
    breakers = started()
    for day in (1, 2):
        breakers.equity(1_000 * UNIT, NOON + day * DAY_NS)
    breakers.equity(970 * UNIT, NOON + 1)
    assert breakers.day_start_equity_micro == 1_000 * UNIT
    breakers.equity(960 * UNIT, NEXT_DAY)
    assert breakers.day_start_equity_micro == 970 * UNIT


def test_drawdown_from_the_peak_stops_over_days_until_a_person_releases():
    breakers = started(daily_loss_max=Limit(percent=100))
    breakers.equity(1_100 * UNIT, NOON + 1)
    assert kinds(breakers.equity(949 * UNIT, NOON + 2)) == [DenyReason.DRAWDOWN]
    for day in range(1, 4):
        assert breakers.equity(949 * UNIT, NOON + day * DAY_NS) == ()
        assert breakers.stopped is DenyReason.DRAWDOWN
    assert not breakers.latched
    breakers.release_latch("looked at it, sizes halved")
    assert breakers.stopped is None
    assert breakers.peak_equity_micro == 949 * UNIT
    assert breakers.equity(949 * UNIT, NOON + 5 * DAY_NS) == ()


def test_kill_drawdown_sets_the_latch():
    breakers = started(daily_loss_max=Limit(percent=100))
    trips = breakers.equity(799 * UNIT, NOON + 1)
    assert kinds(trips) == [DenyReason.DRAWDOWN, DenyReason.KILL_DRAWDOWN]
    assert breakers.latched
    assert breakers.latch_reason == "risk: equity fell 201 from its peak"
    assert breakers.stopped is DenyReason.KILL_DRAWDOWN
    assert breakers.awaits_release
    breakers.release_latch("another account was looked at", kill_only=True)
    assert (breakers.latched, breakers.stopped) == (False, DenyReason.KILL_DRAWDOWN)
    breakers.release_latch("accepted")
    assert (breakers.latched, breakers.stopped, breakers.latch_reason) == (False, None, "")
    assert breakers.equity(799 * UNIT, NOON + 2) == ()


@pytest.mark.parametrize("mode", [Mode.DEMO, Mode.PAPER])
def test_the_deepest_fall_without_real_money_stops_its_account_and_sets_no_latch(mode):
    breakers = Breakers(RiskLimits(daily_loss_max=Limit(percent=100)), mode)
    breakers.equity(1_000 * UNIT, NOON)
    trips = breakers.equity(799 * UNIT, NOON + 1)
    assert kinds(trips) == [DenyReason.DRAWDOWN, DenyReason.KILL_DRAWDOWN]
    assert not breakers.latched
    assert (breakers.stopped, breakers.awaits_release) == (DenyReason.KILL_DRAWDOWN, True)
    breakers.release_latch("looked at it")
    assert breakers.stopped is None
    assert breakers.equity(799 * UNIT, NOON + 2) == ()


def test_releasing_a_latch_moves_no_peak_where_no_drawdown_stood():
    breakers = started()
    breakers.equity(960 * UNIT, NOON + 1)
    breakers.set_latch("anna", "power cut")
    assert breakers.latch_reason == "anna: power cut"
    breakers.release_latch("power is back")
    assert breakers.peak_equity_micro == 1_000 * UNIT


def test_release_lifts_no_daily_stop():
    breakers = started()
    breakers.equity(900 * UNIT, NOON + 1)
    breakers.release_latch("please")
    assert breakers.stopped is DenyReason.DAILY_LOSS


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_a_release_without_a_reason_is_refused(reason):
    breakers = started()
    breakers.set_latch("anna", "")
    with pytest.raises(BadInput, match="type a reason"):
        breakers.release_latch(reason)
    assert breakers.latched


def test_the_first_reason_of_a_latch_is_kept():
    breakers = started()
    breakers.set_latch("anna", "first")
    breakers.set_latch("ben", "second")
    assert breakers.latch_reason == "anna: first"


def test_a_deposit_is_not_a_gain_and_a_withdrawal_not_a_loss():
    breakers = started()
    breakers.cash_moved(500 * UNIT)
    assert breakers.equity(1_500 * UNIT, NOON + 1) == ()
    assert breakers.day_start_equity_micro == breakers.peak_equity_micro == 1_500 * UNIT
    breakers.cash_moved(-1_000 * UNIT)
    assert breakers.equity(500 * UNIT, NOON + 2) == ()
    assert breakers.day_start_equity_micro == breakers.peak_equity_micro == 500 * UNIT
    assert breakers.stopped is None


def test_cash_before_the_first_equity_is_contained_in_it():
    breakers = Breakers(RiskLimits())
    breakers.cash_moved(500 * UNIT)
    breakers.equity(500 * UNIT, NOON)
    assert breakers.day_start_equity_micro == 500 * UNIT


def test_new_limits_judge_the_next_equity_and_lift_nothing():
    breakers = started()
    breakers.apply(RiskLimits(daily_loss_max=Limit(absolute=10)))
    assert breakers.stopped is None
    assert kinds(breakers.equity(989 * UNIT, NOON + 1)) == [DenyReason.DAILY_LOSS]
    breakers.apply(RiskLimits(daily_loss_max=Limit(absolute=500)))
    breakers.equity(989 * UNIT, NOON + 2)
    assert breakers.stopped is DenyReason.DAILY_LOSS


def test_restart_brings_back_budget_peak_stop_and_latch():
    breakers = started()
    breakers.equity(1_050 * UNIT, NOON + 1)
    breakers.equity(940 * UNIT, NOON + 2)
    breakers.set_latch("anna", "lunch")
    again = restarted(breakers)
    assert again.state() == breakers.state()
    assert again.latched
    assert again.latch_reason == "anna: lunch"
    assert again.stopped is DenyReason.DAILY_LOSS
    assert again.peak_equity_micro == 1_050 * UNIT
    assert again.day_start_equity_micro == 1_000 * UNIT


def test_a_latch_found_at_start_is_not_released_by_an_older_state():
    breakers = Breakers(RiskLimits())
    breakers.set_latch("file", "var/KILL exists")
    breakers.restore(started().state())
    assert breakers.latched
    assert breakers.latch_reason == "file: var/KILL exists"


@pytest.mark.parametrize("state", [b"", b"{", b"[]", b'{"day":"x"}', b'{"strange":1}', b"\xff"])
def test_a_state_that_cannot_be_read_is_refused_and_changes_nothing(state):
    breakers = started()
    before = breakers.state()
    with pytest.raises(BadInput, match="cannot be read"):
        breakers.restore(state)
    assert breakers.state() == before


steps = st.lists(
    st.tuples(
        st.sampled_from(["equity", "cash", "latch", "release"]),
        st.integers(-200 * UNIT, 200 * UNIT),
        st.integers(0, DAY_NS),
    ),
    max_size=20,
)


@given(steps, st.integers(0, 20))
@settings(max_examples=100, deadline=None)
def test_a_restart_at_any_moment_changes_no_later_answer(steps, cut):
    straight, cut_off = started(), started()
    equity, now_ns = 1_000 * UNIT, NOON
    for number, (what, amount, wait_ns) in enumerate(steps):
        if number == cut:
            cut_off = restarted(cut_off)
        equity, now_ns = equity + amount, now_ns + wait_ns
        for breakers in (straight, cut_off):
            if what == "cash":
                breakers.cash_moved(amount)
            elif what == "latch":
                breakers.set_latch("x", "y")
            elif what == "release":
                breakers.release_latch("z")
        told = [breakers.equity(equity, now_ns) for breakers in (straight, cut_off)]
        assert told[0] == told[1]
        assert straight.state() == cut_off.state()
        assert (straight.stopped, straight.latched) == (cut_off.stopped, cut_off.latched)
        assert straight.peak_equity_micro >= equity
