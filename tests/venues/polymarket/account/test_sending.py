"""Places of one turn of the loop leave together, and each is judged by its own line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from engine.domain.events import OrderAccepted, OrderRejected, VenueEvent
from engine.errors import OutcomeUnknown, Throttled
from engine.gateway.door import Prepared
from engine.venues.polymarket.account.venue import PolymarketVenue
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.adapter import adapter, order


def asked(served: Served) -> list[str]:
    """The paths of every place the venue was asked for."""
    rows = [row for row in served.venue.journal if row.get("method") == "POST"]
    return [row["path"] for row in rows if row["path"] in {"/order", "/orders"}]


async def together(venue: PolymarketVenue, prepared: Sequence[Prepared]) -> list[Any]:
    return await asyncio.gather(*map(venue.send, prepared), return_exceptions=True)


def kinds(answers: Sequence[VenueEvent | Exception]) -> set[type]:
    return {type(one) for one in answers}


async def test_twenty_places_of_one_turn_are_two_requests(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        orders = [venue.prepare(order(instrument, 10 + n)) for n in range(20)]
        answers = await together(venue, orders)
        assert {event.order for (event,) in answers} == {one.order.id for one in orders}
        assert {type(event) for (event,) in answers} == {OrderAccepted}
        assert asked(served) == ["/orders", "/orders"]
        assert len((await venue.open_orders()).orders) == 20


async def test_a_place_alone_is_a_request_of_its_own(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        await venue.send(venue.prepare(order(instrument, 10)))
        await venue.send(venue.prepare(order(instrument, 11)))
        assert asked(served) == ["/order", "/order"]


async def test_a_rejected_line_leaves_the_others_accepted(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        good = [venue.prepare(order(instrument, 10 + n)) for n in range(3)]
        bad = venue.prepare(order(instrument, 20, 1))  # below the venue's minimum size
        answers = await together(venue, [good[0], bad, *good[1:]])
        assert [type(event) for (event,) in answers] == [
            OrderAccepted,
            OrderRejected,
            OrderAccepted,
            OrderAccepted,
        ]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop_after", "path": "/orders$", "times": 1},
        {"kind": "garble", "path": "/orders$", "times": 1, "args": {"body": "[]"}},
        {"kind": "garble", "path": "/orders$", "times": 1, "args": {"body": '{"error":"x"}'}},
        {
            "kind": "late_status",
            "path": "/orders$",
            "times": 1,
            "args": {"status": 400, "body": {"error": "invalid order payload"}},
        },
    ],
)
async def test_an_answer_that_says_too_little_makes_the_whole_batch_unknown(
    served: Served, fault: dict[str, Any]
) -> None:
    async with adapter(served) as (venue, instrument):
        served.venue.faults.add(fault, time.time_ns())
        orders = [venue.prepare(order(instrument, 10 + n)) for n in range(4)]
        assert kinds(await together(venue, orders)) == {OutcomeUnknown}
        assert len((await venue.open_orders()).orders) == 4  # and all of them rest


async def test_a_throttled_batch_had_no_effect(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        served.venue.faults.script("rate_limited", time.time_ns(), {})
        orders = [venue.prepare(order(instrument, 10 + n)) for n in range(4)]
        assert kinds(await together(venue, orders)) == {Throttled}
        assert (await venue.open_orders()).orders == ()


async def test_who_gives_up_waiting_does_not_cut_off_the_others(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        slow = {"kind": "latency", "path": "/orders$", "times": 1, "args": {"ms": 200}}
        served.venue.faults.add(slow, time.time_ns())
        orders = [venue.prepare(order(instrument, 10 + n)) for n in range(3)]
        tasks = [asyncio.create_task(venue.send(one)) for one in orders]
        while not asked(served):  # noqa: ASYNC110 the request is on its way
            await asyncio.sleep(0.01)
        tasks[0].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert {type(event) for (event,) in answers[1:]} == {OrderAccepted}  # type: ignore[misc, union-attr]
        assert len((await venue.open_orders()).orders) == 3
