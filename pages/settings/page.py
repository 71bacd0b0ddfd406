"""Accounts, what a live one needs, markets, theme and time zone.

Theme and time zone are of this browser alone.

Changes: accounts, keys, market sync, password.
"""

from __future__ import annotations

import json

import streamlit as st

from engine.domain.commands import SyncMarkets
from engine.errors import PitbossError
from pages import Page
from pages.frame import look
from pages.kit import commands, guard, panels, words
from pages.kit.data import ask, engine_id
from pages.kit.home import config, now_ns
from pages.kit.words import count
from pages.settings import accounts, credentials, live_accounts
from storage.database import writing
from storage.users import change_password
from storage.views.frame import open_markets, snapshot

PAGE = Page("Settings", ":material/settings:", "Desk", 0)

YEAR_S = 31_536_000
_SET = """<script>document.cookie = NAME + "=" + encodeURIComponent(VALUE)
 + "; path=/; max-age=AGE; SameSite=Lax"; location.reload();</script>"""


def keep_in_browser(name: str, value: str) -> None:
    """Set a cookie that holds a choice of this browser, and load the page again."""
    script = _SET.replace("NAME", json.dumps(name)).replace("VALUE", json.dumps(value))
    st.html(script.replace("AGE", str(YEAR_S)), unsafe_allow_javascript=True)


def show_browser() -> None:
    """Draw theme and time zone: choices of this browser, kept in it."""
    st.subheader("This browser")
    themes = look.THEMES
    now = st.context.cookies.get(look.THEME_COOKIE, themes[0])
    now = now if now in themes else themes[0]
    theme = st.segmented_control("Theme", themes, default=now, key="theme", required=True)
    if theme != now:
        keep_in_browser(look.THEME_COOKIE, theme)
    names = sorted(words.zones())
    shown = words.zone()
    chosen = st.selectbox("Time zone", names, index=names.index(shown), key="zone")
    if chosen != shown:
        keep_in_browser(words.ZONE_COOKIE, chosen)


# -- The form that changes the operator's password, which ends all sessions --


@guard.part("The password")
def show_password() -> None:
    """Draw the form that changes the password."""
    st.subheader("Password")
    with st.form("password", clear_on_submit=True):
        old = st.text_input("Present password", type="password")
        new = st.text_input("New password", type="password")
        sent = st.form_submit_button("Change the password")
    panels.note("All sessions end, this one too: sign in again with the new password.")
    if not sent:
        return
    try:
        with writing(config().state_path) as connection:
            who = st.session_state["who"]
            change_password(connection, name=who, old=old, new=new, now_ns=now_ns())
    except PitbossError as error:
        st.error(f"Not changed: {error}.")
        return
    st.success("Changed. Load the page again and sign in with the new password.")


# -- Markets by venue: how many are open, and the button that asks the venue for its listing --

MINUTE_NS = 60_000_000_000


@guard.part("The sync of markets")
def show_markets() -> None:
    """Draw one row for each venue where an account is registered."""
    st.subheader("Markets")
    panels.note("Feeds tell their markets by themselves; this compares with the whole listing.")
    venues = sorted({account.venue for account in ask(snapshot).accounts})
    if not venues:
        panels.note("No engine has registered an account yet: no venue is known.")
        return
    if not commands.engine_runs():
        commands.nobody_takes_it()
    everywhere = ask(open_markets, engine_id(), now_ns() // MINUTE_NS * MINUTE_NS)
    for venue in venues:
        here = sum(name.startswith(f"{venue}:") for name in everywhere)
        with st.container(horizontal=True, vertical_alignment="center"):
            runs = commands.engine_runs()
            if st.button(f"Sync markets of {venue}", key=f"sync_{venue}", disabled=not runs):
                commands.send(SyncMarkets(venue=venue), f"sync:{venue}")
            panels.note(f"{count(here, 'market')} of {venue} known here and open")
        commands.show_life(f"sync:{venue}")


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Settings", "Accounts from the state database; theme and zone from this browser")
    show_browser()
    accounts.show()
    credentials.show()
    live_accounts.show()
    show_markets()
    show_password()
