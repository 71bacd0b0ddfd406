"""A position below the venue's minimum is closed by reduce-only, where the account's falls too."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.domain.commands import PlaceManual
from engine.domain.effects import PlaceOrder
from engine.domain.events import OrderRejected
from engine.domain.fills import FillState
from engine.domain.instruments import MANUAL, BotId, Kind, Leg, Side
from engine.domain.intents import Quotes, ResidualReason, Target, Urgency
from engine.domain.orders import Order, OrderId, RejectReason
from engine.domain.settings import Limit
from engine.executor.manual import ManualMade, ManualRefused
from tests.executor.conftest import ACCOUNT, BOT, LIMITS, Build, Rig, orders

PERP = msgspec.structs.replace(
    Build().spot("venue:BTC/USD:USD", kind=Kind.PERPETUAL), notional_min_micro=50_000_000
)
"""Its lot is 10, its least size 100; 700 of them are worth 49 USD, less than the venue takes."""
OTHER = BotId("other")
R = ResidualReason


@pytest.fixture
def desk() -> Rig:
    return Rig(instruments=(PERP,), cash=10_000)


def mark(rig: Rig) -> Any:
    return rig.mark(PERP.id, best_bid=6_999_900, best_ask=7_000_100, mid2=14_000_000)


def want(
    rig: Rig, position: int, bot: BotId = BOT, urgency: Urgency = Urgency.CROSS, limit: int = 0
) -> list[Order]:
    target = Target(
        bot=bot, instrument=PERP.id, position=position, urgency=urgency,
        limit_price=limit or (7_010_000 if position >= 0 else 6_990_000),
        valid_until_ns=rig.now + 10**12,
    )  # fmt: skip
    return orders(rig.feed(mark(rig), target))


def fill(rig: Rig, order: Order, size: int | None = None) -> None:
    rig.open(order.id)
    name = f"f{order.id}-{size}"
    size = order.size if size is None else size
    rig.feed(
        rig.build.filled(order.id, name, price=7_000_000, size=size, state=FillState.CONFIRMED)
    )


def short_of(rig: Rig, size: int, bot: BotId = BOT) -> None:
    """Open a short that is large enough, and close all but `size` of it."""
    (opened,) = want(rig, -2_000, bot)
    fill(rig, opened)
    (closing,) = want(rig, -size, bot, limit=7_010_000)
    fill(rig, closing)
    assert rig.executor.ledger.owned(PERP.id, bot).position == -size


def left(rig: Rig, bot: BotId = BOT) -> list[tuple[ResidualReason, int]]:
    residuals, _ = rig.executor.explain(PERP.id, bot)
    return [(one.reason, one.size) for one in residuals]


@pytest.mark.parametrize("size", [700, 100, 90, 10])
@pytest.mark.parametrize("urgency", list(Urgency))
def test_a_short_below_the_minimum_is_closed_by_reduce_only(
    desk: Rig, size: int, urgency: Urgency
) -> None:
    short_of(desk, size)
    (order,) = want(desk, 0, urgency=urgency)
    assert (order.side, order.size, order.reduce_only) == (Side.BUY, size, True)
    fill(desk, order)
    assert desk.executor.ledger.owned(PERP.id, BOT).position == 0
    desk.executor.ledger.check()


def test_what_is_large_enough_is_no_reduce_only_order(desk: Rig) -> None:
    short_of(desk, 800)
    (order,) = want(desk, 0)
    assert order.reduce_only is msgspec.UNSET


def test_what_would_open_below_the_minimum_is_left(desk: Rig) -> None:
    assert want(desk, -700) == []
    assert left(desk) == [(R.BELOW_MIN, 700)]
    assert want(desk, -90) == []
    assert left(desk) == [(R.BELOW_MIN, 90)]


def test_a_small_order_that_closes_a_little_and_opens_more_is_left(desk: Rig) -> None:
    short_of(desk, 300)
    assert want(desk, 200) == []
    assert left(desk) == [(R.BELOW_MIN, 500)]


def test_a_part_of_a_large_position_may_be_closed_below_the_minimum(desk: Rig) -> None:
    (opened,) = want(desk, -2_000)
    fill(desk, opened)
    (order,) = want(desk, -1_950, limit=7_010_000)
    assert (order.size, order.reduce_only) == (50, True)


def test_a_long_is_closed_so_as_well_and_by_a_quote(desk: Rig) -> None:
    (opened,) = want(desk, 2_000)
    fill(desk, opened)
    (closing,) = want(desk, 60, limit=6_990_000)
    fill(desk, closing)
    quotes = Quotes(
        bot=BOT, instrument=PERP.id, asks=((7_000_100, 60),), valid_until_ns=desk.now + 10**12
    )
    (order,) = orders(desk.feed(mark(desk), quotes))
    assert (order.side, order.size, order.post_only, order.reduce_only) == (
        Side.SELL, 60, True, True,
    )  # fmt: skip
    desk.open(order.id)
    assert orders(desk.feed(mark(desk), quotes)) == [], "it rests, and is not placed twice"
    desk.feed(
        desk.build.filled(
            order.id, "part", price=7_000_100, size=40, state=FillState.CONFIRMED
        )
    )  # fmt: skip
    assert desk.executor.ledger.owned(PERP.id, BOT).position == 20


def test_where_others_hold_the_other_way_the_rest_stays_and_says_so(desk: Rig) -> None:
    """The venue nets the owners: a long account has no short that an order could reduce."""
    short_of(desk, 300)
    (bought,) = want(desk, 1_000, OTHER)
    fill(desk, bought)
    assert want(desk, 0) == []
    assert left(desk) == [(R.NETTED, 300)]
    assert want(desk, -300) == [], "it wants what it holds: the other's sale meets no order of ours"
    (sold,) = want(desk, 0, OTHER, limit=6_990_000)
    fill(desk, sold)
    (order,) = want(desk, 0)
    assert (order.size, order.reduce_only) == (300, True)


def test_what_works_for_others_on_that_side_counts_against_the_accounts_position(desk: Rig) -> None:
    short_of(desk, 300)
    (resting,) = want(desk, 800, OTHER, Urgency.REST, 6_999_000)
    desk.open(resting.id)
    assert want(desk, 0) == []
    assert left(desk) == [(R.NETTED, 300)]


def test_an_order_that_an_ended_one_left_to_open_leaves_nothing_to_close(desk: Rig) -> None:
    """Its share of what it may close was the ended order's: what works counts, not that share."""
    short_of(desk, 300)
    (first,) = want(desk, 0, urgency=Urgency.REST, limit=6_999_000)
    desk.open(first.id)
    held = desk.executor.ledger.state.owned[PERP.id][BOT].yes
    assert held.reserved == 300
    held.reserved = 0  # as where the order that shared it has ended
    made = Quotes(
        bot=BOT, instrument=PERP.id, bids=((6_999_000, 300), (6_998_000, 90)),
        valid_until_ns=desk.now + 10**12,
    )  # fmt: skip
    assert orders(desk.feed(mark(desk), made)) == []
    assert left(desk) == [(R.BELOW_MIN, 90)]


