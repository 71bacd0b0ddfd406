"""What is heard: each venue's feed, the prices beside it, and the times nobody could trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from engine.domain.telemetry import FeedStatus
from pages.frame.health import health_of
from pages.kit import guard, panels
from pages.kit.clock import now_ns
from pages.kit.data import ask, engine_id
from pages.kit.names import market
from pages.kit.tables import table
from pages.kit.words import age, count
from storage.feeds import gaps
from storage.live import engine_status
from storage.views.frame import engine_seen

REFRESH_S = 2.0
GAPS_SHOWN = 100
MS_NS = 1_000_000
STALE_MS = 10_000.0
"""As the engine has it: prices come each second, one silent for this long counts as missing."""

NO_QUOTE = "no reference quote is made"
PRICES = {
    "source": ("Price of", "text"),
    "heard": ("Last price", "text"),
    "so": ("What follows", "text"),
}
GAPS = {
    "since_ns": ("Started", "time"),
    "until_ns": ("Ended", "time"),
    "lasted": ("Lasted", "text"),
    "feed": ("Feed", "text"),
    "what": ("Of", "text"),
    "reason": ("Reason", "text"),
}


@st.fragment(run_every=REFRESH_S)
@guard.part("What is heard")
def show() -> None:
    """Draw every feed the engine hears, anew every few seconds, and the gaps of all its starts."""
    st.subheader("What is heard")
    engine, now = ask(engine_seen), now_ns()
    alive = health_of(engine, now).alive
    if engine is not None:
        told = age(now - engine.heartbeat_ns)
        panels.note(
            f"From the engine's heartbeat, {told} old"
            + ("" if alive else " · LAST KNOWN, nothing is heard now: the engine does not run")
        )
    status = ask(engine_status, engine_id())
    feeds = status.feeds if status else {}
    if not feeds:
        panels.empty(
            "No public venue is listened to.",
            "One is as soon as an account at it has a bot that wants a market. The demo exchange "
            "speaks by itself: how old its last word is stands in the bar above as Worst feed.",
        )
    for name, feed in feeds.items():
        _venue(name, feed, alive=alive)
    begun_ns = engine.started_ns if engine is not None and alive else None
    _gaps(ask(gaps, engine_id(), limit=GAPS_SHOWN), now, begun_ns)


@guard.part("A feed")
def _venue(name: str, feed: FeedStatus, *, alive: bool) -> None:
    st.markdown(f"**{name.capitalize()}**")
    for text in feed.missing:
        (st.warning if alive else panels.note)(f"{text[:1].upper()}{text[1:]}.")
    if feed.missing_more:
        panels.note(f"{feed.missing_more:,} more are missing.")
    panels.facts(facts_of(feed))
    rows = prices_of(feed.prices_age_ms)
    if rows:
        table(rows, PRICES, key=f"prices_{name}")
    else:
        panels.note("No reference price is asked for: no bot here quotes by one.")


def facts_of(feed: FeedStatus) -> dict[str, str]:
    """Return a venue's figures in words."""
    checked, unequal, word = feed.hash_checked, feed.hash_mismatched, feed.last_word_ms
    proof = (
        "every one equal" if not unequal else f"{unequal:,} UNEQUAL: those books were asked anew"
    )
    return {
        "Connections": f"{count(feed.sockets, 'socket')} for {count(feed.markets, 'market')}",
        "Last word": "none yet" if word is None else f"{age(int(word * MS_NS))} old",
        "Frames": f"{feed.frames:,}",
        "Books proven by the venue's hash": f"{checked:,} checked, {proof}" if checked else "none",
        "Gaps since this start": f"{feed.gaps:,}",
        "Trouble": feed.trouble or "none",
    }


def prices_of(ages_ms: Mapping[str, float | None]) -> list[dict[str, str]]:
    """Return a row per reference price: its age, and what follows where it is silent."""
    rows = []
    for key, old_ms in ages_ms.items():
        heard = "none heard yet" if old_ms is None else f"{age(int(old_ms * MS_NS))} old"
        silent = old_ms is None or old_ms >= STALE_MS
        if old_ms is not None and silent:
            heard = f"SILENT for {age(int(old_ms * MS_NS))}"
        rows.append({"source": key, "heard": heard, "so": NO_QUOTE if silent else "used"})
    return rows


@guard.part("The list of gaps")
def _gaps(rows: Sequence[Mapping[str, Any]], now: int, begun_ns: int | None) -> None:
    if not rows:
        panels.note("No gap is on record: no feed of a public venue was lost or distrusted.")
        return
    panels.note(
        f"The latest {count(len(rows), 'gap')}: times a feed, or the book of one market, could not "
        "be trusted. Nothing is placed there in one."
    )
    table([gap_of(row, now, begun_ns) for row in rows], GAPS, key="feed_gaps")


def gap_of(row: Mapping[str, Any], now: int, begun_ns: int | None) -> dict[str, Any]:
    """Return a gap as a row of the table; `begun_ns` = start of the engine that runs, if any."""
    until = row["until_ns"]
    if until is not None:
        lasted = age(until - row["since_ns"])
    elif begun_ns is not None and row["since_ns"] >= begun_ns:
        lasted = f"it lasts, {age(now - row['since_ns'])}"
    else:
        lasted = "the engine ended in it"
    what = market(row["instrument"]) if row["instrument"] else "everything"
    return {**row, "what": what, "lasted": lasted}
