"""Runs: what a replay or a comparison was made of and what it brought.

The worker writes them, whole runs in one transaction; pages read them through `storage.views`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import msgspec
from msgspec import UNSET

from engine.domain.assets import Asset, Money
from engine.domain.events import OrderFilled
from engine.domain.fills import FillState
from engine.domain.instruments import Instrument, Mode, Side
from engine.domain.money import MICRO_DECIMALS
from engine.domain.orders import Order
from storage.database import Table, insert, reading, transaction
from storage.journal import Record, decode, record_of
from storage.views import ROWS_MAX, Row, shown


class RunKind(StrEnum):
    """What kind of run it is."""

    REPLAY = "replay"
    COMPARE = "compare"
    """Paper against truth: the same maker in the demo exchange and beside it."""
    STUDY = "study"
    """How good the fair value is on recorded markets."""


class RunStatus(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `parameters` and `result` are JSON objects; `digest` proves that two runs agree."""

    engine_id: str
    account: str
    mode: Mode = Mode.PAPER
    kind: RunKind
    recording: str
    """Path of the recording, as the operator named it."""
    bot: str
    strategy: str
    parameters: str = "{}"
    job: int | None = None
    """The worker's job it belongs to; None = run by hand."""
    started_ns: int
    finished_ns: int | None = None
    """None = it still runs."""
    status: RunStatus
    error: str = ""
    digest: str = ""
    frames: int = 0
    orders: int = 0
    fills: int = 0
    fees_micro: int = 0
    pnl_micro: int = 0
    events_per_s: float = 0.0
    peak_rss_mb: float = 0.0
    result: str = "{}"


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """Which set of a parameter sweep a run is; stands among the run's parameters as `sweep`."""

    id: int
    """When the sweep began, ns UTC: the same for all of its runs."""
    set: str
    of: int
    """How many sets were tried, whatever has become of their runs."""
    band: bool = False
    """True = they differ in how paper orders fill alone: one backtest, three answers."""


def sweep_of(parameters: str) -> Sweep | None:
    """Return the sweep a run's parameters name, None for a run alone. Raises msgspec errors."""
    given = msgspec.json.decode(parameters or "{}").get("sweep")
    return None if given is None else msgspec.convert(given, Sweep)


class RunMarket(msgspec.Struct, frozen=True, kw_only=True):
    """What one market brought in a run; `resolved` False = what is left is marked at the mid."""

    instrument: str
    orders: int
    fills: int
    fees_micro: int
    realised_micro: int
    unresolved_micro: int
    position_left: int
    resolved: bool
    funding_micro: int = 0
    """What came (+) or was paid at the stamps of a perpetual."""


_MARKETS = Table(RunMarket, "run_markets")


def save_run(
    connection: Connection,
    run: Run,
    *,
    equity: Iterable[tuple[int, int]] = (),
    markets: Iterable[RunMarket] = (),
) -> int:
    """Write a run with its equity (at_ns, micro) and markets, all or nothing; give its id."""
    values = msgspec.structs.asdict(run)
    with transaction(connection):
        run_id = int(insert(connection, "runs", ends=" RETURNING id", **values).fetchone()[0])
        whose = (run.engine_id, run.mode, run.account)
        connection.executemany(
            "INSERT INTO run_equity (run, at_ns, engine_id, mode, account, equity_micro) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            ((run_id, at_ns, *whose, micro) for at_ns, micro in dict(equity).items()),
        )
        _MARKETS.put(
            connection, run.engine_id, markets, run=run_id, mode=run.mode, account=run.account
        )
    return run_id


def run_of_job(connection: Connection, job: int) -> int | None:
    """Return the run a job of the worker has stored, None where it has not."""
    row = connection.execute("SELECT id FROM runs WHERE job = ? LIMIT 1", (job,)).fetchone()
    return None if row is None else int(row[0])


# -- performance, with the definitions empyrical has (a test compares) -----------------------------
# A year has 365 days: markets here never close. No risk-free rate is subtracted. What cannot be
# computed from so few returns is None, never a plausible number.

DAY_NS = 86_400 * 1_000_000_000
HOUR_NS = DAY_NS // 24
RETURNS_MIN = 10
"""Fewer returns than this say nothing about a ratio."""

