"""What a running engine writes of itself: heartbeat, bots, equity, instruments.

Every function works inside the caller's transaction; writing the same again changes nothing but its
times. Orders, fills and positions are not here: they are projections of the journal.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from sqlite3 import Connection
from typing import Any, TypeVar

import msgspec

from engine.domain.decisions import Unit
from engine.domain.instruments import Instrument, Mode
from engine.domain.telemetry import (
    Approvals,
    BookTop,
    BotStatus,
    Capital,
    Earnings,
    EngineStatus,
    MarginSeen,
    WatchedMarket,
)
from engine.errors import BadInput, StorageError
from storage.database import RowType, Table, insert, keep_only, note, scaled, update, upsert

T = TypeVar("T")

SUBJECTS_MAX = 8
"""Instruments and markets written per limit, the most used ones."""

START_FOUND = "start found"
EQUITY_LOOK = 20_000
"""Points of all accounts among which an account's latest is looked for by its number."""


class EngineHeartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's heartbeat."""

    state: str
    heartbeat_ns: int
    started_ns: int
    pid: int
    version: str
    latched: bool
    status: EngineStatus = msgspec.field(name="detail", default_factory=EngineStatus)


class EquityPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One account's equity at a moment, in micro-units."""

    account: str
    mode: Mode
    currency: str
    at_ns: int
    equity_micro: int
    equity_mid_micro: int
    cash_micro: int
    day_start_micro: int
    peak_micro: int
    redeemable_micro: int = 0
    """What winners that are not paid yet are to bring: no part of the cash."""


_HEARTBEATS = Table(EngineHeartbeat, "engine_state")
_BOTS = Table(BotStatus, "bots")
_EQUITY = Table(EquityPoint, "equity")


def put_engine(connection: Connection, engine_id: str, heartbeat: EngineHeartbeat) -> None:
    _HEARTBEATS.put(connection, engine_id, [heartbeat], "INSERT", _HEARTBEATS.moving(()))


def last_engine_status(connection: Connection, engine_id: str) -> tuple[str, int] | None:
    """Return which state an engine wrote last and when, in ns UTC; None = it never ran."""
    row: tuple[str, int] | None = connection.execute(
        "SELECT state, heartbeat_ns FROM engine_state WHERE engine_id = ?", (engine_id,)
    ).fetchone()
    return row


def engine_status(connection: Connection, engine_id: str) -> EngineStatus | None:
    """Return what an engine said last beside its heartbeat; None = it never ran.

    Raises StorageError where another program wrote it.
    """
    row = connection.execute(
        "SELECT detail FROM engine_state WHERE engine_id = ?", (engine_id,)
    ).fetchone()
    return None if row is None else _read(row[0], EngineStatus, "the engine's status")


def _read(text: str, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (ValueError, TypeError) as error:
        raise StorageError(
            f"{what} was written by another program ({error}); restart the engine (page Engine)"
        ) from None


def put_bots(
    connection: Connection, engine_id: str, bots: tuple[BotStatus, ...], now_ns: int
) -> None:
    """Write all bots as they stand; those that are not among them are gone."""
    keep_only(connection, "bots", engine_id, "name", [bot.name for bot in bots])
    moves = _BOTS.moving(["name"], "updated_ns")
    _BOTS.put(connection, engine_id, bots, "INSERT", moves, updated_ns=now_ns)


def watched_by(connection: Connection, engine_id: str, bot: str) -> tuple[WatchedMarket, ...]:
    """Return the markets a bot evaluates, by name; none where it is unknown.

    Raises StorageError where another program wrote them.
    """
    row = connection.execute(
        "SELECT watching FROM bots WHERE engine_id = ? AND name = ?", (engine_id, bot)
    ).fetchone()
    return () if row is None else _read(row[0], tuple[WatchedMarket, ...], f"what {bot} watches")


def unlisted_by(connection: Connection, engine_id: str, bot: str = "") -> dict[str, str]:
    """Return bot → which markets it names that its venue has not listed, of those where some are.

    `bot` empty = of all bots.
    """
    rows = connection.execute(
        "SELECT name, unlisted FROM bots WHERE engine_id = ? AND unlisted != '' "
        "AND ? IN ('', name) ORDER BY name",
        (engine_id, bot),
    )
    return dict(rows.fetchall())


def put_books(
    connection: Connection, engine_id: str, books: Sequence[BookTop], now_ns: int
) -> None:
    """Write the top of every watched book; those that are not among them are watched no more."""
    there = [(one.account, one.instrument) for one in books]
    keep_only(connection, "books", engine_id, "account, instrument", there)
    moves = upsert(["account", "instrument"], ["body", "updated_ns"])
    for one in books:
        insert(
            connection,
            "books",
            ends=moves,
            engine_id=engine_id,
            account=one.account,
            instrument=one.instrument,
            body=msgspec.json.encode(one).decode(),
            updated_ns=now_ns,
        )


def books(
    connection: Connection, engine_id: str, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], BookTop]:
    """Return the watched books among `keys`, each (account, instrument).

    Raises StorageError where another program wrote them.
    """
    rows = connection.execute(
        "SELECT account, instrument, body FROM books WHERE engine_id = ? AND "
        "(account, instrument) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
        (engine_id, msgspec.json.encode(keys).decode()),
    )
    return {
        (account, name): _read(body, BookTop, f"the book of {name}") for account, name, body in rows
    }


