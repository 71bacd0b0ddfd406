"""What the bots of a strategy made beside what recorded data shows of it, each mode apart."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import streamlit as st

from engine.domain.catalog import StrategyEntry
from engine.domain.evidence import EvidenceRow
from engine.domain.instruments import Mode
from pages.kit import guard, panels
from pages.kit.data import ask_seldom, engine_id
from pages.kit.home import now_ns
from pages.kit.tables import Col, ColKind, columns_of, table
from pages.kit.words import NOTHING, in_column
from pages.shared import evidence as shown
from storage.views import Row
from storage.views.by_strategy import by_strategy

DAY_NS = 86_400 * 1_000_000_000
COLUMNS = columns_of(
    Col("strategy"),
    Col("mode"),
    Col("running", "Bots running", ColKind.COUNT),
    Col("stopped", "Not running", ColKind.COUNT),
    Col("removed", "Bots removed", ColKind.COUNT),
    Col("total", "PnL", ColKind.GAIN),
    Col("a_day", "PnL a day", ColKind.GAIN),
    Col("tested", "Tested, PAPER", ColKind.LONG),
    Col("verdict"),
    Col("realised"),
    Col("funding", kind=ColKind.GAIN),
    Col("fees", kind=ColKind.MONEY),
    Col("fills"),
    Col("first_ns", "First fill"),
)


def tested(name: str, entry: StrategyEntry) -> str:
    """Return the newest evidence of the strategy's code: the mean with its interval, in words."""
    found = [one for one in shown.rows(name, entry) if one.current]
    if not found:
        return "never with this code"
    newest = max(found, key=lambda one: (one.here, one.row.proved_ns, one.row.ended_ns)).row
    return f"{_mean(newest)} ({newest.data})"


def _mean(row: EvidenceRow) -> str:
    if row.error or row.mean is None or row.low is None or row.high is None:
        return f"no mean: {row.error or 'it traded too little'}"
    mean, low, high = (in_column(one, signed=True) for one in (row.mean, row.low, row.high))
    return f"{mean} [{low}, {high}] {row.currency} a {row.per}"


def rows_of(catalog: Mapping[str, StrategyEntry], name: str = "") -> list[Row]:
    """Return a row for each strategy, mode and currency its bots have; of one, if it is named."""
    now = now_ns()
    rows = []
    for row in ask_seldom(by_strategy, engine_id=engine_id()):
        entry = catalog.get(row["strategy"])
        if name and row["strategy"] != name:
            continue
        days = 0 if row["first_ns"] is None else Decimal(now - row["first_ns"]) / DAY_NS
        verdict = NOTHING if entry is None else shown.verdict(row["strategy"], entry)[0].upper()
        rows.append(
            row
            | {
                "mode": row["mode"].upper(),
                "a_day": row["total"] / days if days >= 1 and row["total"] is not None else None,
                "tested": NOTHING if entry is None else tested(row["strategy"], entry),
                "verdict": verdict,
            }
        )
    return rows


@guard.part("Traded and tested")
def show(catalog: Mapping[str, StrategyEntry], name: str = "") -> None:
    """Draw what the bots made beside the newest evidence, of all strategies or of one."""
    st.markdown("**Traded and tested, side by side**")
    rows = rows_of(catalog, name)
    if not rows:
        panels.empty(
            "No bot has this strategy." if name else "No strategy has a bot.",
            "Sums over bots stand here once there is one: page Bots, *Create a bot*.",
        )
        return
    for currency in dict.fromkeys(row["currency"] for row in rows):
        mine = [row for row in rows if row["currency"] == currency]
        table(mine, COLUMNS, key=f"by_strategy_{name}_{currency}")
    panels.note(
        "All bots by the strategy they have now, removed ones by their last, modes never summed. "
        "PnL = realised \N{MINUS SIGN} fees + funding + unrealised at the last mid, since the "
        "first fill; a day once one has passed. "
        f"Tested, {Mode.PAPER.upper()}: the newest evidence, "
        f"{shown.PLAYED}, with its 95 % interval."
    )
