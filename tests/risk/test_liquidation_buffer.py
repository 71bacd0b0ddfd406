"""`liquidation_buffer_min`: how near an order may bring a perpetual to its liquidation."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from engine.domain.instruments import FeeSchedule, Instrument, InstrumentId, Kind, Leg, Side
from engine.domain.money import MICRO, PPM
from engine.domain.orders import Order
from engine.domain.products.margin import Exposure, liquidation_price, maintenance, unrealised
from engine.domain.products.perpetual import MarginTerms
from engine.domain.products.position import SignedPosition
from engine.domain.settings import RiskLimits
from engine.executor.ledger import Ledger
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Allowed, Breakers, Denied, DenyReason, RiskGate
from engine.risk.liquidation import SidedOrder
from tests.domain.products.test_tiers import BTCUSDT, ladder
from tests.risk.test_limits_table import NOW, WIDE, order_of

E8 = 10**8
TIERS = ladder([row[:3] for row in BTCUSDT])
BUY, SELL = Side.BUY, Side.SELL


def perpetual(name: str, *, isolated: bool = False, leverage: int = 10) -> Instrument:
    return Instrument(
        id=InstrumentId(f"okx:{name}/USD:USD"), kind=Kind.PERPETUAL, currency="USD",
        price_decimals=2, size_decimals=4, tick=1, lot=1, fees=FeeSchedule(taker_rate_ppm=500),
        margin=MarginTerms(leverage=leverage, tiers=TIERS, isolated=isolated),
    )  # fmt: skip


BTC, ETH = perpetual("BTC"), perpetual("ETH")


@dataclass
class Desk:
    """A gate over a ledger whose cash and positions are set; sizes in units of 1e-4."""

    cash: int = 1_000
    held: tuple[tuple[Instrument, int, int], ...] = ()
    """Of an instrument a signed size, and the price it was opened at."""
    working: list[SidedOrder] = field(default_factory=list)
    limit: int = 500

    def __post_init__(self) -> None:
        self.ledger = Ledger(currency="USD")
        self.ledger.state.cash_settled_micro = self.cash * MICRO
        limits = RiskLimits(**WIDE, liquidation_buffer_min=self.limit)
        breakers = Breakers(limits)
        breakers.equity(10**15, NOW)
        self.book = ExposureBook()
        for of in {one.id: one for one in (BTC, ETH, *(of for of, *_ in self.held))}.values():
            self.book.listed(of)
            self.ledger.listed(of)
        for of, size, price in self.held:
            self.ledger.state.netted[of.id] = SignedPosition(size, size * price * 100)
        self.now_ns = NOW
        self.book.buffers.read(
            lambda: self.ledger.state, lambda _: self.working, lambda _: self.now_ns
        )
        self.gate = RiskGate(limits=limits, breakers=breakers, exposure=self.book)

    def mark(self, of: Instrument, price: float, *, at_ns: int = NOW) -> Desk:
        self.book.buffers.marked(of.id, round(price * E8), at_ns)
        return self

    def ask(self, side: Side, price: int, size: int, *, reduces: int = 0,
            of: Instrument = BTC) -> Allowed | Denied:  # fmt: skip
        order: Order = order_of(
            instrument=of.id, leg=Leg.BASE, side=side, price=price * of.price_unit, size=size
        )
        return self.gate.check(order, reduces=lambda _: reduces, mark_age_ns=0, open_orders=0)


def denied(answer: Allowed | Denied) -> dict[str, int]:
    assert isinstance(answer, Denied)
    assert answer.reason is DenyReason.LIQUIDATION_BUFFER
    return dict(answer.numbers)


def by_hand(desk: Desk, of: Instrument, size: int, cost: int, wallet: int, mark: float) -> int:
    """Return the distance in parts per million, of the venue's formula alone."""
    assert of.margin
    at = liquidation_price(of.contract, of.margin.tiers, Exposure(size, abs(cost)), wallet)
    assert at is not None
    away = round(mark * E8) - at
    return (away if size > 0 else -away) * PPM // round(mark * E8)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_an_order_that_would_come_nearer_than_the_limit_is_denied_with_its_numbers(
    side: Side,
) -> None:
    # 1,000 of cash: 0.2 at 40,000 are eight times that, and about 12 % from liquidation.
    sign = 1 if side is BUY else -1
    fee = 4 * MICRO
    wide = by_hand(Desk(), BTC, sign * 2_000, 8_000 * MICRO, 1_000 * MICRO - fee, 40_000) // 100
    assert 1_100 < wide < 1_300
    assert Desk(limit=wide).mark(BTC, 40_000).ask(side, 40_000, 2_000) == Allowed(2_000)
    said = denied(Desk(limit=wide + 1).mark(BTC, 40_000).ask(side, 40_000, 2_000))
    assert (said["liquidation_buffer_bps"], said["liquidation_buffer_min_bps"]) == (wide, wide + 1)
    assert said["mark_e8"] == 40_000 * E8
    assert (said["liquidation_e8"] < said["mark_e8"]) is (side is BUY)


