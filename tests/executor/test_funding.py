"""Funding is booked once a stamp, and shared by what the owners of a perpetual hold."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.domain.effects import RaiseAlert
from engine.domain.events import CashKind
from engine.domain.fills import FillState
from engine.domain.instruments import MANUAL, UNASSIGNED, BotId, InstrumentId, Kind, Leg, Side
from engine.domain.owners import HELD_MAX
from engine.domain.perpetual_events import FundingPaid
from engine.domain.products.funding import HOUR_NS, RateType
from engine.executor.fills import Holding
from engine.executor.ledger import Ledger, LedgerState
from engine.executor.settlement import trade_signed
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


def traded(ledger: Ledger, owner: BotId, size: int, now_ns: int) -> None:
    """Let an owner trade at 100 a unit."""
    value = size * 100 * 10**6 // UNIT
    trade_signed(ledger.state, ledger._own(PERPETUAL, owner), size, value, now_ns)


UNIT = 10**LINEAR.size_decimals
BEFORE, LATE = STAMP - 1, STAMP + 5
RATED = {"mark_e8": 100 * E8, "rate_e18": E14}


@pytest.mark.parametrize("known", [{}, RATED])
def test_funding_that_came_late_is_of_those_who_held_at_its_stamp(known: dict[str, int]) -> None:
    ledger = held({})
    traded(ledger, BOT, 2 * UNIT, BEFORE)
    traded(ledger, BOT, -2 * UNIT, LATE)
    traded(ledger, MANUAL, 2 * UNIT, LATE + 1)
    ledger.fund(funding(-20_000, **known))
    assert income(ledger) == {BOT: -20_000}
    ledger.fund(funding(-20_000, stamp_ns=STAMP + HOUR_NS, **known))
    assert income(ledger) == {BOT: -20_000, MANUAL: -20_000}


def test_a_payment_that_what_was_held_at_the_stamp_does_not_explain_is_of_those_who_held_next() -> (
    None
):
    ledger = held({})
    traded(ledger, BOT, 2 * UNIT, BEFORE)
    traded(ledger, MANUAL, UNIT, LATE)  # of before the stamp, and reported late
    ledger.fund(funding(-30_000, **RATED))
    assert income(ledger) == {BOT: -20_000, MANUAL: -10_000}


def test_a_payment_that_only_the_venues_times_explain_is_of_those_who_held_by_them() -> None:
    """All of it was reported after the stamp, and what is held now is another's."""
    ledger = held({})
    trades = ((BOT, 2, STAMP - 7), (BOT, -2, STAMP + 1), (MANUAL, -1, STAMP + 2))
    for number, (owner, units, matched_ns) in enumerate(trades, 1):
        side = Side.BUY if units > 0 else Side.SELL
        what: dict[str, Any] = {"price": 100, "size": abs(units) * UNIT}
        order = Build().order(
            number, instrument=PERPETUAL, leg=Leg.BASE, bot=owner, side=side, **what
        )
        fill = Build().filled(number, f"f{number}", matched_ns=matched_ns, **what)
        ledger.book(order, fill, LATE + number)
    ledger.fund(funding(-20_000, **RATED))
    assert income(ledger) == {BOT: -20_000}


def booked(ledger: Ledger, number: int, owner: BotId, units: int, matched_ns: int) -> None:
    """Book a fill of an owner at 100, matched at a time of the venue's and reported after it."""
    what: dict[str, Any] = {"price": 100, "size": abs(units) * UNIT}
    side = Side.BUY if units > 0 else Side.SELL
    order = Build().order(number, instrument=PERPETUAL, leg=Leg.BASE, bot=owner, side=side, **what)
    fill = Build().filled(
        number, f"f{number}", matched_ns=matched_ns, state=FillState.CONFIRMED, **what
    )
    ledger.book(order, fill, LATE + number)


@pytest.mark.parametrize("known", [{}, RATED])
def test_a_fill_that_was_before_a_stamp_and_came_after_its_funding_has_its_share(
    known: dict[str, int],
) -> None:
    ledger = held({})
    booked(ledger, 1, BOT, 2, STAMP - 9)
    ledger.fund(funding(-30_000, **known))
    assert income(ledger) == {BOT: -30_000}
    booked(ledger, 2, MANUAL, 1, STAMP - 3)
    assert income(ledger) == {BOT: -20_000, MANUAL: -10_000}
    assert ledger.state.income_micro == {CashKind.FUNDING: -30_000}
    booked(ledger, 3, MANUAL, 1, STAMP + 1)
    assert income(ledger) == {BOT: -20_000, MANUAL: -10_000}
    ledger.check()


def test_what_was_nobodys_is_of_the_owner_whose_first_fill_came_late() -> None:
    ledger = held({})
    ledger.fund(funding(-20_000, **RATED))
    assert income(ledger) == {UNASSIGNED: -20_000}
    booked(ledger, 1, BOT, 2, STAMP)
    assert income(ledger) == {UNASSIGNED: 0, BOT: -20_000}
    ledger.check()


def test_a_late_fill_that_does_not_explain_what_was_paid_moves_no_share() -> None:
    ledger = held({})
    booked(ledger, 1, BOT, 2, STAMP - 9)
    ledger.fund(funding(-20_000, **RATED))
    booked(ledger, 2, MANUAL, 1, STAMP - 3)  # the venue paid without it
    assert income(ledger) == {BOT: -20_000}


def test_a_late_fill_shares_what_is_kept_over_a_restart() -> None:
    ledger = held({})
    booked(ledger, 1, BOT, 2, STAMP - 9)
    ledger.fund(funding(-30_000, **RATED))
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(ledger.state), type=LedgerState)
    later = Ledger(currency="USD")
    later.state = again
    booked(later, 2, MANUAL, 1, STAMP - 3)
    assert income(later) == {BOT: -20_000, MANUAL: -10_000}


def test_who_held_what_turned_out_void_had_the_funding_of_stamps_until_then() -> None:
    ledger, build = held({}), Build()
    order = build.order(1, instrument=PERPETUAL, leg=Leg.BASE, price=100, size=2 * UNIT)
    fill = build.filled(1, price=100, size=2 * UNIT)
    ledger.book(order, fill, BEFORE)
    ledger.advance(fill.fill, FillState.FAILED, LATE)
    ledger.fund(funding(-20_000, **RATED))
    assert income(ledger) == {BOT: -20_000}


def test_what_came_while_nothing_was_held_at_the_stamp_is_of_those_who_held_next() -> None:
    ledger = held({})
    traded(ledger, BOT, 2 * UNIT, LATE)
    ledger.fund(funding(-20_000))
    assert income(ledger) == {BOT: -20_000}


def test_who_held_is_known_by_a_later_life_and_for_three_days_of_trading() -> None:
    ledger = held({})
    traded(ledger, BOT, 2 * UNIT, 1)
    for hour in range(1, 2 * HELD_MAX):
        traded(ledger, BOT, 1, hour * HOUR_NS + 1)
        traded(ledger, BOT, -1, hour * HOUR_NS + 2)
    traded(ledger, BOT, -2 * UNIT, 2 * HELD_MAX * HOUR_NS - 1)
    traded(ledger, MANUAL, 2 * UNIT, 2 * HELD_MAX * HOUR_NS)
    assert len(ledger.state.past[PERPETUAL].kept) == HELD_MAX
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(ledger.state), type=LedgerState)
    later = Ledger(currency="USD")
    later.state = again
    later.fund(funding(-20_000, stamp_ns=100 * HOUR_NS))
    assert income(later) == {BOT: -20_000}
