"""A spot pair whose fees are taken of what a fill brings (Binance, OKX)."""

from __future__ import annotations

from fractions import Fraction

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from engine.domain.assets import Money, asset
from engine.domain.effects import PlaceOrder
from engine.domain.events import OrderFilled
from engine.domain.instruments import BotId, FeeSchedule, Instrument, Leg, Side
from engine.domain.orders import RejectReason
from engine.executor.ledger import Ledger
from engine.venues.paper.account import PaperHolding, Wallet
from engine.venues.paper.market import Owned, restored_market
from tests.venues.paper.world import BUY, LINEAR, SELL, SPOT, World, rejected
from tests.venues.paper.world import settings as paper

BTC = asset("BTC")
PAIR = msgspec.structs.replace(
    SPOT, base=BTC, size_decimals=5, lot=1,
    fees=FeeSchedule(taker_rate_ppm=1_000, maker_rate_ppm=800, of_received=True),
)  # fmt: skip


def place(world: World, side: Side, size: int) -> None:
    order = world.order(side, 100, 1, Leg.BASE, instrument=LINEAR, post_only=False)
    order = msgspec.structs.replace(order, size=size, bot=BotId(f"o{size % 2}"))
    world.orders[order.id] = order
    world.ask(PlaceOrder(order=order))


def filled(world: World, side: Side, size: int) -> OrderFilled:
    place(world, side, size)
    return world.fills[-1]


def world_of(pair: Instrument = PAIR) -> World:
    world = World(paper(), pair)
    world.book({100: 1_000}, {100: 1_000}, LINEAR)
    return world


def test_a_buy_pays_of_the_base_and_a_sale_of_the_currency() -> None:
    world = world_of()
    bought = filled(world, BUY, 254)
    sold = filled(world, SELL, 253)

    assert (bought.fee, bought.fee_micro) == (Money.paid(BTC, "0.00000254"), 0)
    assert (sold.fee, sold.fee_micro) == (UNSET, PAIR.taker_fee_micro(10_000, 253))


def test_more_than_the_fee_left_is_not_sold() -> None:
    world = world_of()
    filled(world, BUY, 254)
    place(world, SELL, 254)
    assert rejected(world)[0] is RejectReason.NO_FUNDS
    held = world.holding(Leg.BASE, LINEAR)
    assert (held.settled, held.dust) == (253, 746)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 900)), min_size=1, max_size=15))
@settings(max_examples=40, deadline=None)
def test_venue_and_ledger_have_the_same_of_every_asset(trades: list[tuple[bool, int]]) -> None:
    world, ledger = world_of(), Ledger(currency="USDT")
    ledger.listed(PAIR)
    ledger.move_cash(1_000 * 1_000_000)
    left = Fraction(0)
    for sells, size in trades:
        held = ledger.owned(LINEAR, BotId(f"o{size % 2}")).yes.settled
        side = SELL if sells and size <= held else BUY
        event = filled(world, side, size)
        ledger.book(world.orders[event.order], event)
        left += (size if side is BUY else -size) * Fraction(1, 10**5)
        left -= Fraction(event.fee.amount, 10**8) if event.fee is not UNSET else 0
    held = world.holding(Leg.BASE, LINEAR)
    ours = ledger.holding(LINEAR)
    assert (held.settled, held.dust) == (ours.yes.settled, ours.dust)
    assert world.wallet("USDT").cash == ledger.state.cash_settled_micro
    assert Fraction(ours.yes.settled, 10**5) + Fraction(ours.dust, 10**8) == left
    assert 0 <= ours.dust < 1_000
    ledger.check()


def test_a_restart_keeps_the_dust() -> None:
    owned = Owned(PAIR, None, {Leg.BASE: 253}, 746)
    assert restored_market(owned, Wallet()).funds[Leg.BASE].holding == PaperHolding(253, dust=746)
