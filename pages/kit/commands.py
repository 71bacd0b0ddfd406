"""Commands from a page: left under an id of its own, then shown with their life, in place."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import msgspec
import streamlit as st

from engine.domain.commands import AnyCommand, Kill
from engine.domain.instruments import Mode
from engine.errors import PitbossError
from pages.kit import guard, names, panels
from pages.kit.data import forget, fresh, health_of
from pages.kit.forms import REASON_LENGTH_MIN
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.words import age, moment
from storage.commands import CommandState, LeftCommand, find, leave
from storage.database import writing
from storage.views.frame import engine_of, engine_seen

WORDS = {
    CommandState.PENDING: "queued",
    CommandState.CLAIMED: "claimed",
    CommandState.DONE: "done",
    CommandState.REFUSED: "refused",
    CommandState.FAILED: "failed",
}


TWICE_NS = 2_000_000_000
"""A page that is drawn again while it draws receives one click a second time (Streamlit keeps what
triggered a run that it breaks off): the same command again within this is that click."""


def engine_runs(otherwise: str = "") -> bool:
    """Say whether an engine runs; where none does, warn that so, and `otherwise` what follows."""
    alive = health_of(fresh(engine_seen), now_ns()).alive
    if otherwise and not alive:
        st.warning(f"NO ENGINE IS RUNNING: {literal(otherwise)}.", icon=":material/power_off:")
        panels.links(panels.link("Start it: Engine", "engine"))
    return alive


def send(command: AnyCommand, slot: str) -> None:
    """Leave a command and remember it under `slot`, where `show_progress` draws it.

    One click leaves one command: the same one again at once is not left.
    """
    now, made = now_ns(), uuid.uuid4().hex
    before, at_ns = st.session_state.get(f"sent:{slot}", (None, 0))
    if before == command and now - at_ns < TWICE_NS:
        return
    try:
        with writing(config().state_path) as connection:
            leave(
                connection,
                engine_id=engine_of(connection),
                id=made,
                command=command,
                who=st.session_state["who"],
                now_ns=now,
            )
    except PitbossError as error:
        st.session_state[f"refused:{slot}"] = str(error)
        return
    forget()
    st.session_state.pop(f"refused:{slot}", None)
    st.session_state[f"command:{slot}"] = made
    st.session_state[f"sent:{slot}"] = command, now


def state_of(engine_id: str, command_id: str) -> str:
    """Return a command's life so far in markdown. Raises StorageError."""
    return words_of(fresh(find, engine_id, command_id), now_ns())


def words_of(left: LeftCommand | None, now: int) -> str:
    """Say in markdown where a command stands: queued, claimed, done, refused or failed, and why."""
    if left is None:
        return "not in the table: it was never queued"
    state = WORDS[left.state]
    if _expired(left, now):
        return (
            f"**expired** · queued {moment(left.created_ns)}, not claimed within its time to live; "
            "it will never be executed"
        )
    if left.answered_ns is not None:
        took = age(left.answered_ns - left.created_ns)
        return (
            f"**{state}** · {literal(names.spelled(left.answer) or 'no text')} · "
            f"{moment(left.answered_ns)}, after {took}"
        )
    return f"**{state}** · {age(now - left.created_ns)} ago, no answer yet"


def _expired(left: LeftCommand, now: int) -> bool:
    return left.state is CommandState.PENDING and now > left.expires_ns


def went_well(left: LeftCommand | None, now: int) -> bool:
    """Say whether a command may be shown without alarm: it is done, or may still be."""
    bad = (CommandState.REFUSED, CommandState.FAILED)
    return left is not None and left.state not in bad and not _expired(left, now)


def slots() -> list[str]:
    """Return under which slots this session has sent commands, in their order."""
    kept = (str(key).partition(":") for key in st.session_state)
    return [slot for kind, _, slot in kept if kind in ("command", "refused")]


