"""Overview: equity, positions and alerts of one mode; where nothing runs, what to do next."""

from __future__ import annotations

import streamlit as st

from engine.domain.instruments import Mode
from pages.parts import charts, panels
from pages.parts.bar import modes_of
from pages.parts.clock import now_ns
from pages.parts.data import ask, engine_id
from pages.parts.health import Health, health_of
from pages.parts.status_bar import mode_shown
from pages.parts.tables import table
from pages.parts.words import NOTHING, SECOND_NS, age, micro, moment
from pages.parts.zone import zone
from storage import views
from storage.dashboard_views import AccountSeen, run_engines, snapshot

POSITIONS = {
    "account": ("Account", "text"),
    "instrument": ("Market", "id"),
    "leg": ("Leg", "text"),
    "settled": ("Settled", "size"),
    "pending": ("Pending", "size"),
    "fee": ("Fees", "money"),
    "updated_ns": ("Changed", "time"),
}
REFRESH_S = 3.0
ALERTS = {
    "last_ns": ("Last", "time"),
    "severity": ("Severity", "text"),
    "kind": ("Kind", "text"),
    "text": ("What happened", "text"),
    "count": ("Times", "count"),
}


def nothing_runs(health: Health) -> None:
    """Say what works without an engine."""
    if health is Health.NEVER:
        panels.empty(
            "No engine has ever run on this desk.",
            "Nothing trades and there is nothing to show here. What works today is the replay of "
            "recordings; its results stand under Runs:",
            ".venv/bin/python -m engine replay PATH --bot market_maker",
        )
    runs = sum(len(ask(views.runs, owner)) for owner in ask(run_engines))
    if runs:
        panels.links(panels.link(f"Stored runs: {runs:,}", "runs"))


def show_account(account: AccountSeen, *, alive: bool, now: int) -> None:
    """Draw an account's figures and its curve."""
    since_start = None
    if account.equity_micro is not None and account.day_start_micro is not None:
        since_start = account.equity_micro - account.day_start_micro
    fall = None
    if account.equity_micro is not None and account.peak_micro is not None:
        fall = account.peak_micro - account.equity_micro
    told = age(now - account.equity_ns) + " old" if account.equity_ns else "never reported"
    st.subheader(f"{account.account} · {account.venue}")
    panels.note(f"Equity at risk's marks, {told}" + ("" if alive else " · LAST KNOWN, not of now"))
    with st.container(horizontal=True, gap="small"):
        for name, value in {
            "Equity": micro(account.equity_micro, account.currency),
            "Since 00:00 UTC": micro(since_start, account.currency, signed=True),
            "Below the peak": micro(fall, account.currency),
            "Cash": micro(account.cash_micro, account.currency),
        }.items():
            st.metric(name, value, border=True, height="stretch", width=190)
    curve(account, now)


def curve(account: AccountSeen, now: int) -> None:
    """Draw the equity curve over the chosen range."""
    key = f"range_{account.account}"
    chosen = st.segmented_control(
        "Range", list(charts.RANGES_S), default="1 d", key=key, label_visibility="collapsed"
    )
    seconds = charts.RANGES_S[chosen or "1 d"]
    # Whole minutes: a range that moves each second would never find its rows in the cache.
    since = 0 if seconds is None else (now // (60 * SECOND_NS) - seconds // 60) * 60 * SECOND_NS
    points = ask(views.equity, engine_id(), account=account.account, since_ns=since)
    if points:
        charts.equity(points, account.currency, f"equity_{account.account}")
    else:
        last = moment(account.equity_ns, zone()) if account.equity_ns else NOTHING
        panels.empty("No equity in this range.", f"The last point is of {last}; choose `all`.")


def show_positions(mode: Mode) -> None:
    """Draw what is held in one mode."""
    st.subheader("Positions")
    rows = ask(views.positions, engine_id(), mode=mode)
    if not rows:
        panels.empty("Nothing is held.", "Positions appear with the first fill of this mode.")
        return
    table(rows, POSITIONS, key="positions")


def show_alerts() -> None:
    """Draw alerts that nobody has seen."""
    st.subheader("Alerts")
    rows = ask(views.alerts, engine_id(), unseen_only=True)
    if rows:
        table(rows, ALERTS, key="alerts")
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
    for account in seen.accounts:
        if account.mode == mode:
            show_account(account, alive=health.alive, now=now)
    show_positions(mode)
    show_alerts()


def main() -> None:
    """Draw the page."""
    panels.head("Overview", "From the state database, at most 1 s old, anew every 3 s")
    show_all()


main()
