"""A bot's evaluations over time: what it did and did not do, repeats as one row, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from engine.domain.decisions import Decision, Planned
from engine.domain.intents import Intent, Quotes
from engine.errors import PitbossError
from pages.kit import guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config
from pages.kit.names import market, price, price_raw, size_raw
from pages.kit.tables import choice
from pages.kit.words import age, count
from pages.shared import order_why, why
from storage.decisions import decisions_around, plans_at
from storage.views import Row
from storage.views.decision_history import EvaluationSpan, outcomes, timeline
from storage.views.frame import listings_of

COLUMNS = {
    "at_ns": ("From", "time"),
    "lasted": ("Lasted", "text"),
    "times": ("Times", "count"),
    "market": ("Market", "text"),
    "did": ("What it wished", "text"),
    "fair": ("Fair value", "text"),
    "why": ("Why not", "long"),
}
ALL, QUOTING, NOT = "All", "Quoting", "Not quoting"
KINDS = {ALL: None, QUOTING: True, NOT: False}
ANY = "any reason"
UNLISTED: Row = {"price_decimals": None, "size_decimals": None, "listed_kind": None}


@st.cache_data(ttl=4.0, max_entries=64, show_spinner=False)
def _stretches(
    path: Path, bot: str, outcome: str | None, quoting: bool | None
) -> list[EvaluationSpan]:
    return timeline(path, bot=bot, outcome=outcome, quoting=quoting)


@st.cache_data(ttl=10.0, max_entries=64, show_spinner=False)
def _reasons(path: Path, bot: str) -> dict[str, int]:
    return {name: n for name, n in outcomes(path, bot=bot).items() if name not in ("quote", "hold")}


@guard.part("The evaluations so far")
def show(bot: str) -> None:
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
        panels.note("Select a row for its inputs, fair value, gates, wish and what was done.")
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
    """Return a wish in a line."""
    if not isinstance(wish, Quotes):
        return "keeps an earlier wish" if wish is None else "a position"
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
            "No order was touched in that turn: what rested fitted the wish already, or there was "
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
    panels.note(order_why.standing(before[0]))
    evaluation(before[0].decision, listed)
