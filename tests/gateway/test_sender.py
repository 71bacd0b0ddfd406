from __future__ import annotations

import asyncio

import pytest

from engine.domain.effects import QueryOpenOrders, RedeemTokens
from engine.domain.events import (
    HealthChanged,
    LatchReleased,
    LatchSet,
    ModeChanged,
    OpenOrdersListed,
    OperationMoved,
    OperationNamed,
    OperationState,
    OrderAccepted,
    OrderCancelled,
    OrderNamed,
    OrderNotSent,
    OrderUnanswered,
    VenueMode,
)
from engine.domain.instruments import InstrumentId
from engine.domain.orders import Identity, OperationName, OrderId
from engine.errors import (
    AuthRefused,
    BadInput,
    BrokenInvariant,
    NotSent,
    OutcomeUnknown,
    StorageError,
    Throttled,
    VenueClosed,
    VenueDown,
)
from engine.gateway import sender as module
from engine.gateway.core import GatewayCore
from engine.gateway.lanes import AGE_NS_MAX, TOO_LATE
from engine.gateway.sender import Sender
from tests.clocks import ManualClock
from tests.gateway.conftest import FakeVenue

NOW = 10**18
MS = 1_000_000


class Desk:
    """A sender between a fake venue and lists of what it told; the journal waits where asked."""

    def __init__(self, build, venue, **settings):
        self.build = build
        self.venue = venue
        self.clock = ManualClock(NOW)
        self.events = []
        self.alerts = []
        self.crashes = []
        self.answers = []
        self.journal = asyncio.Event()
        self.journal.set()
        self.journal_error: Exception | None = None
        core = GatewayCore(account=build.account, settings=build.settings(**settings))
        self.sender = Sender(
            core=core,
            venue=venue,
            clock=self.clock,
            report=self.events.append,
            durable=self._durable,
            alert=self.alerts.append,
            identity=lambda order: Identity(f"0x{order}"),
            crash=self.crashes.append,
            answered=lambda took_ns, _: self.answers.append(took_ns),
        )

    async def _durable(self):
        await self.journal.wait()
        if self.journal_error is not None:
            raise self.journal_error

    def place(self, *numbers):
        for number in numbers:
            self.sender.take(self.build.place(number))

    def kinds(self):
        """Give (type, order) of what was reported since the last look."""
        kinds = [(type(event), getattr(event, "order", None)) for event in self.events]
        self.events.clear()
        return kinds

    def accepted(self, number):
        return [OrderAccepted(account=self.build.account, order=OrderId(number))]

    async def breathe(self):
        """Let everything run that can run without the venue or the journal."""
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def desk(build, venue):
    return Desk(build, venue)


async def test_an_order_is_named_and_durable_before_its_first_byte(desk, venue):
    desk.journal.clear()
    desk.place(1)
    await desk.breathe()
    assert desk.kinds() == [(OrderNamed, 1)]
    assert venue.calls == []
    desk.journal.set()
    prepared = await venue.answer("send", desk.accepted(1))
    await desk.sender.drain()
    assert prepared.payload == b"bytes"
    assert desk.kinds() == [(OrderAccepted, 1)]
    assert desk.sender.due_ns is None


async def test_the_time_to_an_answer_runs_from_the_first_byte(desk, venue):
    desk.journal.clear()
    desk.place(1)
    await desk.breathe()
    desk.clock.advance(500 * MS)  # the journal's, not the venue's
    desk.journal.set()
    await desk.breathe()
    desk.clock.advance(40 * MS)
    await venue.answer("send", desk.accepted(1))
    await desk.sender.drain()
    desk.place(2)
    await desk.breathe()
    desk.clock.advance(9_000 * MS)
    await venue.answer("send", OutcomeUnknown("cut"))
    await desk.sender.drain()
    assert desk.answers == [40 * MS, 9_000 * MS]


async def test_cancels_and_cancel_all_never_wait_for_storage(build, desk, venue):
    desk.journal.clear()
    desk.place(1)
    desk.sender.take(build.cancel(7))
    desk.sender.take(build.cancel_all())
    cancelled = OrderCancelled(account=build.account, order=OrderId(7))
    await venue.answer("cancel", [cancelled])
    await venue.answer("cancel_all", [])
    await desk.breathe()
    assert desk.kinds() == [(OrderNamed, 1), (OrderCancelled, 7)]


