"""The rows a fold works on: found in the state file when asked for, written back in batches."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

import msgspec

from engine.domain.fills import FillState, Liquidity, SizeSource
from engine.domain.instruments import Leg, Mode, Side
from engine.domain.orders import OrderState, OrderType
from engine.errors import StorageError


class OrderFold(msgspec.Struct, kw_only=True):
    """One row of `orders`."""

    account: str
    id: int
    mode: Mode
    bot: str
    instrument: str
    leg: Leg
    side: Side
    price: int
    size: int
    type: OrderType
    post_only: bool
    expires_ns: int | None
    created_ns: int
    identity: str | None = None
    state: OrderState = OrderState.PENDING
    filled: int = 0
    voided: int = 0
    fee_micro: int = 0
    reason: str = ""
    updated_ns: int
    seq: int
    decision: int = 0


class FillFold(msgspec.Struct, kw_only=True):
    """One row of `fills`."""

    account: str
    id: str
    mode: Mode
    order_id: int
    bot: str
    instrument: str
    leg: Leg
    side: Side
    price: int
    size: int
    value_micro: int | None
    fee_micro: int
    liquidity: Liquidity
    state: FillState
    source: SizeSource
    at_ns: int
    updated_ns: int
    seq: int


class PositionFold(msgspec.Struct, kw_only=True):
    """One row of `positions`."""

    account: str
    instrument: str
    leg: Leg
    mode: Mode
    settled: int = 0
    pending: int = 0
    bought: int = 0
    sold: int = 0
    spent_micro: int = 0
    received_micro: int = 0
    fee_micro: int = 0
    unvalued: int = 0
    updated_ns: int
    seq: int


class ListingFold(msgspec.Struct, kw_only=True):
    """One row of `listings`."""

    instrument: str
    value_divisor: int | None = None
    payout_yes_micro: int | None = None
    seq: int


class NewsFold(msgspec.Struct, kw_only=True):
    """One row of `early_news`."""

    account: str
    fill: str
    state: FillState
    seq: int


class CashFold(msgspec.Struct, kw_only=True):
    """One row of `cash_moves`."""

    account: str
    seq: int
    mode: Mode
    currency: str
    amount_micro: int
    at_ns: int


_KEYS: dict[type[msgspec.Struct], tuple[str, tuple[str, ...]]] = {
    OrderFold: ("orders", ("account", "id")),
    FillFold: ("fills", ("account", "id")),
    PositionFold: ("positions", ("account", "instrument", "leg")),
    ListingFold: ("listings", ("instrument",)),
    NewsFold: ("early_news", ("account", "fill")),
    CashFold: ("cash_moves", ("account", "seq")),
}
TABLES = tuple(table for table, _ in _KEYS.values())
"""What is deleted before a rebuild."""

Key = tuple[str | int, ...]
Row = TypeVar("Row", bound=msgspec.Struct)


class Rows:
    """All rows of one engine, cached since the last `flush`."""

    def __init__(
        self, connection: sqlite3.Connection, engine_id: str, modes: Mapping[str, Mode]
    ) -> None:
        self._connection = connection
        self._engine_id = engine_id
        self._modes = modes
        self._cache: dict[type[msgspec.Struct], dict[Key, Any]] = {kind: {} for kind in _KEYS}
        self._dirty: dict[type[msgspec.Struct], dict[Key, Any]] = {kind: {} for kind in _KEYS}

    def mode(self, account: str) -> Mode:
        """Return an account's mode. Raises StorageError where the engine never registered it."""
        mode = self._modes.get(account)
        if mode is None:
            raise StorageError(
                f"account {account!r} stands in the journal but not in the state file; start the "
                "engine once, it registers its accounts"
            )
        return mode

    def find(self, kind: type[Row], *key: str | int) -> Row | None:
        """Return the row with this key, None where there is none."""
        cache = self._cache[kind]
        found: Row | None
        if key in cache:
            found = cache[key]
            return found
        table, names = _KEYS[kind]
        columns = kind.__struct_fields__
        row = self._connection.execute(
            f"SELECT {', '.join(columns)} FROM {table} WHERE engine_id = ? AND "  # noqa: S608 our own names
            + " AND ".join(f"{name} = ?" for name in names),
            (self._engine_id, *key),
        ).fetchone()
        found = None if row is None else _row(kind, row)
        cache[key] = found
        return found

    @staticmethod
    def key_of(row: msgspec.Struct) -> Key:
        """Return what a row is found by."""
        return tuple([getattr(row, name) for name in _KEYS[type(row)][1]])

    def put(self, row: msgspec.Struct) -> None:
        """Take a new or changed row."""
        kind, key = type(row), self.key_of(row)
        self._cache[kind][key] = self._dirty[kind][key] = row

    def drop(self, news: NewsFold) -> None:
        """Forget early news that has been used."""
        key = (news.account, news.fill)
        self._cache[NewsFold][key] = None
        self._dirty[NewsFold].pop(key, None)
        self._connection.execute(
            "DELETE FROM early_news WHERE engine_id = ? AND account = ? AND fill = ?",
            (self._engine_id, *key),
        )

    def flush(self) -> None:
        """Write what changed, inside the caller's transaction, and keep nothing in memory."""
        for kind, dirty in self._dirty.items():
            columns = ("engine_id", *kind.__struct_fields__)
            self._connection.executemany(
                f"INSERT OR REPLACE INTO {_KEYS[kind][0]} ({', '.join(columns)}) "  # noqa: S608 our own names
                f"VALUES ({', '.join('?' * len(columns))})",
                [(self._engine_id, *msgspec.structs.astuple(row)) for row in dirty.values()],
            )
            dirty.clear()
            self._cache[kind].clear()


def _row(kind: type[Row], row: tuple[Any, ...]) -> Row:
    return msgspec.convert(dict(zip(kind.__struct_fields__, row, strict=True)), kind, strict=False)


# -- many rows per statement -----------------------------------------------------------------------
# A busy engine thread does not slow a writing one to a row per switch.
#
# SQLite gives Python's lock back for every statement that it runs, and a thread that wants the lock
# again waits for as long as another one may keep it. So rows go in by hundreds where there are so
# many, then by tens, and only a rest one by one. No more at once: while the values of a statement
# are handed over, nobody else runs, and a trading loop must not feel that.

ROWS = (500, 50, 5)
"""Rows per statement, while there are so many. 500 decisions (12 columns) take 0.6 ms in all, of
which handing over is a part. SQLite takes 32,766 variables."""


class Bulk:
    """One INSERT: what stands before the values, and behind them (for example ON CONFLICT)."""

    def __init__(self, begins: str, columns: int, ends: str = "") -> None:
        row = f" ({','.join('?' * columns)})"
        self._one = begins + row + ends
        self._many = [(count, begins + ",".join([row] * count) + ends) for count in ROWS]

    def write(self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert the rows in their order, inside the caller's transaction."""
        first = 0
        for count, statement in self._many:
            while len(rows) - first >= count:
                block = rows[first : first + count]
                connection.execute(statement, tuple(chain.from_iterable(block)))
                first += count
        connection.executemany(self._one, rows[first:])
