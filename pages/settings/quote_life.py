"""Quotes that expire by themselves: the second dead man's switch of an account, and its form."""

from __future__ import annotations

import streamlit as st

from engine.domain.catalog import mode_of
from engine.domain.settings import EXPIRY_S_MIN, QUOTE_LIFE_S_MIN, AccountSettings
from pages.kit import drafts, guard, panels
from pages.kit.data import ask, engine_id
from storage.catalog import venues

VENUE_EARLY_S = 60
"""The venue takes an expiring order away so long before its time."""
PROPOSED_S = 300
COVERS = (
    "The first switch is the venue's heartbeat: without one it cancels everything of the key "
    "within 15 s. The second is an expiry on each quote: should the heartbeat not be armed, or its "
    "rule not act, a quote that an engine left behind ends by itself. The venue takes it away "
    f"about {VENUE_EARLY_S} s before its time and refuses less than {EXPIRY_S_MIN} s, so at least "
    f"{QUOTE_LIFE_S_MIN} s are asked here. The engine renews each quote in time, one after the "
    "other: cancelled, proven gone, placed again, at the end of the queue. Orders by hand are not "
    "renewed: they stay good till cancelled."
)


def told(account: AccountSettings) -> str:
    """Return how an account's quotes end where nobody ends them, in words."""
    life_s = account.quote_life_s
    if life_s is None:
        return "Second dead man's switch: off, a quote rests until it is cancelled"
    return (
        f"Second dead man's switch: each quote expires after {life_s} s, the venue takes it away "
        f"after {life_s - VENUE_EARLY_S} s; renewed before"
    )


@guard.part("The life of quotes")
def show() -> None:
    """Draw the form for the accounts at a venue that takes expiring orders."""
    base = drafts.newest()
    accounts = base.document.accounts
    known = ask(venues, engine_id())
    names = [
        name for name, one in accounts.items() if mode_of(known, one.venue, one.mode).quotes_expire
    ]
    if not names:
        return
    with st.expander("Let quotes expire by themselves"):
        panels.note(COVERS)
        name = str(st.selectbox("Account", names, key="quote_life_account"))
        before_s = accounts[name].quote_life_s
        with st.form(f"quote_life_{name}", border=False):
            on = st.checkbox("Quotes expire", value=before_s is not None, key=f"expires_{name}")
            # No bounds in the widget: it would turn 10 into 240; the draft refuses it with words.
            life_s = st.number_input(
                "After, s", value=before_s or PROPOSED_S, step=30, key=f"expires_s_{name}"
            )
            sent = st.form_submit_button("Show what changes")
        if sent:
            patch = {"quote_life_s": int(life_s) if on else None}
            drafts.draft("quote_life", {"accounts": {name: patch}}, base)
    drafts.review("quote_life")
