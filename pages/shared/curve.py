"""An account's equity over a range that ends where the account's own time does.

A range may hold a million rows: it is read every ten seconds at most, and by all tabs at once.
"""

from __future__ import annotations

import streamlit as st

from pages.kit import charts, guard, panels
from pages.kit.data import ask_seldom, engine_id
from pages.kit.words import NOTHING, SECOND_NS, moment
from pages.kit.zone import zone
from storage import views
from storage.views.frame import AccountSeen

POINTS_MAX = 600
"""Twice as many as a chart of this size can tell apart, extremes kept."""

MINUTE_NS = 60 * SECOND_NS
QUIET_NS = 60 * MINUTE_NS
"""An account whose last point is older than this does not go by the wall clock."""


@guard.part("The equity curve")
def show(account: AccountSeen, now: int) -> None:
    """Draw the equity curve with its range."""
    key = f"range_{account.account}"
    chosen = st.segmented_control(
        "Range", list(charts.RANGES_S), default="1 d", key=key, label_visibility="collapsed"
    )
    seconds = charts.RANGES_S[chosen or "1 d"]
    # A recording has times of its own, and a desk may have stopped long ago: the range ends where
    # the account's own time does. Whole minutes, or the rows would never be found in the cache.
    end = now if account.equity_ns is None else min(now, account.equity_ns + MINUTE_NS)
    since = 0 if seconds is None else (end // MINUTE_NS - seconds // 60) * MINUTE_NS
    if now - end > QUIET_NS:
        panels.note(
            f"Ranges end with the last point, {moment(account.equity_ns, zone())}: the account's "
            "own time, of a recording or of when the engine stopped. PnL by period counts from "
            "the wall clock; All is the whole of it."
        )
    points = ask_seldom(
        views.equity,
        engine_id=engine_id(),
        account=account.account,
        since_ns=since,
        points_max=POINTS_MAX,
    )
    if points:
        charts.equity(points, account.currency, f"equity_{account.account}")
    else:
        last = moment(account.equity_ns, zone()) if account.equity_ns else NOTHING
        panels.empty("No equity in this range.", f"The last point is of {last}; choose `all`.")
