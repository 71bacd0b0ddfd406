"""Figures of an account as the engine tells them, over a real executor."""

from __future__ import annotations

import pytest

from engine.domain.events import (
    BookMarked,
    CashMoved,
    FillSettled,
    InstrumentListed,
    OpenOrdersListed,
    OrderAccepted,
    OrderFilled,
    OrderNamed,
    OrderSent,
)
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind, Mode
from engine.domain.intents import Quotes
from engine.domain.orders import Identity, OrderId
from engine.domain.settings import AccountSettings
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.live.telemetry import holdings_of, uses_of
from engine.risk.breakers import Breakers
from engine.risk.exposure import ExposureBook
from engine.risk.gate import RiskGate

ACCOUNT, BOT, ONE = AccountId("demo"), BotId("maker"), InstrumentId("demo:m1")
SHARE = 1_000_000
NOW = 10_000_000_000


@pytest.fixture
def executor() -> Executor:
    """An executor with 1,000 pUSD that has just bought 10 of 100 YES at 0.48."""
    limits = AccountSettings(name="demo", venue="demo", mode=Mode.DEMO).limits
    gate = RiskGate(limits=limits, breakers=Breakers(limits), exposure=ExposureBook())
    made = Executor(
        account=ACCOUNT,
        mode=Mode.DEMO,
        currency="pUSD",
        ledger=Ledger(currency="pUSD"),
        gate=gate,
        settings=ExecutorSettings(starts_reconciled=True),
    )
    instrument = Instrument(
        id=ONE,
        kind=Kind.BINARY,
        currency="pUSD",
        price_decimals=4,
        size_decimals=6,
        tick=100,
        lot=10_000,
    )
    mark = BookMarked(
        instrument=ONE,
        best_bid=4_900,
        best_ask=5_100,
        mid2=10_000,
        two_sided_ns=NOW - 3,
        proof_ns=NOW - 2,
        trusted=True,
    )
    for message in (
        InstrumentListed(instrument=instrument),
        CashMoved(account=ACCOUNT, currency="pUSD", amount_micro=1_000_000_000),
        OpenOrdersListed(account=ACCOUNT, orders=()),
        mark,
        Quotes(bot=BOT, instrument=ONE, bids=((4_800, 100 * SHARE),), valid_until_ns=1 << 60),
        OrderNamed(account=ACCOUNT, order=OrderId(1), identity=Identity("i1")),
        OrderSent(account=ACCOUNT, order=OrderId(1)),
        OrderAccepted(account=ACCOUNT, order=OrderId(1)),
    ):
        made.receive(message, NOW)
        made.plan(NOW)
    made.receive(
        OrderFilled(
            account=ACCOUNT,
            order=OrderId(1),
            fill=FillId("f1"),
            price=4_800,
            size=10 * SHARE,
            fee_micro=0,
            liquidity=Liquidity.MAKER,
            state=FillState.MATCHED,
        ),
        NOW,
    )
    return made


def test_a_holding_is_told_pending_then_settled_with_its_cost_and_value(executor: Executor) -> None:
    (seen,) = holdings_of(executor, {ONE: BOT})
    assert (seen.bot, seen.yes_pending, seen.yes_settled) == (BOT, 10 * SHARE, 0)
    assert (seen.yes_cost_micro, seen.value_micro, seen.mid2) == (4_800_000, 5_000_000, 10_000)
    executor.receive(FillSettled(account=ACCOUNT, fill=FillId("f1")), NOW)
    (seen,) = holdings_of(executor, {})
    assert (seen.bot, seen.yes_pending, seen.yes_settled) == (BOT, 0, 10 * SHARE)


def test_every_limit_that_has_a_use_is_told_with_what_it_allows(executor: Executor) -> None:
    uses = {(use.name, use.subject): use for use in uses_of(executor, [BOT], NOW)}
    worst = uses["exposure_instrument_max", ONE]
    assert (worst.used, worst.limit_value) == (48_000_000, 100_000_000)
    assert uses["exposure_market_max", ONE].used == 48_000_000
    assert uses["exposure_bot_max", BOT].used == 48_000_000
    assert uses["exposure_account_max", ""].used == 48_000_000
    assert uses["exposure_total_max", ""].used == 48_000_000
    assert (uses["open_orders_max", ""].used, uses["open_orders_max", ""].limit_value) == (1, 200)
    assert uses["daily_loss_max", ""].used == 0
    assert uses["data_age_ms_max", ONE].used == 2
    assert uses["mark_age_ms_max", ONE].used == 3
