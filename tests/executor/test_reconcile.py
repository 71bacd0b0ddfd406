from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.domain.effects import (
    CancelAll,
    CancelOrders,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    RaiseAlert,
)
from engine.domain.events import (
    CancelRefused,
    CancelUnanswered,
    FillsListed,
    FillVoided,
    InstrumentListed,
    LatchReleased,
    LatchSet,
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderNotFound,
    OrderRejected,
    OrderReported,
    OrderUnanswered,
    QueryFailed,
)
from engine.domain.fills import FillState
from engine.domain.instruments import InstrumentId, Side
from engine.domain.orders import Identity, OrderId, OrderState, RejectReason
from engine.executor.executor import ExecutorSettings

S = OrderState
M1 = InstrumentId("venue:m1")
SHARE = 1_000_000
USD = 1_000_000
BIDS = [(4_800, 100)]


def kinds(effects: list[Any]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def alerts(effects: list[Any]) -> list[str]:
    return [effect.kind for effect in effects if isinstance(effect, RaiseAlert)]


def asked(effects: list[Any]) -> list[int]:
    return [effect.order for effect in effects if isinstance(effect, QueryOrder)]


def cancelled(effects: list[Any]) -> list[int]:
    return [n for effect in effects if isinstance(effect, CancelOrders) for n in effect.orders]


def fills_listed(rig: Any, *fills: Any, since_ns: int = 0) -> FillsListed:
    return FillsListed(account=rig.build.account, since_ns=since_ns, fills=fills)


@pytest.fixture
def unknown(rig: Any) -> Any:
    """A rig whose order 1 was sent without an answer."""
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.event(OrderUnanswered, 1, reason="timeout"))
    return rig


# -- silence ---------------------------------------------------------------------------------------


def test_unknown_order_is_queried_not_resent(unknown: Any) -> None:
    assert unknown.state(1) is S.UNKNOWN
    told = [unknown.wait(0.25) for _ in range(40)]

    at = [number for number, effects in enumerate(told) if asked(effects) == [1]]
    assert [(number + 1) * 0.25 for number in at] == [0.5, 1.5, 3.5, 7.5]
    assert not any("PlaceOrder" in kinds(effects) for effects in told)


def test_the_pause_between_questions_is_bounded_and_a_person_is_told(unknown: Any) -> None:
    pauses, last, told = [], unknown.now, []
    while len(pauses) < 9:
        effects = unknown.wait(0.5)
        told += alerts(effects)
        if asked(effects):
            pauses.append((unknown.now - last) / 1e9)
            last = unknown.now
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert set(told) == {"unknown_order", "question_fails"}


def test_an_unknown_order_keeps_its_reservation_and_blocks_its_part_of_the_intent(
    unknown: Any,
) -> None:
    unknown.wait(1)
    assert unknown.executor.ledger.cash_free_micro == 952 * USD
    assert unknown.executor.open_and_unknown == (1, 1)


def ask_until_grace(rig: Any) -> list[Any]:
    """Answer `not found` to every question for six seconds."""
    told: list[Any] = []
    for _ in range(12):
        effects = rig.wait(0.5)
        for _ in asked(effects):
            effects += rig.feed(rig.event(OrderNotFound, 1))
        told += effects
    return told


def test_not_found_is_believed_after_grace_confirmation_and_a_look_at_the_fills(
    unknown: Any,
) -> None:
    ask_until_grace(unknown)
    unknown.feed(unknown.event(OrderNotFound, 1), unknown.event(OrderNotFound, 1))
    assert unknown.state(1) is S.UNKNOWN  # nobody has looked at the fills yet

    told = unknown.feed(fills_listed(unknown), unknown.event(OrderNotFound, 1), unknown.quotes())
    assert unknown.state(1) is S.CANCELLED
    assert cancelled(told) == [1]  # one last cancel, in case it is still on its way
    assert unknown.executor.ledger.cash_free_micro == 1_000 * USD
    assert unknown.executor.open_and_unknown == (0, 0)


def test_not_found_within_the_grace_period_proves_nothing(unknown: Any) -> None:
    unknown.feed(fills_listed(unknown))
    for _ in range(5):
        unknown.wait(0.5)
        unknown.feed(unknown.event(OrderNotFound, 1))
    assert unknown.state(1) is S.UNKNOWN


def test_an_answer_that_never_came_begins_the_grace_period_anew(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.quotes())
    rig.feed(rig.event(CancelRefused, 1, venue_text="not found"))  # the cancel overtook the place
    ask_until_grace(rig)
    rig.feed(rig.event(OrderUnanswered, 1, reason="timeout"), fills_listed(rig))
    for _ in range(2):
        rig.feed(rig.event(OrderNotFound, 1))
    assert rig.state(1) is S.UNKNOWN


