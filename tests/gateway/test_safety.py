from __future__ import annotations

import pytest

from engine.domain.effects import (
    CancelScope,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    RedeemTokens,
    Severity,
)
from engine.domain.events import (
    CancelUnanswered,
    OperationMoved,
    OperationState,
    OperationUnanswered,
    QueryFailed,
)
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.orders import OrderId
from engine.gateway import lanes as module
from engine.gateway.lanes import (
    AGE_NS_MAX,
    EVERYTHING,
    OPERATIONS_MAX,
    TOO_LATE,
    RequestOutbox,
    SafetyLane,
)

NOW = 10**18
MS = 1_000_000
SCOPE = CancelScope(bot=BotId("maker"))


class Lane:
    def __init__(self, build, **changes):
        self.outbox = RequestOutbox(build.account)
        self.lane = SafetyLane(build.account, build.settings(**changes), self.outbox)
        self.build = build

    def cancel(self, *numbers):
        for number in numbers:
            assert self.lane.cancel(OrderId(number))

    def pump(self, now_ns=NOW):
        return [request.effect for request in self.lane.pump(now_ns)]


def ask_fills(build, since_ns=0):
    return QueryFills(account=build.account, since_ns=since_ns)


def test_cancels_leave_in_batches_of_the_venues_size(build):
    lane = Lane(build, cancel_batch_max=2)
    lane.cancel(1, 2, 3)
    assert lane.pump() == [build.cancel(1, 2), build.cancel(3)]


def test_a_batch_is_never_larger_than_the_bucket(build):
    lane = Lane(build, cancel_batch_max=100, cancels_burst=3, cancels_per_s=1)
    lane.cancel(*range(7))
    assert lane.pump() == [build.cancel(0, 1, 2)]
    assert lane.lane.due_ns == NOW + 1_000 * MS
    assert lane.pump(NOW + 999 * MS) == []
    assert lane.pump(NOW + 1_000 * MS) == [build.cancel(3)]


def test_each_order_of_a_batch_takes_a_token_as_the_venue_counts(build):
    lane = Lane(build, cancels_burst=2, cancels_per_s=1)
    assert lane.lane.cancel_now(build.cancel(1, 2), NOW) is not None
    assert lane.lane.cancel_now(build.cancel(3), NOW) is None


@pytest.mark.parametrize("effect", [(), (1, 2, 3)])
def test_an_empty_or_too_large_cancel_is_not_sent_as_it_is(build, effect):
    assert Lane(build, cancel_batch_max=2).lane.cancel_now(build.cancel(*effect), NOW) is None


def test_the_same_order_is_cancelled_once(build):
    lane = Lane(build)
    lane.cancel(1, 1, 2, 1)
    assert lane.pump() == [build.cancel(1, 2)]


def test_cancels_go_before_questions(build):
    lane = Lane(build)
    question = QueryOpenOrders(account=build.account)
    lane.lane.query(question, NOW)
    lane.cancel(1)
    assert lane.pump() == [build.cancel(1), question]


def test_questions_nobody_answers_leave_half_of_the_slots_to_cancels(build):
    lane = Lane(build, safety_in_flight_max=4, cancel_batch_max=1)
    questions = [ask_fills(build, n) for n in range(5)]
    for question in questions:
        lane.lane.query(question, NOW)
    asked = lane.lane.pump(NOW)
    assert [request.effect for request in asked] == questions[:2]
    lane.cancel(1, 2, 3)
    assert lane.pump() == [build.cancel(1), build.cancel(2)]
    assert lane.lane.cancel_now(build.cancel(9), NOW) is None
    lane.lane.answer(build.reply(asked[0]), NOW)
    assert lane.pump() == [build.cancel(3)]


def test_the_same_question_twice_is_asked_once(build):
    lane = Lane(build)
    for _ in range(2):
        lane.lane.query(ask_fills(build), NOW)
    assert lane.pump() == [ask_fills(build)]


def test_questions_wait_for_their_own_bucket(build):
    lane = Lane(build, queries_burst=1, queries_per_s=2)
    lane.lane.query(ask_fills(build), NOW)
    lane.lane.query(QueryBalances(account=build.account), NOW)
    assert lane.pump() == [ask_fills(build)]
    assert lane.lane.due_ns == NOW + 500 * MS
    lane.cancel(1)
    assert lane.pump() == [build.cancel(1)]
    assert lane.pump(NOW + 500 * MS) == [QueryBalances(account=build.account)]


