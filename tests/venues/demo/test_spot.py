"""The demo exchange's spot pair: orders, fees, what wallets hold, and who trades it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec
import pytest

from engine.domain.fills import FillState
from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from engine.domain.orders import OrderState, OrderType
from engine.errors import BadInput
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.host import DemoHost
from engine.venues.demo.orders import Filled, StandingOrder, Ticket
from engine.venues.demo.profiles import FULL, PERPETUAL, SPOT, THIN, Profile, SpotSpec
from engine.venues.demo.snapshot import encode_state
from engine.venues.demo.spot import spot_instrument
from engine.venues.demo.world import open_world, reopen_world
from tests.venues.demo.builders import ANN, BOB, COIN, START, USD, S, instrument, put

PAIR = InstrumentId("demo:BTC-pUSD")
BTC = 10**8
WORLD: Profile = msgspec.structs.replace(THIN, spots=(SPOT,), series=(), events=())


def exchange() -> DemoExchange:
    """An exchange with the pair alone; Ann has money, Bob has money and two bitcoins."""
    made = DemoExchange(rng=Random(7), now_ns=START)
    made.listing.add(spot_instrument(SPOT))
    for customer in (ANN, BOB):
        made.open_account(customer, 100_000 * USD)
    made.deposit_base(BOB, PAIR, 2 * BTC)
    return made


def order(name: str, side: Side, price: int, size: int, **changes: object) -> Ticket:
    made = Ticket(
        identity=name,  # type: ignore[arg-type]
        instrument=PAIR,
        leg=Leg.BASE,
        side=side,
        price=price * 100,
        size=size,
    )
    return msgspec.structs.replace(made, **changes)


def owned(made: DemoExchange, customer: AccountId) -> tuple[int, int, int]:
    """Return a customer's cash, what of it is reserved, and its bitcoins."""
    wallet = made.wallet(customer)
    return wallet.cash, wallet.reserved, wallet.tokens(PAIR, Leg.BASE).settled


