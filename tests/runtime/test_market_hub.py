"""Who receives what, and that not everything can be wanted at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.domain.events import Event, InstrumentListed
from engine.domain.instruments import Instrument, InstrumentId, Kind
from engine.domain.telemetry import FeedStatus
from engine.errors import BadInput
from engine.runtime import market_hub
from engine.runtime.market_hub import HubMarket, MarketHub, Routes, Subscriber
from tests.venues.services import AccountServices

A, B, C = (InstrumentId(f"polymarket:{letter}") for letter in "abc")

TERMS = Instrument(
    id=C, kind=Kind.BINARY, currency="pUSD", price_decimals=4, size_decimals=6, tick=100, lot=10_000
)


def ear() -> Subscriber:
    return Subscriber((), (), None)  # type: ignore[arg-type]


def test_more_keys_than_the_maximum_are_refused_and_nothing_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(market_hub, "KEYS_MAX", 3)
    routes, first, second = Routes(), ear(), ear()
    routes.want(first, (A, B), ("btc-updown-5m",), ())
    routes.want(second, (A,), (), ())
    with pytest.raises(BadInput, match="more than 3 markets, series and prices"):
        routes.want(second, (A, C), (), ())
    assert list(routes.named) == [A, B]


def test_what_one_gives_up_another_may_want(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_hub, "KEYS_MAX", 2)
    routes, first, second = Routes(), ear(), ear()
    routes.want(first, (A, B), (), ())
    routes.want(first, (A,), (), ())
    routes.want(second, (C,), (), ())
    assert list(routes.named) == [A, C]


# -- the hub ---------------------------------------------------------------------------------------


class Lamp:
    """A venue with as many lamps as are wanted: each is listed when it is, and then shines."""

    def __init__(self, hub: MarketHub) -> None:
        self.hub = hub
        self.lit: dict[InstrumentId, Instrument] = {}
        self.dark: tuple[str, ...] = ()

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def follow(self, wanted: Routes) -> None:
        for name in wanted.named:
            if name not in self.lit:
                self.lit[name] = msgspec.structs.replace(TERMS, id=name)
                self.hub.place(self.lit[name], "a lamp", "lamp")
                self.hub.publish([InstrumentListed(instrument=self.lit[name])], 0)

    def watched(self) -> list[InstrumentId]:
        return list(self.lit)

    def forget(self, name: InstrumentId) -> None:
        del self.lit[name]

    def snapshot(self, name: InstrumentId) -> list[Event]:
        return [InstrumentListed(instrument=self.lit[name])]

    def lasts(self, event: Event) -> None:
        """Nothing more is to be done."""

    def missing(self, now_ns: int, wanted: Routes) -> tuple[str, ...]:
        del now_ns, wanted
        return self.dark

    def figures(self, now_ns: int) -> FeedStatus:
        del now_ns
        return FeedStatus(
            sockets=1, markets=len(self.lit), frames=0, last_word_ms=None, trouble="",
            hash_checked=0, hash_mismatched=0, gaps=0, prices_age_ms={},
        )  # fmt: skip


class Lamps(HubMarket):
    venue = "polymarket"

    def made(self, services: Any, hub: MarketHub) -> Lamp:
        del services
        self.lamp = Lamp(hub)
        return self.lamp


class Received:
    """Who wants a lamp, and what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        del now_ns
        self.events += events


@pytest.fixture
def services(tmp_path: Path) -> Iterator[AccountServices]:
    made = AccountServices(tmp_path)
    yield made
    made.recorder.close()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(150):
        while not true():  # noqa: ASYNC110 the hub looks by itself
            await asyncio.sleep(0)


async def test_what_is_wanted_is_subscribed_told_journaled_once_and_let_go(
    services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_hub, "LOOK_S", 0.0)
    lamps, first, late = Lamps(), Received(), Received()
    (stream,) = lamps.begin(services, [])
    running = asyncio.ensure_future(stream())
    await until(lambda: hasattr(lamps, "lamp"))
    lamps.subscribers.append(Subscriber((A,), (), first))
    await until(lambda: first.events)
    lamps.subscribers.append(Subscriber((A, B), (), late))
    await until(lambda: len(late.events) == 2)
    assert [one.instrument.id for one in first.events] == [A]  # type: ignore[attr-defined]
    assert sorted(one.instrument.id for one in services.kept) == [A, B]
    del lamps.subscribers[1]
    await until(lambda: lamps.lamp.watched() == [A])
    lamps.subscribers.clear()
    await until(lambda: not lamps.lamp.watched())
    lamps.lamp.hub.publish([InstrumentListed(instrument=TERMS)], 0)
    assert len(services.kept) == 2, "what nobody wants is not journaled"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_stays_missing_is_told_once_and_counted(
    services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_hub, "LOOK_S", 0.0)
    monkeypatch.setattr(market_hub, "ALERT_NS", 1)
    lamps = Lamps()
    (stream,) = lamps.begin(services, [])
    running = asyncio.ensure_future(stream())
    await until(lambda: hasattr(lamps, "lamp"))
    lamps.lamp.dark = tuple(f"lamp {number:02} is dark" for number in range(25))
    await until(lambda: len(services.alerts) == 25)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(services.alerts) == 25
    status = services.feeds["polymarket"](services.clock.now_ns())
    assert (len(status.missing), status.missing_more) == (20, 5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
