"""The fills of one run, read from the journal it kept: each once, with its order's side and bot.

A run's journal is not projected into the state file; what is asked for here is a page of it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from engine.domain.events import OrderFilled
from engine.domain.fills import FillState
from engine.domain.instruments import Instrument, Side
from engine.domain.money import ceil_div
from engine.domain.orders import Order
from storage.database import reading
from storage.records import Record, decode
from storage.views import MICRO_DECIMALS, ROWS_MAX, Row, shown

RECORDS_MAX = 400_000
"""Most records of fills and orders that are read; about two seconds."""

_KINDS = ("InstrumentListed", "PlaceOrder", "OrderFilled", "FillSettled", "FillVoided")
_ENDS = {"FillSettled": FillState.CONFIRMED, "FillVoided": FillState.FAILED}


class RunFills(msgspec.Struct, kw_only=True):
    """Fills of a run, newest first, at most `ROWS_MAX`, and what all that fit sum to."""

    rows: list[Row] = []
    count: int = 0
    failed: int = 0
    bought_micro: int = 0
    sold_micro: int = 0
    fees_micro: int = 0
    whole: bool = True
    """False = the journal holds more records than are read."""


def run_fills(path: Path, *, instrument: str = "") -> RunFills:
    """Return the fills of a run's journal, of one instrument where it is named.

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
            _add(found, _row(fill, order, listed.get(order.instrument), state, at_ns))
    return found


def _records(connection: sqlite3.Connection) -> Any:
    places = ", ".join("?" * len(_KINDS))
    for seq, at_ns, account, kind, body in connection.execute(
        f"SELECT seq, at_ns, account, kind, body FROM records WHERE kind IN ({places}) "  # noqa: S608 our own marks
        "ORDER BY seq LIMIT ?",
        (*_KINDS, RECORDS_MAX),
    ):
        yield Record(seq=seq, at_ns=at_ns, account=account, kind=kind, body=body)


def _row(
    fill: OrderFilled, order: Order, terms: Instrument | None, state: FillState, at_ns: int
) -> Row:
    value = price_decimals = size_decimals = None
    if terms is not None:
        price_decimals, size_decimals = terms.price_decimals, terms.size_decimals
        raw = fill.price * fill.size
        # Rounded against us, as the ledger does: what we pay up, what we get down.
        buys = order.side is Side.BUY
        value = ceil_div(raw, terms.value_divisor) if buys else raw // terms.value_divisor
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
        "fee": shown(fill.fee_micro, MICRO_DECIMALS),
        "fee_micro": fill.fee_micro,
        "liquidity": fill.liquidity.value,
        "state": state.value,
        "at_ns": at_ns,
        "listed_kind": terms and terms.kind.value,
        "currency": terms and terms.currency,
    }


def _add(found: RunFills, row: Row) -> None:
    found.count += 1
    value, fee = row.pop("value_micro"), row.pop("fee_micro")
    if row["state"] == FillState.FAILED:
        found.failed += 1
    else:
        found.fees_micro += fee
        if row["side"] == Side.BUY:
            found.bought_micro += value
        else:
            found.sold_micro += value
    if len(found.rows) < ROWS_MAX:
        found.rows.append(row)
