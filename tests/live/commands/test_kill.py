"""KILL of a part looks at what may rest, whatever the feeds know."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.bots.roster import RosterCore
from engine.caches.markets import MarketCache
from engine.domain.commands import MANUAL, Kill
from engine.domain.effects import CancelAll, CancelScope
from engine.domain.events import InstrumentListed
from engine.domain.instruments import InstrumentId
from engine.domain.orders import OrderState
from engine.domain.settings import GatewaySettings
from engine.errors import BadInput
from engine.executor.executor import ExecutorSettings
from engine.gateway.core import GatewayCore
from engine.live.commands.kill import ScopedKills
from tests.executor.conftest import ACCOUNT, Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


M1 = InstrumentId("venue:m1")


class Shell:
    """An account after a start: what its journal told, and no feed yet."""

    def __init__(self, rig: Rig) -> None:
        self.account = ACCOUNT
        self.core = GatewayCore(account=ACCOUNT, settings=GatewaySettings())
        self.desk = RosterCore(
            cache=MarketCache(), executor=rig.executor, bots=(), decide=lambda _: None
        )
        self.watching: Any = None
        self.asked: list[Any] = []

    def unaskable(self) -> str:
        return ""

    def deliver(self, event: Any, now_ns: int) -> None:
        self.desk.venue(event, now_ns)

    def settle(self, now_ns: int) -> None:
        self.asked += self.desk.turn(now_ns)


def engine(*runners: Shell) -> Any:
    return SimpleNamespace(
        runners={runner.account: runner for runner in runners},
        bot_runners={},
        watchers=[],
        clock=SimpleNamespace(now_ns=lambda: 20_000_000_000),
        log=SimpleNamespace(warning=lambda *_, **__: None),
    )


def reborn(rig: Rig, *, listed: bool) -> Shell:
    """A start behind a journal in which one order rests."""
    (order,) = rig.rest([(4_800, 100)])
    after = Rig(settings=ExecutorSettings(), cash=0, empty=True)
    if listed:
        after.executor.receive(InstrumentListed(instrument=rig.build.binary()), 0)
    after.executor.adopt(order, 0)
    return Shell(after)


def kill(runner: Shell | None, **scope: Any) -> None:
    made = engine(*([runner] if runner else []))
    ScopedKills(made).kill(Kill(**scope), "operator", lambda _: None)


@pytest.mark.parametrize("listed", [True, False])
def test_a_market_without_a_feed_is_cancelled_where_its_orders_are(
    rig: Rig, *, listed: bool
) -> None:
    runner = reborn(rig, listed=listed)
    assert not runner.desk.cache.views
    kill(runner, instrument=M1)
    everything = CancelAll(account=ACCOUNT, scope=CancelScope(instrument=M1))
    assert everything in runner.asked
    assert [hold.instrument for hold in runner.desk.executor.holds] == [M1]
    known = runner.desk.executor.record(1)  # type: ignore[arg-type]
    assert known is None or known.state is OrderState.UNKNOWN


def test_a_market_nobody_knows_is_refused(rig: Rig) -> None:
    with pytest.raises(BadInput, match="there is no instrument venue:other here"):
        kill(reborn(rig, listed=True), instrument=InstrumentId("venue:other"))


@pytest.mark.parametrize("scope", [{"instrument": M1}, {"bot": MANUAL}, {"account": ACCOUNT}])
def test_without_an_account_nothing_is_proven(scope: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="whether an order of it rests is not known"):
        kill(None, **scope)
