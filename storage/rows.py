"""Rows: how one is read and judged, and written; many per statement, and again while folding.

A table's rows are structs: a field is a column, a field of a compound type is JSON in it. Any cell
may be damaged, by a disk or a foreign hand; what cannot be read is `BadInput` and never a guess.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.inspect import (
    BoolType,
    BytesType,
    EnumType,
    FloatType,
    IntType,
    NoneType,
    StrType,
    UnionType,
    type_info,
)

from engine.domain.events import CashKind
from engine.domain.fills import FillState, Liquidity, SizeSource
from engine.domain.instruments import Leg, Mode, Side
from engine.domain.orders import OrderState, OrderType
from engine.errors import BadInput, BrokenInvariant, StorageError
from storage.bets import BetFold

WHY_LENGTH_MAX = 300
"""How much is told of why a row cannot be read: it may quote what somebody planted there."""

_SCALARS = (BytesType, EnumType, FloatType, IntType, NoneType, StrType)

RowType = TypeVar("RowType", bound=msgspec.Struct)
SqlValues = Sequence[Any] | Mapping[str, Any]


def upsert(key: Iterable[str], moves: Iterable[str]) -> str:
    """Return the end of an INSERT that changes these columns alone of a row that is there.

    REPLACE would take the row and its entry in every index out and put them in anew: whole pages.
    """
    changes = ", ".join(f"{name} = excluded.{name}" for name in moves)
    return f" ON CONFLICT ({', '.join(('engine_id', *key))}) DO UPDATE SET {changes}"


def insert(
    connection: sqlite3.Connection,
    table: str,
    /,
    *,
    verb: str = "INSERT",
    ends: str = "",
    **cells: Any,
) -> sqlite3.Cursor:
    """Write one row, column by column, inside the caller's transaction; see `Table.put`."""
    marks = ", ".join("?" * len(cells))
    return connection.execute(
        f"{verb} INTO {table} ({', '.join(cells)}) VALUES ({marks})" + ends, tuple(cells.values())
    )


def keep_only(
    connection: sqlite3.Connection, table: str, engine_id: str, columns: str, keys: Iterable[Any]
) -> None:
    """Delete an engine's rows but those with one of `keys`, by one column or by two."""
    one, many = columns.count(",") == 0, list(keys)
    value = "value" if one else "value ->> 0, value ->> 1"
    connection.execute(
        f"DELETE FROM {table} WHERE engine_id = ? AND ({columns}) NOT IN "  # noqa: S608 our own words
        f"(SELECT {value} FROM json_each(?))",
        (engine_id, msgspec.json.encode(many).decode()),
    )


