"""The form that asks for a job, drawn from the model of its arguments; nothing is guessed."""

from __future__ import annotations

import copy
import json
from typing import Any

import streamlit as st

from engine.domain.commands import RunJob
from engine.domain.jobs import JOB_KINDS, arguments_of
from engine.errors import BadInput
from pages.frame.bar import modes_of
from pages.frame.status_bar import mode_shown
from pages.kit import commands, guard, panels, schema_form
from pages.kit.data import ask, engine_id
from storage.catalog import strategies
from storage.jobs import recordings
from storage.views.frame import snapshot

SLOT = "run_job"


@guard.part("The form of a job")
def show(*, alive: bool) -> None:
    """Draw the form of the kind that is chosen, and the life of what was asked for last."""
    kinds = list(JOB_KINDS)
    named = st.query_params.get("kind", kinds[0])
    index = kinds.index(named) if named in kinds else 0
    kind = st.selectbox("Kind of job", kinds, index=index, format_func=_title, key="job_kind")
    panels.note(" ".join((JOB_KINDS[kind].__doc__ or "").split()))
    if alive:
        given = _replay() if kind == "replay" else _plain(kind)
        if given is not None:
            _send(kind, given)
    else:
        commands.nobody_takes_it()
    commands.show_life(SLOT)


def _title(kind: str) -> str:
    return kind.capitalize()


def _plain(kind: str) -> dict[str, Any] | None:
    """Draw a form with every argument; gives them when it is sent."""
    schema = copy.deepcopy(JOB_KINDS[kind].model_json_schema())
    shown = mode_shown(modes_of(ask(snapshot)))
    if "mode" in schema["properties"] and shown is not None:
        # Of what the person looks at, and always given: the job's own default is another one.
        schema["properties"]["mode"]["default"] = shown
        schema["required"] = [*schema.get("required", ()), "mode"]
    with st.form(f"job_{kind}", border=False):
        given = schema_form.form(schema, f"job_{kind}")
        sent = st.form_submit_button(f"Ask for the {kind}")
    return given if sent else None


def _replay() -> dict[str, Any] | None:
    """Draw the form of a replay: a recording, a strategy and that strategy's own parameters."""
    catalog = ask(strategies, engine_id())
    if not catalog:
        panels.empty(
            "The strategy catalog is not in the state database.",
            "An engine writes it at its start; start one and this form appears.",
        )
        return None
    strategy = st.selectbox("Strategy", sorted(catalog), key="job_strategy")
    schema = copy.deepcopy(JOB_KINDS["replay"].model_json_schema())
    for name in ("strategy", "parameters", "limits"):
        del schema["properties"][name]
    made = [row["name"] for row in ask(recordings, engine_id())]
    first = st.query_params.get("path", made[0] if made else "")
    schema["properties"]["path"]["default"] = first
    with st.form(f"job_replay_{strategy}", border=False):
        if made:
            panels.note(f"Recordings made here: {', '.join(made[:20])}")
        given = schema_form.form(schema, f"job_replay_{first}")
        limits = st.text_input(
            "limits",
            placeholder="exposure_instrument_max=20%, open_orders_max=50",
            key="job_limits",
        )
        with st.expander(f"Parameters of {strategy}"):
            parameters = schema_form.form(catalog[strategy].parameters, f"job_{strategy}")
        sent = st.form_submit_button("Ask for the replay")
    if not sent:
        return None
    return {
        **given,
        "strategy": strategy,
        "parameters": parameters,
        "limits": pairs(limits),
    }


def pairs(text: str) -> dict[str, str]:
    """Return `name=value, name=value` as a dictionary; a part without a value keeps it empty."""
    parts = [part.partition("=") for part in text.split(",") if part.strip()]
    return {name.strip(): value.strip() for name, _, value in parts}


def _send(kind: str, given: dict[str, Any]) -> None:
    text = json.dumps(given)
    try:
        arguments_of(kind, text)
    except BadInput as error:
        st.error(f"Not asked for: {error}. Nothing was changed.")
        return
    commands.send(RunJob(job=kind, arguments=text), SLOT)
