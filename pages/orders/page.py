"""Working orders, all orders and fills, each with its reason and history.

Every number links to the records behind it.

Changes: places or cancels one by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from engine.domain.instruments import Mode
from engine.domain.plain import PlainView
from engine.domain.telemetry import BookTop, Earnings
from pages import Page
from pages.frame.bar import mode_shown, modes_of
from pages.kit import commands, guard, links, panels
from pages.kit.data import ask, ask_seldom, engine_id
from pages.kit.tables import (
    Col,
    ColKind,
    choice,
    choose,
    chosen_in,
    columns_of,
    page_behind,
    turn,
    unchoose,
)
from pages.kit.words import count, money
from pages.shared import markouts, order, refusals, ticket
from pages.shared.why import way
from storage import live
from storage.live import books
from storage.retention import orders_gone
from storage.views import ROWS_MAX, Row
from storage.views.drill_down import (
    FILL_KEY,
    ORDER_KEY,
    FillSums,
    fill_sums,
    fills_behind,
    orders_behind,
)
from storage.views.frame import engine_seen, snapshot

PAGE = Page("Orders", ":material/receipt_long:", "Trade", 2)

REFRESH_S = 2.0
LABELS = {links.WORKING: "Working", links.ALL: "All orders", links.FILLS: "Fills"}
NOTHING_YET = {
    links.WORKING: (
        "No order is working.",
        "A running bot places orders; Bots shows why it does or does not.",
    ),
    links.ALL: ("No order has ever been placed in this mode.", "Start a bot under Bots."),
    links.FILLS: (
        "Nothing has been filled in this mode.",
        "Fills appear as the venue reports them.",
    ),
}
UNDER_KILL = (
    "No order is working: KILL is set.",
    "Nothing is placed until it is released under Risk.",
)


def _about(mode: Mode, what: str, only: PlainView) -> tuple[object, ...]:
    return what, mode, tuple(only.items())


def rows_of(what: str, mode: Mode, only: Mapping[str, object]) -> list[Row]:
    """Return what was asked for, newest first: the page of it that is shown."""
    before = page_behind("orders", _about(mode, what, only))
    if what == links.FILLS:
        return ask(fills_behind, engine_id(), mode=mode, before=before, **only)
    of_orders = {name: value for name, value in only.items() if name != "liquidity"}
    working = what == links.WORKING
    return ask(orders_behind, engine_id(), mode=mode, open_only=working, before=before, **of_orders)


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of orders")
def show_rows(mode: Mode, what: str, only: Mapping[str, object], wanted: str) -> None:
    """Draw the rows as they stand, anew every few seconds, and the selected order."""
    alive = commands.engine_runs("states are as of when it stopped")
    rows = rows_of(what, mode, only)
    shown = fitting(rows, wanted)
    say_what(mode, what, only, rows, shown)
    key = f"orders_{what}"
    number = "order_id" if what == links.FILLS else "id"
    ids: list[tuple[Any, ...]] = [(row["account"], row[number]) for row in shown]
    if what == links.FILLS:
        ids = [(*pair, row["id"]) for pair, row in zip(ids, shown, strict=True)]
    detail_pane = st.container()
    if shown and what == links.FILLS:
        choice(markouts.beside(shown), FILLS, key=key, ids=ids)
        panels.note(markouts.MEANING)
    elif shown and what == links.WORKING:
        # A book an engine left behind is of no use: what it reported last is not the touch of now.
        keys = sorted({(row["account"], row["instrument"]) for row in shown})
        tops = ask(books, engine_id(), tuple(keys)) if alive else {}
        choice(with_earning(with_touch(shown, tops), alive=alive), WORKING, key=key, ids=ids)
        panels.note(f"{BEHIND} Earning: its market's rewards, {order.EARNING}; only live is paid.")
    elif shown:
        choice(shown, ORDERS, key=key, ids=ids)
    chosen = chosen_in(key)
    if isinstance(chosen, tuple):
        with detail_pane, st.container(key="drawer"):
            if st.button("Close", key=f"close_{key}", icon=":material/close:"):
                close(what)
            order.show(chosen[0], chosen[1], mode, alive=alive)


def say_what(
    mode: Mode,
    what: str,
    only: Mapping[str, object],
    rows: list[Row],
    shown: list[Row],
) -> None:
    """Say how many rows there are, what they sum to, and where the older ones are."""
    first = page_behind("orders", _about(mode, what, only)) is None
    if first and not rows and links.narrowed(only):
        panels.empty("Nothing matches these filters.", "Remove one of them above to see more.")
        return
    if first and not rows:
        latched = what == links.WORKING and (engine := ask(engine_seen)) and engine.latched
        panels.empty(*(UNDER_KILL if latched else NOTHING_YET[what]))
        return
    on_page = "" if first and len(rows) < ROWS_MAX else " on this page"
    panels.note(f"{mode.upper()} · {count(len(shown), 'row')} of {len(rows):,}{on_page}")
    turn("orders", rows, FILL_KEY if what == links.FILLS else ORDER_KEY)
    if what == links.ALL and len(rows) < ROWS_MAX and (gone := ask_seldom(orders_gone)):
        panels.note(f"Before these: {gone}.")
    if rows and not shown:
        panels.empty("Nothing matches the filter.", "Clear the filter to see all rows.")
    if what == links.FILLS:
        for sums in ask(fill_sums, engine_id(), mode=mode, **only):
            panels.note(sentence(sums))


def follow_address() -> None:
    """Do what the address asks, once per visit: what to show, and the order to open."""
    address = st.query_params.to_dict()
    # Streamlit forgets a widget whose page was left: who comes back comes by the address again.
    here = "orders_what" in st.session_state
    if here and st.session_state.get("orders_address") == address:
        return
    moved = "orders_address" in st.session_state
    st.session_state["orders_address"] = address
    account, number = address.get("account"), address.get("order", "")
    asked = address.get("show", "")
    what = asked if asked in LABELS else links.ALL if number else links.WORKING
    st.session_state["orders_what"] = what
    st.session_state["orders_text"] = ""
    for one in LABELS if moved else ():
        unchoose(f"orders_{one}")
    if account and number.isdecimal():
        choose(f"orders_{what}", (account, int(number)))


def close(what: str) -> None:
    """Close the drawer; an address that named its order names the rows from now on."""
    unchoose(f"orders_{what}")
    if "order" in st.query_params:
        st.query_params.from_dict({"show": what})
        st.session_state["orders_address"] = st.query_params.to_dict()
    st.rerun()


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Orders", "From the journal, a few seconds old; refreshed every 2 s")
    mode = mode_shown(modes_of(ask(snapshot)))
    if mode is None:
        panels.empty(
            "There is no account, so there are no orders.",
            "Orders of backtests are not listed here: each has its own journal.",
        )
        panels.links(panels.link("Backtests", "runs"))
        return
    ticket.show(mode)
    commands.show_question()
    follow_address()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        what = st.segmented_control(
            "Show", list(LABELS), format_func=LABELS.__getitem__, key="orders_what", required=True
        )
        wanted = st.text_input(
            "Filter",
            placeholder="bot, market, state, side, identity …, then Enter",
            key="orders_text",
        )
    only = links.asked()
    links.chips(what or links.WORKING, mode, only)
    show_rows(mode, what or links.WORKING, only, wanted.lower())


# -- Rows of orders and fills: their columns, and the filter by text --

ORDERS = columns_of(
    Col("id", "Order", ColKind.COUNT),
    Col("state"),
    Col("way"),
    Col("price"),
    Col("size"),
    Col("filled", kind=ColKind.SIZE),
    Col("instrument"),
    Col("bot"),
    Col("created_ns", "Placed"),
    Col("updated_ns", "Changed"),
    Col("fee", "Fees"),
    Col("why", "Reason"),
    Col("account"),
)
_ENDED = frozenset({"fee", "why"})
_FIRST = ("id", "state", "way", "price")
WORKING = {
    **{name: ORDERS[name] for name in _FIRST},
    "away": ("Behind touch", "price"),
    **{name: ORDERS[name] for name in ORDERS if name not in _ENDED},
    "earning": ("Earning", "text"),
}
"""Of what works: its fees stand at its fills, and it has no reason to have ended yet."""
BEHIND = (
    "Behind touch: how far the price is behind the best price on its side of the book; 0 is at the "
    "touch, negative in front of it, a dash without a trusted book."
)
FILLS = markouts.fill_columns("source", "id")


def fitting(rows: Sequence[Row], wanted: str) -> list[Row]:
    """Return the rows in which a text stands, each with its side as a word."""
    return [
        {
            **row,
            "way": way(row["side"], row["leg"]),
            "why": refusals.in_words(row.get("reason") or "", row),
        }
        for row in rows
        if wanted in " ".join(str(value) for value in row.values()).lower()
    ]


def with_touch(rows: Sequence[Row], books: Mapping[tuple[str, str], BookTop]) -> list[Row]:
    """Return working orders, each with how far it is behind the touch of its book, if known."""
    return [
        {**row, "away": order.away(books.get((row["account"], row["instrument"])), row)}
        for row in rows
    ]


def with_earning(rows: Sequence[Row], *, alive: bool) -> list[Row]:
    """Return working orders, each with whether it earns; an engine that is gone says nothing."""
    accounts = {row["account"] for row in rows} if alive else set()
    earns = {one: ask(live.account_report, engine_id(), Earnings, one) for one in accounts}
    return [{**row, "earning": order.earning(earns.get(row["account"]), row["id"])} for row in rows]


def sentence(sums: FillSums) -> str:
    fees = " and ".join([money(sums.fees, sums.currency), *sums.fees_in_assets])
    said = [
        count(sums.count, "fill"),
        f"bought {money(sums.bought, sums.currency)}",
        f"sold {money(sums.sold, sums.currency)}",
        f"fees {fees}",
    ]
    if sums.cash is not None:
        cash = money(sums.cash, sums.currency, signed=True)
        said.append(f"net cash {cash}, resolutions, transfers and funding not included")
    if sums.failed:
        said.append(f"{sums.failed:,} failed and void")
    if sums.unvalued:
        said.append(f"{sums.unvalued:,} of unknown value, in no total")
    return " · ".join(said)
