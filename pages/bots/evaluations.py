"""Why a bot quotes or does not: the latest evaluation of each of its markets, orders or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from engine.domain.decisions import Decision, Planned
from engine.domain.intents import Intent, Quotes
from engine.domain.telemetry import WatchedMarket
from engine.errors import PitbossError
from pages.kit import guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config
from pages.kit.names import market, price, price_raw, size_raw
from pages.kit.tables import choice
from pages.kit.words import NOTHING, age, count
from pages.shared import order, why
from storage.decisions import StoredDecision, decisions_around, latest_decisions, plans_at
from storage.live import watched_by
from storage.views import Row
from storage.views.decision_history import EvaluationSpan, outcomes, timeline
from storage.views.frame import listings_of

NOW_COLUMNS = {
    "market": ("Market", "text"),
    "standing": ("Now", "text"),
    "fair": ("Fair value", "text"),
    "would": ("What holds it back", "long"),
    "left": ("Not placed, because", "text"),
    "again": ("Same since", "text"),
}
WORDS = {"quote": "quotes anew", "hold": "keeps its quotes"}
RUNNING = "RUNNING"
"""The one state in which a bot is evaluated; in every other its latest evaluation is of before."""


@guard.part("Why the bot quotes")
def show_now(bot: str, now: int, *, state: str) -> None:
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
        _now_row(one, stored.get(one.instrument), listed.get(one.instrument), words, now=now)
        for one in watched
    ]
    if state != RUNNING:
        rows = [_asleep(row, state) for row in rows]
    chosen = choice(rows, NOW_COLUMNS, key=f"why_{bot}", ids=list(watching))
    found = stored.get(str(chosen))
    if found is None:
        panels.note("Select a market for its inputs, fair value, gates and quotes.")
        return
    decision = found.decision
    row = listed.get(decision.instrument, UNLISTED)
    st.markdown(why.because(decision, None, row, words))
    panels.note(order.standing(found))
    st.html(why.blocks(why.decided(decision, row, words)))


UNLISTED: Row = {"price_decimals": None, "size_decimals": None, "listed_kind": None}


def _now_row(
    watched: WatchedMarket,
    stored: StoredDecision | None,
    listed: Row | None,
    words: why.Vocabulary,
    *,
    now: int,
) -> Row:
    row: Row = {"market": market(watched.instrument), "left": _left(watched)}
    if watched.reduce_only:
        return row | {
            "standing": "reduces only",
            "fair": NOTHING,
            "would": "it left the filter the bot follows: what is held is worked out",
            "again": NOTHING,
        }
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


# -- A bot's evaluations over time: what it did and did not do, repeats as one row, and why --

COLUMNS = {
    "at_ns": ("From", "time"),
    "lasted": ("Lasted", "text"),
    "times": ("Times", "count"),
    "market": ("Market", "text"),
    "did": ("What it wants", "text"),
    "fair": ("Fair value", "text"),
    "why": ("Why not", "long"),
}
ALL, QUOTING, NOT = "All", "Quoting", "Not quoting"
KINDS = {ALL: None, QUOTING: True, NOT: False}
ANY = "any reason"


@st.cache_data(ttl=4.0, max_entries=64, show_spinner=False)
def _stretches(
    path: Path, bot: str, outcome: str | None, quoting: bool | None
) -> list[EvaluationSpan]:
    return timeline(path, bot=bot, outcome=outcome, quoting=quoting)


@st.cache_data(ttl=10.0, max_entries=64, show_spinner=False)
def _reasons(path: Path, bot: str) -> dict[str, int]:
    return {name: n for name, n in outcomes(path, bot=bot).items() if name not in ("quote", "hold")}


@guard.part("The evaluations so far")
def show_before(bot: str) -> None:
    """Draw a bot's latest evaluations, those that fit the filter, and the selected one."""
    path = config().decisions_path
    try:
        words = why.vocabulary()
        kind, outcome = _filter(_reasons(path, bot), bot, words)
        found = _stretches(path, bot, outcome, KINDS[kind])
    except PitbossError as error:
        st.error(f"The decision log cannot be read: {error}. Trading does not depend on it.")
        return
    if not found:
        panels.empty(
            "No evaluation fits.",
            "A running bot is asked on every move of its markets; choose All, or start it above.",
        )
        return
    listed = ask(listings_of, engine_id(), tuple(sorted({one.instrument for one in found})))
    panels.note(
        f"{count(sum(one.count for one in found), 'evaluation')} in {count(len(found), 'row')}, "
        "the latest first: alike ones in a row are one, with how often and how long · from the "
        "decision log, at most 6 s old"
    )
    rows = [_row(one, listed.get(one.instrument, UNLISTED), words) for one in found]
    ids = [(one.instrument, one.first.number) for one in found]
    chosen = choice(rows, COLUMNS, key=f"timeline_{bot}", ids=ids)
    one = next((one for one, key in zip(found, ids, strict=True) if key == chosen), None)
    if one is None:
        panels.note("Select a row for its inputs, fair value, gates, quotes and what was done.")
        return
    evaluation(one.first, listed.get(one.instrument, UNLISTED))


