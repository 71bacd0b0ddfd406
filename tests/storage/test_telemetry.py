from __future__ import annotations

from sqlite3 import Connection
from typing import Any

from engine.domain.decisions import Unit
from engine.domain.instruments import Mode
from storage.telemetry import HoldingSeen, LimitUse, add_pnl, put_holdings, put_limit_use


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


def test_pnl_is_summed_by_bot_over_what_was_held_and_what_is(connection: Connection) -> None:
    flat = {"yes_settled": 0, "yes_cost_micro": 0, "value_micro": 0}
    put_holdings(connection, "e1", [seen(), seen("m2", **flat), seen("m3", bot="other")], 100)
    put_holdings(connection, "e2", [seen()], 100)
    add_pnl(connection, "e1", 150)
    found = connection.execute(
        "SELECT engine_id, bot, at_ns, realised_micro, fees_micro, unrealised_micro FROM pnl "
        "ORDER BY bot"
    ).fetchall()
    assert found == [
        ("e1", "maker", 150, 1_400, 200, 1_000_000),
        ("e1", "other", 150, 700, 100, 1_000_000),
    ]


def test_use_of_limits_is_what_was_told_last(connection: Connection) -> None:
    def told(*uses: LimitUse, now_ns: int) -> None:
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
    told(orders, bot, now_ns=1)
    told(orders, now_ns=2)
    found = connection.execute("SELECT name, subject, used, updated_ns FROM limit_use").fetchall()
    assert found == [("open_orders_max", "", 3, 2)]
