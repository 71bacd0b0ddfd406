"""Overview: equity, PnL, allocation, positions and alerts of one mode; else what to do next."""

from __future__ import annotations

import streamlit as st

from engine.domain.instruments import Mode
from pages.parts import alert_list, curve, panels, pnl
from pages.parts.bar import modes_of
from pages.parts.clock import now_ns
from pages.parts.data import ask, engine_id
from pages.parts.health import Health, health_of
from pages.parts.status_bar import mode_shown
from pages.parts.tables import choice
from pages.parts.words import age, micro
from storage import money_views, views
from storage.dashboard_views import AccountSeen, run_engines, snapshot
from storage.settings import latest
from storage.views import Row

POSITIONS = {
    "instrument": ("Market", "market"),
    "pnl": ("PnL", "gain"),
    "yes": ("YES", "size"),
    "no": ("NO", "size"),
    "pending": ("Of it pending", "size"),
    "cost": ("Cost", "money"),
    "value": ("Value", "money"),
    "mark": ("Mark", "price"),
    "bot": ("Bot", "text"),
}
REFRESH_S = 3.0
FIRST_BOTS = 2  # the demo desk's own bots; who has made one of his own has found the way


def nothing_runs(health: Health) -> None:
    """Say what works without an engine."""
    if health is Health.NEVER:
        panels.empty(
            "No engine has ever run on this desk.",
            "`make run` starts one with a demo account and two bots. Without an engine the replay "
            "of recordings works; its results stand under Runs:",
            ".venv/bin/python -m engine replay PATH --bot market_maker",
        )
        panels.links(panels.link("What am I looking at? Help", "help"))
    runs = sum(len(ask(views.runs, owner)) for owner in ask(run_engines))
    if runs:
        panels.links(panels.link(f"Stored runs: {runs:,}", "runs"))


def show_account(account: AccountSeen, bots: list[Row], *, alive: bool, now: int) -> None:
    """Draw an account's figures, its curve and where its money is."""
    fall = None
    if account.equity_micro is not None and account.peak_micro is not None:
        fall = account.peak_micro - account.equity_micro
    told = age(now - account.equity_ns) + " old" if account.equity_ns else "never reported"
    st.subheader(f"{account.account} at {account.venue}, {account.mode.upper()}")
    panels.note(f"Equity at risk's marks, {told}" + ("" if alive else " · LAST KNOWN, not of now"))
    with st.container(horizontal=True, gap="small"):
        for name, value in {
            "Equity": micro(account.equity_micro, account.currency),
            "Cash": micro(account.cash_micro, account.currency),
            "Below the peak": micro(fall, account.currency),
        }.items():
            st.metric(name, value, border=True, height="stretch", width="stretch")
    with st.container(horizontal=True, gap="small"):
        pnl.tiles(bots, account.account, account.currency)
    left, right = st.columns([7, 3], gap="small")
    with left:
        curve.show(account, now)
    with right:
        st.html(pnl.allocation(account.account, account.currency))


def show_positions(mode: Mode) -> None:
    """Draw what is held in one mode; a selected row leads to its fills."""
    st.subheader("Positions")
    rows = [_short(row) for row in ask(money_views.held, engine_id(), mode=mode)]
    if not rows:
        panels.empty("Nothing is held.", "Positions appear with the first fill of this mode.")
        return
    ids = [(row["account"], row["instrument"]) for row in rows]
    chosen = choice(rows, POSITIONS, key="overview_positions", ids=ids)
    links = [panels.link("All of them, with settlement and fills", "positions")]
    if isinstance(chosen, tuple):
        links.append(panels.link("Fills of the selected market", "orders", fills=str(chosen[1])))
    panels.links(*links)


def _short(row: Row) -> Row:
    if row["yes_settled"] is None:
        return {**row, "yes": None, "no": None, "pending": None}
    return {
        **row,
        "yes": row["yes_settled"] + row["yes_pending"],
        "no": row["no_settled"] + row["no_pending"],
        "pending": row["yes_pending"] + row["no_pending"],
    }


def show_alerts(*, alive: bool, now: int) -> None:
    """Draw alerts that nobody has seen."""
    st.subheader("Alerts")
    rows = ask(views.alerts, engine_id(), unseen_only=True)
    if rows:
        alert_list.show(rows[:5], alive=alive, now=now)
        panels.links(panels.link(f"All alerts: {len(rows):,} unseen", "alerts"))
    else:
        panels.empty("No unseen alert.", "The engine writes one when a person should look.")


@st.fragment(run_every=REFRESH_S)
def show_all() -> None:
    """Draw everything of the mode shown, anew every few seconds."""
    now = now_ns()
    seen = ask(snapshot)
    health = health_of(seen.engine, now)
    if not health.alive:
        nothing_runs(health)
    mode = mode_shown(modes_of(seen))
    if mode is None:
        return
    bots = pnl.by_bot(mode, now)
    for account in seen.accounts:
        if account.mode == mode:
            show_account(account, bots, alive=health.alive, now=now)
    pnl.show(bots, mode)
    show_positions(mode)
    show_alerts(alive=health.alive, now=now)


def main() -> None:
    """Draw the page."""
    panels.head("Overview", "From the state database, at most 1 s old, anew every 3 s")
    if len(ask(latest, engine_id()).document.bots) <= FIRST_BOTS:
        panels.links(
            panels.link("New here? A tour of five steps", "help"),
            panels.link("Make a bot of your own", "bots", create="1"),
        )
    show_all()


main()
