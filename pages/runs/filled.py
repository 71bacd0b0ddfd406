"""Fills of a backtest, from its own journal: of the whole run, or of one of its markets."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import streamlit as st

from engine.domain.money import MICRO
from pages.kit import guard, panels
from pages.kit.home import config
from pages.kit.names import market
from pages.kit.tables import TableRow, page_behind, table, turn
from pages.orders.page import fitting
from pages.orders.page import sentence as of_sums
from pages.shared import markouts
from storage.runs import RunFills, run_fills
from storage.views.drill_down import FillSums

FILL_COLUMNS = markouts.fill_columns(
    "realised", "source", "id", "transaction_id", *markouts.COLUMNS
)
FILLS = "fills"


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
    table(fitting(found.rows, ""), FILL_COLUMNS, key=key)
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
