from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.domain.effects import CancelOrders, PlaceOrder, RaiseAlert
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.intents import Basket, ResidualReason, Target
from engine.executor import planning
from tests.executor.conftest import BOT

M1, M2 = InstrumentId("venue:m1"), InstrumentId("venue:m2")
SHARE = 1_000_000
BIDS = [(4_800, 100)]


def alerts(effects: list[Any]) -> list[str]:
    return [effect.kind for effect in effects if isinstance(effect, RaiseAlert)]


@pytest.fixture
def pair(make_rig: Any, build: Any) -> Any:
    return make_rig(instruments=(build.binary(), build.binary("venue:m2")))


def basket(rig: Any, *names: InstrumentId, **changes: Any) -> Basket:
    until = rig.now + 10**12
    targets = tuple(
        Target(
            bot=rig.build.bot,
            instrument=name,
            position=10 * SHARE,
            limit_price=4_800,
            valid_until_ns=until,
        )
        for name in names
    )
    return Basket(bot=rig.build.bot, targets=targets, valid_until_ns=until, **changes)


def test_the_latest_intent_wins(rig: Any) -> None:
    first, second = rig.quotes([(4_700, 10)]), rig.quotes([(4_800, 20)])
    (place,) = rig.feed(rig.mark(), first, second)
    assert (place.order.price, place.order.size) == (4_800, 20 * SHARE)


def test_a_basket_of_an_instrument_nobody_knows_is_refused_whole(pair: Any) -> None:
    made = pair.feed(pair.mark(), basket(pair, M1, InstrumentId("venue:x")))
    assert alerts(made) == ["intent_refused"]
    assert pair.executor.explain(M1, BOT) == ((), None)


def test_a_basket_with_another_bot_s_target_is_refused_whole(pair: Any) -> None:
    intent = basket(pair, M1, M2)
    strange = msgspec.structs.replace(intent.targets[1], bot=BotId("other"))
    intent = msgspec.structs.replace(intent, targets=(intent.targets[0], strange))
    assert alerts(pair.feed(pair.mark(), pair.mark("venue:m2"), intent)) == ["intent_refused"]


def test_a_withdrawn_part_ends_its_basket(pair: Any) -> None:
    pair.feed(pair.mark(), basket(pair, M1, M2))
    pair.executor.withdraw(pair.build.bot, M2, pair.now)
    assert pair.feed(pair.mark("venue:m2")) == []
    assert [r.reason for r in pair.executor.explain(M1, BOT)[0]] == [ResidualReason.EXPIRED_INTENT]


def test_an_expired_basket_is_over(pair: Any) -> None:
    intent = msgspec.structs.replace(basket(pair, M1, M2), valid_until_ns=pair.now + 10**9)
    assert len(pair.feed(pair.mark(), pair.mark("venue:m2"), intent)) == 2
    for number in (1, 2):
        pair.open(number)
    made = pair.wait(1)
    assert [effect.orders for effect in made] == [(1, 2)]


def test_memory_of_refusals_is_bounded(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "REFUSED_MAX", 2)
    for name in ("a", "b", "c", "d"):
        rig.feed(rig.quotes(BIDS, name=name))
    assert len(rig.executor._table.refused) == 2


def test_an_order_found_again_after_a_start_is_not_kept_for_another_bot(
    rig: Any, make_rig: Any
) -> None:
    (order,) = rig.rest(BIDS)
    rig.executor.withdraw(rig.build.bot, None, rig.now)
    rig.executor.receive(rig.quotes(BIDS, bot=BotId("second")), rig.now)
    anew = make_rig(empty=True, cash=0)
    anew.executor.restore(rig.executor.snapshot())
    made = anew.feed(anew.mark(), anew.quotes(BIDS, bot=BotId("second")))
    assert [effect.orders for effect in made if isinstance(effect, CancelOrders)] == [(order.id,)]


def orders(effects: list[Any]) -> list[Any]:
    return [effect.order for effect in effects if isinstance(effect, PlaceOrder)]
