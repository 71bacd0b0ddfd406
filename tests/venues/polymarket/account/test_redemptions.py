"""A winner at the fake venue: unpaid until somebody redeems it, then booked once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from engine.domain.effects import QueryRedemptions, RaiseAlert, RedeemTokens
from engine.domain.events import (
    CashMoved,
    InstrumentListed,
    InstrumentResolved,
    OpenOrdersListed,
)
from engine.domain.instruments import Instrument, Mode
from engine.domain.orders import OrderType
from engine.domain.settings import AccountSettings
from engine.executor.executor import Executor
from engine.runtime.recovery import executor_of
from engine.venues.polymarket.account.venue import PolymarketVenue
from tests.fakes.polymarket.clock import Clock
from tests.fakes.polymarket.server import Served
from tests.fakes.polymarket.server import serving as serve
from tests.venues.polymarket.adapter import LIVE, SHARE, adapter, taking
from tests.venues.polymarket.kit import BRIDGE, CUP, RAIN, Trader, by_slug, quick

USD = 1_000_000
ACCOUNT = AccountSettings(name=LIVE, mode=Mode.LIVE, venue="polymarket", currency="pUSD")


class Books:
    """The account's executor, told by the adapter as a gateway would."""

    def __init__(self, venue: PolymarketVenue, instrument: Instrument) -> None:
        self.venue = venue
        self.instrument = instrument
        self.alerts: list[RaiseAlert] = []
        self.asked: list[RedeemTokens] = []
        self.executor: Executor = executor_of(ACCOUNT, 1)[0]

    def tell(self, *events: Any) -> None:
        for event in events:
            self._do(self.executor.receive(event, time.time_ns()))

    def _do(self, effects: list[Any]) -> None:
        self.alerts += [one for one in effects if isinstance(one, RaiseAlert)]
        self.asked += [one for one in effects if isinstance(one, RedeemTokens)]
        self.questions = [one for one in effects if isinstance(one, QueryRedemptions)]

    async def start(self, state: bytes = b"") -> None:
        """Begin a life, from a snapshot where there is one, and believe what the venue lists."""
        self.executor = executor_of(ACCOUNT, 1)[0]
        if state:
            self.executor.restore(state, 1)
        self.tell(InstrumentListed(instrument=self.instrument))
        self._do(self.executor.recover((), time.time_ns()))
        self.tell(OpenOrdersListed(account=LIVE, orders=()))
        self.tell(await self.venue.fills(0))

    async def look(self) -> None:
        """Let the account ask what was paid, and receive the answer."""
        self.executor.wallet.request_payments(time.time_ns())
        self._do(self.executor.plan(time.time_ns()))
        (question,) = self.questions
        listed = await self.venue.redemptions(question.since_ns)
        self.tell(msgspec.structs.replace(listed, answers=question.number))

    @property
    def figures(self) -> tuple[int, int]:
        """Cash and what is redeemable."""
        state = self.executor.ledger.state
        return state.cash_settled_micro, state.redeemable_micro


@contextlib.asynccontextmanager
async def holding(
    *, auto: bool = False, slug: str = RAIN
) -> AsyncIterator[tuple[Served, Books, int]]:
    """Ten YES, settled and paid for; gives the cash that is left."""
    async with serve(quick(auto_redeem=auto), clock=Clock(time.time_ns())) as still:
        market = by_slug(still, slug)
        opened = adapter(still, slug=slug)
        async with opened as (venue, instrument), Trader(still, 2) as other:
            books = Books(venue, instrument)
            await books.start()
            books.tell(CashMoved(account=LIVE, currency="pUSD", amount_micro=10_000 * USD))
            await other.place(market, "BUY", "0.50", "10", outcome=1)
            bought = taking(instrument, 50, 10, OrderType.FOK)
            books.executor.adopt(bought, time.time_ns())
            await venue.send(venue.prepare(bought))
            await still.control("clock", skip_ms=60_000)
            books.tell(await venue.fills(0))
            yield still, books, books.figures[0]


async def resolved(still: Served, books: Books, payout: float = 1.0) -> None:
    condition = books.instrument.id.partition(":")[2]
    await still.control("resolve", condition=condition, payout=payout)
    books.tell(
        InstrumentResolved(
            instrument=books.instrument.id, payout_yes_micro=int(payout * USD), source="venue"
        )
    )


async def test_a_winner_stays_until_somebody_redeems_it() -> None:
    async with holding() as (still, books, cash):
        await resolved(still, books)
        await still.control("clock", skip_ms=3_600_000)
        await books.look()
        await books.venue.refresh_balance()

        assert books.figures == (cash, 10 * USD)
        assert (await books.venue.balances()).cash_micro["pUSD"] == cash
        (held,) = (await books.venue.positions()).holdings
        assert held[2] == 10 * SHARE
        assert books.asked == []  # the account cannot do it itself


@pytest.mark.parametrize(
    ("slug", "payout"), [(RAIN, 1.0), (RAIN, 0.5), (CUP, 1.0), (BRIDGE, 1.0)],
    ids=["won", "fifty_fifty", "neg_risk", "protocol_2"],
)  # fmt: skip
@pytest.mark.parametrize("restarted", [False, True])
async def test_what_the_venue_redeems_by_itself_is_booked_once(
    slug: str, payout: float, restarted: bool
) -> None:
    async with holding(auto=True, slug=slug) as (still, books, cash):
        state = books.executor.snapshot()
        await resolved(still, books, payout)
        worth = int(10 * payout * USD)
        assert books.figures == (cash, worth)
        await still.control("clock", skip_ms=60_000)
        if (
            restarted
        ):  # the engine that starts here has received neither of the result nor of the pay
            await books.start(state)
            await books.look()
            assert books.figures == (cash, 0)
            await resolved_again(books, payout)
        for _ in range(2):
            await books.look()

        assert books.figures == (cash + worth, 0)
        await books.venue.refresh_balance()
        assert (await books.venue.balances()).cash_micro["pUSD"] == cash + worth
        assert (await books.venue.positions()).holdings == ()
        assert [alert.kind for alert in books.alerts] == []
        books.executor.ledger.check()


async def resolved_again(books: Books, payout: float) -> None:
    books.tell(
        InstrumentResolved(
            instrument=books.instrument.id, payout_yes_micro=int(payout * USD), source="gamma"
        )
    )


async def test_a_loser_brings_nothing_and_asks_for_nothing() -> None:
    async with holding(auto=True) as (still, books, cash):
        await resolved(still, books, 0.0)
        await still.control("clock", skip_ms=60_000)
        await books.look()

        assert books.figures == (cash, 0)
        assert not books.executor.ledger.redeemable
        assert books.executor.forget(books.instrument.id)
