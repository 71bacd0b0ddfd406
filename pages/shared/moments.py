"""A moment of the past: asked for from an order or an alert, looked at where its job is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from engine.domain.commands import RunJob
from engine.errors import PitbossError
from pages.kit import commands, guard, panels
from pages.kit.data import fresh
from pages.kit.home import config, now_ns
from pages.kit.words import utc
from storage import views
from storage.jobs import JobState
from storage.views.frame import engine_of

KIND = "incident"
LABEL = "Show this moment"
FOLDER = "incidents"
AROUND_S = 60
HEIGHT = 900
HELP = (
    "The worker replays this moment from journal and tape, compares every decision with the stored "
    "one, and makes one page of it: book, orders, decisions, settlement, step by step."
)


def offer(at_ns: int, account: str, key: str, *, width: int | str = "content") -> None:
    """Draw the button that asks for a moment; `key` is also where its life is drawn."""
    if st.button(LABEL, key=f"moment_{key}", help=HELP, width=width):  # type: ignore[arg-type]
        given = json.dumps({"at": utc(at_ns), "around_s": AROUND_S, "account": account})
        st.session_state[f"given:{slot(key)}"] = (given, now_ns())
        commands.send(RunJob(job=KIND, arguments=given), slot(key))


@guard.part("The moment")
def show_progress(key: str) -> None:
    """Draw what became of the last one asked for under a key, with the way to its page."""
    commands.show_progress(slot(key))
    if f"command:{slot(key)}" in st.session_state:
        _follow(slot(key))


@st.fragment(run_every=1.0)
@guard.part("The moment")
def _follow(place: str) -> None:
    """Draw how far the job of a moment is, and the way to its page once there is one."""
    given, asked_ns = st.session_state[f"given:{place}"]
    try:
        rows = fresh(views.jobs, fresh(engine_of))
    except PitbossError as error:
        panels.note(f"The job cannot be read: {error}.")
        return
    for row in rows:
        # The same moment may have been asked for before: that job is another one.
        if (row["kind"], row["arguments"]) == (KIND, given) and row["created_ns"] >= asked_ns:
            tone, said = outcome(row)
            tone(said)
            way = "Open" if row["state"] == JobState.DONE else "Progress"
            panels.links(panels.link(f"{way}: job {row['id']}", "jobs", job=row["id"]))
            return


def outcome(row: Mapping[str, Any]) -> tuple[Callable[[str], object], str]:
    name, state = f"Job {row['id']}", row["state"]
    if state == JobState.DONE:
        result = json.loads(row["result"] or "{}")
        tones = {True: st.success, False: st.error}
        return tones.get(result.get("same"), st.warning), str(result.get("told", "done"))
    if state == JobState.QUEUED:
        return st.info, f"{name} is waiting until the worker is free."
    if state == JobState.RUNNING:
        far = f", {row['done']:,} of {row['total']:,} {row['unit']}" if row["total"] else ""
        return st.info, f"{name} is replaying the moment{far}."
    return st.error, f"{name} ended as {state.upper()}: {row['error'] or 'no reason was given'}"


def slot(key: str) -> str:
    return f"moment:{key}"


def page_of(result: Mapping[str, Any]) -> Path | None:
    """Return the page a job made, None where it is not one of ours or is gone."""
    path = Path(str(result.get("file", "")))
    ours = path.parent == config().home / FOLDER and path.suffix == ".html"
    return path if ours and path.is_file() else None


def show_result(number: int, result: Mapping[str, Any]) -> None:
    """Draw what living a moment again gave: the verdict, the page to keep, and the page itself."""
    if result.get("same") is False:
        st.error(f"{result.get('told')}. Keep the page and the folder PITBOSS_HOME.")
    elif result.get("same"):
        st.success(str(result.get("told")))
    else:
        st.warning(str(result.get("told")))
    path = page_of(result)
    if path is None:
        panels.note("Its page was deleted: the newest 200 are kept. Replay the moment again.")
        return
    text = path.read_text(encoding="utf-8")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Download the page",
            text,
            file_name=path.name,
            mime="text/html",
            key=f"moment_file_{number}",
            on_click="ignore",
        )
        here = st.toggle("Show it here", key=f"moment_here_{number}")
    if here:
        st.iframe(text, height=HEIGHT)