def test_a_full_queue_of_questions_fails_them_loudly(build):
    lane = Lane(build, queue_max=1)
    lane.lane.query(ask_fills(build), NOW)
    lane.lane.query(QueryOrder(account=build.account, order=OrderId(7)), NOW)
    lane.lane.query(QueryOpenOrders(account=build.account), NOW)
    reports = lane.outbox.take_reports()
    assert [(r.question, r.order) for r in reports] == [
        ("QueryOrder", 7),
        ("QueryOpenOrders", None),
    ]
    assert [alert.kind for alert in lane.outbox.take_alerts()] == ["query_queue"]


def test_throttled_cancels_and_questions_go_back_to_the_head_and_wait(build):
    lane = Lane(build)
    lane.cancel(1, 2)
    lane.lane.query(ask_fills(build), NOW)
    cancel, question = lane.lane.pump(NOW)
    lane.cancel(3)
    lane.lane.query(QueryBalances(account=build.account), NOW)
    lane.lane.answer(build.reply(cancel, after_ms=500), NOW)
    lane.lane.answer(build.reply(question, after_ms=100), NOW)
    assert lane.pump(NOW + 499 * MS) == []
    assert lane.lane.cancel_now(build.cancel(9), NOW + 499 * MS) is None
    assert lane.lane.due_ns == NOW + 500 * MS
    assert lane.pump(NOW + 500 * MS) == [
        build.cancel(1, 2, 3),
        ask_fills(build),
        QueryBalances(account=build.account),
    ]


def test_a_throttled_question_keeps_no_cancel_waiting(build):
    lane = Lane(build)
    lane.lane.query(ask_fills(build), NOW)
    (question,) = lane.lane.pump(NOW)
    lane.lane.answer(build.reply(question, after_ms=3_000), NOW)
    assert lane.lane.cancel_now(build.cancel(1), NOW) is not None
    lane.cancel(2)
    assert lane.pump(NOW) == [build.cancel(2)]
    assert lane.pump(NOW + 2_999 * MS) == []
    assert lane.pump(NOW + 3_000 * MS) == [ask_fills(build)]


@pytest.mark.parametrize("what", ["cancel", "cancel_all", "question"])
def test_no_hint_of_the_venue_holds_safety_for_long(build, what):
    """An hour is what a proxy may say, or a date by another clock."""
    lane, now = Lane(build), NOW
    if what == "cancel_all":
        request = lane.lane.cancel_all(SCOPE, now)
    else:
        lane.cancel(1) if what == "cancel" else lane.lane.query(ask_fills(build), NOW)
        (request,) = lane.lane.pump(now)
    lane.lane.answer(build.reply(request, after_ms=3_600_000), now)
    assert lane.pump(now + 9_999 * MS) == []
    assert lane.pump(now + 10_000 * MS) == [request.effect]


def test_unanswered_cancels_and_questions_are_reported(build):
    lane = Lane(build)
    lane.cancel(1, 2)
    lane.lane.query(QueryOrder(account=build.account, order=OrderId(7)), NOW)
    lane.pump()
    assert lane.lane.due_ns == NOW + 3_000 * MS
    lane.lane.expire(NOW + 3_000 * MS - 1)
    assert lane.outbox.take_reports() == []
    lane.lane.expire(NOW + 3_000 * MS)
    reports = lane.outbox.take_reports()
    assert reports[:2] == [
        CancelUnanswered(account=build.account, order=OrderId(n)) for n in (1, 2)
    ]
    assert isinstance(reports[2], QueryFailed)
    assert (reports[2].question, reports[2].order) == ("QueryOrder", 7)
    assert lane.lane.due_ns is None


def test_an_unanswered_cancel_all_is_sent_again_loudly(build):
    lane = Lane(build)
    lane.lane.cancel_all(SCOPE, NOW)
    lane.lane.expire(NOW + 3_000 * MS)
    assert lane.pump(NOW + 3_000 * MS) == [build.cancel_all(bot=BotId("maker"))]
    (alert,) = lane.outbox.take_alerts()
    assert (alert.severity, alert.kind) == (Severity.CRITICAL, "cancel_all_unanswered")


def test_a_throttled_cancel_all_waits_alone_and_holds_no_other_cancel(build):
    lane = Lane(build)
    request = lane.lane.cancel_all(SCOPE, NOW)
    lane.lane.answer(build.reply(request, after_ms=400), NOW)
    assert lane.lane.cancel_now(build.cancel(1), NOW) is not None
    assert lane.pump(NOW + 399 * MS) == []
    assert lane.lane.due_ns == NOW + 400 * MS
    assert lane.pump(NOW + 400 * MS) == [build.cancel_all(bot=BotId("maker"))]


def test_a_new_cancel_all_replaces_the_one_that_waits(build):
    lane = Lane(build)
    request = lane.lane.cancel_all(SCOPE, NOW)
    lane.lane.answer(build.reply(request, after_ms=400), NOW)
    lane.lane.cancel_all(SCOPE, NOW)
    assert lane.pump(NOW + 400 * MS) == []


