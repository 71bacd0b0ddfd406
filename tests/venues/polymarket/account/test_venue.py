"""The adapter lives its life against the fake venue, and every fault has its one outcome."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import msgspec
import pytest

from engine.domain.effects import CancelScope
from engine.domain.events import (
    CancelRefused,
    CancelUnanswered,
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderNotFound,
    OrderRejected,
    OrderReported,
)
from engine.domain.fills import FillState, Liquidity
from engine.domain.instruments import BotId, Leg, Side
from engine.domain.orders import Identity, OrderId, OrderState, OrderType, RejectReason
from engine.errors import (
    AuthRefused,
    BadInput,
    ConfigError,
    NotSent,
    OutcomeUnknown,
    Throttled,
    VenueClosed,
)
from engine.gateway.door import Named
from engine.venues.polymarket.account.credentials import Credentials
from engine.venues.polymarket.account.pace import TIERS
from engine.venues.polymarket.account.venue import PolymarketVenue
from engine.venues.polymarket.plugin import EXPIRY
from tests.fakes.polymarket.clock import Clock
from tests.fakes.polymarket.listing import instrument_of
from tests.fakes.polymarket.server import Served
from tests.fakes.polymarket.server import serving as serve
from tests.venues.polymarket.adapter import (
    LIVE,
    SHARE,
    adapter,
    credentials,
    named,
    order,
    taking,
    urls,
    urls_of,
)
from tests.venues.polymarket.kit import (
    BRIDGE,
    CUP,
    LIONS,
    RAIN,
    Trader,
    by_slug,
    quick,
    signer,
    wallet,
)

KINDS = [(0, RAIN), (1, CUP), (2, BRIDGE), (3, RAIN), (3, BRIDGE), (3, CUP)]


async def rest(venue: PolymarketVenue, *args: object, **changes: object) -> Named:
    """Place an order that must be taken."""
    prepared = venue.prepare(order(*args, **changes))
    (event,) = await venue.send(prepared)
    assert isinstance(event, OrderAccepted)
    return named(prepared)


# -- a life ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "slug"), KINDS)
async def test_order_rests_is_listed_and_cancelled(served: Served, kind: int, slug: str) -> None:
    async with adapter(served, kind=kind, slug=slug) as (venue, instrument):
        asked = order(instrument)
        prepared = venue.prepare(asked)
        assert await venue.send(prepared) == (OrderAccepted(account=LIVE, order=asked.id),)
        (report,) = (await venue.open_orders()).orders
        assert (report.identity, report.order, report.ours) == (prepared.identity, asked.id, True)
        assert (report.instrument, report.leg, report.side) == (instrument.id, Leg.YES, Side.BUY)
        assert (report.price, report.size, report.filled) == (asked.price, asked.size, 0)
        assert report.state is OrderState.OPEN
        gone = OrderCancelled(account=LIVE, order=asked.id)
        assert list(await venue.cancel([named(prepared)])) == [gone]
        assert (await venue.open_orders()).orders == ()
        (refused,) = await venue.cancel([named(prepared)])
        assert isinstance(refused, CancelRefused)
    assert served.venue.auth.verified["orders"] == 1


async def test_same_order_has_the_same_bytes_in_another_process(served: Served) -> None:
    async with adapter(served) as (first, instrument), adapter(served) as (second, _):
        asked = order(instrument)
        assert first.prepare(asked) == second.prepare(asked)
        other = first.prepare(order(instrument, created_ns=asked.created_ns))
        assert other.identity != first.prepare(asked).identity


async def test_exactly_the_prepared_bytes_leave(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with adapter(served, kind=3) as (venue, instrument):
        prepared = venue.prepare(order(instrument))
        seen: list[bytes] = []

        def read(session: aiohttp.ClientSession, *asked: Any, **given: Any) -> Any:
            seen.append(given["data"])
            return request(session, *asked, **given)

        request = aiohttp.ClientSession.request
        monkeypatch.setattr(aiohttp.ClientSession, "request", read)
        await venue.send(prepared)
    assert seen == [prepared.payload]


async def test_same_order_twice_is_one_order_and_is_asked_about(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        prepared = venue.prepare(order(instrument))
        await venue.send(prepared)
        with pytest.raises(OutcomeUnknown, match="knows order"):
            await venue.send(prepared)
        assert len((await venue.open_orders()).orders) == 1


async def test_order_in_a_market_nobody_listed_is_not_sent(served: Served) -> None:
    async with adapter(served, slug=RAIN) as (venue, _):
        with pytest.raises(NotSent, match="not listed"):
            venue.prepare(order(instrument_of(by_slug(served, CUP))))


async def test_market_whose_terms_differ_is_refused(served: Served) -> None:
    rain, cup = (instrument_of(by_slug(served, slug)) for slug in (RAIN, CUP))
    async with adapter(served) as (venue, _):
        with pytest.raises(BadInput, match="tokens"):
            await venue.list_market(msgspec.structs.replace(cup, tokens=rain.tokens))
        with pytest.raises(BadInput, match="protocol"):
            await venue.list_market(msgspec.structs.replace(cup, protocol="v2"))


# -- what matches ----------------------------------------------------------------------------------


async def test_taker_and_maker_fills_are_told_once_under_their_own_names(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with adapter(served) as (venue, instrument), Trader(served, 2) as other:
        await other.place(market, "BUY", "0.55", "20", outcome=1)
        taken = venue.prepare(taking(instrument, 45, 10, OrderType.FAK))
        assert await venue.send(taken) == (OrderAccepted(account=LIVE, order=taken.order.id),)
        made = await rest(venue, instrument, 40, 10)
        await other.rich(market)
        await other.place(market, "SELL", "0.40", "10", kind="FAK")
        fills = (await venue.fills(0)).fills
        by_side = {(fill.order, fill.liquidity): fill for fill in fills}
        assert len(fills) == len(by_side) == len({fill.fill for fill in fills}) == 2
        took = by_side[taken.order.id, Liquidity.TAKER]
        assert (took.price, took.size) == (4_500, 10 * SHARE)
        assert took.fee_micro == instrument.taker_fee_micro(4_500, 10 * SHARE) > 0
        gave = by_side[made.order, Liquidity.MAKER]
        assert (gave.price, gave.size, gave.fee_micro) == (4_000, 10 * SHARE, 0)
        assert all(taken.identity in f.fill or made.identity in f.fill for f in fills)


async def test_budget_of_whole_cents_is_matched_whole_below_the_order_s_size(
    served: Served,
) -> None:
    served.venue.settings.quirks.terminal_orders = True
    async with adapter(served) as (venue, instrument), Trader(served, 2) as other:
        await other.place(by_slug(served, RAIN), "BUY", "0.63", "20", outcome=1)
        asked = order(instrument, 37, size=10_050_000, type=OrderType.FAK, post_only=False)
        prepared = venue.prepare(asked)  # 3.7185 pUSD: 3.71 are offered
        await venue.send(prepared)
        answer = await venue.order(named(prepared))
        assert isinstance(answer, OrderReported)
        assert answer.report.state is OrderState.FILLED
        assert answer.report.filled == answer.report.size < asked.size - instrument.lot
        assert [fill.size for fill in (await venue.fills(0)).fills] == [answer.report.size]


async def test_maker_fill_on_the_complement_is_in_our_own_token(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with adapter(served) as (venue, instrument), Trader(served, 2) as other:
        made = await rest(venue, instrument, 55, 10, leg=Leg.NO)
        await other.place(market, "BUY", "0.45", "10", outcome=0, kind="GTC")
        (fill,) = (await venue.fills(0)).fills
        assert (fill.order, fill.price, fill.size) == (made.order, 5_500, 10 * SHARE)
        assert fill.liquidity is Liquidity.MAKER


async def test_fills_reach_two_minutes_behind_what_was_asked(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with adapter(served) as (venue, instrument), Trader(served, 2) as other:
        await rest(venue, instrument, 40, 10)
        await other.rich(market)
        await other.place(market, "SELL", "0.40", "10", kind="FAK")
        now_ns = time.time_ns()
        assert len((await venue.fills(now_ns + 100 * 10**9)).fills) == 1
        assert len((await venue.fills(now_ns + 140 * 10**9)).fills) == 0


async def test_fills_settle_and_make_balances_and_holdings() -> None:
    async with serve(quick(), clock=Clock(time.time_ns())) as still:
        market = by_slug(still, RAIN)
        async with adapter(still) as (venue, instrument), Trader(still, 2) as other:
            await other.place(market, "BUY", "0.50", "10", outcome=1)
            await venue.send(venue.prepare(taking(instrument, 50, 10, OrderType.FOK)))
            assert (await venue.fills(0)).fills[0].state is FillState.MATCHED
            assert (await venue.positions()).holdings == ()
            await still.control("clock", skip_ms=60_000)
            (fill,) = (await venue.fills(0)).fills
            assert fill.state is FillState.CONFIRMED
            holdings = (await venue.positions()).holdings
            assert holdings == ((instrument.id, Leg.YES, 10 * SHARE),)
            await venue.refresh_balance()
            spent = 10_000_000_000 - (await venue.balances()).cash_micro["pUSD"]
            assert spent == 5_000_000 + fill.fee_micro


@pytest.mark.parametrize("mixed", [False, True], ids=["a trade a price", "one trade"])
async def test_a_taker_that_crossed_several_prices_paid_what_the_venue_took(mixed: bool) -> None:
    """The rows' own price is the limit, 0.52; 0.45 and 0.50 were paid."""
    async with serve(quick(), clock=Clock(time.time_ns())) as still:
        still.venue.settings.quirks.mixed_buckets = mixed
        market = by_slug(still, RAIN)
        async with adapter(still) as (venue, instrument), Trader(still, 2) as other:
            await other.place(market, "BUY", "0.55", "6", outcome=1)
            await other.place(market, "BUY", "0.50", "7", outcome=1)
            await venue.send(venue.prepare(order(instrument, 52, 13, post_only=False)))
            await still.control("clock", skip_ms=60_000)
            fills = (await venue.fills(0)).fills
            await venue.refresh_balance()
            spent = 10_000_000_000 - (await venue.balances()).cash_micro["pUSD"]
            moved = sum(fill.moved_micro(instrument, Side.BUY) for fill in fills)
            assert (len(fills), moved) == (1 if mixed else 2, 6_200_000)
            assert spent == moved + sum(fill.fee_micro for fill in fills)