@guard.part("The command's progress")
def show_progress(slot: str) -> None:
    """Draw the life of the last command of `slot`, each second until it has its answer."""
    if f"refused:{slot}" in st.session_state:
        st.error(f"Not sent: {literal(st.session_state[f'refused:{slot}'])}. Nothing was changed.")
    elif f"command:{slot}" in st.session_state:
        _progress(slot)


@st.fragment(run_every=1.0)
@guard.part("The command's progress")
def _progress(slot: str) -> None:
    number = st.session_state[f"command:{slot}"]
    try:
        left = fresh(find, fresh(engine_of), number)
        text = words_of(left, now_ns())
    except PitbossError as error:
        left, text = None, f"its state cannot be read: {literal(error)}"
    if left is not None and left.answered_ns is not None:
        _announce(number, left)
    (st.markdown if went_well(left, now_ns()) else st.error)(f"Command: {text}")


def _announce(number: str, left: LeftCommand) -> None:
    """Say a command's answer once where the eye is; it stands below its button besides."""
    announced: set[str] = st.session_state.setdefault("announced", set())
    if number not in announced:
        announced.add(number)
        done = left.state is CommandState.DONE
        icon = ":material/check_circle:" if done else ":material/error:"
        answer = literal(names.spelled(left.answer) or "no text")
        st.toast(f"{WORDS[left.state].capitalize()}: {answer}", icon=icon)


def note_no_engine() -> None:
    st.caption(
        ":material/power_off: No engine is running, so no command can be sent. It is offered again "
        "when one runs."
    )
    panels.links(panels.link("Start it: Engine", "engine"))


# -- Commands that ask first: a dialog says exactly what will happen, and a second click send --

ASKED = "asked_first"
MONEY = {
    Mode.DEMO: "DEMO: money that does not exist",
    Mode.PAPER: "PAPER: fills are simulated, no real money",
    Mode.LIVE: "LIVE: **real money**",
}
"""What a mode means, where a dialog names it."""


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """A command on its way: what is said before it is sent, and where its life is shown."""

    command: AnyCommand | Callable[[str], AnyCommand | None]
    """Or what makes it of the typed reason; None = it has said why there is none."""
    slot: str
    title: str
    words: str
    label: str
    """Of the button that sends it."""
    phrase: str = ""
    """What must be typed first; empty = nothing."""
    reason: str = ""
    """What must be answered first, in a sentence; empty = nothing."""


def ask_first(question: Confirmation) -> None:
    """Open the dialog; the page that calls `show_question` draws it."""
    st.session_state[ASKED] = question
    st.rerun()


@guard.part("The question")
def show_question() -> None:
    """Draw the open question, outside of every fragment: their timers would close it."""
    question = st.session_state.get(ASKED)
    if question is not None:
        st.dialog(literal(question.title), on_dismiss=_close_question)(_draw_question)(question)


def _close_question() -> None:
    st.session_state.pop(ASKED, None)


def _draw_question(question: Confirmation) -> None:
    st.markdown(question.words)
    runs, typed, reason = engine_runs(), "", ""
    if question.reason:
        reason = st.text_input(f"{literal(question.reason)} Then Enter", key="asked_reason").strip()
    if question.phrase:
        typed = st.text_input(f"Type {literal(question.phrase)}, then Enter", key="asked_phrase")
    if not runs:
        note_no_engine()
    with st.container(horizontal=True):
        key = "asked_kill" if isinstance(question.command, Kill) else "asked_yes"
        said = not question.reason or len(reason) >= REASON_LENGTH_MIN
        ready = runs and said and typed.strip() == question.phrase
        if st.button(literal(question.label), type="primary", key=key, disabled=not ready):
            made = question.command(reason) if callable(question.command) else question.command
            if made is None:
                return
            send(made, question.slot)
            _close_question()
            st.rerun()
        if st.button("Do nothing", key="asked_no"):
            _close_question()
            st.rerun()
