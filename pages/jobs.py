"""Jobs: long work beside trading: what runs, what it brought, what the schedule asks for."""

from __future__ import annotations

import streamlit as st

from pages.parts import drafts, guard, job_form, job_list, job_schedule, panels
from pages.parts.commanding import engine_runs
from pages.parts.data import ask, engine_id
from pages.parts.fold import fold
from storage import views

REFRESH_S = 2.0


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of jobs")
def show_jobs() -> None:
    """Draw the worker and its jobs, anew every few seconds."""
    job_list.show_worker()
    rows = ask(views.jobs, engine_id())
    job_list.show_running(rows, alive=engine_runs())
    job_list.show_table(rows)


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Jobs", "From the state database, at most 1 s old, anew every 2 s")
    drafts.standing()
    job_list.choose_named()
    show_jobs()
    with fold("Ask for a job", "fold_job", opened="kind" in st.query_params) as opened:
        if opened:
            job_form.show(alive=engine_runs())
    job_schedule.show()


main()