def add_equity(connection: Connection, engine_id: str, point: EquityPoint) -> None:
    _EQUITY.put(connection, engine_id, [point])


def latest_equity(connection: Connection, engine_id: str, account: str) -> EquityPoint | None:
    """Return the point of an account's curve that was written last, None where there is none.

    By number, not by time: a clock that ran ahead leaves points of the future behind. An account
    that wrote none of the last `EQUITY_LOOK` points has its latest by time.
    """
    for newest in (
        f"NOT INDEXED WHERE rowid > (SELECT max(rowid) FROM equity) - {EQUITY_LOOK} AND "  # noqa: S608 the same
        "engine_id = ? AND account = ? ORDER BY rowid DESC LIMIT 1",
        "WHERE engine_id = ? AND account = ? ORDER BY at_ns DESC LIMIT 1",
    ):
        row = connection.execute(
            f"SELECT {_EQUITY.columns} FROM equity {newest}",  # noqa: S608 our own words
            (engine_id, account),
        ).fetchone()
        if row is not None:
            return _EQUITY.read(row)
    return None


def instruments_known(connection: Connection, engine_id: str) -> set[str]:
    rows = connection.execute("SELECT id FROM instruments WHERE engine_id = ?", (engine_id,))
    return {name for (name,) in rows}


def put_instrument(
    connection: Connection, engine_id: str, instrument: Instrument, now_ns: int
) -> None:
    """Write an instrument of the catalog; what it pays stays as it is known."""
    shown = (
        "id",
        "kind",
        "currency",
        "price_decimals",
        "size_decimals",
        "tick",
        "lot",
        "market",
        "series",
        "closes_ns",
    )
    insert(
        connection,
        "instruments",
        ends=upsert(["id"], ["tick", "lot", "closes_ns", "body", "updated_ns"]),
        engine_id=engine_id,
        **{name: getattr(instrument, name) for name in shown},
        body=msgspec.json.encode(instrument).decode(),
        updated_ns=now_ns,
    )


def listed(connection: Connection, engine_id: str, instrument: str) -> Instrument:
    """Return an instrument of the catalog. Raises BadInput where it was never listed."""
    row = connection.execute(
        "SELECT body FROM instruments WHERE engine_id = ? AND id = ?", (engine_id, instrument)
    ).fetchone()
    if row is None:
        raise BadInput(f"{instrument} was never listed here; sync-markets fetches the listing")
    return msgspec.json.decode(row[0], type=Instrument)


def put_payout(
    connection: Connection, engine_id: str, instrument: str, payout_yes_micro: int, now_ns: int
) -> None:
    which = {"engine_id": engine_id, "id": instrument}
    pays = {"payout_yes_micro": payout_yes_micro, "updated_ns": now_ns}
    update(connection, "instruments", which, **pays)


def keep_found(
    connection: Connection, engine_id: str, at_ns: int, found: Mapping[str, object]
) -> None:
    """Add what a start found: records read, orders adopted, how they ended."""
    note(connection, engine_id, at_ns, "engine", START_FOUND, **found)


# -- Money each second: holdings, PnL over time, use of limits -------------------------------------

AccountReport = Approvals | Capital | Earnings
_ACCOUNT_REPORTS: dict[type, Table[Any]] = {
    kind: Table(kind, kind.__name__.lower()) for kind in (Approvals, Capital, Earnings)
}
"""What is known of an account as a whole: one row each, replaced each time."""


class HoldingSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument of an account. Sizes in increments, money in micro-units of the currency."""

    account: str
    instrument: str
    mode: Mode
    currency: str
    bot: str
    """Its owners, for people: bots, `manual`, `unassigned`. What each made is in `positions`."""
    yes_settled: int
    yes_pending: int
    no_settled: int
    no_pending: int
    yes_cost_micro: int
    no_cost_micro: int
    value_micro: int
    """At the last two-sided mid, 0 where there never was one."""
    mid2: int | None
    marked_ns: int | None
    realised_micro: int
    fees_micro: int
    payout_yes_micro: int | None
    margin: MarginSeen | None = None
    """Of a perpetual that is held; None = of anything else."""

    @property
    def key(self) -> tuple[str, str]:
        """Account and instrument: there is one row of them."""
        return self.account, self.instrument

    @property
    def flat(self) -> bool:
        """True where no token is held or promised."""
        return not (self.yes_settled or self.yes_pending or self.no_settled or self.no_pending)

    @property
    def blank(self) -> bool:
        """True where nothing is held and nothing was made."""
        return self.flat and not (self.realised_micro or self.fees_micro)


class LimitUse(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a limit one subject uses: `used` and `limit_value` in `unit`."""

    name: str
    """The limit's name in the settings, for example `exposure_market_max`."""
    subject: str = ""
    """An instrument, a market or a bot; empty where the limit has one subject alone."""
    used: int
    limit_value: int
    unit: Unit
    unknown: str = ""
    """Why more than `used` may be in use, how much is not known; empty = all of it is known."""


_HOLDINGS = Table(HoldingSeen, "holdings")
_LIMITS = Table(LimitUse, "limit_use")


MADE = ("realised_micro", "fees_micro", "payout_yes_micro")


def put_holdings(
    connection: Connection,
    engine_id: str,
    seen: Sequence[HoldingSeen],
    now_ns: int,
    *,
    anew: Collection[tuple[str, str]] = (),
) -> None:
    """Write holdings as they stand; those not named stay as they are.

    `anew` = (account, instrument) written for the first time. One of them that is blank is a market
    the ledger has forgotten, or never knew: what was made in it before stays.
    """
    names = [n for n in HoldingSeen.__struct_fields__ if n not in ("account", "instrument", "bot")]
    forgotten: list[HoldingSeen] = []
    standing: list[HoldingSeen] = []
    for one in seen:
        gone = one.blank and (one.account, one.instrument) in anew
        (forgotten if gone else standing).append(one)
    for rows, opened_ns, kept in (
        (forgotten, None, [name for name in names if name not in MADE]),
        ([one for one in standing if one.flat], None, names),
        ([one for one in standing if not one.flat], now_ns, names),
    ):
        moves = upsert(("account", "instrument"), [*kept, "updated_ns"]) + (
            ", opened_ns = CASE WHEN excluded.opened_ns IS NULL THEN NULL "
            "ELSE coalesce(holdings.opened_ns, excluded.opened_ns) END"
        )
        more = {"opened_ns": opened_ns, "updated_ns": now_ns}
        _HOLDINGS.put(connection, engine_id, rows, "INSERT", moves, **more)
    # Apart, and only where it moves: an index stands on it.
    connection.executemany(
        "UPDATE holdings SET bot = ?1 "
        "WHERE engine_id = ?2 AND account = ?3 AND instrument = ?4 AND bot != ?1",
        [(one.bot, engine_id, one.account, one.instrument) for one in seen if one.bot],
    )