class Table(Generic[RowType]):
    """The rows of one table as structs of one kind. `columns` are their names, for a SELECT.

    `read_as` says by which expression a column is read that is not kept as it is.
    """

    def __init__(
        self, kind: type[RowType], name: str, read_as: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        fields = msgspec.structs.fields(kind)
        self._kind = kind
        self.name = name
        self._names = tuple(field.encode_name for field in fields)
        self.columns = ", ".join(read_as.get(one, one) for one in self._names)
        self._flags = []
        self._json = {}
        for place, field in enumerate(fields):
            info = type_info(field.type)
            if isinstance(info, BoolType):
                self._flags.append(place)
            elif not all(
                isinstance(one, _SCALARS)
                for one in (info.types if isinstance(info, UnionType) else (info,))
            ):
                self._json[place] = msgspec.json.Decoder(field.type).decode
        self._encode = msgspec.json.Encoder().encode

    def read(self, row: Sequence[Any], what: str = "it") -> RowType:
        """Return `columns` as what they are. Raises BadInput where a cell cannot be."""
        cells = dict(zip(self._names, row, strict=True))
        try:
            for place, decode in self._json.items():
                cells[self._names[place]] = decode(str(row[place]))
            for place in self._flags:
                if row[place] in (0, 1):
                    cells[self._names[place]] = bool(row[place])
            return msgspec.convert(cells, self._kind)
        except (ValueError, RecursionError) as error:  # of msgspec, of an encoding; nested too deep
            raise BadInput(f"{what} cannot be read: {str(error)[:WHY_LENGTH_MAX]}") from error

    def all(self, connection: sqlite3.Connection, where: str, values: SqlValues) -> list[RowType]:
        """Return the rows that a WHERE gives, in its order. Raises BadInput for a damaged one."""
        query = f"SELECT {self.columns} FROM {self.name} WHERE {where}"  # noqa: S608 our own words
        return [self.read(row) for row in connection.execute(query, values)]

    def one(
        self, connection: sqlite3.Connection, where: str, values: SqlValues, what: str = "it"
    ) -> RowType | None:
        """Return the row that a WHERE gives, None where there is none. Raises BadInput."""
        query = f"SELECT {self.columns} FROM {self.name} WHERE {where}"  # noqa: S608 our own words
        row = connection.execute(query, values).fetchone()
        return None if row is None else self.read(row, what)

    def put(
        self,
        connection: sqlite3.Connection,
        engine_id: str,
        rows: Iterable[RowType],
        verb: str = "INSERT OR REPLACE",
        ends: str = "",
        **more: Any,
    ) -> sqlite3.Cursor:
        """Write rows inside the caller's transaction; `more` are columns that are no fields.

        `ends` stands behind the values, for example `upsert`.
        """
        names = ("engine_id", *self._names, *more)
        return connection.executemany(
            f"{verb} INTO {self.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
            + ends,
            [(engine_id, *self.cells(row), *more.values()) for row in rows],
        )

    def moving(self, key: Sequence[str], *more: str) -> str:
        """Return the end of an INSERT that moves every column but `key`, and `more`."""
        return upsert(key, [name for name in (*self._names, *more) if name not in key])

    def cells(self, row: RowType) -> list[Any]:
        cells = list(msgspec.structs.astuple(row))
        for place in self._json:
            cells[place] = self._encode(cells[place]).decode()
        return cells


# -- Audit: who changed what. Rows are only ever added; triggers in the file forbid the rest -------


def note(
    connection: sqlite3.Connection,
    engine_id: str,
    at_ns: int,
    who: str,
    what: str,
    /,
    **detail: Any,
) -> None:
    """Add a row inside the caller's transaction: the change and its trace live or die together.

    `detail` must hold no secret. Raises BrokenInvariant outside a transaction.
    """
    if not connection.in_transaction:
        raise BrokenInvariant("an audit row belongs to the transaction of what it tells")
    text = msgspec.json.encode(detail).decode()
    insert(connection, "audit", engine_id=engine_id, at_ns=at_ns, who=who, what=what, detail=text)


# -- the rows of a projection: found when asked for, written back in batches -----------------------


class OrderFold(msgspec.Struct, kw_only=True):
    """One row of `orders`: `filled` counts every match, `voided` those that failed."""

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
    """One row of `fills`. `value_micro` None = the journal lists no instrument."""

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
    realised_micro: int | None = None
    """What a sale brought over the average cost of its tokens, before fees, 0 for a buy; of a void
    fill what its reversal brought. None = the instrument, or a fill before it, has no value."""
    transaction_id: str | None = None
    """Hash on the chain; None = the venue has told none."""
    at_ns: int
    updated_ns: int
    seq: int


class PositionFold(msgspec.Struct, kw_only=True):
    """One row of `positions`: what an account holds of one leg; void fills count nowhere.

    `unvalued` are fills without a value: while there are any, the sums of money are not whole.
    """

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
    cost_micro: int = 0
    """What the tokens that are held cost, sales taken out at the average."""
    unvalued: int = 0
    updated_ns: int
    seq: int

    def take(self, fill: FillFold, sign: int) -> None:
        """Add a fill, or take it out (-1) as if it had never been; note what it realises."""
        value, size, realised = sign * (fill.value_micro or 0), sign * fill.size, 0
        held = self.settled + self.pending
        if fill.side is Side.BUY:
            self.bought += size
            self.spent_micro += value
            self.cost_micro += value
        else:
            if sign < 0:
                out = value + (fill.realised_micro or 0)  # what its sale had taken, back
            else:
                out = self.cost_micro * size // held if size < held else self.cost_micro
                realised = value - out
            self.sold += size
            self.received_micro += value
            self.cost_micro -= out
            size = -size
        if fill.state is FillState.CONFIRMED:
            self.settled += size
        else:
            self.pending += size
        self.fee_micro += sign * fill.fee_micro
        self.unvalued += sign * (fill.value_micro is None)
        if not self.settled + self.pending:  # a reversal may leave a cost without tokens
            realised -= self.cost_micro
            self.cost_micro = 0
        fill.realised_micro = None if self.unvalued else realised

    def convert(self, size: int, value_micro: int) -> None:
        """Take in this leg's part of a split, or let go of it in a merge (`size` < 0)."""
        if size > 0:
            self.bought += size
            self.spent_micro += value_micro
            self.cost_micro += value_micro
        else:
            held = self.settled + self.pending
            self.sold -= size
            self.received_micro += value_micro
            self.cost_micro -= self.cost_micro * -size // held if -size < held else self.cost_micro
        self.settled += size


class ListingFold(msgspec.Struct, kw_only=True):
    """One row of `listings`: price · size // `value_divisor` = micro-units; what one YES pays.

    None = the journal never listed it; it is not resolved.
    """

    instrument: str
    value_divisor: int | None = None
    one_token: int | None = None
    """Increments of one token."""
    payout_yes_micro: int | None = None
    seq: int


class NewsFold(msgspec.Struct, kw_only=True):
    """One row of `early_news`: news of a fill that came before the fill itself."""

    account: str
    fill: str
    state: FillState
    seq: int


class CashFold(msgspec.Struct, kw_only=True):
    """One row of `cash_moves`: money that came (+) or left (−) without a trade."""

    account: str
    seq: int
    mode: Mode
    currency: str
    amount_micro: int
    kind: CashKind
    payment: str
    """The venue's name of a reward or rebate; empty = it is a deposit or a withdrawal."""
    paid_ns: int = 0
    """When it was paid; of the first cash, when it was asked for."""
    at_ns: int
    instrument: str | None = None
    """The market a reward was named for, or whose tokens came; None = the account as a whole."""
    leg: Leg | None = None
    tokens: int = 0
    """Tokens that came instead of cash, and cost the amount."""


class RedemptionFold(msgspec.Struct, kw_only=True):
    """One row of `redemptions`: what a wallet was paid for a resolved market's tokens."""

    account: str
    transaction_id: str
    instrument: str
    mode: Mode
    amount_micro: int
    at_ns: int
    """When the venue paid."""
    seq: int


class ConversionFold(msgspec.Struct, kw_only=True):
    """One row of `conversions`: cash that became pairs (`size` > 0), or pairs that became cash."""

    account: str
    transaction_id: str
    instrument: str
    mode: Mode
    size: int
    amount_micro: int
    at_ns: int
    seq: int


_KEYS: dict[type[msgspec.Struct], tuple[Table[Any], tuple[str, ...]]] = {
    OrderFold: (Table(OrderFold, "orders"), ("account", "id")),
    FillFold: (Table(FillFold, "fills"), ("account", "id")),
    PositionFold: (Table(PositionFold, "positions"), ("account", "instrument", "leg")),
    BetFold: (Table(BetFold, "bets"), ("account", "instrument", "bot")),
    ListingFold: (Table(ListingFold, "listings"), ("instrument",)),
    NewsFold: (Table(NewsFold, "early_news"), ("account", "fill")),
    CashFold: (Table(CashFold, "cash_moves"), ("account", "seq")),
    RedemptionFold: (
        Table(RedemptionFold, "redemptions"),
        ("account", "transaction_id", "instrument"),
    ),
    ConversionFold: (
        Table(ConversionFold, "conversions"),
        ("account", "transaction_id", "instrument"),
    ),
}
_MOVES = {
    OrderFold: (
        "identity", "state", "filled", "voided", "fee_micro", "reason", "updated_ns", "seq",
    ),
    FillFold: ("state", "realised_micro", "transaction_id", "updated_ns", "seq"),
}  # fmt: skip
"""Fields that ever change of a row; of a kind that is not named, every one beside its key."""

_UPSERTS = {
    kind: upsert(
        key, _MOVES.get(kind) or [name for name in kind.__struct_fields__ if name not in key]
    )
    for kind, (_, key) in _KEYS.items()
}
TABLES = tuple(table.name for table, _ in _KEYS.values())
"""What is deleted before a rebuild."""

Key = tuple[str | int, ...]


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

    def find(self, kind: type[RowType], *key: str | int) -> RowType | None:
        """Return the row with this key, None where there is none."""
        cache = self._cache[kind]
        found: RowType | None
        if key in cache:
            found = cache[key]
            return found
        table, names = _KEYS[kind]
        where = " AND ".join(("engine_id = ?", *(f"{name} = ?" for name in names)))
        found = table.one(self._connection, where, (self._engine_id, *key))
        cache[key] = found
        return found

    def bets_in(self, instrument: str) -> list[BetFold]:
        """Return every bet in a market."""
        self.flush()
        table, _ = _KEYS[BetFold]
        return table.all(
            self._connection,
            "engine_id = ? AND instrument = ? ORDER BY account, bot",
            (self._engine_id, instrument),
        )

    @staticmethod
    def key_of(row: msgspec.Struct) -> Key:
        return tuple([getattr(row, name) for name in _KEYS[type(row)][1]])

    def put(self, row: msgspec.Struct) -> None:
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
            table, ends = _KEYS[kind][0], _UPSERTS[kind]
            table.put(self._connection, self._engine_id, dirty.values(), "INSERT", ends)
            dirty.clear()
            self._cache[kind].clear()


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
