"""Recordings of market data, and the feeds with their gaps.

A strategy can be replayed over a recording again and again. A gap is a time without data.

Changes: start, stop, replay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.domain.commands import StartRecording, StopRecording
from engine.domain.instruments import InstrumentId
from engine.domain.telemetry import FeedStatus
from pages import Page
from pages.kit import commands, guard, panels
from pages.kit.data import ask, engine_id, health_of
from pages.kit.forms import several
from pages.kit.home import config, now_ns, this_minute
from pages.kit.markdown import literal
from pages.kit.names import market
from pages.kit.panels import panel
from pages.kit.tables import Col, ColKind, choice, columns_of, page_behind, table, turn
from pages.kit.words import NOTHING, age, count, moment
from storage.feeds import GAP_KEY, gaps
from storage.files import said_bytes
from storage.jobs import RECORDING_KEY, RecordingState, recordable, recordings
from storage.live import engine_status
from storage.views.frame import engine_seen

PAGE = Page("Recordings", ":material/album:", "Research", 1)

COLUMNS = columns_of(
    Col("name", "Recording"),
    Col("state"),
    Col("what", "Of"),
    Col("span"),
    Col("events", kind=ColKind.COUNT),
    Col("size", kind=ColKind.TEXT),
    Col("gaps", kind=ColKind.COUNT),
    Col("started_ns"),
    Col("reason", "Ended because"),
)
REFRESH_S = 2.0
SLOT = "recording"


def listed(row: Mapping[str, Any]) -> dict[str, Any]:
    names = [market(one) for one in json.loads(row["instruments"])]
    first, last = row["first_ns"], row["last_ns"]
    return {
        **row,
        "state": row["state"].upper(),
        "what": ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
        "span": age(last - first) if first is not None and last is not None else NOTHING,
        "size": said_bytes(row["bytes"]),
    }


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of recordings")
def show_list() -> None:
    """Draw the recordings, anew every few seconds, and below what became of the last command."""
    _table()
    # In the fragment: a click on Stop draws nothing outside of it.
    commands.show_progress(SLOT)


def _table() -> None:
    behind = page_behind("recordings", None)
    rows = ask(recordings, engine_id(), before=behind)
    if not rows and behind is None:
        panels.empty(
            "Nothing has been recorded yet.",
            "A recording stores market data, so that strategies can be replayed over it again and "
            "again. Start one below; it runs alongside trading and ends by itself after 24 h or 2 "
            "GB.",
        )
        return
    chosen = choice(
        [listed(row) for row in rows], COLUMNS, key="recordings", ids=[r["name"] for r in rows]
    )
    turn("recordings", rows, RECORDING_KEY)
    row = next((row for row in rows if row["name"] == chosen), None)
    if row is None:
        panels.note("Select a row to stop a recording or to replay it.")
    else:
        show_one(row)


@guard.part("The recording")
def show_one(row: Mapping[str, Any]) -> None:
    name, folder = row["name"], config().recordings_folder / row["name"]
    st.subheader(literal(name))
    panels.facts(
        {
            "Of": ", ".join(market(one) for one in json.loads(row["instruments"])),
            "Received": f"{moment(row['first_ns'])} to {moment(row['last_ns'])}",
            "Gaps": f"{row['gaps'] or 'no'} times without any data; a replay shows them",
            "Started by": row["who"],
            "Folder": str(folder),
        }
    )
    panels.links(panels.link("Replay this", "jobs", kind="replay", path=name))
    if row["state"] == RecordingState.RECORDING:
        if commands.engine_runs():
            if st.button("Stop recording", key=f"stop_{name}"):
                commands.send(StopRecording(name=name), SLOT)
        else:
            panels.note("The engine is not running: it resumes, with a gap, at its next start.")


@guard.part("The recording form")
def begin() -> None:
    if not commands.engine_runs():
        commands.note_no_engine()
        return
    # To the minute: the list is cached by its arguments.
    known = ask(recordable, engine_id(), this_minute())
    if not known:
        panels.empty(
            "No market is known yet.", "The engine lists markets as soon as its feed sends them."
        )
        return
    with st.form("recording", border=False):
        name = st.text_input("Name", placeholder="morning-1: a-z, 0-9, dot, dash, underscore")
        wanted = several("Series and markets", known, key="record", format_func=market)
        sent = st.form_submit_button("Start recording")
    if sent:
        instruments = tuple(InstrumentId(one) for one in wanted)
        commands.send(StartRecording(name=name, instruments=instruments), SLOT)
        st.rerun()


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Recordings", "A few seconds old; refreshed every 2 s")
    show_list()
    with panel("New recording", "fold_recording") as opened:
        if opened:
            begin()
    show_feeds()


# -- What is received: each venue's feed, the prices beside it, and the times nobody could trust --

MS_NS = 1_000_000
STALE_MS = 10_000.0
"""As the engine has it: prices come each second, one silent for this long counts as missing."""

NO_QUOTE = "no reference quotes"
PRICES = columns_of(
    Col("source", "Price of"),
    Col("received", "Last price"),
    Col("so", "Status"),
)
GAPS = columns_of(
    Col("since_ns", "Started"),
    Col("until_ns", "Ended"),
    Col("lasted"),
    Col("feed"),
    Col("what", "Of"),
    Col("reason"),
)


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of feeds")
def show_feeds() -> None:
    """Draw every feed of the engine, anew every few seconds, and the gaps of all its starts."""
    st.subheader("Feeds")
    engine, now = ask(engine_seen), now_ns()
    alive = health_of(engine, now).alive
    if engine is not None:
        old = age(now - engine.heartbeat_ns)
        panels.note(
            f"Engine status {old} old"
            + ("" if alive else " · LAST KNOWN, not current: no engine is running")
        )
    status = ask(engine_status, engine_id())
    feeds = status.feeds if status else {}
    if not feeds:
        panels.empty(
            "No public feed is connected.",
            "A venue's feed connects as soon as a bot trades one of its markets. The demo exchange "
            "needs none: its data age is in the bar above, as Oldest feed.",
        )
    for name, feed in feeds.items():
        _venue(name, feed, alive=alive)
    begun_ns = engine.started_ns if engine is not None and alive else None
    _gaps(now, begun_ns)


@guard.part("A feed")
def _venue(name: str, feed: FeedStatus, *, alive: bool) -> None:
    st.markdown(f"**{literal(name.capitalize())}**")
    for text in feed.missing:
        said = f"{text[:1].upper()}{text[1:]}."
        if alive:
            st.warning(literal(said))
        else:
            panels.note(said)
    if feed.missing_more:
        panels.note(f"{feed.missing_more:,} more are missing.")
    panels.facts(facts_of(feed))
    rows = prices_of(feed.prices_age_ms)
    if rows:
        table(rows, PRICES, key=f"prices_{name}")
    else:
        panels.note("No reference price is requested: no bot here quotes from one.")


def facts_of(feed: FeedStatus) -> dict[str, str]:
    checked, unequal, word = feed.hash_checked, feed.hash_mismatched, feed.last_word_ms
    proof = "all equal" if not unequal else f"{unequal:,} UNEQUAL: those books were fetched again"
    return {
        "Connections": f"{count(feed.sockets, 'socket')} for {count(feed.markets, 'market')}",
        "Last message": "none yet" if word is None else f"{age(int(word * MS_NS))} old",
        "Frames": f"{feed.frames:,}",
        "Books proven by the venue's hash": f"{checked:,} checked, {proof}" if checked else "none",
        "Gaps since the engine started": f"{feed.gaps:,}",
        "Trouble": feed.trouble or "none",
    }


def prices_of(ages_ms: Mapping[str, float | None]) -> list[dict[str, str]]:
    """Return a row per reference price: its age, and what follows where it is silent."""
    rows = []
    for key, old_ms in ages_ms.items():
        received = "none yet" if old_ms is None else f"{age(int(old_ms * MS_NS))} old"
        silent = old_ms is None or old_ms >= STALE_MS
        if old_ms is not None and silent:
            received = f"SILENT for {age(int(old_ms * MS_NS))}"
        rows.append({"source": key, "received": received, "so": NO_QUOTE if silent else "used"})
    return rows


@guard.part("The list of gaps")
def _gaps(now: int, begun_ns: int | None) -> None:
    behind = page_behind("gaps", None)
    rows = ask(gaps, engine_id(), before=behind)
    if not rows and behind is None:
        panels.note("No gap on record: no public feed was lost or distrusted.")
        return
    panels.note(
        "Gaps, newest first: times when a feed, or one market's book, could not be trusted. No "
        "order is placed there during a gap."
    )
    table([gap_of(row, now, begun_ns) for row in rows], GAPS, key="feed_gaps")
    turn("gaps", rows, GAP_KEY)


def gap_of(row: Mapping[str, Any], now: int, begun_ns: int | None) -> dict[str, Any]:
    """Return a gap as a row of the table; `begun_ns` = start of the engine that runs, if any."""
    until = row["until_ns"]
    if until is not None:
        lasted = age(until - row["since_ns"])
    elif begun_ns is not None and row["since_ns"] >= begun_ns:
        lasted = f"ongoing, {age(now - row['since_ns'])}"
    else:
        lasted = "until the engine ended"
    what = market(row["instrument"]) if row["instrument"] else "everything"
    return {**row, "what": what, "lasted": lasted}
