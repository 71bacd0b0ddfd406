"""What a person should look at, and what leaves the desk by which rules.

Seen marks an alert as read, for everybody, and ends its escalation. Channels are sealed in the
browser; a secret is never shown again.

Changes: marks as seen; channels, rules.
"""

from __future__ import annotations

import streamlit as st

from pages import Page
from pages.kit import commands, guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import now_ns
from pages.kit.names import spelled
from pages.kit.tables import page_behind, turn
from pages.shared import alert, alert_rules, alerts_leaving, browser_alerts, price_alerts
from storage import views

PAGE = Page("Alerts", ":material/notifications:", "Guard", 1)

REFRESH_S = 3.0
UNSEEN, ALL = "Unseen", "All"


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of alerts")
def show_alerts(what: str, wanted: str) -> None:
    """Draw alerts that fit, anew every few seconds."""
    alive = commands.engine_runs()
    unseen, behind = what == UNSEEN, page_behind("alerts", what)
    found = ask(views.alerts, engine_id(), unseen_only=unseen, before=behind)
    rows = [
        row
        for row in found
        if wanted in " ".join(map(str, (*row.values(), spelled(row["text"])))).lower()
    ]
    own = alerts_leaving.own_notices(wanted) if unseen and behind is None else 0
    if not rows and own:
        return
    if not rows:
        turn("alerts", found, ["last_ns", "id"])
        panels.empty(
            "No alert matches."
            if wanted or what == ALL
            else "No unseen alert: nothing needs your attention.",
            "The engine raises one when a person should look. Seen ones stay under All.",
        )
        return
    if not alive:
        panels.note(
            "No engine is running: alerts are as it left them. Seen counts at once, and the next "
            "engine writes it down."
        )
    alert.show(rows, alive=alive, now=now_ns())
    turn("alerts", found, ["last_ns", "id"])


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Alerts", "A few seconds old; refreshed every 3 s")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        what = st.segmented_control(
            "Show", (UNSEEN, ALL), default=UNSEEN, key="alerts_what", required=True
        )
        wanted = st.text_input("Filter", placeholder="any text, then Enter", key="alerts_text")
    show_alerts(what, wanted.lower())
    alerts_leaving.show_watch()
    browser_alerts.show_choices()
    alerts_leaving.show_channels()
    alert_rules.show_rules()
    alert_rules.show_thresholds()
    price_alerts.show_prices()
    alerts_leaving.show_sent()
