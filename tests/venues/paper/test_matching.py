import pytest

from engine.domain.events import (
    FillSettled,
    OrderCancelled,
    TradePrinted,
)
from engine.domain.fills import FillState, Liquidity, SizeSource
from engine.domain.instruments import InstrumentId
from engine.domain.orders import CancelReason
from engine.venues.paper.settings import FillModel
from tests.venues.paper.world import (
    BUY,
    MARKET,
    NO,
    SELL,
    SHARE,
    fresh,
    kinds,
)

MODELS = list(FillModel)


# -- prints and the queue --------------------------------------------------------------------------


def test_a_maker_waits_behind_what_was_displayed() -> None:
    world = fresh()
    world.place(BUY, 50, 10)
    world.trade(50, 95, SELL)
    assert world.fills == []
    world.trade(50, 8, SELL)
    assert world.filled(1) == 3
    fill = world.fills[0]
    assert (fill.price, fill.liquidity, fill.source) == (5000, Liquidity.MAKER, SizeSource.TAPED)


def test_improving_the_price_stands_first() -> None:
    world = fresh()
    world.place(BUY, 51, 10)
    world.trade(51, 4, SELL)
    assert world.filled(1) == 4


def test_a_buyer_does_not_fill_our_bid() -> None:
    world = fresh()
    world.place(BUY, 51, 10)
    world.trade(51, 40, BUY)
    world.trade(49, 40, BUY)
    assert world.fills == []


def test_a_trade_through_fills_at_our_own_price() -> None:
    world = fresh()
    world.place(BUY, 50, 10)
    world.trade(49, 6, SELL)
    assert [(f.price, f.size) for f in world.fills] == [(5000, 6 * SHARE)]


@pytest.mark.parametrize("model", MODELS)
def test_a_book_that_moves_through_us_without_a_print_fills_nothing(model: FillModel) -> None:
    world = fresh(model)
    world.place(BUY, 50, 10)
    world.book({40: 100}, {45: 100})
    world.level(SELL, 44, 500)
    assert world.fills == []


@pytest.mark.parametrize("model", MODELS)
def test_a_trade_on_a_level_that_came_to_stand_across_us_fills_us_first(model: FillModel) -> None:
    # Who asks 50 while we bid 50 would have met us before anybody bought it from him.
    world = fresh(model)
    world.place(BUY, 50, 10)
    world.book({48: 100}, {50: 100})
    world.trade(50, 4, BUY)
    world.trade(51, 40, BUY)
    assert [(f.price, f.size) for f in world.fills] == [(5000, 4 * SHARE)]
    world.level(SELL, 49, 30)
    world.trade(49, 40, BUY)
    assert world.filled(1) == 10


def test_a_trade_across_us_fills_an_ask_alike() -> None:
    world = fresh()
    world.place(BUY, 48, 5, NO)
    world.book({53: 100}, {54: 100})
    world.trade(53, 3, SELL)
    assert world.filled(1) == 3


@pytest.mark.parametrize(
    ("model", "filled"),
    [(FillModel.PESSIMISTIC, 0), (FillModel.REALISTIC, 0), (FillModel.OPTIMISTIC, 10)],
)
def test_a_print_of_unknown_size_counts_only_for_the_optimist(
    model: FillModel, filled: int
) -> None:
    world = fresh(model)
    world.place(BUY, 50, 10)
    world.trade(50, None, SELL, SizeSource.UNKNOWN)
    assert world.filled(1) == filled
    assert all(fill.source is SizeSource.UNKNOWN for fill in world.fills)


def test_a_size_of_unknown_source_is_not_believed() -> None:
    world = fresh()
    world.place(BUY, 51, 10)
    world.trade(51, 10, SELL, SizeSource.UNKNOWN)
    assert world.fills == []


