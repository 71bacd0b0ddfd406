"""The exchange's listing against what is known: new, changed, gone; the stream is the newer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from engine.caches.markets import MarketCache
from engine.config import Config
from engine.domain.events import BookReplaced, Event, InstrumentClosed, InstrumentListed
from engine.domain.instruments import AccountId, Instrument, InstrumentId, Kind
from engine.runtime.account_runner import Meter
from engine.venues.demo.plugin import PLUGIN, DemoMarketData
from engine.venues.demo.wire import MarketFrame

NOW = 5
BOOK = {"bids": ((4_800, 10_000_000),), "asks": ((5_200, 10_000_000),)}


def binary(name: str, **changes: Any) -> Instrument:
    fields: dict[str, Any] = {
        "id": InstrumentId(f"demo:{name}"),
        "kind": Kind.BINARY,
        "currency": "pUSD",
        "price_decimals": 4,
        "size_decimals": 6,
        "tick": 100,
        "lot": 10_000,
    }
    return Instrument(**(fields | changes))


OLD, SAME, ROLLED = binary("old"), binary("same"), binary("rolled")


class Engine:
    """One account that looks at the exchange, and what is journaled."""

    def __init__(self) -> None:
        self.cache = MarketCache()
        self.clock = self.core = self
        self.runners = {AccountId("demo"): self}
        self.watchers: list[Any] = []
        self.meter = Meter()
        self.events: list[Event] = []
        for known in (OLD, SAME):
            self.market([InstrumentListed(instrument=known)], NOW)

    def now_ns(self) -> int:
        return NOW

    def journal(self, event: Event, _at_ns: int) -> None:
        self.events.append(event)

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        for event in events:
            self.cache.receive(event, now_ns)


@pytest.fixture
def engine() -> Engine:
    return Engine()


def listing(*instruments: Instrument) -> MarketFrame:
    events: list[Any] = []
    for one in instruments:
        events += [InstrumentListed(instrument=one), BookReplaced(instrument=one.id, **BOOK)]
    return MarketFrame(at_ns=NOW, events=tuple(events))


def market_of(engine: Engine) -> DemoMarketData:
    market = DemoMarketData(PLUGIN.setup(Config()))
    market.begin(engine, [engine])  # type: ignore[arg-type, list-item]
    return market


def sync(engine: Engine, frame: MarketFrame, before: Any = None) -> str:
    market = market_of(engine)
    return market.reconcile(engine, frame, market.known() if before is None else before)  # type: ignore[arg-type]


def test_listing_that_agrees_changes_nothing(engine: Engine) -> None:
    summary = sync(engine, listing(OLD, SAME))
    assert summary == "2 markets are open at demo: 0 new, 0 changed, 0 gone"
    assert engine.events == []
    assert not engine.cache.views[OLD.id].trusted  # books of what is known are the stream's alone


def test_new_changed_and_gone_are_taken_and_journaled(engine: Engine) -> None:
    finer = msgspec.structs.replace(SAME, tick=10)
    summary = sync(engine, listing(finer, ROLLED))
    assert summary == "2 markets are open at demo: 1 new, 1 changed, 1 gone"
    views = engine.cache.views
    assert views[ROLLED.id].trusted
    assert views[SAME.id].instrument.tick == 10
    assert views[OLD.id].closed
    assert [type(event) for event in engine.events] == [InstrumentListed] * 2 + [InstrumentClosed]


def test_what_the_stream_told_meanwhile_is_newer_than_the_listing(engine: Engine) -> None:
    before = market_of(engine).known()
    engine.market([InstrumentListed(instrument=ROLLED), InstrumentClosed(instrument=OLD.id)], NOW)
    summary = sync(engine, listing(OLD, SAME), before)
    assert summary == "2 markets are open at demo: 0 new, 0 changed, 0 gone"
    assert not engine.cache.views[ROLLED.id].closed
    assert engine.cache.views[OLD.id].closed
