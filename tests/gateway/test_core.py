"""The two lanes together: what goes first, what waits, what is dropped, what follows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.effects import (
    CancelAll,
    CancelOrders,
    CancelScope,
    PlaceOrder,
    QueryOpenOrders,
    SetTimer,
    Severity,
)
from engine.domain.events import (
    CancelUnanswered,
    LatchReleased,
    LatchSet,
    OpenOrdersListed,
    OrderAccepted,
    OrderNotSent,
    OrderUnanswered,
    QueryFailed,
    VenueMode,
)
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.orders import OrderId
from engine.errors import BrokenInvariant
from engine.gateway.core import GatewayCore, GatewaySettings
from engine.gateway.door import Reply

NOW = 10**18
MS = 1_000_000
SET = LatchSet(who="anna", reason="stop")
RELEASED = LatchReleased(who="anna", reason="checked")


def core_of(build, latched=False, **changes):
    return GatewayCore(account=build.account, settings=build.settings(**changes), latched=latched)


def placed(core, build, *numbers, now_ns=NOW, **changes):
    requests = []
    for number in numbers:
        requests += core.receive(build.place(number, **changes), now_ns)
    return requests


def orders_of(requests):
    return [request.effect.order.id for request in requests]


def not_sent(core):
    reports = core.take_reports()
    assert {type(report) for report in reports} <= {OrderNotSent}
    return [report.order for report in reports]


# -- places ----------------------------------------------------------------------------------------


def test_a_place_leaves_at_once_in_its_lane(build):
    (request,) = core_of(build).receive(build.place(1), NOW)
    assert (request.number, request.effect) == (1, build.place(1))


def test_places_in_flight_are_limited_and_an_answer_frees_the_next_in_order(build):
    core = core_of(build, places_in_flight_max=2)
    sent = placed(core, build, 1, 2, 3, 4)
    assert orders_of(sent) == [1, 2]
    assert orders_of(core.receive(build.reply(sent[1]), NOW)) == [3]
    assert core.take_reports() == []


def test_places_wait_for_the_bucket_and_leave_when_it_is_due(build):
    core = core_of(build, places_per_s=10, places_burst=1)
    assert orders_of(placed(core, build, 1, 2)) == [1]
    assert core.due_ns == NOW + 100 * MS
    assert core.advance(NOW + 100 * MS - 1) == []
    assert orders_of(core.advance(NOW + 100 * MS)) == [2]


def test_an_unanswered_place_is_reported_and_never_sent_again(build):
    core = core_of(build, places_in_flight_max=1)
    placed(core, build, 1, 2)
    assert core.due_ns == NOW + 5_000 * MS
    assert core.advance(NOW + 5_000 * MS - 1) == []
    assert orders_of(core.advance(NOW + 5_000 * MS)) == [2]  # its slot is free
    (report,) = core.take_reports()
    assert isinstance(report, OrderUnanswered)
    assert report.order == 1
    assert core.receive(Reply(number=1, retry_after_ns=MS), NOW + 6_000 * MS) == []
    assert orders_of(core.advance(NOW + 20_000 * MS)) == []


def test_a_throttled_place_goes_back_to_the_head_and_the_lane_waits(build):
    core = core_of(build, places_in_flight_max=2)
    first, second = placed(core, build, 1, 2, 3)
    assert core.receive(build.reply(second, after_ms=500), NOW) == []
    assert core.receive(build.reply(first, after_ms=300), NOW) == []
    assert core.due_ns == NOW + 500 * MS
    sent = core.advance(NOW + 500 * MS)
    assert orders_of(sent) == [1, 2]
    assert orders_of(core.receive(build.reply(sent[0]), NOW + 600 * MS)) == [3]


def test_placing_an_order_twice_is_a_bug(build):
    core = core_of(build, places_in_flight_max=1)
    placed(core, build, 1, 2)
    for number in (1, 2):
        with pytest.raises(BrokenInvariant, match="twice"):
            core.receive(build.place(number), NOW)


def test_a_full_queue_halts_placing_loudly_until_it_is_empty(build):
    core = core_of(build, places_in_flight_max=1, queue_max=2)
    (first,) = placed(core, build, 1, 2, 3, 4)
    assert not_sent(core) == [4]
    (alert,) = core.take_alerts()
    assert (alert.severity, alert.kind) == (Severity.CRITICAL, "place_queue")
    (second,) = core.receive(build.reply(first), NOW)
    placed(core, build, 5)
    assert not_sent(core) == [5]  # there is room, but two that waited go first
    (third,) = core.receive(build.reply(second), NOW)
    assert [alert.severity for alert in core.take_alerts()] == [Severity.INFO]
    core.receive(build.reply(third), NOW)
    assert orders_of(placed(core, build, 6)) == [6]


# -- cancels ---------------------------------------------------------------------------------------


def test_cancelling_a_queued_place_drops_it_instead_of_sending(build):
    core = core_of(build, places_in_flight_max=1)
    placed(core, build, 1, 2)
    assert core.receive(build.cancel(2), NOW) == []
    assert not_sent(core) == [2]


def test_a_cancel_for_some_queued_and_some_sent_sends_only_the_rest(build):
    core = core_of(build, places_in_flight_max=1)
    placed(core, build, 1, 2)
    (request,) = core.receive(build.cancel(2, 1), NOW)
    assert request.effect == build.cancel(1)
    assert not_sent(core) == [2]


def test_cancels_never_wait_for_places(build):
    core = core_of(build, places_in_flight_max=1, places_burst=1, places_per_s=1)
    (place,) = placed(core, build, 1, 2, 3)
    core.receive(build.reply(place, after_ms=60_000), NOW)
    (cancel,) = core.receive(build.cancel(77), NOW)
    assert cancel.effect == build.cancel(77)


def test_a_place_throttled_after_its_cancel_was_asked_is_dropped(build):
    core = core_of(build)
    (place,) = placed(core, build, 1)
    core.receive(build.cancel(1), NOW)
    assert core.receive(build.reply(place, after_ms=10), NOW) == []
    assert not_sent(core) == [1]
    assert core.advance(NOW + 10 * MS) == []


def test_a_full_cancel_queue_collapses_into_one_cancel_all(build):
    core = core_of(build, cancels_burst=1, cancels_per_s=1, queue_max=2, places_in_flight_max=1)
    (flying,) = placed(core, build, 8, 9)
    (first,) = core.receive(build.cancel(1), NOW)
    assert core.receive(build.cancel(2, 3), NOW) == []
    (all_of_it,) = core.receive(build.cancel(4), NOW)
    assert first.effect == build.cancel(1)
    assert all_of_it.effect == build.cancel_all()
    assert not_sent(core) == [9]
    assert [alert.kind for alert in core.take_alerts()] == ["cancel_queue"]
    (second,) = core.receive(build.reply(flying), NOW)
    assert second.effect == build.cancel_all()


# -- CANCEL_ALL ------------------------------------------------------------------------------------


def test_cancel_all_needs_no_token_no_slot_and_no_wait(build):
    core = core_of(build, cancels_burst=1, cancels_per_s=1, safety_in_flight_max=2)
    (cancel,) = core.receive(build.cancel(1), NOW)
    core.receive(build.reply(cancel, after_ms=60_000), NOW)
    for _ in range(50):
        (request,) = core.receive(build.cancel_all(), NOW)
        assert request.effect == build.cancel_all()


@pytest.mark.parametrize(
    ("scope", "dropped"),
    [
        ({}, [2, 3, 4]),
        ({"instrument": InstrumentId("venue:m2")}, [3, 4]),
        ({"bot": BotId("taker")}, [4]),
        ({"instrument": InstrumentId("venue:m1"), "bot": BotId("taker")}, []),
        ({"instrument": InstrumentId("venue:m2"), "bot": BotId("maker")}, [3]),
    ],
)
def test_cancel_all_drops_exactly_the_queued_places_of_its_scope(build, scope, dropped):
    core = core_of(build, places_in_flight_max=1)
    (first,) = placed(core, build, 1, 2)
    placed(core, build, 3, instrument=InstrumentId("venue:m2"))
    placed(core, build, 4, instrument=InstrumentId("venue:m2"), bot=BotId("taker"))
    requests = core.receive(build.cancel_all(**scope), NOW)
    assert [request.effect for request in requests] == [build.cancel_all(**scope)]
    assert not_sent(core) == dropped
    follow = core.receive(build.reply(first), NOW)
    left = [number for number in (2, 3, 4) if number not in dropped]
    places = [r for r in follow if isinstance(r.effect, PlaceOrder)]
    assert orders_of(places) == left[:1]


def test_a_place_in_flight_gets_a_second_cancel_all_when_it_answers(build):
    core = core_of(build)
    first, second = placed(core, build, 1, 2)
    core.receive(build.cancel_all(), NOW)
    accepted = OrderAccepted(account=build.account, order=OrderId(1))
    (again,) = core.receive(build.reply(first, accepted), NOW)
    assert again.effect == build.cancel_all()
    (again,) = core.receive(build.reply(second), NOW)
    assert again.effect == build.cancel_all()
    assert core.receive(build.reply(again), NOW) == []


def test_a_place_in_flight_gets_a_second_cancel_all_when_it_times_out_and_when_it_answers_late(
    build,
):
    core = core_of(build, safety_timeout_ms=60_000)
    (place,) = placed(core, build, 1)
    core.receive(build.cancel_all(bot=BotId("maker")), NOW)
    (again,) = core.advance(NOW + 5_000 * MS)
    assert again.effect == build.cancel_all(bot=BotId("maker"))
    assert [type(report) for report in core.take_reports()] == [OrderUnanswered]
    (late,) = core.receive(build.reply(place), NOW + 9_000 * MS)
    assert late.effect == build.cancel_all(bot=BotId("maker"))


def test_a_cancel_all_after_the_timeout_still_follows_the_late_answer(build):
    core = core_of(build, safety_timeout_ms=60_000)
    (place,) = placed(core, build, 1)
    core.advance(NOW + 5_000 * MS)
    core.receive(build.cancel_all(), NOW + 6_000 * MS)
    (late,) = core.receive(build.reply(place), NOW + 9_000 * MS)
    assert late.effect == build.cancel_all()


def test_no_second_cancel_all_for_places_outside_the_scope_or_sent_later(build):
    core = core_of(build)
    (outside,) = placed(core, build, 1, instrument=InstrumentId("venue:m2"))
    core.receive(build.cancel_all(instrument=InstrumentId("venue:m1")), NOW)
    (later,) = placed(core, build, 2)
    assert core.receive(build.reply(outside), NOW) == []
    assert core.receive(build.reply(later), NOW) == []


def test_a_throttled_place_of_a_cancelled_scope_is_dropped_not_sent_again(build):
    core = core_of(build)
    (place,) = placed(core, build, 1)
    core.receive(build.cancel_all(), NOW)
    (again,) = core.receive(build.reply(place, after_ms=10), NOW)
    assert isinstance(again.effect, CancelAll)
    assert not_sent(core) == [1]
    assert [r for r in core.advance(NOW + 10 * MS) if isinstance(r.effect, PlaceOrder)] == []


def test_the_same_scope_twice_is_followed_once(build):
    core = core_of(build)
    (place,) = placed(core, build, 1)
    core.receive(build.cancel_all(), NOW)
    core.receive(build.cancel_all(), NOW)
    assert len(core.receive(build.reply(place), NOW)) == 1


# -- the veto --------------------------------------------------------------------------------------


def test_no_place_passes_the_latch_and_cancels_do(build):
    core = core_of(build, places_in_flight_max=1)
    (first,) = placed(core, build, 1, 2, 3)
    assert core.receive(SET, NOW) == []
    assert not_sent(core) == [2, 3]
    assert placed(core, build, 4) == []
    assert not_sent(core) == [4]
    assert len(core.receive(build.cancel(1), NOW)) == 1
    assert len(core.receive(build.cancel_all(), NOW)) == 1
    core.receive(build.reply(first), NOW)
    core.receive(RELEASED, NOW)
    assert orders_of(placed(core, build, 5)) == [5]


def test_a_gateway_may_start_latched(build):
    core = core_of(build, latched=True)
    assert placed(core, build, 1) == []
    assert not_sent(core) == [1]
    core.receive(RELEASED, NOW)
    assert orders_of(placed(core, build, 2)) == [2]


def test_a_place_throttled_under_the_latch_is_dropped(build):
    core = core_of(build)
    (place,) = placed(core, build, 1)
    core.receive(SET, NOW)
    assert core.receive(build.reply(place, after_ms=1), NOW) == []
    assert not_sent(core) == [1]


@pytest.mark.parametrize("mode", [VenueMode.CANCEL_ONLY, VenueMode.RESTARTING, VenueMode.DISABLED])
def test_a_closed_venue_drops_places_and_lets_cancels_through(build, mode):
    core = core_of(build, places_in_flight_max=1)
    placed(core, build, 1, 2)
    core.receive(build.mode(mode), NOW)
    placed(core, build, 3)
    assert not_sent(core) == [2, 3]
    assert len(core.receive(build.cancel(1), NOW)) == 1
    core.receive(build.mode(VenueMode.OPEN), NOW)
    placed(core, build, 4)
    assert core.take_reports() == []


def test_a_post_only_venue_takes_only_post_only_orders(build):
    core = core_of(build, places_in_flight_max=1)
    (first,) = placed(core, build, 1, 2)
    placed(core, build, 3, post_only=False)
    core.receive(build.mode(VenueMode.POST_ONLY), NOW)
    assert not_sent(core) == [3]
    placed(core, build, 4, post_only=False)
    assert not_sent(core) == [4]
    assert orders_of(core.receive(build.reply(first), NOW)) == [2]


def test_the_venues_mode_is_also_learned_from_replies(build):
    core = core_of(build)
    (first,) = placed(core, build, 1)
    core.receive(build.reply(first, build.mode(VenueMode.CANCEL_ONLY)), NOW)
    placed(core, build, 2)
    assert not_sent(core) == [2]


def test_a_request_that_has_not_left_yet_is_vetoed_by_what_came_between(build):
    core = core_of(build, safety_timeout_ms=60_000)
    one, two, three, four = placed(core, build, 1, 2, 3, 4)
    assert core.veto(one, NOW) == ""
    core.receive(build.cancel(1), NOW)
    assert "cancelled" in core.veto(one, NOW)
    core.receive(build.mode(VenueMode.CANCEL_ONLY), NOW)
    assert "cancel_only" in core.veto(two, NOW)
    core.receive(SET, NOW)
    assert "latch" in core.veto(three, NOW)
    core.receive(build.cancel_all(), NOW)
    assert "cancelled" in core.veto(three, NOW)
    core.advance(NOW + 5_000 * MS)
    assert "given up" in core.veto(four, NOW)
    (cancel,) = core.receive(build.cancel_all(), NOW)
    assert core.veto(cancel, NOW) == ""


def test_a_place_held_up_past_its_time_does_not_leave(build):
    core = core_of(build)
    (place,) = placed(core, build, 1)
    assert core.veto(place, NOW + 5_000 * MS - 1) == ""
    assert "time was over" in core.veto(place, NOW + 5_000 * MS)


# -- the door --------------------------------------------------------------------------------------


def test_effects_that_are_no_requests_are_not_accepted(build):
    core = core_of(build)
    timer = SetTimer(at_ns=1, name="x")
    with pytest.raises(BrokenInvariant, match="SetTimer is not a request"):
        core.receive(timer, NOW)


def test_messages_of_another_account_and_replies_nobody_asked_for_are_bugs(build):
    core = core_of(build)
    other = AccountId("live:two")
    for effect in (
        CancelOrders(account=other, orders=()),
        CancelAll(account=other, scope=CancelScope()),
        QueryOpenOrders(account=other),
    ):
        with pytest.raises(BrokenInvariant, match="live:two"):
            core.receive(effect, NOW)
    with pytest.raises(BrokenInvariant, match="astray"):
        core.receive(build.place(1, account=other), NOW)
    for number in (0, 1):
        with pytest.raises(BrokenInvariant, match="never made"):
            core.receive(Reply(number=number), NOW)


def test_questions_leave_in_the_safety_lane(build):
    question = QueryOpenOrders(account=build.account)
    (request,) = core_of(build).receive(question, NOW)
    assert request.effect == question


def test_an_idle_gateway_is_never_due(build):
    core = core_of(build)
    assert core.due_ns is None
    (place,) = placed(core, build, 1)
    (cancel,) = core.receive(build.cancel(7), NOW)
    assert core.due_ns == NOW + 3_000 * MS
    core.receive(build.reply(cancel), NOW)
    assert core.due_ns == NOW + 5_000 * MS
    core.receive(build.reply(place), NOW)
    assert core.due_ns is None
    assert core.advance(NOW) == []


actions = st.lists(
    st.tuples(
        st.sampled_from(["place", "cancel", "all", "reply", "throttle", "wait", "latch", "free"]),
        st.integers(0, 30),
    ),
    max_size=80,
)


@pytest.mark.long
@given(actions)
@settings(max_examples=200, deadline=None)
def test_every_place_is_sent_once_or_reported_and_nothing_passes_the_latch(build, actions):
    core = GatewayCore(
        account=build.account,
        settings=GatewaySettings(
            places_in_flight_max=2,
            places_per_s=5,
            places_burst=2,
            cancels_per_s=5,
            cancels_burst=3,
            cancel_batch_max=2,
            queue_max=4,
            place_timeout_ms=700,
            safety_timeout_ms=900,
        ),
    )
    now, asked, latched = NOW, 0, False
    open_requests, given = {}, {}
    ended: dict[int, str] = {}

    def take(requests):
        for request in requests:
            assert request.number not in open_requests
            open_requests[request.number] = request
            if isinstance(request.effect, PlaceOrder):
                order = request.effect.order.id
                assert not latched
                assert order not in ended  # reported as not sent or unanswered: never sent
                assert order not in given  # in flight or answered: never sent again
                given[order] = request.number
        for report in core.take_reports():
            if isinstance(report, OrderNotSent | OrderUnanswered):
                assert report.order not in ended
                ended[report.order] = type(report).__name__
            else:
                assert isinstance(report, CancelUnanswered | QueryFailed)

    for what, argument in actions:
        if what == "place":
            asked += 1
            take(core.receive(build.place(asked), now))
        elif what == "cancel":
            take(core.receive(build.cancel(argument, argument + 1), now))
        elif what == "all":
            requests = core.receive(build.cancel_all(), now)
            assert requests[0].effect == build.cancel_all()
            take(requests)
        elif what in {"reply", "throttle"} and open_requests:
            number = sorted(open_requests)[argument % len(open_requests)]
            request = open_requests.pop(number)
            if isinstance(request.effect, PlaceOrder):
                order = request.effect.order.id
                if what == "throttle" and order not in ended:
                    del given[order]  # untouched at the venue: it may be sent again
            after_ms = 200 if what == "throttle" else 0
            take(core.receive(build.reply(request, after_ms=after_ms), now))
        elif what == "wait":
            now += argument * 50 * MS
            take(core.advance(now))
        elif what in {"latch", "free"}:
            latched = what == "latch"
            take(core.receive(SET if latched else RELEASED, now))
        due = core.due_ns
        if due is not None and due <= now:
            take(core.advance(now))
            assert core.due_ns is None or core.due_ns > now  # nothing that is due stays undone
    queued = set(core._places.queue)
    assert set(range(1, asked + 1)) == set(given) | set(ended) | queued
    assert not queued & set(ended)


def test_an_answer_carries_the_number_of_its_question_and_a_late_one_none(build) -> None:
    core = core_of(build)
    (request,) = core.receive(QueryOpenOrders(account=build.account, number=7), NOW)
    reply = Reply(
        number=request.number, events=(OpenOrdersListed(account=build.account, orders=()),)
    )
    assert [event.answers for event in core.answers(reply)] == [7]
    due_ns = core.due_ns
    assert due_ns is not None
    core.advance(due_ns)
    (failed,) = core.take_reports()
    assert (type(failed), failed.answers) == (QueryFailed, 7)
    assert [event.answers for event in core.answers(reply)] == [0]


def test_a_question_asked_anew_takes_the_place_of_the_one_that_waits(build) -> None:
    core = core_of(build, queries_per_s=1, queries_burst=1)
    core.receive(QueryOpenOrders(account=build.account, number=1), NOW)
    for number in (2, 3):
        assert core.receive(QueryOpenOrders(account=build.account, number=number), NOW) == []
    left = [request.effect.number for request in core.advance(NOW + 5_000 * MS)]
    assert left == [3]
