"""KILL of a part: its orders go, nothing of it is placed until a person releases it."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.effects import CancelAll, CancelScope, PlaceOrder
from engine.domain.events import InstrumentListed, OrderCancelled, ScopeLatched, ScopeReleased
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.intents import ResidualReason
from engine.domain.orders import OrderState
from tests.executor.conftest import BOT

ACCOUNT = AccountId("demo:one")
M1, M2 = InstrumentId("venue:m1"), InstrumentId("venue:m2")
MAKER, OTHER = BotId("maker"), BotId("other")


@pytest.fixture
def two(make_rig: Any, build: Any) -> Any:
    """Two bots, each with an order in an instrument of its own."""
    rig = make_rig(instruments=(build.binary(), build.binary(M2)))
    rig.rest([(4_800, 10)])
    rig.rest([(4_800, 10)], name=M2, bot=OTHER)
    return rig


def latched(**scope: Any) -> ScopeLatched:
    return ScopeLatched(account=ACCOUNT, who="me", reason="odd", **scope)


@pytest.mark.parametrize("scope", [{"bot": MAKER}, {"instrument": M1}])
def test_scoped_latch_cancels_its_scope_and_nothing_else(two: Any, scope: Any) -> None:
    effects = two.feed(latched(**scope))
    assert effects[0] == CancelAll(account=ACCOUNT, scope=CancelScope(**scope))
    assert two.state(1) is OrderState.CANCELLING
    assert two.state(2) is OrderState.OPEN
    two.feed(two.event(OrderCancelled, 1))
    assert two.quote([(4_700, 20)]) == []
    assert two.executor.explain(M1, BOT)[0][0].reason is ResidualReason.RISK
    assert two.executor.healthy
    assert len(two.quote([(4_700, 20), (4_800, 10)], name=M2, bot=OTHER)) == 1


def test_held_account_places_nothing_at_all(two: Any) -> None:
    two.feed(latched())
    assert {two.state(1), two.state(2)} == {OrderState.CANCELLING}
    assert not two.executor.healthy
    assert "KILL of the account by me: odd" in two.executor.reasons


def test_scope_is_proven_by_two_listings_while_others_trade(two: Any) -> None:
    two.feed(latched(instrument=M1))
    assert [known.order.id for known in two.executor.live_in(M1)] == [1]
    two.wait(2.0)
    two.feed(two.listing(two.report(1), two.report(2)))
    two.feed(two.event(OrderCancelled, 1))
    two.wait(2.0)
    two.feed(two.listing(two.report(2)))
    assert two.executor.proven(M1) is None
    two.wait(2.0)
    two.feed(two.listing(two.report(2)))
    proof = two.executor.proven(M1)
    assert proof is not None
    assert proof.listings == 2
    assert two.executor.live_in(M1) == []


def test_hold_survives_a_restart_and_ends_by_hand_alone(
    two: Any, make_rig: Any, build: Any
) -> None:
    two.feed(latched(bot=MAKER), two.event(OrderCancelled, 1))
    later = make_rig(empty=True, cash=0)
    later.executor.restore(two.executor.snapshot())
    assert [str(hold) for hold in later.executor.holds] == ["bot maker"]
    later.feed(InstrumentListed(instrument=build.binary()))
    assert later.quote([(4_700, 10)]) == []
    later.feed(latched(bot=MAKER))  # twice is harmless
    assert len(later.executor.holds) == 1
    released = ScopeReleased(account=ACCOUNT, bot=MAKER, who="me", reason="looked at it")
    placed = [effect for effect in later.feed(released) if isinstance(effect, PlaceOrder)]
    assert (len(placed), later.executor.holds) == (1, ())


def test_scope_of_another_account_is_not_ours(two: Any) -> None:
    two.feed(ScopeLatched(account=AccountId("demo:two"), who="me", reason="odd"))
    assert two.state(1) is OrderState.OPEN
