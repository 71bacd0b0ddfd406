import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import Kind, Leg, Side
from engine.domain.products.binary import pays_micro
from engine.venues.paper.account import LegFunds, PaperHolding, Wallet
from engine.venues.paper.queue import QueuedOrder, queued
from tests.venues.paper.world import BINARY, BUY, LINEAR, NO, SELL, SHARE, SPOT, YES, World

BASE = Leg.BASE
PERPETUAL = msgspec.structs.replace(SPOT, kind=Kind.PERPETUAL)
WORLD = World()


def perpetual(cash: int = 1_000 * SHARE) -> LegFunds:
    return LegFunds(PERPETUAL, Wallet(cash), PaperHolding())


def resting(side: Side, cents: int, shares: float) -> QueuedOrder:
    return queued(WORLD.order(side, cents, shares, BASE, instrument=LINEAR), SPOT)


def trade(funds: LegFunds, side: Side, price: int, shares: int) -> None:
    """Fill an order of the whole size at its own price, without a fee."""
    money = funds.money(side, price, shares * SHARE, 0)
    funds.fill(side, shares * SHARE, money, at_once=True)


@given(
    st.integers(1, 9_999),
    st.lists(st.integers(1, 10**7), min_size=1, max_size=8),
    st.sampled_from([YES, NO]),
)
def test_partial_fills_never_release_more_than_was_held(
    price: int, parts: list[int], leg: Leg
) -> None:
    funds = LegFunds(BINARY, Wallet(10**12), PaperHolding())
    order = msgspec.structs.replace(WORLD.order(BUY, 1, 1, leg), price=price, size=sum(parts))
    held = queued(order, BINARY)
    assert funds.try_hold(held)
    for part in parts:
        before = held.cash_held
        funds.use(held, part)
        held.remaining -= part
        assert 0 <= held.cash_held <= before
        assert held.cash_held >= funds.value_up(price, held.remaining)
    assert held.cash_held == funds.wallet.reserved == 0


def test_what_we_pay_is_rounded_up_and_what_we_get_down() -> None:
    funds = LegFunds(BINARY, Wallet(), PaperHolding())
    assert funds.money(BUY, 3_333, 1_000_001, 7) == -BINARY.cost_micro(3_333, 1_000_001) - 7
    assert funds.money(SELL, 3_333, 1_000_001, 7) == BINARY.proceeds_micro(3_333, 1_000_001) - 7


def test_a_hold_that_is_not_covered_holds_nothing() -> None:
    funds = LegFunds(SPOT, Wallet(5), PaperHolding())
    assert not funds.try_hold(resting(BUY, 100, 1))
    assert not funds.try_hold(resting(SELL, 100, 1))
    assert (funds.wallet.reserved, funds.holding.reserved) == (0, 0)


def test_a_spot_sell_uses_only_tokens_nobody_else_holds() -> None:
    funds = LegFunds(SPOT, Wallet(), PaperHolding())
    funds.holding.settled = 10 * SHARE
    assert funds.try_hold(resting(SELL, 100, 7))
    assert not funds.try_hold(resting(SELL, 100, 4))
    assert funds.need(resting(SELL, 100, 4), []) is None
    assert funds.need(resting(SELL, 100, 3), []) == 0


def test_a_short_is_backed_by_twice_its_value_until_it_is_covered() -> None:
    funds = perpetual()
    trade(funds, SELL, 10_000, 4)
    wallet = funds.wallet
    assert (funds.holding.settled, wallet.cash) == (-4 * SHARE, 1_400 * SHARE)
    assert (wallet.blocked, wallet.free) == (800 * SHARE, 600 * SHARE)
    trade(funds, BUY, 9_000, 1)
    assert (wallet.blocked, wallet.cash) == (600 * SHARE, 1_310 * SHARE)
    trade(funds, BUY, 9_000, 3)
    assert (wallet.blocked, wallet.free) == (0, 1_040 * SHARE)
    assert funds.holding.empty


def test_a_flip_backs_only_what_it_opens() -> None:
    funds = perpetual()
    trade(funds, BUY, 10_000, 2)
    trade(funds, SELL, 10_000, 5)
    assert funds.holding.short_micro == 300 * SHARE
    assert funds.wallet.free == 700 * SHARE


def test_covering_a_short_needs_no_free_cash() -> None:
    funds = perpetual(400 * SHARE)
    trade(funds, SELL, 10_000, 4)
    assert funds.wallet.free == 0
    cover = resting(BUY, 100, 4)
    assert funds.try_hold(cover)
    assert (cover.cash_held, cover.tokens_held) == (0, 4 * SHARE)
    assert not funds.try_hold(resting(BUY, 100, 1))
    funds.use(cover, 4 * SHARE)
    assert funds.holding.covering == 0


@pytest.mark.parametrize("side", [BUY, SELL])
def test_opening_a_perpetual_needs_its_full_value(side: Side) -> None:
    funds = perpetual(100 * SHARE)
    assert funds.need(resting(side, 100, 2), []) > funds.wallet.free
    assert not funds.try_hold(resting(side, 100, 2))
    assert funds.need(resting(SELL, 100, 1), [(10_000, SHARE)]) == 100 * SHARE


def test_a_taker_needs_its_fees_but_never_less_than_its_limit() -> None:
    funds = LegFunds(SPOT, Wallet(), PaperHolding())
    order = resting(BUY, 100, 2)
    assert funds.need(order, [(10_000, 2 * SHARE)]) == 200 * SHARE + 200_000
    assert funds.need(order, [(5_000, 2 * SHARE)]) == 200 * SHARE
    # Half taken at the limit, half resting with the maker's fee.
    assert funds.need(order, [(10_000, SHARE)]) == 200 * SHARE + 100_000 + 20_000


def test_payouts_of_the_two_legs_make_one() -> None:
    assert [pays_micro(leg, 300_000) for leg in (YES, NO)] == [300_000, 700_000]


def test_a_payout_is_rounded_down() -> None:
    funds = LegFunds(BINARY, Wallet(), PaperHolding())
    funds.holding.settled = 3
    assert funds.redeem(500_000) == (3, 1)
    assert (funds.wallet.cash, funds.holding.settled) == (1, 0)
