from engine.domain.effects import CancelScope
from engine.domain.events import (
    CancelRefused,
    OrderCancelled,
)
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.orders import CancelReason
from tests.venues.paper.world import (
    ACCOUNT,
    BOOK,
    BUY,
    SELL,
    World,
    events,
    fresh,
    kinds,
    settings,
)

# -- cancels ---------------------------------------------------------------------------------------


def refusal(world: World) -> str:
    (event,) = events([world.received[-1][1]])
    assert isinstance(event, CancelRefused)
    return event.venue_text


def test_a_fill_before_the_cancel_arrives_wins() -> None:
    world = fresh(latency_ms=150)
    world.place(BUY, 51, 10)
    world.wait(150)
    world.cancel(1)
    world.wait(100)
    world.trade(51, 10, SELL)
    world.wait(50)
    assert world.filled(1) == 10
    assert refusal(world) == "Order already matched"


def test_a_fill_after_the_cancel_arrived_is_none() -> None:
    world = fresh(latency_ms=150)
    world.place(BUY, 51, 10)
    world.wait(150)
    world.cancel(1)
    world.wait(150)
    world.trade(51, 10, SELL)
    assert world.fills == []


def test_a_partly_filled_order_is_cancelled_for_its_rest() -> None:
    world = fresh()
    world.place(BUY, 51, 10)
    world.trade(51, 4, SELL)
    (event,) = events(world.cancel(1))
    assert event == OrderCancelled(account=ACCOUNT, order=1, reason=CancelReason.ASKED)
    assert world.wallet().reserved == 0


def test_a_cancel_that_overtakes_its_order_finds_nothing() -> None:
    early = settings(latency_ms=150).model_copy(update={"cancel_latency_ms": 10})
    world = World(early)
    world.book(*BOOK)
    world.place(BUY, 50, 10)
    world.cancel(1)
    world.wait(10)
    assert refusal(world) == "Order not found or already canceled"
    assert kinds(world.wait(140)) == ["OrderAccepted"]


def test_cancelling_twice_or_the_unknown_is_refused() -> None:
    world = fresh()
    world.place(BUY, 50, 10)
    world.cancel(1)
    world.cancel(1)
    assert refusal(world) == "Order not found or already canceled"
    world.cancel(77)
    assert refusal(world) == "Order not found or already canceled"


def test_one_request_cancels_many_and_answers_for_each() -> None:
    world = fresh()
    world.place(BUY, 50, 10)
    world.place(BUY, 49, 10)
    assert kinds(world.cancel(1, 9, 2)) == ["OrderCancelled", "CancelRefused", "OrderCancelled"]


def test_cancel_all_keeps_to_its_scope() -> None:
    world = fresh()
    world.place(BUY, 50, 10, bot="one")
    world.place(BUY, 49, 10, bot="two")
    assert world.cancel_all(CancelScope(instrument=InstrumentId("polymarket:0xbb")))[0].events == ()
    (gone,) = events(world.cancel_all(CancelScope(bot=BotId("two"))))
    assert gone.order == 2
    (gone,) = events(world.cancel_all())
    assert gone.order == 1


def test_cancel_all_does_not_reach_what_is_still_on_its_way() -> None:
    early = settings(latency_ms=150).model_copy(update={"cancel_latency_ms": 10})
    world = World(early)
    world.book(*BOOK)
    world.place(BUY, 50, 10)
    world.cancel_all()
    assert kinds(world.wait(200)) == ["OrderAccepted"]