@pytest.mark.parametrize("between", ["latch", "cancel_all", "cancel", "mode"])
async def test_what_came_while_the_journal_was_busy_stops_the_order(build, desk, venue, between):
    desk.journal.clear()
    desk.place(1)
    await desk.breathe()
    desk.sender.take(
        {
            "latch": LatchSet(who="anna", reason="stop"),
            "cancel_all": build.cancel_all(),
            "cancel": build.cancel(1),
            "mode": build.mode(VenueMode.RESTARTING),
        }[between]
    )
    desk.journal.set()
    await desk.breathe()
    assert desk.kinds() == [(OrderNamed, 1), (OrderNotSent, 1)]
    assert [call[0] for call in venue.calls if call[0] == "send"] == []


async def test_an_order_given_up_while_the_journal_was_busy_never_leaves(desk, venue):
    desk.journal.clear()
    desk.place(1)
    await desk.breathe()
    desk.clock.advance(5_000 * MS)
    desk.sender.advance()
    assert desk.kinds() == [(OrderNamed, 1), (OrderUnanswered, 1)]
    desk.journal.set()
    await desk.sender.drain()
    assert desk.kinds() == [(OrderNotSent, 1)]
    assert venue.calls == []


async def test_an_order_whose_commit_came_back_after_its_time_never_leaves(desk, venue):
    """The loop stood still: nobody had the chance to give it up before the commit came back."""
    desk.journal.clear()
    desk.place(1)
    await desk.breathe()
    desk.clock.advance(5_000 * MS)
    desk.journal.set()
    await desk.sender.drain()
    assert desk.events[-1].reason == "its time was over before it left"
    assert desk.kinds() == [(OrderNamed, 1), (OrderNotSent, 1)]
    assert venue.calls == []


async def test_a_journal_that_refuses_lets_nothing_leave(desk, venue):
    desk.journal_error = StorageError("disk full")
    desk.place(1)
    await desk.sender.drain()
    assert desk.events[-1].reason == "the journal refused: disk full"
    assert desk.kinds() == [(OrderNamed, 1), (OrderNotSent, 1)]
    assert venue.calls == []


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NotSent("no route"), OrderNotSent),
        (OutcomeUnknown("reset"), OrderUnanswered),
        (BadInput("half an answer"), OrderUnanswered),
        (TimeoutError("slow"), OrderUnanswered),
        (KeyError("a bug of the adapter"), OrderUnanswered),
        (AuthRefused("401"), OrderNotSent),
        (VenueClosed("restart", "restarting"), OrderNotSent),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
async def test_an_error_becomes_what_it_says_about_the_world(desk, venue, error, outcome):
    desk.place(1)
    await venue.answer("send", error)
    await desk.sender.drain()
    kinds = desk.kinds()
    assert kinds[0] == (OrderNamed, 1)
    assert kinds[-1] == (outcome, 1)
    assert desk.crashes == []


async def test_a_closed_venue_is_obeyed_at_once(build, venue):
    desk = Desk(build, venue, places_in_flight_max=1)
    desk.place(1, 2)
    await venue.answer("send", VenueClosed("restart", "restarting"))
    await desk.sender.drain()
    assert desk.kinds()[1:] == [(ModeChanged, None), (OrderNotSent, 1), (OrderNotSent, 2)]


async def test_a_refused_credential_is_told(desk, venue):
    desk.place(1)
    await venue.answer("send", AuthRefused("401"))
    await desk.sender.drain()
    assert (HealthChanged, None) in desk.kinds()


async def test_a_throttled_order_leaves_again_with_the_same_name_and_bytes(desk, venue):
    desk.place(1)
    first = await venue.answer("send", Throttled("slow down", 300 * MS))
    await desk.sender.drain()
    assert desk.sender.due_ns == NOW + 300 * MS
    desk.clock.advance(300 * MS)
    desk.sender.advance()
    again = await venue.answer("send", desk.accepted(1))
    await desk.sender.drain()
    assert again is first
    assert venue.prepared == [1]
    assert desk.kinds() == [(OrderNamed, 1), (OrderAccepted, 1)]