def test_what_is_held_and_what_may_still_fill_on_its_side_counts_and_the_other_side_does_not() -> (
    None
):
    held = ((BTC, 1_000, 40_000),)
    assert Desk(held=held).mark(BTC, 40_000).ask(BUY, 40_000, 1_000) == Allowed(1_000)
    more = [SidedOrder(1_500, 40_000 * 100)]
    denied(Desk(held=held, working=more, limit=900).mark(BTC, 40_000).ask(BUY, 40_000, 1_000))
    other = [SidedOrder(-1_500, 40_000 * 100)]
    desk = Desk(held=held, working=other, limit=900)
    assert desk.mark(BTC, 40_000).ask(BUY, 40_000, 1_000) == Allowed(1_000)


def test_what_only_reduces_is_allowed_however_near_it_is_and_of_a_flip_what_closes() -> None:
    held = ((BTC, 2_500, 40_000),)
    near = Desk(held=held, limit=9_000).mark(BTC, 38_000)
    assert near.ask(SELL, 38_000, 1_000, reduces=1_000) == Allowed(1_000)
    assert near.ask(SELL, 38_000, 2_500, reduces=2_500) == Allowed(2_500)
    assert near.ask(SELL, 38_000, 6_000, reduces=2_500) == Allowed(2_500)
    denied(near.ask(BUY, 38_000, 100))


def test_an_unknown_mark_and_an_old_one_deny_what_adds_and_let_pass_what_reduces() -> None:
    for desk in (Desk(), Desk().mark(BTC, 40_000, at_ns=NOW)):
        age_ns = RiskLimits().mark_age_ms_max * 10**6
        desk.now_ns = NOW + age_ns + 1
        assert denied(desk.ask(BUY, 40_000, 1)) == {"liquidation_buffer_min_bps": 500}
        desk.now_ns = NOW + age_ns
    assert desk.ask(BUY, 40_000, 1) == Allowed(1)
    held = Desk(held=((BTC, 100, 40_000),))
    assert held.ask(SELL, 40_000, 100, reduces=100) == Allowed(100)


def test_cross_counts_other_positions_at_their_marks_and_denies_where_one_is_not_known() -> None:
    held = ((ETH, -10_000, 2_000),)
    desk = Desk(held=held).mark(BTC, 40_000)
    assert denied(desk.ask(BUY, 40_000, 1_000)) == {"liquidation_buffer_min_bps": 500}
    assert desk.mark(ETH, 2_000).ask(BUY, 40_000, 1_000) == Allowed(1_000)
    denied(desk.mark(ETH, 2_900).ask(BUY, 40_000, 1_000))  # that short lost 900 of the 1,000
    due = maintenance(ETH.contract, TIERS, -10_000, 2_500 * E8)
    lost = unrealised(ETH.contract, Exposure(-10_000, 2_000 * MICRO), 2_500 * E8)
    wallet = 1_000 * MICRO - 2 * MICRO - due + lost
    wide = by_hand(desk, BTC, 1_000, 4_000 * MICRO, wallet, 40_000) // 100
    for limit, passes in ((wide, True), (wide + 1, False)):
        again = Desk(held=held, limit=limit).mark(BTC, 40_000).mark(ETH, 2_500)
        assert isinstance(again.ask(BUY, 40_000, 1_000), Allowed) is passes


def test_an_isolated_position_is_backed_by_its_own_margin_alone() -> None:
    alone = perpetual("SOL", isolated=True)
    held = ((alone, 0, 0),)
    wide = by_hand(Desk(held=held), alone, 10_000, 100 * MICRO, 10 * MICRO, 100) // 100
    assert 900 < wide < 1_000, "a tenth is its margin"
    for limit, passes in ((wide, True), (wide + 1, False)):
        desk = Desk(cash=10**6, held=held, limit=limit).mark(alone, 100)
        assert isinstance(desk.ask(BUY, 100, 10_000, of=alone), Allowed) is passes


def test_without_a_limit_without_margin_and_of_other_products_nothing_is_asked() -> None:
    assert Desk(limit=0).ask(BUY, 40_000, 2_400) == Allowed(2_400)
    whole = replace(perpetual("DOT"), margin=BTC.base)
    assert Desk(held=((whole, 0, 0),)).ask(BUY, 100, 10, of=whole) == Allowed(10)


def test_a_denial_is_repeated_by_its_numbers_and_what_passed_passes_again() -> None:
    denials = [
        Desk(limit=2_000).mark(BTC, 40_000).ask(BUY, 40_000, 2_000),
        Desk().ask(BUY, 40_000, 1),
    ]
    for size, first in zip((2_000, 1), denials, strict=True):
        numbers = tuple(denied(first).items())
        again = Desk(limit=500)
        again.book.buffers.repeat(BTC.id, numbers)
        assert again.ask(BUY, 40_000, size) == first
        again.book.buffers.repeat(BTC.id, ())
        assert again.ask(BUY, 40_000, size) == Allowed(size)
