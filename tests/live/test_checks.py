"""The identity of equity over a real executor, journal and projection: silent, and not silent."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.clock import WallClock
from engine.domain.effects import RaiseAlert, Severity
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
from engine.domain.fills import FillId, Liquidity
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind, Mode
from engine.domain.intents import Quotes
from engine.domain.orders import Identity, OrderId
from engine.domain.settings import AccountSettings
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.live.lifecycle import CHECK_EVERY_NS, DIFFERS, RECHECK_NS, TruthWatch
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.state_writer import Projector, StateKeeper
from storage.database import writing
from storage.journal_writer import JournalWriter
from storage.live import put_instrument
from storage.projection import register_account
from storage.schema import migrate

ACCOUNT, BOT, ONE = AccountId("demo"), BotId("maker"), InstrumentId("demo:m1")
ENGINE, SHARE, NOW = "e1", 1_000_000, 10_000_000_000
TERMS = Instrument(
    id=ONE,
    kind=Kind.BINARY,
    currency="pUSD",
    price_decimals=4,
    size_decimals=6,
    tick=100,
    lot=10_000,
)


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


class Desk:
    """An executor, its journal, the projection of it, and the watch over both."""

    def __init__(self, home: Path) -> None:
        self.path = home / "pitboss.db"
        migrate(self.path)
        with writing(self.path) as connection:
            register_account(
                connection,
                engine_id=ENGINE,
                account=ACCOUNT,
                mode=Mode.DEMO,
                venue="demo",
                currency="pUSD",
            )
            put_instrument(connection, ENGINE, TERMS, 1)
        self.crashes: list[BaseException] = []
        self.alarms: list[RaiseAlert] = []
        self.journal = JournalWriter(home / "journal.db", engine_id=ENGINE, synchronous="OFF")
        self.state = StateKeeper(
            self.path,
            engine_id=ENGINE,
            clock=WallClock(),
            received=lambda _: None,
            crash=self.crashes.append,
        )
        self.projector = Projector(
            self.journal,
            journal_path=home / "journal.db",
            state_path=self.path,
            crash=self.crashes.append,
        )
        limits = AccountSettings(name="demo", venue="demo", mode=Mode.DEMO).limits
        self.executor = Executor(
            account=ACCOUNT,
            mode=Mode.DEMO,
            currency="pUSD",
            ledger=Ledger(currency="pUSD"),
            gate=RiskGate(limits=limits, breakers=Breakers(limits), exposure=ExposureBook()),
            settings=ExecutorSettings(starts_reconciled=True),
        )
        self.now_ns = NOW
        at_once = SimpleNamespace(call_soon_threadsafe=lambda do, *given: do(*given))
        engine: Any = SimpleNamespace(
            recorder=self.journal, projector=self.projector, state=self.state,
            config=SimpleNamespace(state_path=self.path), engine_id=ENGINE,
            alert=lambda alert, _: self.alarms.append(alert), wall_ns=lambda: self.now_ns,
            runners={ACCOUNT: SimpleNamespace(core=SimpleNamespace(executor=self.executor))},
            ended=SimpleNamespace(get_loop=lambda: at_once),
        )  # fmt: skip
        self.watch = TruthWatch(engine)

    def tell(self, *messages: msgspec.Struct) -> None:
        """Journal each message and its effects, then let the executor have it, as a shell does."""
        for message in messages:
            kept = not isinstance(message, BookMarked | Quotes)
            if kept:
                self.journal.append(ACCOUNT, message, NOW)
            effects = self.executor.receive(message, NOW) + self.executor.plan(NOW)  # type: ignore[arg-type]
            for effect in effects:
                self.journal.append(ACCOUNT, effect, NOW)

    def check(self, after_ns: int = CHECK_EVERY_NS) -> tuple[int, int, str]:
        """Let a check come due and be made; give (checks, difference, text)."""
        before = self.row()[0]
        self.now_ns += after_ns
        self.watch.watch(self.now_ns)
        self.journal.flush()
        until(lambda: self.row()[0] == before + 1)
        return self.row()

    def row(self) -> tuple[int, int, str]:
        connection = sqlite3.connect(self.path)
        try:
            found = connection.execute(
                "SELECT checks, difference_micro, text FROM equity_checks"
            ).fetchone()
        finally:
            connection.close()
        return found or (0, 0, "")

    def close(self) -> None:
        for part in (self.journal, self.projector, self.state):
            part.close()
        assert not self.crashes


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk that has bought 10 YES at 0.48, not settled, the mid at 0.50."""
    made = Desk(tmp_path)
    mark = BookMarked(
        instrument=ONE,
        best_bid=4_900,
        best_ask=5_100,
        mid2=10_000,
        two_sided_ns=NOW - 3,
        proof_ns=NOW - 2,
        trusted=True,
    )
    number = OrderId(1)
    made.tell(
        InstrumentListed(instrument=TERMS),
        CashMoved(account=ACCOUNT, currency="pUSD", amount_micro=1_000_000_000),
        OpenOrdersListed(account=ACCOUNT, orders=()),
        mark,
        Quotes(bot=BOT, instrument=ONE, bids=((4_800, 100 * SHARE),), valid_until_ns=1 << 60),
        OrderNamed(account=ACCOUNT, order=number, identity=Identity("i1")),
        OrderSent(account=ACCOUNT, order=number),
        OrderAccepted(account=ACCOUNT, order=number),
        OrderFilled(
            account=ACCOUNT,
            order=number,
            fill=FillId("f1"),
            price=4_800,
            size=10 * SHARE,
            fee_micro=0,
            liquidity=Liquidity.MAKER,
        ),
    )
    yield made
    made.close()


