"""Funding is booked once a stamp, and shared by what the owners of a perpetual hold."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.effects import RaiseAlert
from engine.domain.events import CashKind
from engine.domain.instruments import MANUAL, UNASSIGNED, BotId, InstrumentId, Kind
from engine.domain.perpetual_events import FundingPaid
from engine.domain.products.funding import HOUR_NS, RateType
from engine.executor.fills import Holding
from engine.executor.ledger import Ledger
from tests.executor.conftest import ACCOUNT, BOT, Build

LINEAR = Build().spot("venue:BTC/USD:USD", kind=Kind.PERPETUAL)
PERPETUAL = LINEAR.id
STAMP = 8 * HOUR_NS
E8, E14 = 10**8, 10**14


def funding(amount: int, **changes: Any) -> FundingPaid:
    fields: dict[str, Any] = {
        "account": ACCOUNT, "instrument": PERPETUAL, "currency": "USD", "stamp_ns": STAMP,
    }  # fmt: skip
    return FundingPaid(**(fields | changes), amount_micro=amount)


def held(sizes: dict[BotId, int]) -> Ledger:
    """Return a ledger whose owners hold these sizes of a perpetual."""
    ledger = Ledger(currency="USD")
    ledger.listed(LINEAR)
    for owner, size in sizes.items():
        holding = Holding(instrument=PERPETUAL, owner=owner)
        holding.yes.settled = size
        ledger.state.owned.setdefault(PERPETUAL, {})[owner] = holding
    return ledger


def alerts(rig: Any) -> list[RaiseAlert]:
    return [one for one in rig.effects if isinstance(one, RaiseAlert)]


def income(ledger: Ledger) -> dict[BotId, int]:
    return {owner: one.income_micro[CashKind.FUNDING] for owner, one in ledger.state.owners.items()}


def test_a_second_funding_of_a_stamp_is_refused_and_said(rig: Any) -> None:
    before = rig.executor.ledger.state.cash_settled_micro
    for late in (0, 6_000_000):  # the same one, milliseconds late
        rig.feed(funding(-250, stamp_ns=STAMP + late))
    assert rig.executor.ledger.state.cash_settled_micro == before - 250
    (said,) = alerts(rig)
    assert said.kind == "funding_twice"
    assert "regular funding of -0.00025 USD came for a stamp" in said.text
    rig.feed(funding(-7, rate_type=RateType.SPECIAL))
    rig.feed(funding(-1, stamp_ns=STAMP + HOUR_NS))
    assert rig.executor.ledger.state.income_micro == {CashKind.FUNDING: -258}
    rig.executor.ledger.check()


def test_funding_in_another_currency_is_not_booked(rig: Any) -> None:
    rig.feed(funding(-250, currency="BTC"))
    assert rig.executor.ledger.state.income_micro == {}
    assert [one.kind for one in alerts(rig)] == ["foreign_currency"]


def test_what_is_booked_stays_booked_over_a_restart(rig: Any, make_rig: Any) -> None:
    rig.feed(funding(-250))
    fresh = make_rig(cash=0, empty=True)
    fresh.executor.restore(rig.executor.snapshot())
    fresh.feed(funding(-250))
    assert fresh.executor.ledger.state.income_micro == {CashKind.FUNDING: -250}


def test_owners_on_both_sides_pay_and_get_by_their_own_size() -> None:
    unit = 10**LINEAR.size_decimals
    ledger = held({MANUAL: 3 * unit, BOT: -1 * unit})
    # 2 net at 100 and a rate of 0.0001: the account pays 0.02, the long 0.03, the short gets 0.01.
    ledger.fund(funding(-20_000, mark_e8=100 * E8, rate_e18=E14))
    assert income(ledger) == {MANUAL: -30_000, BOT: 10_000}
    assert ledger.state.cash_settled_micro == -20_000


def test_owners_on_both_sides_share_by_what_they_hold_together_where_no_rate_is_known() -> None:
    ledger = held({MANUAL: 300, BOT: -100})
    ledger.fund(funding(-20_000))
    assert income(ledger) == {MANUAL: -30_000, BOT: 10_000}


@pytest.mark.parametrize("missing", [{}, {"mark_e8": 100 * E8}, {"rate_e18": E14}])
def test_without_a_rate_funding_of_owners_who_hold_nothing_together_is_unassigned(
    missing: dict[str, int],
) -> None:
    ledger = held({MANUAL: 300, BOT: -300})
    ledger.fund(funding(-5, **missing))
    assert income(ledger) == {UNASSIGNED: -5}


def test_without_a_rate_funding_is_shared_by_size_and_without_a_holder_it_is_unassigned() -> None:
    ledger = held({MANUAL: 300, BOT: 100})
    ledger.fund(funding(-1_000))
    assert income(ledger) == {MANUAL: -750, BOT: -250}
    alone = held({BOT: 0})
    alone.fund(funding(5, mark_e8=100 * E8, rate_e18=E14))
    assert income(alone) == {UNASSIGNED: 5}
    alone.fund(funding(5, instrument=InstrumentId("x:never"), mark_e8=E8, rate_e18=E14))
    assert income(alone) == {UNASSIGNED: 10}


@pytest.mark.parametrize("cash", [-20_003, -19_990, 0])
def test_what_a_venue_rounds_otherwise_is_not_lost(cash: int) -> None:
    unit = 10**LINEAR.size_decimals
    ledger = held({MANUAL: 3 * unit, BOT: -1 * unit})
    ledger.fund(funding(cash, mark_e8=100 * E8, rate_e18=E14))
    assert sum(income(ledger).values()) == cash == ledger.state.income_micro[CashKind.FUNDING]
