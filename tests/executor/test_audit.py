"""The audit: what ledger and venue say differently is told, and halts what adds risk."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.domain.effects import (
    CancelOrders,
    KeepDifferences,
    QueryBalances,
    QueryFills,
    QueryRedemptions,
    RaiseAlert,
)
from engine.domain.events import (
    BalancesListed,
    InstrumentListed,
    LatchReleased,
    OrderCancelled,
    PositionsListed,
    QueryFailed,
    RedemptionsListed,
)
from engine.domain.fills import FillState
from engine.domain.instruments import InstrumentId, Kind, Leg, Side
from engine.domain.intents import ResidualReason
from engine.domain.orders import OrderState
from engine.executor.executor import ExecutorSettings
from engine.executor.settlement import trade_signed
from tests.executor.conftest import BOT, Build
from tests.executor.test_reconcile import alerts, fills_listed, recover

S = OrderState
M1 = InstrumentId("venue:m1")
SHARE = 1_000_000
USD = 1_000_000
BIDS = [(4_800, 100)]


@pytest.fixture
def listing(make_rig: Any) -> Any:
    """A rig that asks for listings from the start, already recovered, order 1 resting."""
    rig = make_rig(settings=ExecutorSettings())
    recover(rig)
    rig.rest(BIDS)
    rig.effects.clear()
    return rig


def balances(rig: Any, cash: int) -> BalancesListed:
    return BalancesListed(account=rig.build.account, cash_micro={"USD": cash})


def positions(rig: Any, *holdings: Any) -> PositionsListed:
    return PositionsListed(account=rig.build.account, holdings=holdings)


def looked(rig: Any, answer: Any) -> list[Any]:
    """Answer what is asked of fills, then of cash or tokens."""
    told = rig.feed(fills_listed(rig))
    told += rig.feed(answer)
    return list(told)


@pytest.mark.parametrize("theirs", [1_000 * USD, 952 * USD, 1_000 * USD + 9_999])
def test_cash_that_agrees_is_not_told(listing: Any, theirs: int) -> None:
    for _ in range(3):
        listing.wait(20)
        assert alerts(listing.feed(balances(listing, theirs))) == []


def test_cash_that_differs_twice_is_told_once_with_both_sides(listing: Any) -> None:
    told = []
    for _ in range(4):
        listing.wait(61)
        told += [
            effect
            for effect in looked(listing, balances(listing, 900 * USD))
            if isinstance(effect, RaiseAlert)
        ]
        if listing.state(1) is S.CANCELLING:  # a bid adds risk
            listing.feed(listing.event(OrderCancelled, 1))
    assert [effect.kind for effect in told] == ["cash_differs"]
    assert told[0].text == "the ledger has 1000 USD, the venue 900"


def test_a_gap_however_small_has_payments_asked_where_fundings_may_lack(make_rig: Any) -> None:
    perpetual = Build().spot("venue:BTC/USD:USD", kind=Kind.PERPETUAL)
    rig = make_rig(settings=ExecutorSettings(), instruments=(perpetual,))
    recover(rig)
    ledger = rig.executor.ledger
    trade_signed(ledger.state, ledger._own(perpetual.id, BOT), 100, 5 * USD)
    ours = ledger.state.cash_settled_micro
    asked = []
    for gap in (0, 243, 243, 243, 243, 243, -8, 0, 243):
        rig.wait(61)
        rig.effects.clear()
        rig.feed(balances(rig, ours + gap))
        rig.wait(1)
        asked.append(any(isinstance(one, QueryRedemptions) for one in rig.effects))
        rig.feed(RedemptionsListed(account=rig.build.account, since_ns=0, redemptions=()))
    assert asked == [False, True, True, True, False, False, True, False, True]


def test_tokens_that_differ_twice_are_told_and_dust_is_not(listing: Any) -> None:
    listing.feed(listing.fill(1, 40, state=FillState.CONFIRMED))
    listing.wait(61)
    dust = positions(listing, (M1, Leg.YES, 40 * SHARE - 9_999))
    assert alerts(listing.feed(dust) + listing.feed(dust)) == []
    missing = positions(listing)
    assert alerts(listing.feed(missing) + looked(listing, missing)) == ["position_differs"]
    other = positions(listing, (M1, Leg.YES, 40 * SHARE), (M1, Leg.NO, 5 * SHARE))
    assert alerts(listing.feed(other) + looked(listing, other)) == ["position_differs"]


@pytest.fixture
def differing(listing: Any) -> Any:
    """A rig that holds 40 YES by its ledger and 30 by its venue, which was told twice."""
    listing.feed(listing.quotes())
    listing.feed(listing.fill(1, 40, state=FillState.CONFIRMED))
    listing.feed(listing.event(OrderCancelled, 1))
    for _ in range(2):
        listing.wait(61)
        looked(listing, positions(listing, (M1, Leg.YES, 30 * SHARE)))
    return listing


M2 = InstrumentId("venue:m2")


def test_a_position_that_differs_halts_what_adds_risk_and_its_own_market(differing: Any) -> None:
    (why,) = differing.executor.to_release
    assert why == "the ledger has 40 yes of venue:m1, the venue 30"
    assert differing.quote(BIDS, [(5_200, 40)]) == []
    differing.feed(InstrumentListed(instrument=differing.build.binary(M2)))
    assert differing.quote(BIDS, name=M2) == []


def test_elsewhere_what_leads_to_zero_is_still_placed(differing: Any) -> None:
    differing.executor._blocks.state.differences[:] = [
        msgspec.structs.replace(one, instrument=M2)
        for one in differing.executor._blocks.state.differences
    ]
    placed = differing.quote(BIDS, [(5_200, 25), (5_300, 50)])
    assert [(order.side, order.size) for order in placed] == [
        (Side.SELL, 25 * SHARE),
        (Side.SELL, 15 * SHARE),
    ]
    residuals, _ = differing.executor.explain(M1, BOT)
    assert {one.reason for one in residuals} == {ResidualReason.RISK}


def test_a_difference_is_settled_by_the_venue_s_own_answer(differing: Any) -> None:
    differing.wait(61)
    differing.feed(positions(differing, (M1, Leg.YES, 40 * SHARE)))
    assert differing.executor.to_release == ()
    assert len(differing.quote(BIDS)) == 1


def test_a_difference_a_person_answered_for_is_no_news_until_it_is_another(differing: Any) -> None:
    differing.feed(LatchReleased(who="ann", reason="sold by hand"))
    assert len(differing.rest(BIDS)) == 1
    for held, news in ((30, []), (30, []), (20, []), (20, ["position_differs"])):
        differing.wait(61)
        told = looked(differing, positions(differing, (M1, Leg.YES, held * SHARE)))
        assert alerts(told) == news, held


def test_a_difference_survives_a_death_without_a_snapshot(differing: Any, make_rig: Any) -> None:
    (kept,) = [one for one in differing.effects if isinstance(one, KeepDifferences)]
    after = make_rig(settings=ExecutorSettings())
    after.executor.restore_differences(kept)
    assert after.executor.to_release == differing.executor.to_release


def test_the_first_look_after_a_start_halts_at_once_and_is_confirmed_soon(listing: Any) -> None:
    """A home that was put back: the venue has 40 less, and nothing is open there."""
    listing.wait(61)
    told = listing.feed(balances(listing, 900 * USD))
    assert alerts(told) == []
    assert any(isinstance(one, CancelOrders) for one in told)
    assert listing.executor.to_release == ()
    listing.feed(listing.event(OrderCancelled, 1))
    for _ in range(6):
        told += listing.wait(1.1)
        told += looked(listing, balances(listing, 900 * USD))
    assert alerts(told) == ["cash_differs"]
    assert listing.executor.to_release == ("the ledger has 1000 USD, the venue 900",)


@pytest.mark.parametrize("first", [True, False], ids=["at the start", "while it runs"])
def test_no_difference_contradicts_the_ledger_before_fills_are_listed(
    listing: Any, first: bool
) -> None:
    """A fill was missed, and the venue does not list fills for minutes: it explains the cash."""
    listing.feed(listing.quotes())
    listing.feed(listing.event(OrderCancelled, 1))
    listing.wait(61)
    if not first:
        looked(listing, balances(listing, 1_000 * USD))
    account, told = listing.build.account, list[Any]()
    for _ in range(300):
        effects = listing.wait(1)
        if any(isinstance(one, QueryFills) for one in effects):
            failed = {"question": "QueryFills", "order": None, "reason": "HTTP 500"}
            effects += listing.feed(QueryFailed(account=account, **failed))
        if any(isinstance(one, QueryBalances) for one in effects):
            effects += listing.feed(balances(listing, 952 * USD))
        told += effects
    assert set(alerts(told)) == {"question_fails"}
    assert listing.executor.to_release == ()
    assert listing.quote(BIDS) == [], "what adds risk waits for the fills"
    told = listing.feed(fills_listed(listing, listing.fill(1, 100, state=FillState.CONFIRMED)))
    ours = listing.executor.ledger.state.cash_settled_micro
    for _ in range(3):
        listing.wait(1.1)
        told += listing.feed(balances(listing, ours))
    assert "cash_differs" not in alerts(told)
    assert listing.executor.reasons == ()


def test_a_first_look_that_agrees_the_next_time_was_a_lag(listing: Any) -> None:
    listing.wait(61)
    listing.feed(balances(listing, 900 * USD))
    listing.feed(listing.event(OrderCancelled, 1))
    listing.wait(1.1)
    listing.feed(balances(listing, 1_000 * USD))
    assert listing.executor.reasons == ()


def test_more_cash_than_the_ledger_has_is_told_and_halts_nothing(listing: Any) -> None:
    told = []
    for _ in range(3):
        listing.wait(61)
        told += listing.feed(balances(listing, 1_500 * USD))
    assert alerts(told) == ["cash_surplus"]
    assert listing.executor.reasons == ()


def test_nothing_is_compared_while_something_is_in_motion(listing: Any) -> None:
    listing.feed(listing.fill(1, 40))
    for _ in range(3):
        listing.wait(61)
        assert alerts(listing.feed(balances(listing, 1), positions(listing))) == []
