"""The wizard's preview: what a draft's strategy would have brought on a recording, as a band."""

from __future__ import annotations

import json

import msgspec
import streamlit as st

from engine.domain.commands import RunJob
from engine.domain.jobs import arguments_of
from engine.domain.settings import SettingsDocument
from engine.errors import BadInput
from pages.kit import commands, forms, guard, panels
from pages.kit.data import ask, ask_seldom, engine_id, forget, fresh
from pages.kit.markdown import literal
from pages.kit.panels import Tile
from pages.kit.tables import TableRow
from pages.kit.words import moment
from pages.runs import beside, playback
from pages.shared import backtest, job
from storage import views
from storage.bot_drafts import BotDraft
from storage.commands import find
from storage.jobs import JOB_ENDS, JobState, RecordingState, recordings
from storage.significance import significance_of
from storage.views import Row

KIND, SLOT = "replay", "wizard_preview"
NOT_PART = (
    "One bot with this strategy and these parameters trades at a PAPER account with the starting "
    "cash. The draft's markets, sizing and capital, and the limits of its account, are no part of "
    "it: it trades the markets of the recording within the default limits."
)


def draw(base: BotDraft, document: SettingsDocument) -> BotDraft:
    """Draw what is played, and what the last preview brought; gives the draft as it stands."""
    del document
    sources = _sources()
    if not sources:
        panels.empty(
            "There is no recording to play.",
            "A preview needs one that has ended and holds events, or a file of bars. A bot can be "
            "made without a preview; then nothing is known of how it would have done.",
        )
        panels.links(panels.link("Record a market, or import a file", "recordings"))
        return base
    known = list(sources)
    data = str(
        st.selectbox(
            "Recording or file to play, the newest first",
            known,
            index=known.index(base.data) if base.data in sources else 0,
            format_func=lambda name: f"{name} · {sources[name]}",
            key=f"wizard_data_{base.turn}",
        )
    )
    cash = st.number_input(
        "Starting cash, in the currency of its markets",
        value=base.cash,
        min_value=1.0,
        max_value=1e9,
        step=100.0,
        key=f"wizard_cash_{base.turn}",
    )
    panels.note(NOT_PART)
    draft = msgspec.structs.replace(base, data=data, cash=float(cash or base.cash))
    asked = _asked(draft)
    if asked is not None:
        return asked
    if draft.command:
        _result(draft)
    return draft


def _sources() -> dict[str, str]:
    """Return what can be played: recordings that have ended, then files; each in words."""
    made = {
        str(row["name"]): f"recorded here {moment(row['started_ns'])}, {row['events']:,} events"
        for row in ask(recordings, engine_id())
        if row["state"] != RecordingState.RECORDING and row["events"]
    }
    return made | {name: "file" for name in backtest.files() if name not in made}


def _asked(draft: BotDraft) -> BotDraft | None:
    """Draw the button; gives the draft with what it asked for, None = it asked for nothing."""
    if draft.strategy not in forms.strategies_known():
        st.error(f"There is no strategy {literal(repr(draft.strategy))}: choose one in step 3.")
        return None
    if not commands.engine_runs():
        commands.note_no_engine()
        return None
    if not st.button("Play the preview", key=f"wizard_play_{draft.turn}"):
        return None
    text = _arguments(draft)
    try:
        arguments_of(KIND, text)
    except BadInput as error:
        st.error(f"Not started: {literal(error)}. Nothing was changed.")
        return None
    commands.send(RunJob(job=KIND, arguments=text), SLOT)
    if refused := st.session_state.get(f"refused:{SLOT}"):
        st.error(f"Not started: {literal(refused)}. Nothing was changed.")
        return None
    made = str(st.session_state[f"command:{SLOT}"])
    return msgspec.structs.replace(draft, command=made, played=text, turn=draft.turn + 1)


def _arguments(draft: BotDraft) -> str:
    """Return what the job takes as JSON; two drafts with the same are played alike."""
    return json.dumps(
        {
            "path": draft.data,
            "strategy": draft.strategy,
            "parameters": draft.parameters,
            "cash": draft.cash,
            "band": True,
        },
        sort_keys=True,
    )


@guard.part("The preview")
def _result(draft: BotDraft) -> None:
    """Draw how far the preview is that was asked for last, or what it brought."""
    if draft.played != _arguments(draft):
        st.warning(
            "This preview was played with other inputs than the draft has now: play it again.",
            icon=":material/history:",
        )
    row = _job(draft.command)
    if row is None or row["state"] not in JOB_ENDS:
        _wait(draft.command)
    elif row["state"] != JobState.DONE:
        tone, said = job.outcome(row)
        tone(literal(said))
    else:
        _brought(row)


def _job(command: str) -> TableRow | None:
    """Return the job that a command asked for; None = there is none yet, or none any more.

    The engine's answer names it in words alone: it is the first of the same kind and arguments
    that was queued since.
    """
    left = fresh(find, engine_id(), command)
    if left is None or not isinstance(left.command, RunJob):
        return None
    wanted = left.command.job, left.command.arguments
    alike = [
        row
        for row in fresh(views.jobs, engine_id())
        if (row["kind"], row["arguments"]) == wanted and row["created_ns"] >= left.created_ns
    ]
    return min(alike, key=lambda row: int(row["id"]), default=None)


@st.fragment(run_every=1.0)
@guard.part("The preview")
def _wait(command: str) -> None:
    """Draw how far the job is; once it has ended, draw the page anew."""
    row = _job(command)
    if row is None:
        st.markdown(f"The preview: {commands.state_of(engine_id(), command)}")
    elif row["state"] in JOB_ENDS:
        forget()
        st.rerun()
    else:
        tone, said = job.outcome(row)
        tone(literal(said))


def _brought(row: TableRow) -> None:
    number = json.loads(row["result"] or "{}").get("run", "")
    run = beside.found(number)
    if run is None:
        panels.empty(f"Job {row['id']} is done, its run is gone.", "It was deleted: play it again.")
        return
    panels.note(
        f"{run['mode']}, a replay: {run['strategy']} on {run['name']} · played "
        f"{moment(run['started_ns'])} · PnL after fees, what is left is marked at mid"
    )
    if run["error"]:
        st.error(f"It failed: {literal(run['error'])}")
    if run["sweep"] is not None:
        beside.show_band(run)
    panels.tiles([Tile(name, value) for name, value in _figures(run).items()])
    panels.note(
        "Interval: stationary bootstrap of the returns, realistic fills; a dash = too few returns. "
        f"One recording is a small sample: the verdict stands under Strategy. {beside.TRIED}"
    )
    opened = panels.link(f"Open: backtest {run['id']}", "runs", run=run["id"])
    panels.links(opened, playback.link(run["id"]))


def _figures(run: Row) -> dict[str, str]:
    """Return how much the realistic fills traded, and how sure their figures are."""
    found = ask_seldom(significance_of, engine_id=run["engine_id"], run_id=run["id"])
    trips = beside.trips_in_words(beside.result_of(run), run["currency"])
    shown = ("Closed round trips", "Win rate", "Expectancy")
    return {
        "Trades (fills)": f"{run['fills']:,}",
        "Orders": f"{run['orders']:,}",
        **{name: trips[name] for name in shown if name in trips},
        **beside.significance_in_words(found),
    }
