"""Jobs: long work beside trading: what runs, what it brought, what the schedule asks for."""

from __future__ import annotations

import streamlit as st

from pages.jobs import form, schedule, table
from pages.kit import drafts, guard, panels
from pages.kit.commands import engine_runs
from pages.kit.data import ask, engine_id
from pages.kit.panel import fold
from storage import views

REFRESH_S = 2.0


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of jobs")
def show_jobs() -> None:
    """Draw the worker and its jobs, anew every few seconds."""
    table.show_worker()
    rows = ask(views.jobs, engine_id())
    table.show_running(rows, alive=engine_runs())
    table.show_table(rows)


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Jobs", "From the state database, at most 1 s old, anew every 2 s")
    drafts.standing()
    table.choose_named()
    show_jobs()
    with fold("Ask for a job", "fold_job", opened="kind" in st.query_params) as opened:
        if opened:
            form.show(alive=engine_runs())
    schedule.show()


main()
