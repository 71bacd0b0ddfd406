"""Who hears what, and that not everything can be wanted at once."""

from __future__ import annotations

import pytest

from engine.domain.instruments import InstrumentId
from engine.errors import BadInput
from engine.venues.polymarket.market import routes as live_polymarket_routes
from engine.venues.polymarket.market.routes import Routes, Subscriber

A, B, C = (InstrumentId(f"polymarket:{letter}") for letter in "abc")


def ear() -> Subscriber:
    return Subscriber((), (), None)  # type: ignore[arg-type]


def test_more_keys_than_the_maximum_are_refused_and_nothing_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_polymarket_routes, "KEYS_MAX", 3)
    routes, first, second = Routes(), ear(), ear()
    routes.want(first, (A, B), ("btc-updown-5m",), ())
    routes.want(second, (A,), (), ())
    with pytest.raises(BadInput, match="more than 3 markets, series and prices"):
        routes.want(second, (A, C), (), ())
    assert list(routes.named) == [A, B]


def test_what_one_gives_up_another_may_want(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_polymarket_routes, "KEYS_MAX", 2)
    routes, first, second = Routes(), ear(), ear()
    routes.want(first, (A, B), (), ())
    routes.want(first, (A,), (), ())
    routes.want(second, (C,), (), ())
    assert list(routes.named) == [A, C]
