"""The frame around every page: sign-in once more, status bar, navigation, the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from pages import found_pages
from pages.frame import bar, kill, look, revival, server
from pages.frame.session import COOKIE, signed_in
from pages.kit import guard, links, words
from pages.kit.home import config

ALERTS = "alerts"
"""The page whose name in the menu says how many wait to be seen."""

HERE = Path(__file__).resolve().parents[1]


def _navigation() -> dict[str, list[Any]]:
    """Return the pages by group; the first one also answers to its own name."""
    made: dict[str, list[Any]] = {}
    pages = found_pages()
    unseen = bar.unseen_now()
    waiting = unseen.critical + unseen.warning
    for one in pages:
        home = one is pages[0]
        entry = st.Page(
            one.draw,
            title=one.page.title + f" ({waiting:,})" * bool(one.name == ALERTS and waiting),
            icon=one.page.icon,
            # The first page answers at the root alone; its own name is the hidden one's below.
            url_path="home" if home else one.name,
            default=home,
        )
        made.setdefault(one.page.group, []).append(entry)
    first = pages[0]
    hidden = st.Page(first.draw, title=first.page.title, url_path=first.name, visibility="hidden")
    made[first.page.group].append(hidden)
    return made


def main() -> None:
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
    page = st.navigation(_navigation(), expanded=True)
    with st.sidebar:
        bar.choose_mode()
        st.toggle("Exact UTC in tables", key=words.EXACT_UTC)
        st.html(f'<p class="pb-source">Signed in as {who} · <a href="/sign-out">sign out</a></p>')
        kill.start_watchdog()
        revival.start()
        links.start()
    bar.show()
    guard.part("This page")(page.run)()
    server.settle()


main()
