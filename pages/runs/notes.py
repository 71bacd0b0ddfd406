"""Notes and tags on backtests: written on a run, shown beside it, searched by tag in the list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from engine.errors import PitbossError
from pages.kit import guard, panels
from pages.kit.data import ask, forget
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.words import moment
from storage.database import writing
from storage.run_notes import (
    NOTHING_LEFT,
    TAGS_MAX,
    TEXT_MAX,
    RunNote,
    note_of,
    notes_of,
    put_note,
    tags_used,
)
from storage.views import Row

TAG = "runs_tag"
ANY = ""


def chosen_tag() -> str:
    """Return the tag the list is of; empty = it is of all runs. A tag that is gone is forgotten."""
    if st.session_state.get(TAG, ANY) not in (ANY, *ask(tags_used)):
        del st.session_state[TAG]
    return str(st.session_state.get(TAG, ANY))


def pick_tag() -> None:
    """Draw the choice of a tag, once a run has one."""
    if used := ask(tags_used):
        st.selectbox(
            "Tag", [ANY, *used], format_func=lambda tag: literal(tag or "any or none"), key=TAG
        )


def noted(rows: Sequence[Row]) -> list[Row]:
    """Return runs with the tags and the note that people left on them."""
    try:
        found: dict[int, RunNote] = ask(notes_of, tuple(row["id"] for row in rows))
    except PitbossError as error:
        guard.report("A note on a backtest", error)
        return [row | {"tags": "unknown", "note": ""} for row in rows]
    left = [found.get(row["id"], NOTHING_LEFT) for row in rows]
    return [
        row | {"tags": " ".join(one.tags), "note": one.text}
        for row, one in zip(rows, left, strict=True)
    ]


def in_words(run: Mapping[str, object]) -> dict[str, str]:
    """Return what was left on a run, by whom and when; empty = nothing was."""
    found = ask(note_of, run["id"])
    if not (found.text or found.tags):
        return {}
    return {
        "Tags": ", ".join(found.tags) or "none",
        "Note": found.text or "none",
        "Noted by": f"{found.who}, {moment(found.at_ns)}",
    }


@guard.part("The run's note")
def show(run: Mapping[str, object]) -> None:
    """Draw what was left on a run, and the form that changes it."""
    words = in_words(run)
    if words:
        panels.facts(words)
    with panels.panel("Note and tags", "fold_run_note", icon=":material/edit_note:") as opened:
        if opened:
            _form(run)


def _form(run: Mapping[str, object]) -> None:
    number = run["id"]
    found: RunNote = ask(note_of, number)
    seen = f"{number}_{found.at_ns}"
    with st.form(f"note_{seen}", border=False):
        text = st.text_area("Note", found.text, max_chars=TEXT_MAX, key=f"note_text_{seen}")
        tags = st.text_input(
            f"Tags, at most {TAGS_MAX}, with a space between",
            " ".join(found.tags),
            key=f"note_tags_{seen}",
        )
        if not st.form_submit_button("Save note", key=f"note_keep_{seen}"):
            return
    try:
        with writing(config().state_path) as connection:
            put_note(
                connection,
                int(str(number)),
                text=text,
                tags=tags.replace(",", " ").split(),
                who=st.session_state["who"],
                now_ns=now_ns(),
                seen_ns=found.at_ns,
            )
    except PitbossError as error:
        st.error(f"Not saved: {literal(error)}. Nothing was changed.")
        return
    forget()
    st.rerun()
