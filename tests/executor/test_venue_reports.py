from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.domain.effects import PlaceOrder, QueryFills, RaiseAlert
from engine.domain.events import (
    FillAdvanced,
    FillSettled,
    FillsListed,
    InstrumentListed,
    LatchReleased,
    LatchSet,
    LossAccepted,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderNamed,
    OrderNotSent,
    OrderRejected,
    OrderReported,
    OrderSent,
)
from engine.domain.fills import FillState
from engine.domain.instruments import InstrumentId, Leg, Side
from engine.domain.orders import (
    CancelReason,
    Identity,
    OrderId,
    OrderReport,
    OrderState,
    RejectReason,
)
from engine.executor.executor import ExecutorSettings

S = OrderState
M1 = InstrumentId("venue:m1")
SHARE = 1_000_000
BIDS = [(4_800, 100)]


def alerts(effects: list[Any]) -> list[str]:
    return [effect.kind for effect in effects if isinstance(effect, RaiseAlert)]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (OrderNamed, {"identity": Identity("x")}),
        (OrderSent, {}),
        (OrderAccepted, {}),
        (OrderNotSent, {"reason": "x"}),
        (OrderRejected, {"reason": RejectReason.OTHER}),
        (OrderCancelled, {}),
        (OrderExpired, {}),
    ],
)
def test_news_of_an_order_forgotten_long_ago_is_no_news(
    make_rig: Any, kind: Any, changes: dict[str, Any]
) -> None:
    rig = make_rig(settings=ExecutorSettings(starts_reconciled=True, ended_orders_max=1))
    for number in (1, 2):
        for order in rig.quote([(4_800, 100)], [(5_200, 100)]) if number == 1 else ():
            rig.open(order.id)
    rig.feed(rig.quotes(), rig.event(OrderCancelled, 1), rig.event(OrderCancelled, 2))
    assert rig.executor.order(OrderId(1)) is None
    assert rig.feed(rig.event(kind, 1, **changes)) == []


