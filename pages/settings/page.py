"""Settings: accounts, this browser's look and time zone, the password."""

from __future__ import annotations

import json

import streamlit as st

from pages.frame import password, theme_script
from pages.kit import panels, zone
from pages.settings import accounts, credentials, live_accounts
from pages.shared import market_sync

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
    themes = theme_script.THEMES
    now = st.context.cookies.get(theme_script.COOKIE, themes[0])
    now = now if now in themes else themes[0]
    theme = st.segmented_control("Theme", themes, default=now, key="theme", required=True)
    if theme != now:
        keep_in_browser(theme_script.COOKIE, theme)
    names = sorted(zone.known())
    shown = zone.zone()
    chosen = st.selectbox("Time zone", names, index=names.index(shown), key="zone")
    if chosen != shown:
        keep_in_browser(zone.COOKIE, chosen)


panels.head("Settings", "Accounts from the state database; theme and zone from this browser")
show_browser()
accounts.show()
credentials.show()
live_accounts.show()
market_sync.show()
password.show()
