from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.domain.effects import OrderChanged, QueryFills
from engine.domain.events import (
    CashMoved,
    FillsListed,
    FillVoided,
    LatchSet,
    OrderAccepted,
    OrderCancelled,
    OrderNamed,
    OrderNotFound,
    OrderNotSent,
    OrderSent,
    OrderUnanswered,
)
from engine.domain.fills import FillState
from engine.domain.instruments import AccountId, InstrumentId
from engine.domain.orders import Identity, OrderId, OrderState
from engine.domain.settings import Limit
from engine.errors import BadInput
from engine.executor.executor import ExecutorSettings
from tests.executor.conftest import BOT, LIMITS

S = OrderState
M1 = InstrumentId("venue:m1")
SHARE = 1_000_000
USD = 1_000_000
BIDS, ASKS = [(4_800, 100)], [(5_200, 100)]


def reborn(make_rig: Any, rig: Any, **changes: Any) -> Any:
    """A fresh executor with the other's snapshot, at the same moment."""
    fresh = make_rig(settings=ExecutorSettings(), cash=0, instruments=(), empty=True, **changes)
    fresh.now = rig.now
    fresh.executor.restore(rig.executor.snapshot())
    return fresh


def test_everything_that_limits_risk_survives(make_rig: Any, rig: Any) -> None:
    rig.rest(BIDS, ASKS)
    fill = rig.fill(1, 40)
    rig.feed(fill)
    rig.feed(rig.event(OrderCancelled, 2))
    rig.feed(LatchSet(who="me", reason="stop"))
    fresh = reborn(make_rig, rig)

    was, now = (msgspec.msgpack.decode(r.executor.snapshot()) for r in (rig, fresh))
    for mark in was["marks"]:
        mark["trusted"] = False  # what was seen before the restart proves nothing any more
    assert now == was
    assert fresh.executor.ledger.cash_free_micro == rig.executor.ledger.cash_free_micro
    assert fresh.gate._exposure.account_micro() == rig.gate._exposure.account_micro()
    assert fresh.state(1) is rig.state(1)
    assert fresh.breakers.latched
    assert fresh.executor.working_sizes(M1, BOT) == rig.executor.working_sizes(M1, BOT)


def test_tokens_whose_sale_may_still_fail_count_as_risk_after_a_start(
    make_rig: Any, rig: Any
) -> None:
    rig.rest(BIDS)
    rig.feed(rig.fill(1, 100, state=FillState.CONFIRMED))
    rig.quote()
    (sale,) = rig.rest((), ASKS)
    rig.feed(rig.fill(sale.id, 100))
    assert rig.executor.ledger.holding(M1).flat
    before = rig.gate._exposure.account_micro()
    assert before == (48 + 48) * USD  # what was sold, and a bid whose cancel nobody has answered
    assert reborn(make_rig, rig).gate._exposure.account_micro() == before


def test_an_end_that_is_read_back_asks_no_person_to_compare(make_rig: Any, rig: Any) -> None:
    """The life before had its listing of fills; this one reads only what was said of the order."""
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.event(OrderUnanswered, 1, reason="timeout"))
    for _ in range(200):
        rig.wait(1)
    fresh = reborn(make_rig, rig)
    for number in (98, 99):
        fresh.executor.receive(fresh.event(OrderNotFound, 1, answers=number), fresh.now)
    fresh.executor.restore_change(
        OrderChanged(account=fresh.build.account, order=OrderId(1), state=S.CANCELLED, filled=0)
    )
    fresh.feed()
    assert not any("compare" in why for why in fresh.executor.reasons)


def test_an_order_found_gone_after_the_snapshot_is_told_as_unknown_again(
    make_rig: Any, rig: Any
) -> None:
    """Nothing in the venue's words ended it: its row must not say more than the engine knows."""
    rig.quote(BIDS)
    rig.send(1)
    fresh = reborn(make_rig, rig)
    unknown, gone = (
        OrderChanged(account=fresh.build.account, order=OrderId(1), state=state, filled=0)
        for state in (S.UNKNOWN, S.CANCELLED)
    )
    fresh.executor.restore_change(unknown)
    fresh.executor.receive(fresh.event(OrderUnanswered, 1, reason="timeout"), fresh.now)
    fresh.executor.restore_change(gone)
    fresh.executor.recover((), fresh.now)
    (told,) = fresh.executor._table.take_changes()  # before a cancel of it tells it anyway
    assert (told.order, told.state) == (1, S.UNKNOWN)


