"""The self-test's one order: each step is told, and whatever breaks, nothing is left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine.domain.catalog import Grade
from engine.domain.instruments import Instrument, Leg
from engine.domain.orders import Identity, Order, OrderId, OrderType
from engine.errors import StorageError
from engine.gateway.door import Named
from engine.venues.polymarket.account.venue import PolymarketVenue
from engine.venues.polymarket.checks import selftest
from engine.venues.polymarket.checks.selftest import SelfTest
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.adapter import adapter, order

MINUTES_5 = 300_000_000_000
STEPS = ["channel", "before", "prepare", "place", "seen", "cancel", "seen end", "proof"]


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Pauses are the venue's to need, not the fake's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selftest, "PAUSE_S", 0.02)
        patch.setattr(selftest, "GRACE_S", 0.5)
        yield


def far(instrument: Instrument) -> Order:
    """The order of a self-test: good for five minutes, a cent."""
    now_ns = time.time_ns()
    return order(
        instrument, cents=1, shares=5, type=OrderType.GTD, expires_ns=now_ns + MINUTES_5,
        created_ns=now_ns,
    )  # fmt: skip


async def lived(venue: PolymarketVenue, given: Order) -> tuple[SelfTest, bool, list[str]]:
    kept: list[str] = []
    test = SelfTest(venue, lambda _: None)
    return test, await test.run(given, kept.append), kept


def grades(test: SelfTest) -> dict[str, Grade]:
    return {one.name: one.grade for one in test.findings}


def places(served: Served) -> int:
    return sum(row.get("path") == "/order" for row in served.venue.journal)


async def open_orders(venue: PolymarketVenue) -> int:
    return len((await venue.open_orders()).orders)


async def test_order_is_placed_seen_cancelled_and_proven_gone(served: Served) -> None:
    async with adapter(served, kind=3) as (venue, instrument):
        test, proven, kept = await lived(venue, far(instrument))
        assert [one.name for one in test.findings] == STEPS
        assert (test.green, proven, len(kept)) == (True, True, 1)
        assert all(" ms" in one.said for one in test.findings if one.name != "proof")
        assert "zero open orders" in test.findings[-1].said
        assert await open_orders(venue) == 0
        assert places(served) == 1


async def test_identity_is_written_down_before_anything_is_sent(served: Served) -> None:
    def full(_: str) -> None:
        raise StorageError("the disk is full")

    async with adapter(served) as (venue, instrument):
        with pytest.raises(StorageError):
            await SelfTest(venue, lambda _: None).run(far(instrument), full)
        assert places(served) == 0


async def test_channel_that_stays_closed_places_nothing(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        venue.wire.user_url = "ws://127.0.0.1:9/ws/user"
        test, proven, kept = await lived(venue, far(instrument))
        assert (list(grades(test)), proven, kept) == (["channel"], True, [])
        assert not test.green
        assert places(served) == 0


async def test_refused_order_is_told_with_what_mends_it(served: Served) -> None:
    await served.control("settings", quirks={"eoa_refused": True})
    async with adapter(served, kind=0) as (venue, instrument):
        test, proven, _ = await lived(venue, far(instrument))
        (place,) = (one for one in test.findings if one.name == "place")
        assert (test.green, proven, await open_orders(venue)) == (False, True, 0)
        assert "the address of its deposit wallet" in place.fix


async def test_silence_about_the_order_does_not_ask_for_another_market(served: Served) -> None:
    await served.control("faults", kind="drop_after", method="POST", path="/order$", times=1)
    async with adapter(served) as (venue, instrument):
        test, _, _ = await lived(venue, far(instrument))
        (place,) = (one for one in test.findings if one.name == "place")
        assert "run the self-test again" in place.fix


async def test_channel_that_freezes_is_told_and_the_order_is_cancelled(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "CHANNEL_S_MAX", 1.0)
    async with adapter(served) as (venue, instrument):
        await served.control("faults", kind="ws_freeze", path="user", name="ice")
        test, proven, _ = await lived(venue, far(instrument))
        assert list(grades(test)) == ["channel", "before", "prepare", "place", "seen", "proof"]
        assert grades(test)["seen"] is Grade.FAIL
        assert (test.green, proven, await open_orders(venue)) == (False, True, 0)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop_after", "method": "POST", "path": "/order$", "times": 1},
        {"kind": "drop", "method": "DELETE", "path": "/orders$", "times": 2},
        {"kind": "drop_after", "method": "DELETE", "path": "/orders$", "times": 1},
    ],
)
async def test_lost_answers_leave_no_order_behind(served: Served, fault: dict[str, Any]) -> None:
    async with adapter(served) as (venue, instrument):
        await served.control("faults", **fault)
        test, proven, _ = await lived(venue, far(instrument))
        assert (test.green, proven, await open_orders(venue)) == (False, True, 0)
        assert "PROVEN" in test.findings[-1].said


async def test_refused_order_is_told_in_the_venues_words(served: Served) -> None:
    async with adapter(served, number=2) as (other, instrument):
        await other.send(other.prepare(order(instrument, cents=30, shares=100)))
        async with adapter(served) as (venue, _):
            served.venue.ledger.allowances[venue.wire.wallet] = 0
            test, proven, _ = await lived(venue, far(instrument))
            assert "allowance" in test.findings[-2].said
            assert (grades(test)["place"], proven) == (Grade.FAIL, True)


async def test_key_that_has_orders_already_is_not_tested(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        await venue.send(venue.prepare(order(instrument)))
        test, proven, kept = await lived(venue, far(instrument))
        assert (grades(test)["before"], proven, kept) == (Grade.FAIL, True, [])
        assert await open_orders(venue) == 1


async def test_venue_that_stays_silent_is_not_proven(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "ROUNDS_MAX", 4)
    async with adapter(served) as (venue, instrument):
        given = far(instrument)
        prepared = venue.prepare(given)
        await venue.send(prepared)
        await served.control("faults", kind="drop", path="/data/orders", name="mute")
        test = SelfTest(venue, lambda _: None)
        assert not await test.prove(Named(order=given.id, identity=prepared.identity))
        assert "NOT PROVEN" in test.findings[-1].said
        served.venue.faults.clear("mute")
        # The next self-test knows the order by its identity alone.
        again = SelfTest(venue, lambda _: None)
        assert await again.prove(Named(order=OrderId(1), identity=Identity(prepared.identity)))
        assert (again.green, await open_orders(venue)) == (True, 0)


async def test_interrupted_test_cancels_before_it_ends(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        await served.control("faults", kind="ws_freeze", path="user", name="ice")
        placed = asyncio.Event()
        test = SelfTest(venue, lambda one: placed.set() if one.name == "place" else None)
        task = asyncio.ensure_future(test.run(far(instrument), lambda _: None))
        await placed.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert grades(test)["proof"] is Grade.OK
        assert await open_orders(venue) == 0


async def test_fill_is_told_and_not_called_green(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "CHANNEL_S_MAX", 1.0)
    async with adapter(served) as (venue, instrument), adapter(served, number=2) as (other, _):
        await served.control("faults", kind="ws_freeze", path="user", name="ice")
        placed = asyncio.Event()
        test = SelfTest(venue, lambda one: placed.set() if one.name == "place" else None)
        task = asyncio.ensure_future(test.run(far(instrument), lambda _: None))
        await placed.wait()
        # BUY NO at 99 cents takes the BUY YES at one.
        crossing = order(
            instrument, cents=99, shares=5, leg=Leg.NO, type=OrderType.FAK, post_only=False
        )
        await other.send(other.prepare(crossing))
        assert await task
        assert "5 shares were filled" in test.findings[-1].said
        assert not test.green
