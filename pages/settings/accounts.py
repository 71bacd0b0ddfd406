"""The accounts of this desk, what each is connected to, and the form for another one."""

from __future__ import annotations

import streamlit as st
from pydantic import ValidationError

from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings
from pages.kit import drafts, guard, panels
from pages.kit.data import ask
from pages.kit.panel import fold
from pages.kit.tables import table
from pages.settings import credentials, quote_life
from storage.views.frame import snapshot

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


@guard.part("The list of accounts")
def show() -> None:
    """Draw the accounts and the form for another one."""
    st.subheader("Accounts")
    drafts.standing()
    base = drafts.newest()
    reported = {account.account: account.currency for account in ask(snapshot).accounts}
    rows = [
        {
            **account.model_dump(mode="json"),
            "mode": account.mode.upper(),
            # What an account's money is, its venue says; the settings' word holds until then.
            "currency": reported.get(name, account.currency),
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
    with fold("Add an account", "fold_account") as opened:
        if opened:
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
