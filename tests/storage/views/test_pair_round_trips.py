"""Round trips of a pair: fees in what it trades, what is less than a lot, gifts and void fills."""

from __future__ import annotations

from decimal import Decimal
from sqlite3 import Connection
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.assets import Money
from engine.domain.events import CashMoved, HoldingTransferred, InstrumentListed
from engine.domain.fills import FillState
from engine.domain.instruments import MANUAL, BotId, Leg, Mode, Side
from storage.views import Row
from storage.views.bets import closed_bets
from storage.views.round_trips import closed_round_trips
from tests.storage.books import DEMO
from tests.storage.test_asset_fees import BNB, BTC, PAIR, Both

MICRO = Decimal("0.000001")
DONE = FillState.CONFIRMED
PRICE = 10_000  # of a whole one; each increment is worth 0.1


@pytest.fixture
def both(connection: Connection) -> Both:
    return Both(connection, "e1")


def closed(both: Both) -> list[Row]:
    return closed_round_trips(both.books.connection, "e1", mode=Mode.DEMO)


def of_lots(both: Both, lot: int) -> None:
    """Let the pair be traded in lots of so many increments."""
    both.books.tell(InstrumentListed(instrument=msgspec.structs.replace(PAIR, lot=lot)))


def test_a_pair_that_is_bought_and_sold_is_one_round_trip_and_no_bet(both: Both) -> None:
    both.fill(1, None, state=DONE)
    both.fill(2, None, size=100)
    both.end(2, void=False)
    assert closed(both) == []
    both.books.at_ns += 60
    both.fill(3, None, size=354, side=Side.SELL)
    (trip,) = closed(both)
    assert (trip["side"], trip["result"], trip["bot"]) == ("long", "closed", "maker")
    assert (trip["size"], trip["entry"], trip["exit"]) == (Decimal("0.00354"), PRICE, PRICE)
    assert (trip["fills"], trip["held_ns"], trip["net"]) == (3, 60, 0)
    assert closed_bets(both.books.connection, "e1", mode=Mode.DEMO) == []


def test_a_fee_in_what_is_traded_brings_less_and_is_its_worth(both: Both) -> None:
    both.fill(1, Money(BTC, 4_000), state=DONE)  # four increments of 1,000 units
    both.fill(2, None, size=250, side=Side.SELL, state=DONE)
    (trip,) = closed(both)
    assert (trip["size"], trip["fee"]) == (Decimal("0.0025"), Decimal("0.4"))
    assert trip["net"] == Decimal("-0.4")


def test_less_than_a_lot_is_flat_and_goes_into_the_next_one_at_what_it_cost(both: Both) -> None:
    of_lots(both, 10)
    both.fill(1, Money(BTC, 4_000), size=60, state=DONE)
    both.fill(2, None, size=50, side=Side.SELL, state=DONE)
    (trip,) = closed(both)
    assert (trip["result"], trip["net"]) == ("closed", Decimal("-0.4"))
    both.fill(3, None, size=44, state=DONE)
    both.fill(4, None, size=50, side=Side.SELL, state=DONE)
    newest, _ = sorted(closed(both), key=lambda row: -row["number"])
    assert (newest["size"], newest["fills"], newest["net"]) == (Decimal("0.0005"), 2, 0)
    (left,) = both.books.connection.execute("SELECT left, left_micro FROM round_trips_begun")
    assert tuple(left) == (0, 0)


def test_a_gift_ends_the_givers_and_begins_the_takers(both: Both) -> None:
    both.fill(1, None, size=100, state=DONE)
    both.books.tell(
        HoldingTransferred(
            account=DEMO, instrument=PAIR.id, leg=Leg.BASE, size=100, price=1_100_000,
            from_owner=BotId("maker"), to_owner=MANUAL, who="ann",
        ),
        CashMoved(
            account=DEMO, currency="pUSD", amount_micro=20_000_000, instrument=PAIR.id,
            leg=Leg.BASE, tokens=200, owner=MANUAL,
        ),
    )  # fmt: skip
    (trip,) = closed(both)
    assert (trip["bot"], trip["net"]) == ("maker", 1)
    both.fill(2, None, size=300, side=Side.SELL, bot="manual", state=DONE)
    newest = next(row for row in closed(both) if row["bot"] == "manual")
    assert (newest["entry"], newest["net"]) == (Decimal(31) * 100_000 / 300, -1)


traded = st.tuples(
    st.sampled_from((Side.BUY, Side.SELL)), st.integers(1, 300),
    st.sampled_from((None, "pays", "third")), st.sampled_from((DONE, FillState.MATCHED, "void")),
)  # fmt: skip


@pytest.mark.long
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(traded, max_size=10), st.sampled_from((1, 7, 100)))
def test_all_round_trips_of_a_pair_are_what_its_position_paid_and_got(
    connection: Connection, moves: list[Any], lot: int
) -> None:
    connection.rollback()
    for name in (
        "positions", "fills", "orders", "cash_moves", "listings", "early_news", "round_trips",
        "round_trips_begun", "bets",
    ):  # fmt: skip
        connection.execute(f"DELETE FROM {name}")
    both, held = Both(connection, "e1"), 0
    of_lots(both, lot)
    for number, (side, size, pays, end) in enumerate(moves, 1):
        sold = min(size, held) if side is Side.SELL else size
        if not sold:
            continue
        fee = None if pays is None else Money(BTC if pays == "pays" else BNB, 1_700)
        state = FillState.MATCHED if end == "void" else end
        both.fill(number, fee, side=side, size=sold, state=state)
        if end == "void":
            both.end(number, void=True)
        (held,) = connection.execute("SELECT sum(settled + pending) FROM positions").fetchone()
    made = connection.execute(
        "SELECT coalesce(sum(exit_micro - entry_micro - fee_micro), 0) FROM "
        "(SELECT iif(long, exit_micro, entry_micro) AS exit_micro, "
        "iif(long, entry_micro, exit_micro) AS entry_micro, fee_micro FROM round_trips)"
    ).fetchone()
    (left,) = connection.execute(
        "SELECT coalesce(sum(left_micro), 0) FROM round_trips_begun"
    ).fetchone()
    paid = connection.execute(
        "SELECT coalesce(sum(received_micro - spent_micro - fee_micro), 0) FROM positions"
    ).fetchone()
    assert made[0] - left == paid[0]
    sizes = connection.execute(
        "SELECT (SELECT coalesce(sum(size), 0) FROM round_trips) + "
        "(SELECT coalesce(sum(left), 0) FROM round_trips_begun), "
        "(SELECT coalesce(sum(settled + pending), 0) FROM positions)"
    ).fetchone()
    assert sizes[0] == sizes[1]
