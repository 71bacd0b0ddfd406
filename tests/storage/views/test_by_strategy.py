from __future__ import annotations

from decimal import Decimal
from sqlite3 import Connection
from typing import Any

import msgspec

from engine.domain.commands import PauseBot, ResumeBot, StartBot
from engine.domain.fills import FillState, Liquidity, SizeSource
from engine.domain.instruments import BotId, InstrumentId, Leg, Mode, Side
from engine.domain.telemetry import BotStatus
from storage.database import Table
from storage.journal import Record
from storage.live import HoldingSeen, add_pnl, put_bots, put_holdings
from storage.projected import PROJECTED, fold_into
from storage.projected.fills import FillRow
from storage.projected.listings import ListingRow
from storage.projected.positions import PositionRow
from storage.settings import save
from storage.views.by_strategy import by_strategy, last_activated

M1 = InstrumentId("demo:m1")
LARGE = 6 * 10**18
"""Two of these are more than an int64 holds."""


def bot(name: str, strategy: str, mode: Mode, state: str = "RUNNING") -> BotStatus:
    return BotStatus(
        name=BotId(name), mode=mode, account=mode.value, strategy=strategy, state=state, error="",
        capital_micro=1, evaluations=0,
    )  # fmt: skip


def made(connection: Connection, name: str, mode: Mode, received: int, fee: int = 0) -> None:
    """Write that a bot sold all it had of a market for so much."""
    row = PositionRow(
        account=mode.value, instrument=M1, leg=Leg.YES, bot=name, mode=mode, settled=0, pending=0,
        cost_micro=0, received_micro=received, spent_micro=0, fee_micro=fee, updated_ns=1, seq=1,
    )  # fmt: skip
    PROJECTED[PositionRow].rows.put(connection, "e1", [row], "INSERT OR REPLACE")
    listing = ListingRow(instrument=M1, value_divisor=10_000, one_token=10**6, seq=1)
    PROJECTED[ListingRow].rows.put(connection, "e1", [listing], "INSERT OR REPLACE")


def filled(connection: Connection, name: str, mode: Mode, at_ns: int, **more: Any) -> None:
    fields: dict[str, Any] = {
        "account": mode.value, "id": f"{name}{at_ns}", "mode": mode, "order_id": 1, "bot": name,
        "instrument": M1, "leg": Leg.YES, "side": Side.BUY, "price": 1, "size": 1,
        "value_micro": 1, "fee_micro": 0, "liquidity": Liquidity.MAKER,
        "state": FillState.CONFIRMED, "source": SizeSource.TAPED, "at_ns": at_ns,
        "updated_ns": 1, "seq": 1,
    }  # fmt: skip
    Table(FillRow, "fills").put(connection, "e1", [FillRow(**(fields | more))])


def test_bots_of_a_strategy_are_summed_and_modes_never(connection: Connection) -> None:
    seen = (
        bot("a", "grid", Mode.PAPER), bot("b", "grid", Mode.PAPER, "PAUSED"),
        bot("c", "grid", Mode.LIVE), bot("d", "dca", Mode.PAPER, "STOPPED"),
    )  # fmt: skip
    put_bots(connection, "e1", seen, 1)
    for name, mode, received, fee in (
        ("a", Mode.PAPER, 3_000_000, 500_000), ("b", Mode.PAPER, -1_000_000, 250_000),
        ("c", Mode.LIVE, 9_000_000, 0), ("manual", Mode.LIVE, 70_000_000, 0),
    ):  # fmt: skip
        made(connection, name, mode, received, fee)
    filled(connection, "a", Mode.PAPER, 50)
    filled(connection, "b", Mode.PAPER, 40)
    filled(connection, "b", Mode.PAPER, 30, state=FillState.FAILED)
    filled(connection, "manual", Mode.LIVE, 20)
    dca, live, paper = by_strategy(connection, "e1")
    assert (dca["strategy"], dca["running"], dca["stopped"]) == ("dca", 0, 1)
    assert (dca["total"], dca["fills"], dca["first_ns"]) == (0, 0, None)
    assert (live["mode"], live["total"], live["fills"]) == ("live", 9, 0)
    assert (paper["running"], paper["stopped"], paper["fills"]) == (1, 1, 2)
    assert (paper["realised"], paper["fees"]) == (2, Decimal("0.75"))
    assert (paper["total"], paper["first_ns"]) == (Decimal("1.25"), 40)