OWNED = (
    "WITH owned AS (SELECT p.account, p.bot, p.mode, p.fee_micro, p.funding_micro, p.cost_micro, "  # noqa: S608 our own words
    "coalesce(a.currency, h.currency, '') AS currency, "
    "p.received_micro - p.spent_micro + p.cost_micro AS made_micro, "
    "p.settled + p.pending AS size, CASE p.leg WHEN 'no' THEN 1000000 - l.payout_yes_micro "
    "ELSE l.payout_yes_micro END AS pays, l.one_token, l.value_divisor, l.signed, "
    "CASE p.leg WHEN 'no' THEN 2 * CAST(pow(10, i.price_decimals) AS INTEGER) - h.mid2 "
    "ELSE h.mid2 END AS mid2, h.account IS NULL AS unseen FROM positions p "
    "LEFT JOIN accounts a ON a.engine_id = p.engine_id AND a.account = p.account "
    "LEFT JOIN listings l ON l.engine_id = p.engine_id AND l.instrument = p.instrument "
    "LEFT JOIN instruments i ON i.engine_id = p.engine_id AND i.id = p.instrument "
    "LEFT JOIN holdings h ON h.engine_id = p.engine_id AND h.account = p.account "
    "AND h.instrument = p.instrument WHERE p.engine_id = ?1), "
    "valued AS (SELECT *, pays IS NULL AND size != 0 AS held, "
    "(coalesce(signed, 0) OR unseen AND pays IS NULL) AND size != 0 AND mid2 IS NULL AS unpriced, "
    f"CASE WHEN pays IS NOT NULL THEN {scaled('size', 'pays', 'one_token')} "
    f"ELSE coalesce({scaled('size', 'mid2', '(2 * value_divisor)')}, 0) END AS value_micro "
    "FROM owned), "
    "made AS (SELECT account, bot, mode, currency, sum(fee_micro) AS fees_micro, "
    "sum(funding_micro) AS funding_micro, "
    "sum(made_micro + iif(pays IS NULL, 0, value_micro - cost_micro)) AS realised_micro, "
    "sum(iif(held AND NOT unpriced, value_micro - cost_micro, 0)) AS unrealised_micro, "
    "sum(iif(held AND NOT coalesce(signed, 0), cost_micro, 0)) AS cost_micro, "
    "sum(held) AS legs, sum(unpriced) AS unpriced "
    "FROM valued GROUP BY account, bot, mode, currency) "
)
"""What each owner made by its fills, and got or paid for holding: `?1` is the engine.

What it holds of a resolved market is worth what that pays, anything else its last two-sided mid, as
`put_holdings` wrote it. Nothing was paid for what is held long or short; `unpriced` are such
positions without a price, and those of a first fill until `put_holdings` has looked at them: what
they made is unknown, and in no sum.
"""

FUNDED = (
    "(SELECT coalesce(sum(s.amount_micro), 0) FROM funding_shares s WHERE s.engine_id = "
    "t.engine_id AND s.account = t.account AND s.bot = t.bot AND s.at_ns <= t.at_ns)"
)
"""What an owner had got and paid for holding at a point `t` of `pnl`."""


def add_pnl(connection: Connection, engine_id: str, now_ns: int) -> None:
    """Add a point for every owner of every account: what its own fills made.

    None for one of which that is unknown just now. What it got for holding is in `FUNDED`.
    """
    connection.execute(
        "INSERT OR REPLACE INTO pnl (engine_id, account, bot, at_ns, mode, currency, "  # noqa: S608 our own words
        "realised_micro, fees_micro, unrealised_micro) " + OWNED + "SELECT ?1, account, bot, ?2, "
        "mode, currency, realised_micro, fees_micro, unrealised_micro FROM made "
        "WHERE NOT unpriced",
        (engine_id, now_ns),
    )


def put_limit_use(
    connection: Connection,
    engine_id: str,
    *,
    account: str,
    mode: Mode,
    currency: str,
    uses: Sequence[LimitUse],
    now_ns: int,
) -> None:
    """Write an account's use of its limits; what is not among them is not used any more."""
    connection.execute(
        "DELETE FROM limit_use WHERE engine_id = ? AND account = ? AND (name, subject) NOT IN "
        "(SELECT value ->> 0, value ->> 1 FROM json_each(?))",
        (engine_id, account, msgspec.json.encode([(u.name, u.subject) for u in uses]).decode()),
    )
    known = ("mode", "currency", "used", "limit_value", "unit", "unknown", "updated_ns")
    _LIMITS.put(
        connection,
        engine_id,
        uses,
        "INSERT",
        upsert(("account", "name", "subject"), known),
        account=account,
        mode=mode,
        currency=currency,
        updated_ns=now_ns,
    )


def put_account_report(connection: Connection, engine_id: str, row: AccountReport) -> None:
    """Write what is known of an account, in place of what stood there."""
    _ACCOUNT_REPORTS[type(row)].put(connection, engine_id, [row])


def account_report(
    connection: Connection, engine_id: str, kind: type[RowType], account: str
) -> RowType | None:
    """Return what is known of an account; None = nothing yet. Raises BadInput."""
    table: Table[RowType] = _ACCOUNT_REPORTS[kind]
    return table.one(connection, "engine_id = ? AND account = ?", (engine_id, account))
