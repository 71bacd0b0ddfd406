"""The end of an engine by a fault: nothing leaves any more, and venues are asked until clean."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.effects import CancelScope, RaiseAlert
from engine.domain.events import OpenOrdersListed, OrderCancelled, VenueEvent
from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from engine.domain.orders import Identity, OrderId, OrderReport, OrderState
from engine.errors import OutcomeUnknown, StorageError
from engine.live import lifecycle, venue_sweep
from tests.kit.engines import engine_of

ACCOUNT = AccountId("real")


class Desk:
    """An account whose one request lands `late` listings after it left, unless it is cut before."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.open: list[int] = [1, 2]
        self.under_way = [3]
        self.fault = fault
        self.hangs = 0
        """Cancels that take longer than any end may wait."""
        self.fails = 0
        """Cancels whose answer is lost, after the venue has done them."""
        self.cancels = 0
        self.alerts: list[RaiseAlert] = []

    # -- the account's runner

    core = SimpleNamespace(executor=None)

    async def close(self) -> None:
        self.under_way.clear()
        if self.fault:
            raise self.fault

    # -- its venue

    async def cancel_all(self, _: CancelScope) -> list[VenueEvent]:
        self.cancels += 1
        gone, self.open = self.open, []
        if self.cancels <= self.fails:
            raise OutcomeUnknown("the answer was lost")
        if self.cancels <= self.hangs:
            self.open = gone
            await asyncio.Event().wait()
        self.open, self.under_way = self.under_way, []  # what left before it lands behind it
        return [OrderCancelled(account=ACCOUNT, order=OrderId(one), identity=None) for one in gone]

    async def open_orders(self) -> OpenOrdersListed:
        shown = tuple(
            OrderReport(
                identity=Identity(f"id{one}"), order=OrderId(one), ours=True,
                instrument=InstrumentId("venue:m1"), leg=Leg.YES, side=Side.BUY, price=4_800,
                size=10**7, filled=0, state=OrderState.OPEN,
            )
            for one in self.open
        )  # fmt: skip
        return OpenOrdersListed(account=ACCOUNT, orders=shown)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_sweep, "APART_S", 0.001)
    monkeypatch.setattr(venue_sweep, "RETRY_S", 0.001)
    monkeypatch.setattr(lifecycle, "RETRY_S", 0.001)


def crashed(desk: Desk, beside: Callable[[], Coroutine[Any, Any, None]] | None = None) -> Any:
    """Let a stream of an engine raise, with other work beside, and give what `trade` raised."""
    engine = engine_of()
    engine.runners, engine.venues = {ACCOUNT: desk}, {ACCOUNT: desk}
    engine.alert = lambda alert, _: desk.alerts.append(alert)
    engine.moments = lambda: iter(())
    telemetry: Any = SimpleNamespace(
        follow=lambda _: None, tick=lambda _: None, seconds=lambda _: iter(())
    )

    async def fault() -> None:
        raise ZeroDivisionError("ours")

    async def run() -> BaseException | None:
        engine.ended = asyncio.get_running_loop().create_future()
        if beside is not None:
            engine.beside(beside())
        streams: list[Callable[[], Awaitable[None]]] = [fault]
        try:
            await lifecycle.trade(
                engine, streams, kill_only=False, telemetry=telemetry, looks_at_turns=False
            )  # type: ignore[arg-type]
        except ZeroDivisionError as error:
            return error
        return None

    return asyncio.run(run())


@pytest.mark.parametrize("fault", [None, StorageError("full")])
def test_an_order_on_its_way_does_not_outlive_the_cancel_of_a_crash(
    fault: Exception | None,
) -> None:
    desk = Desk(fault)
    assert crashed(desk)
    assert desk.open == []
    assert desk.under_way == []
    assert desk.alerts == []


def test_a_venue_that_fails_is_asked_again_until_it_shows_nothing() -> None:
    desk = Desk()
    desk.fails = 3
    assert crashed(desk)
    assert desk.cancels >= 5
    assert desk.alerts == []


def test_an_order_that_lands_behind_the_first_cancel_is_cancelled_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    monkeypatch.setattr(desk, "close", _closes_nothing)
    assert crashed(desk)
    assert desk.open == []
    assert desk.alerts == []


async def _closes_nothing() -> None:
    """The bytes have left: nothing can be cut."""


def test_a_venue_that_stays_silent_is_told_by_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "CRASH_S", 0.05)
    desk = Desk()
    desk.hangs = 9
    assert crashed(desk)
    assert [one.kind for one in desk.alerts] == ["stop_unproven"]
    assert "real: no two complete listings in a row" in desk.alerts[0].text
    assert "does not answer" in desk.alerts[0].text


def test_what_runs_beside_trading_is_cut_before_venues_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An account that opens behind the beginning of the sweep would trade and not be swept."""
    monkeypatch.setattr(lifecycle, "CRASH_S", 0.05)
    desk, opened = Desk(), list[str]()
    desk.hangs = 9

    async def opens() -> None:
        await asyncio.sleep(0.01)
        opened.append("an account")

    assert crashed(desk, opens)
    assert opened == []
