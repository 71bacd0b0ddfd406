"""Money as pages show it: positions with cost and mark, PnL by owner and period, use of limits.

Every function takes a reader's connection; sums never cross modes or currencies. Amounts come as
`Decimal` in the currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from sqlite3 import Connection

import msgspec

from engine.domain.fills import FillState
from engine.domain.instruments import Mode
from engine.domain.money import MICRO, MICRO_DECIMALS
from storage.database import scaled
from storage.live import FUNDED, OWNED, latest_equity
from storage.projected.orders import ENDED
from storage.views import (
    LISTED,
    ROWS_MAX,
    PageKey,
    Row,
    margins,
    page,
    query,
    shown,
)

SIZES = ("yes_settled", "yes_pending", "no_settled", "no_pending")


HELD_KEY = ("at_cost", "account", "instrument")
"""What positions are sorted by, downwards."""

_COST = "t.yes_cost_micro + t.no_cost_micro"
_AT_COST = "abs(t.yes_cost_micro) + t.no_cost_micro"
"""How large a position is: what a short was opened for is below 0."""
_TERMS = "LEFT JOIN listings l ON l.engine_id = t.engine_id AND l.instrument = t.instrument"
_SIGNED = "coalesce(l.signed, 0)"
_SMALLEST = (
    "max(json_extract(i.body, '$.size_min'), json_extract(i.body, '$.lot')) AS smallest, "
    "coalesce(json_extract(i.body, '$.notional_min_micro'), 0) AS least_micro"
)
"""The venue's least size and least value of an order."""
_HELD = " AND t.mode = ? AND t.opened_ns IS NOT NULL"

_MARKED = scaled(
    "(t.settled + t.pending)",
    "CASE t.leg WHEN 'no' THEN 2 * CAST(pow(10, i.price_decimals) AS INTEGER) - h.mid2 "
    "ELSE h.mid2 END",
    "(2 * l.value_divisor)",
)
"""What a position is worth at the last two-sided mid, divided towards zero."""


def held(
    connection: Connection,
    engine_id: str,
    *,
    mode: Mode,
    before: PageKey | None = None,
    account: str = "",
    instrument: str = "",
) -> list[Row]:
    """Return what is held in one mode, a row per instrument, the largest cost first, `ROWS_MAX`.

    Of one account and instrument where they are named. `mark` is the last two-sided mid in
    YES-space, None where there never was one; then `unrealised` and `pnl` are None too. A pending
    token may still vanish. Of what is held long or short (`signed`) margin stands beside it
    (`storage.views.margins`), sizes and costs are below 0 where it is short, and `pnl` has the
    `funding` of the instrument in it. `smallest` and `least` are the venue's least size and value
    of an order.
    """
    only = {name: one for name, one in (("account", account), ("instrument", instrument)) if one}
    where = _HELD + "".join(f" AND t.{name} = ?" for name in only)
    found = page(
        connection,
        engine_id,
        f"holdings t {LISTED} {_TERMS}",
        where,
        (mode, *only.values()),
        key=(_AT_COST, "t.account", "t.instrument"),
        before=before,
        columns=f"t.*, {_AT_COST} AS at_cost, i.kind, i.market, i.closes_ns, i.price_decimals, "  # noqa: S608 our own words
        f"i.size_decimals, {_SMALLEST}, {_SIGNED} AS signed, coalesce((SELECT sum(p.funding_micro) "
        "FROM positions p WHERE p.engine_id = t.engine_id AND p.account = t.account "
        "AND p.instrument = t.instrument), 0) AS funding_micro",
    )
    for row in found:
        for name in (*SIZES, "smallest"):
            row[name] = shown(row[name], row["size_decimals"])
        mid2, decimals = row.pop("mid2"), row["price_decimals"]
        row["mark"] = None if mid2 is None else shown(mid2, decimals)
        if row["mark"] is not None:
            row["mark"] /= 2
        cost = row["cost"] = row["yes_cost"] + row["no_cost"]
        row["unrealised"] = None if mid2 is None else row["value"] - cost
        made = row["realised"] - row["fees"] + row["funding"]
        row["pnl"] = None if mid2 is None else made + row["unrealised"]
        margins.put_beside(row)
    return found


