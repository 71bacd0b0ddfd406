from __future__ import annotations

import asyncio

import pytest

from engine.domain.effects import (
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOperation,
    QueryOrder,
    QueryRedemptions,
    RedeemTokens,
)
from engine.domain.events import (
    BalancesListed,
    CancelUnanswered,
    FillsListed,
    HealthChanged,
    ModeChanged,
    OpenOrdersListed,
    OperationNotFound,
    OrderCancelled,
    OrderNotFound,
    PositionsListed,
    QueryFailed,
    RedemptionsListed,
    VenueMode,
)
from engine.domain.instruments import InstrumentId
from engine.domain.orders import Identity, OrderId
from engine.errors import (
    AuthRefused,
    BadInput,
    BrokenInvariant,
    NotSent,
    OutcomeUnknown,
    Throttled,
    VenueClosed,
)
from engine.gateway.door import Named, Reply
from engine.gateway.sender import CANCEL_ALL_RETRY_NS, Calls

SILENCE = [
    NotSent("no route"),
    OutcomeUnknown("reset"),
    BadInput("half a page"),
    ConnectionResetError("peer"),
    ValueError("a bug of the adapter"),
]


class Line:
    """Calls over a fake venue, and what they reported."""

    def __init__(self, build, venue):
        self.venue = venue
        self.reports = []
        self.calls = Calls(
            account=build.account,
            venue=venue,
            report=self.reports.append,
            identity=lambda order: Identity(f"0x{order}") if order < 90 else None,
        )

    async def ends(self, call, **answers):
        task = asyncio.ensure_future(call)
        for name, outcome in answers.items():
            await self.venue.answer(name, outcome)
        return await task


@pytest.fixture
def line(build, venue):
    return Line(build, venue)


async def test_cancels_are_asked_by_both_names_and_answers_are_passed_on(build, venue, line):
    cancelled = OrderCancelled(account=build.account, order=OrderId(1))
    task = asyncio.ensure_future(line.calls.cancel(5, build.cancel(1, 2)))
    argument = await venue.answer("cancel", [cancelled])
    assert argument == [
        Named(order=OrderId(1), identity=Identity("0x1")),
        Named(order=OrderId(2), identity=Identity("0x2")),
    ]
    assert await task == Reply(number=5, events=(cancelled,))


@pytest.mark.parametrize("error", SILENCE, ids=lambda error: type(error).__name__)
async def test_a_cancel_without_an_answer_leaves_each_order_open_or_gone(build, line, error):
    reply = await line.ends(line.calls.cancel(5, build.cancel(1, 2)), cancel=error)
    assert reply == Reply(
        number=5,
        events=tuple(CancelUnanswered(account=build.account, order=OrderId(n)) for n in (1, 2)),
    )


async def test_throttling_is_handed_to_the_core_untouched(build, line):
    throttled = Throttled("slow down", 7)
    later = Reply(number=5, retry_after_ns=7)
    assert await line.ends(line.calls.cancel(5, build.cancel(1)), cancel=throttled) == later
    everything = build.cancel_all()
    assert await line.ends(line.calls.cancel_all(5, everything), cancel_all=throttled) == later
    question = QueryOpenOrders(account=build.account)
    assert await line.ends(line.calls.ask(5, question), open_orders=throttled) == later


async def test_a_throttle_without_a_time_is_still_one(build, line):
    reply = await line.ends(line.calls.cancel(5, build.cancel(1)), cancel=Throttled("slow down", 0))
    assert reply.retry_after_ns == 1


@pytest.mark.parametrize("error", SILENCE, ids=lambda error: type(error).__name__)
async def test_a_cancel_all_that_failed_is_to_be_sent_again(build, line, error):
    reply = await line.ends(line.calls.cancel_all(5, build.cancel_all()), cancel_all=error)
    assert reply == Reply(number=5, retry_after_ns=CANCEL_ALL_RETRY_NS)


async def test_a_cancel_all_that_was_answered_is_over(build, line):
    reply = await line.ends(line.calls.cancel_all(5, build.cancel_all()), cancel_all=[])
    assert reply == Reply(number=5)


@pytest.mark.parametrize(
    ("word", "mode"),
    [("cancel_only", VenueMode.CANCEL_ONLY), ("something new", VenueMode.DISABLED)],
)
async def test_a_closed_venue_tells_its_mode_and_an_unknown_word_takes_nothing(
    build, line, word, mode
):
    reply = await line.ends(
        line.calls.cancel(5, build.cancel(1)), cancel=VenueClosed("closed", word)
    )
    assert reply.events[0] == ModeChanged(account=build.account, mode=mode, reason="closed")
    assert isinstance(reply.events[1], CancelUnanswered)