def _filter(reasons: dict[str, int], bot: str, words: why.Vocabulary) -> tuple[str, str | None]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Show", tuple(KINDS), default=ALL, key=f"timeline_kind_{bot}", required=True
        )
        if kind != NOT or not reasons:
            return str(kind), None
        reason = st.selectbox(
            "Reason",
            [ANY, *reasons],
            format_func=lambda name: (
                ANY if name == ANY else f"not: {words.gate(name).holds} ({reasons[name]:,})"
            ),
            key=f"timeline_reason_{bot}",
        )
    return str(kind), None if reason in (ANY, None) else str(reason)


def _row(one: EvaluationSpan, listed: Row, words: why.Vocabulary) -> dict[str, Any]:
    fair = dict(one.first.build_up).get("fair")
    return {
        "at_ns": one.first_ns,
        "lasted": age(one.last_ns - one.first_ns) if one.count > 1 else "once",
        "times": one.count,
        "market": market(one.instrument),
        "did": levels(one.wish, listed) if one.outcome == "quote" else "nothing",
        "fair": price(fair, in_cents=listed["listed_kind"] == "binary"),
        "why": why.would_quote(one.first, words),
    }


def levels(wish: Intent | None, listed: Row) -> str:
    if not isinstance(wish, Quotes):
        return "keeps earlier quotes" if wish is None else "a position"
    told = [f"bid {price_raw(p, listed)} \N{MULTIPLICATION SIGN} {size_raw(s, listed)}"
            for p, s in wish.bids]  # fmt: skip
    told += [f"ask {price_raw(p, listed)} \N{MULTIPLICATION SIGN} {size_raw(s, listed)}"
             for p, s in wish.asks]  # fmt: skip
    return " \N{MIDDLE DOT} ".join(told) or "to quote nothing"


# -- one evaluation --------------------------------------------------------------------------------


def evaluation(decision: Decision, listed: Row) -> None:
    """Draw one evaluation whole, with what the executor did about it. Nothing is left out."""
    plan, words = _plan_of(decision), why.vocabulary()
    st.markdown(why.because(decision, plan, listed, words))
    parts = why.decided(decision, listed, words)
    if plan is not None:
        parts += why.planned(plan, listed)
    st.html(why.blocks(parts))
    if plan is None:
        panels.note(
            "No order was touched in that turn: what rested fitted already, or there was "
            "nothing to place and nothing to cancel."
        )


def _plan_of(decision: Decision) -> Planned | None:
    found = plans_at(config().decisions_path, instrument=decision.instrument, at_ns=decision.at_ns)
    own = [plan for plan in found if plan.decision in (0, decision.number)]
    return next(iter(own), None)


def at_moment(bot: str, instrument: str, at_ns: int) -> None:
    """Draw what a bot had decided about a market at a moment: where links of alerts lead."""
    try:
        before = decisions_around(
            config().decisions_path, instrument=instrument, at_ns=at_ns, bot=bot, before=1, after=0
        )
    except PitbossError as error:
        st.error(f"The decision log cannot be read: {error}. Trading does not depend on it.")
        return
    st.markdown(f"**What {bot} had decided about {market(instrument)} by then**")
    if not before:
        panels.empty(
            "Nothing is kept of that time.",
            "The decision log keeps the latest gigabyte; the journal keeps every order and fill.",
        )
        return
    listed = ask(listings_of, engine_id(), (instrument,)).get(instrument, UNLISTED)
    panels.note(order.standing(before[0]))
    evaluation(before[0].decision, listed)
