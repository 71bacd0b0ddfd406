import msgspec
import pytest

from engine.domain.effects import (
    CancelAll,
    Effect,
    PlaceOrder,
    QueryBalances,
    RaiseAlert,
    SetTimer,
    Severity,
)
from engine.domain.instruments import AccountId
from engine.errors import BrokenInvariant
from engine.gateway.door import Reply, Request
from engine.venues.paper import core as requests_module
from tests.venues.paper.world import BUY, World

OTHER = AccountId("other")


@pytest.mark.parametrize("effect", [CancelAll(account=OTHER), QueryBalances(account=OTHER)])
def test_requests_of_other_accounts_are_refused_before_they_act(effect: Effect) -> None:
    with pytest.raises(BrokenInvariant, match="of other"):
        World().venue._requests.answer(Request(number=1, effect=effect), 0)


def test_an_alert_is_not_for_a_venue() -> None:
    alert = RaiseAlert(severity=Severity.INFO, kind="x", text="y")
    with pytest.raises(BrokenInvariant, match="RaiseAlert is not a request"):
        World().venue._requests.answer(Request(number=1, effect=alert), 0)


def test_another_accounts_request_is_our_mistake() -> None:
    world = World()
    order = msgspec.structs.replace(world.order(BUY, 50, 10), account=OTHER)
    with pytest.raises(BrokenInvariant, match="other"):
        world.ask(PlaceOrder(order=order))


def test_a_timer_is_not_a_request() -> None:
    with pytest.raises(BrokenInvariant, match="SetTimer"):
        World().ask(SetTimer(at_ns=1, name="x"))


def test_too_many_open_orders_are_throttled_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_module, "ORDERS_OPEN_MAX", 1)
    world = World()
    world.book({50: 100}, {52: 100})
    world.place(BUY, 50, 10)
    (reply,) = world.place(BUY, 49, 10)
    assert reply == Reply(number=2, retry_after_ns=1_000_000_000)
    assert list(world.venue._matching.open) == [1]
