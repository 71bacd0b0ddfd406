"""Why a bot quotes or does not: the latest evaluation of each of its markets, orders or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from engine.errors import PitbossError
from pages.kit import guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config
from pages.kit.names import market, price
from pages.kit.tables import choice
from pages.kit.words import NOTHING, age
from pages.shared import order_why, why
from storage.decisions import StoredDecision, latest_decisions
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
def show(bot: str, detail: Mapping[str, Any], now: int, *, state: str) -> None:
    """Draw a row per watched market, and the whole evaluation of the selected one."""
    st.markdown("**Why it quotes, or does not**")
    watching = (detail.get("watching") or {}).get(bot) or []
    if not watching:
        panels.note("It watches no market now: none of its instruments or series is listed.")
        return
    try:
        stored = latest_decisions(config().decisions_path, bot=bot, instruments=watching)
    except PitbossError as error:
        st.error(f"The decision log cannot be read: {error}. Trading does not depend on it.")
        return
    listed = ask(listings_of, engine_id(), tuple(watching))
    left = detail.get("left") or {}
    rows = [
        _row(name, stored.get(name), listed.get(name), left.get(name), now=now) for name in watching
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
    st.markdown(why.because(decision, None, row))
    panels.note(order_why.standing(found))
    st.html(why.blocks(why.decided(decision, row)))


UNLISTED: Row = {"price_decimals": None, "size_decimals": None, "listed_kind": None}


def _row(
    name: str, stored: StoredDecision | None, listed: Row | None, left: Any, *, now: int
) -> Row:
    row: Row = {"market": market(name), "left": _left(left)}
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
        "would": why.would_quote(decision),
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


def _left(left: Any) -> str:
    if not left:
        return ""
    reasons: Sequence[Any] = left.get("left") or []
    words = list(dict.fromkeys(why.left_words(str(one[0])) for one in reasons))
    if left.get("denied"):
        words.append(f"risk denied: {why.plain(str(left['denied']))}")
    return "; ".join(words)
