"""After a KILL was released: which bots it paused, and one question to resume them all."""

from __future__ import annotations

import streamlit as st

from engine.domain.commands import ResumeKilled
from pages.kit import commands, guard
from pages.kit.markdown import literal
from pages.kit.words import SECOND_NS, count

ASKED_NS_MAX = 15 * SECOND_NS
"""A question that nobody answers closes itself."""

NAMED = 5
"""So many bots are named; the others are counted."""

SLOT = "resume_killed"


@guard.part("Bots paused by KILL")
def show_paused(bots: tuple[str, ...], *, now: int) -> None:
    """Draw which bots a KILL has paused; the first click says what the second one does."""
    if bots:
        _draw(bots, now)
    commands.show_progress(SLOT)


def _draw(bots: tuple[str, ...], now: int) -> None:
    more = f" and {len(bots) - NAMED:,} more" if len(bots) > NAMED else ""
    named = literal(", ".join(bots[:NAMED])) + more
    asked_ns = st.session_state.get("resume_asked_ns")
    asked = asked_ns is not None and 0 <= now - asked_ns <= ASKED_NS_MAX
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        if not asked:
            st.markdown(f"**{count(len(bots), 'bot')} paused by KILL**: {named}.")
            if st.button("Resume all", key="resumeall"):
                st.session_state["resume_asked_ns"] = now
                st.rerun(scope="fragment")
            return
        st.markdown(f"**Resume {named}?** Each quotes again as soon as its account is ready.")
        if st.button("RESUME ALL", key="resumeconfirm", type="primary"):
            commands.send(ResumeKilled(), SLOT)
            st.session_state.pop("resume_asked_ns")
            st.rerun(scope="fragment")
        if st.button("Keep them paused", key="resumekeep"):
            st.session_state.pop("resume_asked_ns")
            st.rerun(scope="fragment")
