"""Markouts over a real cache and executor: the mid of the moment, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from sqlite3 import Connection

import pytest

from engine.bots.bot import mark_of
from engine.caches.markets import MarketCache
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookProven,
    BookReplaced,
    CashMoved,
    Event,
    FillAdvanced,
    FillsListed,
    FillVoided,
    InstrumentClosed,
    InstrumentListed,
    OpenOrdersListed,
    OrderAccepted,
    OrderFilled,
    OrderNamed,
    OrderSent,
)
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind, Mode, Side
from engine.domain.intents import Quotes
from engine.domain.orders import Identity, OrderId
from engine.domain.settings import AccountSettings
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.markouts import NEVER, WAITING_MAX, Markouts
from storage.database import writing
from storage.schema import migrate
from storage.views.markouts import of_fills

ACCOUNT, BOT, ONE = AccountId("demo"), BotId("maker"), InstrumentId("demo:m1")
ENGINE, SHARE, S = "e1", 1_000_000, 1_000_000_000
NOW = 10 * S
TERMS = Instrument(
    id=ONE,
    kind=Kind.BINARY,
    currency="pUSD",
    price_decimals=4,
    size_decimals=6,
    tick=100,
    lot=10_000,
)


class Desk:
    """A cache, an executor with a working order, and the markouts of its fills."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.cache = MarketCache()
        limits = AccountSettings(name="demo", venue="demo", mode=Mode.DEMO).limits
        self.executor = Executor(
            account=ACCOUNT,
            mode=Mode.DEMO,
            currency="pUSD",
            ledger=Ledger(currency="pUSD"),
            gate=RiskGate(limits=limits, breakers=Breakers(limits), exposure=ExposureBook()),
            settings=ExecutorSettings(starts_reconciled=True),
        )
        self.marks = self.made()
        one = OrderId(1)
        for message in (
            InstrumentListed(instrument=TERMS),
            CashMoved(account=ACCOUNT, currency="pUSD", amount_micro=10**9),
            OpenOrdersListed(account=ACCOUNT, orders=()),
        ):
            self.executor.receive(message, NOW)
        self.market(InstrumentListed(instrument=TERMS), NOW)
        self.market(BookReplaced(instrument=ONE, bids=((4_900, SHARE),), asks=((5_000, 9),)), NOW)
        self.executor.receive(mark_of(self.cache.views[ONE]), NOW)
        intent = Quotes(
            bot=BOT, instrument=ONE, bids=((4_800, 100 * SHARE),), valid_until_ns=1 << 60
        )
        self.executor.receive(intent, NOW)
        self.executor.plan(NOW)
        self.venue(OrderNamed(account=ACCOUNT, order=one, identity=Identity("i1")), NOW)
        self.venue(OrderSent(account=ACCOUNT, order=one), NOW)
        self.venue(OrderAccepted(account=ACCOUNT, order=one), NOW)

    def made(self) -> Markouts:
        return Markouts(
            self.cache, self.executor, engine_id=ENGINE, write=lambda job: job(self.connection)
        )

    def market(self, event: Event, now_ns: int) -> None:
        """Tell the market as a shell does: what came due first."""
        if self.marks.due_ns < now_ns:
            self.marks.advance(now_ns)
        self.cache.receive(event, now_ns)

    def venue(self, event: Event, now_ns: int) -> None:
        self.marks.received(event, now_ns)
        self.executor.receive(event, now_ns)

    def shown(self, fill: str = "f1") -> dict[int, str | Decimal]:
        found = of_fills(self.connection, ENGINE, [(ACCOUNT, fill)]).get((ACCOUNT, fill), {})
        return {
            ms: one.state if one.cents is None else one.cents.normalize()
            for ms, one in sorted(found.items())
        }


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    migrate(tmp_path / "pitboss.db")
    with writing(tmp_path / "pitboss.db") as connection:
        yield Desk(connection)


def fill(name: str = "f1", order: int = 1, state: FillState = FillState.MATCHED) -> OrderFilled:
    return OrderFilled(
        account=ACCOUNT,
        order=OrderId(order),
        fill=FillId(name),
        price=4_800,
        size=10 * SHARE,
        fee_micro=0,
        liquidity=Liquidity.MAKER,
        state=state,
    )


def moved(bid: int, old: int) -> BookChanged:
    return BookChanged(instrument=ONE, changes=((Side.BUY, old, 0), (Side.BUY, bid, SHARE)))


