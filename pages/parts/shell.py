"""The frame around every page: sign-in once more, status bar, navigation, the page."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.parts import look, status_bar, warm, watchdog
from pages.parts.home import config
from pages.parts.session import COOKIE, signed_in

HERE = Path(__file__).resolve().parents[1]
GROUPS = {
    "Trade": (
        ("overview", "Overview", ":material/monitoring:"),
        ("bots", "Bots", ":material/smart_toy:"),
        ("orders", "Orders", ":material/receipt_long:"),
    ),
    "Research": (("runs", "Runs", ":material/science:"),),
    "Guard": (
        ("risk", "Risk", ":material/shield:"),
        ("journal", "Journal", ":material/history:"),
    ),
    "Desk": (("settings", "Settings", ":material/settings:"),),
}


def main() -> None:
    """Draw the frame and the page that was asked for."""
    st.set_page_config(
        page_title="Pitboss",
        page_icon=HERE / "parts" / "static" / "icon.png",
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
    page = st.navigation(
        {
            group: [
                st.Page(
                    HERE / f"{name}.py",
                    title=title,
                    icon=icon,
                    url_path=name,
                    default=name == "overview",
                )
                for name, title, icon in pages
                if (HERE / f"{name}.py").is_file()
            ]
            for group, pages in GROUPS.items()
        }
    )
    with st.sidebar:
        status_bar.choose_mode()
        st.html(f'<p class="pb-source">Signed in as {who} · <a href="/sign-out">sign out</a></p>')
        watchdog.start()
    status_bar.show()
    page.run()
    warm.settle()


main()