def held_sums(connection: Connection, engine_id: str, *, mode: Mode) -> list[Row]:
    """Return what all positions of a mode sum to, by currency; `unmarked` are worth nothing.

    For what is held long or short nothing was paid: it is in neither `cost` nor `value`, and there
    are so many `signed`.
    """
    return query(
        connection,
        "SELECT t.currency, count(*) AS positions, sum(t.mid2 IS NULL) AS unmarked, "  # noqa: S608 our own words
        f"sum({_SIGNED}) AS signed, "
        f"sum(iif({_SIGNED}, 0, {_COST})) AS cost_micro, "
        f"sum(iif({_SIGNED}, 0, t.value_micro)) AS value_micro, "
        f"sum(iif(t.mid2 IS NULL, 0, t.value_micro - ({_COST}))) AS unrealised_micro "
        f"FROM holdings t {_TERMS} WHERE t.engine_id = ?{_HELD} "
        "GROUP BY t.currency ORDER BY t.currency",
        (engine_id, mode),
    )


def held_by_owner(
    connection: Connection, engine_id: str, *, mode: Mode, account: str = "", instrument: str = ""
) -> list[Row]:
    """Return what each owner holds of each leg of open markets in one mode, `ROWS_MAX`.

    The largest cost first; of one account and instrument where they are named. `size` holds what is
    pending and is below 0 of a short; `free` is settled and in no working order that closes it, of
    a short too. `value` at the last two-sided mid, rounded down; None where there never was one.
    """
    only = {name: one for name, one in (("account", account), ("instrument", instrument)) if one}
    found = query(
        connection,
        "SELECT t.account, t.instrument, t.bot, t.leg, t.cost_micro, a.currency, "  # noqa: S608 our own words
        "i.kind, i.price_decimals, i.size_decimals, t.settled + t.pending AS size, "
        f"{_SIGNED} AS signed, iif({_SIGNED}, abs(t.settled), t.settled) - "
        "coalesce((SELECT sum(o.size - o.filled) FROM orders o "
        "WHERE o.engine_id = t.engine_id AND o.account = t.account AND "
        "o.instrument = t.instrument AND o.bot = t.bot AND "
        f"o.leg = t.leg AND o.side = iif({_SIGNED} AND t.settled < 0, 'buy', 'sell') "
        f"AND NOT o.{ENDED}), 0) AS free, "
        f"CASE WHEN h.mid2 IS NULL THEN NULL ELSE {_MARKED} END AS value_micro "
        f"FROM positions t {LISTED} "
        "LEFT JOIN accounts a ON a.engine_id = t.engine_id AND a.account = t.account "
        "LEFT JOIN listings l ON l.engine_id = t.engine_id AND l.instrument = t.instrument "
        "LEFT JOIN holdings h ON h.engine_id = t.engine_id AND h.account = t.account "
        "AND h.instrument = t.instrument WHERE t.engine_id = ? AND t.mode = ? "
        "AND t.settled + t.pending != 0 AND l.payout_yes_micro IS NULL"
        + "".join(f" AND t.{name} = ?" for name in only)
        + " ORDER BY abs(t.cost_micro) DESC, t.account, t.instrument, t.bot, t.leg LIMIT ?",
        (engine_id, mode, *only.values(), ROWS_MAX),
    )
    for row in found:
        for name in ("size", "free"):
            row[name] = shown(
                max(0, row[name]) if name == "free" else row[name], row["size_decimals"]
            )
        row["unrealised"] = None if row["value"] is None else row["value"] - row["cost"]
    return found


def pnl_by_bot(
    connection: Connection, engine_id: str, *, mode: Mode, since: Mapping[str, int]
) -> list[Row]:
    """Return what every owner of one mode made by its own fills, and of it since each named time.

    Owners are bots, `manual`, and `unassigned` for what no record says whose it is.

    `realised` is before `fees`; `total` = realised − fees + funding + unrealised. A bot that began
    after a time is counted from its beginning. The first row of a bot is at most a minute after it
    began. `unrealised`, `total` and the periods are None while a perpetual that it holds has no
    price.
    """
    found = query(
        connection,
        OWNED + "SELECT account, bot, currency, realised_micro, fees_micro, funding_micro, "
        "legs AS markets, iif(unpriced, NULL, unrealised_micro) AS unrealised_micro, cost_micro "
        "FROM made WHERE mode = ?2 ORDER BY account, bot",
        (engine_id, mode),
    )
    for row in found:
        made = row["realised"] - row["fees"] + row["funding"]
        row["total"] = None if row["unrealised"] is None else made + row["unrealised"]
        for name, at_ns in since.items():
            before = connection.execute(
                f"SELECT realised_micro - fees_micro + unrealised_micro + {FUNDED} "  # noqa: S608 our own words
                "FROM pnl t WHERE engine_id = ? AND account = ? AND bot = ? AND at_ns <= ? "
                "ORDER BY at_ns DESC LIMIT 1",
                (engine_id, row["account"], row["bot"], at_ns),
            ).fetchone()
            start = Decimal(0) if before is None else shown(before[0], MICRO_DECIMALS)
            row[name] = None if row["total"] is None else row["total"] - (start or 0)
    return found


