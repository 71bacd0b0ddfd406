"""A new bot: its form, made of what a strategy says of its own parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.domain.settings import SettingsDocument
from pages.kit import drafts, guard, names, panels, schema_form
from pages.kit.clock import now_ns
from pages.kit.data import ask, engine_id
from storage.catalog import strategies
from storage.views.frame import tradable

MINUTE_NS = 60_000_000_000


@guard.part("The form of a new bot")
def create(base: drafts.SettingsVersion) -> None:
    """Draw the form of a new bot from the catalog, or say what is missing."""
    catalog = ask(strategies, engine_id())
    if not catalog:
        panels.empty(
            "The strategy catalog is not in the state database.",
            "An engine writes it at its start, with the parameters of every strategy. Start the "
            "engine once and this form appears; nothing here guesses what a strategy takes.",
        )
        return
    accounts = base.document.accounts
    if not accounts:
        panels.empty("A bot needs an account.", "Add a paper account under Settings first.")
        panels.links(panels.link("Settings", "settings"))
        return
    left, right = st.columns(2)
    strategy = left.selectbox("Strategy", sorted(catalog), key="new_strategy")
    account = right.selectbox(
        "Account",
        list(accounts),
        format_func=lambda name: f"{name} · {accounts[name].mode.upper()}",
        key="new_account",
    )
    made = fill_in(
        strategy, catalog[strategy].parameters, str(account), taken(base.document, account)
    )
    if made is None:
        return
    if made["name"] in base.document.bots:
        st.error(f"There is a bot {made['name']!r} already. Nothing was changed.")
        return
    if not made["instruments"] and not made["series"]:
        st.error("Choose a market or a series: without one it would have nothing to trade.")
        return
    drafts.draft("bots", {"bots": {made["name"]: made}}, base)
    # Saved and applied it stands in the table above: opened, with its Start.
    st.query_params["bot"] = made["name"]


def taken(document: SettingsDocument, account: str | None) -> dict[str, str]:
    """Return what other bots of an account trade, market or series → bot."""
    return {
        what: bot.name
        for bot in document.bots.values()
        if bot.account == account
        for what in (*bot.instruments, *bot.series)
    }


def _where(
    markets: list[str], series: list[str], others: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Ask for markets and for series that roll; what is taken is not offered."""
    chosen = st.multiselect(
        "Markets",
        [one for one in markets if one not in others],
        format_func=names.market,
        accept_new_options=True,
        placeholder="click for those that are open now",
    )
    rolling = st.multiselect(
        "Series that roll by themselves",
        [one for one in series if one not in others],
        accept_new_options=True,
        placeholder="instead of a market, or beside it",
    )
    return list(chosen), list(rolling)


def fill_in(
    strategy: str, schema: dict[str, Any], account: str, others: Mapping[str, str]
) -> dict[str, Any] | None:
    """Draw the form; gives the new bot when it is sent, else None.

    `others` are not offered: one bot alone trades a market at an account.
    """
    panels.note(schema.get("description", "This strategy does not describe itself."))
    markets, series = ask(tradable, engine_id(), now_ns() // MINUTE_NS * MINUTE_NS)
    told = ", ".join(f"{names.market(what)} ({bot})" for what, bot in others.items())
    if told:
        panels.note(f"One bot alone trades a market at an account. Taken at {account}: {told}.")
    with st.form(f"bot_{strategy}", border=False):
        name = st.text_input("Name", placeholder="maker-1: a-z, 0-9, dot, dash, underscore")
        chosen, rolling = _where(markets, series, others)
        capital = st.number_input(
            "Capital, in the account's currency: the most it may put to work",
            value=100.0,
            step=10.0,
        )
        with st.expander("Parameters: the defaults are a careful start"):
            parameters = schema_form.form(schema, f"new_{strategy}")
        sent = st.form_submit_button("Show what changes", type="primary")
    made = {
        "name": name,
        "strategy": strategy,
        "account": account,
        "capital": capital,
        "instruments": chosen,
        "series": rolling,
        "parameters": parameters,
    }
    return made if sent else None
