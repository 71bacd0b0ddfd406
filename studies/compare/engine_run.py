"""One engine over one simulated venue: the same desk, executor, risk and gateway as live."""

from __future__ import annotations

from collections.abc import Sequence

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.events import CashMoved, Event, InstrumentClosed
from engine.domain.instruments import AccountId, BotId, InstrumentId, Mode
from engine.domain.settings import GatewaySettings, RiskLimits
from engine.errors import BrokenInvariant
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.gateway.core import GatewayCore
from engine.gateway.door import VenueCore
from engine.lab.pump import Driver
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.first_settings import SERIES
from engine.strategies.market_maker.parameters import EAGER
from engine.strategies.registry import build
from studies.compare.watch import MakerFigures, MakerWatch, Marks, S

CURRENCY = "pUSD"
CASH_MICRO = 10_000_000_000
FORGET_AFTER_NS = 120 * S
BOT = BotId("compared")
STRATEGY = "market_maker"
CAPITAL_MICRO = 4_000_000_000
PARAMETERS: dict[str, object] = {
    **EAGER,
    "fair": "microprice",
    "sigma_warm_s": 10.0,
    "size_shares": 10.0,
    "inventory_shares_max": 400.0,
    "half_spread_ticks_min": 1.0,
    "width_vol_multiplier": 0.0,
    "width_markout_multiplier": 0.0,
    "skew_ticks_per_unit": 0.1,
    "hysteresis_ticks": 2.0,
    "replan_ms_min": 250,
}
"""A maker that waits in queues: at the touch, moved only when the book has moved by a tick, and not
chasing each quarter of a second. One that flees each movement would hardly meet a queue at all."""


def compared_maker(account: AccountId) -> Bot:
    return Bot(
        name=BOT,
        account=account,
        strategy=build(STRATEGY, PARAMETERS, BOT),
        capital_micro=CAPITAL_MICRO,
        series=frozenset({SERIES}),
    )


class CompareRun:
    """One account with the maker on it, or with `bots`. `feed` market events in order."""

    def __init__(self, venue: VenueCore, mode: Mode, bots: Sequence[Bot] = ()) -> None:
        account = venue.account()
        limits = RiskLimits()
        gate = RiskGate(limits=limits, breakers=Breakers(limits), exposure=ExposureBook())
        self._executor = Executor(
            account=account,
            mode=mode,
            currency=CURRENCY,
            ledger=Ledger(currency=CURRENCY),
            gate=gate,
            settings=ExecutorSettings(),
        )
        self._cache = MarketCache()
        self._watch = MakerWatch(self._cache.views)
        self._closed: list[tuple[int, InstrumentId]] = []
        self._account = account
        self.bots = tuple(bots) or (compared_maker(account),)
        core = AccountCore(
            cache=self._cache, executor=self._executor, bots=self.bots, decide=lambda _: None
        )
        self.driver = Driver(
            core=core,
            gateway=GatewayCore(account=account, settings=GatewaySettings()),
            venue=venue,
            recorder=self._watch,
            placed=lambda _: None,
            filled=lambda _, __: None,
        )

    @property
    def marks(self) -> Marks:
        """What its fills brought by horizon and market."""
        return self._watch.marks

    def fees_micro(self, instrument: InstrumentId, owner: BotId) -> int:
        """Return what one owner has paid in fees there: more than 0 where it has taken."""
        return self._executor.ledger.owned(instrument, owner).fees_micro

    def begin(self, now_ns: int) -> None:
        self.driver.start(now_ns)
        cash = CashMoved(account=self._account, currency=CURRENCY, amount_micro=CASH_MICRO)
        self.driver.deliver(cash, now_ns)

    def feed(self, event: Event, now_ns: int) -> None:
        """Take one market event at its time."""
        self._watch.look(now_ns)
        self.driver.feed(event, now_ns)
        if isinstance(event, InstrumentClosed):
            self._closed.append((now_ns + FORGET_AFTER_NS, event.instrument))
            while self._closed[0][0] <= now_ns:
                _, over = self._closed.pop(0)
                if self._executor.forget(over):
                    self._cache.forget(over)

    def equity_micro(self, now_ns: int) -> int:
        """Return cash and what is held, at the last two-sided mids."""
        shown = self._executor.equity_mid_micro(now_ns)
        if shown is None:
            raise BrokenInvariant("what is held of a binary is never without a worth")
        return shown

    def end(self, now_ns: int) -> MakerFigures:
        """Return the day's figures; what is still held counts at the last two-sided mid."""
        self.driver.run_until(now_ns)
        self._watch.look(now_ns)
        figures = self._watch.figures
        figures.pnl_micro = self.equity_micro(now_ns) - CASH_MICRO
        figures.digest = self._watch.digest()
        return figures