@pytest.mark.parametrize(
    ("error", "first"),
    [(Throttled("429: error code: 1015", 86_400_000 * MS), OrderNotSent),
     (VenueDown("503: <html>", 86_400_000 * MS), OrderUnanswered),
     (VenueDown("a page"), OrderUnanswered)],
    ids=["come back tomorrow", "maintenance", "a page"],
)  # fmt: skip
async def test_a_long_wait_is_bounded_said_and_holds_up_no_cancel(desk, venue, error, first):
    """No order waits for a day: it ends with the reason, and another is tried within a minute."""
    desk.place(1, 2)
    for _ in range(2):
        await venue.answer("send", error)
    await desk.sender.drain()
    ends = [event for event in desk.events if isinstance(event, first)]
    assert [event.order for event in ends] == [1, 2]
    assert str(error) in ends[0].reason
    (alert,) = desk.alerts
    assert (alert.kind, "UTC" in alert.text) == ("venue_waits", True)
    desk.place(3)
    assert "until" in desk.events[-1].reason  # it ends at once, with the reason
    desk.sender.take(desk.build.cancel_all())
    await venue.answer("cancel_all", [])
    desk.clock.advance(60_000 * MS)
    desk.sender.take(desk.build.place(4, post_only=True))
    await venue.answer("send", desk.accepted(4))
    await desk.sender.drain()
    assert not desk.crashes


async def test_an_answer_frees_the_next_place(build, venue):
    desk = Desk(build, venue, places_in_flight_max=1)
    desk.place(1, 2)
    for number in (1, 2):
        prepared = await venue.answer("send", desk.accepted(number))
        assert prepared.order.id == number
    await desk.sender.drain()
    assert desk.sender.under_way == 0


async def test_a_late_answer_is_still_received(desk, venue):
    desk.place(1)
    _, answer = await venue.call("send")
    desk.clock.advance(5_000 * MS)
    desk.sender.advance()
    answer.set_result(desk.accepted(1))
    await desk.sender.drain()
    assert desk.kinds()[1:] == [(OrderUnanswered, 1), (OrderAccepted, 1)]


async def test_a_place_answered_after_cancel_all_is_followed_by_another(build, desk, venue):
    desk.place(1)
    _, answer = await venue.call("send")
    desk.sender.take(build.cancel_all())
    await venue.answer("cancel_all", [])
    answer.set_result(desk.accepted(1))
    cancelled = OrderCancelled(account=build.account, order=OrderId(1))
    await venue.answer("cancel_all", [cancelled])
    await desk.sender.drain()
    assert desk.kinds()[-2:] == [(OrderAccepted, 1), (OrderCancelled, 1)]


async def test_an_order_that_cannot_be_prepared_is_not_sent_and_holds_up_nobody(build, venue):
    desk = Desk(build, venue, places_in_flight_max=1)
    venue.unprepared = BadInput("price off the grid")
    desk.place(1, 2, 3)
    assert desk.kinds() == [(OrderNotSent, 1), (OrderNotSent, 2), (OrderNotSent, 3)]
    assert desk.sender.under_way == 0


async def test_hung_requests_are_bounded_and_cancels_pass(build, desk, venue, monkeypatch):
    monkeypatch.setattr(module, "TASKS_MAX", 2)
    desk.place(1, 2, 3)
    assert desk.kinds() == [(OrderNamed, 1), (OrderNamed, 2), (OrderNotSent, 3)]
    desk.sender.take(build.cancel_all())
    await venue.answer("cancel_all", [])
    await desk.sender.close()


async def test_a_thousand_refused_places_do_not_pile_up_on_the_stack(build, venue):
    desk = Desk(build, venue, places_in_flight_max=1, queue_max=5_000, places_burst=10_000)
    desk.journal.clear()
    desk.place(*range(1, 3_002))
    venue.unprepared = NotSent("no key")
    desk.journal_error = StorageError("disk full")
    desk.journal.set()
    await desk.sender.drain()
    assert [order for kind, order in desk.kinds() if kind is OrderNotSent] == list(range(1, 3_002))
    assert desk.crashes == []


async def test_a_full_queue_is_told_to_the_operator(build, venue):
    desk = Desk(build, venue, queue_max=1, places_in_flight_max=1)
    desk.place(1, 2, 3)
    assert [alert.kind for alert in desk.alerts] == ["place_queue"]
    assert desk.kinds() == [(OrderNamed, 1), (OrderNotSent, 3)]
    await desk.sender.close()


async def test_questions_are_carried_and_their_answers_told(build, desk, venue):
    desk.sender.take(QueryOpenOrders(account=build.account))
    listed = OpenOrdersListed(account=build.account, orders=())
    await venue.answer("open_orders", listed)
    await desk.sender.drain()
    assert desk.events == [listed]


