"""The frame around every page: sign-in once more, status bar, navigation, the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from pages.frame import status_bar, warm, watchdog
from pages.frame.session import COOKIE, signed_in
from pages.kit import guard, links, look, zone
from pages.kit.home import config

HERE = Path(__file__).resolve().parents[1]
GROUPS = {
    "Trade": (
        ("overview", "Overview", ":material/monitoring:"),
        ("bots", "Bots", ":material/smart_toy:"),
        ("orders", "Orders", ":material/receipt_long:"),
        ("positions", "Positions", ":material/pie_chart:"),
    ),
    "Research": (
        ("runs", "Runs", ":material/science:"),
        ("recordings", "Recordings", ":material/album:"),
    ),
    "Guard": (
        ("risk", "Risk", ":material/shield:"),
        ("alerts", "Alerts", ":material/notifications:"),
        ("journal", "Journal", ":material/history:"),
        ("jobs", "Jobs", ":material/work_history:"),
    ),
    "Desk": (
        ("settings", "Settings", ":material/settings:"),
        ("help", "Help", ":material/help:"),
    ),
}


def script_of(name: str) -> Path:
    """Return the script of a page: one file, or the file `page.py` of its folder."""
    file = HERE / f"{name}.py"
    return file if file.is_file() else HERE / name / "page.py"


def _pages() -> dict[str, list[Any]]:
    """Return the navigation; the first page also answers to its own name."""
    made = {
        group: [
            st.Page(
                script_of(name),
                title=title,
                icon=icon,
                # The first page answers at the root alone; its own name is the hidden one's below.
                url_path="home" if name == "overview" else name,
                default=name == "overview",
            )
            for name, title, icon in pages
        ]
        for group, pages in GROUPS.items()
    }
    named = st.Page(
        script_of("overview"), title="Overview", url_path="overview", visibility="hidden"
    )
    made["Trade"].append(named)
    return made


def main() -> None:
    """Draw the frame and the page that was asked for."""
    st.set_page_config(
        page_title="Pitboss",
        page_icon=HERE / "frame" / "static" / "icon.png",
        layout="wide",
        initial_sidebar_state="auto",
    )
    # The gate in front has asked already. Asked again, so that a start without it shows nothing.
    who = signed_in(config(), st.context.cookies.get(COOKIE))
    if who is None:
        st.error("Sign in first: start the dashboard with `streamlit run app.py`.")
        st.stop()
    st.session_state["who"] = who
    look.apply()
    page = st.navigation(_pages())
    with st.sidebar:
        status_bar.choose_mode()
        st.toggle("Exact UTC in tables", key=zone.EXACT)
        st.html(f'<p class="pb-source">Signed in as {who} · <a href="/sign-out">sign out</a></p>')
        watchdog.start()
        links.start()
    status_bar.show()
    guard.part("This page")(page.run)()
    warm.settle()


main()
