from __future__ import annotations

from sqlite3 import Connection
from typing import Any

import pytest
from msgspec.structs import replace

from engine.domain.catalog import GateWords, StrategyEntry, ValueUnit, ValueWords
from engine.domain.decisions import Unit
from engine.domain.instruments import AccountId, BotId, InstrumentId, Mode
from engine.domain.intents import ResidualReason
from engine.domain.rewards import Earning
from engine.domain.telemetry import (
    Approval,
    Approvals,
    BookTop,
    BotStatus,
    Capital,
    Earnings,
    EngineStatus,
    LockedMoney,
    ScopedLatch,
    WatchedMarket,
)
from engine.errors import StorageError
from storage.catalog import put_catalog, strategies
from storage.live import (
    EngineHeartbeat,
    HoldingSeen,
    LimitUse,
    account_report,
    books,
    engine_status,
    put_account_report,
    put_books,
    put_bots,
    put_engine,
    put_holdings,
    put_limit_use,
    watched_by,
)


def seen(instrument: str = "m1", **changes: Any) -> HoldingSeen:
    fields: dict[str, Any] = {
        "account": "demo",
        "instrument": instrument,
        "mode": Mode.DEMO,
        "currency": "pUSD",
        "bot": "maker",
        "yes_settled": 10,
        "yes_pending": 0,
        "no_settled": 0,
        "no_pending": 0,
        "yes_cost_micro": 4_000_000,
        "no_cost_micro": 0,
        "value_micro": 5_000_000,
        "mid2": 10_000,
        "marked_ns": 5,
        "realised_micro": 700,
        "fees_micro": 100,
        "payout_yes_micro": None,
    }
    return HoldingSeen(**(fields | changes))


def row(connection: Connection, columns: str) -> tuple[Any, ...]:
    found = connection.execute(f"SELECT {columns} FROM holdings").fetchall()
    assert len(found) == 1
    return tuple(found[0])


def test_a_holding_is_told_again_and_keeps_when_it_was_opened(connection: Connection) -> None:
    put_holdings(connection, "e1", [seen()], 100)
    put_holdings(connection, "e1", [seen(yes_settled=20, bot="")], 200)
    assert row(connection, "yes_settled, bot, opened_ns, updated_ns") == (20, "maker", 100, 200)


def test_what_is_flat_is_open_since_nothing_and_opens_anew(connection: Connection) -> None:
    put_holdings(connection, "e1", [seen()], 100)
    put_holdings(connection, "e1", [seen(yes_settled=0)], 200)
    assert row(connection, "opened_ns, realised_micro") == (None, 700)
    put_holdings(connection, "e1", [seen()], 300)
    assert row(connection, "opened_ns") == (300,)


def test_use_of_limits_is_what_was_told_last(connection: Connection) -> None:
    def put_uses(*uses: LimitUse, now_ns: int) -> None:
        put_limit_use(
            connection,
            "e1",
            account="demo",
            mode=Mode.DEMO,
            currency="pUSD",
            uses=uses,
            now_ns=now_ns,
        )

    orders = LimitUse(name="open_orders_max", used=3, limit_value=200, unit=Unit.COUNT)
    bot = LimitUse(name="exposure_bot_max", subject="maker", used=5, limit_value=9, unit=Unit.MICRO)
    put_uses(orders, bot, now_ns=1)
    put_uses(orders, now_ns=2)
    found = connection.execute("SELECT name, subject, used, updated_ns FROM limit_use").fetchall()
    assert found == [("open_orders_max", "", 3, 2)]


# -- what an engine says of itself, read as it was written -----------------------------------------


def test_the_status_is_read_as_it_was_written(connection: Connection) -> None:
    assert engine_status(connection, "e1") is None
    latch = ScopedLatch(
        account=AccountId("demo"), bot=BotId("maker"), instrument=None, who="ann", reason="r",
        at_ns=7,
    )  # fmt: skip
    status = EngineStatus(journal_seq=3, latches=(latch,), not_placing={"demo": ("blind",)})
    beat = EngineHeartbeat(
        state="RUNNING", heartbeat_ns=5, started_ns=1, pid=9, version="1", latched=False,
        status=status,
    )  # fmt: skip
    put_engine(connection, "e1", beat)
    assert engine_status(connection, "e1") == status


@pytest.mark.parametrize("text", ["", "[]", '{"feeds": {"polymarket": {"frames": 1}}}', None])
def test_a_status_of_another_program_is_no_empty_one(connection: Connection, text: str) -> None:
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("INSERT INTO engine_state VALUES ('e1', '', 1, 1, 1, '', 0, '{}')")
    if text is not None:
        connection.execute("UPDATE engine_state SET detail = ?", (text,))
    else:
        connection.execute("UPDATE engine_state SET detail = 5")
    with pytest.raises(StorageError, match=r"engine's status was written by another program"):
        engine_status(connection, "e1")


