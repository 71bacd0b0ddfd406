"""KILL in the status bar: the first click says exactly what the second one will do."""

from __future__ import annotations

import streamlit as st

from engine.errors import PitbossError
from pages.frame.kill import KillResponse, kill
from pages.kit import guard
from pages.kit.commands import life_of
from pages.kit.data import forget, fresh
from pages.kit.home import config
from pages.kit.words import count, moment
from storage.views.frame import SECOND_NS, FrameSnapshot, engine_of

ARMED_NS_MAX = 15 * SECOND_NS
"""An armed KILL that nobody confirms disarms itself."""


def button(now: int) -> None:
    """Draw the button of the first click."""
    armed = _armed(now)
    if st.button("KILL", key="killbutton", shortcut="Ctrl+Shift+K", disabled=armed):
        st.session_state["kill_armed_ns"] = now
        st.session_state.pop("kill_receipt", None)
        st.rerun(scope="fragment")


def _armed(now: int) -> bool:
    at = st.session_state.get("kill_armed_ns")
    return at is not None and 0 <= now - at <= ARMED_NS_MAX


@guard.part("KILL and its receipt")
def show(seen: FrameSnapshot, *, alive: bool, now: int) -> None:
    """Draw the question while armed, the receipt after the second click."""
    if _armed(now):
        _ask(seen, alive=alive, now=now)
    receipt = st.session_state.get("kill_receipt")
    if receipt is not None:
        _receipt(receipt, alive=alive)


def _ask(seen: FrameSnapshot, *, alive: bool, now: int) -> None:
    live = sum(orders.live for orders in seen.orders)
    if alive:
        then = f"the engine cancels {count(live, 'open order')} of all accounts and proves it"
    else:
        then = (
            "**no engine is running**, so nothing is cancelled by this: the latch holds the next "
            "start, which cancels and proves first"
        )
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**KILL everything?** No order is placed any more, in any account; {then}. "
            "Inventory is not sold."
        )
        if st.button("CONFIRM KILL", key="killconfirm"):
            st.session_state["kill_receipt"] = kill(config(), st.session_state["who"], now)
            st.session_state.pop("kill_armed_ns")
            forget()
            st.rerun(scope="fragment")
        if st.button("Keep trading", key="killkeep"):
            st.session_state.pop("kill_armed_ns")
            st.rerun(scope="fragment")


def _receipt(receipt: KillResponse, *, alive: bool) -> None:
    with st.container(border=True):
        st.markdown(f"**KILL by {receipt.who} at {moment(receipt.at_ns)}**")
        lines = [
            f"- {'done' if s.done else '**not done**'} · {s.name}: {s.text}" for s in receipt.steps
        ]
        st.markdown("\n".join(lines))
        try:
            life = life_of(fresh(engine_of), receipt.command)
        except PitbossError as error:
            life = f"the command's life cannot be read: {error}"
        st.markdown(f"Command: {life}")
        if not alive:
            st.markdown(
                "No engine is running: **nothing was cancelled and nothing is proven**. Orders "
                "that rest at a venue stay until an engine starts, or cancel them at the venue."
            )
        if st.button("Close", key="killclose"):
            st.session_state.pop("kill_receipt")
            st.rerun(scope="fragment")