def test_fills_asked_in_vain_are_asked_further_back(rig: Any) -> None:
    rig.now = 10_000 * 1_000_000_000
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.event(OrderUnanswered, 1, reason="timeout"))
    told = [effect for _ in range(60) for effect in rig.wait(1)]
    since = [effect.since_ns for effect in told if isinstance(effect, QueryFills)]
    assert since[-1] <= since[0] - 120 * 1_000_000_000


def test_a_restart_begins_the_grace_period_anew(unknown: Any) -> None:
    ask_until_grace(unknown)
    unknown.executor.recover((), unknown.now)
    unknown.feed(fills_listed(unknown))
    for _ in range(3):
        unknown.feed(unknown.event(OrderNotFound, 1))
    assert unknown.state(1) is S.UNKNOWN


def test_a_restart_begins_the_pauses_between_questions_anew(unknown: Any) -> None:
    """What an earlier life asked in vain for minutes is not waited for again: the venue answers."""
    for _ in range(120):
        unknown.wait(1)
    unknown.executor.recover((), unknown.now)
    began = unknown.now
    while unknown.state(1) is S.UNKNOWN and unknown.now < began + 60 * 1_000_000_000:
        effects = unknown.wait(0.25)
        while effects := [
            again
            for effect in effects
            if isinstance(effect, QueryFills | QueryOrder)
            for again in unknown.feed(
                unknown.event(OrderNotFound, 1, answers=effect.number)
                if isinstance(effect, QueryOrder)
                else FillsListed(
                    account=effect.account,
                    since_ns=effect.since_ns,
                    fills=(),
                    answers=effect.number,
                )
            )
        ]:
            pass
    assert (unknown.now - began) / 1e9 <= 8


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "not found"])
def test_an_order_whose_fill_the_venue_told_and_never_lists_ends_and_a_person_decides(
    unknown: Any, gone: bool
) -> None:
    account = unknown.build.account
    filled = unknown.report(1, S.FILLED if gone else S.PARTIAL, filled=30 * SHARE)
    unknown.feed(OrderReported(account=account, report=filled))
    if not gone:
        unknown.feed(unknown.event(OrderUnanswered, 1, reason="timeout"))
        unknown.feed(unknown.event(CancelRefused, 1, venue_text="not found"))
    assert unknown.state(1) is S.UNKNOWN
    told, began = [], unknown.now
    while unknown.state(1) is S.UNKNOWN and unknown.now < began + 600 * 1_000_000_000:
        effects = unknown.wait(0.5)
        if "QueryFills" in kinds(effects):
            unknown.feed(fills_listed(unknown))
        for _ in asked(effects):
            answer = OrderReported(account=account, report=filled)
            told += unknown.feed(answer if gone else unknown.event(OrderNotFound, 1))
    assert unknown.state(1) is S.CANCELLED
    assert (unknown.now - began) / 1e9 >= 60, "not before it was asked for again and again"
    assert unknown.changes[-1].reason.count("filled")
    assert "contradiction" in alerts(told)
    assert not unknown.executor.healthy, "a person compares with the venue and releases"
    unknown.feed(LatchSet(who="ann", reason="compared"))
    unknown.feed(LatchReleased(who="ann", reason="compared"))
    assert unknown.executor.healthy
    late = unknown.fill(1, 30)
    unknown.feed(late)
    assert unknown.executor.record(1).filled == 30 * SHARE


def outage(
    rig: Any, seconds: int, answer: Any, *, of: type = QueryFills, others: Any = None
) -> list[Any]:
    """Answer each question but the one that stays out for so long; give what was decided."""
    told: list[Any] = []
    until = rig.now + seconds * 1_000_000_000
    while rig.now < until:
        effects = rig.wait(0.5)
        told += effects
        if of is not QueryOrder:
            for _ in asked(effects):
                told += rig.feed(answer)
        for question in [one for one in effects if isinstance(one, of)]:
            failed = QueryFailed(
                account=rig.build.account,
                question=of.__name__,
                order=getattr(question, "order", None),
                reason="HTTP 500",
            )
            told += rig.feed(failed)
        if others is not None and of is not QueryFills and "QueryFills" in kinds(effects):
            told += rig.feed(others)
    return told