def test_an_inferred_size_fills_and_says_so() -> None:
    world = fresh()
    world.place(BUY, 51, 10)
    world.trade(51, 4, SELL, SizeSource.INFERRED)
    assert [(f.size, f.source) for f in world.fills] == [(4 * SHARE, SizeSource.INFERRED)]


def test_an_ambiguous_print_counts_where_only_our_side_has_the_level() -> None:
    world = fresh(FillModel.PESSIMISTIC)
    world.place(BUY, 50, 10)
    world.trade(50, 105, None)
    assert world.filled(1) == 5


@pytest.mark.parametrize(
    ("model", "filled"),
    [(FillModel.PESSIMISTIC, 0), (FillModel.REALISTIC, 0), (FillModel.OPTIMISTIC, 10)],
)
def test_an_ambiguous_print_nobody_can_place_counts_only_for_the_optimist(
    model: FillModel, filled: int
) -> None:
    world = fresh(model)
    world.place(BUY, 50, 10)
    world.trade(40, 60, None)
    assert world.filled(1) == filled


def test_an_ambiguous_print_on_a_displayed_ask_is_a_buyers() -> None:
    world = fresh()
    world.place(BUY, 48, 10, leg=NO)  # an ask at 52, behind 100
    world.place(BUY, 50, 10)
    world.trade(52, 104, None)
    assert (world.filled(1), world.filled(2)) == (4, 0)


def test_cancels_ahead_move_the_realist() -> None:
    world = fresh()
    world.level(BUY, 50, 90)
    world.place(BUY, 50, 10)
    world.level(BUY, 50, 120)
    world.level(BUY, 50, 60)  # half of 120 goes: half of our 90 with it
    world.trade(50, 50, SELL)
    assert world.filled(1) == 5


# -- settlement ------------------------------------------------------------------------------------


def test_tokens_and_proceeds_are_pending_until_confirmed() -> None:
    world = fresh(cash=100)
    world.place(BUY, 51, 10)
    world.trade(51, 10, SELL)
    bought = world.holding()
    assert (bought.settled, bought.pending) == (0, 10 * SHARE)
    assert world.wallet().cash == 100_000_000 - 5_100_000
    world.place(SELL, 53, 10)
    assert kinds([world.received[-1][1]]) == ["OrderRejected"]
    assert world.wait(1_999) == []
    (settled,) = world.wait(1)
    assert settled == FillSettled(account=world.venue.account(), fill=world.fills[0].fill)
    assert (bought.settled, bought.pending) == (10 * SHARE, 0)
    world.place(SELL, 51, 10)
    world.trade(51, 10, BUY)
    assert (bought.settled, world.wallet().pending) == (0, 5_100_000)
    world.wait(2_000)
    assert (world.wallet().cash, world.wallet().pending) == (100_000_000, 0)


def test_a_fill_says_matched_where_it_settles_later_and_confirmed_where_not() -> None:
    for settle_ms, state in ((2_000, FillState.MATCHED), (0, FillState.CONFIRMED)):
        world = fresh(settle_ms=settle_ms)
        world.place(BUY, 51, 10)
        world.trade(51, 10, SELL)
        assert world.fills[0].state is state


def test_cash_spent_to_the_last_micro_ends_an_order_instead_of_overdrawing() -> None:
    world = fresh(cash=5.1)
    world.place(BUY, 51, 10)
    for size in (3_333_333, 3_333_333):  # finer than a lot: each fill is rounded up
        world.receive(sold(5100, size))
    world.trade(51, 10, SELL)
    assert world.wallet().cash >= 0
    (end,) = [e for e in world.events if isinstance(e, OrderCancelled)]
    assert (end.reason, end.venue_text) == (CancelReason.NO_FUNDS, "CANCELED_NOT_ENOUGH_BALANCE")
    assert world.wallet().reserved == 0


def sold(price: int, size: int, instrument: InstrumentId = MARKET) -> TradePrinted:
    return TradePrinted(instrument=instrument, price=price, size=size, aggressor=SELL)
