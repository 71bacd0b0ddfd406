"""Why one order was placed: its decision and its plan, by their exact keys, or what is missing."""

from __future__ import annotations

import streamlit as st

from engine.domain.decisions import Planned
from pages.kit import guard, panels
from pages.kit.home import config
from pages.kit.words import count, moment, utc
from pages.kit.zone import zone
from pages.shared import why
from storage.decisions import StoredDecision, decision_numbered, plans_at
from storage.views import Row


@guard.part("Why the order was placed")
def show(row: Row) -> None:
    """Draw the why of an order's row. Raises StorageError, BadInput."""
    stored, plan = _stored(row), _plan(row)
    parts: list[tuple[str, str]] = []
    if stored is not None:
        decision, words = stored.decision, why.vocabulary()
        st.markdown(why.because(decision, plan, row, words))
        panels.note(standing(stored))
        parts += why.decided(decision, row, words)
    elif row["decision"]:
        panels.empty(
            f"Decision {why.number_of(row['decision'])} is not in the log.",
            "It is written within a second and a half; an old one has been rotated away.",
        )
    else:
        panels.empty(
            "No strategy's decision stands behind this order.",
            "It was placed by hand, by a stop that leaves inventory, or before decisions were "
            "numbered.",
        )
    if plan is not None:
        parts += why.planned(plan, row, ours=row["id"])
    elif row["decision"]:
        panels.note("The plan of that turn is not in the decision log.")
    if parts:
        st.html(why.blocks(parts))
    if row["decision"]:
        then = {"bot": row["bot"], "market": row["instrument"], "at": row["created_ns"]}
        panels.links(panels.link(f"What {row['bot']} evaluated around then", "bots", **then))


def standing(stored: StoredDecision) -> str:
    """Return which decision it is, how often it was repeated, and when."""
    decision = stored.decision
    repeats = f", the same {count(stored.count, 'time')} in a row" if stored.count > 1 else ""
    return (
        f"Decision {why.number_of(decision.number)} of {decision.bot}, regime {decision.regime}, "
        f"outcome {why.plain(decision.outcome)}{repeats} \N{MIDDLE DOT} "
        f"{moment(decision.at_ns, zone())} = {utc(decision.at_ns)}"
    )


def _stored(row: Row) -> StoredDecision | None:
    if not row["decision"]:
        return None
    return decision_numbered(
        config().decisions_path,
        bot=row["bot"],
        instrument=row["instrument"],
        number=row["decision"],
        at_ns=row["created_ns"],
    )


def _plan(row: Row) -> Planned | None:
    found = plans_at(config().decisions_path, instrument=row["instrument"], at_ns=row["created_ns"])
    return next((plan for plan in found if row["id"] in [one.order for one in plan.places]), None)
