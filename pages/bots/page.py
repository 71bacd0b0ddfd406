"""Bots: what each does, start and stop, and a new one from the strategy catalog."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import streamlit as st

from engine.domain.instruments import Mode
from pages.bots import detail, edit, form
from pages.frame.health import health_of
from pages.kit import confirm, drafts, guard, panels
from pages.kit.clock import now_ns
from pages.kit.data import ask, engine_id
from pages.kit.panel import fold
from pages.kit.tables import choice, choose, unchoose
from pages.shared import pnl
from storage import views
from storage.views.frame import engine_seen, live_orders_of

COLUMNS = {
    "name": ("Bot", "text"),
    "state": ("State", "text"),
    "mode": ("Mode", "text"),
    "total": ("PnL", "gain"),
    "today": ("Today", "gain"),
    "live": ("Open orders", "count"),
    "capital": ("Capital", "money"),
    "strategy": ("Strategy", "text"),
    "account": ("Account", "text"),
    "evaluations": ("Evaluations", "count"),
    "error": ("Error", "text"),
    "updated_ns": ("Reported", "time"),
}
REFRESH_S = 2.0
NOT_REPORTED = "SAVED, NOT REPORTED"


def rows_of(document: drafts.SettingsDocument, *, alive: bool) -> list[dict[str, Any]]:
    """Return the bots the engine reports and those that are only saved, by name."""
    live = ask(live_orders_of, engine_id())
    made = {
        (row["account"], row["bot"]): row for mode in Mode for row in pnl.by_bot(mode, now_ns())
    }
    nothing = {"total": None, "today": None, "currency": None}
    found = {
        row["name"]: {
            **row,
            **{name: made.get((row["account"], row["name"]), nothing)[name] for name in nothing},
            "state": row["state"].upper() if alive else f"{row['state'].upper()} (last known)",
            "mode": row["mode"].upper(),
            "live": live.get(row["name"], 0),
        }
        for row in ask(views.bots, engine_id())
    }
    for name, bot in document.bots.items():
        account = document.accounts.get(bot.account)
        blank: dict[str, Any] = dict.fromkeys((*COLUMNS, "currency"))
        saved = {
            "name": name,
            "state": NOT_REPORTED,
            "mode": account.mode.upper() if account else None,
            "account": bot.account,
            "strategy": bot.strategy,
            "capital": bot.capital,
        }
        found.setdefault(name, blank | saved)
    return [found[name] for name in sorted(found)]


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of bots")
def show_bots() -> None:
    """Draw the bots as they stand, anew every few seconds, and the selected one."""
    seen = ask(engine_seen)
    alive = health_of(seen, now_ns()).alive
    if not alive:
        st.warning("NO ENGINE IS RUNNING: no bot trades.", icon=":material/power_off:")
    base = drafts.newest()
    rows = rows_of(base.document, alive=alive)
    if not rows:
        panels.empty(
            "There is no bot yet.",
            "What an engine reports and what is saved here appears as a row. One is made below.",
        )
        return
    follow_address({row["name"] for row in rows})
    chosen = choice(rows, COLUMNS, key="bots", ids=[row["name"] for row in rows])
    name_in_address(chosen)
    bot = next((row for row in rows if row["name"] == chosen), None)
    if bot is None:
        panels.note(
            "Select a row to see a bot: start, stop, why it quotes, its orders in the book."
        )
    else:
        detail.show(bot, base, alive=alive)


def follow_address(known: set[str]) -> None:
    """Open the bot the address names, once; one that was just made, as soon as it has a row."""
    linked = st.query_params.get("bot")
    if linked != st.session_state.get("opened_bot") and (linked in known or linked is None):
        st.session_state["opened_bot"] = linked
        if linked is None:
            unchoose("bots")
        else:
            choose("bots", linked)


def name_in_address(chosen: Hashable | None) -> None:
    """Let the address name the bot that is open: the back button closes it again."""
    # One that was just made is named there before it has a row: only a click changes the address.
    if not isinstance(chosen, str) or chosen == st.session_state.get("opened_bot"):
        return
    st.session_state["opened_bot"] = chosen
    st.query_params.from_dict({"bot": chosen})


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Bots", "From the state database, at most 1 s old, anew every 2 s")
    drafts.standing()
    show_bots()
    confirm.show()
    edit.show()
    with fold("Create a bot", "fold_bot", opened="create" in st.query_params) as opened:
        if opened:
            form.create(drafts.newest())
    drafts.review("bots")


main()
