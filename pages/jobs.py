"""Jobs: long work beside trading: what runs, what it brought, what the schedule asks for."""

from __future__ import annotations

import streamlit as st

from pages.parts import job_form, job_list, panels
from pages.parts.commanding import engine_runs
from pages.parts.data import ask, engine_id
from pages.parts.tables import table
from storage import views
from storage.schedule import schedule

SCHEDULE = {
    "name": ("Entry", "text"),
    "what": ("Asks for", "text"),
    "cron": ("When (UTC)", "text"),
    "next_ns": ("Next", "time"),
    "last_ns": ("Last", "time"),
    "problem": ("Problem", "text"),
}
REFRESH_S = 2.0


@st.fragment(run_every=REFRESH_S)
def show_jobs() -> None:
    """Draw the worker and its jobs, anew every few seconds."""
    job_list.show_worker()
    rows = ask(views.jobs, engine_id())
    job_list.show_running(rows, alive=engine_runs())
    job_list.show_table(rows)


def show_schedule() -> None:
    """Draw what is asked for by the clock."""
    st.subheader("Schedule")
    rows = ask(schedule, engine_id())
    if not rows:
        panels.empty(
            "No schedule has been reported.",
            "The engine writes it when it runs: a backup each night, upkeep each Sunday, unless "
            "the settings say otherwise. What was missed while it was away is asked for once.",
        )
        return
    table(rows, SCHEDULE, key="schedule")
    panels.note("Entries stand in the settings under schedule; they are in force when applied.")


def main() -> None:
    """Draw the page."""
    panels.head("Jobs", "From the state database, at most 1 s old, anew every 2 s")
    show_jobs()
    with st.expander("Ask for a job", expanded="kind" in st.query_params):
        job_form.show(alive=engine_runs())
    show_schedule()


main()
