"""Start is recovery: snapshot and tail give the executor that wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.domain.bots import BotState
from engine.domain.commands import StartBot
from engine.domain.effects import KeepBudget, PlaceOrder
from engine.domain.events import (
    CancelRefused,
    CancelUnanswered,
    CashMoved,
    InstrumentListed,
    LossAccepted,
    OrderAccepted,
    OrderCancelled,
    OrderNamed,
    OrderSent,
)
from engine.domain.instruments import (
    AccountId,
    BotId,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Mode,
    Side,
)
from engine.domain.orders import Identity, Order, OrderId
from engine.domain.settings import AccountSettings, Limit, RiskLimits
from engine.executor.executor import Executor
from engine.risk.gate import Breakers
from engine.risk.reasons import DenyReason
from engine.runtime.bot_runner import BotSnapshot
from engine.runtime.recovery import (
    BOTS,
    ENGINE_WIDE,
    STOPPED,
    Recovered,
    executor_of,
    recover,
    unstopped,
)
from storage.journal import take_lease
from storage.journal_writer import JournalWriter

DEMO = AccountId("demo")
COIN = InstrumentId("demo:coin")
INSTRUMENT = Instrument(
    id=COIN, kind=Kind.BINARY, currency="pUSD", price_decimals=4, size_decimals=6, tick=100,
    lot=10_000,
)  # fmt: skip
ORDER = Order(
    account=DEMO, id=OrderId(1), bot=BotId("maker"), instrument=COIN, leg=Leg.YES, side=Side.BUY,
    price=4_000, size=10_000_000, created_ns=5,
)  # fmt: skip


def fresh() -> Executor:
    return executor_of(AccountSettings(name="demo", venue="demo", mode=Mode.DEMO), 7)[0]


def messages() -> list[tuple[str, msgspec.Struct]]:
    return [
        (ENGINE_WIDE, StartBot(bot=BotId("maker"))),
        (DEMO, CashMoved(account=DEMO, currency="pUSD", amount_micro=100_000_000)),
        (ENGINE_WIDE, InstrumentListed(instrument=INSTRUMENT)),
        (DEMO, PlaceOrder(order=ORDER)),
        (DEMO, OrderNamed(account=DEMO, order=OrderId(1), identity=Identity("demo-demo-1"))),
        (DEMO, OrderSent(account=DEMO, order=OrderId(1))),
        (DEMO, OrderAccepted(account=DEMO, order=OrderId(1))),
    ]


def written(path: Path, snapshot_after: int | None = None) -> None:
    writer = JournalWriter(path, engine_id="pitboss")
    try:
        for count, (account, message) in enumerate(messages(), start=1):
            writer.append(account, message, 10 + count)
            if count == snapshot_after:
                executor = fresh()
                writer.flush()
                recover(path, {DEMO: executor})
                writer.snapshot(f"executor:{DEMO}", executor.snapshot(), count)
                kept = {"maker": BotSnapshot(state=BotState.RUNNING)}
                writer.snapshot(BOTS, msgspec.msgpack.encode(kept), count)
    finally:
        writer.close()


def test_no_journal_is_an_empty_past(tmp_path: Path) -> None:
    assert recover(tmp_path / "journal.db", {DEMO: fresh()}).records == 0


def test_an_engine_that_was_not_stopped_is_told_of_with_what_was_recovered() -> None:
    found = Recovered(records=1_234, orders_adopted=7)
    assert unstopped(None, found, 0) is None
    assert unstopped((STOPPED, 5), found, 0) is None
    alert = unstopped(("RUNNING", 1_795_132_800_000_000_000), found, 2)
    assert alert is not None
    assert alert.kind == "ended_without_stop"
    for said in ("RUNNING at 2026-11-20 00:00:00 UTC.", "1,234 records", "7 orders adopted"):
        assert said in alert.text
    alert = unstopped(("RUNNING", 5), found, 0, "terminated by SIGABRT")
    assert alert is not None
    assert "without a stop (terminated by SIGABRT): it last" in alert.text


def test_tail_alone_gives_orders_cash_and_bots(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    written(path)
    executor = fresh()
    found = recover(path, {DEMO: executor})
    assert (found.records, found.orders_adopted, found.funded) == (7, 1, {DEMO})
    assert found.bots["maker"].state is BotState.STARTING
    record = executor.record(OrderId(1))
    assert record is not None
    assert (record.identity, record.state) == ("demo-demo-1", "open")
    assert executor.ledger.cash_free_micro == 96_000_000
    assert found.shown({DEMO: executor})["orders_without_end"] == {DEMO: 1}


def test_snapshot_and_tail_give_the_same_as_the_whole_journal(tmp_path: Path) -> None:
    whole = fresh()
    written(tmp_path / "whole.db")
    recover(tmp_path / "whole.db", {DEMO: whole})
    for after in range(3, 8):
        path = tmp_path / f"{after}.db"
        written(path, snapshot_after=after)
        executor = fresh()
        found = recover(path, {DEMO: executor})
        assert found.records == 7 - after
        assert found.funded == {DEMO}
        assert executor.ledger.cash_free_micro == whole.ledger.cash_free_micro
        assert executor.open_and_unknown == whole.open_and_unknown
        assert found.bots["maker"].state in (BotState.RUNNING, BotState.STARTING)


def test_an_account_that_was_stopped_before_its_first_cash_is_not_taken_for_funded(
    tmp_path: Path,
) -> None:
    """Its venue did not answer, or its vault was locked: the next start still counts its cash."""
    path = tmp_path / "journal.db"
    written(path, snapshot_after=1)
    assert recover(path, {DEMO: fresh()}).funded == {DEMO}  # its cash stands behind the snapshot

    alone = tmp_path / "alone.db"
    writer = JournalWriter(alone, engine_id="pitboss")
    writer.append(ENGINE_WIDE, StartBot(bot=BotId("maker")), 11)
    writer.flush()
    writer.snapshot(f"executor:{DEMO}", fresh().snapshot(), 1)
    writer.close()
    assert recover(alone, {DEMO: fresh()}).funded == set()


@pytest.mark.parametrize("whole", [False, True])
def test_a_first_cash_that_is_to_be_counted_anew_is_counted_by_the_next_start(
    tmp_path: Path, whole: bool
) -> None:
    accepted = LossAccepted(
        account=DEMO, orders_until=OrderId(9), since_ns=0, journal_seq=7, projected_seq=7,
        projected_crc=0, who="ann", recount=True,
    )  # fmt: skip
    path = tmp_path / "journal.db"
    written(path, snapshot_after=None if whole else 3)
    writer = JournalWriter(path, engine_id="pitboss")
    writer.append(DEMO, accepted, 30)
    writer.flush()
    assert recover(path, {DEMO: fresh()}).funded == set()
    writer.append(DEMO, CashMoved(account=DEMO, currency="pUSD", amount_micro=1), 31)
    writer.close()
    assert recover(path, {DEMO: fresh()}).funded == {DEMO}


def test_lease_only_rises_and_stands_on_every_order(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    assert [take_lease(path, "pitboss") for _ in range(3)] == [1, 2, 3]


def test_a_stop_of_risk_survives_a_death_without_a_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    breakers = Breakers(RiskLimits(daily_loss_max=Limit(absolute=10.0)))
    for equity in (100_000_000, 89_000_000):
        breakers.equity(equity, 5)
    writer = JournalWriter(path, engine_id="pitboss")
    writer.append(DEMO, KeepBudget(account=DEMO, breakers=breakers.state()), 6)
    writer.close()
    executor = fresh()
    recover(path, {DEMO: executor})
    assert executor.stopped is DenyReason.DAILY_LOSS
    assert executor.anchors_micro == (100_000_000, 100_000_000)


@pytest.mark.parametrize(
    "event",
    [
        CancelRefused(account=DEMO, order=OrderId(1), venue_text="not found"),
        CancelUnanswered(account=DEMO, order=OrderId(1)),
        OrderCancelled(account=DEMO, order=OrderId(1)),
        OrderAccepted(account=DEMO, order=OrderId(1)),
    ],
    ids=lambda event: type(event).__name__,
)
@pytest.mark.parametrize("snapshot", [False, True])
def test_what_a_second_life_heard_of_an_order_that_never_left_the_first_is_read_by_a_third(
    tmp_path: Path, event: Any, snapshot: bool
) -> None:
    path = tmp_path / "journal.db"
    writer = JournalWriter(path, engine_id="pitboss")
    for account, message in messages()[:4]:
        writer.append(account, message, 10)
    if snapshot:
        writer.flush()
        first = fresh()
        recover(path, {DEMO: first})
        writer.snapshot(f"executor:{DEMO}", first.snapshot(), 4)
    writer.append(DEMO, event, 20)
    writer.close()
    recover(path, {DEMO: fresh()})
