"""A signed position against plain fractions: nothing is lost, and flat is passed in two parts."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.products.margin import ContractValue, unrealised
from engine.domain.products.position import SignedPosition
from engine.errors import BrokenInvariant

CONTRACT = ContractValue.of(3, 6)
SIZES = st.integers(-(10**6), 10**6).filter(bool)
FILLS = st.tuples(SIZES, st.integers(0, 10**12), st.integers(-(10**6), 10**6))


def signed(size: int, value: int) -> int:
    return value if size > 0 else -value


class Plain:
    """The definition: exact averages, first what closes, then what opens."""

    def __init__(self) -> None:
        self.size = 0
        self.cost = Fraction(0)

    def apply_fill(self, size: int, flow: int) -> Fraction:
        realised, price = Fraction(0), Fraction(flow, size)
        if size * self.size < 0:
            closing = max(size, -self.size) if size < 0 else min(size, -self.size)
            average = self.cost / self.size
            realised = -closing * (price - average)
            self.size += closing
            self.cost += closing * average
            size -= closing
        self.size += size
        self.cost += size * price
        return realised


@given(st.lists(FILLS, max_size=30))
def test_realised_and_cost_hold_every_unit_of_every_fill(fills: list[tuple[int, int, int]]) -> None:
    held, realised, flows, sizes, fees = SignedPosition(), 0, 0, 0, 0
    for size, value, fee in fills:
        before, flow = held.size, signed(size, value)
        did = held.apply_fill(size, flow, fee)
        realised, flows, sizes = realised + did.realised, flows + flow, sizes + size
        fees += did.fee_closed + did.fee_opened
        assert did.closed + did.opened == abs(size)
        assert abs(held.size) == abs(before) - did.closed + did.opened
        assert realised - held.cost == -flows
        assert held.size == sizes
        assert held.size or not held.cost, "a flat position costs nothing"
        assert held.size * held.cost >= 0, "a short is opened for what it brought"
    assert fees == sum(fee for _, _, fee in fills)


@given(SIZES, st.integers(0, 10**12), SIZES, st.integers(0, 10**12))
def test_one_fill_realises_its_definition_rounded_down(
    first: int, paid: int, second: int, got: int
) -> None:
    held, plain = SignedPosition(), Plain()
    for size, value in ((first, paid), (second, got)):
        exact = plain.apply_fill(size, signed(size, value))
        assert held.apply_fill(size, signed(size, value)).realised == exact // 1
    assert held.size == plain.size
    assert abs(held.cost - plain.cost) < 1


def test_a_flip_closes_at_the_average_and_opens_the_rest_at_the_fill() -> None:
    held = SignedPosition()
    held.apply_fill(2_000, 80_000_000_000)
    did = held.apply_fill(-5_000, -225_000_000_000, 50_000)
    assert (did.closed, did.opened, did.realised) == (2_000, 3_000, 10_000_000_000)
    assert (did.fee_closed, did.fee_opened) == (20_000, 30_000)
    assert (held.size, held.cost) == (-3_000, -135_000_000_000)
    assert held.unit_cost == 45_000_000
    assert unrealised(CONTRACT, held.exposure, 44_000 * 10**8) == 3_000_000_000


@pytest.mark.parametrize(("held", "fill"), [(1, -3), (-1, 3)])
def test_a_flip_that_does_not_divide_is_rounded_against_us(held: int, fill: int) -> None:
    position = SignedPosition(held, 10 * held)
    did = position.apply_fill(fill, signed(fill, 32))
    exact = Fraction(32, 3) - 10 if held > 0 else 10 - Fraction(32, 3)
    assert did.realised == exact // 1
    assert did.realised - (position.cost - 10 * held) == -signed(fill, 32)


def test_a_flip_and_the_way_back_to_flat() -> None:
    held = SignedPosition()
    assert held.apply_fill(3, 300).realised == 0
    assert held.apply_fill(-5, -600).realised == 360 - 300
    assert (held.size, held.cost) == (-2, -240)
    assert held.apply_fill(2, 200).realised == 40
    assert (held.size, held.cost) == (0, 0)


def test_the_average_of_thirds_does_not_drift() -> None:
    held = SignedPosition()
    for _ in range(3_000):
        held.apply_fill(-3, -100)
    assert held.unit_cost == Fraction(100, 3)


@pytest.mark.parametrize(("size", "flow"), [(0, 5), (0, 0), (3, -1), (-3, 1)])
def test_a_fill_without_a_size_or_of_the_other_sign_is_refused(size: int, flow: int) -> None:
    held = SignedPosition(7, 70)
    with pytest.raises(BrokenInvariant, match="cannot have a value"):
        held.apply_fill(size, flow)
    assert held == SignedPosition(7, 70)