async def test_a_closed_venues_hint_goes_with_its_mode(build, line):
    closed = VenueClosed("post-only", "post_only", 79 * 1_000_000_000)
    reply = await line.ends(line.calls.cancel(5, build.cancel(1)), cancel=closed)
    assert reply.events[0].retry_after_ns == 79 * 1_000_000_000


async def test_a_refused_credential_is_a_reason_not_to_trade(build, line):
    await line.ends(line.calls.cancel_all(5, build.cancel_all()), cancel_all=AuthRefused("401"))
    assert line.reports == [
        HealthChanged(account=build.account, source="auth", healthy=False, reason="401")
    ]


async def test_questions_reach_their_method_and_give_its_answer(build, line):
    account = build.account
    found = OrderNotFound(account=account, order=OrderId(1))
    listed = OpenOrdersListed(account=account, orders=())
    fills = FillsListed(account=account, since_ns=3, fills=())
    cash = BalancesListed(account=account, cash_micro={"USD": 1})
    positions = PositionsListed(account=account, holdings=())
    for question, answers in [
        (QueryOrder(account=account, order=OrderId(1)), {"order": found}),
        (QueryOpenOrders(account=account), {"open_orders": listed}),
        (QueryFills(account=account, since_ns=3), {"fills": fills}),
        (QueryBalances(account=account), {"balances": cash, "positions": positions}),
    ]:
        reply = await line.ends(line.calls.ask(5, question), **answers)
        assert reply == Reply(number=5, events=tuple(answers.values()))


@pytest.mark.parametrize("error", SILENCE, ids=lambda error: type(error).__name__)
async def test_a_failed_question_is_never_an_empty_answer(build, line, error):
    question = QueryOrder(account=build.account, order=OrderId(1))
    reply = await line.ends(line.calls.ask(5, question), order=error)
    (failed,) = reply.events
    assert isinstance(failed, QueryFailed)
    assert (failed.question, failed.order) == ("QueryOrder", 1)
    assert str(error) in failed.reason


async def test_half_an_answer_about_balances_is_a_failure(build, line):
    cash = BalancesListed(account=build.account, cash_micro={})
    reply = await line.ends(
        line.calls.ask(5, QueryBalances(account=build.account)),
        balances=cash,
        positions=OutcomeUnknown("reset"),
    )
    assert [type(event) for event in reply.events] == [QueryFailed]
    assert reply.events[0].order is None


async def test_our_own_bugs_are_not_answers(build, line):
    with pytest.raises(BrokenInvariant):
        await line.ends(line.calls.cancel(5, build.cancel(1)), cancel=BrokenInvariant("bug"))


async def test_an_order_whose_name_was_lost_is_asked_about_in_vain(build, line):
    """A journal that lost its end knows orders and not their names: no reason to end the engine."""
    reply = await line.calls.cancel(5, build.cancel(90))
    assert reply.events == (CancelUnanswered(account=build.account, order=OrderId(90)),)


async def test_an_order_without_a_name_keeps_no_other_from_being_cancelled(build, venue, line):
    cancelled = OrderCancelled(account=build.account, order=OrderId(1))
    task = asyncio.ensure_future(line.calls.cancel(5, build.cancel(90, 1)))
    assert await venue.answer("cancel", [cancelled]) == [
        Named(order=OrderId(1), identity=Identity("0x1"))
    ]
    nameless = CancelUnanswered(account=build.account, order=OrderId(90))
    assert await task == Reply(number=5, events=(cancelled, nameless))


async def test_a_venue_without_wallet_operations_is_asked_for_none(build, line):
    """What cannot be there was not: that is an answer. What cannot be done was not sent."""
    asked = QueryRedemptions(account=build.account, since_ns=5)
    listed = RedemptionsListed(account=build.account, since_ns=5, redemptions=())
    assert (await line.calls.ask(1, asked)).events == (listed,)
    redeem = RedeemTokens(account=build.account, operation=7, instrument=InstrumentId("v:m1"))
    query = QueryOperation(
        account=build.account, asked=redeem, asked_ns=1, name=None, transaction="", number=3
    )
    unknown = OperationNotFound(account=build.account, operation=7)
    assert (await line.calls.ask(2, query)).events == (unknown,)
    with pytest.raises(NotSent, match="no wallet"):
        await line.calls.operate(redeem, None)
    assert line.venue.calls == []