def test_a_name_lost_with_the_journals_end_is_learned_from_a_listing(make_rig: Any) -> None:
    fresh = make_rig(settings=ExecutorSettings())
    order = fresh.build.order(1)
    fresh.executor.adopt(order, fresh.now)
    fresh.executor.receive(fresh.event(OrderNotSent, 1, reason="no name"), fresh.now)
    fresh.executor.recover((), fresh.now)
    fresh.now += 1_000_000_000
    fresh.feed(fresh.listing(fresh.report(1)))
    known = fresh.executor.record(OrderId(1))
    assert known is not None
    assert known.identity == fresh.report(1).identity


def test_a_ghost_fill_is_reversed_after_the_restart(make_rig: Any, rig: Any) -> None:
    rig.rest(BIDS)
    fill = rig.fill(1, 100)
    rig.feed(fill, rig.quotes())
    fresh = reborn(make_rig, rig)
    for _ in range(2):
        fresh.feed(FillVoided(account=rig.build.account, fill=fill.fill))

    assert fresh.executor.ledger.holding(M1).position == 0
    assert fresh.gate._exposure.instrument_micro(M1) == 0
    fresh.executor.ledger.check()


def test_a_fill_told_again_after_the_restart_is_not_booked_twice(make_rig: Any, rig: Any) -> None:
    rig.rest(BIDS)
    fill = rig.fill(1, 40)
    rig.feed(fill)
    fresh = reborn(make_rig, rig)
    fresh.executor.recover([], fresh.now)
    fresh.feed(FillsListed(account=rig.build.account, since_ns=0, fills=(fill,)))
    assert fresh.executor.ledger.holding(M1).yes_pending == 40 * SHARE


def test_order_numbers_are_never_reused(make_rig: Any, rig: Any) -> None:
    rig.rest(BIDS)
    fresh = reborn(make_rig, rig)
    fresh.executor.recover([], fresh.now)
    fresh.feed()
    account = rig.build.account
    fresh.feed(fresh.listing(fresh.report(1)), FillsListed(account=account, since_ns=0, fills=()))
    fresh.feed(OrderCancelled(account=account, order=OrderId(1)))
    fresh.feed(fresh.mark())
    assert [order.id for order in fresh.quote(BIDS)] == [2]


def test_a_settled_buy_that_was_being_sold_comes_back_with_its_exposure(
    make_rig: Any, rig: Any
) -> None:
    rig.rest(BIDS)
    rig.feed(rig.fill(1, 100, state=FillState.CONFIRMED), rig.quotes())
    rig.rest([], ASKS)
    sale = rig.fill(2, 60)
    rig.feed(sale, rig.quotes())
    fresh = reborn(make_rig, rig)
    assert fresh.gate._exposure.account_micro() == rig.gate._exposure.account_micro()
    fresh.feed(FillVoided(account=rig.build.account, fill=sale.fill))
    assert fresh.executor.ledger.holding(M1).yes_settled == 100 * SHARE


def test_fills_are_asked_from_before_the_snapshot(make_rig: Any) -> None:
    rig = make_rig(settings=ExecutorSettings())
    account = rig.build.account
    rig.feed(rig.listing(), FillsListed(account=account, since_ns=0, fills=()))
    believed = rig.now
    rig.now += 3_600 * 10**9
    fresh = reborn(make_rig, rig)
    fresh.now += 10**9
    effects = fresh.executor.recover([], fresh.now) + fresh.feed()
    (query,) = [effect for effect in effects if isinstance(effect, QueryFills)]
    assert query.since_ns == max(0, believed - 120 * 10**9)


def test_fills_are_asked_from_the_first_order_on_where_none_were_ever_listed(make_rig: Any) -> None:
    """The first life of an account may end before its first snapshot, and it may be down long."""
    fresh = make_rig(settings=ExecutorSettings(), cash=0)
    fresh.now = 100_000 * 1_000_000_000
    fresh.executor.adopt(fresh.build.order(1, created_ns=fresh.now), fresh.now)
    for event in (fresh.event(OrderAccepted, 1), fresh.event(OrderCancelled, 1)):
        fresh.executor.receive(event, fresh.now)
    ended_ns = fresh.now
    fresh.now += 3_600 * 1_000_000_000
    effects = fresh.executor.recover([], fresh.now) + fresh.feed()
    (query,) = [effect for effect in effects if isinstance(effect, QueryFills)]
    assert query.since_ns <= ended_ns


