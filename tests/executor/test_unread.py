"""Rows that cannot be read, and questions that keep failing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.domain.effects import QueryFills, QueryOpenOrders, RaiseAlert, Severity
from engine.domain.events import (
    FillsListed,
    LatchReleased,
    LatchSet,
    OrderNotFound,
    OrderUnanswered,
    PositionsListed,
    QueryFailed,
    RedemptionsListed,
)
from engine.domain.instruments import InstrumentId, Leg
from engine.domain.orders import OrderId, OrderState
from engine.domain.unread import UnreadRow
from engine.executor.executor import ExecutorSettings

S = OrderState
M1 = InstrumentId("venue:m1")
BIDS = [(4_800, 100)]
STRANGE = UnreadRow(row="t1", reason="its status 'QUEUED' is not known", ours=False)
OURS = UnreadRow(row="t2", reason="its status 'QUEUED' is not known", ours=True)


def fills(rig: Any, *found: Any, unread: Any = ()) -> FillsListed:
    return FillsListed(account=rig.build.account, since_ns=0, fills=found, unread=unread)


def told(effects: list[Any]) -> list[RaiseAlert]:
    return [effect for effect in effects if isinstance(effect, RaiseAlert)]


def wait_for(rig: Any, question: type, *messages: Any) -> list[Any]:
    """Let time pass until a question is asked, and answer it."""
    for _ in range(80):
        if question in map(type, rig.wait(0.5)):
            return list(rig.feed(*messages))
    raise AssertionError(f"{question.__name__} was not asked")


@pytest.fixture
def recovering(make_rig: Any) -> Any:
    """An account at its start: nothing has been listed yet."""
    return make_rig(settings=ExecutorSettings())


@pytest.fixture
def rig(make_rig: Any) -> Any:
    """An account that recovered, and goes on asking."""
    made = make_rig(settings=ExecutorSettings())
    made.feed(made.listing(), fills(made))
    made.wait(1)
    made.feed(made.listing())
    assert made.executor.healthy
    return made


def halted(rig: Any) -> tuple[str, ...]:
    return tuple(rig.executor.to_release)


# -- rows ------------------------------------------------------------------------------------------


def test_a_stranger_s_row_hides_no_fill_of_ours_and_is_named_once(rig: Any) -> None:
    rig.rest(BIDS)
    effects = wait_for(rig, QueryFills, fills(rig, rig.fill(1, 40), unread=(STRANGE,)))
    assert rig.executor.ledger.holding(M1).position == 40_000_000
    (alert,) = told(effects)
    assert (alert.kind, alert.severity) == ("unread_row", Severity.WARNING)
    assert "t1" in alert.text
    assert "QUEUED" in alert.text
    assert not halted(rig)
    assert not told(wait_for(rig, QueryFills, fills(rig, unread=(STRANGE,))))


def test_a_start_is_not_held_up_by_a_stranger_s_row(recovering: Any) -> None:
    listing = msgspec.structs.replace(recovering.listing(), unread=(STRANGE,))
    recovering.feed(listing, fills(recovering, unread=(STRANGE,)))
    recovering.wait(1)
    recovering.feed(listing)
    assert recovering.executor.healthy


def test_a_row_of_ours_that_cannot_be_read_halts_and_is_named(rig: Any) -> None:
    rig.rest(BIDS)
    effects = wait_for(rig, QueryFills, fills(rig, unread=(OURS,)))
    (text,) = halted(rig)
    assert "t2" in text
    assert [alert.severity for alert in told(effects)] == [Severity.CRITICAL]
    assert not rig.quote([(4_700, 100)])


def test_a_row_that_a_person_has_judged_halts_no_second_time(rig: Any) -> None:
    rig.rest(BIDS)
    wait_for(rig, QueryFills, fills(rig, unread=(OURS,)))
    rig.feed(LatchReleased(who="me", reason="compared"))
    wait_for(rig, QueryFills, fills(rig, unread=(OURS,)))
    assert not halted(rig)


def test_kill_is_proven_beside_a_stranger_s_row_and_not_beside_one_of_ours(rig: Any) -> None:
    rig.feed(LatchSet(who="me", reason="test"))
    listing = rig.listing()
    for _ in range(3):
        wait_for(rig, QueryOpenOrders, msgspec.structs.replace(listing, unread=(OURS,)))
    assert rig.executor.proven(None) is None
    for _ in range(3):
        wait_for(rig, QueryOpenOrders, msgspec.structs.replace(listing, unread=(STRANGE,)))
    assert rig.executor.proven(None) is not None


def test_an_open_order_whose_row_cannot_be_read_is_not_missing(rig: Any) -> None:
    rig.rest(BIDS)
    row = UnreadRow(row="id1", reason="price 'x' is not a number", ours=True, order=OrderId(1))
    for _ in range(3):
        wait_for(rig, QueryOpenOrders, msgspec.structs.replace(rig.listing(), unread=(row,)))
    assert rig.state(1) is not S.UNKNOWN


def test_not_found_is_not_believed_while_a_fill_of_ours_cannot_be_read(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.event(OrderUnanswered, 1, reason="timeout"))
    for _ in range(40):
        kinds = set(map(type, rig.wait(0.5)))
        if QueryFills in kinds:
            rig.feed(fills(rig, unread=(OURS,)))
        rig.feed(rig.event(OrderNotFound, 1))
    assert rig.state(1) is S.UNKNOWN


def test_tokens_and_payments_of_markets_without_a_stake_halt_nothing(rig: Any) -> None:
    account = rig.build.account
    other = UnreadRow(row="x", reason="no size", ours=True, instrument=InstrumentId("venue:m9"))
    own = msgspec.structs.replace(other, row="y", instrument=M1)
    rig.feed(PositionsListed(account=account, holdings=(), unread=(other, own)))
    rig.feed(RedemptionsListed(account=account, since_ns=0, redemptions=(), unread=(other, own)))
    assert not halted(rig)
    rig.rest(BIDS)
    rig.feed(rig.fill(1, 40))
    again = msgspec.structs.replace(own, row="z")
    rig.feed(PositionsListed(account=account, holdings=((M1, Leg.YES, 1),), unread=(again,)))
    rig.feed(RedemptionsListed(account=account, since_ns=0, redemptions=(), unread=(again,)))
    assert ["holdings" in text or "payments" in text for text in halted(rig)] == [True, True]


# -- questions -------------------------------------------------------------------------------------


def fails(rig: Any, question: type, seconds: int) -> list[RaiseAlert]:
    """Let every question of a kind fail for so long; return what a person hears."""
    heard: list[RaiseAlert] = []
    for _ in range(2 * seconds):
        effects = rig.wait(0.5)
        for effect in effects:
            if isinstance(effect, question):
                failed = QueryFailed(
                    account=rig.build.account, question=question.__name__, order=None,
                    reason="BadInput: /data/trades answered no page", answers=effect.number,
                )  # fmt: skip
                effects = [*effects, *rig.feed(failed)]
        heard += [one for one in told(effects) if one.kind.startswith("question_")]
    return heard


@pytest.mark.parametrize("question", [QueryFills, QueryOpenOrders])
@pytest.mark.parametrize("start", [True, False], ids=["at the start", "later"])
def test_a_question_that_keeps_failing_is_reported_with_its_reason(
    recovering: Any, rig: Any, question: type, start: bool
) -> None:
    one = recovering if start else rig
    heard = [alert for alert in fails(one, question, 100) if "no page" in alert.text]
    assert [alert.severity for alert in heard] == [Severity.CRITICAL]
    answer = fills(one) if question is QueryFills else one.listing()
    effects = wait_for(one, question, answer)
    assert [alert.severity for alert in told(effects)] == [Severity.INFO]


def test_a_question_that_failed_for_less_than_a_minute_is_no_news(rig: Any) -> None:
    assert not [one for one in fails(rig, QueryFills, 59) if "no page" in one.text]
    wait_for(rig, QueryFills, fills(rig))
    assert not [one for one in fails(rig, QueryFills, 59) if "no page" in one.text]


def test_a_question_without_any_answer_is_reported_too(recovering: Any) -> None:
    heard: list[Any] = []
    for _ in range(200):
        heard += told(recovering.wait(0.5))
    assert {"its fills", "its open orders"} <= {
        name for one in heard for name in ("its fills", "its open orders") if name in one.text
    }
