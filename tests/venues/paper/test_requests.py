import pytest

from engine.domain.effects import CancelAll, Effect, PlaceOrder, QueryBalances, RaiseAlert, Severity
from engine.domain.instruments import AccountId
from engine.errors import BrokenInvariant
from engine.venues.paper import requests as requests_module
from tests.venues.paper.world import BUY, World

OTHER = AccountId("other")


@pytest.mark.parametrize("effect", [CancelAll(account=OTHER), QueryBalances(account=OTHER)])
def test_requests_of_other_accounts_are_refused_before_they_act(effect: Effect) -> None:
    with pytest.raises(BrokenInvariant, match="of other"):
        World().venue._requests.answer(effect, 0)


def test_an_alert_is_not_for_a_venue() -> None:
    alert = RaiseAlert(severity=Severity.INFO, kind="x", text="y")
    with pytest.raises(BrokenInvariant, match="RaiseAlert is not a request"):
        World().venue._requests.answer(alert, 0)


def test_a_full_venue_answers_nothing_to_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_module, "ORDERS_OPEN_MAX", 0)
    world = World()
    assert world.venue._requests.answer(PlaceOrder(order=world.order(BUY, 50, 10)), 0) is None