async def test_our_own_bug_leaves_the_order_unanswered_and_crashes(desk, venue):
    desk.place(1)
    await venue.answer("send", BrokenInvariant("bug"))
    await desk.sender.drain()
    await desk.breathe()
    assert desk.kinds()[-1] == (OrderUnanswered, 1)
    assert [type(error) for error in desk.crashes] == [BrokenInvariant]


async def test_closing_says_of_every_order_whether_its_bytes_may_have_left(desk, venue):
    desk.place(1)
    await venue.call("send")
    desk.journal.clear()
    desk.place(2)
    await desk.breathe()
    await desk.sender.close()
    assert desk.kinds() == [
        (OrderNamed, 1),
        (OrderNamed, 2),
        (OrderUnanswered, 1),
        (OrderNotSent, 2),
    ]
    assert desk.crashes == []


async def test_a_closed_sender_lets_nothing_leave_that_waited_or_that_comes(build, venue):
    desk = Desk(build, venue, places_in_flight_max=1)
    for number in (1, 2):
        assert desk.sender.name(build.place(number).order)
    desk.place(1, 2)
    await venue.call("send")
    await desk.sender.close()
    assert desk.kinds() == [(OrderUnanswered, 1), (OrderNotSent, 2)]
    desk.clock.advance(5_000 * MS)
    desk.sender.advance()  # the first one's time is over: its slot would be the second one's
    desk.place(3)
    desk.sender.take(ModeChanged(account=build.account, mode=VenueMode.OPEN))
    desk.sender.take(build.cancel(1))
    await desk.breathe()
    assert venue.calls == []
    assert desk.kinds() == [(OrderNotSent, 3)]
    assert desk.sender.due_ns is None


async def test_what_comes_while_requests_are_cut_does_not_leave(desk, venue):
    held = asyncio.Event()

    async def slow(prepared):
        try:
            await asyncio.Event().wait()
        finally:
            await held.wait()  # a client that takes its time to let go of a connection

    venue.send, calls = slow, venue.calls
    desk.place(1)
    await desk.breathe()
    closing = asyncio.ensure_future(desk.sender.close())
    await desk.breathe()
    venue.send = FakeVenue.send.__get__(venue)
    desk.place(2)
    await desk.breathe()
    assert calls == []
    held.set()
    await closing
    assert (OrderNotSent, 2) in desk.kinds()


async def test_the_latch_is_released_through_the_sender_too(desk, venue):
    desk.sender.take(LatchSet(who="anna", reason="stop"))
    desk.place(1)
    desk.sender.take(LatchReleased(who="anna", reason="checked"))
    desk.place(2)
    prepared = await venue.answer("send", desk.accepted(2))
    await desk.sender.drain()
    assert prepared.order.id == 2
    assert desk.kinds()[0] == (OrderNotSent, 1)


class Signing(FakeVenue):
    """A venue at which an operation waits until a test lets it be signed, named and submitted."""

    def __init__(self):
        super().__init__()
        self.submitted = []

    async def operate(self, asked, named):
        await self._wait("sign", asked)
        await named(OperationName(identity="0x1", nonce=1))
        self.submitted.append(asked)
        return []

    async def operation(self, asked):
        return await self._wait("operation", asked)

    async def redemptions(self, since_ns):
        return await self._wait("redemptions", since_ns)


@pytest.mark.parametrize("sleeps", ["before its record", "before its name", "never"])
async def test_an_operation_of_before_a_sleep_of_the_machine_is_not_submitted(build, sleeps):
    venue = Signing()
    desk = Desk(build, venue)
    asked = RedeemTokens(account=build.account, operation=7, instrument=InstrumentId("venue:m1"))
    desk.journal.clear()
    desk.sender.take(asked)
    await desk.breathe()
    late = AGE_NS_MAX + 1
    if sleeps == "before its record":
        desk.clock.advance(late)
    desk.journal.set()
    if sleeps != "before its record":
        _, signed = await venue.call("sign")
        desk.journal.clear()
        signed.set_result(None)
        await desk.breathe()
        assert [type(one) for one in desk.events] == [OperationNamed]
        desk.clock.advance(late if sleeps == "before its name" else AGE_NS_MAX)
        desk.journal.set()
    await desk.sender.drain()
    if sleeps == "never":
        assert venue.submitted == [asked]
        return
    assert venue.submitted == venue.calls == []
    assert desk.events[-1] == OperationMoved(
        account=build.account, operation=7, state=OperationState.FAILED, reason=TOO_LATE
    )
