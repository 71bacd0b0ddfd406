"""The accounts of this desk, what each is connected to, and the form for another one."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from pydantic import ValidationError

from engine.domain.catalog import VenueEntry
from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings
from pages.kit import drafts, guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.panels import fold
from pages.kit.tables import table
from pages.settings import quote_life
from storage.catalog import venues
from storage.views.frame import snapshot

ACCOUNTS = {
    "name": ("Account", "text"),
    "mode": ("Mode", "text"),
    "venue": ("Venue", "text"),
    "currency": ("Currency", "text"),
    "starting_cash": ("Starting cash", "money"),
    "known": ("At the engine", "text"),
}


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


def say_modes(known: Mapping[str, VenueEntry]) -> None:
    """Say what an account of each mode is connected to."""
    real = [one.title for one in known.values() if one.mode(Mode.LIVE) is not None]
    panels.note(
        f"The engine connects to the public data of {' or '.join(real)} once a paper account there "
        "has a bot; no key is needed, and no order leaves this machine."
    )
    panels.note(
        "LIVE is real money. Such an account stays closed until its key is set (Credentials, "
        "below), its doctor is green and its phrase is typed: `python -m engine unlock NAME`."
    )


def add_account(base: drafts.SettingsVersion) -> None:
    """Draw the form of a new account. A LIVE one trades nothing before it is unlocked."""
    known = ask(venues, engine_id())
    if not known:
        panels.note("No engine has said yet which venues there are: start the desk.")
        return
    with st.form("account", border=False):
        name = st.text_input("Name", placeholder="paper-1")
        mode = st.segmented_control(
            "Mode", (Mode.PAPER, Mode.DEMO, Mode.LIVE), default=Mode.PAPER, format_func=str.upper
        )
        venue = st.selectbox(
            "Venue", list(known), format_func=lambda one: f"{known[one].title}: {known[one].about}"
        )
        cash = st.number_input("Starting cash", value=1_000.0, step=100.0)
        sent = st.form_submit_button("Show what changes")
    say_modes(known)
    if not sent:
        return
    if name in base.document.accounts:
        st.error(f"There is an account {name!r} already. Nothing was changed.")
        return
    mode = mode or Mode.PAPER
    if known[venue].mode(mode) is None:
        there = ", ".join(name for name, one in known.items() if one.mode(mode) is not None)
        st.error(
            f"An account of mode {mode.upper()} needs the venue {there or 'of a plug-in'}. "
            "Nothing was changed."
        )
        return
    made = {
        "name": name,
        "mode": mode,
        "venue": venue,
        "currency": known[venue].currency,
        "starting_cash": cash,
    }
    try:
        account = AccountSettings.model_validate(made)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        st.error(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}. Nothing was changed.")
        return
    drafts.draft("accounts", {"accounts": {name: account.model_dump(mode="json")}}, base)
