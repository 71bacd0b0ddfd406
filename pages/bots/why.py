"""Why a bot quotes or does not: the latest evaluation of each of its markets, orders or none."""

from __future__ import annotations

import streamlit as st

from engine.domain.telemetry import WatchedMarket
from engine.errors import PitbossError
from pages.kit import guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config
from pages.kit.names import market, price
from pages.kit.tables import choice
from pages.kit.words import NOTHING, age
from pages.shared import order_why, why
from storage.decisions import StoredDecision, latest_decisions
from storage.live import watched_by
from storage.views import Row
from storage.views.frame import listings_of

COLUMNS = {
    "market": ("Market", "text"),
    "standing": ("Now", "text"),
    "fair": ("Fair value", "text"),
    "would": ("What holds it back", "long"),
    "left": ("Left over by the executor", "text"),
    "again": ("Same since", "text"),
}
WORDS = {"quote": "quotes anew", "hold": "keeps its quotes"}
RUNNING = "RUNNING"
"""The one state in which a bot is evaluated; in every other its latest evaluation is of before."""


@guard.part("Why the bot quotes")
def show(bot: str, now: int, *, state: str) -> None:
    """Draw a row per watched market, and the whole evaluation of the selected one."""
    st.markdown("**Why it quotes, or does not**")
    watched = ask(watched_by, engine_id(), bot)
    if not watched:
        panels.note("It watches no market now: none of its instruments or series is listed.")
        return
    try:
        watching = [one.instrument for one in watched]
        stored = latest_decisions(config().decisions_path, bot=bot, instruments=watching)
    except PitbossError as error:
        st.error(f"The decision log cannot be read: {error}. Trading does not depend on it.")
        return
    listed = ask(listings_of, engine_id(), tuple(watching))
    words = why.vocabulary()
    rows = [
        _row(one, stored.get(one.instrument), listed.get(one.instrument), words, now=now)
        for one in watched
    ]
    if state != RUNNING:
        rows = [_asleep(row, state) for row in rows]
    chosen = choice(rows, COLUMNS, key=f"why_{bot}", ids=list(watching))
    found = stored.get(str(chosen))
    if found is None:
        panels.note("Select a market for its inputs, fair value, gates and wish.")
        return
    decision = found.decision
    row = listed.get(decision.instrument, UNLISTED)
    st.markdown(why.because(decision, None, row, words))
    panels.note(order_why.standing(found))
    st.html(why.blocks(why.decided(decision, row, words)))


UNLISTED: Row = {"price_decimals": None, "size_decimals": None, "listed_kind": None}


def _row(
    watched: WatchedMarket,
    stored: StoredDecision | None,
    listed: Row | None,
    words: why.Vocabulary,
    *,
    now: int,
) -> Row:
    row: Row = {"market": market(watched.instrument), "left": _left(watched)}
    if stored is None:
        return row | {
            "standing": "not evaluated yet",
            "fair": NOTHING,
            "would": "",
            "again": NOTHING,
        }
    decision = stored.decision
    if decision.outcome not in WORDS:
        row["left"] = ""  # nothing is wished: what an older wish left over says nothing now
    fair = dict(decision.build_up).get("fair")
    binary = (listed or UNLISTED)["listed_kind"] == "binary"
    times = f", {stored.count:,}\N{MULTIPLICATION SIGN}" if stored.count > 1 else ""
    return row | {
        "standing": WORDS.get(decision.outcome, "quotes nothing"),
        "fair": price(fair, in_cents=binary),
        "would": why.would_quote(decision, words),
        "again": f"{age(max(0, now - decision.at_ns))}{times}",
    }


def _asleep(row: Row, state: str) -> Row:
    """Return a row of a bot that is not evaluated: what it wished last is no wish of now."""
    return row | {
        "standing": "quotes nothing",
        "fair": NOTHING,
        "would": f"the bot is {state}; select the row for its last evaluation",
        "left": "",
    }


def _left(watched: WatchedMarket) -> str:
    words = [why.left_words(reason) for reason in watched.left]
    if watched.denied:
        words.append(f"risk denied: {why.plain(watched.denied)}")
    return "; ".join(words)