def test_a_cancel_all_of_everything_covers_what_waited(build):
    lane = Lane(build)
    request = lane.lane.cancel_all(SCOPE, NOW)
    lane.lane.answer(build.reply(request, after_ms=400), NOW)
    lane.cancel(1, 2)
    lane.lane.cancel_all(EVERYTHING, NOW)
    assert lane.pump(NOW + 400 * MS) == []


def test_cancel_all_is_never_given_up_but_slows_down_and_asks_for_a_person(build, monkeypatch):
    monkeypatch.setattr(module, "CANCEL_ALL_TRIES_PATIENT", 3)
    lane, now = Lane(build), NOW
    lane.lane.cancel_all(SCOPE, now)
    for _ in range(2):
        now += 3_000 * MS
        lane.lane.expire(now)
        assert len(lane.pump(now)) == 1
    lane.outbox.take_alerts()
    for _ in range(5):
        now += 3_000 * MS
        lane.lane.expire(now)
        assert [alert.kind for alert in lane.outbox.take_alerts()] == ["cancel_all_stuck"]
        assert lane.pump(now + 9_999 * MS) == []
        now += 10_000 * MS
        assert lane.lane.due_ns == now
        assert lane.pump(now) == [build.cancel_all(bot=BotId("maker"))]


def test_waiting_scopes_are_bounded_and_collapse_into_everything(build, monkeypatch):
    monkeypatch.setattr(module, "CANCEL_ALL_WAITING_MAX", 2)
    lane = Lane(build)
    for name in ("a", "b", "c"):
        request = lane.lane.cancel_all(CancelScope(bot=BotId(name)), NOW)
        lane.lane.answer(build.reply(request, after_ms=1), NOW)
    assert lane.pump(NOW + MS) == [build.cancel_all()]


def test_a_late_answer_changes_nothing(build):
    lane = Lane(build)
    lane.cancel(1)
    (request,) = lane.lane.pump(NOW)
    lane.lane.expire(NOW + 3_000 * MS)
    lane.lane.answer(build.reply(request, after_ms=1), NOW + 4_000 * MS)
    assert lane.pump(NOW + 5_000 * MS) == []


def test_without_a_free_slot_only_an_answer_or_a_timeout_is_due(build):
    lane = Lane(build, safety_in_flight_max=2, cancel_batch_max=1)
    lane.cancel(1, 2, 3)
    lane.lane.query(ask_fills(build), NOW)
    assert len(lane.pump()) == 2
    assert lane.lane.due_ns == NOW + 3_000 * MS


def redeem(build, number):
    key = InstrumentId("venue:m1")
    return RedeemTokens(account=build.account, operation=number, instrument=key)


def failed(build, number):
    return OperationMoved(
        account=build.account, operation=number, state=OperationState.FAILED, reason=TOO_LATE
    )


def test_an_operation_of_before_a_sleep_of_the_machine_never_leaves(build):
    lane = Lane(build, safety_in_flight_max=2)
    lane.lane.query(ask_fills(build), NOW)
    assert len(lane.pump()) == 1
    woken = NOW + AGE_NS_MAX + 1
    lane.lane.query(redeem(build, 1), NOW)
    lane.lane.query(QueryBalances(account=build.account), NOW)
    lane.lane.query(redeem(build, 2), NOW + 1)
    lane.lane.expire(woken)

    assert lane.pump(woken) == [QueryBalances(account=build.account)]
    assert lane.outbox.take_reports()[1:] == [failed(build, 1)]
    lane.lane.expire(woken + 3_000 * MS)
    assert lane.pump(woken + 3_000 * MS) == []
    assert lane.outbox.take_reports()[1:] == [failed(build, 2)]


def test_an_operation_may_leave_the_queue_as_long_as_it_is_not_old(build):
    lane = Lane(build)
    lane.lane.query(redeem(build, 1), NOW)
    assert lane.pump(NOW + AGE_NS_MAX) == [redeem(build, 1)]


def test_an_operation_without_an_answer_may_have_been_taken(build):
    lane = Lane(build)
    lane.lane.query(redeem(build, 1), NOW)
    assert lane.pump(NOW) == [redeem(build, 1)]
    lane.lane.expire(NOW + AGE_NS_MAX + 1)
    (report,) = lane.outbox.take_reports()
    assert type(report) is OperationUnanswered


def test_times_of_decision_are_bounded(build):
    lane = Lane(build, queue_max=2 * OPERATIONS_MAX)
    for number in range(OPERATIONS_MAX + 1):
        lane.lane.query(redeem(build, number), NOW)
    late = NOW + AGE_NS_MAX + 1
    assert [lane.lane.veto(redeem(build, n), late) for n in (0, 1)] == ["", TOO_LATE]
