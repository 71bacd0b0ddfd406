"""KILL of a part looks at what may rest, whatever the feeds know."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.commands import MANUAL, Kill
from engine.domain.effects import CancelAll, CancelScope
from engine.domain.events import InstrumentListed
from engine.domain.instruments import InstrumentId, Mode
from engine.domain.orders import OrderState
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.errors import BadInput
from engine.executor.executor import ExecutorSettings
from engine.gateway.core import GatewayCore
from engine.live.accounts import Accounts
from engine.live.commands.kill import ScopedKills
from engine.live.proof import ProofRun
from engine.live.venues import Venues
from tests.executor.conftest import ACCOUNT, BOT, Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


M1 = InstrumentId("venue:m1")


class FakeRunner:
    """An account after a start: what its journal told, and no feed yet."""

    def __init__(self, rig: Rig) -> None:
        self.account = ACCOUNT
        self.gateway = GatewayCore(account=ACCOUNT, settings=GatewaySettings())
        self.core = AccountCore(
            cache=MarketCache(), executor=rig.executor, bots=(), decide=lambda _: None
        )
        self.on_report: dict[str, Any] = {}
        self.asked: list[Any] = []

    def unaskable(self) -> str:
        return ""

    def deliver(self, event: Any, now_ns: int) -> None:
        self.core.venue(event, now_ns)

    def settle(self, now_ns: int) -> None:
        self.asked += self.core.turn(now_ns)


def engine(*runners: FakeRunner, accounts: Accounts | None = None) -> Any:
    known = accounts or Accounts(Venues(openers={}, markets={}), fence=1)
    return SimpleNamespace(
        runners={runner.account: runner for runner in runners},
        bot_runners={},
        watchers=[],
        part=lambda _: known,
        engine_id="e",
        state=SimpleNamespace(write_row=lambda *_, **__: None),
        clock=SimpleNamespace(now_ns=lambda: 20_000_000_000),
        log=SimpleNamespace(warning=lambda *_, **__: None),
    )


def reborn(rig: Rig, *, listed: bool) -> FakeRunner:
    """A start behind a journal in which one order rests."""
    (order,) = rig.rest([(4_800, 100)])
    after = Rig(settings=ExecutorSettings(), cash=0, empty=True)
    if listed:
        after.executor.receive(InstrumentListed(instrument=rig.build.binary()), 0)
    after.executor.adopt(order, 0)
    return FakeRunner(after)


def kill(runner: FakeRunner | None, **scope: Any) -> None:
    made = engine(*([runner] if runner else []))
    ScopedKills(made).kill(Kill(**scope), "operator")


@pytest.mark.parametrize("listed", [True, False])
def test_a_market_without_a_feed_is_cancelled_where_its_orders_are(
    rig: Rig, *, listed: bool
) -> None:
    runner = reborn(rig, listed=listed)
    assert not runner.core.cache.views
    kill(runner, instrument=M1)
    everything = CancelAll(account=ACCOUNT, scope=CancelScope(instrument=M1))
    assert everything in runner.asked
    assert [hold.instrument for hold in runner.core.executor.holds] == [M1]
    known = runner.core.executor.record(1)  # type: ignore[arg-type]
    assert known is None or known.state is OrderState.UNKNOWN


def test_what_rests_of_a_bot_that_is_gone_is_cancelled(rig: Rig) -> None:
    runner = reborn(rig, listed=True)
    kill(runner, bot=BOT)
    assert CancelAll(account=ACCOUNT, scope=CancelScope(bot=BOT)) in runner.asked


def test_a_market_nobody_knows_is_refused(rig: Rig) -> None:
    with pytest.raises(BadInput, match="there is no instrument venue:other here"):
        kill(reborn(rig, listed=True), instrument=InstrumentId("venue:other"))


@pytest.mark.parametrize("scope", [{"instrument": M1}, {"bot": MANUAL}, {"account": ACCOUNT}])
def test_without_an_account_nothing_is_proven(scope: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="whether an order of it rests is not known"):
        kill(None, **scope)


def closed(rig: Rig) -> Accounts:
    """An account that is not open, and one order of it that rests by the journal."""
    (order,) = rig.rest([(4_800, 100)])
    after = Rig(settings=ExecutorSettings(), cash=0, empty=True)
    after.executor.adopt(order, 0)
    accounts = Accounts(Venues(openers={}, markets={}), fence=1)
    settings = AccountSettings(name="closed", mode=Mode.LIVE, venue="polymarket")
    accounts._outside["closed"] = settings, after.executor
    return accounts


def test_what_may_rest_at_a_closed_account_is_never_proven_gone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_one = reborn(Rig(), listed=True)
    made, receipts = engine(open_one, accounts=closed(rig)), []
    kills = ScopedKills(made)
    monkeypatch.setattr(ProofRun, "report", lambda _, __, receipt: receipts.append(receipt))
    kills.kill(Kill(instrument=M1), "operator")
    kills.watch(21_000_000_000)
    kills.watch(60_000_000_000)
    (receipt,) = receipts
    assert not receipt.proven
    assert "account closed is not open here" in receipt.missing[0]
    assert "1 order of it may rest" in receipt.missing[0]


def test_a_market_of_a_closed_account_alone_is_refused_with_what_may_rest(rig: Rig) -> None:
    made = engine(FakeRunner(Rig(empty=True)), accounts=closed(rig))
    with pytest.raises(BadInput, match="nothing was cancelled; account closed is not open"):
        ScopedKills(made).kill(Kill(instrument=M1), "operator")
