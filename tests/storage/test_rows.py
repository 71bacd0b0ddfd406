"""Rows by the thousand arrive whole, in order and as one by one."""

from __future__ import annotations

import sqlite3

import pytest

from storage.rows import ROWS, Bulk


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
