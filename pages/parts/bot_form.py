"""A new bot: its form, made of what a strategy says of its own parameters."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.parts import drafts, panels, schema_form
from pages.parts.clock import now_ns
from pages.parts.data import ask, engine_id
from storage.dashboard_views import strategy_catalog, tradable

MINUTE_NS = 60_000_000_000


def create(base: drafts.SettingsVersion) -> None:
    """Draw the form of a new bot from the catalog, or say what is missing."""
    catalog = ask(strategy_catalog)
    if catalog is None:
        panels.empty(
            "The strategy catalog is not in the state database.",
            "The engine writes it with its heartbeat, with the parameters of every strategy. Start "
            "the engine once and this form appears; nothing here guesses what a strategy takes.",
        )
        return
    accounts = base.document.accounts
    if not accounts:
        panels.empty("A bot needs an account.", "Add a paper account under Settings first.")
        panels.links(panels.link("Settings", "settings"))
        return
    strategy = st.selectbox("Strategy", sorted(catalog), key="new_strategy")
    made = fill_in(strategy, catalog[strategy], list(accounts))
    if made is None:
        return
    if made["name"] in base.document.bots:
        st.error(f"There is a bot {made['name']!r} already. Nothing was changed.")
        return
    drafts.draft("bots", {"bots": {made["name"]: made}}, base)


def fill_in(strategy: str, schema: dict[str, Any], accounts: list[str]) -> dict[str, Any] | None:
    """Draw the form; gives the new bot when it is sent, else None."""
    panels.note(schema.get("description", "This strategy does not describe itself."))
    markets, series = ask(tradable, engine_id(), now_ns() // MINUTE_NS * MINUTE_NS)
    with st.form(f"bot_{strategy}", border=False):
        name = st.text_input("Name", placeholder="maker-1: a-z, 0-9, dot, dash, underscore")
        account = st.selectbox("Account", accounts)
        capital = st.number_input("Capital, in the account's currency", value=100.0, step=10.0)
        chosen = st.multiselect(
            "Markets",
            markets,
            accept_new_options=True,
            placeholder="listed now, or type polymarket:0xdd22… and Enter",
        )
        rolling = st.multiselect(
            "Series that roll by themselves",
            series,
            accept_new_options=True,
            placeholder="for example btc-updown-5m",
        )
        with st.expander("Parameters: the defaults are a careful start"):
            parameters = schema_form.form(schema, f"new_{strategy}")
        sent = st.form_submit_button("Show what changes")
    made = {
        "name": name,
        "strategy": strategy,
        "account": account,
        "capital": capital,
        "instruments": list(chosen),
        "series": list(rolling),
        "parameters": parameters,
    }
    return made if sent else None
