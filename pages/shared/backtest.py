"""The form of a backtest: data, strategy, span, money and costs; drawn wherever one is started."""

from __future__ import annotations

import copy
from pathlib import Path

import streamlit as st

from engine.domain.backtests import BAR_FILES
from engine.domain.jobs import JOB_KINDS
from engine.domain.plain import PlainDict
from pages.kit import forms, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config
from pages.kit.markdown import literal
from storage.datasets import is_dataset
from storage.jobs import recordings

SHOWN = 20
"""Most names of recordings and files beside the field."""
OF_BARS = "bars"
"""The category of strategies that a file of bars is enough for."""


def asked(slot: str, label: str) -> PlainDict | None:
    """Draw the form; give the arguments of the job `replay` once it is sent.

    A strategy is chosen first: the form has that one's own parameters.
    """
    catalog = forms.strategies_known()
    if not catalog:
        return None
    made = [row["name"] for row in ask(recordings, engine_id())]
    brought = files()
    first = st.query_params.get("path", next(iter([*made, *brought]), ""))
    of_bars = sorted(name for name, one in catalog.items() if one.category == OF_BARS)
    suits = of_bars[0] if of_bars and (first in brought or first.endswith(BAR_FILES)) else ""
    strategy = forms.strategy_asked(catalog, f"{slot}_strategy", now=suits)
    schema = copy.deepcopy(JOB_KINDS["replay"].model_json_schema())
    for name in ("strategy", "parameters", "bots", "limits"):
        del schema["properties"][name]
    schema["properties"]["path"]["default"] = first
    with st.form(f"{slot}_replay_{strategy}", border=False):
        if made:
            panels.note(f"Recordings made here: {literal(', '.join(made[:SHOWN]))}")
        if brought:
            panels.note(f"Data sets and files here: {literal(', '.join(brought[:SHOWN]))}")
        given = forms.form(schema, f"{slot}_replay_{first}")
        limits = st.text_input(
            "Risk limits, where they differ from the defaults",
            placeholder="exposure_instrument_max=20%, open_orders_max=50",
            key=f"{slot}_limits",
        )
        with st.expander(f"Parameters of {literal(strategy)}", key=f"fold_{slot}_parameters"):
            parameters = forms.form(catalog[strategy].parameters, f"{slot}_{strategy}")
        sent = st.form_submit_button(label, type="primary")
    if not sent:
        return None
    return {**given, "strategy": strategy, "parameters": parameters, "limits": pairs(limits)}


def files() -> list[str]:
    """Return the names of imported data sets and of files of bars, the newest first."""
    folder: Path = config().data_folder
    if not folder.is_dir():
        return []
    found = [one for one in folder.iterdir() if one.name.endswith(BAR_FILES) or is_dataset(one)]
    return [one.name for one in sorted(found, key=lambda one: -one.stat().st_mtime_ns)]


def pairs(text: str) -> dict[str, str]:
    """Return `name=value, name=value` as a dictionary; a part without a value keeps it empty."""
    parts = [part.partition("=") for part in text.split(",") if part.strip()]
    return {name.strip(): value.strip() for name, _, value in parts}
