"""Runs: what replays, backtests and sweeps were made of and what they brought."""

from __future__ import annotations

import streamlit as st

from pages.kit import guard, panels
from pages.kit.data import ask
from pages.kit.tables import choice, unchoose
from pages.kit.words import count
from pages.runs import compare_detail, detail, fills
from storage import views
from storage.views.frame import run_engines

COMPARE = "compare"
"""Kind of the runs that lay paper beside the truth: a report of their own, no PnL in a list."""

COLUMNS = {
    "id": ("Run", "count"),
    "started_ns": ("Started", "time"),
    "kind": ("Kind", "text"),
    "strategy": ("Strategy", "text"),
    "name": ("Recording", "text"),
    "status": ("Status", "text"),
    "pnl": ("PnL", "gain"),
    "fees": ("Fees", "money"),
    "orders": ("Orders", "count"),
    "fills": ("Fills", "count"),
    "frames": ("Frames", "count"),
    "events_per_s": ("Events/s", "rate"),
    "short": ("Digest", "text"),
}


def every_run() -> list[dict[str, object]]:
    """Return the runs of every engine, newest first."""
    found = [
        {
            **row,
            "engine_id": engine_id,
            "name": row["recording"].rstrip("/").rpartition("/")[2],
            "short": row["digest"][:12],
        }
        for engine_id in ask(run_engines)
        for row in ask(views.runs, engine_id)
    ]
    return sorted(found, key=lambda row: (row["started_ns"], row["id"]), reverse=True)


def show_list(runs: list[dict[str, object]]) -> None:
    """Draw all runs; a selected one opens."""
    panels.head("Runs", "From the state database, at most 1 s old · money in the run's currency")
    if not runs:
        panels.empty(
            "No run has been stored yet.",
            "A replay plays a recording through the same executor, risk and planner that trade, "
            "and is stored here when it ends. PATH is a file or a folder of raw frames:",
            ".venv/bin/python -m engine replay PATH --bot market_maker",
        )
        panels.links(
            panels.link("Record what the market says now", "recordings"),
            panels.link("Have the worker replay a recording: Jobs", "jobs", kind="replay"),
        )
        return
    wanted = st.text_input(
        "Filter", placeholder="strategy, recording or digest, then Enter", key="runs_filter"
    ).lower()
    shown = [
        row
        for row in runs
        if wanted in f"{row['strategy']} {row['recording']} {row['digest']}".lower()
    ]
    panels.note(f"{count(len(shown), 'run')} · select a row to open it")
    if not shown:
        panels.empty("No run fits the filter.", "Clear the filter to see all runs.")
        return
    chosen = choice(shown, COLUMNS, key="runs_table", ids=[row["id"] for row in shown])
    if chosen is not None:
        unchoose("runs_table")
        st.query_params["run"] = str(chosen)
        st.rerun()


@guard.part("This page")
def main() -> None:
    """Draw the run named in the address, else the list."""
    runs = every_run()
    named = st.query_params.get("run")
    if named is None:
        reports = [row for row in runs if row["kind"] == COMPARE]
        show_list([row for row in runs if row["kind"] != COMPARE])
        compare_detail.section(reports)
        return
    listed = next((row for row in runs if str(row["id"]) == named), None)
    if listed is None:
        panels.head(f"Run {named}", "From the state database")
        panels.empty("There is no such run.", "It may have been deleted. All runs are in the list.")
        panels.links(panels.link("All runs", "runs"))
        return
    if listed["kind"] == COMPARE:
        compare_detail.show(listed)
        return
    if st.query_params.get("show") == fills.FILLS:
        fills.show(listed, st.query_params.get("market", ""))
        return
    detail.show(listed, [row for row in runs if row["digest"] == listed["digest"]])


main()
