"""Products against plain arithmetic: one space of levels, and the worst case by its outcomes."""

from __future__ import annotations

from itertools import product as every

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import Instrument, InstrumentId, Kind, Leg, Side, is_bid
from engine.domain.products import PRODUCTS, Product
from engine.errors import BrokenInvariant
from engine.executor.fills import LegHolding

ONE = 10_000


def product(kind: Kind) -> Product:
    return Instrument(
        id=InstrumentId("x:y"), kind=kind, currency="USD", price_decimals=4, size_decimals=2,
        tick=100, lot=1,
    ).product  # fmt: skip


EVERY = [product(kind) for kind in Kind]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_product(kind: Kind) -> None:
    assert kind in PRODUCTS
    assert product(kind).legs


@given(st.sampled_from(EVERY), st.integers(1, ONE - 1))
def test_a_level_and_its_price_are_each_others_mirror(of: Product, level: int) -> None:
    for leg in of.legs:
        assert of.level(leg, of.level(leg, level)) == level
        assert of.mid2(leg, 2 * level) == 2 * of.level(leg, level)


@given(st.sampled_from(EVERY), st.integers(1, ONE - 1), st.booleans())
def test_selling_and_opening_at_a_level_go_the_same_way(of: Product, level: int, bid: bool) -> None:
    if (of.bid_sells if bid else of.ask_sells) is not None:
        leg, price = of.sale(level, bid)
        assert leg is (of.bid_sells if bid else of.ask_sells)
        assert (is_bid(Side.SELL, leg), of.level(leg, price)) == (bid, level)
    if bid or of.opens_asks:
        leg, price = of.opening(level, bid)
        assert (is_bid(of.opening_side(bid), leg), of.level(leg, price)) == (bid, level)


def test_what_has_one_price_is_never_sold_short() -> None:
    spot = product(Kind.SPOT)
    with pytest.raises(BrokenInvariant):
        spot.sale(5, bid=True)
    with pytest.raises(BrokenInvariant):
        spot.opening(5, bid=False)
    with pytest.raises(BrokenInvariant):
        spot.worst_held(LegHolding(settled=-1), LegHolding())


sizes = st.integers(0, 500)
costs = st.integers(0, 50_000_000)


@st.composite
def holdings(draw: st.DrawFn) -> LegHolding:
    """Give what is held of a leg: no cost stands without its tokens."""
    parts = {name: draw(sizes) for name in ("settled", "pending", "leaving")}
    paid = {f"cost_{name}_micro": draw(costs) if size else 0 for name, size in parts.items()}
    return LegHolding(**parts, **paid)


held = holdings()


def _lost(yes: LegHolding, no: LegHolding, yes_pays: bool, fates: tuple[bool, ...]) -> int:
    """Return cost less payoff where each unsettled part settles (True) or becomes void."""
    lost, pays = 0, 10**6 // 10**2
    for leg, wins, (bought, sold) in (
        (yes, yes_pays, fates[:2]), (no, not yes_pays, fates[2:])
    ):  # fmt: skip
        tokens = leg.settled
        lost += leg.cost_settled_micro
        if bought:
            tokens, lost = tokens + leg.pending, lost + leg.cost_pending_micro
        if not sold:
            tokens, lost = tokens + leg.leaving, lost + leg.cost_leaving_micro
        lost -= tokens * pays * wins
    return lost


@given(held, held)
def test_the_worst_of_a_binary_is_the_worst_of_every_end(yes: LegHolding, no: LegHolding) -> None:
    of = product(Kind.BINARY)
    for found, yes_pays in zip(of.worst_held(yes, no), (True, False), strict=True):
        fates = every((True, False), repeat=4)
        assert found == max(_lost(yes, no, yes_pays, fate) for fate in fates)


def test_a_product_is_worked_out_once_and_no_part_of_its_instrument() -> None:
    terms = Instrument(
        id=InstrumentId("x:y"), kind=Kind.BINARY, currency="USD", price_decimals=4,
        size_decimals=2, tick=100, lot=1,
    )  # fmt: skip
    assert terms.product is terms.product
    fine = msgspec.structs.replace(terms, tick=1)
    assert (terms.product.top, fine.product.top) == (ONE - 100, ONE - 1)
    assert msgspec.json.decode(msgspec.json.encode(terms), type=Instrument) == terms


def test_the_fee_of_a_binary_is_largest_at_half() -> None:
    of = product(Kind.BINARY)
    assert [of.fee_peak(price, Side.BUY) for price in (3_000, 7_000)] == [3_000, 5_000]
    assert [of.fee_peak(price, Side.SELL) for price in (3_000, 7_000)] == [5_000, 7_000]
    assert product(Kind.SPOT).fee_peak(7_000, Side.BUY) == 7_000


def test_a_leg_of_another_product_is_no_leg_of_it() -> None:
    assert product(Kind.BINARY).legs == (Leg.YES, Leg.NO)
    assert product(Kind.PERPETUAL).legs == (Leg.BASE,)
