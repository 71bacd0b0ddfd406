"""Settings: accounts, this browser's look and time zone, the password."""

from __future__ import annotations

import json

import streamlit as st
from pydantic import ValidationError

from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings
from engine.errors import PitbossError
from pages.parts import (
    credentials,
    drafts,
    live_accounts,
    market_sync,
    panels,
    quote_life,
    theme_script,
    zone,
)
from pages.parts.clock import now_ns
from pages.parts.data import ask
from pages.parts.home import config
from pages.parts.tables import table
from storage.dashboard_views import snapshot
from storage.database import writing
from storage.users import change_password

ACCOUNTS = {
    "name": ("Account", "text"),
    "mode": ("Mode", "text"),
    "venue": ("Venue", "text"),
    "currency": ("Currency", "text"),
    "starting_cash": ("Starting cash", "money"),
    "known": ("At the engine", "text"),
}
VENUES = {
    "demo": "demo: the exchange that runs beside the engine",
    "polymarket": "polymarket: its public market, on paper or live",
}
"""Venues whose market the engine hears."""

LIVE_VENUES = frozenset({credentials.POLYMARKET})
"""Venues where the engine can sign an order."""

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


def show_accounts() -> None:
    """Draw the accounts and the form for another one."""
    st.subheader("Accounts")
    drafts.standing()
    base = drafts.newest()
    reported = {account.account for account in ask(snapshot).accounts}
    rows = [
        {
            **account.model_dump(mode="json"),
            "known": "registered" if name in reported else "not reported yet",
        }
        for name, account in base.document.accounts.items()
    ]
    if rows:
        table(rows, ACCOUNTS, key="accounts")
    else:
        panels.empty(
            "There is no account yet.",
            "Every bot trades at an account, and limits belong to one. One is made below.",
        )
    with st.expander("Add an account"):
        add_account(base)
    drafts.review("accounts")
    quote_life.show()


def say_modes() -> None:
    """Say what an account of each mode is connected to."""
    panels.note(
        "The engine connects to Polymarket's public data once a paper account there has a bot; no "
        "key is needed, and no order leaves this machine."
    )
    panels.note(
        "LIVE is real money. Such an account stays closed until its key is set (Credentials, "
        "below), its doctor is green and its phrase is typed: `python -m engine unlock NAME`."
    )


def add_account(base: drafts.SettingsVersion) -> None:
    """Draw the form of a new account. A LIVE one trades nothing before it is unlocked."""
    with st.form("account", border=False):
        name = st.text_input("Name", placeholder="paper-1")
        mode = st.segmented_control(
            "Mode", (Mode.PAPER, Mode.DEMO, Mode.LIVE), default=Mode.PAPER, format_func=str.upper
        )
        venue = st.selectbox("Venue", list(VENUES), format_func=VENUES.__getitem__)
        currency = st.text_input("Currency", value="USD")
        cash = st.number_input("Starting cash", value=1_000.0, step=100.0)
        sent = st.form_submit_button("Show what changes")
    say_modes()
    if not sent:
        return
    if name in base.document.accounts:
        st.error(f"There is an account {name!r} already. Nothing was changed.")
        return
    if mode is Mode.LIVE and venue not in LIVE_VENUES:
        st.error("An account of mode LIVE needs the venue polymarket. Nothing was changed.")
        return
    made = {
        "name": name,
        "mode": mode or Mode.PAPER,
        "venue": venue,
        "currency": currency,
        "starting_cash": cash,
    }
    try:
        account = AccountSettings.model_validate(made)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        st.error(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}. Nothing was changed.")
        return
    drafts.draft("accounts", {"accounts": {name: account.model_dump(mode="json")}}, base)


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


panels.head("Settings", "Accounts from the state database; theme and zone from this browser")
show_browser()
show_accounts()
credentials.show()
live_accounts.show()
market_sync.show()
show_password()
