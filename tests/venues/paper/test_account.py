import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.events import BookReplaced, OrderFilled
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import Kind, Leg, Side
from engine.domain.orders import OrderId, OrderType
from engine.domain.products.binary import pays_micro
from engine.domain.products.margin import MarginTier, Measure, tier_table
from engine.domain.products.perpetual import MarginTerms
from engine.executor.ledger import Ledger
from engine.gateway.door import Reply
from engine.venues.paper.account import LegFunds, PaperHolding, Wallet
from engine.venues.paper.market import Owned, restored_market
from engine.venues.paper.queue import QueuedOrder, queued
from tests.venues.paper.world import ACCOUNT, BINARY, BUY, LINEAR, NO, SELL, SHARE, SPOT, YES, World

BASE = Leg.BASE
TIERS = tier_table(Measure.VALUE, [MarginTier(0, 10**15, 5_000, 20)])
PERPETUAL = msgspec.structs.replace(
    SPOT, kind=Kind.PERPETUAL, margin=MarginTerms(leverage=10, tiers=TIERS)
)
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


def test_a_short_is_backed_by_its_margin_and_only_what_it_made_is_cash() -> None:
    funds = perpetual()
    trade(funds, SELL, 10_000, 4)
    wallet = funds.wallet
    assert (funds.holding.settled, funds.holding.cost) == (-4 * SHARE, -400 * SHARE)
    assert (wallet.cash, wallet.blocked, wallet.free) == (1_000 * SHARE, 40 * SHARE, 960 * SHARE)
    trade(funds, BUY, 9_000, 1)
    assert (wallet.blocked, wallet.cash) == (30 * SHARE, 1_010 * SHARE)
    trade(funds, BUY, 9_000, 3)
    assert (wallet.blocked, wallet.free) == (0, 1_040 * SHARE)
    assert funds.holding.empty


def test_a_flip_realises_what_it_closes_and_backs_what_it_opens() -> None:
    funds = perpetual()
    trade(funds, BUY, 10_000, 2)
    trade(funds, SELL, 11_000, 5)
    assert (funds.holding.settled, funds.holding.cost) == (-3 * SHARE, -330 * SHARE)
    assert (funds.wallet.cash, funds.wallet.blocked) == (1_020 * SHARE, 33 * SHARE)


def test_a_fee_is_cash_of_either_side() -> None:
    funds = perpetual()
    for side, fee in ((SELL, 7), (BUY, 5)):
        money = funds.money(side, 10_000, SHARE, fee)
        funds.fill(side, SHARE, money, at_once=True, fee_micro=fee)
    assert (funds.wallet.cash, funds.holding.empty) == (1_000 * SHARE - 12, True)


def test_covering_a_short_needs_no_free_cash() -> None:
    funds = perpetual(40 * SHARE)
    trade(funds, SELL, 10_000, 4)
    assert funds.wallet.free == 0
    cover = resting(BUY, 100, 4)
    assert funds.try_hold(cover)
    assert (cover.cash_held, cover.tokens_held) == (0, 4 * SHARE)
    assert not funds.try_hold(resting(BUY, 100, 1))
    funds.use(cover, 4 * SHARE)
    assert funds.holding.covering == 0


@pytest.mark.parametrize("side", [BUY, SELL])
def test_opening_a_perpetual_needs_its_margin_and_fee(side: Side) -> None:
    funds = perpetual(10 * SHARE)
    assert funds.need(resting(side, 100, 2), []) > funds.wallet.free
    assert not funds.try_hold(resting(side, 100, 2))
    assert funds.need(resting(side, 100, 1), [(10_000, SHARE)]) == 10 * SHARE + 100_000
    assert funds.need(resting(SELL, 90, 1), [(10_000, SHARE)]) == 10 * SHARE + 100_000


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_flip_needs_margin_and_fee_of_what_it_opens_alone(side: Side) -> None:
    """As the desk reserves: what closes gives more back than its fee takes."""
    funds = perpetual(1_000 * SHARE)
    trade(funds, SELL if side is BUY else BUY, 10_000, 4)
    order, opens = resting(side, 100, 6), 2 * SHARE
    desk = PERPETUAL.opening_micro(10_000, opens, post_only=False)
    assert funds.need(order, [(10_000, 6 * SHARE)]) == desk == 20 * SHARE + 200_000


@given(
    st.lists(
        st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 10**7), st.integers(1, 10**7)),
        max_size=12,
    )
)
def test_paper_and_ledger_have_the_same_cash(
    fills: list[tuple[Side, int, int]],
) -> None:
    """Neither rounds by itself: a fill moves the same micro-units on both sides."""
    funds, ledger = perpetual(), Ledger(currency=PERPETUAL.currency)
    ledger.listed(PERPETUAL)
    ledger.move_cash(1_000 * SHARE)
    for number, (side, price, size) in enumerate(fills, 1):
        order = WORLD.order(side, 1, 1, BASE, instrument=LINEAR)
        order = msgspec.structs.replace(order, id=OrderId(number), price=price, size=size)
        fee = PERPETUAL.taker_fee_micro(price, size)
        funds.fill(side, size, funds.money(side, price, size, fee), at_once=True, fee_micro=fee)
        ledger.book(
            order,
            OrderFilled(
                account=ACCOUNT, order=order.id, fill=FillId(f"f{number}"), price=price, size=size,
                fee_micro=fee, liquidity=Liquidity.TAKER, state=FillState.CONFIRMED,
            ),
        )  # fmt: skip
        ledger.check()
        held, state = ledger.holding(LINEAR), ledger.state
        assert (funds.wallet.cash, funds.wallet.free) == (
            state.cash_settled_micro, ledger.cash_free_micro,
        )  # fmt: skip
        assert (funds.holding.settled, funds.holding.cost) == (held.position, held.yes.cost_micro)


def test_a_short_is_brought_back_with_its_margin() -> None:
    wallet = Wallet(1_000 * SHARE)
    owned = Owned(PERPETUAL, None, {BASE: -4 * SHARE}, cost=-400 * SHARE)
    funds = restored_market(owned, wallet).funds[BASE]
    assert (wallet.cash, wallet.blocked) == (1_000 * SHARE, 40 * SHARE)
    trade(funds, BUY, 9_000, 4)
    assert (wallet.cash, wallet.free) == (1_040 * SHARE, 1_040 * SHARE)


def test_a_perpetual_is_sold_short_over_the_book_and_covered() -> None:
    world = World(None, PERPETUAL)
    world.receive(
        BookReplaced(instrument=LINEAR, bids=((9_990, 5 * SHARE),), asks=((10_010, 5 * SHARE),))
    )
    for side, cents in ((SELL, 90), (BUY, 110)):
        world.place(side, cents, 2, BASE, instrument=LINEAR, type=OrderType.FAK, post_only=False)
    fills = [one for _, one in world.received if isinstance(one, Reply)]
    (sold,), (bought,) = (
        [event for event in reply.events if isinstance(event, OrderFilled)] for reply in fills
    )
    assert (sold.price, bought.price, sold.state) == (9_990, 10_010, FillState.CONFIRMED)
    fees = sold.fee_micro + bought.fee_micro
    wallet = world.venue._matching.wallets["USDT"]
    assert (wallet.cash, wallet.blocked, wallet.reserved) == (
        1_000 * SHARE - 400_000 - fees, 0, 0,
    )  # fmt: skip


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
