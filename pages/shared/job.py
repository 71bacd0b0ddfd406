"""A job that a page asked for, in place: how far it is, what it brought, and the way to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import streamlit as st

from engine.domain.plain import PlainView
from pages.kit import commands, guard, panels
from pages.kit.data import forget, fresh
from pages.kit.markdown import literal
from pages.kit.tables import TableRow
from pages.kit.words import money
from storage import views
from storage.files import said_bytes
from storage.jobs import JOB_ENDS, JobState
from storage.views.frame import engine_of

FACTS_SHOWN = 4
MONEY = ("pnl", "fees")
NAMES = {"pnl": "PnL", "elapsed_s": "took, seconds"}
"""Facts of a result whose name says too little."""


@guard.part("The job")
def show_progress(slot: str) -> None:
    """Draw the life of the last command of `slot`, and of the job it asked for."""
    commands.show_progress(slot)
    if f"command:{slot}" in st.session_state:
        _follow(slot)


@st.fragment(run_every=1.0)
@guard.part("The job")
def _follow(slot: str) -> None:
    asked, asked_ns = st.session_state[f"sent:{slot}"]
    wanted = (getattr(asked, "job", None), getattr(asked, "arguments", None))
    for row in fresh(views.jobs, fresh(engine_of)):
        # The same may have been asked for before: that job is another one.
        if (row["kind"], row["arguments"]) == wanted and row["created_ns"] >= asked_ns:
            _draw_anew_at_its_end(row)
            tone, said = outcome(row)
            tone(literal(said))
            way = "Open" if row["state"] == JobState.DONE else "Progress"
            made = [panels.link(f"{way}: job {row['id']}", "jobs", job=row["id"])]
            if run := json.loads(row["result"] or "{}").get("run"):
                made.append(panels.link(f"Open: backtest {run}", "runs", run=run))
            panels.links(*made)
            return


def _draw_anew_at_its_end(row: TableRow) -> None:
    """Draw the whole page once more when a job has ended: its lists may hold what it made."""
    drawn: set[int] = st.session_state.setdefault("jobs_drawn", set())
    if row["state"] in JOB_ENDS and row["id"] not in drawn:
        drawn.add(row["id"])
        forget()
        st.rerun()


def outcome(row: TableRow) -> tuple[Callable[[str], object], str]:
    """Return how far a job is, in words, and what draws them."""
    name, state = f"Job {row['id']}", row["state"]
    if state == JobState.DONE:
        result = json.loads(row["result"] or "{}")
        tones = {True: st.success, False: st.error}
        return tones.get(result.get("same", True), st.warning), f"{name} is done: {brought(result)}"
    if state == JobState.QUEUED:
        return st.info, f"{name} is waiting until the worker is free."
    if state == JobState.RUNNING:
        far = progress(row) if row["total"] else "no figures yet"
        return st.info, f"{name} is running: {far}."
    return st.error, f"{name} ended as {state.upper()}: {row['error'] or 'no reason was given'}"


def progress(row: TableRow) -> str:
    """Return how much of its work a job has done."""
    done = amount(row["done"], row["unit"]) if row["unit"] == "bytes" else f"{row['done']:,}"
    return f"{done} of {amount(row['total'], row['unit'])}"


def amount(value: int, unit: str) -> str:
    return said_bytes(value) if unit == "bytes" else f"{value:,} {unit}".strip()


def brought(result: Mapping[str, object]) -> str:
    """Return the first plain facts of a result in a line: run 7, fills 12, pnl −1.5."""
    if "told" in result:
        return str(result["told"])
    facts = facts_of(result)
    if "file" in facts:  # its name: the whole path would leave no room for the figures behind it
        facts["file"] = Path(facts["file"]).name
    plain = (name for name in facts if not isinstance(result[name], dict | list))
    said = [f"{name_of(name)} {facts[name]}" for name in plain]
    return ", ".join(said[:FACTS_SHOWN]) or "nothing to report"


def name_of(fact: str) -> str:
    return NAMES.get(fact, fact.replace("_", " "))


def facts_of(result: PlainView) -> dict[str, str]:
    """Return every fact of a result in words by its name, money with its currency."""
    currency = str(result.get("currency", ""))
    return {
        name: money(Decimal(str(value)), currency, signed=name == "pnl")
        if name in MONEY
        else in_words(value.upper() if name == "mode" else value)
        for name, value in result.items()
        if name != "currency"
    }


def in_words(value: Any) -> str:
    """Return a fact of a job's arguments or result."""
    if isinstance(value, float):
        return f"{value:,.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
