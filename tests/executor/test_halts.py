from __future__ import annotations

from typing import Any

from engine.domain.effects import KeepBudget, PlaceOrder, RaiseAlert
from engine.domain.events import (
    CashKind,
    CashMoved,
    HealthChanged,
    InstrumentResolved,
    LatchReleased,
    LatchSet,
    ModeChanged,
    OrderNotFound,
    OrderUnanswered,
    VenueMode,
)
from engine.domain.fills import FillState
from engine.domain.instruments import AccountId, InstrumentId, Leg
from engine.domain.modes import BELIEVED_NS, S
from engine.domain.orders import OrderState
from engine.domain.settings import Limit
from engine.executor import cash
from engine.risk.reasons import DenyReason
from tests.executor.conftest import BOT

M1 = InstrumentId("venue:m1")
USD = 1_000_000
BIDS = [(4_800, 100)]
DAY = 86_400 * 1_000_000_000


def alerts(effects: list[Any]) -> list[str]:
    return [effect.kind for effect in effects if isinstance(effect, RaiseAlert)]


def moved(rig: Any, amount: int, **changes: Any) -> CashMoved:
    fields: dict[str, Any] = {"account": rig.build.account, "currency": "USD"}
    return CashMoved(**(fields | changes), amount_micro=amount)


def test_cash_of_another_account_is_not_ours(rig: Any) -> None:
    rig.feed(moved(rig, 5 * USD, account=AccountId("demo:other")))
    assert rig.executor.ledger.cash_free_micro == 1_000 * USD


def test_cash_of_another_currency_is_told_and_not_booked(rig: Any) -> None:
    assert alerts(rig.feed(moved(rig, 5 * USD, currency="EUR"))) == ["foreign_currency"]
    assert rig.executor.ledger.cash_free_micro == 1_000 * USD


def test_a_withdrawal_below_zero_is_booked_and_told(rig: Any) -> None:
    assert "cash_negative" in alerts(rig.feed(moved(rig, -2_000 * USD)))
    assert rig.executor.ledger.cash_free_micro == -1_000 * USD


def test_a_withdrawal_is_never_a_loss(make_rig: Any, limits: Any) -> None:
    rig = make_rig(limits=limits.model_copy(update={"daily_loss_max": Limit(absolute=10)}))
    assert alerts(rig.feed(moved(rig, -500 * USD))) == []
    assert rig.executor.healthy


def test_a_reward_is_profit_of_the_account_and_booked_once(rig: Any) -> None:
    ledger, before = rig.executor.ledger, rig.breakers.day_start_equity_micro
    reward = moved(rig, 3 * USD, kind=CashKind.REWARD, payment="REWARD 0x1", paid_ns=7)
    rig.feed(reward, reward)
    rig.feed(moved(rig, 2 * USD, kind=CashKind.REBATE, payment="MAKER_REBATE 0x1", paid_ns=8))
    state = ledger.state
    assert ledger.cash_free_micro == 1_005 * USD
    assert state.deposits_micro == 1_000 * USD
    assert state.income_micro == {CashKind.REWARD: 3 * USD, CashKind.REBATE: 2 * USD}
    assert state.payments == {"REWARD 0x1": 7, "MAKER_REBATE 0x1": 8}
    assert (state.realised_micro, state.fees_micro, state.funded_ns) == (0, 0, rig.now)
    assert rig.breakers.day_start_equity_micro == before
    ledger.check()


def test_the_first_cash_counts_from_when_the_venue_was_asked_for_it(make_rig: Any) -> None:
    rig = make_rig(empty=True, cash=0)
    rig.feed(moved(rig, USD, paid_ns=rig.now - 7))
    assert rig.executor.ledger.state.funded_ns == rig.now - 7