def test_books_are_found_by_account_and_market_and_go_when_nobody_watches(
    connection: Connection,
) -> None:
    tops = [
        BookTop(
            account=AccountId(account), instrument=InstrumentId(f"m{number}"), trusted=True,
            bids=((number, 1),), asks=(),
        )
        for account in ("a", "b")
        for number in range(40)
    ]  # fmt: skip
    put_books(connection, "e1", tops, 5)
    found = books(connection, "e1", [("a", "m39"), ("b", "m0"), ("c", "m0")])
    assert found == {("a", "m39"): tops[39], ("b", "m0"): tops[40]}
    put_books(connection, "e1", tops[:1], 6)
    assert books(connection, "e1", [("a", "m39")]) == {}


def test_a_bot_carries_every_market_it_watches(connection: Connection) -> None:
    watched = tuple(
        WatchedMarket(instrument=InstrumentId(f"m{number}"), left=(ResidualReason.RISK,))
        for number in range(100)
    )
    bot = BotStatus(
        name="maker", mode=Mode.DEMO, account="demo", strategy="market_maker", state="RUNNING",
        error="", capital_micro=1, evaluations=2, watching=watched,
    )  # fmt: skip
    put_bots(connection, "e1", (bot,), 5)
    assert watched_by(connection, "e1", "maker") == watched
    assert watched_by(connection, "e1", "other") == ()


def test_the_catalog_is_of_the_last_start(connection: Connection) -> None:
    made = StrategyEntry(
        parameters={"properties": {}},
        gates={"healthy": GateWords("h", "w")},
        values={"fair": ValueWords("fair value", ValueUnit.PRICE)},
    )
    assert strategies(connection, "e1") == {}
    put_catalog(connection, "e1", StrategyEntry, {"maker": made, "old": made}, 1)
    put_catalog(connection, "e1", StrategyEntry, {"maker": made}, 2)
    assert strategies(connection, "e1") == {"maker": made}
    connection.execute("UPDATE catalog SET body = '{}'")
    with pytest.raises(StorageError, match="restart the engine"):
        strategies(connection, "e1")


# -- where an account's money is: read as it was written, the last word alone --------------------

DEMO = AccountId("demo")
SEEN = Capital(
    account=DEMO, mode=Mode.DEMO, currency="pUSD", at_ns=5, settled_micro=100, open_micro=30,
    open_orders=2, doubtful_micro=9, doubtful_orders=1, pending_micro=7, redeemable_micro=11,
    redeeming_micro=0, pairs_micro=3, pairs_worth_micro=4, dust_micro=1, held_micro=2,
    deposits_micro=120, realised_micro=5, fees_micro=1,
    locks=(
        LockedMoney(instrument=InstrumentId("demo:m1"), closes_ns=9, orders_micro=39),
        LockedMoney(instrument=None, markets=4, held_micro=6),
    ),
)  # fmt: skip


def test_the_last_word_of_each_account_is_read_as_it_was_written(
    connection: Connection,
) -> None:
    assert account_report(connection, "e1", Capital, "demo") is None
    put_account_report(connection, "e1", SEEN)
    newer = replace(SEEN, at_ns=6, venue_micro=99, venue_ns=4, locks=())
    put_account_report(connection, "e1", newer)
    put_account_report(connection, "e1", replace(SEEN, account=AccountId("other")))
    assert account_report(connection, "e1", Capital, "demo") == newer
    assert account_report(connection, "e1", Capital, "other") == replace(
        SEEN, account=AccountId("other")
    )
    assert account_report(connection, "e2", Capital, "demo") is None


def test_free_cash_and_the_whole_follow_from_the_parts() -> None:
    assert (SEEN.free_micro, SEEN.tokens_micro, SEEN.whole_micro) == (61, 6, 124)


def test_approvals_keep_what_failed(connection: Connection) -> None:
    assert account_report(connection, "e1", Approvals, "demo") is None
    one = Approval(asset="pUSD", contract="exchange", address="0x1", approved=False)
    report = Approvals(account=DEMO, approvals=(one,), told_ns=None, failed="no answer")
    put_account_report(connection, "e1", report)
    assert account_report(connection, "e1", Approvals, "demo") == report


def test_what_orders_earn_is_read_with_the_venues_own_word(connection: Connection) -> None:
    assert account_report(connection, "e1", Earnings, "demo") is None
    one = Earning(order=7, earns=True, said="inside the band", daily_micro=5)
    report = Earnings(
        account=DEMO, currency="pUSD", at_ns=5, orders=(one,), scoring={7: False}, scoring_ns=4
    )
    put_account_report(connection, "e1", replace(report, scoring={}, scoring_ns=None))
    put_account_report(connection, "e1", report)
    assert account_report(connection, "e1", Earnings, "demo") == report
