"""One bot: what it may do now, its settings, and the books it watches with our orders in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from engine.domain.commands import InventoryPolicy, PauseBot, ResumeBot, StartBot, StopBot
from engine.domain.instruments import BotId, Mode
from pages.parts import commanding, drafts, panels
from pages.parts.data import ask, engine_id
from pages.parts.words import count
from storage import views
from storage.dashboard_views import EngineSeen

POLICIES = {
    InventoryPolicy.HOLD: "keep it",
    InventoryPolicy.WORK_OUT: "reduce it passively until flat",
    InventoryPolicy.EXIT: "sell it now within the slippage cap",
}
MAY = {
    "start": {"IDLE", "STOPPED", "RISK_STOPPED", "ERROR"},
    "pause": {"RUNNING", "STARTING"},
    "resume": {"PAUSED"},
    "stop": {"RUNNING", "STARTING", "PAUSING", "PAUSED", "RISK_STOPPED", "ERROR"},
}


def show(
    bot: Mapping[str, Any],
    seen: EngineSeen | None,
    base: drafts.SettingsVersion,
    *,
    alive: bool,
) -> None:
    """Draw the bot of a row."""
    st.subheader(bot["name"])
    if bot["error"]:
        st.error(f"It stopped by itself: {bot['error']}")
    if alive and bot["evaluations"] is not None:
        _actions(bot)
    elif alive:
        panels.note("The engine does not know this bot: apply the saved settings first.")
    else:
        commanding.nobody_takes_it()
    commanding.show_life(f"bot:{bot['name']}")
    saved = base.document.bots.get(bot["name"])
    if saved is not None:
        _settings(saved.model_dump(mode="json"))
    if alive and seen is not None and bot["evaluations"] is not None:
        _books(bot, seen.detail.get("books") or {})


def _actions(bot: Mapping[str, Any]) -> None:
    name, state = BotId(bot["name"]), bot["state"]
    slot = f"bot:{name}"
    with st.container(horizontal=True):
        if st.button("Start", disabled=state not in MAY["start"], key=f"start_{name}"):
            commanding.send(StartBot(bot=name), slot)
        if st.button("Pause", disabled=state not in MAY["pause"], key=f"pause_{name}"):
            commanding.send(PauseBot(bot=name), slot)
        if st.button("Resume", disabled=state not in MAY["resume"], key=f"resume_{name}"):
            commanding.send(ResumeBot(bot=name), slot)
        if state in MAY["stop"]:
            with st.popover("Stop…"):
                _stop(bot, slot)


def _stop(bot: Mapping[str, Any], slot: str) -> None:
    st.markdown(
        f"Cancels {count(bot['live'], 'open order')} of **{bot['name']}** in {bot['mode']}, proves "
        "that none is left, then treats what it holds:"
    )
    policy = st.radio(
        "Inventory", list(POLICIES), format_func=POLICIES.__getitem__, key=f"policy_{bot['name']}"
    )
    if st.button("Stop the bot", type="primary", key=f"stop_{bot['name']}"):
        commanding.send(StopBot(bot=BotId(bot["name"]), inventory=policy), slot)


def _settings(saved: Mapping[str, Any]) -> None:
    with st.expander("Settings as saved"):
        flat = {name: value for name, value in saved.items() if name != "parameters"}
        flat |= {f"parameters.{name}": value for name, value in saved["parameters"].items()}
        panels.facts({name: _shown(value) for name, value in flat.items()})


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _books(bot: Mapping[str, Any], books: Mapping[str, Any]) -> None:
    """Draw the books in which this bot has orders, with those orders."""
    mode = Mode(str(bot["mode"]).lower())
    ours = [
        row
        for row in ask(views.orders, engine_id(), mode=mode, open_only=True)
        if row["bot"] == bot["name"]
    ]
    for instrument in sorted({row["instrument"] for row in ours} & set(books)):
        st.markdown(f"**{instrument}**")
        mine = [row for row in ours if row["instrument"] == instrument]
        st.html(ladder(books[instrument], mine))


def ladder(book: Mapping[str, Any], ours: Sequence[Mapping[str, Any]]) -> str:
    """Return a book as a table, asks above bids, with our own size at each price.

    Prices are in YES-space; an order for NO at q rests in it at 1 − q, on the other side.
    """
    at: dict[int, int] = {}
    price_decimals = next((row["price_decimals"] for row in ours), None)
    for row in ours:
        one = 10 ** (row["price_decimals"] or 0)
        price = one - row["price_raw"] if row["leg"] == "no" else row["price_raw"]
        at[price] = at.get(price, 0) + row["size_raw"] - row["filled_raw"]
    size_decimals = next((row["size_decimals"] for row in ours), None)
    rows = ["<tr><th>Side</th><th>Price</th><th>Size</th><th>Ours</th></tr>"]
    levels = [("ASK", *level) for level in reversed(book["asks"])]
    levels += [("BID", *level) for level in book["bids"]]
    for side, price, size in levels:
        own = at.get(price)
        rows.append(
            f"<tr class='pb-{'bad' if side == 'ASK' else 'ok'}'><th><b>{side}</b></th>"
            f"<td>{_in(price, price_decimals)}</td><td>{_in(size, size_decimals)}</td>"
            f"<td>{_in(own, size_decimals) if own else ''}</td></tr>"
        )
    torn = "" if book["trusted"] else "<p class='pb-source'>This book is NOT trusted now.</p>"
    return f"<table class='pb-facts'>{''.join(rows)}</table>{torn}"


def _in(value: int, decimals: int | None) -> str:
    return escape(f"{value:,}" if decimals is None else f"{value / 10**decimals:,.4g}")
