"""Basis: it opens on a premium above costs, and closes where that came back, widened or stayed."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import pytest

from engine.domain.instruments import BotId
from engine.errors import BadInput
from engine.strategies.registry import build, entries
from tests.strategies.test_funding_arbitrage import MARK, PERPETUAL, SPOT, Desk, failed


class BasisDesk(Desk):
    """The two legs of a basis bot: fees are 5 bps a leg, 20 in and out."""

    name = "basis"
    usual: ClassVar[dict[str, Any]] = {}


def test_it_opens_where_the_premium_is_above_all_fees() -> None:
    desk = BasisDesk()
    for premium, opens in ((0.0, False), (24.0, False), (26.0, True)):
        desk.books(premium)
        found = desk.ask()
        assert bool(found.intents) is opens
        assert failed(found) == ([] if opens else ["edge"])
    values = dict(found.decision.inputs)
    # Sold a tick of 0.1 below the middle, bought one above: 0.2 in 60,000.
    assert values["premium_bps"] == pytest.approx(26.0 - 0.0333, abs=0.01)
    assert values["edge_bps"] == pytest.approx(values["premium_bps"] - 20.0)
    assert values["close_bps"] == pytest.approx(26.0 + 0.0333, abs=0.01)


def opened(**parameters: Any) -> BasisDesk:
    desk = BasisDesk(**parameters)
    desk.books(30.0)
    wanted = desk.wanted()
    assert wanted == {SPOT: 237_000, PERPETUAL: -237_000}
    desk.held |= wanted
    assert desk.wanted() == {}, "what is held is not asked for again"
    return desk


@pytest.mark.parametrize(
    ("premium", "closes"), [(10.0, False), (-0.1, True), (199.0, False), (201.0, True)]
)
def test_it_closes_where_the_premium_came_back_or_widened_too_far(
    premium: float, closes: bool
) -> None:
    desk = opened()
    desk.books(premium)
    assert desk.wanted() == ({SPOT: 0, PERPETUAL: 0} if closes else {})


def test_it_closes_after_its_longest_time_and_does_not_open_beyond_its_stop() -> None:
    desk = opened(hours_max=1.0)
    desk.books(30.0)
    assert desk.wanted(3_500) == {}
    desk.books(30.0)
    assert desk.wanted(100) == {SPOT: 0, PERPETUAL: 0}
    wide = BasisDesk()
    wide.books(250.0)
    assert failed(wide.ask()) == ["stop"]


def test_it_is_shown_among_strategies_of_several_instruments() -> None:
    entry = entries()["basis"]
    assert entry.category == "several instruments"
    assert entry.gates["legs"].needed
    with pytest.raises(BadInput, match="stop_bps=1 must be more than leave_bps"):
        build("basis", {"stop_bps": 1, "leave_bps": 2}, BotId("b"))


@pytest.mark.long
def test_no_leg_stands_alone_longer_than_a_minute_and_none_is_beyond_its_share() -> None:
    """Fills come in parts or not at all, premiums wander: 300 seeds."""
    alone = opens = 0
    for seed in range(300):
        chance = random.Random(seed)
        desk = BasisDesk()
        apart_s = 0
        for _ in range(60):
            desk.books(chance.choice((-5.0, 5.0, 30.0, 40.0, 210.0)))
            wanted = desk.wanted()
            opens += len(wanted) == 2
            for name, position in wanted.items():
                part = chance.choice((0.0, 0.5, 1.0)) if apart_s < 60 else 1.0
                moved = round((position - desk.held[name]) * part / 1_000) * 1_000
                desk.held[name] += moved
            spot, short = desk.held[SPOT], -desk.held[PERPETUAL]
            assert 0 <= spot <= 237_500, seed
            assert 0 <= short <= 237_500, seed
            assert max(spot, short) / 1e8 * MARK <= 0.5 * 300, seed
            apart_s = apart_s + 5 if abs(spot - short) >= 10_000 else 0
            alone = max(alone, apart_s)
            assert apart_s <= 70, seed
    assert opens > 300
    assert alone >= 30
