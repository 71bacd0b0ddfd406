"""Liquidation at the paper venue: at the venues' own examples, and booked alike by a ledger."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.domain.effects import QueryRedemptions
from engine.domain.events import (
    BalancesListed,
    BookReplaced,
    Event,
    InstrumentListed,
    OrderAccepted,
    OrderCancelled,
    PositionsListed,
)
from engine.domain.instruments import MANUAL, FeeSchedule, Instrument, InstrumentId, Kind, Leg
from engine.domain.money import MICRO
from engine.domain.orders import CancelReason
from engine.domain.perpetual_events import FundingPaid, FundingSettled, MarkPriced
from engine.domain.perpetual_events import PositionLiquidated as Liquidated
from engine.domain.products.funding import HOUR_NS, rate_e18
from engine.domain.products.margin import Exposure, Measure, TierTable, liquidation_price
from engine.domain.products.perpetual import MarginTerms
from engine.executor.ledger import Ledger
from engine.executor.settlement import trade_signed
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.market import Owned
from tests.domain.products.test_margin import BTC, BTC_HELD, BTC_SIZE, ETH, ETH_HELD, ETH_SIZE
from tests.domain.products.test_tiers import BTCUSDT, ladder
from tests.venues.paper.world import ACCOUNT, BUY, SELL, SPOT, World, events, settings

E8 = 10**8
WALLET = 1_535_443_010_000
TIERS = ladder([row[:3] for row in BTCUSDT])
FLAT = ladder([(10**15, 10_000, 50)], 1, Measure.SIZE)


def perpetual(name: str, tiers: TierTable, *, leverage: int = 10, isolated: bool = False,
              taker_ppm: int = 0) -> Instrument:  # fmt: skip
    return replace(
        SPOT, id=InstrumentId(f"binance:{name}/USDT:USDT"), kind=Kind.PERPETUAL, size_decimals=3,
        price_decimals=4, fees=FeeSchedule(taker_rate_ppm=taker_ppm),
        margin=MarginTerms(leverage=leverage, tiers=tiers, isolated=isolated),
    )  # fmt: skip


def holding(cash: int, *held: tuple[Instrument, Exposure]) -> World:
    """Return a venue with so much cash and these positions; a size below 0 is short."""
    made = World(settings())
    made.venue = PaperVenue(ACCOUNT, settings())
    owned = [
        Owned(of, None, {Leg.BASE: one.size}, 0, one.cost if one.size > 0 else -one.cost)
        for of, one in held
    ]
    made.venue.resume(cash={"USDT": cash}, owned=owned, open_orders=[], fill_count=0)
    for of, _ in held:
        made.receive(InstrumentListed(instrument=of))
        made.receive(BookReplaced(instrument=of.id, bids=((1, 10**9),), asks=((10**9, 10**9),)))
    return made


def mark(made: World, of: Instrument, price: str | int) -> list[Event]:
    e8 = price if isinstance(price, int) else int(Decimal(price) * E8)
    return events(made.receive(MarkPriced(instrument=of.id, mark_e8=e8)))


def taken(given: list[Event]) -> list[Liquidated]:
    return [one for one in given if isinstance(one, Liquidated)]


def left(made: World) -> tuple[int, list[int]]:
    """Return cash and what is held."""
    balances, positions = made.ask_balances()
    assert isinstance(balances, BalancesListed)
    assert isinstance(positions, PositionsListed)
    return balances.cash_micro["USDT"], [size for *_, size in positions.holdings]


# -- the venues' worked examples -------------------------------------------------------------------

ETHUSDT, BTCUSDT_PERP = perpetual("ETH", ETH), perpetual("BTC", BTC)


def test_binance_cross_margin_of_two_contracts_is_liquidated_where_its_help_says() -> None:
    for of, at, other, its in (
        (ETHUSDT, "1153.26", BTCUSDT_PERP, "31967.27"),
        (BTCUSDT_PERP, "26316.90", ETHUSDT, "1335.18"),
    ):
        made = holding(WALLET, (ETHUSDT, ETH_HELD), (BTCUSDT_PERP, BTC_HELD))
        assert mark(made, of, "100000") == [], "one has no mark: nothing is guessed of it"
        assert mark(made, other, its) == []
        assert mark(made, of, at) == [], "above the price of the help, rounded there"
        gone = taken(mark(made, of, str(Decimal(at) - Decimal("0.01"))))
        assert {one.instrument: one.size for one in gone} == {
            ETHUSDT.id: ETH_SIZE, BTCUSDT_PERP.id: BTC_SIZE,
        }  # fmt: skip
        assert left(made) == (0, [])


@pytest.mark.parametrize(
    ("of", "held", "price"),
    [(ETHUSDT, ETH_HELD, "1114.784964"), (BTCUSDT_PERP, BTC_HELD, "18778.725932")],
)
def test_binance_one_contract_is_liquidated_where_its_help_says(
    of: Instrument, held: Exposure, price: str
) -> None:
    made = holding(WALLET, (of, held))
    assert mark(made, of, str(Decimal(price) + Decimal("0.000001"))) == []
    (gone,) = taken(mark(made, of, str(Decimal(price) - Decimal("0.000001"))))
    assert (gone.size, gone.fee_micro > 0, left(made)) == (held.size, True, (0, []))


@pytest.mark.parametrize(("side", "price"), [(1, "6.738090"), (-1, "13.193482")])
def test_okx_isolated_adds_the_takers_fee_to_the_rate(side: int, price: str) -> None:
    # freqtrade's case: entry 10, 3×, one contract, maintenance 1 %, fee 0.06 %
    of = perpetual("X", FLAT, leverage=3, isolated=True, taker_ppm=600)
    made = holding(1_000 * MICRO, (of, Exposure(side * 1_000, 10 * MICRO)))
    near = Decimal("0.000002") * side
    assert mark(made, of, str(Decimal(price) + near)) == []
    (gone,) = taken(mark(made, of, str(Decimal(price) - near)))
    assert gone.size == side * 1_000
    # Its margin is lost, 10 / 3 rounded up, and the rest of the cash is not touched.
    assert left(made) == (1_000 * MICRO - 3_333_334, [])


# -- tiers, and the two laws of cash ---------------------------------------------------------------

sizes = st.integers(1, 4_000_000).flatmap(lambda one: st.sampled_from([one, -one]))


@given(sizes, st.integers(2_000, 9_000_000), st.integers(2, 20), st.booleans())
def test_it_comes_at_the_price_of_the_formula_in_every_tier(
    size: int, price: int, leverage: int, isolated: bool
) -> None:
    of = perpetual("BTC", TIERS, leverage=leverage, isolated=isolated)
    cost = abs(size) * price * 10  # a thousandth at a cent is ten micro-units
    margin = -(-cost // leverage)
    at = liquidation_price(of.contract, TIERS, Exposure(size, cost), margin)
    made = holding(margin if not isolated else margin + 777, (of, Exposure(size, cost)))
    near = max(1, -(-4 * 10**5 * 10**3 // abs(size)))  # what four micro-units of value are, in 1e-8
    if at is None:
        assert taken(mark(made, of, 1)) == []
        return
    away = 1 if size > 0 else -1
    if at - away * near < 1:
        return
    assert taken(mark(made, of, at + away * near)) == []
    (gone,) = taken(mark(made, of, at - away * near))
    assert left(made) == (777 if isolated else 0, [])
    assert gone.fee_micro >= 0, "far from bankruptcy: something is left, and the fund keeps it"


@given(
    st.lists(st.tuples(sizes, st.integers(100, 10**6)), min_size=1, max_size=3),
    st.integers(-(10**9), 10**13),
    st.lists(st.integers(1, 2 * 10**6), min_size=3, max_size=3),
)
def test_no_cash_appears_or_vanishes_and_the_ledger_books_the_same(
    held: list[tuple[int, int]], cash: int, marks: list[int]
) -> None:
    named = [perpetual(name, TIERS) for name in "ABC"]
    owned = [
        (of, Exposure(size, abs(size) * price * 10))
        for of, (size, price) in zip(named, held, strict=False)
    ]
    made, ledger = holding(cash, *owned), Ledger(currency="USDT")
    for of, one in owned:
        ledger.listed(of)
        sign = 1 if one.size > 0 else -1
        trade_signed(ledger.state, ledger._own(of.id, MANUAL), one.size, sign * one.cost)
    ledger.move_cash(cash - ledger.state.cash_settled_micro)
    given_events: list[Event] = []
    for (of, _), at in zip(owned, marks, strict=False):
        given_events += mark(made, of, at * 10**6)
    for one in taken(given_events):
        assert not ledger.liquidate(one).anomalies or cash < 0
    now, positions = left(made)
    assert ledger.state.cash_settled_micro == now
    assert [one.position for one in ledger.of_owners() if one.position] == positions
    if taken(given_events):
        # All that an account has pays for all it lost; what it lacks the fund pays, never it.
        gains = [
            Fraction(one.size * at * 10, 1) - (one.cost if one.size > 0 else -one.cost)
            for (_, one), at in zip(owned, marks, strict=False)
        ]
        fees = sum(one.fee_micro for one in taken(given_events))
        assert now == 0
        assert positions == []
        assert (fees > 0) == (cash + sum(gains) > 0)


# -- orders, funding, restarts ---------------------------------------------------------------------


def opened(*, isolated: bool = False) -> tuple[World, Instrument]:
    """Return a venue with 10 held at 40, of 50 in cash, and three orders that rest."""
    of = replace(perpetual("BTC", TIERS, isolated=isolated), price_decimals=2, size_decimals=6)
    made = World(settings(cash=50), of, SPOT, replace(of, id=InstrumentId("binance:X/USDT:USDT")))
    for name in (of.id, SPOT.id, InstrumentId("binance:X/USDT:USDT")):
        made.book({39: 1_000}, {40: 1_000}, instrument=name)
    made.take(BUY, 40, 10, leg=Leg.BASE, instrument=of.id)
    made.place(SELL, 45, 1, leg=Leg.BASE, instrument=of.id)
    made.place(BUY, 1, 1, leg=Leg.BASE, instrument=SPOT.id)
    made.place(BUY, 30, 1, leg=Leg.BASE, instrument=InstrumentId("binance:X/USDT:USDT"))
    assert sum(isinstance(one, OrderAccepted) for one in made.events) == 4
    return made, of


def test_orders_end_before_the_position_all_of_a_cross_account_and_of_an_isolated_one_its_own() -> (
    None
):
    for isolated, ended in ((False, [2, 3, 4]), (True, [2])):
        made, of = opened(isolated=isolated)
        *cancelled, gone = mark(made, of, "34.5")
        assert isinstance(gone, Liquidated)
        assert [one.order for one in cancelled if isinstance(one, OrderCancelled)] == ended
        assert all(one.reason is CancelReason.VENUE for one in cancelled)
        cash, held = left(made)
        assert (cash, held) == ((10 * MICRO, []) if isolated else (0, []))
        assert mark(made, of, "34.4") == []


def test_funding_may_liquidate_and_both_are_listed_since_their_time() -> None:
    made, of = opened()
    assert taken(mark(made, of, "36")) == []
    rate = FundingSettled(
        instrument=of.id, stamp_ns=HOUR_NS, rate_e18=rate_e18("0.03"), mark_e8=36 * E8
    )
    paid, *_, gone = events(made.receive(rate))
    assert isinstance(paid, FundingPaid)
    assert isinstance(gone, Liquidated)
    assert (paid.amount_micro, gone.mark_e8, gone.at_ns) == (-10_800_000, 36 * E8, made.now)
    (listed,) = events(made.ask(QueryRedemptions(account=ACCOUNT, since_ns=0)))
    assert (listed.fundings, listed.liquidations) == ((paid,), (gone,))


def test_a_position_without_terms_of_margin_is_never_liquidated() -> None:
    of = replace(perpetual("BTC", TIERS), margin=SPOT.margin)
    made = holding(100 * MICRO, (of, Exposure(10_000, 100 * MICRO)))
    assert mark(made, of, 1) == []
    assert left(made) == (100 * MICRO, [10_000])
