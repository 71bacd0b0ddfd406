"""Orders and fills of one mode: what works, what ended, and the fills behind every number."""

from __future__ import annotations

from typing import Any

import streamlit as st

from engine.domain.instruments import Mode
from pages.parts import asking, by_hand, markouts, order_detail, panels
from pages.parts.bar import modes_of
from pages.parts.clock import now_ns
from pages.parts.data import ask, engine_id
from pages.parts.health import health_of
from pages.parts.order_rows import FILLS, ORDERS, fitting
from pages.parts.status_bar import mode_shown
from pages.parts.tables import choice, unchoose
from pages.parts.words import count
from storage import views
from storage.dashboard_views import engine_seen, snapshot

REFRESH_S = 2.0
WORKING, ALL, FILLED = "Working", "All orders", "Fills"
NOTHING_YET = {
    WORKING: ("No order is working.", "A running bot places orders; its wishes stand in Journal."),
    ALL: ("No order has ever been placed in this mode.", "Start a bot under Bots."),
    FILLED: ("Nothing has been filled in this mode.", "Fills appear as the venue reports them."),
}


def rows_of(what: str, mode: Mode) -> list[dict[str, Any]]:
    """Return what was asked for, newest first."""
    if what == FILLED:
        return ask(views.fills, engine_id(), mode=mode)
    return ask(views.orders, engine_id(), mode=mode, open_only=what == WORKING)


@st.fragment(run_every=REFRESH_S)
def show_rows(mode: Mode, what: str, wanted: str) -> None:
    """Draw the rows as they stand, anew every few seconds, and the selected order."""
    alive = health_of(ask(engine_seen), now_ns()).alive
    if not alive:
        st.warning(
            "NO ENGINE IS RUNNING: states are as of when it stopped.", icon=":material/power_off:"
        )
    rows = rows_of(what, mode)
    shown = fitting(rows, wanted)
    if not rows:
        panels.empty(*NOTHING_YET[what])
    else:
        latest = f", the latest {views.ROWS_MAX}" if len(rows) == views.ROWS_MAX else ""
        panels.note(f"{mode.upper()} · {count(len(shown), 'row')} of {len(rows):,}{latest}")
    if rows and not shown:
        panels.empty("Nothing fits the filter.", "Clear the filter to see all rows.")
    key = f"orders_{what}"
    number = "order_id" if what == FILLED else "id"
    ids = [(row["account"], row[number]) for row in shown]
    if what == FILLED:
        ids = [(*pair, row["id"]) for pair, row in zip(ids, shown, strict=True)]
    drawer = st.container()
    chosen = st.session_state.get(f"chosen:{key}")
    if shown:
        if what == FILLED:
            chosen = choice(markouts.beside(shown), FILLS, key=key, ids=ids)
            panels.note(markouts.MEANING)
        else:
            chosen = choice(shown, ORDERS, key=key, ids=ids)
    if chosen is not None:
        with drawer, st.container(key="drawer"):
            if st.button("Close", key=f"close_{key}", icon=":material/close:"):
                unchoose(key)
                st.query_params.clear()
                st.rerun()
            order_detail.show(chosen[0], chosen[1], mode, alive=alive)


def open_linked(what: str) -> None:
    """Open the order an address names, once per address."""
    account, number = st.query_params.get("account"), st.query_params.get("order", "")
    if account and number.isdecimal() and st.session_state.get("opened") != (account, number):
        st.session_state["opened"] = (account, number)
        st.session_state[f"chosen:orders_{what}"] = (account, int(number))


def main() -> None:
    """Draw the page."""
    panels.head("Orders", "From the journal's projection, at most 1 s old, anew every 2 s")
    mode = mode_shown(modes_of(ask(snapshot)))
    if mode is None:
        panels.empty(
            "There is no account, so there are no orders.",
            "Orders of replays are not listed here: each run keeps a journal of its own.",
        )
        panels.links(panels.link("Runs", "runs"))
        return
    by_hand.show(mode)
    asking.show()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        linked = (
            ALL if "order" in st.query_params else FILLED if "fills" in st.query_params else None
        )
        what = st.segmented_control(
            "Show",
            (WORKING, ALL, FILLED),
            default=linked or WORKING,
            key="orders_what",
            required=True,
        )
        wanted = st.text_input(
            "Filter",
            value=st.query_params.get("fills", ""),
            placeholder="bot, market, state, side, identity …, then Enter",
            key="orders_text",
        )
    open_linked(what)
    show_rows(mode, what, wanted.lower())


main()