def test_a_right_ledger_is_checked_each_minute_and_nobody_is_alarmed(desk: Desk) -> None:
    assert desk.check() == (1, 0, "")
    desk.watch.watch(desk.now_ns + CHECK_EVERY_NS - 1)
    desk.tell(FillSettled(account=ACCOUNT, fill=FillId("f1")))
    assert desk.check() == (2, 0, "")
    assert not desk.alarms


@pytest.mark.long
def test_a_planted_error_is_seen_twice_and_then_alarmed_with_both_sides(desk: Desk) -> None:
    assert desk.check() == (1, 0, "")
    desk.executor.ledger.state.cash_settled_micro += 1
    assert desk.check()[:2] == (2, 1)
    assert not desk.alarms
    checks, difference, text = desk.check(RECHECK_NS)
    assert (checks, difference) == (3, 1)
    until(lambda: desk.alarms)
    (alarm,) = desk.alarms
    assert (alarm.severity, alarm.kind, alarm.account) == (Severity.CRITICAL, DIFFERS, ACCOUNT)
    assert "1000.200001" in text
    assert "sum to 1000.2 = cash" in text
    assert text in alarm.text
    assert desk.executor.ledger.state.cash_settled_micro == 995_200_001, "nothing was repaired"


def test_a_difference_that_is_gone_at_the_second_look_is_no_alarm(desk: Desk) -> None:
    desk.executor.ledger.state.cash_pending_micro += 7
    assert desk.check()[1] == 7
    desk.executor.ledger.state.cash_pending_micro -= 7
    assert desk.check(RECHECK_NS)[1] == 0
    assert not desk.alarms


def test_a_holding_that_vanished_is_alarmed_with_its_name(desk: Desk) -> None:
    desk.executor.ledger.holding(ONE).yes.pending -= SHARE
    desk.check()
    _, difference, text = desk.check(RECHECK_NS)
    assert difference == -500_000
    assert f"{ONE} yes: ledger {9 * SHARE}, journal {10 * SHARE}" in text
    until(lambda: desk.alarms)


def test_an_account_that_still_asks_the_venue_is_not_judged(desk: Desk) -> None:
    desk.executor.recover((), NOW)
    desk.watch.watch(desk.now_ns)
    assert desk.projector.at(0, lambda: None), "no check waits"


def test_one_check_at_a_time_waits(desk: Desk) -> None:
    assert desk.projector.at(10**9, lambda: None)
    assert not desk.projector.at(10**9, lambda: None)