def limit_use(connection: Connection, engine_id: str, *, account: str) -> list[Row]:
    """Return the use of an account's limits: of each the most used subject first.

    `used` and `limit_value` stay whole numbers in `unit`.
    """
    return query(
        connection,
        "SELECT name, subject, used, limit_value, unit, unknown, currency, updated_ns "
        "FROM limit_use WHERE engine_id = ? AND account = ? ORDER BY name, used DESC, subject",
        (engine_id, account),
    )


# -- Where an account's equity comes from, and when that was last proven from the journal ----------


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Deposited + realised - fees + income + unrealised = equity at mid. In the currency."""

    deposited: Decimal
    moves: int
    """Deposits and withdrawals behind it."""
    realised: Decimal
    fees: Decimal
    rewards: Decimal
    rebates: Decimal
    funding: Decimal
    fundings: int
    """Stamps of perpetuals behind it."""
    unrealised: Decimal
    fills: int

    @property
    def equity(self) -> Decimal:
        income = self.rewards + self.rebates + self.funding
        return self.deposited + self.realised - self.fees + income + self.unrealised


def equity_check(connection: Connection, engine_id: str, account: str) -> Row | None:
    """Return an account's last check of the identity, None where there was none yet."""
    found = query(
        connection,
        "SELECT * FROM equity_checks WHERE engine_id = ? AND account = ?",
        (engine_id, account),
    )
    return found[0] if found else None


def sources(connection: Connection, engine_id: str, account: str) -> Sources:
    """Return what an account's equity is made of since it began."""
    asked = (
        "SELECT count(*) FILTER (WHERE kind = 'deposit') AS moves, "
        "coalesce(sum(amount_micro) FILTER (WHERE kind = 'deposit'), 0) AS deposited_micro, "
        "coalesce(sum(amount_micro) FILTER (WHERE kind = 'reward'), 0) AS rewards_micro, "
        "coalesce(sum(amount_micro) FILTER (WHERE kind = 'rebate'), 0) AS rebates_micro, "
        "coalesce(sum(amount_micro) FILTER (WHERE kind = 'funding'), 0) AS funding_micro "
        "FROM cash_moves m WHERE engine_id = ? "
        "AND account = ? AND currency = (SELECT currency FROM accounts a "
        "WHERE a.engine_id = m.engine_id AND a.account = m.account)",
        "SELECT coalesce(sum(realised_micro), 0) AS realised_micro, "
        "coalesce(sum(fees_micro), 0) AS fees_micro, "
        "coalesce(sum(value_micro - yes_cost_micro - no_cost_micro), 0) AS unrealised_micro "
        "FROM holdings WHERE engine_id = ? AND account = ?",
        "SELECT count(*) AS fundings FROM funding WHERE engine_id = ? AND account = ?",
        "SELECT count(*) AS fills FROM fills "
        "WHERE engine_id = ? AND account = ? AND state != 'failed'",
    )
    found: Row = {}
    for sql in asked:
        found |= query(connection, sql, (engine_id, account))[0]
    return Sources(**found)


# -- The settlement pipeline: how far an account's money is on the way from an order to cash -------

DAY_NS = 86_400 * 1_000_000_000
DECIDED_NS = DAY_NS
"""How far back confirmed and failed fills are counted: they are over, and there are many."""


class Phase(StrEnum):
    """Where money stands on its way."""

    RESERVED = "reserved"
    MATCHED = "matched"
    MINED = "mined"
    RETRYING = "retrying"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    REDEEMABLE = "redeemable"
    PAID = "paid"
    CASH = "cash"


class SettlementStep(msgspec.Struct, frozen=True, kw_only=True):
    """One phase. `amount` in the currency; None = not known."""

    phase: Phase
    count: int
    amount: Decimal | None
    oldest_ns: int | None = None
    """None = nothing stands there, or it has no age."""
    tokens: int = 0
    """Of `count`, those that commit tokens and no cash: working sells."""


def pipeline(
    connection: Connection, engine_id: str, *, account: str, now_ns: int
) -> list[SettlementStep]:
    """Return an account's phases in the order of the way, each with the time of its oldest entry.

    reserved → matched → mined → confirmed (or retrying, failed) → redeemable → cash.
    """
    steps = {
        Phase.RESERVED: _reserved(connection, engine_id, account),
        **_fills(connection, engine_id, account, now_ns),
        Phase.REDEEMABLE: _redeemable(connection, engine_id, account),
        Phase.PAID: _paid(connection, engine_id, account),
        Phase.CASH: _cash(connection, engine_id, account),
    }
    return [steps[phase] for phase in Phase]


