"""Recordings: what the feeds said of some markets, kept for replays; begun and ended here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.domain.commands import StartRecording, StopRecording
from engine.domain.instruments import InstrumentId
from pages.kit import commands, guard, panels
from pages.kit.clock import now_ns
from pages.kit.data import ask, engine_id
from pages.kit.home import config
from pages.kit.names import market
from pages.kit.panel import fold
from pages.kit.tables import choice
from pages.kit.words import NOTHING, age, count, moment
from pages.kit.zone import zone
from pages.shared import feeds
from storage.jobs import RecordingState, recordable, recordings

COLUMNS = {
    "name": ("Recording", "text"),
    "state": ("State", "text"),
    "what": ("Of", "text"),
    "span": ("Span", "text"),
    "events": ("Events", "count"),
    "mb": ("MB", "size"),
    "gaps": ("Gaps", "count"),
    "started_ns": ("Begun", "time"),
    "reason": ("Ended because", "text"),
}
REFRESH_S = 2.0
MINUTE_NS = 60 * 1_000_000_000
SLOT = "recording"


def listed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recording as a row of the table."""
    names = [market(one) for one in json.loads(row["instruments"])]
    first, last = row["first_ns"], row["last_ns"]
    return {
        **row,
        "state": row["state"].upper(),
        "what": ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
        "span": age(last - first) if first is not None and last is not None else NOTHING,
        "mb": row["bytes"] / 1e6,
    }


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of recordings")
def show_list() -> None:
    """Draw the recordings, anew every few seconds, and below what became of the last command."""
    _table()
    # In the fragment: a click on Stop draws nothing outside of it.
    commands.show_life(SLOT)


def _table() -> None:
    """Draw the recordings; a selected one in full."""
    rows = ask(recordings, engine_id())
    if not rows:
        panels.empty(
            "Nothing has been recorded yet.",
            "A recording keeps what the market said, so that a strategy can be replayed over it "
            "again and again. One is begun below; it runs beside trading and ends by itself after "
            "24 h or 2 GB.",
        )
        return
    chosen = choice(
        [listed(row) for row in rows], COLUMNS, key="recordings", ids=[r["name"] for r in rows]
    )
    row = next((row for row in rows if row["name"] == chosen), None)
    if row is None:
        panels.note("Select a row to stop a recording or to replay it.")
    else:
        show_one(row)


@guard.part("The recording")
def show_one(row: Mapping[str, Any]) -> None:
    """Draw one recording and what can be done with it."""
    name, folder = row["name"], config().recordings_folder / row["name"]
    st.subheader(name)
    panels.facts(
        {
            "Of": ", ".join(market(one) for one in json.loads(row["instruments"])),
            "Heard": f"{moment(row['first_ns'], zone())} to {moment(row['last_ns'], zone())}",
            "Gaps": f"{count(row['gaps'], 'gap')}: moments nobody heard, told as such in a replay",
            "Begun by": row["who"],
            "Folder": str(folder),
        }
    )
    panels.links(
        panels.link("Replay this", "jobs", kind="replay", path=name),
    )
    if row["state"] == RecordingState.RECORDING:
        if commands.engine_runs():
            if st.button("Stop recording", key=f"stop_{name}"):
                commands.send(StopRecording(name=name), SLOT)
        else:
            panels.note("The engine is not running: it goes on with a gap at its next start.")


@guard.part("The form of a recording")
def begin() -> None:
    """Draw the form of a new recording."""
    if not commands.engine_runs():
        commands.nobody_takes_it()
        return
    # To the minute: the list is cached by its arguments.
    known = ask(recordable, engine_id(), now_ns() // MINUTE_NS * MINUTE_NS)
    if not known:
        panels.empty(
            "No market is known yet.", "The engine lists them as soon as its feed has told them."
        )
        return
    with st.form("recording", border=False):
        name = st.text_input("Name", placeholder="morning-1: a-z, 0-9, dot, dash, underscore")
        wanted = st.multiselect("Series and markets", known, format_func=market)
        sent = st.form_submit_button("Begin to record")
    if sent:
        instruments = tuple(InstrumentId(one) for one in wanted)
        commands.send(StartRecording(name=name, instruments=instruments), SLOT)
        st.rerun()


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Recordings", "From the state database, at most 1 s old, anew every 2 s")
    show_list()
    with fold("Begin a recording", "fold_recording") as opened:
        if opened:
            begin()
    feeds.show()


main()
