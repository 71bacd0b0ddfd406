"""A desk with the real executor and cache, and strategies that do as a test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.decisions import Decision
from engine.domain.effects import Effect, PlaceOrder
from engine.domain.events import (
    BookChanged,
    BookReplaced,
    CashMoved,
    Event,
    InstrumentListed,
    OrderAccepted,
    OrderFilled,
    OrderNamed,
)
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind, Mode, Side
from engine.domain.intents import Intent, Quotes
from engine.domain.orders import Identity, Order, OrderId
from engine.domain.settings import RiskLimits
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.strategies.door import Context, Evaluation, Parameters

MS = 1_000_000
S = 1_000 * MS
SHARE = 1_000_000
ACCOUNT = AccountId("paper:one")
ONE = InstrumentId("venue:one")
TWO = InstrumentId("venue:two")


class Script:
    """A strategy that notes what it is given, and wants what the test put into `say`."""

    name: ClassVar[str] = "script"
    parameters_type: ClassVar[type[Parameters]] = Parameters

    def __init__(self, **changes: Any) -> None:
        self.replan_ns_min: int = changes.get("replan_ns_min", 50 * MS)
        self.timer_ns: int = changes.get("timer_ns", 1 * S)
        self.mid2_moved_min: int = changes.get("mid2_moved_min", 0)
        self.touch_alone: bool = changes.get("touch_alone", False)
        self.quiet = False
        self.references: tuple[str, ...] = changes.get("references", ())
        self.observes: tuple[str, ...] = changes.get("observes", ())
        self.say: Callable[[Context, int], tuple[Intent, ...]] = lambda *_: ()
        self.raises: dict[str, BaseException] = {}
        """By method: what it raises instead of answering."""
        self.received: list[Event] = []
        self.fills: list[OrderFilled] = []
        self.forgotten: list[InstrumentId] = []
        self.asked: list[tuple[InstrumentId, int, Context]] = []

    def receive(self, event: Event, now_ns: int) -> bool:
        del now_ns
        self.received.append(event)
        self._raise("receive")
        return True

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        del instrument, now_ns
        self.fills.append(event)
        self._raise("filled")

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        instrument = context.view.instrument.id
        self.asked.append((instrument, now_ns, context))
        self._raise("evaluate")
        intents = self.say(context, now_ns)
        decision = Decision(
            number=context.decision,
            bot=context.bot,
            instrument=instrument,
            at_ns=now_ns,
            regime="quiet",
            inputs=(),
            build_up=(),
            gates=(),
            outcome="quote" if intents else "hold",
            intent=intents[0] if intents else None,
        )
        return Evaluation(decision=decision, intents=intents, quiet=self.quiet)

    def forget(self, instrument: InstrumentId) -> None:
        self.forgotten.append(instrument)
        self._raise("forget")

    def state(self) -> bytes:
        return b""

    def restore(self, state: bytes) -> None:
        del state

    def times(self, instrument: InstrumentId = ONE) -> list[int]:
        """Return when an instrument was evaluated."""
        return [at_ns for asked, at_ns, _ in self.asked if asked == instrument]

    def _raise(self, method: str) -> None:
        if method in self.raises:
            raise self.raises[method]


class RecordedExecutor(Executor):
    """The executor, with everything it is told noted in order."""

    def receive(self, message: Event | Intent, now_ns: int) -> list[Effect]:
        self.__dict__.setdefault("inputs", []).append(message)
        return super().receive(message, now_ns)


class Stage:
    """A running desk and its clock. Prices in increments (0.0001), sizes in shares."""

    def __init__(self, *bots: Bot, cash: int = 1_000) -> None:
        self.now = 10 * S
        breakers = Breakers(RiskLimits())
        self.executor = RecordedExecutor(
            account=ACCOUNT,
            mode=Mode.PAPER,
            currency="USD",
            ledger=Ledger(currency="USD"),
            gate=RiskGate(limits=RiskLimits(), breakers=breakers, exposure=ExposureBook()),
            settings=ExecutorSettings(starts_reconciled=True),
        )
        self.inputs: list[Any] = self.executor.__dict__.setdefault("inputs", [])
        self.decisions: list[Decision] = []
        self.core = AccountCore(
            cache=MarketCache(), executor=self.executor, bots=bots, decide=self.decisions.append
        )
        self.core.start(self.now)
        money = CashMoved(account=ACCOUNT, currency="USD", amount_micro=cash * 1_000_000)
        self.effects: list[Effect] = []
        """Everything the desk ever asked for."""
        self.core.venue(money, self.now)
        self.turn()

    def at(self, now_ns: int) -> list[Effect]:
        """Let time pass: the desk is turned whenever it is due. Return what it asked for."""
        before = len(self.effects)
        while self.core.due_ns <= now_ns:
            self.now = max(self.now, self.core.due_ns)
            self.turn()
        self.now = now_ns
        return self.effects[before:]

    def turn(self) -> list[Effect]:
        found: list[Effect] = []
        while effects := self.core.turn(self.now):
            found += effects
        self.effects += found
        return found

    def market(self, event: Event, after_ms: int = 0) -> list[Effect]:
        """Receive a market event so long after the last one, and turn."""
        asked = self.at(self.now + after_ms * MS)
        self.core.market(event, self.now)
        return asked + self.turn()

    def venue(self, *events: Event) -> list[Effect]:
        for event in events:
            self.core.venue(event, self.now)
        return self.turn()

    def list(self, name: InstrumentId = ONE, **changes: Any) -> Instrument:
        """List an instrument and show a book of 0.48 to 0.52."""
        fields: dict[str, Any] = {
            "id": name,
            "kind": Kind.BINARY,
            "currency": "USD",
            "price_decimals": 4,
            "size_decimals": 6,
            "tick": 100,
            "lot": 10_000,
            "size_min": 5 * SHARE,
        }
        instrument = Instrument(**(fields | changes))
        self.market(InstrumentListed(instrument=instrument))
        self.book(name)
        return instrument

    def book(
        self, name: InstrumentId = ONE, bid: int = 4_800, ask: int = 5_200, after_ms: int = 0
    ) -> list[Effect]:
        sides = {"bids": ((bid, 500 * SHARE),), "asks": ((ask, 500 * SHARE),)}
        return self.market(BookReplaced(instrument=name, **sides), after_ms)

    def change(self, price: int, shares: int = 7, after_ms: int = 0) -> list[Effect]:
        """Change the size of one bid of the first instrument."""
        changes = ((Side.BUY, price, shares * SHARE),)
        return self.market(BookChanged(instrument=ONE, changes=changes), after_ms)

    def accept(self, *orders: Order) -> None:
        for order in orders:
            for event in (
                OrderNamed(account=ACCOUNT, order=order.id, identity=Identity(f"i{order.id}")),
                OrderAccepted(account=ACCOUNT, order=order.id),
            ):
                self.venue(event)

    def fill(self, order: Order, shares: int, state: FillState = FillState.CONFIRMED) -> None:
        self.venue(
            OrderFilled(
                account=ACCOUNT,
                order=OrderId(order.id),
                fill=FillId(f"f{len(self.inputs)}"),
                price=order.price,
                size=shares * SHARE,
                fee_micro=0,
                liquidity=Liquidity.MAKER,
                state=state,
            )
        )

    @property
    def placed(self) -> list[Order]:
        """Every order ever asked for."""
        return [effect.order for effect in self.effects if isinstance(effect, PlaceOrder)]


def bot(name: str = "maker", strategy: Script | None = None, **changes: Any) -> Bot:
    """Return a bot that takes everything."""
    fields: dict[str, Any] = {
        "name": BotId(name),
        "account": ACCOUNT,
        "strategy": strategy or Script(),
        "capital_micro": 1_000_000_000,
        "everything": not (changes.get("instruments") or changes.get("series")),
    }
    return Bot(**(fields | changes))


def quotes(
    context: Context, bid: int | None = None, ask: int | None = None, shares: int = 10
) -> Quotes:
    """Return an intent in the instrument that is being evaluated."""
    return Quotes(
        bot=context.bot,
        instrument=context.view.instrument.id,
        bids=() if bid is None else ((bid, shares * SHARE),),
        asks=() if ask is None else ((ask, shares * SHARE),),
        valid_until_ns=1 << 60,
        decision=context.decision,
    )


@pytest.fixture(scope="session")
def make_stage() -> type[Stage]:
    return Stage


@pytest.fixture(scope="session")
def make_script() -> type[Script]:
    return Script


@pytest.fixture(scope="session")
def make_bot() -> Callable[..., Bot]:
    return bot


@pytest.fixture(scope="session")
def intent() -> Callable[..., Quotes]:
    return quotes