async def test_orders_that_match_at_once_never_rest(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with adapter(served) as (venue, instrument), Trader(served, 2) as other:
        await other.place(market, "BUY", "0.50", "10", outcome=1)
        for kind, size in ((OrderType.FOK, 20), (OrderType.FAK, 20), (OrderType.FAK, 5)):
            (event,) = await venue.send(venue.prepare(taking(instrument, 50, size, kind)))
            if kind is OrderType.FAK and size == 20:
                assert isinstance(event, OrderAccepted)
                continue
            assert isinstance(event, OrderRejected)
            assert event.reason is RejectReason.NOT_FILLED
        assert (await venue.open_orders()).orders == ()
        assert sum(fill.size for fill in (await venue.fills(0)).fills) == 10 * SHARE


async def test_post_only_order_that_would_cross_is_rejected(served: Served) -> None:
    async with adapter(served) as (venue, instrument), Trader(served, 2) as other:
        await other.place(by_slug(served, RAIN), "BUY", "0.50", "10", outcome=1)
        (event,) = await venue.send(venue.prepare(order(instrument, 50)))
        assert isinstance(event, OrderRejected)
        assert event.reason is RejectReason.WOULD_CROSS


async def test_gtd_order_carries_its_time_and_too_short_a_one_is_rejected(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        for seconds, expected in ((600, OrderAccepted), (190, OrderAccepted), (179, OrderRejected)):
            ends = time.time_ns() + seconds * 10**9
            asked = order(instrument, type=OrderType.GTD, expires_ns=ends)
            (event,) = await venue.send(venue.prepare(asked))
            assert isinstance(event, expected)
        assert event.reason is RejectReason.EXPIRY


async def test_order_left_by_a_dead_engine_ends_by_its_own_time_without_a_heartbeat(
    served: Served,
) -> None:
    life_s, fake = EXPIRY.life_s_min, served.venue
    async with adapter(served) as (venue, instrument):
        ends = time.time_ns() + life_s * 10**9
        asked = order(instrument, type=OrderType.GTD, expires_ns=ends)
        (event,) = await venue.send(venue.prepare(asked))
        assert isinstance(event, OrderAccepted)
        await rest(venue, instrument)
    owner = signer(1).address
    assert fake.heartbeats.latest == {}, "nobody beats, nobody ever did"
    fake.clock.skip((life_s - 65) * 10**9)
    fake.pump()
    assert len(list(fake.open_orders(owner))) == 2
    fake.clock.skip(10 * 10**9)
    fake.pump()
    assert [one.type for one in fake.open_orders(owner)] == [OrderType.GTC]


async def test_marketable_order_of_a_delayed_market_is_delayed(served: Served) -> None:
    async with adapter(served, slug=LIONS) as (venue, instrument), Trader(served, 2) as other:
        await other.place(by_slug(served, LIONS), "BUY", "0.50", "10", outcome=1)
        (event,) = await venue.send(venue.prepare(taking(instrument, 50, 10, OrderType.GTC)))
        assert isinstance(event, OrderDelayed)


# -- cancels ---------------------------------------------------------------------------------------


async def test_cancel_all_keeps_to_its_scope(served: Served) -> None:
    cup = instrument_of(by_slug(served, CUP))
    async with adapter(served) as (venue, rain):
        await venue.list_market(cup)
        one = await rest(venue, rain)
        two = await rest(venue, rain, bot=BotId("other"))
        three = await rest(venue, cup, bot=BotId("other"))

        async def cancelled(scope: CancelScope) -> set[OrderId]:
            return {event.order for event in await venue.cancel_all(scope)}  # type: ignore[union-attr]

        scope = CancelScope(bot=BotId("other"), instrument=cup.id)
        assert await cancelled(scope) == {three.order}
        assert await cancelled(CancelScope(bot=BotId("maker"))) == {one.order}
        again = await rest(venue, cup)
        assert await cancelled(CancelScope(instrument=rain.id)) == {two.order}
        assert await cancelled(CancelScope()) == {again.order}
        assert (await venue.open_orders()).orders == ()
        assert await cancelled(CancelScope()) == set()


async def test_an_order_of_another_key_is_cancelled_by_name_and_never_becomes_ours(
    served: Served,
) -> None:
    async with adapter(served) as (other, rain):
        theirs = await rest(other, rain)
    async with adapter(served) as (venue, rain):
        ours = await rest(venue, rain, bot=BotId("other"))
        assert await venue.cancel_foreign(theirs.identity) == ""
        assert [one.order for one in (await venue.open_orders()).orders] == [ours.order]
        for gone in (theirs.identity, Identity("nonsense")):
            assert await venue.cancel_foreign(gone)  # the venue says why not


async def test_more_cancels_than_a_request_takes_go_in_several(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.venues.polymarket.account.venue.CANCELS_MAX", 2)
    async with adapter(served) as (venue, instrument):
        resting = [await rest(venue, instrument) for _ in range(5)]
        events = await venue.cancel(resting)
        assert [type(event) for event in events] == [OrderCancelled] * 5


async def test_scope_of_a_bot_reaches_its_orders_of_an_earlier_life(served: Served) -> None:
    async with adapter(served) as (before, instrument):
        theirs = await rest(before, instrument, bot=BotId("other"))
        ours = await rest(before, instrument, bot=BotId("maker"))
    async with adapter(served) as (venue, _):
        venue.remember(
            [
                Named(order=one.order, identity=one.identity, bot=BotId(bot))
                for one, bot in ((theirs, "other"), (ours, "maker"))
            ]
        )
        (event,) = await venue.cancel_all(CancelScope(bot=BotId("maker")))
        assert event == OrderCancelled(account=LIVE, order=ours.order)
        assert [one.order for one in (await venue.open_orders()).orders] == [theirs.order]


async def until_taken(venue: PolymarketVenue, scope: CancelScope) -> None:
    """Cancel a scope as the gateway does: again as long as the venue is too busy for it."""
    for _ in range(8):
        try:
            await venue.cancel_all(scope)
        except Throttled as error:
            await asyncio.sleep(error.retry_after_ns / 1e9)
        else:
            return


@pytest.mark.parametrize("whole", [True, False])
async def test_more_orders_than_the_tier_cancels_at_once_are_all_cancelled(
    served: Served, *, whole: bool
) -> None:
    settings = served.venue.settings
    settings.rate_limits = "off"
    async with adapter(served) as (venue, instrument):
        made = [venue.prepare(order(instrument, 1 + n % 9, 100)) for n in range(150)]
        for start in range(0, len(made), 30):  # our own pace allows so many at once
            venue._places.pace._level = 10**18
            await asyncio.gather(*map(venue.send, made[start : start + 30]))
        assert len((await venue.open_orders()).orders) == 150 > TIERS["Standard"].cancels_burst
        settings.rate_limits = "enforce"
        await until_taken(venue, CancelScope(instrument=None if whole else instrument.id))
        assert (await venue.open_orders()).orders == ()


async def test_a_request_names_no_more_orders_than_the_tier_cancels_at_once(served: Served) -> None:
    settings, burst = served.venue.settings, TIERS["Standard"].cancels_burst
    settings.rate_limits = "off"
    async with adapter(served) as (venue, rain):
        made = [venue.prepare(order(rain, 1 + n % 9, 100)) for n in range(burst + 10)]
        for start in range(0, len(made), 30):
            venue._places.pace._level = 10**18
            await asyncio.gather(*map(venue.send, made[start : start + 30]))
        settings.rate_limits = "enforce"
        events = await venue.cancel([named(one) for one in made])
        assert len([one for one in events if isinstance(one, OrderCancelled)]) >= burst


async def test_orders_of_another_key_stay_where_a_part_of_ours_is_cancelled(
    served: Served,
) -> None:
    settings = served.venue.settings
    settings.rate_limits = "off"
    async with adapter(served) as (other, rain), adapter(served) as (venue, _):
        theirs = {(await rest(other, rain)).identity for _ in range(3)}
        made = [venue.prepare(order(rain, 1 + n % 9, 100)) for n in range(130)]
        for start in range(0, len(made), 30):
            venue._places.pace._level = 10**18
            await asyncio.gather(*map(venue.send, made[start : start + 30]))
        for resting in served.venue.open_orders(signer(1).address):
            if resting.identity in theirs:  # the signer has several keys: these are another's
                resting.key = "another key"
        settings.rate_limits = "enforce"
        with pytest.raises(Throttled):
            await venue.cancel_all(CancelScope())
        left = (await venue.open_orders()).orders
        assert {one.identity for one in left if not one.ours} == theirs
        assert len(left) < 130


async def test_what_a_first_request_cancelled_stands_where_the_second_fails(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.venues.polymarket.account.venue.CANCELS_MAX", 2)
    broken = {"kind": "drop", "method": "DELETE"}
    async with adapter(served) as (venue, instrument):
        resting = [await rest(venue, instrument) for _ in range(5)]

        async def then_break(answer: aiohttp.ClientResponse) -> bytes:
            if not served.venue.faults.standing:
                served.venue.faults.add(dict(broken), served.venue.exchange.now_ns)
            return await read(answer)

        read = aiohttp.ClientResponse.read
        monkeypatch.setattr(aiohttp.ClientResponse, "read", then_break)
        events = await venue.cancel(resting)
        assert [type(event) for event in events] == [OrderCancelled] * 2 + [CancelUnanswered] * 3
        with pytest.raises(OutcomeUnknown):
            await venue.cancel(resting[2:])
        assert len((await venue.open_orders()).orders) == 3


async def test_cancel_whose_answer_is_lost_is_not_sent_again_by_the_connection(
    served: Served,
) -> None:
    async with adapter(served) as (venue, instrument):
        resting = await rest(venue, instrument)
        served.venue.faults.add({"kind": "drop", "method": "DELETE"}, served.venue.exchange.now_ns)
        with pytest.raises(OutcomeUnknown):
            await venue.cancel([resting])
    assert len([row for row in served.venue.journal if row.get("method") == "DELETE"]) == 1


async def test_listing_of_several_pages_is_whole_or_nothing(served: Served) -> None:
    await served.control("people", signer=signer(1).address, tier="Elite")
    async with adapter(served) as (venue, instrument):
        for _ in range(103):
            venue._places.pace._level = 10**18  # our own pace allows fewer in so short a time
            await rest(venue, instrument, 1, 5)
        assert len({report.order for report in (await venue.open_orders()).orders}) == 103
        fault = {"kind": "status", "path": "/data/orders", "args": {"status": 502, "body": {}}}
        await served.control("faults", **fault, chance=0.5)
        seen = set()
        for _ in range(8):
            try:
                seen.add(len((await venue.open_orders()).orders))
            except OutcomeUnknown:
                seen.add(-1)
        assert seen <= {103, -1}
        assert -1 in seen


# -- one order -------------------------------------------------------------------------------------


async def test_question_about_an_order_finds_it_alive_ended_or_not_at_all(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        asked = await rest(venue, instrument)
        alive = await venue.order(asked)
        assert isinstance(alive, OrderReported)
        assert alive.report.state is OrderState.OPEN
        await venue.cancel([asked])
        ended = await venue.order(asked)
        assert isinstance(ended, OrderReported)
        assert ended.report.state is OrderState.CANCELLED
        never = named(venue.prepare(order(instrument)))
        assert await venue.order(never) == OrderNotFound(account=LIVE, order=never.order)


async def test_orders_of_an_earlier_life_are_ours_and_named_by_the_journal(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with adapter(served) as (first, instrument):
        asked = await rest(first, instrument)
    async with adapter(served) as (second, instrument), Trader(served, 2) as other:
        (report,) = (await second.open_orders()).orders
        assert (report.order, report.ours) == (None, True)
        await other.rich(market)
        await other.place(market, "SELL", "0.40", "10", kind="FAK")
        assert (await second.fills(0)).fills == ()
        second.remember([asked])
        (fill,) = (await second.fills(0)).fills
        assert fill.order == asked.order


# -- when things go wrong --------------------------------------------------------------------------

FAULTS: dict[str, tuple[type[Exception], int]] = {
    "cloudflare_403": (AuthRefused, 0),
    "cloudflare_502": (OutcomeUnknown, 0),
    "not_ready": (VenueClosed, 0),
    "rate_limited": (Throttled, 0),
    "token_rate_limited": (Throttled, 0),
    "lost_order_500": (OutcomeUnknown, 0),
    "resting_order_500": (OutcomeUnknown, 1),
    "no_reply": (OutcomeUnknown, 1),
    "never_arrived": (OutcomeUnknown, 0),
    "garbled": (OutcomeUnknown, 1),
    "unauthorized": (AuthRefused, 0),
    "old_key": (AuthRefused, 0),
    "internal_error": (OutcomeUnknown, 0),
    "rounding_issues": (OutcomeUnknown, 0),
}
"""Fault script → what the send raises, and how many orders rest."""


@pytest.mark.parametrize("script", FAULTS)
async def test_fault_has_its_outcome_and_the_question_finds_the_truth(
    served: Served, script: str
) -> None:
    expected, resting = FAULTS[script]
    async with adapter(served) as (venue, instrument):
        await served.control("faults", script=script, times=1)
        prepared = venue.prepare(order(instrument))
        with pytest.raises(expected):
            await venue.send(prepared)
        found = await venue.order(named(prepared))
        assert isinstance(found, OrderReported if resting else OrderNotFound)
        assert len((await venue.open_orders()).orders) == resting


@pytest.mark.parametrize("text", ["invalid_nonce", "canceled_on_chain", "match_delayed"])
async def test_definite_refusals_are_rejections(served: Served, text: str) -> None:
    async with adapter(served) as (venue, instrument):
        await served.control("faults", script=text, times=1)
        (event,) = await venue.send(venue.prepare(order(instrument)))
        assert isinstance(event, OrderRejected)


async def test_throttle_tells_how_long_to_wait(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        await served.control("faults", script="rate_limited", times=1)
        prepared = venue.prepare(order(instrument))
        with pytest.raises(Throttled) as failed:
            await venue.send(prepared)
        assert failed.value.retry_after_ns == 10**9
        (event,) = await venue.send(prepared)
        assert isinstance(event, OrderAccepted)


@pytest.mark.parametrize("mode", ["restarting", "post_only", "cancel_only", "disabled"])
async def test_closed_venue_names_its_mode(served: Served, mode: str) -> None:
    async with adapter(served) as (venue, instrument):
        await served.control("mode", mode=mode)
        with pytest.raises(VenueClosed) as failed:
            await venue.send(venue.prepare(taking(instrument, 40, 10, OrderType.GTC)))
        assert failed.value.mode == mode
        if mode == "post_only":
            await rest(venue, instrument)


async def test_venue_that_is_not_there_was_not_sent_to(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        prepared = venue.prepare(order(instrument))
        nowhere = "http://127.0.0.1:9"
        for transport in (venue.wire._places, venue.wire._safety):
            transport._base_url = nowhere
        with pytest.raises(NotSent):
            await venue.send(prepared)
        with pytest.raises(NotSent):
            await venue.open_orders()


@pytest.mark.parametrize("quirk", ["null_fields", "prefixed_orders", "old_allowance"])
async def test_quirks_of_the_venue_change_nothing(served: Served, quirk: str) -> None:
    await served.control("settings", quirks={quirk: True})
    async with adapter(served) as (venue, instrument):
        asked = await rest(venue, instrument)
        assert [report.order for report in (await venue.open_orders()).orders] == [asked.order]
        assert (await venue.balances()).cash_micro["pUSD"] > 0


async def test_rejection_inside_a_200_is_a_rejection(served: Served) -> None:
    await served.control("settings", quirks={"rejects_in_200": True})
    async with adapter(served) as (venue, instrument):
        (event,) = await venue.send(venue.prepare(order(instrument, 40, 1)))
        assert isinstance(event, OrderRejected)
        assert event.reason is RejectReason.BELOW_MIN


async def test_unmatched_is_asked_about_and_found_resting(served: Served) -> None:
    await served.control("settings", quirks={"unmatched_status": True})
    async with adapter(served) as (venue, instrument):
        prepared = venue.prepare(order(instrument))
        with pytest.raises(OutcomeUnknown):
            await venue.send(prepared)
        assert isinstance(await venue.order(named(prepared)), OrderReported)


async def test_cancel_does_not_wait_behind_a_place(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        resting = await rest(venue, instrument)
        slow = {"kind": "latency", "method": "POST", "path": "/orders?$", "args": {"ms": 1_000}}
        await served.control("faults", **slow)
        places = [
            asyncio.create_task(venue.send(venue.prepare(order(instrument)))) for _ in range(30)
        ]
        await asyncio.sleep(0.05)
        (event,) = await asyncio.wait_for(venue.cancel([resting]), 0.8)
        assert isinstance(event, OrderCancelled)
        assert not any(place.done() for place in places)
        await asyncio.gather(*places)


# -- the account -----------------------------------------------------------------------------------


async def beat_on(*venues: PolymarketVenue) -> None:
    for _ in range(4):
        for venue in venues:
            await venue.send_heartbeat()


async def test_heartbeat_lives_on_over_a_restart_and_finds_a_second_writer(served: Served) -> None:
    async with adapter(served) as (first, _):
        for _ in range(3):
            await first.send_heartbeat()
    async with adapter(served) as (second, _), adapter(served) as (third, _):
        await second.send_heartbeat()
        await third.send_heartbeat()
        await second.send_heartbeat()
        with pytest.raises(AuthRefused, match="another program"):
            await beat_on(third, second)


async def test_a_chain_the_venue_dropped_in_a_silence_is_no_second_writer(served: Served) -> None:
    beats = served.venue.heartbeats.latest
    async with adapter(served) as (venue, _):
        await venue.send_heartbeat()
        for _ in range(4):
            beats.clear()
            await venue.send_heartbeat(lapsed=True)
        beats.clear()
        await venue.send_heartbeat()
        beats.clear()
        with pytest.raises(AuthRefused, match="another program"):
            await venue.send_heartbeat()


async def test_api_key_is_derived_not_created_again(served: Served) -> None:
    for _ in range(3):
        async with adapter(served):
            pass
    assert len(served.venue.auth.keys_of(signer(1).address)) == 1


async def test_given_api_key_is_used_and_never_replaced(served: Served) -> None:
    account = signer(1)
    wrong = Credentials(
        private_key=account.key.hex(),
        wallet=account.address,
        api_key="a" * 36,
        api_secret="c2VjcmV0",
        api_passphrase="b" * 64,
    )
    venue = await PolymarketVenue.open(LIVE, wrong, now_ns=time.time_ns, urls=urls_of(served))
    with pytest.raises(AuthRefused):
        await venue.balances()
    assert served.venue.auth.keys_of(account.address) == []
    await venue.close()


async def test_wallet_of_another_key_is_refused(served: Served) -> None:
    strange = Credentials(private_key=signer(1).key.hex(), wallet=wallet(signer(2), 3))
    with pytest.raises(ConfigError, match="not a wallet of this private key"):
        await PolymarketVenue.open(LIVE, strange, now_ns=time.time_ns, urls=urls_of(served))


async def test_venue_that_is_not_there_cannot_be_opened() -> None:
    nowhere = urls("http://127.0.0.1:9")
    with pytest.raises(NotSent):
        await PolymarketVenue.open(LIVE, credentials(), now_ns=time.time_ns, urls=nowhere)


async def test_rate_headers_are_received(served: Served) -> None:
    await served.control("people", signer=signer(1).address, tier="Gold")
    async with adapter(served) as (venue, instrument):
        assert venue.tier == TIERS["Standard"].paced()
        await rest(venue, instrument)
        assert venue.tier == TIERS["Gold"].paced()


async def test_places_beyond_our_share_of_the_tier_are_held_back(served: Served) -> None:
    await served.control("settings", rate_limits="enforce")
    async with adapter(served) as (venue, instrument):
        prepared = [venue.prepare(order(instrument, 1, 5)) for _ in range(70)]
        results = await asyncio.gather(*map(venue.send, prepared), return_exceptions=True)
        held = [error for error in results if isinstance(error, Throttled)]
        assert len(held) >= 5
        assert all("our share" in str(error) for error in held)
        assert min(error.retry_after_ns for error in held) > 0
        assert served.venue.limits.refused == 0


async def test_closed_venue_says_when_to_come_again(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        await served.control("mode", mode="post_only", for_s=60)
        with pytest.raises(VenueClosed) as closed:
            await venue.send(venue.prepare(taking(instrument, 40, 10, OrderType.GTC)))
        assert 50 < closed.value.retry_after_ns / 10**9 < 61
        await rest(venue, instrument)
        await served.control("mode", mode="open")
        await rest(venue, instrument, post_only=False)