def test_a_throttled_place_may_be_named_and_sent_again(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    rig.send(1)
    assert rig.state(1) is S.SENT


def test_a_cancel_for_lack_of_funds_pauses_and_asks_the_balance(rig: Any) -> None:
    rig.rest(BIDS)
    effects = rig.feed(rig.event(OrderCancelled, 1, reason=CancelReason.NO_FUNDS))
    assert [type(effect).__name__ for effect in effects] == ["QueryBalances"]
    assert rig.executor._table.instruments[M1].refusals == 1


def test_a_cancelled_order_with_untold_fills_has_them_asked(rig: Any) -> None:
    rig.rest(BIDS)
    report = rig.report(1, S.PARTIAL, filled=30 * SHARE)
    rig.feed(OrderReported(account=rig.build.account, report=report))
    rig.feed(rig.event(OrderCancelled, 1))
    assert rig.state(1) is S.UNKNOWN
    assert rig.executor.ledger.cash_free_micro == 952 * SHARE
    rig.feed(rig.fill(1, 10))
    assert rig.state(1) is S.UNKNOWN
    rig.feed(rig.fill(1, 20))
    assert rig.state(1) is S.CANCELLED
    assert rig.executor.ledger.holding(M1).yes_pending == 30 * SHARE


def test_a_cancelled_sell_keeps_its_tokens_until_what_was_filled_of_it_is_booked(rig: Any) -> None:
    (bought,) = rig.rest([(4_800, 100)])
    rig.feed(rig.fill(bought.id, 100, state=FillState.CONFIRMED))
    (sold,) = rig.rest([], [(5_200, 100)])
    assert (sold.leg, sold.side) == (Leg.YES, Side.SELL)
    rig.quote([], [(5_300, 100)])
    report = rig.report(sold.id, S.CANCELLED, filled=40 * SHARE)
    reported = OrderReported(account=rig.build.account, report=report)
    placed = rig.feed(reported, rig.event(OrderCancelled, sold.id))
    assert not [effect for effect in placed if isinstance(effect, PlaceOrder)]

    placed = rig.feed(rig.fill(sold.id, 40))

    (again,) = [
        one.order for one in placed if isinstance(one, PlaceOrder) and one.order.side is Side.SELL
    ]
    assert again.size == 60 * SHARE


def test_an_end_that_comes_late_has_the_fills_asked_it_tells_of(rig: Any) -> None:
    rig.rest(BIDS)
    rig.feed(rig.event(OrderCancelled, 1))
    report = rig.report(1, S.CANCELLED, filled=30 * SHARE)
    effects = rig.feed(OrderReported(account=rig.build.account, report=report))
    assert any(isinstance(effect, QueryFills) for effect in effects)


def test_an_open_order_reported_gone_with_untold_fills_is_unknown_until_they_are_told(
    rig: Any,
) -> None:
    rig.rest(BIDS)
    report = rig.report(1, S.FILLED, filled=100 * SHARE)
    effects = rig.feed(OrderReported(account=rig.build.account, report=report))
    assert any(isinstance(effect, QueryFills) for effect in effects)
    assert rig.state(1) is S.UNKNOWN
    rig.feed(rig.fill(1, 100))
    assert rig.state(1) is S.FILLED


def test_a_sent_order_reported_gone_with_untold_fills_is_unknown_until_they_are_told(
    rig: Any,
) -> None:
    """As a third life reads it: the second one had asked, and that it asked is in no journal."""
    rig.quote(BIDS)
    rig.send(1)
    report = rig.report(1, S.FILLED, filled=100 * SHARE)
    effects = rig.feed(OrderReported(account=rig.build.account, report=report))
    assert any(isinstance(effect, QueryFills) for effect in effects)
    assert rig.state(1) is S.UNKNOWN
    rig.feed(rig.fill(1, 100))
    assert rig.state(1) is S.FILLED


def test_a_report_about_an_ended_order_changes_nothing(rig: Any) -> None:
    rig.rest(BIDS)
    report = rig.report(1)
    rig.feed(rig.quotes(), rig.event(OrderCancelled, 1))
    assert rig.feed(OrderReported(account=rig.build.account, report=report)) == []
    assert rig.state(1) is S.CANCELLED


def test_a_confirmed_fill_told_as_failed_by_a_listing_is_a_contradiction(rig: Any) -> None:
    rig.rest(BIDS)
    fill = rig.fill(1, 10, state=FillState.CONFIRMED)
    rig.feed(fill)
    failed = msgspec.structs.replace(fill, state=FillState.FAILED)
    assert "contradiction" in alerts(rig.feed(failed))
    assert rig.feed(failed) == []  # said once


def test_progress_of_a_settlement_changes_no_money(rig: Any) -> None:
    rig.rest(BIDS)
    fill = rig.fill(1, 100)
    rig.feed(fill, rig.quotes())
    account = rig.build.account
    for state in (FillState.MINED, FillState.RETRYING, FillState.MINED):
        rig.feed(FillAdvanced(account=account, fill=fill.fill, state=state))
    assert rig.executor.ledger.holding(M1).yes_pending == 100 * SHARE
    rig.feed(FillSettled(account=account, fill=fill.fill))
    assert rig.executor.ledger.holding(M1).yes_settled == 100 * SHARE


def test_an_order_that_filled_before_its_answer_said_it_never_left_stays_filled(rig: Any) -> None:
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.fill(1, 100), rig.quotes())
    rig.feed(rig.event(OrderNotSent, 1, reason="425: the venue restarts"))
    assert rig.state(1) is S.FILLED
    assert rig.executor.ledger.holding(M1).yes_pending == 100 * SHARE


@pytest.mark.parametrize("first", [True, False], ids=["booked before", "void at birth"])
def test_a_failed_fill_is_told_where_a_listing_says_it(rig: Any, first: bool) -> None:
    """The stream may have been down when the venue said it."""
    rig.rest(BIDS)
    fill = rig.fill(1, 100)
    if first:
        rig.feed(fill, rig.quotes())
    failed = msgspec.structs.replace(fill, state=FillState.FAILED)
    listed = FillsListed(account=rig.build.account, since_ns=0, fills=(failed,))
    assert alerts(rig.feed(listed, rig.quotes())) == ["fill_failed"]
    assert alerts(rig.feed(listed, failed)) == []
    assert rig.executor.ledger.holding(M1).flat
    assert rig.executor.ledger.state.cash_settled_micro == 1_000_000_000


def test_a_failed_fill_is_told_although_its_order_is_forgotten_with_it(make_rig: Any) -> None:
    rig = make_rig(settings=ExecutorSettings(starts_reconciled=True, ended_orders_max=1))
    rig.rest([(4_800, 100), (4_700, 100)])
    rig.feed(rig.fill(1, 100), rig.quotes())  # undecided: it is remembered in the other's place
    assert alerts(rig.feed(rig.fill(2, 100, state=FillState.FAILED))) == ["fill_failed"]
    assert rig.executor.order(OrderId(2)) is None