def test_a_bot_that_changed_its_mode_counts_what_it_made_in_each(connection: Connection) -> None:
    put_bots(connection, "e1", (bot("a", "grid", Mode.LIVE),), 1)
    made(connection, "a", Mode.PAPER, 5_000_000)
    live, paper = by_strategy(connection, "e1")
    assert (live["running"], live["total"]) == (1, 0)
    assert (paper["running"], paper["stopped"], paper["total"]) == (0, 1, 5)


def test_a_first_fill_that_no_mark_was_written_for_is_no_loss_of_all_it_cost(
    connection: Connection,
) -> None:
    put_bots(connection, "e1", (bot("a", "grid", Mode.PAPER),), 1)
    made(connection, "a", Mode.PAPER, 0)
    connection.execute("UPDATE positions SET settled = 100, cost_micro = 94, spent_micro = 94")
    (row,) = by_strategy(connection, "e1")
    assert (row["realised"], row["unrealised"], row["total"]) == (0, None, None)
    add_pnl(connection, "e1", 5)
    assert not connection.execute("SELECT * FROM pnl").fetchall(), "no point of it is kept"
    held = HoldingSeen(
        account="paper", instrument=M1, mode=Mode.PAPER, currency="", bot="a", yes_settled=100,
        yes_pending=0, no_settled=0, no_pending=0, yes_cost_micro=94, no_cost_micro=0,
        value_micro=0, mid2=None, marked_ns=None, realised_micro=0, fees_micro=0,
        payout_yes_micro=None,
    )  # fmt: skip
    put_holdings(connection, "e1", [held], 100)
    (row,) = by_strategy(connection, "e1")
    assert row["total"] == Decimal("-0.000094"), "a book without two sides is worth nothing yet"


def test_sums_beyond_an_int64_are_exact(connection: Connection) -> None:
    put_bots(connection, "e1", (bot("a", "grid", Mode.PAPER), bot("b", "grid", Mode.PAPER)), 1)
    made(connection, "a", Mode.PAPER, LARGE + 1)
    made(connection, "b", Mode.PAPER, LARGE + 2)
    (row,) = by_strategy(connection, "e1")
    assert row["realised"] == Decimal(2 * LARGE + 3).scaleb(-6)


def test_a_removed_bot_counts_by_its_last_strategy(connection: Connection) -> None:
    account = {"name": "paper", "venue": "demo", "mode": "paper", "starting_cash": 1e4}
    gone = {"name": "gone", "strategy": "grid", "account": "paper", "capital": 10.0}
    put_bots(connection, "e1", (bot("a", "grid", Mode.PAPER),), 1)
    for base, bots in enumerate(({"gone": gone}, {"gone": None})):
        save(
            connection, engine_id="e1", who="ann", base_version=base, now_ns=base + 1,
            diff={"accounts": {"paper": account}, "bots": bots},
        )  # fmt: skip
    assert [row["removed"] for row in by_strategy(connection, "e1")] == [0]
    made(connection, "gone", Mode.PAPER, 5_000_000, 1_000_000)
    filled(connection, "gone", Mode.PAPER, 50)
    rows = [row for row in by_strategy(connection, "e1") if row["removed"]]
    assert [(row["running"], row["stopped"], row["removed"]) for row in rows] == [(1, 0, 1)]
    assert (rows[0]["total"], rows[0]["fills"]) == (4, 1)


def test_a_strategy_was_activated_when_a_bot_of_it_was_last_started(connection: Connection) -> None:
    put_bots(connection, "e1", (bot("a", "grid", Mode.PAPER), bot("b", "dca", Mode.PAPER)), 1)
    fold = fold_into(connection, "e1", {})
    for seq, command in enumerate(
        (
            StartBot(bot=BotId("a")),
            StartBot(bot=BotId("gone")),
            ResumeBot(bot=BotId("a")),
            PauseBot(bot=BotId("a")),
            PauseBot(bot=BotId("b")),
        ),
        1,
    ):
        kind, body = type(command).__name__, msgspec.msgpack.encode(command)
        fold.take(Record(seq=seq, at_ns=100 + seq, account="", kind=kind, body=body))
    fold.rows.flush()
    assert last_activated(connection, "e1") == {"grid": 103}
