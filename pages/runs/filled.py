"""Fills of a backtest, of a run or of one of its markets, and the order of each, by its journal."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import streamlit as st

from engine.domain.money import MICRO
from pages.kit import guard, names, panels
from pages.kit.home import config
from pages.kit.markdown import literal
from pages.kit.names import market
from pages.kit.tables import Col, TableRow, choice, columns_of, page_behind, table, turn, unchoose
from pages.orders.page import fitting
from pages.orders.page import sentence as of_sums
from pages.shared import markouts, order, refusals
from pages.shared.order import LIFE, WHY, OrderFiles
from storage.run_orders import OrderLife, RunOrders, run_orders
from storage.runs import RECORDS_MAX, RunFills, run_fills
from storage.views import Row
from storage.views.drill_down import FillSums

FILL_COLUMNS = markouts.fill_columns(
    "realised", "source", "id", "transaction_id", *markouts.COLUMNS
)
FILLS = "fills"
TRADES = columns_of(
    Col("at_ns"),
    Col("way"),
    Col("price"),
    Col("size"),
    Col("value"),
    Col("fee"),
    Col("liquidity"),
    Col("order_id"),
)
"""Columns of fills of one market; an order's own name no order."""
ORDER_FILLS = {name: one for name, one in TRADES.items() if name != "order_id"}


def journal_of(run: TableRow) -> Path | None:
    """Return the journal a run kept, None where it kept none or where it was removed."""
    path = config().home / "runs" / str(run["started_ns"]) / "journal.db"
    return path if path.is_file() else None


def address(run: TableRow, instrument: str = "") -> str:
    """Return where the fills of a run are, or of one of its markets; empty = no journal is kept."""
    if journal_of(run) is None:
        return ""
    only = {"market": instrument} if instrument else {}
    return panels.address("runs", run=run["id"], show=FILLS, **only)


@st.cache_data(max_entries=8, show_spinner="Reading the run's journal")
def _read_fills(path: Path, changed_ns: int, instrument: str, after: int) -> RunFills:  # noqa: ARG001 part of the key
    return run_fills(path, instrument=instrument, after=after)


def open_order(run: TableRow, number: int) -> None:
    """Turn the page to one order of a run."""
    st.query_params.from_dict({"run": str(run["id"]), "order": str(number)})
    st.rerun()


@guard.part("The run's fills")
def show(run: TableRow, instrument: str) -> None:
    number, where = run["id"], panels.address("runs", run=run["id"])
    panels.links(panels.anchor(f"← Run {number}", where), panels.link("All backtests", "runs"))
    of = f" in {market(instrument)}" if instrument else ""
    panels.head(
        f"Fills of run {number}{of}", "From the run's own journal · times are the recording's"
    )
    path = journal_of(run)
    if path is None:
        panels.empty(
            "No journal was kept for this run.",
            "It ran with --journal digest, or its folder was removed; run it again to get one.",
        )
        return
    key = f"run_fills_{number}"
    (after,) = page_behind(key, instrument) or (0,)
    found = _read_fills(path, path.stat().st_mtime_ns, instrument, after)
    if instrument:
        panels.links(panels.anchor("Fills of all its markets", address(run)))
    if not found.count:
        panels.empty("Nothing was filled.", "Its journal shows what it wanted, and why not.")
        return
    panels.note(f"{run['mode']} · {sentence(found, run['currency'])}")
    rows = fitting(found.rows, "")
    chosen = choice(rows, FILL_COLUMNS, key=key, ids=[row["number"] for row in rows])
    row = next((row for row in rows if row["number"] == chosen), None)
    if row is not None:
        unchoose(key)
        open_order(run, row["order_id"])
    panels.note("Select a fill for why its order was placed.")
    turn(key, found.rows, ("number",))
    panels.links(panels.link("Its journal: every order and fill", "journal", run=number))


