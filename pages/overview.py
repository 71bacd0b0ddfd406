"""Equity, PnL by period and bot, markouts, money at risk, positions and alerts.

One mode at a time: demo, paper and live never mix in a sum. Each figure is a link down to the
fills it is made of.

Changes: marks an alert as seen.
"""

from __future__ import annotations

import streamlit as st

from engine.domain.instruments import Mode
from pages import Page
from pages.frame.bar import mode_shown, modes_of
from pages.kit import guard, links, panels
from pages.kit.data import EngineHealth, ask, engine_id, health_of
from pages.kit.home import now_ns
from pages.kit.markdown import literal
from pages.kit.panels import Tile
from pages.kit.words import age, micro
from pages.shared import alert, alerts_leaving, pnl
from storage import views
from storage.settings import latest
from storage.views import ROWS_MAX, Row, money
from storage.views.frame import AccountSeen, run_engines, snapshot

PAGE = Page("Overview", ":material/monitoring:", "Trade", 0)

REFRESH_S = 3.0
POSITIONS_MAX = 12
ALERTS_MAX = 5
FIRST_BOTS = 5  # the demo desk's own bots; who has made one of his own has found the way


@guard.part("The first steps")
def nothing_runs(health: EngineHealth) -> None:
    if health is EngineHealth.NEVER:
        panels.empty(
            "No engine has ever run on this desk.",
            "`make run` starts one with a demo account and four bots. Replaying recordings works "
            "without an engine; results are under Backtests:",
            ".venv/bin/python -m engine replay PATH --bot market_maker",
        )
        panels.links(panels.link("What am I looking at? Help", "help"))
    runs = sum(len(ask(views.runs, owner)) for owner in ask(run_engines))
    if runs:
        panels.links(panels.link(f"Stored backtests: {runs:,}", "runs"))


def _redeemable(account: AccountSeen) -> list[Tile]:
    """Return what resolved winners are still to bring; nothing is said where there are none."""
    if not account.redeemable_micro:
        return []
    amount = micro(account.redeemable_micro, account.currency)
    return [Tile("Redeemable, not yet cash", amount, panels.address("positions"))]


@guard.part("The account")
def show_account(account: AccountSeen, bots: list[Row], *, alive: bool, now: int) -> None:
    """Draw an account's figures, its curve and where its money is."""
    fall = None
    if account.equity_micro is not None and account.peak_micro is not None:
        fall = account.peak_micro - account.equity_micro
    name, mode, currency = account.account, account.mode, account.currency
    text = age(now - account.equity_ns) + " old" if account.equity_ns else "never reported"
    st.subheader(f"Account {literal(name)} at {literal(account.venue)}, {mode.upper()}")
    panels.note(
        f"Equity at exit prices, PnL at mid, {text} · each figure links to its fills"
        + ("" if alive else " · LAST KNOWN, not current")
    )
    fills = links.fills(mode, account=name)
    mine = [row for row in bots if (row["account"], row["currency"]) == (name, currency)]
    panels.tiles(
        [
            Tile("Equity", micro(account.equity_micro, currency), fills),
            Tile("Cash", micro(account.cash_micro, currency), fills),
            *_redeemable(account),
            Tile("Drawdown", micro(fall, currency), fills),
            *pnl.periods(mine, mode, currency, now, account=name),
        ]
    )
    left, right = st.columns([7, 3], gap="small")
    with left:
        pnl.show_curve(account, now)
    with right:
        st.html(pnl.allocation(account))


@guard.part("The list of positions")
def show_positions(mode: Mode) -> None:
    st.subheader("Positions")
    rows = ask(money.held, engine_id(), mode=mode)
    if not rows:
        panels.empty("Nothing is held.", "Positions appear with the first fill in this mode.")
        return
    st.html(pnl.positions_table(rows[:POSITIONS_MAX], mode))
    number = sum(one["positions"] for one in ask(money.held_sums, engine_id(), mode=mode))
    more = f"All {number:,}" if number > POSITIONS_MAX else "All positions"
    panels.links(panels.link(f"{more}, with settlement and fills", "positions"))


@guard.part("The list of alerts")
def show_alerts(*, alive: bool, now: int) -> None:
    """Draw unseen alerts: the watch's own, then the engine's."""
    st.subheader("Alerts")
    own = alerts_leaving.own_notices(most=ALERTS_MAX)
    rows = ask(views.alerts, engine_id(), unseen_only=True)
    if shown := rows[: max(0, ALERTS_MAX - own)]:
        alert.show(shown, alive=alive, now=now)
    if rows or own:
        text = f"{len(rows) + own:,}" + " or more" * (len(rows) == ROWS_MAX)
        panels.links(panels.link(f"All alerts: {text} unseen", "alerts"))
    else:
        panels.empty("No unseen alert.", "One is raised when a person should look.")


@st.fragment(run_every=REFRESH_S)
@guard.part("The overview")
def show_all() -> None:
    """Draw everything of the mode shown, anew every few seconds."""
    now = now_ns()
    seen = ask(snapshot)
    health = health_of(seen.engine, now)
    if not health.alive:
        nothing_runs(health)
    mode = mode_shown(modes_of(seen))
    if mode is None:
        show_alerts(alive=health.alive, now=now)
        return
    bots = pnl.by_bot(mode, now)
    for account in seen.accounts:
        if account.mode == mode:
            show_account(account, bots, alive=health.alive, now=now)
    pnl.show(bots, mode, now)
    show_positions(mode)
    show_alerts(alive=health.alive, now=now)


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Overview", "A few seconds old, the curve up to 30 s; refreshed every 3 s")
    if len(ask(latest, engine_id()).document.bots) <= FIRST_BOTS:
        panels.links(
            panels.link("New here? A tour of five steps", "help"),
            panels.link("Create your own bot", "bots", create="1"),
        )
    show_all()