def test_a_match_moves_base_and_quote_at_once_and_each_side_pays_its_fee_in_the_quote() -> None:
    made = exchange()
    put(made, BOB, order("s", Side.SELL, 65_000, BTC))
    assert made.wallet(BOB).tokens(PAIR, Leg.BASE).reserved == BTC
    put(made, ANN, order("b", Side.BUY, 65_100, BTC // 2, type=OrderType.FAK))
    # 0.5 BTC at 65,000 = 32,500; the taker pays 0.05 % = 16.25, the maker 0.02 % = 6.50.
    assert owned(made, ANN) == (100_000 * USD - 32_516_250_000, 0, BTC // 2)
    assert owned(made, BOB) == (100_000 * USD + 32_493_500_000, 0, 2 * BTC - BTC // 2)
    assert made.wallet(BOB).tokens(PAIR, Leg.BASE).reserved == BTC // 2
    taken = [report for _, report in made.take(ANN) if isinstance(report, Filled)]
    assert [(one.state, one.fee_micro) for one in taken] == [(FillState.CONFIRMED, 16_250_000)]
    sums = made.invariants()
    assert (sums.problems, sums.collateral, sums.fees) == ((), 0, 22_750_000)
    assert sums.base == {PAIR: 2 * BTC}
    assert made.positions(ANN) == [(PAIR, Leg.BASE, BTC // 2)]
    assert not made.settlement.pending


def test_a_resting_purchase_reserves_its_fee_and_lets_go_of_all_of_it_after_odd_parts() -> None:
    made = exchange()
    put(made, ANN, order("b", Side.BUY, 65_432, 123_457_000))
    cost = 65_432 * 123_457_000 // 100
    assert owned(made, ANN)[1] == cost + cost * 200 // 1_000_000
    for turn, size in enumerate((11_000, 57_019_000, 10_000, 33_333_000)):
        put(made, BOB, order(f"s{turn}", Side.SELL, 65_432, size, type=OrderType.FAK))
        assert made.invariants().problems == ()
    made.cancel(ANN, "b", made.now_ns)  # type: ignore[arg-type]
    cash, reserved, base = owned(made, ANN)
    assert (reserved, base) == (0, 90_373_000)
    fees = sum(fill.fee_micro for fill in made.fills(ANN, 0))
    assert cash == 100_000 * USD - 65_432 * 90_373_000 // 100 - fees


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"leg": Leg.YES}, "payload"),
        ({"price": 6_500_001}, "tick"),
        ({"price": 0}, "tick"),
        ({"size": 9_000}, "Size"),
        ({"size": 10_500}, "decimal"),
        ({"size": 2 * BTC}, "balance"),
        ({"side": Side.SELL}, "balance"),
        ({"price": 1_000, "size": 10_000_000, "type": OrderType.FAK}, "no orders"),
        ({"price": 990, "size": 10_000_000}, "order value (0.99"),
        ({"price": 990, "size": 10_000_000, "post_only": True}, "order value (0.99"),
        ({"price": 990, "size": 10_000_000, "side": Side.SELL}, "order value (0.99"),
    ],
)
def test_what_the_pair_does_not_trade_is_rejected(changed: dict[str, object], why: str) -> None:
    made = exchange()
    asked = msgspec.structs.replace(order("x", Side.BUY, 65_000, 100_000), **changed)
    receipt = made.submit(ANN, asked, made.now_ns)
    assert receipt.standing is StandingOrder.REJECTED
    assert why.lower() in receipt.text.lower()
    assert made.invariants().problems == ()


def test_no_pair_of_a_spot_market_is_split_merged_or_redeemed() -> None:
    made = exchange()
    assert not made.convert(ANN, PAIR, 1_000, made.now_ns)
    assert made.operate(ANN, 1, PAIR, 1_000, made.now_ns) is None
    assert made.operate(ANN, 1, PAIR, 0, made.now_ns) is None
    made.listing.add(instrument())
    with pytest.raises(BadInput, match="no spot pair"):
        made.deposit_base(ANN, COIN, 1)


def test_the_crowd_keeps_a_narrow_book_near_the_reference_and_every_asset_is_conserved() -> None:
    made = open_world(WORLD, rng=Random(5), now_ns=START)
    made.open_account(ANN, 1_000_000 * USD)
    book, rng = made.listing.market(PAIR).book, Random(6)
    for turn in range(400):
        made.advance(made.now_ns + S)
        side = rng.choice((Side.BUY, Side.SELL))
        size = rng.randrange(10, 3_000) * 1_000
        price = int(65_000 * (1 + rng.gauss(0, 2e-4)))
        made.submit(ANN, order(f"a{turn}", side, price, size), made.now_ns)
        if turn % 7 == 0:
            made.cancel_all(ANN, made.now_ns)
        assert made.invariants().problems == ()
        if turn > 10:
            bid, ask = book.best_bid, book.best_ask
            assert bid is not None
            assert ask is not None
            assert bid < ask < 1.005 * bid
    fills = made.fills(ANN, 0)
    moved = sum(fill.size if fill.side is Side.BUY else -fill.size for fill in fills)
    assert len(fills) > 50
    assert owned(made, ANN)[2] == moved
    assert made.clearing.trade_count > len(fills)


def test_the_pair_outlives_its_host_to_the_byte() -> None:
    made = open_world(WORLD, rng=Random(5), now_ns=START)
    made.advance(START + 60 * S)
    again = reopen_world(WORLD, encode_state(made))
    for one in (made, again):
        one.advance(START + 120 * S)
    assert encode_state(made) == encode_state(again)
    assert made.clearing.trade_count > 10
    assert {order.state for order in made.order_entry.orders.values()} <= {
        OrderState.OPEN,
        OrderState.PARTIAL,
    }


def test_a_world_of_an_earlier_version_gets_what_is_new_after_what_customers_received(
    tmp_path: Path,
) -> None:
    before = DemoHost(tmp_path, THIN, seed=3, now_ns=START)
    before.advance(START + 30 * S)
    fills = before.exchange.clearing.trade_count
    before.close()
    after = DemoHost(
        tmp_path,
        msgspec.structs.replace(THIN, spots=(SPOT,), perpetuals=(PERPETUAL,)),
        seed=3,
        now_ns=START + 31 * S,
    )
    assert after.exchange.clearing.trade_count >= fills
    after.advance(START + 60 * S)
    for name in (PAIR, InstrumentId("demo:BTC-PERP")):
        assert after.exchange.listing.market(name).book.best_bid
    assert after.exchange.invariants().problems == ()
    after.close()


def test_spot_traders_of_another_world_are_refused() -> None:
    made = open_world(WORLD, rng=Random(5), now_ns=START)
    other: SpotSpec = msgspec.structs.replace(SPOT, makers=SPOT.makers[:1])
    with pytest.raises(BadInput, match="another world"):
        reopen_world(msgspec.structs.replace(WORLD, spots=(other,)), encode_state(made))
    assert (FULL.spots, FULL.perpetuals) == ((SPOT,), (PERPETUAL,))
