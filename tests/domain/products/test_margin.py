"""Margin against the venues' worked examples, and against its own definition in fractions."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import Instrument, InstrumentId, Kind
from engine.domain.money import MICRO, PPM
from engine.domain.products.margin import (
    ContractValue,
    Exposure,
    Measure,
    TierTable,
    buffer_ppm,
    initial_margin,
    liquidated,
    liquidation_price,
    maintenance,
    order_cost,
    unrealised,
)
from engine.errors import BadInput
from tests.domain.products.test_tiers import BTCUSDT, ladder

E8 = 10**8
LINEAR = ContractValue.of(3, 6)
COIN = ContractValue.of(0, 8, each=Decimal(100), inverse=True)

# The tables of Binance's worked example (2021): the rates and amounts it states are in them.
ETH = ladder([
    (10_000, 5_000, 100), (100_000, 6_500, 75), (500_000, 10_000, 50), (1_000_000, 20_000, 25),
    (2_000_000, 50_000, 10), (5_000_000, 100_000, 5), (10_000_000, 125_000, 4),
])  # fmt: skip
BTC = ladder([
    (50_000, 4_000, 125), (250_000, 5_000, 100), (1_000_000, 10_000, 50), (5_000_000, 25_000, 20),
    (20_000_000, 50_000, 10),
])  # fmt: skip
BTCUSD = ladder(
    [(28, 5_000, 50), (50, 25_000, 20), (100, 50_000, 10), (200, 100_000, 5), (400, 125_000, 4)],
    E8,
)
FLAT = ladder([(1_000_000, 10_000, 50)], 1, Measure.SIZE)

WALLET = 1_535_443_010_000
ETH_SIZE, BTC_SIZE = 3_683_979, 109_488


def e8(text: str) -> int:
    return int(Decimal(text) * E8)


def money(text: str) -> int:
    return int(Decimal(text) * MICRO)


def linear(size: int, price: str) -> Exposure:
    cost = abs(size) * Decimal(price) * 1_000
    return Exposure(size, int(cost))


ETH_HELD, BTC_HELD = linear(ETH_SIZE, "1456.84"), linear(BTC_SIZE, "32481.98")


def digits(price: int | None) -> float:
    assert price is not None
    return round(price / E8, 6)


def test_binance_cross_margin_of_two_contracts() -> None:
    eth_mark, btc_mark = e8("1335.18"), e8("31967.27")
    eth_due = maintenance(LINEAR, ETH, ETH_SIZE, eth_mark)
    btc_due = maintenance(LINEAR, BTC, BTC_SIZE, btc_mark)
    eth_pnl = unrealised(LINEAR, ETH_HELD, eth_mark)
    btc_pnl = unrealised(LINEAR, BTC_HELD, btc_mark)
    assert [round(n / MICRO, 2) for n in (eth_due, eth_pnl)] == [356_512.51, -448_192.89]
    assert [round(n / MICRO, 2) for n in (btc_due, btc_pnl)] == [71_200.81, -56_354.57]
    # The first takes the venue's cents for the other contract, the second what the mark gives.
    eth = liquidation_price(
        LINEAR, ETH, ETH_HELD, WALLET, others_maintenance=money("71200.81"),
        others_pnl=money("-56354.57"),
    )  # fmt: skip
    btc = liquidation_price(
        LINEAR, BTC, BTC_HELD, WALLET, others_maintenance=eth_due, others_pnl=eth_pnl
    )
    assert digits(eth) == pytest.approx(1153.256464, abs=1e-6)
    assert digits(btc) == pytest.approx(26316.893265, abs=1e-6)


def test_binance_isolated_margin() -> None:
    eth = liquidation_price(LINEAR, ETH, ETH_HELD, WALLET)
    btc = liquidation_price(LINEAR, BTC, BTC_HELD, WALLET)
    assert digits(eth) == pytest.approx(1114.784964, abs=1e-6)
    assert digits(btc) == pytest.approx(18778.725932, abs=1e-6)
    assert [round(digits(p), 2) for p in (eth, btc)] == [1114.78, 18778.73]


def test_what_the_third_level_takes_off() -> None:
    assert BTC.cum_ppm[2] == money("1300") * PPM
    assert BTC.cum_ppm[3] == money("16300") * PPM
    assert ETH.cum_ppm[5] == money("135365") * PPM


def test_coin_margined_price_is_within_a_thousandth_of_the_venues_calculator() -> None:
    held = Exposure(100_000, 100_000 * 100 * E8 // 45_000)
    price = liquidation_price(COIN, BTCUSD, held, 101 * E8)
    assert digits(price) == pytest.approx(33_578.86, abs=0.005)
    assert digits(price) == pytest.approx(33_599.40, rel=0.001)


def test_okx_isolated_margin_adds_the_takers_fee() -> None:
    cost = 1_000 * 10 * MICRO
    long, short = (
        liquidation_price(LINEAR, FLAT, Exposure(size, cost), cost // 3, fee_ppm=600)
        for size in (1_000_000, -1_000_000)
    )
    assert digits(long) == pytest.approx(6.738090, abs=1e-6)
    assert digits(short) == pytest.approx(13.193482, abs=1e-6)


def test_initial_margin_and_the_cost_of_an_order() -> None:
    # OKX: 1 BTC at 10,000 with 10 times; the inverse contract of the same asks for 0.1 BTC.
    assert initial_margin(LINEAR, 1_000, e8("10000"), 10) == 1_000 * MICRO
    assert initial_margin(COIN, 100, e8("10000"), 10) == E8 // 10
    # Binance: 1 BTC at 9,253.30 with 20 times, the mark at 9,259.84.
    buy = order_cost(LINEAR, 1_000, e8("9253.30"), e8("9259.84"), 20)
    sell = order_cost(LINEAR, -1_000, e8("9253.30"), e8("9259.84"), 20)
    assert (buy, sell - buy) == (money("462.665"), money("6.54"))


def test_what_no_price_can_be_said_of() -> None:
    assert liquidation_price(LINEAR, ETH, Exposure(0, 0), WALLET) is None
    paid_up = linear(1_000, "1000")
    assert liquidation_price(LINEAR, ETH, paid_up, paid_up.cost) is None
    assert liquidation_price(LINEAR, ETH, paid_up, paid_up.cost - MICRO) is not None
    # A short of an inverse contract whose wallet holds its whole cost gains for ever.
    short = Exposure(-100, 100 * 100 * E8 // 10_000)
    assert liquidation_price(COIN, BTCUSD, short, short.cost) is None
    with pytest.raises(BadInput, match="a price of 0 is not above 0"):
        maintenance(LINEAR, ETH, 1_000, 0)
    with pytest.raises(BadInput, match="a leverage of 0"):
        initial_margin(LINEAR, 1_000, E8, 0)
    with pytest.raises(BadInput, match="a contract is of 0"):
        ContractValue.of(0, 8, each=Decimal(0))


def test_a_contract_is_worth_what_its_instrument_says() -> None:
    listed = Instrument(
        id=InstrumentId("x:y"), kind=Kind.PERPETUAL, currency="USDT", price_decimals=1,
        size_decimals=8, tick=1, lot=1,
    )  # fmt: skip
    top, bottom = listed.contract.value(-12_345_678, 65_432 * E8)
    assert top // bottom == listed.proceeds_micro(654_320, 12_345_678)


def test_the_buffer_is_the_way_of_the_mark_to_liquidation() -> None:
    assert buffer_ppm(e8("100"), e8("80"), long=True) == 200_000
    assert buffer_ppm(e8("100"), e8("125"), long=False) == 250_000
    assert buffer_ppm(e8("100"), e8("101"), long=True) == -10_000
    with pytest.raises(BadInput):
        buffer_ppm(0, 1, long=True)
    assert liquidated(99, 100)
    assert not liquidated(100, 100)


# -- The definition: on one side of the price the margin balance covers what is due ----------------


def value_of(contract: ContractValue, size: int, price: int) -> Fraction:
    per = Fraction(contract.numerator, contract.denominator)
    return abs(size) * (per / price if contract.inverse else per * price)


def due_of(contract: ContractValue, table: TierTable, size: int, price: int) -> Fraction:
    """Return the maintenance margin in fractions, without `cum`.

    Of a table by value it is the sum of each tier's rate on what lies within that tier.
    """
    value = value_of(contract, size, price)
    last = table.tiers[-1]
    if table.measure is Measure.SIZE:
        held = next((tier for tier in table.tiers if abs(size) <= tier.cap), last)
        return value * held.maintenance_ppm / PPM
    due = Fraction(0)
    for tier in table.tiers:
        top = value if tier is last else min(value, Fraction(tier.cap))
        due += max(Fraction(0), top - tier.floor) * tier.maintenance_ppm / PPM
    return due


def short_of(
    contract: ContractValue, table: TierTable, held: Exposure, wallet: int, price: int, fee_ppm: int
) -> bool:
    """Say whether the margin balance is below what is due at a price."""
    value = value_of(contract, held.size, price)
    gain = value - held.cost
    balance = wallet + (gain if (held.size > 0) != contract.inverse else -gain)
    return balance < due_of(contract, table, held.size, price) + value * fee_ppm / PPM


def check_price(
    contract: ContractValue, table: TierTable, held: Exposure, wallet: int, fee_ppm: int = 0
) -> None:
    price = liquidation_price(contract, table, held, wallet, fee_ppm=fee_ppm)
    ruin, safe = (-1, 0) if held.size > 0 else (1, 0)
    if price is None:
        # The balance crosses what is due at most once, so both ends tell the whole way.
        ends = {short_of(contract, table, held, wallet, at, fee_ppm) for at in (1, 10**40)}
        assert len(ends) == 1
        return
    assert not short_of(contract, table, held, wallet, price + safe, fee_ppm)
    if price + ruin > 0:
        assert short_of(contract, table, held, wallet, price + ruin, fee_ppm)


TABLES = {
    "usdm": (LINEAR, ladder([row[:3] for row in BTCUSDT])),
    "okx": (
        LINEAR,
        ladder(
            [(10_000, 5_000, 75), (300_000, 7_500, 50), (6_000_000, 10_000, 40)], 1, Measure.SIZE
        ),
    ),
    "coin": (COIN, BTCUSD),
}
sizes = st.integers(1, 50_000_000).flatmap(lambda q: st.sampled_from([q, -q]))
prices = st.integers(E8 // 100, 200_000 * E8)
leverages = st.integers(1, 200)


def opened(contract: ContractValue, size: int, price: int, leverage: int) -> tuple[Exposure, int]:
    cost = -(-value_of(contract, size, price) // 1)
    return Exposure(size, int(cost)), int(cost) // leverage


@given(st.sampled_from(sorted(TABLES)), sizes, prices, leverages, st.sampled_from([0, 500]))
def test_a_liquidation_price_parts_what_is_covered_from_what_is_not(
    name: str, size: int, price: int, leverage: int, fee_ppm: int
) -> None:
    contract, table = TABLES[name]
    fee_ppm = fee_ppm if table.measure is Measure.SIZE else 0
    held, wallet = opened(contract, size, price, leverage)
    check_price(contract, table, held, wallet, fee_ppm)


@given(st.sampled_from(sorted(TABLES)), sizes, prices, leverages, st.integers(1, 10**12))
def test_a_fuller_wallet_is_liquidated_later(
    name: str, size: int, price: int, leverage: int, more: int
) -> None:
    contract, table = TABLES[name]
    held, wallet = opened(contract, size, price, leverage)
    poor = liquidation_price(contract, table, held, wallet)
    rich = liquidation_price(contract, table, held, wallet + more)
    if poor is not None and rich is not None:
        assert (rich - poor) * (1 if size > 0 else -1) <= 0


@given(sizes, prices, prices)
def test_a_short_gains_what_a_long_loses(size: int, price: int, mark: int) -> None:
    for contract in (LINEAR, COIN):
        held, _ = opened(contract, size, price, 1)
        other = Exposure(-size, held.cost)
        pair = unrealised(contract, held, mark) + unrealised(contract, other, mark)
        assert pair in {-1, 0}  # both rounded down


@given(st.sampled_from(["usdm", "coin"]), st.data())
def test_maintenance_has_no_step_at_an_edge(name: str, data: st.DataObject) -> None:
    _, table = TABLES[name]
    at = data.draw(st.integers(1, len(table.tiers) - 1))
    edge = table.tiers[at].floor
    below = edge * table.tiers[at - 1].maintenance_ppm - table.cum_ppm[at - 1]
    above = edge * table.tiers[at].maintenance_ppm - table.cum_ppm[at]
    assert below == above
    assert (table.index(edge), table.index(edge + 1)) == (at - 1, at)


@given(st.sampled_from(sorted(TABLES)), sizes, prices)
def test_maintenance_is_what_the_tiers_sum_to(name: str, size: int, price: int) -> None:
    contract, table = TABLES[name]
    exact = due_of(contract, table, size, price)
    assert maintenance(contract, table, size, price) == math.ceil(exact)


@pytest.mark.parametrize("step", [-1, 1])
def test_a_tier_off_by_one_is_seen(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    at_tier = TierTable.index

    def wrong(self: TierTable, numerator: int, denominator: int = 1) -> int:
        return max(0, min(len(self.tiers) - 1, at_tier(self, numerator, denominator) + step))

    check_price(LINEAR, ETH, ETH_HELD, WALLET)
    before = maintenance(LINEAR, ETH, ETH_SIZE, e8("1335.18"))
    monkeypatch.setattr(TierTable, "index", wrong)
    with pytest.raises(AssertionError):
        check_price(LINEAR, ETH, ETH_HELD, WALLET)
    assert maintenance(LINEAR, ETH, ETH_SIZE, e8("1335.18")) != before
