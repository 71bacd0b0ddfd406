"""Markets beside an account's own reach the bots that name them, as prices, and only while true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookProven,
    BookReplaced,
    Event,
    FeedLost,
    InstrumentClosed,
    InstrumentListed,
)
from engine.domain.instruments import Instrument, InstrumentId, Kind
from engine.domain.orders import Side
from engine.errors import NotSent
from engine.live.commands.other_markets import LOOK_NS, PATIENCE_NS, Mids, OtherMarkets
from engine.live.commands.recordings import Recordings
from engine.live.venues import Venues
from engine.runtime.venue_plugin import MarketData
from storage.phases import RUNNING
from tests.live.desk import LiveDesk

ONE, TWO = InstrumentId("demo:one"), InstrumentId("demo:two")
KEY = f"market:{ONE}"


def listed(name: InstrumentId) -> InstrumentListed:
    return InstrumentListed(
        instrument=Instrument(
            id=name, kind=Kind.SPOT, currency="USDC",
            price_decimals=2, size_decimals=6, tick=1, lot=1,
        )
    )  # fmt: skip


def book(name: InstrumentId, bid: int, ask: int) -> BookReplaced:
    return BookReplaced(instrument=name, bids=((bid, 5),), asks=((ask, 5),))


class Told:
    """An account, or a recording, that notes the prices it is given."""

    def __init__(self, account: str = "") -> None:
        self.account = account
        self.got: list[tuple[str, int]] = []

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        del now_ns
        self.got += [(event.key, event.price_e8) for event in events]  # type: ignore[attr-defined]


@pytest.fixture
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture
def mids(told: list[tuple[str, int, int]]) -> Mids:
    def give(event: Any, now_ns: int) -> None:
        told.append((event.key, event.price_e8, now_ns))

    made = Mids((ONE,), give)
    made.market((listed(ONE), listed(TWO), book(ONE, 100, 103), book(TWO, 5, 6)), 1)
    return made


def test_a_mid_is_in_hundred_millionths_of_the_currency(told: Any, mids: Mids) -> None:
    assert told == [(KEY, 101_500_000, 1)]
    assert not mids.lacks(ONE)


def test_a_mid_that_moved_is_given_once_and_one_that_stands_when_it_is_proven(
    told: Any, mids: Mids
) -> None:
    told.clear()
    mids.market((BookChanged(instrument=ONE, changes=((Side.BUY, 100, 9),)),), 2)
    assert told == [], "the same mid"
    mids.market((BookChanged(instrument=ONE, changes=((Side.BUY, 101, 9),)),), 3)
    assert told == [(KEY, 102_000_000, 3)]
    mids.repeat(4)
    assert len(told) == 1, "its proof was told with it"
    mids.market((BookProven(instrument=ONE),), 5)
    mids.repeat(6)
    assert told[1:] == [(KEY, 102_000_000, 6)]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (BookDistrusted(instrument=ONE, reason="torn"), "torn"),
        (FeedLost(feed="demo", instrument=None, reason="cut"), "feed demo lost: cut"),
        (BookReplaced(instrument=ONE, bids=(), asks=((7, 1),)), "lacks a side"),
        (InstrumentClosed(instrument=ONE), "closed"),
    ],
)
def test_what_is_not_to_be_trusted_gives_no_price_and_says_why(
    told: Any, mids: Mids, event: Event, why: str
) -> None:
    told.clear()
    mids.market((event,), 2)
    mids.repeat(3)
    assert told == []
    assert why in mids.lacks(ONE)
    assert mids.lacks(TWO) == "its venue has not listed it"


# -- on a desk -------------------------------------------------------------------------------------


class Toy(MarketData):
    """A venue's market that is received by whoever asks; `broken` = it cannot be."""

    shared = True

    def __init__(self) -> None:
        self.receivers: list[Any] = []
        self.broken = False

    def source(self, services: object, wanted: Sequence[str]) -> Any:
        del services
        return SimpleNamespace(feed="demo", stream_to=self.stream_to, wanted=wanted)

    async def stream_to(self, receiver: Any) -> None:
        if self.broken:
            raise NotSent("no way there")
        self.receivers.append(receiver)
        try:
            receiver.market((listed(ONE), book(ONE, 100, 103)), 1)
            await asyncio.Event().wait()
        finally:
            self.receivers.remove(receiver)


