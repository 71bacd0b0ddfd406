"""Live reference prices against the fake's sockets: every source, both relays, and none."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from engine.domain.events import Event
from engine.feeds.counts import FeedCounts
from engine.feeds.references import lines
from engine.feeds.references.lines import ReferenceHosts, ReferenceLines
from tests.fakes.polymarket.server import Served, serving
from tests.venues.polymarket.market.received import until

KEYS = (
    "binance:btcusdt",
    "binance-open1h:btcusdt",
    "coinbase:btc-usd",
    "chainlink:btc/usd",
    "chainlink-twap30:btc/usd",
)


@contextlib.asynccontextmanager
async def receiving(
    key: tuple[str, str, str] | None = None,
) -> AsyncIterator[tuple[Served, ReferenceLines, list[Any], FeedCounts]]:
    async with serving() as served:
        counts, events = FeedCounts(), []

        def publish(published: list[Event], _at_ns: int) -> None:
            events.extend(published)

        hosts = ReferenceHosts(
            binance=f"{served.ws}/ws/binance",
            coinbase=f"{served.ws}/ws/coinbase",
            rtds=f"{served.ws}/ws/rtds",
            polybolt=f"{served.ws}/ws/rt",
            data_key=key,
        )
        made = ReferenceLines(
            hosts, counts=counts, now_ns=time.time_ns, publish=publish, tape=lambda *_: None
        )
        task = asyncio.ensure_future(made.run())
        try:
            yield served, made, events, counts
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_every_source_is_received_and_nothing_is_unreadable() -> None:
    async with receiving() as (_, made, events, counts):
        made.subscribe(KEYS)
        await until(lambda: {e.key for e in events} == set(KEYS), "each of them tells a price")
        assert not counts.anomalies
        assert all(50_000 < e.price_e8 / 1e8 < 70_000 for e in events)
        assert made.missing(time.time_ns()) == {}


async def test_two_relays_of_one_oracle_tell_each_price_once() -> None:
    async with receiving(("key", "secret", "pass")) as (served, made, events, _):
        made.subscribe(["chainlink:btc/usd"])
        await until(lambda: len(events) >= 3, "prices come")
        stamps = [event.exchange_ns for event in events]
        assert stamps == sorted(set(stamps))
        assert {name for name, _ in served.prices.asked} == {"rtds", "rt"}


async def test_the_newer_relay_alone_is_enough() -> None:
    async with receiving(("key", "secret", "pass")) as (served, made, events, _):
        served.prices.silent.add("rtds")
        made.subscribe(["chainlink-twap30:btc/usd"])
        await until(lambda: events, "the other relay answers")
        assert events[0].key == "chainlink-twap30:btc/usd"


async def test_without_a_key_the_newer_relay_is_not_asked() -> None:
    async with receiving() as (served, made, events, _):
        made.subscribe(["chainlink:btc/usd"])
        await until(lambda: events, "the older relay answers")
        assert {name for name, _ in served.prices.asked} == {"rtds"}


async def test_a_silent_oracle_is_missing_in_words(monkeypatch: Any) -> None:
    monkeypatch.setattr(lines, "STALE_NS", 300_000_000)
    async with receiving() as (served, made, _, _):
        served.prices.silent.add("rtds")
        made.subscribe(["chainlink:btc/usd", "gold:xau"])
        await until(lambda: len(made.missing(time.time_ns())) == 2, "both are missing")
        assert made.missing(time.time_ns())["gold:xau"] == "no source named 'gold' is received here"
        assert made.ages_ms(time.time_ns())["chainlink:btc/usd"] is None


async def test_what_nobody_wants_any_more_is_not_received() -> None:
    async with receiving() as (_, made, events, _):
        made.subscribe(["binance:btcusdt"])
        await until(lambda: events, "it is received")
        made.subscribe([])
        assert made._lines == {}
        assert made.ages_ms(time.time_ns()) == {}


def test_a_data_key_is_never_shown() -> None:
    hosts = ReferenceHosts(
        binance="", coinbase="", rtds="", polybolt="", data_key=("abc", "shh", "pst")
    )
    assert "shh" not in f"{hosts} {hosts!r}"
