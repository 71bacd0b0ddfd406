"""A desk of many bots: how long one book change takes from the frame's event to its effects.

Twenty market makers with fifty instruments each at one account. The time includes the driver and
the paper venue, so it is an upper bound of the engine's own turn.
"""

from __future__ import annotations

import random
import time

from bench.ours import LIMITS
from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.events import BookChanged, BookReplaced, CashMoved, InstrumentListed
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind, Mode, Side
from engine.domain.money import MICRO
from engine.domain.settings import GatewaySettings
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.gateway.core import GatewayCore
from engine.lab.pump import Driver
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.journal import DigestRecorder
from engine.strategies.market_maker.parameters import EAGER
from engine.strategies.registry import build
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.settings import PaperSettings

ACCOUNT = AccountId("paper:bench")
CASH = 1_000_000
START_NS = 1_795_132_800_000_000_000
STEP_NS = 2_000_000
QUOTING = {
    **EAGER,
    "fair": "microprice",
    "sigma_warm_s": 0.5,
    "stop_before_close_s": 0.0,
    "price_min": 0.01,
    "price_max": 0.99,
    "event_jump_ticks": 0.0,
    "size_shares": 10.0,
}
"""A bot that quotes from the first second, whatever the price."""

WARM = 3_000


def many_bots(*, bots: int, instruments: int, changes: int) -> list[int]:
    """Return the nanoseconds of each of `changes` book changes, after a warm-up.

    Raises RuntimeError where the bots placed fewer orders than one for each ten changes.
    """
    placed: list[object] = []
    driver, listed = _core(bots, instruments, placed)
    rng = random.Random(7)
    now = START_NS
    driver.start(now)
    driver.deliver(CashMoved(account=ACCOUNT, currency="USD", amount_micro=CASH * MICRO), now)
    for instrument in listed:
        driver.feed(InstrumentListed(instrument=instrument), now)
        bids = tuple((price, 500_000_000) for price in range(4000, 5000, 100))
        asks = tuple((price, 500_000_000) for price in range(5100, 6100, 100))
        driver.feed(BookReplaced(instrument=instrument.id, bids=bids, asks=asks), now)
    samples = []
    for turn in range(changes + WARM):
        now += STEP_NS
        instrument = rng.choice(listed)
        side, price = rng.choice(((Side.BUY, 4900), (Side.SELL, 5100)))
        size = rng.randrange(0, 900) * 1_000_000
        event = BookChanged(instrument=instrument.id, changes=((side, price, size),))
        started = time.perf_counter_ns()
        driver.feed(event, now)
        if turn >= WARM:
            samples.append(time.perf_counter_ns() - started)
    if len(placed) < changes / 10:
        raise RuntimeError(f"{len(placed)} orders in {changes} changes: the desk does not trade")
    return samples


def _instrument(number: int) -> Instrument:
    return Instrument(
        id=InstrumentId(f"bench:{number}"),
        kind=Kind.BINARY,
        currency="USD",
        price_decimals=4,
        size_decimals=6,
        tick=100,
        lot=10_000,
        size_min=5_000_000,
    )


def _core(bots: int, instruments: int, placed: list[object]) -> tuple[Driver, list[Instrument]]:
    listed = [_instrument(number) for number in range(bots * instruments)]
    breakers = Breakers(LIMITS)
    executor = Executor(
        account=ACCOUNT,
        mode=Mode.PAPER,
        currency="USD",
        ledger=Ledger(currency="USD"),
        gate=RiskGate(limits=LIMITS, breakers=breakers, exposure=ExposureBook()),
        settings=ExecutorSettings(starts_reconciled=True),
    )
    crew = []
    for number in range(bots):
        name = BotId(f"bot{number}")
        own = listed[number * instruments : (number + 1) * instruments]
        bot = Bot(
            name=name,
            account=ACCOUNT,
            strategy=build("market_maker", QUOTING, name),
            capital_micro=CASH * MICRO,
            instruments=frozenset(item.id for item in own),
            instruments_max=instruments,
        )
        crew.append(bot)
    core = AccountCore(
        cache=MarketCache(), executor=executor, bots=tuple(crew), decide=lambda decision: None
    )
    paper = PaperSettings(
        order_latency_ms=0, cancel_latency_ms=0, settle_delay_ms=0, starting_cash={"USD": CASH}
    )
    wide = GatewaySettings(
        places_in_flight_max=64,
        places_per_s=1_000,
        places_burst=1_000,
        cancels_per_s=2_000,
        cancels_burst=2_000,
    )
    driver = Driver(
        core=core,
        gateway=GatewayCore(account=ACCOUNT, settings=wide),
        venue=PaperVenue(ACCOUNT, paper),
        recorder=DigestRecorder(),
        placed=placed.append,
        filled=lambda event, now_ns: None,
    )
    return driver, listed