def test_rewards_and_what_they_are_named_survive_a_restart(rig: Any, make_rig: Any) -> None:
    reward = moved(rig, 3 * USD, kind=CashKind.REWARD, payment="REWARD 0x1", paid_ns=7)
    rig.feed(reward)
    fresh = make_rig(empty=True, cash=0)
    fresh.executor.restore(rig.executor.snapshot())
    fresh.feed(reward)
    assert fresh.executor.ledger.state.income_micro == {CashKind.REWARD: 3 * USD}
    assert fresh.executor.ledger.state.funded_ns == rig.executor.ledger.state.funded_ns
    fresh.executor.ledger.check()


def test_tokens_that_came_without_a_trade_are_a_deposit_of_what_they_cost(
    rig: Any, make_rig: Any
) -> None:
    ledger, before = rig.executor.ledger, rig.breakers.day_start_equity_micro
    rig.feed(rig.mark(best_bid=4_800))
    rig.wait(1)
    rig.feed(moved(rig, 30 * USD, instrument=M1, leg=Leg.NO, tokens=50_000_000))
    fresh = make_rig(empty=True, cash=0)
    fresh.executor.restore(rig.executor.snapshot())
    for state in (ledger.state, fresh.executor.ledger.state):
        held = state.holdings[M1].no
        assert (held.settled, held.cost_micro) == (50_000_000, 30 * USD)
        assert (state.cash_settled_micro, state.deposits_micro) == (1_000 * USD, 1_030 * USD)
        assert state.realised_micro == 0
    equity = rig.executor.equity_micro(rig.now)
    assert 1_000 * USD < equity < 1_030 * USD
    assert rig.breakers.day_start_equity_micro == before + equity - 1_000 * USD
    ledger.check()


def test_tokens_that_cost_far_more_than_they_are_worth_stop_nothing(
    make_rig: Any, limits: Any
) -> None:
    rig = make_rig(limits=limits.model_copy(update={"daily_loss_max": Limit(absolute=10)}))
    effects = rig.feed(moved(rig, 500 * USD, instrument=M1, leg=Leg.YES, tokens=500_000_000))
    assert alerts(effects) == []
    assert rig.executor.healthy


def came_without_a_book(rig: Any) -> None:
    """Have 200 YES come at a typed cost before any book of their market."""
    rig.feed(moved(rig, 90 * USD, instrument=M1, leg=Leg.YES, tokens=200 * USD, worth_micro=None))


def test_tokens_that_came_before_any_book_move_the_anchor_with_their_first_mark(
    make_rig: Any, limits: Any
) -> None:
    rig = make_rig(limits=limits.model_copy(update={"daily_loss_max": Limit(absolute=80)}))
    rig.wait(1)
    assert rig.breakers.day_start_equity_micro == 1_000 * USD
    came_without_a_book(rig)
    rig.wait(1, marked=False)
    assert rig.breakers.day_start_equity_micro == 1_000 * USD
    rig.wait(1, rig.mark(best_bid=5_000))
    assert rig.breakers.day_start_equity_micro == 1_100 * USD
    assert rig.breakers.peak_equity_micro == 1_100 * USD
    rig.wait(1, rig.mark(best_bid=1_100))
    assert rig.executor.stopped is None
    rig.wait(1, rig.mark(best_bid=900))
    assert rig.executor.stopped is DenyReason.DAILY_LOSS  # 82 lost of 1,100


def test_what_waits_for_its_first_mark_waits_behind_a_death_too(make_rig: Any) -> None:
    rig = make_rig()
    rig.wait(1)
    came_without_a_book(rig)
    rig.wait(1, marked=False)
    kept = [effect for effect in rig.effects if isinstance(effect, KeepBudget)][-1]
    fresh = make_rig()
    came_without_a_book(fresh)  # the journal is read again: the record, then the budget behind it
    fresh.executor.restore_budget(kept.breakers)
    fresh.wait(1, fresh.mark(best_bid=5_000))
    assert fresh.breakers.day_start_equity_micro == 1_100 * USD
    fresh.wait(1, fresh.mark(best_bid=5_500))
    assert fresh.breakers.day_start_equity_micro == 1_100 * USD  # once


