import msgspec
import pytest

from engine.domain.effects import QueryRedemptions, RedeemTokens
from engine.domain.events import (
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    OperationMoved,
    OperationState,
    OrderCancelled,
    OrderFilled,
    RedemptionsListed,
    TokensRedeemed,
    TradePrinted,
)
from engine.domain.instruments import InstrumentId, Leg
from engine.domain.orders import CancelReason
from engine.errors import BrokenInvariant
from engine.venues.paper import market as rules
from engine.venues.paper import matching as matching_module
from engine.venues.paper.settings import FillModel
from tests.venues.paper.world import (
    ACCOUNT,
    BINARY,
    BOOK,
    BUY,
    LINEAR,
    MARKET,
    NO,
    SELL,
    SHARE,
    SPOT,
    YES,
    World,
    events,
    fresh,
    settings,
)

MODELS = list(FillModel)


def sold(price: int, size: int, instrument: InstrumentId = MARKET) -> TradePrinted:
    return TradePrinted(instrument=instrument, price=price, size=size, aggressor=SELL)


# -- markets open, change and close ----------------------------------------------------------------


def test_closing_cancels_what_is_open() -> None:
    world = fresh()
    world.place(BUY, 40, 10)
    (end,) = events(world.receive(InstrumentClosed(instrument=MARKET)))
    assert isinstance(end, OrderCancelled)
    assert end.reason is CancelReason.MARKET_CLOSED
    world.trade(39, 50, SELL)
    assert world.fills == []


@pytest.mark.parametrize(
    ("payout", "paid"), [(1_000_000, 10_000_000), (0, 4_000_000), (500_000, 7_000_000)]
)
def test_a_resolution_pays_nothing_and_a_redemption_everything(payout: int, paid: int) -> None:
    world = fresh(cash=0)
    world.give(YES, 10)
    world.give(NO, 4)
    world.receive(InstrumentResolved(instrument=MARKET, payout_yes_micro=payout, source="uma"))
    assert world.wallet().cash == 0

    (redeemed,) = events(world.ask(redeem(1)))

    assert isinstance(redeemed, TokensRedeemed)
    assert (redeemed.yes, redeemed.no) == (10 * SHARE, 4 * SHARE)
    assert redeemed.amount_micro == world.wallet().cash == paid
    assert world.holding().settled == 0
    (listed,) = events(world.ask(QueryRedemptions(account=ACCOUNT, since_ns=0)))
    assert isinstance(listed, RedemptionsListed)
    assert listed.redemptions == (redeemed,)
    (done,) = events(world.ask(redeem(2)))
    assert isinstance(done, OperationMoved)
    assert done.state is OperationState.CONFIRMED


def redeem(operation: int) -> RedeemTokens:
    return RedeemTokens(account=ACCOUNT, operation=operation, instrument=MARKET)


def test_what_is_not_resolved_can_not_be_redeemed() -> None:
    world = fresh(cash=0)
    world.give(YES, 10)
    (refused,) = events(world.ask(redeem(1)))
    assert isinstance(refused, OperationMoved)
    assert (refused.state, refused.reason) == (OperationState.FAILED, rules.NOT_RESOLVED)
    assert world.holding().settled == 10 * SHARE


def test_pending_tokens_of_a_resolved_market_are_redeemable_when_they_settle() -> None:
    world = fresh(cash=10)
    world.place(BUY, 51, 10)
    world.trade(51, 10, SELL)
    resolved = InstrumentResolved(instrument=MARKET, payout_yes_micro=1_000_000, source="uma")
    assert world.receive(resolved) == []
    world.ask(redeem(1))
    assert world.wallet().cash == 10_000_000 - 5_100_000
    world.wait(2_000)
    world.ask(redeem(2))
    assert world.wallet().cash == 10_000_000 - 5_100_000 + 10_000_000


def test_two_different_resolutions_are_a_contradiction() -> None:
    world = fresh()
    world.receive(InstrumentResolved(instrument=MARKET, payout_yes_micro=0, source="a"))
    world.receive(InstrumentResolved(instrument=MARKET, payout_yes_micro=0, source="b"))
    with pytest.raises(BrokenInvariant, match="twice"):
        world.receive(InstrumentResolved(instrument=MARKET, payout_yes_micro=1_000_000, source="c"))


def test_a_coarser_tick_cancels_what_is_off_it() -> None:
    fine = msgspec.structs.replace(BINARY, tick=10)
    world = World(settings(), fine)
    world.book(*BOOK)
    world.place(BUY, 40.5, 10)
    world.place(BUY, 40, 10)
    (end,) = events(world.receive(InstrumentListed(instrument=BINARY)))
    assert isinstance(end, OrderCancelled)
    assert (end.order, end.reason) == (1, CancelReason.TICK_CHANGED)


def test_new_fees_apply_to_the_next_fill() -> None:
    world = fresh()
    free = msgspec.structs.replace(
        BINARY, fees=msgspec.structs.replace(BINARY.fees, taker_rate_ppm=0)
    )
    world.receive(InstrumentListed(instrument=free))
    world.take(BUY, 52, 10)
    assert world.fills[0].fee_micro == 0


def test_linear_makers_pay_their_fee() -> None:
    world = World(settings(), SPOT)
    world.book({99: 10}, {100: 10}, LINEAR)
    world.place(BUY, 98, 5, leg=Leg.BASE, instrument=LINEAR)
    world.receive(sold(9700, 5 * SHARE, LINEAR))
    (fill,) = world.fills
    assert isinstance(fill, OrderFilled)
    assert fill.fee_micro == 98 * 5 * 200
    assert world.wallet("USDT").cash == 1_000_000_000 - 490_000_000 - 98_000
    assert world.wallet("USDT").reserved == 0


# -- bounds ----------------------------------------------------------------------------------------


def test_markets_that_are_over_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching_module, "MARKETS_MAX", 1)
    world = fresh()
    other = msgspec.structs.replace(BINARY, id=InstrumentId("polymarket:0xbb"))
    world.place(BUY, 40, 10)
    world.cancel(1)
    with pytest.raises(BrokenInvariant, match="instruments are alive"):
        world.receive(InstrumentListed(instrument=other))
    world.receive(InstrumentClosed(instrument=MARKET))
    world.receive(InstrumentListed(instrument=other))
    assert list(world.venue._matching.markets) == [other.id]
    assert world.venue._matching.knows(world.orders[1].id)


def test_ended_orders_are_forgotten_but_their_ids_stay_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matching_module, "ENDED_MAX", 4)
    world = fresh()
    for number in range(1, 7):
        world.place(BUY, 40, 10)
        world.cancel(number)
    matching = world.venue._matching
    assert len(matching.ended) <= 4
    assert all(matching.knows(order) for order in world.orders)
    assert not matching.knows(7)
