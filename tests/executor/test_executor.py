from __future__ import annotations

from typing import Any

import pytest

from engine.bots.explain import planned
from engine.domain.effects import (
    CancelAll,
    CancelOrders,
    PlaceOrder,
    RaiseAlert,
    SetTimer,
    Severity,
)
from engine.domain.events import (
    BookDistrusted,
    CancelRefused,
    CancelUnanswered,
    FeedLost,
    FillSettled,
    FillVoided,
    HealthChanged,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    LatchReleased,
    LatchSet,
    ModeChanged,
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderExpired,
    OrderNotSent,
    OrderRejected,
    TimerFired,
    VenueMode,
)
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from engine.domain.intents import Basket, ResidualReason, Target, Urgency
from engine.domain.orders import CancelReason, OrderId, OrderState, OrderType, RejectReason
from engine.domain.settings import Limit
from engine.errors import BrokenInvariant, InvalidTransition
from engine.executor.executor import ExecutorSettings
from tests.executor.conftest import BOT

S = OrderState
R = ResidualReason
M1 = InstrumentId("venue:m1")
SHARE = 1_000_000
USD = 1_000_000
BIDS, ASKS = [(4_800, 100)], [(5_200, 100)]


def kinds(effects: list[Any]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def alerts(effects: list[Any]) -> list[str]:
    return [effect.kind for effect in effects if isinstance(effect, RaiseAlert)]


def cancelled(effects: list[Any]) -> list[int]:
    return [n for effect in effects if isinstance(effect, CancelOrders) for n in effect.orders]


def reasons(rig: Any, name: str = "venue:m1") -> list[ResidualReason]:
    return [residual.reason for residual in rig.executor.explain(InstrumentId(name), BOT)[0]]


# -- the way of an order ---------------------------------------------------------------------------


def test_a_intent_becomes_orders_that_are_counted_and_reserved(rig: Any) -> None:
    placed = rig.quote(BIDS, ASKS)

    assert [(o.id, o.leg, o.side, o.price) for o in placed] == [
        (1, Leg.YES, Side.BUY, 4_800),
        (2, Leg.NO, Side.BUY, 4_800),
    ]
    assert rig.state(1) is S.PENDING
    assert rig.executor.ledger.cash_free_micro == 904 * USD
    assert rig.gate._exposure.account_micro() > 0
    assert rig.executor.working_sizes(M1, BOT) == (100 * SHARE, 100 * SHARE)
    assert rig.executor.planning.orders_placed == 2


def test_named_sent_accepted_and_filled(rig: Any) -> None:
    rig.rest(BIDS)
    assert rig.state(1) is S.OPEN
    assert rig.executor.record(OrderId(1)).identity == "id1"

    rig.feed(rig.fill(1, 40))
    assert rig.state(1) is S.PARTIAL
    rig.feed(rig.fill(1, 60))
    assert rig.state(1) is S.FILLED
    assert rig.executor.ledger.holding(M1).yes_pending == 100 * SHARE
    assert rig.executor.fills == 2


def test_the_same_intent_again_asks_for_nothing(rig: Any) -> None:
    rig.rest(BIDS, ASKS)
    assert rig.quote(BIDS, ASKS) == []
    assert rig.feed(rig.mark()) == []


def test_a_requote_cancels_first_and_places_when_the_ends_are_proven(rig: Any) -> None:
    rig.rest(BIDS, ASKS)
    asked = rig.feed(rig.mark(), rig.quotes([(4_700, 100)], [(5_300, 100)]))

    assert kinds(asked) == ["CancelOrders"]
    assert cancelled(asked) == [1, 2]
    assert reasons(rig) == [R.WAITING_CANCEL] * 2
    placed = rig.feed(rig.event(OrderCancelled, 1), rig.event(OrderCancelled, 2))
    assert [e.order.price for e in placed] == [4_700, 4_700]
    assert rig.executor.ledger.state.reservations.keys() == {3, 4}


def test_a_reservation_is_not_released_by_a_cancel_that_was_only_sent(rig: Any) -> None:
    rig.rest(BIDS)
    rig.feed(rig.quotes())
    assert rig.state(1) is S.CANCELLING
    assert rig.executor.ledger.cash_free_micro == 952 * USD

    rig.feed(rig.event(OrderCancelled, 1))
    assert rig.executor.ledger.cash_free_micro == 1_000 * USD
    assert rig.gate._exposure.account_micro() == 0


def test_late_fill_after_cancel_is_booked(rig: Any) -> None:
    rig.rest(BIDS)
    rig.feed(rig.quotes())
    rig.feed(rig.event(OrderCancelled, 1))
    rig.feed(rig.fill(1, 30))

    assert rig.state(1) is S.CANCELLED
    assert rig.executor.ledger.holding(M1).yes_pending == 30 * SHARE
    rig.executor.ledger.check()


def test_a_fill_may_overtake_the_acknowledgement(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.fill(1, 30))
    rig.feed(rig.event(OrderAccepted, 1))
    assert rig.state(1) is S.PARTIAL


def test_a_rest_below_one_lot_counts_as_filled(rig: Any) -> None:
    rig.rest(BIDS)
    rig.feed(rig.fill(1, 99.995))
    assert rig.state(1) is S.FILLED


def test_a_duplicate_fill_is_booked_once(rig: Any) -> None:
    rig.rest(BIDS)
    fill = rig.fill(1, 30)
    rig.feed(fill, fill)
    assert rig.executor.record(OrderId(1)).remaining == 70 * SHARE
    assert rig.executor.fills == 1


def test_more_filled_than_asked_is_booked_and_told(rig: Any) -> None:
    rig.rest(BIDS)
    effects = rig.feed(rig.fill(1, 130))
    assert alerts(effects) == ["overfilled"]
    assert rig.executor.ledger.holding(M1).yes_pending == 130 * SHARE


def test_a_void_fill_is_reversed_and_told(rig: Any) -> None:
    rig.rest(BIDS)
    fill = rig.fill(1, 100)
    rig.feed(fill)
    effects = rig.feed(FillVoided(account=rig.build.account, fill=fill.fill))

    assert "fill_failed" in alerts(effects)
    assert rig.executor.ledger.holding(M1).flat
    assert rig.executor.ledger.state.cash_settled_micro == 1_000 * USD


def test_settled_tokens_are_sold_before_the_complement_is_bought(rig: Any) -> None:
    rig.rest(BIDS)
    fill = rig.fill(1, 100)
    rig.feed(fill, rig.quotes())
    assert [o.leg for o in rig.rest([], ASKS)] == [Leg.NO]
    rig.feed(FillSettled(account=rig.build.account, fill=fill.fill), rig.quotes())
    placed = rig.feed(rig.event(OrderCancelled, 2), rig.quotes([], [(5_300, 100)]))
    assert [(e.order.leg, e.order.side) for e in placed] == [(Leg.YES, Side.SELL)]


def test_a_contradicted_fill_stops_the_account_until_a_person_releases_it(rig: Any) -> None:
    rig.rest(BIDS)
    fill = rig.fill(1, 30, state=FillState.CONFIRMED)
    rig.feed(fill)
    effects = rig.feed(FillVoided(account=rig.build.account, fill=fill.fill))

    assert alerts(effects) == ["contradiction"]
    assert any(isinstance(e, CancelAll) for e in effects)
    assert not rig.executor.healthy
    assert rig.executor.ledger.holding(M1).yes_settled == 30 * SHARE
    rig.feed(LatchReleased(who="me", reason="only the KILL", kill_only=True))
    assert not rig.executor.healthy
    rig.feed(LatchReleased(who="me", reason="checked on chain"))
    assert rig.executor.healthy


def test_a_fill_of_an_order_nobody_knows_stops_the_account(rig: Any) -> None:
    effects = rig.feed(rig.fill(77, 5))
    assert alerts(effects) == ["contradiction"]
    assert not rig.executor.healthy


def test_an_impossible_move_is_our_bug(rig: Any) -> None:
    rig.quote(BIDS)
    with pytest.raises(InvalidTransition, match="order 1 is pending"):
        rig.feed(rig.event(OrderAccepted, 1))


def test_events_of_other_accounts_are_not_received(rig: Any) -> None:
    rig.rest(BIDS)
    other = AccountId("demo:other")
    rig.feed(OrderCancelled(account=other, order=OrderId(1)))
    rig.feed(rig.fill(1, 5, account=other))
    assert rig.state(1) is S.OPEN


def test_an_event_of_an_order_never_made_is_told(rig: Any) -> None:
    assert alerts(rig.feed(rig.event(OrderAccepted, 9))) == ["unknown_report"]


def test_a_cancel_that_came_before_the_order_is_repeated(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    assert cancelled(rig.feed(rig.quotes())) == [1]
    assert cancelled(rig.feed(rig.event(OrderAccepted, 1))) == [1]


def test_a_delayed_order_is_cancelled_once_it_rests(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.event(OrderDelayed, 1))
    assert cancelled(rig.feed(rig.quotes())) == []
    assert cancelled(rig.feed(rig.event(OrderAccepted, 1))) == [1]


def test_a_place_that_was_never_sent_ends_and_is_tried_again_after_a_pause(rig: Any) -> None:
    rig.quote(BIDS)
    assert rig.feed(rig.event(OrderNotSent, 1, reason="throttled")) == []
    assert (rig.state(1), reasons(rig)) == (S.REJECTED, [R.COOLDOWN])
    placed = rig.wait(0.25)
    assert [e.order.id for e in placed] == [2]


def test_an_expired_order_is_replaced(rig: Any) -> None:
    rig.rest(BIDS)
    placed = rig.feed(rig.event(OrderExpired, 1))
    assert [e.order.id for e in placed] == [2]


# -- refusals --------------------------------------------------------------------------------------


def test_a_would_cross_reject_replans_after_a_short_pause_without_alert(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    assert rig.feed(rig.event(OrderRejected, 1, reason=RejectReason.WOULD_CROSS)) == []
    assert len(rig.wait(0.3)) == 1


def test_other_rejects_pause_longer_each_time_and_are_bounded(rig: Any) -> None:
    pauses = []
    rig.quote(BIDS)
    for number in range(1, 9):
        rig.send(number)
        rig.feed(rig.event(OrderRejected, number, reason=RejectReason.OTHER, venue_text="no"))
        pauses.append((rig.executor._table.instruments[M1].cooldown_ns - rig.now) // 1_000_000_000)
        rig.wait(pauses[-1])
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_an_accepted_order_ends_the_growth_of_the_pause(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.event(OrderRejected, 1, reason=RejectReason.OTHER))
    rig.wait(1)
    rig.open(2)
    assert rig.executor._table.instruments[M1].refusals == 0


def test_a_refused_credential_stops_the_account(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    effects = rig.feed(rig.event(OrderRejected, 1, reason=RejectReason.AUTH, venue_text="bad key"))
    assert alerts(effects) == ["rejected_auth"]
    assert rig.executor.reasons == ("auth of an order: bad key",)


def test_missing_funds_have_the_balance_asked(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    effects = rig.feed(rig.event(OrderRejected, 1, reason=RejectReason.NO_FUNDS))
    assert "QueryBalances" in kinds(effects)


def crossing(rig: Any) -> Target:
    """Ask for 100 YES at once, at 52 cents or better."""
    return Target(
        bot=rig.build.bot,
        instrument=M1,
        position=100 * SHARE,
        limit_price=5_200,
        urgency=Urgency.CROSS,
        valid_until_ns=rig.now + 10**12,
    )


def test_a_budget_that_bought_more_is_no_mistake_until_it_is_overspent(rig: Any) -> None:
    rig.feed(rig.mark(), crossing(rig))
    rig.send(1)
    effects = rig.feed(rig.fill(1, 90, price=4_000), rig.fill(1, 40, price=4_000))
    assert [one.severity for one in effects if one.kind == "price_improved"] == [Severity.INFO]
    assert rig.executor.ledger.holding(M1).yes_pending == 130 * SHARE
    effects = rig.feed(rig.fill(1, 1, price=4_000))
    assert [one.severity for one in effects if one.kind == "overfilled"] == [Severity.CRITICAL]


def test_the_killed_rest_of_a_taking_order_pauses_briefly(rig: Any) -> None:
    (place,) = rig.feed(rig.mark(), crossing(rig))
    assert place.order.type is OrderType.FAK
    rig.send(1)
    rig.feed(rig.fill(1, 40), rig.event(OrderCancelled, 1, reason=CancelReason.KILLED_REST))
    assert reasons(rig) == [R.COOLDOWN]
    (place,) = rig.wait(0.3)
    assert place.order.size == 60 * SHARE


# -- intents ---------------------------------------------------------------------------------------


def test_an_expired_intent_means_cancel(rig: Any) -> None:
    rig.rest(BIDS, valid_until_ns=rig.now + 5 * 10**9)
    assert rig.wait(4) == []
    assert cancelled(rig.wait(1)) == [1]
    assert reasons(rig) == [R.EXPIRED_INTENT]


def test_the_time_of_expiry_is_asked_for(rig: Any) -> None:
    until = rig.now + 5 * 10**9
    made = rig.executor.receive(rig.quotes(valid_until_ns=until), rig.now)
    made += rig.executor.plan(rig.now)
    assert [e.at_ns for e in made if isinstance(e, SetTimer)] == [until]
    rig.now = until
    assert rig.executor.receive(TimerFired(name="executor:demo:one"), rig.now) == []


def test_a_intent_for_an_unlisted_instrument_is_told(rig: Any) -> None:
    assert alerts(rig.feed(rig.quotes(BIDS, name="venue:x"))) == ["intent_refused"]


def test_withdrawing_cancels_what_rests(rig: Any) -> None:
    rig.rest(BIDS, ASKS)
    rig.executor.withdraw(rig.build.bot, None, rig.now)
    assert cancelled(rig.feed()) == [1, 2]


def test_one_order_can_be_cancelled_by_hand(rig: Any) -> None:
    rig.rest(BIDS)
    assert cancelled(rig.executor.cancel(OrderId(1), rig.now)) == [1]
    rig.feed(rig.event(OrderCancelled, 1))
    assert rig.executor.cancel(OrderId(1), rig.now) == []
    assert rig.executor.cancel(OrderId(99), rig.now) == []


def basket(rig: Any, *targets: tuple[str, int, int]) -> Basket:
    return Basket(
        bot=rig.build.bot,
        valid_until_ns=rig.now + 10**12,
        targets=tuple(
            Target(
                bot=rig.build.bot,
                instrument=InstrumentId(name),
                position=shares * SHARE,
                limit_price=price,
                urgency=Urgency.CROSS,
                valid_until_ns=rig.now + 10**12,
            )
            for name, shares, price in targets
        ),
    )


@pytest.fixture
def pair(make_rig: Any, build: Any) -> Any:
    return make_rig(instruments=(build.binary(), build.binary("venue:m2")))


def test_a_basket_is_placed_whole(pair: Any) -> None:
    intent = basket(pair, ("venue:m1", 100, 5_200), ("venue:m2", -100, 4_800))
    placed = pair.feed(pair.mark(), pair.mark("venue:m2"), intent)
    assert [(e.order.instrument, e.order.leg) for e in placed] == [
        ("venue:m1", Leg.YES),
        ("venue:m2", Leg.NO),
    ]


@pytest.mark.parametrize("second", [("venue:m2", -4, 4_800), ("venue:m2", 100, 5_000)])
def test_a_basket_of_which_one_part_is_impossible_is_not_placed(
    pair: Any, second: tuple[str, int, int]
) -> None:
    intent = basket(pair, ("venue:m1", 100, 5_200), second)
    assert pair.feed(pair.mark(), pair.mark("venue:m2"), intent) == []
    assert pair.executor.ledger.cash_free_micro == 1_000 * USD
    assert pair.gate._exposure.account_micro() == 0
    assert pair.executor.planning.orders_placed == 0


def test_a_basket_waits_for_all_its_books(pair: Any) -> None:
    intent = basket(pair, ("venue:m1", 100, 5_200), ("venue:m2", 100, 5_200))
    assert pair.feed(pair.mark(), intent) == []
    assert len(pair.feed(pair.mark("venue:m2"))) == 2


def test_a_basket_that_lost_a_part_is_over(pair: Any) -> None:
    intent = basket(pair, ("venue:m1", 100, 5_200), ("venue:m2", 100, 5_200))
    pair.feed(pair.mark(), intent)
    placed = pair.feed(pair.mark("venue:m2"), pair.quotes(BIDS, name="venue:m2"))
    assert [e.order.instrument for e in placed] == ["venue:m2"]
    assert reasons(pair) == [R.EXPIRED_INTENT]


def test_a_basket_that_is_over_forgets_what_risk_said_about_it(pair: Any) -> None:
    order_max = Limit(absolute=0.01)
    pair.gate.apply(pair.gate.limits.model_copy(update={"order_value_max": order_max}))
    intent = basket(pair, ("venue:m1", 100, 5_200), ("venue:m2", 100, 5_200))
    assert pair.feed(pair.mark(), pair.mark("venue:m2"), intent) == []
    assert pair.executor.explain(M1, BOT)[1] is not None

    pair.feed(pair.quotes((), name="venue:m2"))

    assert reasons(pair) == [R.EXPIRED_INTENT]
    assert pair.executor.explain(M1, BOT)[1] is None


def test_plans_are_told_in_the_order_of_the_planning_and_a_basket_with_every_part(
    pair: Any,
) -> None:
    intent = basket(pair, ("venue:m1", 0, 5_000), ("venue:m2", 100, 5_200))
    effects = pair.feed(pair.mark("venue:m2"), pair.mark(), intent)
    made = planned(pair.executor, effects, pair.now)
    assert pair.executor.planning.order == ("venue:m1", "venue:m2")
    assert [(one.instrument, len(one.places)) for one in made] == [("venue:m1", 0), ("venue:m2", 1)]


# -- blindness -------------------------------------------------------------------------------------


def test_nothing_is_placed_before_the_book_was_marked(rig: Any) -> None:
    assert rig.feed(rig.quotes(BIDS)) == []
    assert reasons(rig) == [R.BLIND]


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("torn", BookDistrusted(instrument=M1, reason="hash")),
        ("feed", FeedLost(feed="market", instrument=M1, reason="silent")),
        ("feeds", FeedLost(feed="market", instrument=None, reason="silent")),
        ("closed", InstrumentClosed(instrument=M1)),
    ],
)
def test_blindness_of_a_book_cancels_and_places_nothing(rig: Any, name: str, event: Any) -> None:
    rig.rest(BIDS)
    assert cancelled(rig.feed(event)) == [1]
    rig.feed(rig.event(OrderCancelled, 1))
    assert rig.feed(rig.quotes(BIDS)) == []


def test_a_book_without_proof_for_too_long_is_blind(rig: Any) -> None:
    rig.rest(BIDS)
    assert cancelled(rig.wait(10, marked=False)) == []
    assert cancelled(rig.wait(1, marked=False)) == [1]
    rig.feed(rig.event(OrderCancelled, 1))
    assert [e.order.id for e in rig.feed(rig.mark())] == [2]


@pytest.mark.parametrize("account", [None, AccountId("demo:one")])
def test_an_unhealthy_source_cancels_everything_until_it_is_healthy(
    rig: Any, account: AccountId | None
) -> None:
    rig.rest(BIDS)
    effects = rig.feed(
        HealthChanged(account=account, source="user_feed", healthy=False, reason="down")
    )
    assert kinds(effects) == ["CancelAll"]
    assert not rig.executor.healthy
    rig.feed(rig.event(OrderCancelled, 1))
    assert reasons(rig) == [R.BLIND]
    placed = rig.feed(HealthChanged(account=account, source="user_feed", healthy=True))
    assert kinds(placed) == ["PlaceOrder"]


def test_the_health_of_another_account_is_not_ours(rig: Any) -> None:
    rig.feed(HealthChanged(account=AccountId("x"), source="user_feed", healthy=False))
    assert rig.executor.healthy


def test_the_latch_cancels_all_at_once_even_what_is_not_known(rig: Any) -> None:
    asked = rig.executor.receive(LatchSet(who="me", reason="stop"), rig.now)
    assert kinds(asked) == ["CancelAll"]
    assert rig.quote(BIDS) == []
    assert reasons(rig) == [R.RISK]
    assert len(rig.feed(LatchReleased(who="me", reason="fine"))) == 1


@pytest.mark.parametrize("mode", [VenueMode.RESTARTING, VenueMode.DISABLED])
def test_a_deaf_venue_is_asked_nothing(rig: Any, mode: VenueMode) -> None:
    rig.rest(BIDS)
    assert rig.feed(ModeChanged(account=rig.build.account, mode=mode), rig.quotes()) == []
    effects = rig.feed(ModeChanged(account=rig.build.account, mode=VenueMode.OPEN))
    assert cancelled(effects) == [1]


def test_a_cancel_only_venue_is_asked_to_cancel(rig: Any) -> None:
    rig.rest(BIDS)
    effects = rig.feed(ModeChanged(account=rig.build.account, mode=VenueMode.CANCEL_ONLY))
    assert kinds(effects) == ["CancelAll"]


def test_a_post_only_venue_gets_quotes_and_no_taking_orders(rig: Any) -> None:
    rig.feed(ModeChanged(account=rig.build.account, mode=VenueMode.POST_ONLY))
    assert len(rig.rest(BIDS)) == 1
    rig.feed(rig.quotes())
    rig.feed(rig.event(OrderCancelled, 1))
    target = basket(rig, ("venue:m1", 100, 5_200)).targets[0]
    assert rig.feed(rig.mark(), target) == []
    assert reasons(rig) == [R.MARKET_CLOSED]


# -- risk ------------------------------------------------------------------------------------------


def test_risk_shrinks_and_denies_with_its_reason(make_rig: Any, limits: Any) -> None:
    rig = make_rig(limits=limits.model_copy(update={"order_value_max": Limit(absolute=24)}))
    (order,) = rig.quote(BIDS)
    assert order.size == 50 * SHARE
    assert reasons(rig) == [R.RISK]

    rig = make_rig(limits=limits.model_copy(update={"order_value_max": Limit(absolute=2)}))
    assert rig.quote(BIDS) == []
    assert rig.executor.planning.denials.total() == 1
    residuals, denied = rig.executor.explain(M1, BOT)
    assert denied is not None
    assert residuals[0].size == 100 * SHARE


def test_a_daily_loss_stops_cancels_and_tells(make_rig: Any, limits: Any) -> None:
    rig = make_rig(limits=limits.model_copy(update={"daily_loss_max": Limit(absolute=10)}))
    rig.rest(BIDS, ASKS)
    effects = rig.feed(rig.fill(1, 100), rig.mark(best_bid=3_000, best_ask=7_000))

    assert alerts(effects) == ["stop_daily_loss"]
    assert any(isinstance(e, CancelAll) for e in effects)
    assert rig.state(2) is S.CANCELLING
    assert rig.quote(BIDS) == []
    assert reasons(rig) == [R.RISK]


def test_the_kill_drawdown_sets_the_latch(make_rig: Any, limits: Any) -> None:
    rig = make_rig(limits=limits.model_copy(update={"kill_drawdown_max": Limit(absolute=10)}))
    rig.rest(BIDS)
    effects = rig.feed(rig.fill(1, 100), rig.mark(best_bid=3_000))
    assert "kill_latch" in alerts(effects)
    assert rig.breakers.latched


def test_the_second_marks_equity(make_rig: Any, limits: Any) -> None:
    rig = make_rig(limits=limits.model_copy(update={"drawdown_max": Limit(absolute=10)}))
    rig.rest(BIDS)
    rig.feed(rig.fill(1, 100))
    assert rig.feed(rig.mark(best_bid=3_000)) == []
    assert "stop_drawdown" in alerts(rig.wait(1, rig.mark(best_bid=3_000)))


def test_a_deposit_is_never_profit(rig: Any) -> None:
    assert rig.breakers.day_start_equity_micro == 1_000 * USD
    assert rig.executor.equity_micro(rig.now) == 1_000 * USD


# -- resolution and forgetting ---------------------------------------------------------------------


def test_a_resolution_is_booked_once_and_one_that_corrects_it_stops_and_takes_the_win_back(
    rig: Any,
) -> None:
    rig.rest(BIDS)
    rig.feed(rig.fill(1, 100, state=FillState.CONFIRMED))
    won = InstrumentResolved(instrument=M1, payout_yes_micro=USD, source="venue")
    rig.feed(won)
    rig.feed(won)
    assert rig.executor.equity_micro(rig.now) == 1_052 * USD
    assert rig.quote(BIDS) == []
    effects = rig.feed(InstrumentResolved(instrument=M1, payout_yes_micro=0, source="oracle"))
    assert "contradiction" in alerts(effects)
    assert rig.executor.equity_micro(rig.now) == 952 * USD
    assert not rig.executor.ledger.redeemable


def test_an_instrument_is_forgotten_when_nothing_is_left_and_a_late_fill_finds_it(
    rig: Any,
) -> None:
    rig.rest(BIDS)
    assert not rig.executor.forget(M1)
    rig.executor.withdraw(rig.build.bot, None, rig.now)
    rig.feed()
    rig.feed(rig.event(OrderCancelled, 1))
    assert rig.executor.forget(M1)
    assert rig.executor.concerned() == []

    rig.feed(rig.fill(1, 10))
    assert rig.executor.ledger.holding(M1).yes_pending == 10 * SHARE
    assert rig.executor.concerned() == [M1]


def test_ended_orders_are_forgotten_beyond_the_maximum_unless_a_fill_is_undecided(
    make_rig: Any,
) -> None:
    rig = make_rig(settings=ExecutorSettings(starts_reconciled=True, ended_orders_max=2))
    rig.rest(BIDS)
    fill = rig.fill(1, 100)
    rig.feed(fill)
    for number in range(2, 6):
        rig.open(number)
        rig.feed(rig.event(OrderExpired, number))
    assert sorted(rig.executor._table.ended) == [1, 5]

    rig.feed(FillSettled(account=rig.build.account, fill=fill.fill))
    for number in range(6, 9):
        rig.open(number)
        rig.feed(rig.event(OrderExpired, number))
    assert sorted(rig.executor._table.ended) == [7, 8]
    assert not rig.executor.ledger.state.fills.states


def test_a_finer_tick_cancels_what_is_off_the_grid(rig: Any) -> None:
    rig.rest([(4_800, 100)])
    finer = rig.build.binary(tick=1_000)
    assert cancelled(rig.feed(InstrumentListed(instrument=finer))) == [1]


def test_a_ledger_in_another_currency_is_refused(make_rig: Any, build: Any) -> None:
    rig = make_rig()
    with pytest.raises(BrokenInvariant, match="not EUR"):
        type(rig.executor)(
            account=build.account,
            mode=rig.executor.mode,
            currency="EUR",
            ledger=rig.executor.ledger,
            gate=rig.gate,
            settings=ExecutorSettings(),
        )


def test_cancels_come_before_places(pair: Any) -> None:
    pair.rest(BIDS)
    effects = pair.feed(
        pair.mark("venue:m2"), pair.quotes(BIDS, name="venue:m2"), pair.mark(), pair.quotes()
    )
    assert kinds(effects) == ["CancelOrders", "PlaceOrder"]


def test_the_same_messages_give_the_same_effects(make_rig: Any) -> None:
    def play() -> list[Any]:
        rig = make_rig()
        rig.rest(BIDS, ASKS)
        rig.quote([(4_700, 100)], [(5_300, 50)])
        rig.feed(rig.event(OrderCancelled, 1))
        rig.feed(rig.event(CancelRefused, 2), rig.event(CancelUnanswered, 1))
        rig.wait(1)
        return list(rig.effects)

    assert play() == play()
    assert any(isinstance(e, PlaceOrder) for e in play())


def test_news_of_an_untold_fill_has_the_fills_asked(rig: Any) -> None:
    effects = rig.feed(FillSettled(account=rig.build.account, fill=FillId("late")))
    assert "QueryFills" in kinds(effects)
