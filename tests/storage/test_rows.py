"""Rows by the thousand arrive whole, in order and as one by one."""

from __future__ import annotations

import sqlite3
from enum import StrEnum
from pathlib import Path

import msgspec
import pytest

from engine.domain.instruments import Leg, Mode
from engine.domain.instruments import Side as OrderSide
from engine.domain.orders import OrderState, OrderType
from engine.errors import BadInput
from storage.database import ROWS, Bulk, Table, transaction
from storage.fold import Rows
from storage.projected import PROJECTED
from storage.projected.orders import OrderRow


def table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, n INTEGER)")
    return connection


@pytest.mark.parametrize("count", [0, 1, *(n + more for n in ROWS for more in (-1, 0, 1)), 5_555])
def test_every_row_arrives_once(count: int) -> None:
    rows = [(number, f"row {number}", 1) for number in range(count)]
    connection = table()
    Bulk("INSERT INTO t VALUES", 3).write(connection, rows)
    assert connection.execute("SELECT * FROM t ORDER BY a").fetchall() == rows


def test_of_rows_with_one_key_the_last_one_stands() -> None:
    rows = [(number % 7, f"row {number}", number) for number in range(ROWS[0] + ROWS[1] + 3)]
    ends = " ON CONFLICT (a) DO UPDATE SET b = excluded.b, n = excluded.n"
    connection = table()
    Bulk("INSERT INTO t VALUES", 3, ends).write(connection, rows)
    last = {row[0]: row for row in rows}
    assert connection.execute("SELECT * FROM t ORDER BY a").fetchall() == sorted(last.values())


def test_a_row_that_is_refused_refuses_its_statement() -> None:
    rows = [(number, "", 0) for number in range(ROWS[2])]
    with pytest.raises(sqlite3.IntegrityError):
        Bulk("INSERT INTO t VALUES", 3).write(table(), [*rows, rows[0]])


class Side(StrEnum):
    BUY = "buy"


class One(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    side: Side
    legs: tuple[str, ...] = msgspec.field(name="body")
    whole: bool
    at_ns: int | None


ONES = Table(One, "ones")
WRITTEN = One(name="a", side=Side.BUY, legs=("yes", "no"), whole=True, at_ns=None)


def ones() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE TABLE ones (engine_id TEXT, name, side, body, whole BOOLEAN, at_ns, run INTEGER, "
        "PRIMARY KEY (engine_id, name))"
    )
    ONES.put(connection, "e1", [WRITTEN], run=7)
    return connection


def test_a_row_is_read_as_it_was_written() -> None:
    connection = ones()
    assert ONES.one(connection, "engine_id = ? AND run = ?", ("e1", 7)) == WRITTEN
    assert ONES.one(connection, "engine_id = ?", ("e2",)) is None
    later = msgspec.structs.replace(WRITTEN, at_ns=5)
    ONES.put(connection, "e1", [later], run=8)
    assert ONES.all(connection, "run = :run", {"run": 8}) == [later]
    assert connection.execute("SELECT body FROM ones").fetchall() == [('["yes","no"]',)]


@pytest.mark.parametrize(
    ("column", "value"),
    [("name", 5), ("side", "hold"), ("body", "["), ("body", "[1]"), ("whole", 2), ("at_ns", 1.5)],
)
def test_a_damaged_cell_is_refused(column: str, value: object) -> None:
    connection = ones()
    connection.execute(f"UPDATE ones SET {column} = ?", (value,))
    with pytest.raises(BadInput, match=r"^the row cannot be read: "):
        ONES.one(connection, "engine_id = ?", ("e1",), "the row")
    with pytest.raises(BadInput, match=r"^it cannot be read: "):
        ONES.all(connection, "engine_id = ?", ("e1",))


FRAME = 4096 + 24
"""Bytes of a page in the write-ahead log."""


def order(number: int, state: OrderState, now_ns: int) -> OrderRow:
    return OrderRow(
        account="a", id=number, mode=Mode.DEMO, bot="b", instrument=f"demo:{number % 7}",
        leg=Leg.YES, side=OrderSide.BUY, price=500, size=10, type=OrderType.GTC, post_only=True,
        expires_ns=None, created_ns=number, identity=f"0x{number:064x}", state=state,
        updated_ns=now_ns, seq=number,
    )  # fmt: skip


def test_an_order_that_moved_costs_its_own_page_and_those_of_its_state(
    connection: sqlite3.Connection, state: Path
) -> None:
    rows = Rows(connection, "e1", {"a": Mode.DEMO}, PROJECTED)
    with transaction(connection):
        for number in range(1, 3_001):
            rows.put(order(number, OrderState.OPEN, 1))
        rows.flush()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with transaction(connection):
        rows.put(order(1_500, OrderState.CANCELLED, 2))
        rows.flush()
    written = state.with_name(state.name + "-wal").stat().st_size
    assert (written - 32) // FRAME <= 3
    kept = rows.find(OrderRow, "a", 1_500)
    assert kept is not None
    assert (kept.state, kept.updated_ns, kept.instrument) == (OrderState.CANCELLED, 2, "demo:2")
