"""The rows of a projection: found when asked for, written back in batches."""

from __future__ import annotations

from collections.abc import Mapping
from sqlite3 import Connection
from typing import Any, NamedTuple

import msgspec

from engine.domain.events import CashKind
from engine.domain.fills import FillState, Liquidity, SizeSource
from engine.domain.instruments import Leg, Mode, Side
from engine.domain.orders import ORDER_ENDS, OrderState, OrderType
from engine.errors import StorageError
from storage.bets import BetRow
from storage.database import RowType, Table, upsert


class OrderRow(msgspec.Struct, kw_only=True):
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


def _states(*, ended: bool) -> str:
    return ", ".join(repr(one.value) for one in OrderState if (one in ORDER_ENDS) is ended)


ENDED, LIVE = f"state IN ({_states(ended=True)})", f"state IN ({_states(ended=False)})"
"""SQL of an order of which nothing more is expected, and of one of which more is."""


class FillRow(msgspec.Struct, kw_only=True):
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


class PositionRow(msgspec.Struct, kw_only=True):
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

    def take(self, fill: FillRow, sign: int) -> None:
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


class ListingRow(msgspec.Struct, kw_only=True):
    """One row of `listings`: price · size // `value_divisor` = micro-units; what one YES pays.

    None = the journal never listed it; it is not resolved.
    """

    instrument: str
    value_divisor: int | None = None
    one_token: int | None = None
    """Increments of one token."""
    payout_yes_micro: int | None = None
    seq: int


class NewsRow(msgspec.Struct, kw_only=True):
    """One row of `early_news`: news of a fill that came before the fill itself."""

    account: str
    fill: str
    state: FillState
    seq: int


class CashRow(msgspec.Struct, kw_only=True):
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


class RedemptionRow(msgspec.Struct, kw_only=True):
    """One row of `redemptions`: what a wallet was paid for a resolved market's tokens."""

    account: str
    transaction_id: str
    instrument: str
    mode: Mode
    amount_micro: int
    at_ns: int
    """When the venue paid."""
    seq: int


class ConversionRow(msgspec.Struct, kw_only=True):
    """One row of `conversions`: cash that became pairs (`size` > 0), or pairs that became cash."""

    account: str
    transaction_id: str
    instrument: str
    mode: Mode
    size: int
    amount_micro: int
    at_ns: int
    seq: int


class ProjectedTable(NamedTuple):
    """One table of the projection. A new one is a struct above and a row below."""

    rows: Table[Any]
    key: tuple[str, ...]
    """What names a row, behind its engine."""
    indexes: tuple[tuple[str, ...], ...] = ()
    """Columns of each further index, behind the engine."""
    moves: tuple[str, ...] = ()
    """Fields that ever change; empty = every one beside the key."""


PROJECTED: dict[type[msgspec.Struct], ProjectedTable] = {
    OrderRow: ProjectedTable(
        Table(OrderRow, "orders"),
        ("account", "id"),
        (("mode", "created_ns"), ("state",), ("instrument", "created_ns")),
        ("identity", "state", "filled", "voided", "fee_micro", "reason", "updated_ns", "seq"),
    ),
    FillRow: ProjectedTable(
        Table(FillRow, "fills"),
        ("account", "id"),
        (("mode", "at_ns"), ("instrument", "at_ns"), ("account", "order_id"), ("account", "state")),
        ("state", "realised_micro", "transaction_id", "updated_ns", "seq"),
    ),
    PositionRow: ProjectedTable(Table(PositionRow, "positions"), ("account", "instrument", "leg")),
    BetRow: ProjectedTable(
        Table(BetRow, "bets"),
        ("account", "instrument", "bot"),
        (("mode", "closed_ns", "account", "instrument", "bot"), ("instrument",)),
    ),
    ListingRow: ProjectedTable(Table(ListingRow, "listings"), ("instrument",)),
    NewsRow: ProjectedTable(Table(NewsRow, "early_news"), ("account", "fill")),
    CashRow: ProjectedTable(Table(CashRow, "cash_moves"), ("account", "seq")),
    RedemptionRow: ProjectedTable(
        Table(RedemptionRow, "redemptions"), ("account", "transaction_id", "instrument")
    ),
    ConversionRow: ProjectedTable(
        Table(ConversionRow, "conversions"), ("account", "transaction_id", "instrument")
    ),
}
_UPSERTS = {
    kind: upsert(one.key, one.moves) if one.moves else one.rows.moving(one.key)
    for kind, one in PROJECTED.items()
}
TABLES = tuple(one.rows.name for one in PROJECTED.values())
"""What is deleted before a rebuild."""

Key = tuple[str | int, ...]


class Rows:
    """All rows of one engine, cached since the last `flush`."""

    def __init__(self, connection: Connection, engine_id: str, modes: Mapping[str, Mode]) -> None:
        self._connection = connection
        self._engine_id = engine_id
        self._modes = modes
        self._cache: dict[type[msgspec.Struct], dict[Key, Any]] = {kind: {} for kind in PROJECTED}
        self._dirty: dict[type[msgspec.Struct], dict[Key, Any]] = {kind: {} for kind in PROJECTED}

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
        one = PROJECTED[kind]
        where = " AND ".join(("engine_id = ?", *(f"{name} = ?" for name in one.key)))
        found = one.rows.one(self._connection, where, (self._engine_id, *key))
        cache[key] = found
        return found

    def bets_in(self, instrument: str) -> list[BetRow]:
        self.flush()
        return PROJECTED[BetRow].rows.all(
            self._connection,
            "engine_id = ? AND instrument = ? ORDER BY account, bot",
            (self._engine_id, instrument),
        )

    @staticmethod
    def key_of(row: msgspec.Struct) -> Key:
        return tuple([getattr(row, name) for name in PROJECTED[type(row)].key])

    def put(self, row: msgspec.Struct) -> None:
        kind, key = type(row), self.key_of(row)
        self._cache[kind][key] = self._dirty[kind][key] = row

    def drop(self, news: NewsRow) -> None:
        """Forget early news that has been used."""
        key = (news.account, news.fill)
        self._cache[NewsRow][key] = None
        self._dirty[NewsRow].pop(key, None)
        self._connection.execute(
            "DELETE FROM early_news WHERE engine_id = ? AND account = ? AND fill = ?",
            (self._engine_id, *key),
        )

    def flush(self) -> None:
        """Write what changed, inside the caller's transaction, and keep nothing in memory."""
        for kind, dirty in self._dirty.items():
            rows, ends = PROJECTED[kind].rows, _UPSERTS[kind]
            rows.put(self._connection, self._engine_id, dirty.values(), "INSERT", ends)
            dirty.clear()
            self._cache[kind].clear()
