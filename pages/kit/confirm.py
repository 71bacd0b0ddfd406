"""Commands that ask first: a dialog says exactly what will happen, and a second click sends it."""

from __future__ import annotations

import msgspec
import streamlit as st

from engine.domain.commands import AnyCommand, Kill
from engine.domain.instruments import Mode
from pages.kit import commands, guard

ASKED = "asked_first"
MONEY = {
    Mode.DEMO: "DEMO: money that does not exist",
    Mode.PAPER: "PAPER: fills are simulated, no real money",
    Mode.LIVE: "LIVE: **real money**",
}
"""What a mode means, where a dialog names it."""


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """A command on its way: what is said before it is sent, and where its life is shown."""

    command: AnyCommand
    slot: str
    title: str
    words: str
    label: str
    """Of the button that sends it."""
    phrase: str = ""
    """What must be typed first; empty = nothing."""


def ask_first(question: Confirmation) -> None:
    """Open the dialog; the page that calls `show` draws it."""
    st.session_state[ASKED] = question
    st.rerun()


@guard.part("The question")
def show() -> None:
    """Draw the open question, outside of every fragment: their timers would close it."""
    question = st.session_state.get(ASKED)
    if question is not None:
        st.dialog(question.title, on_dismiss=_close)(_draw)(question)


def _close() -> None:
    st.session_state.pop(ASKED, None)


def _draw(question: Confirmation) -> None:
    st.markdown(question.words)
    runs, typed = commands.engine_runs(), ""
    if question.phrase:
        typed = st.text_input(f"Type {question.phrase}, then Enter", key="asked_phrase")
    if not runs:
        commands.nobody_takes_it()
    with st.container(horizontal=True):
        key = "asked_kill" if isinstance(question.command, Kill) else "asked_yes"
        ready = runs and typed.strip() == question.phrase
        if st.button(question.label, type="primary", key=key, disabled=not ready):
            commands.send(question.command, question.slot)
            _close()
            st.rerun()
        if st.button("Do nothing", key="asked_no"):
            _close()
            st.rerun()
