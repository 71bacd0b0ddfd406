"""A new backtest: bring a file of bars, or choose a recording, and start it here."""

from __future__ import annotations

import json
import re

import streamlit as st

from engine.domain.commands import RunJob
from engine.domain.jobs import arguments_of
from engine.errors import BadInput, StorageError
from pages.kit import commands, guard, panels
from pages.kit.commands import engine_runs
from pages.kit.home import config
from pages.kit.markdown import literal
from pages.shared import backtest, job
from storage.files import said_bytes
from storage.own_files import keep

SLOT = "new_backtest"


@guard.part("A new backtest")
def show(*, opened: bool) -> None:
    """Draw the form under a heading that opens; and how far the one asked for last is."""
    with st.expander("New backtest", expanded=opened, icon=":material/add:"):
        panels.note(
            "The same strategies, risk, planner and executor as in trading, at a paper account. "
            "Bars are filled by stated laws: an order meets the next bar's open, never the close "
            "that decided it."
        )
        _bring()
        if engine_runs():
            given = backtest.asked(SLOT, "Start backtest")
            if given is not None:
                _send(given)
        else:
            commands.note_no_engine()
    job.show_progress(SLOT)


def _bring() -> None:
    """Draw the field for a file of bars; one that was brought is kept in the home."""
    file = st.file_uploader(
        "Bring a file of bars (CSV, csv.gz or zip: time, open, high, low, close, volume)",
        type=["csv", "gz", "zip"],
        key="bring_bars",
    )
    if file is None:
        return
    name = re.sub(r"[^A-Za-z0-9._-]", "_", file.name).lstrip(".")
    if not name.endswith(backtest.DATA_ENDINGS):
        st.error("Not kept: a file of bars ends in .csv, .csv.gz or .zip. Nothing was changed.")
        return
    if name in backtest.files():
        panels.note(f"{literal(name)} is here: name it as the recording below.")
        return
    try:
        keep(config().data_folder, name, file.getvalue())
    except StorageError as error:
        st.error(f"Not kept: {literal(error)}. Nothing was changed.")
        return
    kept = literal(f"{name} was kept, {said_bytes(file.size)}")
    st.success(f"{kept}. It is read when it is played.")


def _send(given: dict[str, object]) -> None:
    text = json.dumps(given)
    try:
        arguments_of("replay", text)
    except BadInput as error:
        st.error(f"Not started: {literal(error)}. Nothing was changed.")
        return
    commands.send(RunJob(job="replay", arguments=text), SLOT)