def test_a_death_before_the_budget_was_kept_loses_nothing_of_what_tokens_moved(
    make_rig: Any,
) -> None:
    rig = make_rig()
    rig.wait(1)
    kept = [effect for effect in rig.effects if isinstance(effect, KeepBudget)][-1]
    came = moved(rig, 90 * USD, instrument=M1, leg=Leg.YES, tokens=200 * USD, worth_micro=98 * USD)
    rig.feed(came)
    fresh = make_rig()
    fresh.executor.restore_budget(kept.breakers)
    fresh.feed(came)  # no book is known while a journal is read
    after = (rig.breakers.day_start_equity_micro, rig.breakers.peak_equity_micro)
    assert after == (1_098 * USD, 1_098 * USD)
    assert (fresh.breakers.day_start_equity_micro, fresh.breakers.peak_equity_micro) == after
    assert fresh.breakers.unmarked == ()


def test_tokens_that_never_had_a_book_move_the_anchor_by_what_they_pay(rig: Any) -> None:
    rig.wait(1)
    came_without_a_book(rig)
    rig.feed(InstrumentResolved(instrument=M1, payout_yes_micro=USD, source="test"))
    rig.wait(1, marked=False)
    assert rig.breakers.day_start_equity_micro == 1_200 * USD
    assert rig.breakers.unmarked == ()


def test_tokens_of_a_market_that_is_resolved_come_as_what_they_pay(rig: Any) -> None:
    ledger = rig.executor.ledger
    rig.feed(InstrumentResolved(instrument=M1, payout_yes_micro=USD, source="test"))
    rig.feed(moved(rig, 30 * USD, instrument=M1, leg=Leg.YES, tokens=50_000_000))
    assert (ledger.state.redeemable_micro, ledger.state.realised_micro) == (50 * USD, 20 * USD)
    ledger.check()


