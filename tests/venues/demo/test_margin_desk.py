"""Perpetuals of the exchange: orders against margin, funding, liquidation, and what they move."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from engine.domain.events import OrderCancelled, PositionsListed, RedemptionsListed
from engine.domain.instruments import (
    MANUAL,
    AccountId,
    FeeSchedule,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Side,
)
from engine.domain.orders import CancelReason, Order, OrderId, OrderType
from engine.domain.perpetual_events import (
    FundingPaid,
    FundingSettled,
    MarkPriced,
    PositionLiquidated,
)
from engine.domain.products.funding import HOUR_NS, funding_cash, rate_e18
from engine.domain.products.margin import MarginTier, Measure, liquidation_price, tier_table
from engine.domain.products.perpetual import MarginTerms
from engine.errors import BadInput, BrokenInvariant
from engine.executor.ledger import Ledger
from engine.executor.settlement import trade_signed
from engine.venues.demo.answers import Answers
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.margin_ledger import FUND
from engine.venues.demo.orders import (
    KEY,
    Ended,
    Filled,
    Funded,
    Liquidated,
    Names,
    OrderReceipt,
    StandingOrder,
    Ticket,
)
from engine.venues.demo.profiles import PERPETUAL as SPEC
from engine.venues.demo.profiles import SPOT, THIN, Profile
from engine.venues.demo.snapshot import encode_state, restore_state
from engine.venues.demo.spot import spot_instrument
from engine.venues.demo.wire import ExchangeUserFrame, pack, unpack_user
from engine.venues.demo.world import open_world, reopen_world
from tests.venues.demo.builders import ANN, BOB, CAT, START, USD, put

PERP = InstrumentId("demo:BTC-PERP")
PAIR = InstrumentId("demo:BTC-pUSD")
BTC = 10**8
E8 = 10**8
MARK = 60_000
TIERS = tier_table(
    Measure.VALUE,
    [
        MarginTier(0, 100_000 * USD, 5_000, 20),
        MarginTier(100_000 * USD, 500_000 * USD, 10_000, 10),
        MarginTier(500_000 * USD, 5_000_000 * USD, 50_000, 5),
    ],
)
PERPETUAL = Instrument(
    id=PERP,
    kind=Kind.PERPETUAL,
    currency="pUSD",
    price_decimals=2,
    size_decimals=8,
    tick=10,
    lot=1_000,
    size_min=10_000,
    notional_min_micro=USD,
    fees=FeeSchedule(taker_rate_ppm=500, maker_rate_ppm=200),
    margin=MarginTerms(leverage=10, tiers=TIERS),
)


def exchange(cash: int = 10_000, least: int = USD) -> DemoExchange:
    """An exchange with the perpetual and the spot pair, and three customers."""
    made = DemoExchange(rng=Random(7), now_ns=START)
    listed = msgspec.structs.replace(PERPETUAL, notional_min_micro=least)
    made.order_entry.margins.add(listed, MARK * E8)
    made.listing.add(listed)
    made.listing.add(spot_instrument(SPOT))
    for customer in (ANN, BOB, CAT):
        made.open_account(customer, (1_000_000 if customer == CAT else cash) * USD)
    return made


def order(name: str, side: Side, price: float, btc: float, **changes: object) -> Ticket:
    made = Ticket(
        identity=name,  # type: ignore[arg-type]
        instrument=PERP,
        leg=Leg.BASE,
        side=side,
        price=round(price * 100),
        size=round(btc * BTC),
    )
    return msgspec.structs.replace(made, **changes)


def asked(made: DemoExchange, customer: AccountId, ticket: Ticket) -> OrderReceipt:
    return made.submit(customer, ticket, made.now_ns)


def trade(
    made: DemoExchange, buyer: AccountId, seller: AccountId, price: float, btc: float
) -> None:
    turn = made.order_entry.order_count
    put(made, seller, order(f"s{turn}", Side.SELL, price, btc))
    put(made, buyer, order(f"b{turn}", Side.BUY, price, btc, type=OrderType.FAK))


def mark(made: DemoExchange, price: float) -> None:
    made.order_entry.margins.mark(PERP, round(price * E8))


def held(made: DemoExchange, customer: AccountId) -> float:
    return made.clearing.margin.size(customer, PERP) / BTC


def sound(made: DemoExchange) -> None:
    assert made.invariants().problems == ()


def test_both_sides_open_by_margin_and_cash_moves_by_fees_and_by_what_closing_brings() -> None:
    made = exchange()
    trade(made, ANN, BOB, 60_000, 0.5)  # 30,000 each on 10,000: the taker pays 15, the maker 6
    assert (made.wallet(ANN).cash, made.wallet(BOB).cash) == (9_985 * USD, 9_994 * USD)
    assert made.positions(ANN) == [(PERP, Leg.BASE, BTC // 2)]
    assert made.positions(BOB) == [(PERP, Leg.BASE, -BTC // 2)]
    assert made.clearing.margin.free_micro(ANN) == 6_985 * USD
    trade(made, BOB, ANN, 61_000, 0.5)  # Ann sells at a gain of 500, as maker for 6.10
    assert (held(made, ANN), held(made, BOB)) == (0, 0)
    assert made.wallet(ANN).cash == 9_985 * USD + 500 * USD - 6_100_000
    assert made.wallet(BOB).cash == 9_994 * USD - 500 * USD - 15_250_000
    sound(made)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"size": 2 * BTC}, "lacks"),
        ({"size": 1_700_000_000}, "leverage"),
        ({"price": 6_400_000}, "limit of 63000"),
        ({"side": Side.SELL, "price": 5_600_000}, "limit of 57000"),
        ({"reduce_only": True}, "ReduceOnly"),
        ({"leg": Leg.YES}, "payload"),
        ({"price": 6_300_000, "size": 160_000_000}, "its loss at the mark"),
    ],
)
def test_what_margin_band_or_position_forbid_is_refused_with_the_numbers(
    changed: dict[str, object], why: str
) -> None:
    made = exchange()
    receipt = asked(
        made, ANN, msgspec.structs.replace(order("x", Side.BUY, 60_000, 0.1), **changed)
    )
    assert receipt.standing is StandingOrder.REJECTED
    assert why in receipt.text
    account = made.clearing.margin.accounts.get(ANN)
    if account is not None:
        assert all(one.worst(0) == 0 for one in account.working.values())
        assert made.clearing.margin.free_micro(ANN) == 10_000 * USD
    sound(made)


@pytest.mark.parametrize("post_only", [True, False])
def test_an_order_worth_less_than_the_minimum_is_refused_unless_it_only_reduces(
    post_only: bool,
) -> None:
    made = exchange(least=10 * USD)
    small = order("x", Side.BUY, 59_000, 0.0001, post_only=post_only)
    receipt = asked(made, ANN, small)
    assert receipt.standing is StandingOrder.REJECTED
    assert receipt.text == "order value (5.9) lower than the minimum: 10"
    trade(made, ANN, BOB, 60_000, 0.5)
    for name, size in (("y", 0.0001), ("z", 0.00001)):
        closing = order(name, Side.SELL, 59_000, size, reduce_only=True)
        assert asked(made, ANN, closing).standing is StandingOrder.LIVE
    too_small = order("w", Side.SELL, 59_000, 0.00001)
    assert "lower than the minimum" in asked(made, ANN, too_small).text
    sound(made)


def test_an_order_of_ours_says_at_the_exchange_that_it_only_reduces() -> None:
    closing = Order(
        account=ANN, id=OrderId(1), bot=MANUAL, instrument=PERP, leg=Leg.BASE, side=Side.SELL,
        price=6_000_000, size=1_000, created_ns=START, reduce_only=True,
    )  # fmt: skip
    assert Names(ANN, KEY).ticket(closing).reduce_only is True
    plain = msgspec.structs.replace(closing, reduce_only=msgspec.UNSET)
    assert Names(ANN, KEY).ticket(plain).reduce_only is False


def test_an_order_at_once_reaches_no_further_than_the_band() -> None:
    made = exchange()
    put(made, CAT, order("near", Side.SELL, 61_000, 0.05))
    put(made, CAT, order("far", Side.SELL, 63_500 - 500, 0.05))
    mark(made, 59_000)  # now 63,000 is beyond 59,000 + 5 %
    receipt = put(made, ANN, order("m", Side.BUY, 99_000, 0.1, type=OrderType.FAK))
    assert receipt.filled == 0.05 * BTC
    sound(made)


def test_money_is_one_for_all_markets_and_margin_is_not_spent_twice() -> None:
    made = exchange()
    trade(made, ANN, CAT, 60_000, 1.2)  # 72,000 at 10x: 7,200 of 9,964 are margin
    spot = msgspec.structs.replace(order("p", Side.BUY, 60_000, 0.05), instrument=PAIR)
    assert asked(made, ANN, spot).standing is StandingOrder.REJECTED
    small = msgspec.structs.replace(order("q", Side.BUY, 60_000, 0.04), instrument=PAIR)
    assert put(made, ANN, small).standing is StandingOrder.LIVE
    assert asked(made, ANN, order("o", Side.BUY, 60_000, 0.1)).standing is StandingOrder.REJECTED
    with pytest.raises(BrokenInvariant, match="withdraw"):
        made.deposit(ANN, -1_000 * USD)
    sound(made)


def test_an_order_never_meets_one_of_its_own_customers() -> None:
    made = exchange()
    put(made, ANN, order("ask", Side.SELL, 60_000, 0.1))
    put(made, BOB, order("other", Side.SELL, 60_000, 0.1))
    receipt = put(made, ANN, order("bid", Side.BUY, 60_100, 0.1))
    assert receipt.filled == 0.1 * BTC
    assert (held(made, ANN), held(made, BOB)) == (0.1, -0.1)
    ended = [one for _, one in made.take(ANN) if isinstance(one, Ended)]
    assert [(one.identity, one.reason) for one in ended] == [("ask", CancelReason.VENUE)]
    assert "self-trade" in ended[0].text
    assert made.clearing.self_trades == 0
    sound(made)


def test_reduce_only_orders_end_where_they_could_open() -> None:
    made = exchange()
    trade(made, ANN, BOB, 60_000, 0.2)
    put(made, ANN, order("a", Side.SELL, 61_000, 0.1, reduce_only=True))
    put(made, ANN, order("b", Side.SELL, 61_500, 0.1, reduce_only=True))
    assert (
        "ReduceOnly" in asked(made, ANN, order("c", Side.SELL, 62_000, 0.1, reduce_only=True)).text
    )
    trade(made, BOB, ANN, 60_000, 0.1)
    assert {one.identity for one in made.open_orders(ANN)} == {"a"}
    put(made, BOB, order("take", Side.BUY, 62_000, 0.3))
    assert held(made, ANN) == 0
    assert made.open_orders(ANN) == []
    sound(made)


def test_a_liquidation_ends_all_orders_first_and_leaves_the_account_empty() -> None:
    made = exchange()
    trade(made, ANN, CAT, 60_000, 1.5)
    put(made, ANN, order("tp", Side.SELL, 62_000, 0.5, reduce_only=True))
    put(made, ANN, msgspec.structs.replace(order("p", Side.BUY, 50_000, 0.01), instrument=PAIR))
    made.take(ANN)
    position = made.clearing.margin.accounts[ANN].positions[PERP]
    at = liquidation_price(PERPETUAL.contract, TIERS, position.exposure, made.wallet(ANN).cash)
    assert at is not None
    mark(made, at / E8 + 0.01)
    assert held(made, ANN) == 1.5
    cash = made.wallet(ANN).cash
    mark(made, at / E8 - 0.01)
    reports = [one for _, one in made.take(ANN)]
    assert [type(one) for one in reports] == [Ended, Ended, Liquidated]
    taken = reports[-1]
    assert isinstance(taken, Liquidated)
    assert taken.size == 1.5 * BTC
    assert cash + taken.realised_micro - taken.fee_micro == 0
    assert taken.fee_micro > 0
    assert (made.wallet(ANN).cash, made.wallet(ANN).reserved, held(made, ANN)) == (0, 0, 0)
    assert (made.open_orders(ANN), made.clearing.margin.size(FUND, PERP)) == ([], 1.5 * BTC)
    assert list(made.account(ANN).liquidations) == [taken]
    sound(made)


def test_a_jump_beyond_the_bankruptcy_price_costs_the_fund_and_not_the_account() -> None:
    made = exchange()
    trade(made, ANN, CAT, 60_000, 1.5)
    mark(made, 40_000)
    taken = [one for _, one in made.take(ANN) if isinstance(one, Liquidated)]
    assert [(one.fee_micro, one.realised_micro) for one in taken] == [(0, -9_955 * USD)]
    assert made.wallet(ANN).cash == 0
    sound(made)


def test_funding_comes_once_a_stamp_and_longs_pay_at_a_rate_above_0() -> None:
    made = exchange()
    trade(made, ANN, BOB, 60_000, 0.5)
    desk, stamp, rate = made.order_entry.margins, START // HOUR_NS * HOUR_NS, rate_e18("0.0001")
    before = made.wallet(ANN).cash, made.wallet(BOB).cash
    desk.fund(PERP, stamp, rate)
    with pytest.raises(BadInput, match="paid already"):
        desk.fund(PERP, stamp + 5_000_000, rate)
    assert (made.wallet(ANN).cash, made.wallet(BOB).cash) == (
        before[0] - 3 * USD,
        before[1] + 3 * USD,
    )
    paid = [one for _, one in made.take(ANN) if isinstance(one, Funded)]
    assert [(one.amount_micro, one.size, one.rate_e18) for one in paid] == [
        (-3 * USD, BTC // 2, rate)
    ]
    sound(made)


def test_a_mark_of_nothing_is_refused_and_a_new_one_is_said_to_everybody() -> None:
    made = exchange()
    made.take_public()
    with pytest.raises(BadInput, match="not above 0"):
        mark(made, 0)
    mark(made, 60_001)
    assert [one for _, one in made.take_public()] == [
        MarkPriced(instrument=PERP, mark_e8=60_001 * E8, exchange_ns=START)
    ]
    assert made.order_entry.margins.marked(PERP) in made.opening()


def test_a_perpetual_without_tiers_and_mark_is_not_listed() -> None:
    made = DemoExchange(rng=Random(7), now_ns=START)
    with pytest.raises(BadInput, match="margin desk"):
        made.listing.add(PERPETUAL)
    terms = MarginTerms(leverage=21, tiers=TIERS)
    changed = msgspec.structs.replace(PERPETUAL, margin=terms)
    with pytest.raises(BadInput, match="leverage of 21"):
        made.order_entry.margins.add(changed, MARK * E8)


def act(made: DemoExchange, rng: Random, turn: int) -> None:
    """Let somebody do something."""
    customer, drawn = rng.choice((ANN, BOB, CAT)), rng.random()
    of = made.clearing.margin.perpetuals[PERP]
    now = of.mark_e8 / E8
    if drawn < 0.12:
        mark(made, now * (1 + rng.gauss(0, 0.06)))
    elif drawn < 0.15:
        stamp = (START // HOUR_NS + turn) * HOUR_NS
        made.order_entry.margins.fund(PERP, stamp, rng.randrange(-(10**16), 10**16))
    elif drawn < 0.2:
        made.cancel_all(customer, made.now_ns, instrument=PERP)
    elif drawn < 0.25 and made.wallet(customer).cash < 1_000 * USD:
        made.deposit(customer, 9_000 * USD)
    else:
        side = rng.choice((Side.BUY, Side.SELL))
        price = round(now * (1 + rng.gauss(0, 0.003)) * 10) / 10
        kind = rng.choice((OrderType.GTC, OrderType.FAK))
        instrument = PERP if rng.random() < 0.85 else PAIR
        asked_for = order(
            f"o{turn}",
            side,
            price,
            rng.randrange(1, 500) / 1_000,
            type=kind,
            reduce_only=instrument == PERP and rng.random() < 0.3,
            instrument=instrument,
        )
        asked(made, customer, asked_for)


def test_whatever_happens_money_is_conserved_and_nobody_stays_below_margin() -> None:
    made, rng = exchange(cash=9_000), Random(11)
    made.deposit_base(BOB, PAIR, 5 * BTC)
    size = dict.fromkeys((ANN, BOB, CAT), 0)
    trades: set[tuple[AccountId, int]] = set()
    liquidations = fundings = 0
    for turn in range(1_000):
        act(made, rng, turn)
        for customer in size:
            for _, one in made.take(customer):
                if isinstance(one, Filled) and one.instrument == PERP:
                    size[customer] += one.size if one.side is Side.BUY else -one.size
                    assert (customer, one.trade) not in trades, "it met itself"
                    trades.add((customer, one.trade))
                elif isinstance(one, Liquidated):
                    size[customer] -= one.size
                    liquidations += 1
                elif isinstance(one, Funded):
                    due = funding_cash(PERPETUAL.contract, one.size, one.mark_e8, one.rate_e18)
                    assert one.amount_micro == due
                    assert one.size == size[customer]
                    fundings += 1
            assert size[customer] == made.clearing.margin.size(customer, PERP)
        sound(made)
        if turn % 300 == 0:
            again = DemoExchange(rng=Random(0), now_ns=0)
            restore_state(again, encode_state(made))
            assert encode_state(again) == encode_state(made)
            made = again
    assert len(trades) > 100
    assert liquidations > 2
    assert fundings > 20


WORLD: Profile = msgspec.structs.replace(
    THIN, spots=(SPOT,), perpetuals=(SPEC,), series=(), events=()
)


def test_the_crowd_trades_the_perpetual_near_its_mark_and_funds_it_once_an_hour() -> None:
    before_hour = START // HOUR_NS * HOUR_NS + HOUR_NS - 90 * 10**9
    made = open_world(WORLD, rng=Random(5), now_ns=before_hour)
    made.open_account(ANN, 10_000 * USD)
    answers = Answers(made, ANN, key=KEY, currency="pUSD")
    made.advance(before_hour + 30 * 10**9)
    book = made.listing.market(PERP).book
    bid, ask, now = book.best_bid, book.best_ask, made.order_entry.margins.marked(PERP).mark_e8
    assert bid is not None
    assert ask is not None
    assert 0.9995 * now < bid * 10**6 < ask * 10**6 < 1.0005 * now
    put(made, ANN, order("b", Side.SELL, now * 0.99 // 10**7 / 10, 0.01, type=OrderType.FAK))
    made.take(ANN)
    again = reopen_world(WORLD, encode_state(made))
    for one in (made, again):
        one.advance(before_hour + 150 * 10**9)
    assert encode_state(made) == encode_state(again)
    events = [answers.received(report) for _, report in made.take(ANN)]
    (paid,) = [one for one in events if isinstance(one, FundingPaid)]
    assert paid.stamp_ns == before_hour + 90 * 10**9
    assert paid.rate_e18 == SPEC.interest_e12 * 10**6, "it trades about its mark"
    assert paid.mark_e8
    due = funding_cash(PERPETUAL.contract, -(10**6), paid.mark_e8, paid.rate_e18)
    assert paid.amount_micro == due
    (listed,) = answers.redemptions(paid.stamp_ns)
    assert isinstance(listed, RedemptionsListed)
    assert listed.fundings == (paid,)
    public = [one for _, one in made.take_public()]
    assert len([one for one in public if isinstance(one, MarkPriced)]) >= 150
    (settled,) = [one for one in public if isinstance(one, FundingSettled)]
    same = ("name", "stamp_ns", "rate_e18", "mark_e8", "rate_type")
    assert [getattr(settled, name) for name in same] == [getattr(paid, name) for name in same]
    sound(made)


def test_a_liquidation_reaches_the_engine_with_the_orders_it_ended_first() -> None:
    made = exchange()
    answers = Answers(made, ANN, key=KEY, currency="pUSD")
    trade(made, CAT, ANN, 60_000, 1.5)
    put(made, ANN, order(answers.identity(OrderId(7)), Side.BUY, 58_000, 0.1, key=KEY))
    made.take(ANN)
    cash = made.wallet(ANN).cash
    mark(made, 66_500)
    events = [answers.received(report) for _, report in made.take(ANN)]
    assert [type(one) for one in events] == [OrderCancelled, PositionLiquidated]
    taken = unpack_user(pack(ExchangeUserFrame(at_ns=1, events=(events[1],)))).events[0]
    assert isinstance(taken, PositionLiquidated)
    ledger = Ledger(currency="pUSD")
    ledger.listed(PERPETUAL)
    ledger.move_cash(cash)
    trade_signed(ledger.state, ledger._own(PERP, MANUAL), -int(1.5 * BTC), -90_000 * USD)
    ledger.liquidate(taken)
    assert (ledger.state.cash_settled_micro, made.wallet(ANN).cash) == (0, 0)
    assert ledger.state.netted[PERP].size == 0
    (positions,) = answers.balances()[1:]
    assert isinstance(positions, PositionsListed)
    assert positions.holdings == ()
