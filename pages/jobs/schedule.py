"""The schedule: what the clock asks for and when, asked for now, and changed as any setting is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.domain.commands import RunJob, SyncMarkets
from engine.domain.settings import ScheduleEntry
from pages.kit import commands, drafts, guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.tables import choice
from pages.shared.cron import trouble
from storage.jobs import schedule

COLUMNS = {
    "name": ("Entry", "text"),
    "what": ("Asks for", "text"),
    "cron": ("When (UTC)", "text"),
    "next_ns": ("Next", "time"),
    "last_ns": ("Last", "time"),
    "problem": ("Problem", "text"),
}
SLOT = "schedule"


@guard.part("The schedule")
def show() -> None:
    """Draw what is asked for by the clock; a selected entry can be asked for now or changed."""
    st.subheader("Schedule")
    rows = ask(schedule, engine_id())
    if not rows:
        panels.empty(
            "No schedule has been reported.",
            "The engine writes it when it runs: a backup each night, upkeep each Sunday, unless "
            "the settings say otherwise. What was missed while it was away is asked for once.",
        )
        return
    chosen = choice(rows, COLUMNS, key="schedule", ids=[row["name"] for row in rows])
    base = drafts.newest()
    entry = base.document.schedule.get(str(chosen))
    if entry is None:
        panels.note("Select an entry to ask for it now or to change it.")
    else:
        _one(str(chosen), entry, base)
    drafts.review(SLOT)
    commands.show_life(SLOT)


def _one(name: str, entry: ScheduleEntry, base: drafts.SettingsVersion) -> None:
    if commands.engine_runs():
        if st.button(f"Ask for {name} now", key=f"now_{name}"):
            command = (
                RunJob(job=entry.job, arguments=json.dumps(entry.arguments))
                if entry.job
                else SyncMarkets(venue=entry.sync)
            )
            commands.send(command, SLOT)
    else:
        commands.nobody_takes_it()
    with st.form(f"schedule_{name}", border=False):
        told = ScheduleEntry.model_fields["cron"].description
        cron = st.text_input("When", value=entry.cron, help=told, key=f"cron_{name}")
        on = st.checkbox("On", value=entry.on, key=f"on_{name}")
        sent = st.form_submit_button("Show what changes")
    problem = trouble(cron.strip()) if sent else ""
    if problem:
        st.error(f"Nothing was changed: {cron.strip()!r} can never be. {problem}.")
    elif sent:
        changed: Mapping[str, Any] = {"cron": cron.strip(), "on": on}
        whole = {**entry.model_dump(mode="json"), **changed}
        drafts.draft(SLOT, {"schedule": {name: whole}}, base)