def test_the_mid_is_the_one_that_stood_at_the_horizon_not_the_next_one(desk: Desk) -> None:
    desk.venue(fill(), NOW)
    desk.market(moved(4_600, 4_900), NOW + S // 10)
    desk.market(moved(4_400, 4_600), NOW + S // 2)
    desk.market(BookProven(instrument=ONE), NOW + 2 * S)
    shown = desk.shown()
    assert shown[300] == Decimal(0)
    assert shown[1_000] == Decimal(-1)
    assert shown[5_000] == "due"


def test_a_moment_at_which_the_feed_was_blind_has_no_markout(desk: Desk) -> None:
    desk.venue(fill(), NOW)
    desk.market(BookDistrusted(instrument=ONE, reason="torn"), NOW + S // 10)
    desk.market(BookReplaced(instrument=ONE, bids=((4_900, 5),), asks=((5_000, 9),)), NOW + S // 2)
    desk.marks.advance(NOW + 400 * S)
    assert desk.shown() == {
        0: "due", 300: "blind", 1_000: Decimal("1.5"), 5_000: Decimal("1.5"),
        30_000: "blind", 300_000: "blind",
    }  # fmt: skip
    assert desk.marks.due_ns == NEVER


def test_a_book_with_one_side_or_closed_has_no_mid(desk: Desk) -> None:
    desk.venue(fill(), NOW)
    gone = BookChanged(instrument=ONE, changes=((Side.BUY, 4_900, 0),))
    desk.market(gone, NOW + S // 10)
    desk.market(InstrumentClosed(instrument=ONE), NOW + S // 2)
    desk.marks.advance(NOW + 2 * S)
    shown = desk.shown()
    assert (shown[300], shown[1_000]) == ("one_sided", "closed")
    desk.cache.forget(ONE)
    desk.marks.advance(NOW + 6 * S)
    assert desk.shown()[5_000] == "closed"


def test_a_fill_told_twice_is_marked_once(desk: Desk) -> None:
    desk.venue(fill(), NOW)
    desk.venue(fill(), NOW + S)
    assert len(desk.marks._heap) == 5


def test_a_fill_that_only_a_listing_tells_has_no_horizons(desk: Desk) -> None:
    listed = FillsListed(account=ACCOUNT, since_ns=0, fills=(fill(),))
    desk.venue(listed, NOW)
    assert desk.shown() == {
        0: "due", 300: "ignored", 1_000: "ignored", 5_000: "ignored", 30_000: "ignored",
        300_000: "ignored",
    }  # fmt: skip


@pytest.mark.parametrize(
    "failed",
    [
        FillVoided(account=ACCOUNT, fill=FillId("f1")),
        FillAdvanced(account=ACCOUNT, fill=FillId("f1"), state=FillState.FAILED),
        fill(state=FillState.FAILED),
    ],
)
def test_a_failed_fill_is_void(desk: Desk, failed: Event) -> None:
    desk.venue(fill(), NOW)
    desk.venue(failed, NOW + 1)
    desk.marks.advance(NOW + S)
    assert set(desk.shown().values()) == {"void"}


def test_fills_of_nobody_and_failed_ones_begin_nothing(desk: Desk) -> None:
    desk.venue(fill("strange", order=99), NOW)
    desk.venue(fill("failed", state=FillState.FAILED), NOW)
    assert (desk.shown("strange"), desk.shown("failed")) == ({}, {})


def test_more_fills_than_can_wait_are_unheard(desk: Desk) -> None:
    desk.venue(fill(), NOW)
    desk.marks._heap *= WAITING_MAX // 5
    desk.venue(fill("more"), NOW)
    assert desk.shown("more")[300] == "ignored"


def test_a_restart_goes_on_with_what_is_still_due(desk: Desk) -> None:
    desk.venue(fill(), NOW)
    calls: list[Callable[[], None]] = []
    desk.marks = desk.made()
    desk.marks.resume_job(NOW + 20 * S, calls.append)(desk.connection)
    for call in calls:
        call()
    assert desk.marks.due_ns == NOW + 30 * S
    desk.market(BookProven(instrument=ONE), NOW + 30 * S)
    desk.marks.advance(NOW + 30 * S + 1)
    shown = desk.shown()
    assert [shown[ms] for ms in (300, 1_000, 5_000)] == ["ignored"] * 3
    assert shown[30_000] == Decimal("1.5")
