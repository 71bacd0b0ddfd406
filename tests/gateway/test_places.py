"""What only the lane itself shows; its dealings with the other lane are in `test_core`."""

from __future__ import annotations

from engine.domain.effects import CancelScope
from engine.domain.events import OrderNotSent, VenueMode
from engine.domain.instruments import BotId
from engine.domain.modes import BELIEVED_NS
from engine.domain.orders import OrderId
from engine.gateway import core as module
from engine.gateway.core import PlacesLane
from engine.gateway.lanes import AGE_NS_MAX, RequestOutbox

NOW = 10**18
MS = 1_000_000


def lane_of(build, **changes):
    outbox = RequestOutbox(build.account)
    return PlacesLane(build.account, build.settings(**changes), outbox, latched=False), outbox


def test_dropping_tells_whether_the_place_was_still_here(build):
    lane, outbox = lane_of(build, places_in_flight_max=1)
    lane.place(build.place(1), NOW)
    lane.place(build.place(2), NOW)
    assert [lane.drop(OrderId(number)) for number in (1, 2, 3)] == [False, True, False]
    assert [report.reason for report in outbox.take_reports()] == ["cancelled before it was sent"]


def test_without_a_free_slot_only_the_timeout_is_due(build):
    lane, _ = lane_of(build, places_in_flight_max=1)
    lane.place(build.place(1), NOW)
    lane.place(build.place(2), NOW)
    assert lane.due_ns == NOW + 5_000 * MS


def test_a_queue_behind_the_bucket_is_due_before_the_timeout(build):
    lane, _ = lane_of(build, places_burst=1, places_per_s=1)
    lane.place(build.place(1), NOW)
    lane.place(build.place(2), NOW)
    assert lane.due_ns == NOW + 1_000 * MS


def test_every_reason_why_nothing_leaves_is_said(build):
    lane, outbox = lane_of(build)
    lane.mode(build.mode(VenueMode.RESTARTING), NOW)
    lane.place(build.place(1), NOW)
    lane.latch(latched=True)
    lane.place(build.place(2), NOW)
    lane.latch(latched=False)
    lane.mode(build.mode(VenueMode.POST_ONLY), NOW)
    lane.place(build.place(3, post_only=False), NOW)
    reports = outbox.take_reports()
    assert all(isinstance(report, OrderNotSent) for report in reports)
    assert [report.reason for report in reports] == [
        "the venue is restarting",
        "the KILL latch is set",
        "the venue takes only post-only orders",
    ]


def test_late_places_are_remembered_up_to_a_bound(build, monkeypatch):
    monkeypatch.setattr(module, "LATE_MAX", 2)
    lane, _ = lane_of(build)
    requests = [lane.place(build.place(number), NOW)[0] for number in range(3)]
    lane.expire(NOW + 5_000 * MS)
    lane.drop_scope(CancelScope(bot=BotId("maker")))
    assert not lane.answer(build.reply(requests[0]), NOW)
    assert lane.answer(build.reply(requests[1]), NOW)
    assert lane.followups == [CancelScope(bot=BotId("maker"))]


def test_a_halt_ends_when_the_queue_was_emptied_by_drops(build):
    lane, outbox = lane_of(build, places_in_flight_max=1, queue_max=1)
    for number in (1, 2, 3):
        lane.place(build.place(number), NOW)
    assert lane.queue
    lane.drop(OrderId(2))
    assert not lane.queue
    assert lane.halt
    assert lane.pump(NOW) == []
    assert not lane.halt
    lane.place(build.place(4), NOW)
    assert [report.order for report in outbox.take_reports()] == [3, 2]


def test_a_scope_is_cancelled_again_when_its_place_in_flight_times_out(build):
    lane, _ = lane_of(build, places_in_flight_max=1)
    lane.place(build.place(1), NOW)
    lane.place(build.place(2), NOW)
    assert list(lane.queue) == [2]
    lane.drop_scope(CancelScope())
    assert not lane.queue
    assert not lane.followups
    lane.expire(NOW + 6_000 * MS)
    assert lane.followups == [CancelScope()]


def test_a_closure_that_is_old_news_is_tried_one_place_at_a_time(build):
    lane, outbox = lane_of(build)
    lane.mode(build.mode(VenueMode.DISABLED), NOW)
    assert lane.place(build.place(1), NOW + BELIEVED_NS - 1) == []
    assert len(outbox.take_reports()) == 1
    (probe,) = lane.place(build.place(2), NOW + BELIEVED_NS)
    assert lane.place(build.place(3), NOW + BELIEVED_NS) == []
    assert lane.place(build.place(4, post_only=False), NOW + BELIEVED_NS) == []
    assert len(outbox.take_reports()) == 1
    assert lane.answer(build.reply(probe), NOW + BELIEVED_NS)
    assert [request.effect.order.id for request in lane.pump(NOW + BELIEVED_NS)] == [3]


def test_a_refused_knock_closes_the_venue_anew(build):
    lane, outbox = lane_of(build)
    lane.mode(build.mode(VenueMode.CANCEL_ONLY), NOW)
    later = NOW + BELIEVED_NS
    (probe,) = lane.place(build.place(1), later)
    lane.place(build.place(2), later)
    assert lane.answer(build.reply(probe), later)
    lane.mode(build.mode(VenueMode.CANCEL_ONLY), later)
    assert lane.pump(later) == []
    assert lane.place(build.place(3), later + BELIEVED_NS - 1) == []
    assert len(outbox.take_reports()) == 2


def test_a_queued_place_of_before_a_sleep_of_the_machine_never_leaves(build):
    lane, outbox = lane_of(build, places_in_flight_max=1)
    for number in (1, 2, 3):
        lane.place(build.place(number), NOW)
    woken = NOW + AGE_NS_MAX + 1
    lane.place(build.place(4, created_ns=woken), woken)
    lane.expire(woken)

    assert [request.effect.order.id for request in lane.pump(woken)] == [4]
    assert [report.order for report in outbox.take_reports()] == [1, 2, 3]


def test_a_place_may_leave_the_queue_as_long_as_its_order_is_not_old(build):
    lane, _ = lane_of(build, places_in_flight_max=1)
    (first,) = lane.place(build.place(1), NOW)
    lane.place(build.place(2), NOW)
    late = NOW + AGE_NS_MAX
    lane.answer(build.reply(first), late)

    assert [request.effect.order.id for request in lane.pump(late)] == [2]