def test_a_fill_that_breaks_a_rule_is_booked_and_told(rig: Any) -> None:
    rig.rest(BIDS)
    effects = rig.feed(rig.fill(1, 100, fee_micro=2_000_000_000))
    assert "cash_negative" in alerts(effects)
    rig.executor.ledger.check()


def test_a_linear_sale_beyond_what_is_held_is_booked_and_told(make_rig: Any, build: Any) -> None:
    spot = build.spot()
    rig = make_rig(instruments=(spot,), settings=ExecutorSettings())
    order = build.order(1, instrument=spot.id, leg=Leg.BASE, side=Side.SELL, size=10_000)
    rig.executor.recover([order], rig.now)
    effects = rig.feed(rig.fill(1, 0.01, price=5_000_000, state=FillState.CONFIRMED))
    assert "oversold" in alerts(effects)
    assert rig.executor.ledger.holding(spot.id).position == -10_000


def test_events_of_an_order_whose_instrument_is_not_listed_yet_wait_for_the_listings(
    make_rig: Any,
) -> None:
    rig = make_rig(settings=ExecutorSettings())
    other = rig.build.binary("venue:m2")
    rig.executor.adopt(rig.build.order(1, instrument=other.id), rig.now)
    rig.executor.adopt(rig.build.order(2), rig.now)
    fill = rig.fill(1, 40, price=4_800)
    for event in (rig.event(OrderAccepted, 1), fill):
        assert rig.executor.receive(event, rig.now) == []
    rig.executor.recover([], rig.now)
    effects = rig.feed(InstrumentListed(instrument=other))
    (query,) = [effect for effect in effects if isinstance(effect, QueryFills)]
    assert query.since_ns == 0
    rig.feed(fill)
    assert rig.executor.ledger.holding(other.id).yes_pending == 40 * SHARE


def test_a_number_the_venue_knows_and_we_do_not_is_given_to_no_order(rig: Any) -> None:
    """As behind a restored backup: orders and fills since then are the venue's alone."""
    account = rig.build.account
    theirs = tuple(rig.build.filled(one, f"f{one}", size=50 * SHARE) for one in (7, 5))
    listed = FillsListed(account=account, since_ns=0, fills=theirs)
    assert alerts(rig.feed(listed)) == ["contradiction"]
    report = OrderReport(
        identity=Identity("id9"), order=OrderId(9), ours=True, instrument=M1, leg=Leg.YES,
        side=Side.BUY, price=4_800, size=100 * SHARE, filled=0, state=S.OPEN,
    )  # fmt: skip
    rig.feed(rig.listing(report))
    rig.feed(LatchReleased(who="ann", reason="compared with the venue"))
    (order,) = rig.rest(BIDS)
    assert order.id == 10
    rig.feed(listed)
    assert rig.executor.ledger.holding(M1).flat
    assert rig.executor.healthy


def test_a_kill_s_release_does_not_go_on_with_a_journal_that_is_behind(rig: Any) -> None:
    """A person who releases everything has not compared this account: its own release does."""
    theirs = (rig.build.filled(7, "f7", size=50 * SHARE),)
    rig.feed(FillsListed(account=rig.build.account, since_ns=0, fills=theirs))
    rig.feed(LatchSet(who="ann", reason="KILL"))
    rig.feed(LatchReleased(who="ann", reason="zero is proven", whole=True))
    (why,) = rig.executor.to_release
    assert "python -m engine recover" in why
    assert not rig.executor.healthy
    rig.feed(LatchReleased(who="ann", reason="compared with the venue"))
    assert rig.executor.healthy


def test_what_recover_writes_lets_go_of_a_journal_that_was_behind(rig: Any) -> None:
    theirs = (rig.build.filled(7, "f7", size=50 * SHARE),)
    rig.feed(FillsListed(account=rig.build.account, since_ns=0, fills=theirs))
    assert not rig.executor.healthy
    accepted = LossAccepted(
        account=rig.build.account, orders_until=OrderId(100), since_ns=0, journal_seq=1,
        projected_seq=2, projected_crc=0, who="ann",
    )  # fmt: skip
    rig.feed(accepted)
    assert rig.executor.to_release == ()
    assert rig.executor.healthy
