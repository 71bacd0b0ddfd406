"""A start after a long life: journal → executor, bounded by snapshots, and without any.

`python -m bench.recovery build PATH RECORDS` writes a journal as an engine does, snapshots each
50,000 records; `... recover PATH` is what a start does with it, in a process of its own, so that
its memory is that of a start.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from bench.processes import OUT, run
from engine.domain.effects import CancelOrders, PlaceOrder
from engine.domain.events import (
    CashMoved,
    Event,
    FillSettled,
    InstrumentListed,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderNamed,
)
from engine.domain.fills import FillId, FillState, Liquidity
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
from engine.domain.orders import CancelReason, Identity, Order, OrderId, OrderType
from engine.domain.settings import AccountSettings
from engine.executor.executor import Executor
from engine.runtime.recovery import BOTS, executor_of, recover
from storage.journal import take_lease
from storage.journal_writer import JournalWriter

RECORDS = 1_000_000
SNAPSHOT_EVERY = 50_000
MS = 1_000_000
BEGIN_NS = 1_767_225_600 * 1_000 * MS
DEMO = AccountId("demo")
COIN = InstrumentId("demo:coin")
Message = tuple[str, PlaceOrder | CancelOrders | Event]
Row = tuple[str, str, str, str, str]


def executor() -> Executor:
    """Return an executor as a start makes it."""
    return executor_of(AccountSettings(name="demo", venue="demo", mode=Mode.DEMO), 1)[0]


def messages() -> Iterator[Message]:
    """Give the records of a life without end: most orders are cancelled, one in five is filled."""
    terms = Instrument(
        id=COIN,
        kind=Kind.BINARY,
        currency="pUSD",
        price_decimals=4,
        size_decimals=6,
        tick=100,
        lot=10_000,
    )
    yield DEMO, CashMoved(account=DEMO, currency="pUSD", amount_micro=10_000_000_000)
    yield "", InstrumentListed(instrument=terms)
    number = 0
    while True:
        number += 1
        yield from order_life(OrderId(number), filled=number % 5 == 0)


def order_life(number: OrderId, *, filled: bool) -> Iterator[Message]:
    """Give one order from its intent to its end: bought and sold in turn."""
    selling = number % 10 == 0
    order = Order(
        account=DEMO,
        id=number,
        bot=BotId("maker"),
        instrument=COIN,
        leg=Leg.YES,
        side=Side.SELL if selling else Side.BUY,
        price=4_100 if selling else 4_000,
        size=10_000_000,
        type=OrderType.GTC,
        created_ns=BEGIN_NS + number * MS,
        fence=1,
    )
    yield DEMO, PlaceOrder(order=order)
    yield DEMO, OrderNamed(account=DEMO, order=number, identity=Identity(f"0x{number:064x}"))
    yield DEMO, OrderAccepted(account=DEMO, order=number)
    if not filled:
        yield DEMO, CancelOrders(account=DEMO, orders=(number,))
        yield DEMO, OrderCancelled(account=DEMO, order=number, reason=CancelReason.ASKED)
        return
    fill = FillId(f"fill-{number}")
    yield (
        DEMO,
        OrderFilled(
            account=DEMO,
            order=number,
            fill=fill,
            price=order.price,
            size=order.size,
            fee_micro=0,
            liquidity=Liquidity.MAKER,
            state=FillState.MATCHED,
        ),
    )
    yield DEMO, FillSettled(account=DEMO, fill=fill)


def build(path: Path, records: int) -> None:
    """Write a journal and its snapshots; they are those of an executor that live through it."""
    path.unlink(missing_ok=True)
    take_lease(path, "pitboss")
    live = executor()
    writer = JournalWriter(path, engine_id="pitboss", waits_when_full=True, synchronous="OFF")
    try:
        for account, message in messages():
            now_ns = BEGIN_NS + writer.seq * MS
            seq = writer.append(account, message, now_ns)
            if isinstance(message, PlaceOrder):
                live.adopt(message.order, now_ns)
            elif isinstance(message, Event):
                live.receive(message, now_ns)
            if seq % SNAPSHOT_EVERY == 0 and seq < records:
                writer.snapshot(f"executor:{DEMO}", live.snapshot(), seq)
                writer.snapshot(BOTS, msgspec.msgpack.encode({}), seq)
            if seq >= records:
                return
    finally:
        writer.close()


def forget_snapshots(path: Path) -> None:
    """Take a journal's snapshots away: what a start without them would cost."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM snapshots")


def peak_mb() -> float:
    """Return the most memory this program ever had; `ru_maxrss` would count who started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(path: Path) -> dict[str, float]:
    """Recover, and say how long it took and how much memory the process ever had."""
    fresh, started = executor(), time.perf_counter()
    cpu = time.process_time()
    found = recover(path, {DEMO: fresh})
    fresh.recover((), BEGIN_NS + found.seq * MS)
    return {
        "seconds": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu,
        "records": found.records,
        "seq": found.seq,
        "peak_mb": peak_mb(),
        "cash_micro": fresh.ledger.state.cash_settled_micro,
    }


def rows(records: int = RECORDS) -> list[Row]:
    """Return the rows of the table: with snapshots, and without any."""
    path = OUT / "recovery.db"
    command = [sys.executable, "-m", "bench.recovery"]
    if run([*command, "build", str(path), str(records)]) is None:
        return []
    bounded = run([*command, "recover", str(path)])
    forget_snapshots(path)
    whole = run([*command, "recover", str(path)])
    path.unlink()
    if bounded is None or whole is None:
        return []
    if bounded["cash_micro"] != whole["cash_micro"]:
        raise SystemExit("NOT EQUAL: snapshots and the whole journal give different books")
    return [
        _row(f"recovery of {records:,} records", bounded["cpu_s"], 5, "s"),
        _row("its peak memory", bounded["peak_mb"], 150, "MB"),
        (
            "the same without snapshots",
            f"{whole['cpu_s']:.2f} s",
            f"{whole['peak_mb']:.0f} MB peak",
            "",
            "shown",
        ),
        _row("of which per 100,000 records", 1e5 * whole["cpu_s"] / whole["records"], 5, "s"),
    ]


def _row(name: str, mine: float, limit: float, unit: str) -> Row:
    goal = f"<= {limit} {unit}"
    return (name, f"{mine:,.2f} {unit}", f"{limit} {unit}", f"{mine / limit:.2f}", goal)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    if sys.argv[1] == "build":
        build(Path(sys.argv[2]), int(sys.argv[3]))
        sys.stdout.write("RESULT {}\n")
    elif sys.argv[1] == "recover":
        sys.stdout.write(f"RESULT {json.dumps(measure(Path(sys.argv[2])))}\n")
