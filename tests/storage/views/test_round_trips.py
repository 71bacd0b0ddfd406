"""Round trips of a perpetual: each way from flat to flat, and together all that was made."""

from __future__ import annotations

from decimal import Decimal
from sqlite3 import Connection
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.fills import FillState
from engine.domain.instruments import Mode
from engine.domain.products.funding import HOUR_NS
from storage.views import Row
from storage.views.bets import BOTS, BY_HAND, bettors, closed_bets
from storage.views.round_trips import KEY, closed_round_trips, round_trip_sums
from tests.storage.test_perpetual import OWNERS, PERPETUAL, Both, fills, fresh, paid

__all__ = ["fresh"]

DONE = FillState.CONFIRMED
TREND = OWNERS[0]
MICRO = Decimal("0.000001")


def closed(both: Both, **more: Any) -> list[Row]:
    return closed_round_trips(both.books.connection, "e1", mode=Mode.DEMO, **more)


def rows(both: Both, table: str = "round_trips") -> list[dict[str, Any]]:
    cursor = both.books.connection.execute(f"SELECT * FROM {table} ORDER BY rowid")
    names = [name for name, *_ in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def test_a_long_says_entry_exit_funding_fees_what_it_made_and_how_long_it_was_held(
    connection: Connection,
) -> None:
    both = Both(connection)
    both.fill(1, TREND, 300, 650_000, DONE)
    both.fill(2, TREND, 100, 654_000, DONE)
    both.books.at_ns += HOUR_NS
    both.fund(-500, None)
    both.fill(3, TREND, -400, 660_000, DONE)
    (trip,) = closed(both)
    assert (trip["side"], trip["result"], trip["bot"]) == ("long", "closed", "trend")
    assert (trip["size"], trip["entry"], trip["exit"]) == (Decimal("0.004"), 65_100, 66_000)
    assert (trip["fee"], trip["funding"]) == (6 * MICRO, -500 * MICRO)
    assert trip["net"] == Decimal("0.004") * 900 - 506 * MICRO
    assert (trip["fills"], trip["held_ns"]) == (3, HOUR_NS)
    (sums,) = round_trip_sums(connection, "e1", mode=Mode.DEMO)
    assert (sums.closed, sums.gained, sums.net, sums.open) == (1, 1, trip["net"], 0)
    assert closed_bets(connection, "e1", mode=Mode.DEMO) == []
    assert bettors(connection, "e1", Mode.DEMO) == ["trend"]


def test_a_trade_through_flat_ends_a_short_and_begins_a_long_with_its_part_of_the_fee(
    connection: Connection,
) -> None:
    both = Both(connection)
    both.fill(1, TREND, -100, 650_000, DONE)
    both.fill(9, TREND, 150, 640_000, DONE)
    ended, begun = rows(both)
    assert (ended["long"], ended["result"], ended["fee_micro"]) == (0, "closed", 1 + 6)
    assert (begun["long"], begun["result"], begun["size"], begun["fee_micro"]) == (1, "open", 50, 3)
    (trip,) = closed(both)
    assert (trip["side"], trip["entry"], trip["exit"]) == ("short", 65_000, 64_000)
    assert trip["net"] == 1 - 7 * MICRO


def test_one_that_the_venue_closed_ended_in_a_liquidation(connection: Connection) -> None:
    both = Both(connection)
    both.fill(1, TREND, -100, 650_000, DONE)
    both.liquidate(70_000_000)
    (trip,) = closed(both)
    assert (trip["result"], trip["liquidated"], trip["exit"]) == ("liquidated", 100, 70_000)
    assert trip["net"] == -5 - (1 + 7) * MICRO


def test_a_transfer_ends_the_one_and_begins_the_others(connection: Connection) -> None:
    both = Both(connection)
    both.fill(1, TREND, -100, 650_000, DONE)
    both.give(100, 640_000)
    (trip,) = closed(both)
    assert (trip["bot"], trip["result"], trip["net"]) == ("trend", "closed", 1 - 1 * MICRO)
    both.books.at_ns += 1
    both.fill(2, OWNERS[1], 100, 630_000, DONE)
    newest, _ = closed(both)
    assert (newest["bot"], newest["side"], newest["net"]) == ("manual", "short", 1 - 2 * MICRO)
    assert [row["bot"] for row in closed(both, whose=BOTS)] == ["trend"]
    assert [row["bot"] for row in closed(both, whose=BY_HAND)] == ["manual"]
    before = tuple(newest[name] for name in KEY)
    assert [row["bot"] for row in closed(both, before=before)] == ["trend"]


def test_a_void_fill_leaves_a_round_trip_that_made_nothing(connection: Connection) -> None:
    both = Both(connection)
    both.fill(1, TREND, -100, 650_000, FillState.FAILED)
    (trip,) = closed(both)
    assert (trip["result"], trip["net"], trip["fills"]) == ("voided", 0, 0)


def test_funding_that_came_late_is_of_the_round_trip_that_was_open_at_its_stamp(
    connection: Connection,
) -> None:
    both = Both(connection)
    for number, size in enumerate((-100, 100, -50), 1):
        both.books.at_ns = number * HOUR_NS - 1
        both.fill(number, TREND, size, 650_000, DONE)
    both.fund(40, None)
    assert [row["funding_micro"] for row in rows(both)] == [40, 0]


@pytest.mark.long
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.one_of(fills, paid), max_size=12), st.integers(0, 900), st.integers(-1, 10**8))
def test_all_round_trips_of_an_owner_are_what_its_position_made(
    fresh: Any, moves: list[Any], given_away: int, value: int
) -> None:
    both = fresh()
    for number, move in enumerate(moves, 1):
        if len(move) == 2:
            both.fund(*move)
        else:
            both.fill(number, *move)
    if size := min(given_away, abs(both.ledger.owned(PERPETUAL.id, TREND).position)):
        both.give(size, 640_000)
    if value >= 0:
        both.liquidate(value)
    trips = rows(both)
    for position in rows(both, "positions"):
        mine = [trip for trip in trips if trip["bot"] == position["bot"]]
        flow = position["received_micro"] - position["spent_micro"]
        made = sum(_gross(trip) for trip in mine)
        assert (made, sum(trip["size"] for trip in mine)) == (flow, position["settled"])
        if mine:
            for name in ("fee_micro", "funding_micro"):
                assert sum(trip[name] for trip in mine) == position[name]
    for trip in trips:
        assert (trip["closed_ns"] is None) == (trip["size"] != 0) == (trip["result"] == "open")
        assert (trip["size"] >= 0) if trip["long"] else (trip["size"] <= 0)
    assert rows(both, "bets") == []


def _gross(trip: dict[str, Any]) -> int:
    made: int = trip["exit_micro"] - trip["entry_micro"]
    return made if trip["long"] else -made
