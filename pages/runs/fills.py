"""The fills of one run, from the journal it kept: what its figures are made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from pages.kit import guard, panels
from pages.kit.home import config
from pages.kit.names import market
from pages.kit.tables import table
from pages.kit.words import count, micro
from pages.shared.order_rows import fitting
from storage.runs import RunFills, run_fills
from storage.views import ROWS_MAX

COLUMNS = {
    "at_ns": ("Filled", "time"),
    "way": ("Side", "text"),
    "price": ("Price", "price"),
    "size": ("Size", "size"),
    "value": ("Value", "money"),
    "fee": ("Fee", "fee"),
    "state": ("State", "text"),
    "liquidity": ("Liquidity", "text"),
    "instrument": ("Market", "market"),
    "bot": ("Bot", "text"),
    "order_id": ("Order", "count"),
}
FILLS = "fills"


def journal_of(run: Mapping[str, Any]) -> Path | None:
    """Return the journal a run kept, None where it kept none or where it was removed."""
    path = config().home / "runs" / str(run["started_ns"]) / "journal.db"
    return path if path.is_file() else None


def address(run: Mapping[str, Any], instrument: str = "") -> str:
    """Return where the fills of a run are, or of one of its markets; empty = no journal is kept."""
    if journal_of(run) is None:
        return ""
    only = {"market": instrument} if instrument else {}
    return panels.address("runs", run=run["id"], show=FILLS, **only)


@st.cache_data(max_entries=8, show_spinner="Reading the run's journal")
def _read(path: Path, changed_ns: int, instrument: str) -> RunFills:  # noqa: ARG001 part of the key
    return run_fills(path, instrument=instrument)


@guard.part("The fills of the run")
def show(run: Mapping[str, Any], instrument: str) -> None:
    """Draw a run's fills."""
    number, where = run["id"], panels.address("runs", run=run["id"])
    panels.links(panels.anchor(f"← Run {number}", where), panels.link("All runs", "runs"))
    of = f" in {market(instrument)}" if instrument else ""
    panels.head(
        f"Fills of run {number}{of}", "From the run's own journal · times are the recording's"
    )
    path = journal_of(run)
    if path is None:
        panels.empty(
            "No journal was kept for this run.",
            "It ran with --journal digest, or its folder was removed; the same run again has it.",
        )
        return
    found = _read(path, path.stat().st_mtime_ns, instrument)
    if instrument:
        panels.links(panels.anchor("Fills of all its markets", address(run)))
    if not found.rows:
        panels.empty("Nothing was filled.", "What it wished and why not stands in its journal.")
        return
    panels.note(sentence(found))
    table(fitting(found.rows, ""), COLUMNS, key=f"run_fills_{number}")
    panels.links(panels.link("Its journal: every order and fill", "journal", run=number))


def sentence(found: RunFills) -> str:
    """Return what a run's fills sum to."""
    flow = found.sold_micro - found.bought_micro - found.fees_micro
    said = [
        count(found.count, "fill"),
        f"bought {micro(found.bought_micro)}",
        f"sold {micro(found.sold_micro)}",
        f"fees {micro(found.fees_micro)}",
        f"so cash {micro(flow, signed=True)}, resolutions apart",
    ]
    if found.failed:
        said.append(f"{found.failed:,} failed and void")
    if found.count > ROWS_MAX:
        said.append(f"the latest {ROWS_MAX} are listed")
    if not found.whole:
        said.append("its journal is longer than what was read: sums and rows are not whole")
    return " · ".join(said)