class Scene:
    """An engine with one account at another venue, and what it received."""

    def __init__(self, desk: LiveDesk, accounts: Sequence[str]) -> None:
        self.engine, self.toy, self.account = desk.engine, Toy(), Told("paper")
        self.engine.phase = RUNNING
        self.alerts: list[str] = []
        self.engine.alert = lambda alert, _: self.alerts.append(alert.text)  # type: ignore[method-assign]
        self.tasks: list[asyncio.Task[None]] = []
        self.engine.spawn = lambda make: self.tasks.append(asyncio.ensure_future(make()))  # type: ignore[method-assign]
        desk.accounts.venues = Venues(openers={}, markets={"demo": self.toy})
        document: Any = SimpleNamespace(
            accounts={str(n): SimpleNamespace(venue=v) for n, v in enumerate(accounts)}
        )
        self.engine.settings = SimpleNamespace(document=document)  # type: ignore[assignment]
        self.others = self.engine.part(OtherMarkets)
        self.now_ns = self.engine.clock.now_ns()

    def name(self, *keys: str) -> None:
        runner: Any = self.account
        self.engine.runners[runner.account] = runner
        declared = SimpleNamespace(references=keys)
        self.engine.bot_runners["b"] = SimpleNamespace(  # type: ignore[assignment]
            bot=SimpleNamespace(declared=declared, observes=()), runner=runner
        )

    async def look(self, wait_ns: int = LOOK_NS) -> None:
        self.now_ns += wait_ns
        self.others.watch(self.now_ns)
        for _ in range(5):
            await asyncio.sleep(0)


def play(tmp_path: Path, scenario: Callable[[Scene], Coroutine[Any, Any, None]], *at: str) -> None:
    async def run() -> None:
        async with LiveDesk(tmp_path / "home") as desk:
            scene = Scene(desk, at or ("demo",))
            await scenario(scene)
            for task in scene.tasks:
                task.cancel()
            await asyncio.gather(*scene.tasks, return_exceptions=True)

    asyncio.run(run())


def test_who_names_a_market_is_given_its_price_and_so_is_a_recording(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        recording = Told()
        scene.engine.part(Recordings)._running["r"] = recording  # type: ignore[assignment]
        await scene.look()
        assert scene.toy.receivers == [], "nothing is received that no bot names"
        scene.name(KEY)
        await scene.look()
        assert scene.account.got == recording.got == [(KEY, 101_500_000)]
        scene.name()
        await scene.look()
        assert scene.toy.receivers == [], "no bot names it any more"

    play(tmp_path, scenario)


def test_a_stream_that_breaks_ends_nothing_and_is_begun_again(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        scene.toy.broken = True
        scene.name(KEY)
        await scene.look()
        notes = scene.engine.notes("feed").take(1)
        assert ["no way there" in note.text for note in notes] == [True]
        assert all(task.cancelled() for task in scene.tasks), "an end of its own ends the engine"
        scene.toy.broken = False
        await scene.look()
        await scene.look()
        assert scene.account.got == [(KEY, 101_500_000)]

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("key", "at", "why"),
    [
        ("market:demo:other", "demo", "its venue has not listed it"),
        ("market:moon:one", "demo", "nothing is received of 'moon': there are demo"),
        (KEY, "polymarket", "no account is at Demo exchange"),
    ],
)
def test_a_market_that_gives_no_price_is_alerted_once(
    tmp_path: Path, key: str, at: str, why: str
) -> None:
    async def scenario(scene: Scene) -> None:
        scene.name(key)
        await scene.look()
        assert scene.alerts == [], "it may come yet"
        for _ in range(3):
            await scene.look(PATIENCE_NS)
        assert len(scene.alerts) == 1
        assert scene.alerts[0].startswith(f"the reference {key} gives no price: ")
        assert why in scene.alerts[0]

    play(tmp_path, scenario, at)