@pytest.mark.parametrize("case", ["gone", "a fill was told and not found", "not found"])
def test_a_listing_of_fills_that_stays_out_for_minutes_contradicts_nothing(
    unknown: Any, case: str
) -> None:
    account, gone, size = unknown.build.account, case == "gone", 100 if case == "gone" else 30
    filled = unknown.report(1, S.FILLED if gone else S.PARTIAL, filled=size * SHARE)
    if case != "not found":
        unknown.feed(OrderReported(account=account, report=filled))
    if case == "a fill was told and not found":
        unknown.feed(unknown.event(OrderUnanswered, 1, reason="timeout"))
        unknown.feed(unknown.event(CancelRefused, 1, venue_text="not found"))
    report = OrderReported(account=account, report=filled)
    told = outage(unknown, 900, report if gone else unknown.event(OrderNotFound, 1))
    assert unknown.state(1) is S.UNKNOWN
    assert "contradiction" not in alerts(told)
    assert "question_fails" in alerts(told), "a person hears why it is not decided"
    assert unknown.executor.healthy
    late = fills_listed(unknown, unknown.fill(1, size))
    unknown.feed(late)
    for _ in range(150):
        effects = unknown.wait(0.5)
        if "QueryFills" in kinds(effects):
            effects += unknown.feed(late)
        for _ in asked(effects):
            unknown.feed(report if gone else unknown.event(OrderNotFound, 1))
    assert unknown.executor.record(1).filled == size * SHARE
    assert unknown.state(1).ended
    assert unknown.executor.healthy


def test_the_first_answer_about_an_order_after_minutes_of_none_contradicts_nothing(
    unknown: Any,
) -> None:
    told = outage(unknown, 600, None, of=QueryOrder, others=fills_listed(unknown))
    filled = unknown.report(1, S.FILLED, filled=30 * SHARE)
    told += unknown.feed(OrderReported(account=unknown.build.account, report=filled))
    assert unknown.state(1) is S.UNKNOWN
    assert "contradiction" not in alerts(told)
    unknown.feed(fills_listed(unknown, unknown.fill(1, 30)))
    assert unknown.executor.record(1).filled == 30 * SHARE
    assert unknown.executor.healthy