STEPS = (("daily", DAY_NS, 365), ("hourly", HOUR_NS, 365 * 24))
"""Name, length and steps in a year; the longest with enough returns is used."""


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of one curve. Ratios are yearly; a fraction of 0.01 is one per cent."""

    step: str
    """`daily` or `hourly`: of which returns the ratios are; the last one tried where too few."""
    returns: int
    enough: bool
    sharpe: float | None = None
    sortino: float | None = None
    calmar: float | None = None
    volatility: float | None = None
    drawdown: float | None = None
    """Deepest fall from a peak as a fraction of that peak, ≤ 0, over every point of the curve."""
    profit_factor: float | None = None
    """What winning markets brought over what losing ones cost; None = none lost."""
    won: int = 0
    lost: int = 0


def returns_of(values: Sequence[float]) -> list[float]:
    """Return the relative change between neighbours. `values` are above zero."""
    return [after / before - 1.0 for before, after in pairwise(values)]


def sharpe(returns: Sequence[float], steps_per_year: int) -> float | None:
    """Return mean over standard deviation (n - 1), yearly; None where nothing moved."""
    deviation = statistics.stdev(returns)
    if deviation == 0:
        return None
    return statistics.fmean(returns) / deviation * math.sqrt(steps_per_year)


def sortino(returns: Sequence[float], steps_per_year: int) -> float | None:
    """Return mean over downside deviation against zero, yearly; None where nothing fell."""
    downside = math.sqrt(math.fsum(min(r, 0.0) ** 2 for r in returns) / len(returns))
    if downside == 0:
        return None
    return statistics.fmean(returns) / downside * math.sqrt(steps_per_year)


def volatility(returns: Sequence[float], steps_per_year: int) -> float:
    """Return the standard deviation (n - 1), yearly."""
    return statistics.stdev(returns) * math.sqrt(steps_per_year)


def calmar(returns: Sequence[float], steps_per_year: int) -> float | None:
    """Return the compound yearly return over the deepest fall; None where nothing fell."""
    values = [1.0]
    for change in returns:
        values.append(values[-1] * (1.0 + change))
    deepest = drawdown(values)
    if deepest == 0:
        return None
    yearly: float = values[-1] ** (steps_per_year / len(returns)) - 1.0
    return yearly / abs(deepest)


def drawdown(values: Iterable[float]) -> float:
    """Return the deepest fall from an earlier peak as a fraction of it, ≤ 0."""
    peak, deepest = -math.inf, 0.0
    for value in values:
        peak = max(peak, value)
        if peak > 0:
            deepest = min(deepest, value / peak - 1.0)
    return deepest


def profit_factor(amounts: Iterable[float]) -> float | None:
    """Return the sum of gains over the sum of losses; None where nothing was lost."""
    gains = losses = 0.0
    for amount in amounts:
        if amount > 0:
            gains += amount
        else:
            losses -= amount
    return gains / losses if losses else None


def of_run(connection: Connection, engine_id: str, run_id: int) -> Performance:
    """Return the statistics of a run, over its whole curve and its markets."""
    made = Performance(step=STEPS[-1][0], returns=0, enough=False)
    for name, step_ns, steps_per_year in STEPS:
        returns = returns_of(grid(connection, engine_id, run_id, step_ns))
        made = msgspec.structs.replace(made, step=name, returns=len(returns))
        if len(returns) >= RETURNS_MIN:
            made = msgspec.structs.replace(
                made,
                enough=True,
                sharpe=sharpe(returns, steps_per_year),
                sortino=sortino(returns, steps_per_year),
                calmar=calmar(returns, steps_per_year),
                volatility=volatility(returns, steps_per_year),
            )
            break
    curve = connection.execute(
        "SELECT equity_micro FROM run_equity WHERE engine_id = ? AND run = ? ORDER BY at_ns",
        (engine_id, run_id),
    )
    amounts = [
        micro / 1e6
        for (micro,) in connection.execute(
            "SELECT realised_micro + unresolved_micro + funding_micro - fees_micro "
            "FROM run_markets WHERE engine_id = ? AND run = ?",
            (engine_id, run_id),
        )
    ]
    return msgspec.structs.replace(
        made,
        drawdown=drawdown(float(micro) for (micro,) in curve),
        profit_factor=profit_factor(amounts),
        won=sum(amount > 0 for amount in amounts),
        lost=sum(amount < 0 for amount in amounts),
    )


def grid(connection: Connection, engine_id: str, run_id: int, step_ns: int) -> list[float]:
    """Return the last equity of each step; a step without a point repeats the one before.

    Nothing at all where a value is not above zero: a return from there has no meaning.
    """
    # SQLite gives equity_micro of the very row that has the greatest at_ns.
    rows = connection.execute(
        "SELECT at_ns / ?, max(at_ns), equity_micro FROM run_equity "
        "WHERE engine_id = ? AND run = ? GROUP BY 1 ORDER BY 1",
        (step_ns, engine_id, run_id),
    ).fetchall()
    values: list[float] = []
    at = None
    for step, _, micro in rows:
        if micro <= 0:
            return []
        if at is not None:
            values += [values[-1]] * (step - at - 1)
        values.append(micro / 1e6)
        at = step
    return values


# -- the fills of one run --------------------------------------------------------------------------
# A run's journal is not projected into the state file; what is asked for here is a page of it.

RECORDS_MAX = 400_000
"""Most records of fills and orders that are read; about two seconds."""

_KINDS = ("InstrumentListed", "PlaceOrder", "OrderFilled", "FillSettled", "FillVoided")
_ENDS = {"FillSettled": FillState.CONFIRMED, "FillVoided": FillState.FAILED}


class RunFills(msgspec.Struct, kw_only=True):
    """Fills of a run, newest first, at most `ROWS_MAX`, and what all that fit sum to.

    A row's `number` counts from the newest fill on.
    """

    rows: list[Row] = []
    count: int = 0
    failed: int = 0
    bought_micro: int = 0
    sold_micro: int = 0
    fees_micro: int = 0
    paid: dict[Asset, int] = {}
    """Fees in assets beside the currency, in their smallest units."""
    margined: bool = False
    """Some are of a position held against margin: bought and sold is not what was paid."""
    whole: bool = True
    """False = the journal holds more records than are read."""

    @property
    def fees_in_assets(self) -> tuple[str, ...]:
        """What was paid in assets beside the currency, exact, for people: `0.1 BNB`."""
        by_name = sorted(self.paid.items(), key=lambda one: (one[0].id, one[0].decimals))
        return tuple(f"{of.text(amount)} {of.id}" for of, amount in by_name)


def run_fills(
    path: Path, *, instrument: str = "", after: int = 0, most: int = ROWS_MAX
) -> RunFills:
    """Return the fills of a run's journal, of one instrument where it is named.

    `after` = the rows behind the one of that number; `most` = so many rows at most.

    Raises StorageError where the file cannot be read, JournalCorrupt for an unreadable record.
    """
    listed: dict[str, Instrument] = {}
    orders: dict[int, Order] = {}
    fills: dict[tuple[str, str], tuple[OrderFilled, int]] = {}
    ends: dict[tuple[str, str], FillState] = {}
    read = 0
    with reading(path) as connection:
        for record in _records(connection):
            read += 1
            message: Any = decode(record)
            if record.kind == "InstrumentListed":
                listed[message.instrument.id] = message.instrument
            elif record.kind == "PlaceOrder":
                orders[message.order.id] = message.order
            elif record.kind == "OrderFilled":
                fills.setdefault((message.account, message.fill), (message, record.at_ns))
            else:
                ends.setdefault((message.account, message.fill), _ENDS[record.kind])
    found = RunFills(whole=read < RECORDS_MAX)
    for key, (fill, at_ns) in reversed(fills.items()):
        order = orders.get(fill.order)
        if order is not None and instrument in ("", order.instrument):
            state = ends.get(key, fill.state)
            terms = listed.get(order.instrument)
            row = _row(fill, order, terms, state, at_ns)
            fee = None if row["fee_paid"] is None or fill.fee is UNSET else fill.fee
            found.margined |= terms is not None and terms.product.signed
            _add(found, row, fee, listed=found.count >= after and len(found.rows) < most)
    return found


def _records(connection: Connection) -> Iterator[Record]:
    places = ", ".join("?" * len(_KINDS))
    sql = f"SELECT * FROM records WHERE kind IN ({places}) ORDER BY seq LIMIT ?"  # noqa: S608 our own marks
    return map(record_of, connection.execute(sql, (*_KINDS, RECORDS_MAX)))


def _row(
    fill: OrderFilled, order: Order, terms: Instrument | None, state: FillState, at_ns: int
) -> Row:
    value = price_decimals = size_decimals = None
    if terms is not None:
        price_decimals, size_decimals = terms.price_decimals, terms.size_decimals
        value = fill.moved_micro(terms, order.side)
    fee_micro, fee = fill.fees_in(None if terms is None else terms.currency)
    return {
        "id": fill.fill,
        "order_id": fill.order,
        "account": fill.account,
        "bot": order.bot,
        "instrument": order.instrument,
        "side": order.side.value,
        "leg": order.leg.value,
        "price": shown(fill.price, price_decimals),
        "size": shown(fill.size, size_decimals),
        "value": shown(value, MICRO_DECIMALS),
        "value_micro": value or 0,
        "fee": shown(fee_micro, MICRO_DECIMALS),
        "fee_micro": fee_micro,
        "fee_paid": None if fee is None else fee.text,
        "liquidity": fill.liquidity.value,
        "state": state.value,
        "at_ns": at_ns,
        "listed_kind": terms and terms.kind.value,
        "currency": terms and terms.currency,
    }


def _add(found: RunFills, row: Row, paid: Money | None, *, listed: bool) -> None:
    found.count += 1
    value, fee = row.pop("value_micro"), row.pop("fee_micro")
    if row["state"] == FillState.FAILED:
        found.failed += 1
    else:
        found.fees_micro += fee
        if paid is not None:
            found.paid[paid.asset] = found.paid.get(paid.asset, 0) + paid.amount
        if row["side"] == Side.BUY:
            found.bought_micro += value
        else:
            found.sold_micro += value
    if listed:
        found.rows.append({**row, "number": found.count})