def test_no_limit_of_a_person_keeps_a_rest_open() -> None:
    limits = LIMITS.model_copy(update={"order_value_min": Limit(absolute=49.5)})
    rig = Rig(instruments=(PERP,), cash=10_000, limits=limits)
    short_of(rig, 90)
    (order,) = want(rig, 0)
    assert (order.size, order.reduce_only) == (90, True)


def limited(kind: Kind) -> Rig:
    """A desk whose person wants no order below 60, above the 50 of the venue."""
    limits = LIMITS.model_copy(update={"order_value_min": Limit(absolute=60)})
    return Rig(instruments=(msgspec.structs.replace(PERP, kind=kind),), cash=10_000, limits=limits)


@pytest.mark.parametrize("kind", [Kind.PERPETUAL, Kind.SPOT])
def test_a_whole_position_is_closed_below_a_person_s_least_value(kind: Kind) -> None:
    rig = limited(kind)
    (opened,) = want(rig, 2_000)
    fill(rig, opened)
    (part,) = want(rig, 800, limit=6_990_000)
    fill(rig, part)
    (order,) = want(rig, 0, limit=6_990_000)
    assert (order.side, order.size, order.reduce_only) == (Side.SELL, 800, msgspec.UNSET)


@pytest.mark.parametrize("kind", [Kind.PERPETUAL, Kind.SPOT])
def test_neither_a_part_of_it_nor_what_opens_may_be_worth_less_than_that(kind: Kind) -> None:
    rig = limited(kind)
    assert want(rig, 800) == []
    assert left(rig) == [(R.RISK, 800)]
    (opened,) = want(rig, 2_000)
    fill(rig, opened)
    assert want(rig, 1_200, limit=6_990_000) == []
    assert left(rig) == [(R.RISK, 800)]


@pytest.mark.parametrize("size", [800, 750])
def test_a_whole_position_is_closed_by_hand_below_a_person_s_least_value(size: int) -> None:
    rig = limited(Kind.PERPETUAL)
    open_by_hand(rig, Side.SELL, 2_000, 6_990_000)
    open_by_hand(rig, Side.BUY, 1_200, 7_010_000)
    made = by_hand(rig, size=size)
    assert isinstance(made, ManualRefused) is (size != 800)