def test_fills_are_not_asked_further_back_for_ever(rig: Any) -> None:
    """Once the venue keeps none that old, no listing would ever come back."""
    rig.now = 100_000 * 1_000_000_000
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.event(OrderUnanswered, 1, reason="timeout"))
    told = [effect for _ in range(3_000) for effect in rig.wait(1)]
    since = [effect.since_ns for effect in told if isinstance(effect, QueryFills)]
    assert min(since) == since[-1] == since[len(since) // 2]


def test_an_order_believed_gone_that_is_accepted_late_is_taken_back(unknown: Any) -> None:
    ask_until_grace(unknown)
    unknown.feed(unknown.event(OrderNotFound, 1), unknown.event(OrderNotFound, 1))
    unknown.feed(fills_listed(unknown), unknown.event(OrderNotFound, 1), unknown.quotes())
    assert unknown.state(1) is S.CANCELLED
    told = unknown.feed(unknown.event(OrderAccepted, 1))
    assert unknown.state(1) is S.UNKNOWN
    assert (alerts(told), cancelled(told)) == (["revived_order"], [1])


def test_an_order_that_was_reported_filled_is_not_gone_before_its_fills_are_booked(
    unknown: Any,
) -> None:
    told = unknown.feed(
        OrderReported(
            account=unknown.build.account, report=unknown.report(1, S.CANCELLED, filled=30 * SHARE)
        )
    )
    assert unknown.state(1) is S.UNKNOWN
    assert any(isinstance(effect, QueryFills) for effect in told)

    unknown.feed(fills_listed(unknown, unknown.fill(1, 30)))
    unknown.feed(
        OrderReported(
            account=unknown.build.account, report=unknown.report(1, S.CANCELLED, filled=30 * SHARE)
        )
    )
    assert unknown.state(1) is S.CANCELLED


@pytest.mark.parametrize(
    ("told", "state"),
    [(S.OPEN, S.OPEN), (S.PARTIAL, S.OPEN), (S.CANCELLED, S.CANCELLED), (S.EXPIRED, S.CANCELLED)],
)
def test_a_report_resolves_an_unknown_order(unknown: Any, told: S, state: S) -> None:
    report = OrderReported(account=unknown.build.account, report=unknown.report(1, told))
    unknown.feed(report, unknown.quotes())
    assert unknown.state(1) in {state, S.CANCELLING}


def test_a_report_of_a_part_filled_order_finds_it_partial(unknown: Any) -> None:
    unknown.feed(unknown.fill(1, 30))
    assert unknown.state(1) is S.UNKNOWN
    unknown.feed(OrderReported(account=unknown.build.account, report=unknown.report(1)))
    assert unknown.state(1) is S.PARTIAL


@pytest.mark.parametrize(
    ("kind", "changes", "state"),
    [
        (OrderAccepted, {}, S.OPEN),
        (OrderCancelled, {}, S.CANCELLED),
        (OrderRejected, {"reason": RejectReason.WOULD_CROSS}, S.CANCELLED),
        (OrderDelayed, {}, S.UNKNOWN),
    ],
)
def test_the_stream_s_word_about_an_unknown_order_is_a_finding(
    unknown: Any, kind: Any, changes: dict[str, Any], state: S
) -> None:
    unknown.feed(unknown.event(kind, 1, **changes))
    assert unknown.state(1) is state


def test_a_whole_fill_ends_an_unknown_order(unknown: Any) -> None:
    unknown.feed(unknown.fill(1, 100))
    assert unknown.state(1) is S.FILLED
    assert not unknown.executor._table.unknown


def test_a_match_of_all_that_was_offered_ends_an_order_of_a_larger_size(unknown: Any) -> None:
    """A budget of whole cents offers a little less than the order's size."""
    offered = int(99.5 * SHARE)
    matched = unknown.report(1, S.FILLED, size=offered, filled=offered)
    unknown.feed(OrderReported(account=unknown.build.account, report=matched))
    assert unknown.state(1) is S.UNKNOWN  # until the fill is told
    unknown.feed(unknown.fill(1, 99.5))
    unknown.feed(OrderReported(account=unknown.build.account, report=matched))
    assert unknown.state(1) is S.CANCELLED


@pytest.mark.parametrize("kind", [CancelRefused, CancelUnanswered])
def test_a_cancel_that_proved_nothing_makes_the_order_unknown(rig: Any, kind: Any) -> None:
    rig.rest(BIDS)
    rig.feed(rig.quotes())
    rig.feed(rig.event(kind, 1))
    assert rig.state(1) is S.UNKNOWN
    assert asked(rig.wait(0.5)) == [1]
    told = rig.feed(OrderReported(account=rig.build.account, report=rig.report(1)))
    assert cancelled(told) == [1]  # it rests after all and is still unwanted


@pytest.mark.parametrize("how", ["sent", "cancelling", "delayed"])
def test_what_is_in_flight_too_long_is_unknown(rig: Any, how: str) -> None:
    if how == "cancelling":
        rig.rest(BIDS)
        rig.feed(rig.quotes())
    else:
        rig.quote(BIDS)
        rig.send(1)
        if how == "delayed":
            rig.feed(rig.event(OrderDelayed, 1))
    for _ in range(31):
        rig.wait(1)
    assert rig.state(1) is S.UNKNOWN


# -- listings --------------------------------------------------------------------------------------


@pytest.fixture
def listing(make_rig: Any) -> Any:
    """A rig that asks for listings from the start, already recovered, order 1 resting."""
    rig = make_rig(settings=ExecutorSettings())
    recover(rig)
    rig.rest(BIDS)
    rig.effects.clear()
    return rig


def recover(rig: Any) -> None:
    rig.feed(rig.listing(), fills_listed(rig))
    rig.wait(1)
    rig.feed(rig.listing())
    assert rig.executor.healthy


def next_listing(rig: Any, *reports: Any) -> list[Any]:
    """Wait until open orders are asked for, then answer."""
    for _ in range(100):
        rig.wait(0.5)
        if "QueryOpenOrders" in kinds(rig.effects):
            rig.effects.clear()
            return list(rig.feed(rig.listing(*reports)))
    raise AssertionError("nobody asked for open orders")


def test_an_order_missing_from_two_listings_is_unknown(listing: Any) -> None:
    next_listing(listing)
    assert listing.state(1) is S.OPEN  # an empty listing is believed only twice
    next_listing(listing)
    assert listing.state(1) is S.UNKNOWN


def test_one_good_listing_in_between_starts_the_count_anew(listing: Any) -> None:
    for _ in range(3):
        next_listing(listing)
        next_listing(listing, listing.report(1))
    assert listing.state(1) is S.OPEN


def test_an_order_sent_after_the_listing_was_asked_is_not_missing(listing: Any) -> None:
    while "QueryOpenOrders" not in kinds(listing.effects):
        listing.wait(0.5)
    (order,) = listing.quote([(4_800, 100), (4_700, 10)])
    listing.open(order.id)
    listing.feed(listing.listing(listing.report(1)))
    assert listing.executor.record(order.id).missing == 0


def test_a_listing_nobody_asked_for_proves_what_it_has_and_not_what_it_lacks(rig: Any) -> None:
    rig.rest(BIDS)
    for _ in range(5):
        rig.feed(rig.listing())
    assert rig.state(1) is S.OPEN


def test_more_filled_at_the_venue_than_here_has_the_fills_asked(listing: Any) -> None:
    told = next_listing(listing, listing.report(1, S.PARTIAL, filled=10 * SHARE))
    assert any(isinstance(effect, QueryFills) for effect in told)
    listing.feed(fills_listed(listing, listing.fill(1, 10)))
    assert listing.state(1) is S.PARTIAL


def test_an_order_of_ours_the_journal_lost_is_cancelled_with_its_instrument(listing: Any) -> None:
    lost = listing.report(1, order=None, identity=Identity("lost"))
    told = next_listing(listing, listing.report(1), lost)

    (cancel,) = [effect for effect in told if isinstance(effect, CancelAll)]
    assert cancel.scope.instrument == M1
    assert alerts(told) == ["contradiction", "unrecognised_order"]
    assert listing.state(1) is S.CANCELLING
    again = next_listing(listing, lost)
    assert any(isinstance(effect, CancelAll) for effect in again)
    assert alerts(again) == []  # told once


def later(rig: Any, number: int, **changes: Any) -> Any:
    """Return the venue's word on an order that was made after this home was copied."""
    names = {"order": OrderId(number), "identity": Identity(f"later{number}")}
    return rig.report(1, **(names | changes))


def test_an_open_order_above_what_was_made_here_halts_and_leads_to_recover(listing: Any) -> None:
    """A copy of the home put back: open orders are answered before fills."""
    told = next_listing(listing, listing.report(1), later(listing, 9))
    assert alerts(told) == ["contradiction", "unrecognised_order"]
    assert not listing.executor.healthy
    (why,) = listing.executor.to_release
    assert "lists order 9 as ours" in why
    assert "python -m engine recover" in why


def test_fills_below_such_an_order_are_not_dropped_as_forgotten(listing: Any) -> None:
    next_listing(listing, later(listing, 9))
    listing.feed(LatchReleased(who="ann", reason="looked at order 9"))
    assert listing.executor.healthy
    lost = listing.build.filled(5, "lost", size=50 * SHARE)
    told = listing.feed(fills_listed(listing, lost))
    assert alerts(told) == ["contradiction"]
    assert not listing.executor.healthy
    assert listing.quote(BIDS) == []


def test_a_forgotten_order_made_here_means_nothing_when_it_is_listed_again(rig: Any) -> None:
    (order,) = rig.rest(BIDS)
    rig.executor._table.numbers.raise_floor(50)
    assert rig.executor._table.numbers.has(order.id)
    rig.feed(fills_listed(rig, rig.build.filled(order.id, "f1")))
    assert rig.executor.healthy


def test_a_duplicate_of_an_order_that_was_never_sent_means_the_journal_is_behind(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    known = rig.event(OrderRejected, 1, reason=RejectReason.DUPLICATE, venue_text="Duplicated.")
    assert "contradiction" in alerts(rig.feed(known))
    (why,) = rig.executor.to_release
    assert "python -m engine recover" in why


def test_what_the_floor_passed_over_is_told_from_what_was_made_after_a_restart(
    rig: Any, make_rig: Any
) -> None:
    rig.rest(BIDS)
    rig.executor._table.numbers.raise_floor(20)
    rig.feed(rig.quotes())
    rig.feed(rig.event(OrderCancelled, 1))
    (order,) = rig.rest(BIDS)
    assert order.id == 21
    after = make_rig(cash=0, empty=True)
    after.executor.restore(rig.executor.snapshot())
    assert [after.executor._table.numbers.has(number) for number in (1, 2, 20, 21, 22)] == [
        True, False, False, True, False,
    ]  # fmt: skip
    assert after.executor._table.adopt(rig.build.order(1), rig.now) is None
    late = after.executor._table.adopt(rig.build.order(7), rig.now)
    assert late is not None  # of between: a recovery booked it later


def test_a_foreign_order_is_left_alone(listing: Any) -> None:
    foreign = listing.report(1, order=None, identity=Identity("other"), ours=False)
    told = next_listing(listing, listing.report(1), foreign)
    assert told == []


def test_a_zombie_is_taken_back_cancelled_and_told(listing: Any) -> None:
    listing.feed(listing.quotes())
    listing.feed(listing.event(OrderCancelled, 1))
    assert listing.executor.ledger.cash_free_micro == 1_000 * USD
    listing.effects.clear()
    told = next_listing(listing, listing.report(1))

    assert (alerts(told), cancelled(told)) == (["revived_order"], [1])
    assert listing.state(1) is S.UNKNOWN
    assert listing.executor.ledger.cash_free_micro == 952 * USD
    listing.feed(listing.event(OrderCancelled, 1))
    assert listing.state(1) is S.CANCELLED
    assert listing.executor.ledger.cash_free_micro == 1_000 * USD


def test_an_order_that_filled_here_and_rests_at_the_venue_is_cancelled_until_it_is_gone(
    listing: Any,
) -> None:
    """As where the venue takes a failed trade back and lets its order rest again."""
    fill = listing.fill(1, 100)
    listing.feed(fill, listing.quotes(), FillVoided(account=fill.account, fill=fill.fill))
    assert listing.state(1) is S.FILLED
    for _ in range(2):
        told = next_listing(listing, listing.report(1))
        assert (alerts(told), cancelled(told)) == (["revived_order"], [1])
    listing.feed(listing.event(OrderCancelled, 1))
    assert listing.state(1) is S.FILLED
    assert next_listing(listing) == []


def test_an_older_listing_does_not_say_of_a_filled_order_that_it_rests(listing: Any) -> None:
    while "QueryOpenOrders" not in kinds(listing.effects):
        listing.wait(0.5)
    listing.feed(listing.fill(1, 100), listing.quotes())
    assert alerts(listing.feed(listing.listing(listing.report(1)))) == []
    whole = listing.report(1, filled=100 * SHARE)
    assert next_listing(listing, whole) == []


def test_what_a_cancel_of_everything_did_not_reach_is_cancelled_by_name(listing: Any) -> None:
    """As an order that was placed under another key of the same wallet."""
    listing.feed(LatchSet(who="me", reason="stop"))
    assert listing.state(1) is S.CANCELLING
    assert cancelled(next_listing(listing, listing.report(1))) == []  # it may be on its way
    listing.wait(5)
    assert cancelled(next_listing(listing, listing.report(1))) == [1]
    listing.feed(listing.event(OrderCancelled, 1))
    assert listing.state(1) is S.CANCELLED


def test_an_order_that_ended_after_the_listing_was_asked_is_no_zombie(listing: Any) -> None:
    while "QueryOpenOrders" not in kinds(listing.effects):
        listing.wait(0.5)
    listing.feed(listing.quotes(), listing.event(OrderCancelled, 1))
    listing.feed(listing.listing(listing.report(1)))
    assert listing.state(1) is S.CANCELLED


def test_a_failed_question_is_never_an_empty_answer(listing: Any) -> None:
    for _ in range(6):
        listing.effects.clear()
        while "QueryOpenOrders" not in kinds(listing.effects):
            listing.wait(0.5)
        listing.feed(
            QueryFailed(
                account=listing.build.account,
                question="QueryOpenOrders",
                order=None,
                reason="503",
            )
        )
    assert listing.state(1) is S.OPEN


def test_a_question_without_any_answer_is_asked_again(listing: Any) -> None:
    listing.effects.clear()
    for _ in range(62):
        listing.wait(0.5)
    assert kinds(listing.effects).count("QueryOpenOrders") == 2


# -- proof of zero ---------------------------------------------------------------------------------


def test_zero_is_proven_by_two_complete_listings_with_nothing_of_ours(listing: Any) -> None:
    foreign = listing.report(1, order=None, identity=Identity("other"), ours=False)
    listing.feed(LatchSet(who="me", reason="stop"))
    next_listing(listing, foreign)
    assert listing.executor.proven(None) is None  # order 1 is still CANCELLING here
    listing.feed(listing.event(OrderCancelled, 1))
    next_listing(listing, foreign)
    assert listing.executor.proven(None) is None
    next_listing(listing, foreign)

    proof = listing.executor.proven(None)
    assert proof is not None
    assert (proof.listings, proof.foreign) == (2, (foreign,))


def test_an_unknown_order_prevents_the_proof(listing: Any) -> None:
    listing.feed(LatchSet(who="me", reason="stop"))
    listing.feed(listing.event(CancelUnanswered, 1))
    for _ in range(3):
        next_listing(listing)
    assert listing.executor.proven(None) is None
    assert listing.executor.open_and_unknown == (1, 1)


def test_an_order_listed_again_starts_the_proof_anew(listing: Any) -> None:
    listing.executor.stop_all("end of day", listing.now)
    listing.feed(listing.event(OrderCancelled, 1))
    lost = listing.report(1, order=None, identity=Identity("lost"))
    next_listing(listing)
    next_listing(listing, lost)
    next_listing(listing)
    assert listing.executor.proven(None) is None
    next_listing(listing)
    assert listing.executor.proven(None) is not None


def test_a_stopped_account_places_nothing_until_it_resumes(listing: Any) -> None:
    effects = listing.executor.stop_all("end of day", listing.now)
    assert kinds(effects) == ["CancelAll"]
    listing.feed(listing.event(OrderCancelled, 1))
    assert listing.quote(BIDS) == []
    assert "stopped: end of day" in listing.executor.reasons
    listing.executor.resume()
    assert len(listing.quote(BIDS)) == 1


def test_a_bot_s_zero_is_proven_beside_another_bot_s_orders(make_rig: Any, build: Any) -> None:
    rig = make_rig(
        settings=ExecutorSettings(), instruments=(build.binary(), build.binary("venue:m2"))
    )
    recover(rig)
    rig.rest(BIDS)
    rig.rest(BIDS, name="venue:m2", bot="other")
    rig.executor.withdraw(build.bot, None, rig.now)
    rig.feed()
    rig.feed(rig.event(OrderCancelled, 1))
    for _ in range(2):
        next_listing(rig, rig.report(2))
    assert rig.executor.proven(build.bot) is not None
    assert rig.executor.proven(None) is None


def test_a_new_order_ends_the_proof(listing: Any) -> None:
    listing.executor.stop_all("end of day", listing.now)
    listing.feed(listing.event(OrderCancelled, 1))
    for _ in range(2):
        next_listing(listing)
    listing.executor.resume()
    listing.quote(BIDS)
    assert listing.executor.proven(None) is None


# -- start -----------------------------------------------------------------------------------------


def test_nothing_is_placed_before_open_orders_and_fills_have_been_believed(make_rig: Any) -> None:
    rig = make_rig(settings=ExecutorSettings())
    assert [k for k in kinds(rig.effects) if k.startswith("Query")] == [
        "QueryOpenOrders",
        "QueryFills",
        "QueryBalances",
    ]
    assert rig.quote(BIDS) == []
    rig.feed(rig.listing())
    rig.feed(fills_listed(rig))
    assert rig.executor.recovering  # one empty listing is not enough
    rig.wait(1)
    placed = rig.feed(rig.listing())
    assert kinds(placed) == ["KeepBudget", "PlaceOrder"]


def test_every_journaled_order_without_an_end_begins_as_unknown(make_rig: Any) -> None:
    rig = make_rig(settings=ExecutorSettings())
    effects = rig.executor.recover([rig.build.order(7), rig.build.order(3)], rig.now)
    effects += rig.feed()

    assert [rig.state(3), rig.state(7)] == [S.UNKNOWN, S.UNKNOWN]
    assert asked(effects) == [3, 7]
    rig.feed(rig.listing(rig.report(3)), fills_listed(rig, rig.fill(7, 100)))
    assert rig.state(7) is S.FILLED
    assert not rig.executor.recovering
    assert rig.state(3) is S.CANCELLING  # no intent survives a restart
    rig.feed(rig.event(OrderCancelled, 3))
    assert [o.id for o in rig.quote([(4_700, 10)])] == [8]


def test_orders_of_an_instrument_not_listed_yet_hold_the_start_up(make_rig: Any) -> None:

    rig = make_rig(settings=ExecutorSettings())
    other = rig.build.binary("venue:m2")
    rig.executor.recover([rig.build.order(1, instrument=other.id)], rig.now)
    rig.feed()
    rig.feed(rig.listing(), fills_listed(rig))
    rig.wait(1)
    rig.feed(rig.listing())
    assert rig.executor.recovering

    rig.feed(InstrumentListed(instrument=other))
    assert rig.state(1) is S.UNKNOWN
    rig.feed(rig.listing(rig.report(1)), fills_listed(rig))
    assert not rig.executor.recovering


@pytest.mark.parametrize("snapshots", [0, 1, 2])
def test_an_order_that_waits_for_its_listing_keeps_its_name_at_the_venue(
    make_rig: Any, snapshots: int
) -> None:
    rig = make_rig(settings=ExecutorSettings(), cash=0, empty=True)
    other = rig.build.binary("venue:m2")
    rig.executor.adopt(rig.build.order(1, instrument=other.id), rig.now, Identity("0xname"))
    for _ in range(snapshots):
        state = rig.executor.snapshot()
        rig = make_rig(settings=ExecutorSettings(), cash=0, empty=True)
        rig.executor.restore(state)
    rig.executor.recover([], rig.now)
    rig.feed(InstrumentListed(instrument=other))
    assert rig.executor.record(1).identity == "0xname"
    assert rig.state(1) is S.UNKNOWN


def test_an_answer_to_a_question_from_before_is_not_taken_for_the_one_that_counts(
    make_rig: Any,
) -> None:
    """Two questions cross at a start; the first answer must not delay it to the next round."""
    rig = make_rig(settings=ExecutorSettings())
    rig.now += 1_000 * 1_000_000_000
    executor, since = rig.executor, []
    for orders in ((), (rig.build.order(1, created_ns=5),)):
        executor.recover(orders, rig.now)
        since += [effect.since_ns for effect in rig.feed() if isinstance(effect, QueryFills)]
    assert since[0] > since[1]
    rig.feed(rig.listing(rig.report(1)), fills_listed(rig, since_ns=since[0]))
    assert executor.recovering
    rig.feed(fills_listed(rig, since_ns=since[1]))
    assert not executor.recovering


def test_journaled_events_are_replayed_before_recovery(make_rig: Any) -> None:
    rig = make_rig(settings=ExecutorSettings())
    executor = rig.executor
    executor.adopt(rig.build.order(1), rig.now)
    executor.adopt(rig.build.order(1), rig.now)
    for message in (rig.event(OrderUnanswered, 1, reason="x"), rig.fill(1, 100)):
        executor.receive(message, rig.now)
    executor.recover([], rig.now)
    assert rig.state(1) is S.FILLED
    assert executor.ledger.holding(M1).yes_pending == 100 * SHARE


def test_a_missed_fill_is_booked_from_the_listing_of_fills(listing: Any) -> None:
    missed = listing.fill(1, 40)
    listing.feed(fills_listed(listing, missed, missed))
    assert listing.executor.ledger.holding(M1).yes_pending == 40 * SHARE
    assert listing.executor.order(OrderId(1)).side is Side.BUY


def asked_since(rig: Any, made_ns: int) -> list[int]:
    """Have order 1 filled whole, and for half an hour list the fill to whom asks since `made_ns`.

    Our clock is ahead of the venue's, and nobody told that the fill was settled. Return since when
    fills were asked for.
    """
    rig.now = 100_000 * 1_000_000_000
    recover(rig)
    rig.wait(60)
    rig.feed(fills_listed(rig))
    rig.rest(BIDS)
    fill, since = rig.fill(1, 100), []
    rig.feed(fill)
    settled = msgspec.structs.replace(fill, state=FillState.CONFIRMED)
    for _ in range(1_800):
        for effect in rig.wait(1):
            if isinstance(effect, QueryFills):
                since.append(effect.since_ns)
                listed = (settled,) if effect.since_ns <= made_ns else ()
                rig.feed(fills_listed(rig, *listed, since_ns=effect.since_ns))
    return since


def test_an_unsettled_fill_made_minutes_before_it_was_heard_of_is_settled_by_a_listing(
    make_rig: Any,
) -> None:
    rig = make_rig(settings=ExecutorSettings())
    asked_since(rig, 99_600 * 1_000_000_000)
    assert rig.executor.ledger.holding(M1).yes.settled == 100 * SHARE
    assert not rig.executor.ledger.state.fills.unsettled


def test_an_unsettled_fill_that_is_never_listed_is_not_asked_further_back_for_ever(
    make_rig: Any,
) -> None:
    since = asked_since(make_rig(settings=ExecutorSettings()), 0)
    assert min(since) == since[-1] == since[len(since) // 2]


# -- late answers ----------------------------------------------------------------------------------


def test_a_late_listing_is_no_answer_to_a_newer_question(listing: Any) -> None:
    listing.feed(LatchSet(who="me", reason="stop"), listing.event(OrderCancelled, 1))
    older = listing.asked[QueryOpenOrders, None]
    for _ in range(100):  # nobody answers: it is asked anew
        listing.wait(0.5)
        if listing.asked[QueryOpenOrders, None] > older:
            break
    late = msgspec.structs.replace(listing.listing(), answers=older)
    listing.feed(late, late, late)
    assert listing.executor.proven(None) is None
    next_listing(listing)
    next_listing(listing)
    assert listing.executor.proven(None) is not None


def test_a_late_listing_lacks_nothing(listing: Any) -> None:
    late = msgspec.structs.replace(listing.listing(), answers=listing.asked[QueryOpenOrders, None])
    next_listing(listing, listing.report(1))
    for _ in range(4):
        listing.feed(late)
    assert listing.state(1) is S.OPEN


def test_a_failure_of_an_older_question_does_not_end_the_newer_one(listing: Any) -> None:
    older = listing.asked[QueryOpenOrders, None]
    next_listing(listing, listing.report(1))
    listing.wait(60)
    asked = listing.asked[QueryOpenOrders, None]
    assert asked > older
    account = listing.build.account
    listing.feed(
        QueryFailed(
            account=account, question="QueryOpenOrders", order=None, reason="late", answers=older
        )
    )
    listing.wait(1)
    assert listing.asked[QueryOpenOrders, None] == asked


def test_a_late_not_found_from_before_an_order_was_unknown_is_no_doubt(listing: Any) -> None:
    listing.feed(
        listing.event(OrderUnanswered, 1, reason="lost"), listing.event(CancelUnanswered, 1)
    )
    assert listing.state(1) is S.UNKNOWN
    listing.wait(5)
    first = listing.asked[QueryOrder, 1]
    listing.feed(listing.event(OrderUnanswered, 1, reason="it timed out only now"))
    listing.feed(listing.event(OrderNotFound, 1, answers=first))
    record = listing.executor.record(OrderId(1))
    assert (listing.state(1), record.not_found) == (S.UNKNOWN, 0)


def test_a_not_found_of_an_earlier_doubt_does_not_count_in_the_next_one(unknown: Any) -> None:
    unknown.wait(5)
    first = unknown.asked[QueryOrder, 1]
    unknown.feed(unknown.event(OrderAccepted, 1))
    unknown.feed(unknown.event(CancelUnanswered, 1))
    assert unknown.state(1) is S.UNKNOWN
    unknown.feed(unknown.event(OrderNotFound, 1, answers=first))
    assert unknown.executor.record(OrderId(1)).not_found == 0
    unknown.wait(5)
    unknown.feed(unknown.event(OrderNotFound, 1))
    assert unknown.executor.record(OrderId(1)).not_found == 1
