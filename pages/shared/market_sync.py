"""Markets by venue: how many are open, and the button that asks the venue for its listing."""

from __future__ import annotations

import streamlit as st

from engine.domain.commands import SyncMarkets
from pages.kit import commands, guard, panels
from pages.kit.clock import now_ns
from pages.kit.data import ask, engine_id
from pages.kit.words import count
from storage.views.frame import open_markets, snapshot

MINUTE_NS = 60_000_000_000


@guard.part("The sync of markets")
def show() -> None:
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