def _step(
    phase: Phase, count: int, micro: int | None, oldest_ns: int | None = None, *, tokens: int = 0
) -> SettlementStep:
    amount = None if micro is None else Decimal(micro) / MICRO
    return SettlementStep(
        phase=phase, count=count, amount=amount, oldest_ns=oldest_ns, tokens=tokens
    )


def _reserved(connection: Connection, engine_id: str, account: str) -> SettlementStep:
    """Sum what working orders may still take; a sell commits tokens, worth their price."""
    count, sells, micro, oldest = connection.execute(
        "SELECT count(*), coalesce(sum(t.side = 'sell'), 0), "  # noqa: S608 our own words
        "CASE WHEN coalesce(sum(l.value_divisor IS NULL), 0) THEN NULL ELSE coalesce(sum("
        "(t.size - t.filled) / l.value_divisor * t.price + ((t.size - t.filled) % l.value_divisor "
        "* t.price + l.value_divisor - 1) / l.value_divisor), 0) END, "
        "min(t.created_ns) FROM orders t "
        "LEFT JOIN listings l ON l.engine_id = t.engine_id AND l.instrument = t.instrument "
        f"WHERE t.engine_id = ? AND t.account = ? AND NOT t.{ENDED}",
        (engine_id, account),
    ).fetchone()
    return _step(Phase.RESERVED, count, micro, oldest, tokens=sells)


def _fills(
    connection: Connection, engine_id: str, account: str, now_ns: int
) -> dict[Phase, SettlementStep]:
    """Return fills by what is settled of them; decided ones of the last day."""
    found = {}
    for state in FillState:
        decided = state in (FillState.CONFIRMED, FillState.FAILED)
        since_ns = now_ns - DECIDED_NS if decided else 0
        count, micro, oldest = connection.execute(
            "SELECT count(*), CASE WHEN count(*) = count(value_micro) THEN "
            "coalesce(sum(value_micro), 0) END, min(at_ns) FROM fills "
            "WHERE engine_id = ? AND account = ? AND state = ? AND at_ns >= ?",
            (engine_id, account, state, since_ns),
        ).fetchone()
        found[Phase(state.value)] = _step(Phase(state.value), count, micro, oldest)
    return found


_PAYS = scaled(
    "(p.settled + p.pending)",
    "CASE p.leg WHEN 'no' THEN 1000000 - l.payout_yes_micro ELSE l.payout_yes_micro END",
    "CAST(pow(10, i.size_decimals) AS INTEGER)",
)


def _redeemable(connection: Connection, engine_id: str, account: str) -> SettlementStep:
    """Sum what resolved markets are to pay, less what redemptions of them have paid."""
    count, micro, oldest = connection.execute(
        "WITH won AS (SELECT p.instrument, sum(" + _PAYS + ") AS worth, "  # noqa: S608 our own words
        "max(p.updated_ns) AS since_ns FROM positions p "
        "JOIN listings l ON l.engine_id = p.engine_id AND l.instrument = p.instrument "
        "JOIN instruments i ON i.engine_id = p.engine_id AND i.id = p.instrument "
        "WHERE p.engine_id = ?1 AND p.account = ?2 AND l.payout_yes_micro IS NOT NULL "
        "GROUP BY p.instrument), due AS (SELECT won.since_ns, won.worth - coalesce(("
        "SELECT sum(r.amount_micro) FROM redemptions r WHERE r.engine_id = ?1 "
        "AND r.account = ?2 AND r.instrument = won.instrument), 0) AS micro FROM won) "
        "SELECT count(*), coalesce(sum(micro), 0), min(since_ns) FROM due WHERE micro > 0",
        (engine_id, account),
    ).fetchone()
    return _step(Phase.REDEEMABLE, count, micro, oldest)


def _paid(connection: Connection, engine_id: str, account: str) -> SettlementStep:
    count, micro = connection.execute(
        "SELECT count(*), coalesce(sum(amount_micro), 0) FROM redemptions "
        "WHERE engine_id = ? AND account = ?",
        (engine_id, account),
    ).fetchone()
    return _step(Phase.PAID, count, micro)


def paid_for(connection: Connection, engine_id: str, *, account: str, instrument: str) -> bool:
    """Say whether an account was paid for its tokens of a resolved market."""
    query = "SELECT 1 FROM redemptions WHERE engine_id = ? AND account = ? AND instrument = ?"
    return connection.execute(query, (engine_id, account, instrument)).fetchone() is not None


def _cash(connection: Connection, engine_id: str, account: str) -> SettlementStep:
    latest = latest_equity(connection, engine_id, account)
    return _step(Phase.CASH, 0, None if latest is None else latest.cash_micro)
