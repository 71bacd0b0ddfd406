"""Orders and fills of one mode: what works, what ended, and the fills behind every number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from engine.domain.instruments import Mode
from pages.parts import order_detail, panels
from pages.parts.bar import modes_of
from pages.parts.clock import now_ns
from pages.parts.data import ask, engine_id
from pages.parts.health import health_of
from pages.parts.status_bar import mode_shown
from pages.parts.tables import table
from pages.parts.words import count
from storage import views
from storage.dashboard_views import snapshot

ORDERS = {
    "id": ("Order", "count"),
    "state": ("State", "text"),
    "bot": ("Bot", "text"),
    "instrument": ("Market", "id"),
    "way": ("Side", "text"),
    "price": ("Price", "price"),
    "size": ("Size", "size"),
    "filled": ("Filled", "size"),
    "fee": ("Fees", "money"),
    "reason": ("Reason", "text"),
    "created_ns": ("Placed", "time"),
    "updated_ns": ("Changed", "time"),
}
FILLS = {
    "at_ns": ("Filled", "time"),
    "state": ("State", "text"),
    "bot": ("Bot", "text"),
    "instrument": ("Market", "id"),
    "way": ("Side", "text"),
    "price": ("Price", "price"),
    "size": ("Size", "size"),
    "value": ("Value", "money"),
    "fee": ("Fee", "money"),
    "liquidity": ("Liquidity", "text"),
    "order_id": ("Order", "count"),
}
WORKING, ALL, FILLED = "Working", "All orders", "Fills"
NOTHING_YET = {
    WORKING: ("No order is working.", "A running bot places orders; its wishes stand in Journal."),
    ALL: ("No order has ever been placed in this mode.", "Start a bot under Bots."),
    FILLED: ("Nothing has been filled in this mode.", "Fills appear as the venue reports them."),
}


def fitting(rows: Sequence[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    """Return the rows in which a text stands, each with its side as a word."""
    return [
        {**row, "way": f"{row['side'].upper()} {row['leg'].upper()}"}
        for row in rows
        if wanted in " ".join(str(value) for value in row.values()).lower()
    ]


def rows_of(what: str, mode: Mode) -> list[dict[str, Any]]:
    """Return what was asked for, newest first."""
    if what == FILLED:
        return ask(views.fills, engine_id(), mode=mode)
    return ask(views.orders, engine_id(), mode=mode, open_only=what == WORKING)


def main() -> None:
    """Draw the page."""
    seen = ask(snapshot)
    alive = health_of(seen.engine, now_ns()).alive
    panels.head(
        "Orders",
        "From the journal's projection, at most 1 s old"
        + ("" if alive else " · NO ENGINE IS RUNNING: states are as of when it stopped"),
    )
    mode = mode_shown(modes_of(seen))
    if mode is None:
        panels.empty(
            "There is no account, so there are no orders.",
            "Orders of replays are not listed here: each run keeps a journal of its own.",
        )
        panels.links(panels.link("Runs", "runs"))
        return
    what = st.segmented_control(
        "Show", (WORKING, ALL, FILLED), default=WORKING, key="orders_what", required=True
    )
    wanted = st.text_input(
        "Filter", placeholder="bot, market, state, side, identity …, then Enter", key="orders_text"
    ).lower()
    rows = rows_of(what, mode)
    shown = fitting(rows, wanted)
    if not rows:
        panels.empty(*NOTHING_YET[what])
        return
    latest = f", the latest {views.ROWS_MAX}" if len(rows) == views.ROWS_MAX else ""
    panels.note(f"{mode.upper()} · {count(len(shown), 'row')} of {len(rows):,}{latest}")
    if not shown:
        panels.empty("Nothing fits the filter.", "Clear the filter to see all rows.")
        return
    columns = FILLS if what == FILLED else ORDERS
    chosen = table(shown, columns, key=f"orders_{what}", select=True)
    if chosen is not None:
        order_detail.show(chosen, mode, alive=alive, is_fill=what == FILLED)


main()