def test_payments_are_remembered_up_to_a_maximum(rig: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(cash, "PAYMENTS_MAX", 2)
    for number in range(4):
        rig.feed(moved(rig, USD, kind=CashKind.REWARD, payment=f"REWARD {number}"))
    assert list(rig.executor.ledger.state.payments) == ["REWARD 2", "REWARD 3"]


def test_a_daily_stop_lifts_with_the_next_day(make_rig: Any, limits: Any) -> None:
    rig = make_rig(limits=limits.model_copy(update={"daily_loss_max": Limit(absolute=10)}))
    rig.rest(BIDS)
    fill = rig.fill(1, 100, state=FillState.CONFIRMED)
    rig.feed(fill, rig.quotes(), rig.mark(best_bid=3_000))
    assert not rig.executor.healthy
    rig.now += DAY
    rig.feed(rig.mark(best_bid=3_000))
    rig.wait(1)
    assert rig.executor.healthy


def test_every_reason_is_told_in_words(rig: Any) -> None:
    account = rig.build.account
    rig.feed(
        HealthChanged(account=None, source="clock", healthy=False, reason="jumped"),
        LatchSet(who="me", reason="stop"),
        ModeChanged(account=account, mode=VenueMode.CANCEL_ONLY),
    )
    rig.executor.stop_all("night", rig.now)
    assert rig.executor.reasons == (
        "clock: jumped",
        "KILL latch: me: stop",
        "stopped: night",
        "venue is cancel_only",
    )
    assert rig.executor.recovering is False


def test_a_closure_that_nobody_repeats_is_tried_again_with_rest_first(rig: Any) -> None:
    rig.feed(ModeChanged(account=rig.build.account, mode=VenueMode.DISABLED))
    rig.wait(BELIEVED_NS / S - 1)
    assert rig.executor.reasons == ("venue is disabled",)
    assert rig.quote(BIDS) == []
    placed = [effect for effect in rig.wait(1) if isinstance(effect, PlaceOrder)]
    assert rig.executor.reasons == ("venue is post_only",)
    assert [effect.order.post_only for effect in placed] == [True]
    assert rig.executor.healthy
    rig.wait(BELIEVED_NS / S)
    assert rig.executor.reasons == ()


def test_a_drawdown_is_told_as_a_reason(make_rig: Any, limits: Any) -> None:
    rig = make_rig(limits=limits.model_copy(update={"drawdown_max": Limit(absolute=10)}))
    rig.rest(BIDS)
    rig.feed(rig.fill(1, 100), rig.mark(best_bid=3_000))
    words = ("The drawdown is over its limit; a person must release",)
    assert (rig.executor.reasons, rig.executor.to_release) == (words, words)
    rig.feed(LatchReleased(who="me", reason="accepted"))
    assert (rig.executor.healthy, rig.executor.to_release) == (True, ())


def test_readings_of_the_unknown_are_empty(rig: Any) -> None:
    executor, nowhere = rig.executor, InstrumentId("venue:x")
    assert executor.working(nowhere) == ()
    assert executor.working_sizes(nowhere, BOT) == (0, 0)
    assert executor.explain(nowhere, BOT) == ((), None)
    rig.rest(BIDS, [(5_200, 50)])
    assert [known.order.id for known in executor.working(M1)] == [1, 2]
    assert executor.working_sizes(M1, BOT) == (100 * USD, 50 * USD)
    assert executor.equity_mid_micro(rig.now) == 1_000 * USD
    assert executor.planning.cancels_asked == 0


def test_a_stop_is_kept_with_its_anchor_as_it_begins(make_rig: Any, limits: Any) -> None:
    tight = limits.model_copy(update={"daily_loss_max": Limit(absolute=10)})
    rig = make_rig(limits=tight)
    rig.rest(BIDS)
    fill = rig.fill(1, 100, state=FillState.CONFIRMED)
    effects = rig.feed(fill, rig.quotes(), rig.mark(best_bid=3_000))
    kept = [effect for effect in effects if isinstance(effect, KeepBudget)]

    after = make_rig(limits=tight, empty=True)
    after.executor.restore_budget(kept[-1].breakers)

    assert after.executor.stopped is rig.executor.stopped is not None
    assert after.executor.anchors_micro == rig.executor.anchors_micro


def test_a_budget_that_stands_still_is_kept_no_more_than_each_minute(rig: Any) -> None:
    rig.rest(BIDS)
    seen = [effect for _ in range(150) for effect in rig.wait(1) if isinstance(effect, KeepBudget)]
    assert 1 <= len(seen) <= 3


def test_a_death_at_midnight_leaves_the_last_equity_as_the_anchor_of_the_new_day(
    make_rig: Any,
) -> None:
    rig = make_rig()
    rig.now += DAY - rig.now % DAY - 40 * S
    rig.rest(BIDS)
    rig.feed(rig.fill(1, 100, state=FillState.CONFIRMED), rig.mark(best_bid=4_800))
    fallen = rig.mark(best_bid=4_000)  # no new peak and no stop: only the time makes it be kept
    effects = [effect for _ in range(3) for effect in rig.wait(1, fallen, marked=False)]
    kept = [effect for effect in effects if isinstance(effect, KeepBudget)]
    last_micro = rig.executor.equity_micro(rig.now)

    after = make_rig(empty=True)
    after.executor.restore_budget(kept[-1].breakers)
    breakers = after.executor.gate.breakers
    breakers.equity(last_micro + 5 * USD, rig.now + 60 * S)

    assert breakers.day == (rig.now + 60 * S) // DAY
    assert breakers.day_start_equity_micro == last_micro


def test_a_leap_of_time_begins_every_grace_period_anew(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.event(OrderUnanswered, 1, reason="timeout"))
    rig.now += 60 * 1_000_000_000
    rig.feed(
        HealthChanged(account=rig.build.account, source="clock", healthy=False, reason="a leap")
    )
    for _ in range(3):
        rig.feed(rig.event(OrderNotFound, 1))
    assert rig.state(1) is OrderState.UNKNOWN