def test_a_restart_does_not_look_like_a_loss(make_rig: Any, limits: Any) -> None:
    strict = limits.model_copy(update={"kill_drawdown_max": Limit(absolute=10)})
    rig = make_rig(limits=strict)
    rig.rest(BIDS)
    rig.feed(rig.fill(1, 100, state=FillState.CONFIRMED), rig.quotes(), rig.mark())
    fresh = reborn(make_rig, rig, limits=strict)
    fresh.now += 3_600 * 10**9  # every mark is too old to be worth anything
    fresh.executor._markets.marks.clear()
    fresh.executor.recover([], fresh.now)
    account = rig.build.account
    fresh.feed()
    listed = FillsListed(account=account, since_ns=0, fills=())
    fresh.feed(fresh.listing(), listed)
    fresh.wait(1, marked=False)
    fresh.feed(fresh.listing())

    assert not fresh.executor.recovering
    assert not fresh.executor.healthy  # equity has not been judged
    fresh.feed(fresh.mark())
    assert fresh.executor.healthy
    assert not fresh.breakers.latched


def test_a_holding_that_is_never_marked_holds_the_start_only_so_long(make_rig: Any) -> None:
    rig = make_rig()
    rig.rest(BIDS)
    rig.feed(rig.fill(1, 100, state=FillState.CONFIRMED), rig.quotes())
    fresh = reborn(make_rig, rig)
    fresh.executor._markets.marks.clear()
    fresh.executor.recover([], fresh.now)
    fresh.feed()
    listed = FillsListed(account=rig.build.account, since_ns=0, fills=())
    fresh.feed(fresh.listing(), listed)
    fresh.wait(1, marked=False)
    fresh.feed(fresh.listing())
    for _ in range(29):
        fresh.wait(1, marked=False)
    assert not fresh.executor.healthy
    fresh.wait(2, marked=False)
    assert fresh.executor.healthy


def test_a_snapshot_that_cannot_be_read_is_refused(make_rig: Any, rig: Any) -> None:
    fresh = make_rig(cash=0, empty=True)
    with pytest.raises(BadInput, match="cannot be read"):
        fresh.executor.restore(b"\x00")
    rig.executor.account = AccountId("demo:other")
    other = msgspec.msgpack.decode(rig.executor.snapshot()) | {"account": "demo:other"}
    with pytest.raises(BadInput, match="is of demo:other"):
        fresh.executor.restore(msgspec.msgpack.encode(other))
    with pytest.raises(BadInput, match="already in use"):
        rig.executor.restore(make_rig().executor.snapshot())


def test_a_journal_replayed_onto_the_snapshot_gives_the_same_state(make_rig: Any, rig: Any) -> None:
    """Snapshot, then PlaceOrders and events since: the same orders, money and reservations."""
    account = rig.build.account
    rig.rest(BIDS)
    saved = rig.executor.snapshot()
    records: list[Any] = list(rig.feed(rig.quotes(BIDS, ASKS)))
    events = [
        OrderNamed(account=account, order=OrderId(2), identity=Identity("id2")),
        OrderSent(account=account, order=OrderId(2)),
        OrderAccepted(account=account, order=OrderId(2)),
        rig.fill(1, 40),
        rig.fill(2, 30, price=4_800, state=FillState.CONFIRMED),
        CashMoved(account=account, currency="USD", amount_micro=5 * USD),
        OrderUnanswered(account=account, order=OrderId(2), reason="late"),
    ]
    for event in events:
        rig.executor.receive(event, rig.now)
    fresh = make_rig(settings=ExecutorSettings(), cash=0, empty=True)
    fresh.now = rig.now
    fresh.executor.restore(saved)
    for record in records:
        fresh.executor.adopt(record.order, rig.now)
    for event in events:
        fresh.executor.receive(event, rig.now)

    assert fresh.executor.ledger.state == rig.executor.ledger.state
    assert [fresh.state(n) for n in (1, 2)] == [S.PARTIAL, S.PARTIAL]
    assert fresh.gate._exposure.account_micro() == rig.gate._exposure.account_micro()


def test_capital_and_a_markets_limit_bind_through_the_executor_and_after_a_restart(
    make_rig: Any, build: Any
) -> None:
    two = [build.binary(f"venue:m{n}", market="venue:event:7") for n in (1, 2)]
    limits = LIMITS.model_copy(update={"exposure_market_max": Limit(absolute=60)})
    rig = make_rig(limits=limits, instruments=tuple(two))
    rig.gate.exposure.capital_micro[build.bot] = 70 * USD

    (first,) = rig.rest(BIDS)
    (second,) = rig.rest(BIDS, name="venue:m2")
    assert (first.size, second.size) == (100 * SHARE, 25 * SHARE)  # 48 + 12 of 60

    fresh = reborn(make_rig, rig, limits=limits)
    fresh.gate.exposure.capital_micro[build.bot] = 55 * USD
    assert fresh.gate.exposure.market_micro("venue:event:7") == 60 * USD
    assert fresh.gate.exceeded(M1, 2)  # the market is full, and the bot is over its capital
    fresh.gate.exposure.capital_micro[build.bot] = 70 * USD
    assert not fresh.gate.exceeded(M1, 2)
