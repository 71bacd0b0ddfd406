"""Paper against truth: one report in full, and the section of the Runs page that leads to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages.kit import guard, panels
from pages.kit.data import ask
from pages.kit.tables import table
from pages.kit.words import moment
from pages.kit.zone import zone
from pages.runs import compare_charts, compare_words
from storage import views

TITLE = "Paper against truth"
COMMAND = ".venv/bin/python -m engine demo compare --days 20"
COLUMNS = {
    "side": ("Side", "text"),
    "value": ("Figure", "text"),
    "verdict": ("Verdict", "text"),
    "span": ("95 % interval", "text"),
    "difference": ("Paper less truth", "text"),
    "difference_span": ("95 % interval of it", "text"),
}
WHAT = (
    "The same maker, with the same parameters, trades the same markets twice: once with its orders "
    "in the demo exchange, where they are filled for a fact, and once as paper that hears nothing "
    "but the exchange's public feed. What differs is what paper trading gets wrong."
)


@guard.part("The list of comparisons")
def section(reports: Sequence[Mapping[str, Any]]) -> None:
    """Draw what the newest report says, or that there is none and how one is made."""
    st.subheader(TITLE)
    panels.note(WHAT)
    again = panels.link("Have the worker run it: Jobs, kind compare", "jobs", kind="compare")
    if not reports:
        panels.empty(
            "Paper has not been compared with the truth here yet.",
            "Twenty demo days take a quarter of an hour. Ask the worker for it below, or run:",
            COMMAND,
        )
        panels.links(again)
        return
    newest = reports[0]
    found = _found(newest)
    panels.note(f"{moment(newest['started_ns'], zone())}: {compare_words.sentence(found)}")
    links = [
        panels.link(f"Report {row['id']}: {row['recording']}", "runs", run=row["id"])
        for row in reports[:5]
    ]
    panels.links(*links, again)


@guard.part("The comparison")
def show(listed: Mapping[str, Any]) -> None:
    """Draw a report."""
    found = _found(listed)
    panels.links(panels.link("← All runs", "runs"))
    panels.head(
        f"{TITLE}: {found['strategy']} on {found['series']}",
        f"DEMO and PAPER beside each other, never summed · {found['days']} demo days of "
        f"{found['hours']:g} simulated hours · seeds {found['seed']} to "
        f"{found['seed'] + found['days'] - 1} · {found['latency_ms']} ms latency on both sides · "
        f"run {listed['id']}, {moment(listed['started_ns'], zone())}",
    )
    st.markdown(f"**{compare_words.sentence(found)}**")
    panels.note(WHAT)
    for line in found["lines"]:
        _measure(line)
    if "answers" in found:  # reports of earlier versions have none
        st.subheader("The world's answer to our quote")
        panels.note(compare_words.answer(found))
    st.subheader("PnL of each day")
    compare_charts.days(found["daily"], "compare_days")
    panels.note("What was still held at a day's end counts at the last two-sided mid.")
    st.subheader("How much of the cancels stood ahead of us")
    panels.note(compare_words.share(found))
    with st.expander("What it was made of"):
        made = {name: str(value) for name, value in found["parameters"].items()}
        panels.facts({**made, "digest": found["digest"]})
        hours = f"--days {found['days']} --hours {found['hours']:g} --seed {found['seed']}"
        st.code(f".venv/bin/python -m engine demo compare {hours}", language="shell")


def _measure(line: Mapping[str, Any]) -> None:
    name = line["name"]
    label = compare_words.LABELS[name]
    st.subheader(f"{label[:1].upper()}{label[1:]}, {line['unit']}")
    compare_charts.interval(line, f"compare_{name}")
    slack = compare_words.number(line["slack"])
    panels.note(
        f"Band: the truth ± {slack}, the tolerance. A model is within it, or out of it, only "
        "where the whole interval of the difference is."
    )
    table(list(compare_words.rows(line)), COLUMNS, key=f"compare_{name}_table")


def _found(listed: Mapping[str, Any]) -> dict[str, Any]:
    run = ask(views.run, listed["engine_id"], listed["id"])
    found: dict[str, Any] = json.loads(run["result"])
    return found
