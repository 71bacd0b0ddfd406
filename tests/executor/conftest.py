"""Builders for the executor's tests: instruments, orders, fills and a hand-played venue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from engine.domain.effects import (
    OrderChanged,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    QueryRedemptions,
    SetTimer,
)
from engine.domain.events import (
    BalancesListed,
    BookMarked,
    CashMoved,
    FillsListed,
    InstrumentListed,
    OpenOrdersListed,
    OrderAccepted,
    OrderFilled,
    OrderNamed,
    OrderNotFound,
    PositionsListed,
    RedemptionsListed,
    TimerFired,
)
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import (
    AccountId,
    BotId,
    FeeSchedule,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Mode,
    Side,
)
from engine.domain.intents import Quotes
from engine.domain.orders import Identity, Order, OrderId, OrderReport, OrderState
from engine.domain.settings import Limit, RiskLimits
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate

ACCOUNT = AccountId("demo:one")
BOT = BotId("maker")
SHARE = 1_000_000
"""Size increments per share."""


class Build:
    """Makes the nouns; everything has a default a test need not name."""

    account = ACCOUNT
    bot = BOT
    share = SHARE

    def binary(self, name: str = "venue:m1", **changes: Any) -> Instrument:
        fields: dict[str, Any] = {
            "id": InstrumentId(name),
            "kind": Kind.BINARY,
            "currency": "USD",
            "price_decimals": 4,
            "size_decimals": 6,
            "tick": 100,
            "lot": 10_000,
            "size_min": 5 * SHARE,
            "fees": FeeSchedule(taker_rate_ppm=70_000, exponent=1),
            "tokens": ("yes", "no"),
        }
        return Instrument(**(fields | changes))

    def spot(self, name: str = "venue:BTC/USD", **changes: Any) -> Instrument:
        fields: dict[str, Any] = {
            "id": InstrumentId(name),
            "kind": Kind.SPOT,
            "currency": "USD",
            "price_decimals": 2,
            "size_decimals": 6,
            "tick": 1,
            "lot": 10,
            "size_min": 100,
            "fees": FeeSchedule(taker_rate_ppm=1_000),
        }
        return Instrument(**(fields | changes))

    def order(self, number: int = 1, **changes: Any) -> Order:
        fields: dict[str, Any] = {
            "account": ACCOUNT,
            "id": OrderId(number),
            "bot": BOT,
            "instrument": InstrumentId("venue:m1"),
            "leg": Leg.YES,
            "side": Side.BUY,
            "price": 4_800,
            "size": 100 * SHARE,
            "created_ns": 0,
        }
        return Order(**(fields | changes))

    def filled(self, order: int = 1, fill: str = "f1", **changes: Any) -> OrderFilled:
        fields: dict[str, Any] = {
            "account": ACCOUNT,
            "order": OrderId(order),
            "fill": FillId(fill),
            "price": 4_800,
            "size": 100 * SHARE,
            "fee_micro": 0,
            "liquidity": Liquidity.MAKER,
            "state": FillState.MATCHED,
        }
        return OrderFilled(**(fields | changes))


LIMITS = RiskLimits(
    order_value_max=Limit(absolute=1e6),
    exposure_instrument_max=Limit(absolute=1e6),
    exposure_market_max=Limit(absolute=1e6),
    exposure_bot_max=Limit(absolute=1e6),
    exposure_account_max=Limit(absolute=1e6),
    exposure_total_max=Limit(absolute=1e6),
    daily_loss_max=Limit(absolute=1e6),
    drawdown_max=Limit(absolute=1e6),
    kill_drawdown_max=Limit(absolute=1e6),
)
"""Limits that never bind."""

SECOND = 1_000_000_000

ANSWERS: dict[type, type] = {
    OpenOrdersListed: QueryOpenOrders,
    OrderNotFound: QueryOrder,
    FillsListed: QueryFills,
    BalancesListed: QueryBalances,
    PositionsListed: QueryBalances,
    RedemptionsListed: QueryRedemptions,
}


class Rig:
    """An executor with a hand-played venue: what it asks is kept, what happens is told."""

    def __init__(
        self,
        *,
        limits: RiskLimits = LIMITS,
        settings: ExecutorSettings | None = None,
        cash: int = 1_000,
        instruments: tuple[Instrument, ...] = (),
        empty: bool = False,
        risk_mode: Mode = Mode.LIVE,
    ) -> None:
        self.build = Build()
        self.now = 10 * SECOND
        breakers = Breakers(limits, risk_mode)
        self.gate = RiskGate(limits=limits, breakers=breakers, exposure=ExposureBook())
        self.breakers = breakers
        self.executor = Executor(
            account=ACCOUNT,
            mode=Mode.DEMO,
            currency="USD",
            ledger=Ledger(currency="USD"),
            gate=self.gate,
            settings=settings or ExecutorSettings(starts_reconciled=True),
        )
        self.effects: list[Any] = []
        self.changes: list[OrderChanged] = []
        """Where orders stand, as the journal was told."""
        self.asked: dict[tuple[type, OrderId | None], int] = {}
        """The number under which each thing was asked last."""
        self._fills = 0
        for instrument in () if empty else instruments or (self.build.binary(),):
            self.feed(InstrumentListed(instrument=instrument))
        if cash:
            self.feed(CashMoved(account=ACCOUNT, currency="USD", amount_micro=cash * 1_000_000))

    def feed(self, *messages: Any) -> list[Any]:
        """Give messages and plan once; return (and keep) what is asked of venue and people."""
        made: list[Any] = []
        for message in messages:
            made += self.executor.receive(self.answering(message), self.now)
        made += self.executor.plan(self.now)
        for effect in made:
            if getattr(effect, "number", 0):
                self.asked[type(effect), getattr(effect, "order", None)] = effect.number
        self.changes += [effect for effect in made if isinstance(effect, OrderChanged)]
        made = [effect for effect in made if not isinstance(effect, SetTimer | OrderChanged)]
        self.effects += made
        return made

    def answering(self, message: Any) -> Any:
        """Let an answer without a number be that to what was asked of its kind last."""
        question = ANSWERS.get(type(message))
        if question is None or message.answers:
            return message
        number = self.asked.get((question, getattr(message, "order", None)), 0)
        return msgspec.structs.replace(message, answers=number)

    def wait(self, seconds: float, *messages: Any, marked: bool = True) -> list[Any]:
        """Let time pass, mark the books, fire the second's timer, tell the messages."""
        self.now += int(seconds * SECOND)
        names = self.executor.concerned() if marked else []
        return self.feed(*(self.mark(name) for name in names), TimerFired(name="second"), *messages)

    def mark(self, name: str = "venue:m1", **changes: Any) -> BookMarked:
        fields: dict[str, Any] = {
            "instrument": InstrumentId(name),
            "best_bid": 4_900,
            "best_ask": 5_100,
            "mid2": 10_000,
            "two_sided_ns": self.now,
            "proof_ns": self.now,
            "trusted": True,
        }
        return BookMarked(**(fields | changes))

    def quotes(
        self, bids: Any = (), asks: Any = (), *, name: str = "venue:m1", **changes: Any
    ) -> Quotes:
        fields: dict[str, Any] = {
            "bot": BOT,
            "instrument": InstrumentId(name),
            "bids": tuple((price, size * SHARE) for price, size in bids),
            "asks": tuple((price, size * SHARE) for price, size in asks),
            "valid_until_ns": self.now + 3_600 * SECOND,
        }
        return Quotes(**(fields | changes))

    def quote(self, bids: Any = (), asks: Any = (), **changes: Any) -> list[Order]:
        """Mark the book, state the intent, and return the orders that are placed."""
        name = changes.get("name", "venue:m1")
        return orders(self.feed(self.mark(name), self.quotes(bids, asks, **changes)))

    def send(self, order: int) -> list[Any]:
        name = Identity(f"id{order}")
        return self.feed(OrderNamed(account=ACCOUNT, order=OrderId(order), identity=name))

    def open(self, order: int) -> list[Any]:
        self.send(order)
        return self.feed(OrderAccepted(account=ACCOUNT, order=OrderId(order)))

    def rest(self, bids: Any = (), asks: Any = (), **changes: Any) -> list[Order]:
        """Quote and have everything accepted."""
        placed = self.quote(bids, asks, **changes)
        for order in placed:
            self.open(order.id)
        return placed

    def fill(self, order: int, shares: float, **changes: Any) -> OrderFilled:
        """Make a fill of a known order at its price."""
        self._fills += 1
        known = self.executor.order(OrderId(order))
        price = 5_000 if known is None else known.price
        return self.build.filled(
            order,
            **({"fill": f"f{self._fills}", "price": price, "size": int(shares * SHARE)} | changes),
        )

    def state(self, order: int) -> OrderState:
        record = self.executor.record(OrderId(order))
        assert record is not None
        return record.state

    def event(self, kind: Any, order: int, **changes: Any) -> Any:
        return kind(account=ACCOUNT, order=OrderId(order), **changes)

    def listing(self, *reports: OrderReport) -> OpenOrdersListed:
        return OpenOrdersListed(account=ACCOUNT, orders=reports)

    def report(
        self, number: int, state: OrderState = OrderState.OPEN, **changes: Any
    ) -> OrderReport:
        known = self.executor.order(OrderId(number))
        assert known is not None
        fields: dict[str, Any] = {
            "identity": Identity(f"id{number}"),
            "order": OrderId(number),
            "ours": True,
            "instrument": known.instrument,
            "leg": known.leg,
            "side": known.side,
            "price": known.price,
            "size": known.size,
            "filled": 0,
            "state": state,
        }
        return OrderReport(**(fields | changes))


def orders(effects: list[Any]) -> list[Order]:
    return [effect.order for effect in effects if isinstance(effect, PlaceOrder)]


@pytest.fixture(scope="session")
def limits() -> RiskLimits:
    return LIMITS


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture(scope="session")
def make_rig() -> Callable[..., Rig]:
    return Rig


@pytest.fixture(scope="session")
def build() -> Build:
    return Build()