def sentence(found: RunFills, currency: str) -> str:
    paid_micro = found.sold_micro - found.bought_micro - found.fees_micro
    sums = FillSums(
        currency=currency,
        count=found.count,
        failed=found.failed,
        unvalued=0,
        bought=Decimal(found.bought_micro) / MICRO,
        sold=Decimal(found.sold_micro) / MICRO,
        fees=Decimal(found.fees_micro) / MICRO,
        cash=None if found.margined else Decimal(paid_micro) / MICRO,
        fees_in_assets=found.fees_in_assets,
    )
    late = " · its journal is longer than the part read: totals and rows are incomplete"
    return of_sums(sums) + late * (not found.whole)


# -- One order of a run, by the run's own records -----------------------------------------------


def orders_of(journal: Path) -> RunOrders:
    """Return every order of a run. Raises StorageError, JournalCorrupt."""
    return _orders(journal, journal.stat().st_mtime_ns)


def fills_of(journal: Path, instrument: str) -> list[Row]:
    """Return a run's fills in one market, oldest first. Raises StorageError, JournalCorrupt."""
    return _fills(journal, journal.stat().st_mtime_ns, instrument)


@st.cache_resource(max_entries=2, show_spinner="Reading the run's journal")
def _orders(path: Path, changed_ns: int) -> RunOrders:
    del changed_ns
    return run_orders(path)


@st.cache_resource(max_entries=4, show_spinner="Reading the run's journal")
def _fills(path: Path, changed_ns: int, instrument: str) -> list[Row]:
    del changed_ns
    found = run_fills(path, instrument=instrument, most=RECORDS_MAX)
    return [*reversed(fitting(found.rows, ""))]


@guard.part("The order of the backtest")
def show_order(run: TableRow, named: str) -> None:
    """Draw the order of this number, or say that the run has none."""
    number = run["id"]
    panels.links(
        panels.link(f"← Backtest {number}", "runs", run=number),
        panels.link("Its fills", "runs", run=number, show=FILLS),
    )
    path = journal_of(run)
    found = None if path is None else orders_of(path)
    life = found.lives.get(int(named)) if found is not None and named.isdecimal() else None
    if path is None or found is None or life is None:
        panels.head(f"Order {named} of backtest {number}", "From the run's own journal")
        panels.empty(
            f"There is no order {named} in this backtest.",
            "Its journal was not kept or was removed, or the address was mistyped.",
        )
        return
    row = row_of(life, found)
    reason = refusals.in_words(row["reason"], row)
    panels.head(literal(order.title(row)), f"Backtest {number} · times are the recording's")
    panels.note(
        f"{row['state'].upper()}{': ' + reason if reason else ''} · bot {row['bot']} · "
        f"{row['account']} · {run['mode']} · from the run's own journal and decision log"
    )
    fills = [one for one in fills_of(path, life.instrument) if one["order_id"] == life.id]
    files = OrderFiles(path, path.with_name("decisions.db"))
    what = st.segmented_control(
        "About the order", (WHY, LIFE), default=WHY, key="run_order_about", required=True
    )
    if what == WHY:
        order.show_why(row, files)
    else:
        order.show_life(row, fills, files)
    if fills:
        table(fills, ORDER_FILLS, key="run_order_fills")
    else:
        panels.note("Nothing of it was filled.")


def terms_of(found: RunOrders, instrument: str) -> Row:
    """Return the units of an instrument as its run's journal lists them; unlisted = unknown."""
    listed = found.listed.get(instrument)
    if listed is None:
        return names.UNLISTED | {"currency": None}
    return {
        "price_decimals": listed.price_decimals,
        "size_decimals": listed.size_decimals,
        "listed_kind": listed.kind.value,
        "currency": listed.currency,
    }


def row_of(life: OrderLife, found: RunOrders) -> Row:
    """Return an order of a run as the desk's own orders are given; unlisted terms stay unknown."""
    return terms_of(found, life.instrument) | {
        "id": life.id,
        "account": life.account,
        "bot": life.bot,
        "instrument": life.instrument,
        "side": life.side.value,
        "leg": life.leg.value,
        "price_raw": life.price,
        "size_raw": life.size,
        "decision": life.decision,
        "created_ns": life.placed_ns,
        "state": life.state.value,
        "reason": life.reason,
        "seq": found.last_seq,
    }