def test_a_refusal_because_the_account_moved_is_no_alarm_and_is_not_repeated_at_once(
    desk: Rig,
) -> None:
    short_of(desk, 300)
    (order,) = want(desk, 0)
    desk.send(order.id)
    refused = OrderRejected(
        account=ACCOUNT, order=order.id, reason=RejectReason.REDUCE_ONLY, venue_text="no position"
    )
    assert desk.feed(refused) == []
    assert left(desk) == [(R.COOLDOWN, 300)]


def test_a_spot_rest_below_the_minimum_is_left_and_never_asked_for() -> None:
    spot = msgspec.structs.replace(PERP, kind=Kind.SPOT)
    rig = Rig(instruments=(spot,), cash=10_000)
    (opened,) = want(rig, 2_000)
    fill(rig, opened)
    (closing,) = want(rig, 700, limit=6_990_000)
    fill(rig, closing)
    for _ in range(3):
        assert want(rig, 0, limit=6_990_000) == []
        assert left(rig) == [(R.BELOW_MIN, 700)]


def by_hand(rig: Rig, **changes: Any) -> ManualMade:
    asked = PlaceManual(
        account=ACCOUNT, instrument=PERP.id, leg=Leg.BASE, side=Side.BUY, price=7_010_000,
        size=300, urgency=Urgency.CROSS,
    )  # fmt: skip
    rig.feed(mark(rig))
    _, made = rig.executor.place(msgspec.structs.replace(asked, **changes), rig.now)
    return made


def open_by_hand(rig: Rig, side: Side, size: int, price: int) -> None:
    made = by_hand(rig, side=side, size=size, price=price)
    assert not isinstance(made, ManualRefused), made
    fill(rig, made[0].order)  # type: ignore[index]


@pytest.mark.parametrize("urgency", list(Urgency))
@pytest.mark.parametrize("size", [300, 40])
def test_a_rest_is_closed_by_hand(desk: Rig, urgency: Urgency, size: int) -> None:
    open_by_hand(desk, Side.SELL, 2_000, 6_990_000)
    open_by_hand(desk, Side.BUY, 1_700, 7_010_000)
    price = 6_999_000 if urgency is Urgency.REST else 7_010_000
    made = by_hand(desk, urgency=urgency, size=size, price=price)
    assert not isinstance(made, ManualRefused), made
    order = made[0].order  # type: ignore[index]
    assert (order.size, order.reduce_only) == (size, True)


def test_by_hand_too_the_account_must_fall(desk: Rig) -> None:
    open_by_hand(desk, Side.SELL, 2_000, 6_990_000)
    open_by_hand(desk, Side.BUY, 1_700, 7_010_000)
    (bought,) = want(desk, 1_000)
    fill(desk, bought)
    made = by_hand(desk)
    assert isinstance(made, ManualRefused)
    assert made.why == (
        "an order must be worth at least 50 USD, and reduce-only, which may be smaller, would be "
        "refused: other owners of the account hold the other way or have orders on this side"
    )
    made = by_hand(desk, size=40)
    assert isinstance(made, ManualRefused)
    assert made.why.startswith("size 0.00004 is not legal at ")
    assert "and reduce-only, which may be smaller, would be refused" in made.why


def test_by_hand_what_would_open_is_refused_as_ever(desk: Rig) -> None:
    made = by_hand(desk)
    assert isinstance(made, ManualRefused)
    assert made.why == "an order must be worth at least 50 USD"
    assert desk.executor.ledger.owned(PERP.id, MANUAL).position == 0


def test_an_order_of_a_journal_of_before_is_read_without_it() -> None:
    order = Build().order()
    packed = msgspec.msgpack.encode(PlaceOrder(order=order))
    assert b"reduce_only" not in packed, "a journal of before, and its digest, are the same bytes"
    assert msgspec.msgpack.decode(packed, type=PlaceOrder).order == order
    closing = msgspec.structs.replace(order, reduce_only=True)
    packed = msgspec.msgpack.encode(PlaceOrder(order=closing))
    assert msgspec.msgpack.decode(packed, type=PlaceOrder).order.reduce_only is True


def test_a_death_finds_a_reduce_only_order_as_it_was(desk: Rig) -> None:
    short_of(desk, 300)
    (order,) = want(desk, 0, urgency=Urgency.REST)
    desk.open(order.id)
    other = Rig(instruments=(PERP,), cash=0, empty=True)
    other.executor.restore(desk.executor.snapshot())
    assert other.executor.order(OrderId(order.id)) == order
