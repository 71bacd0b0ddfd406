"""A backtest of several bots at one account, as a JSON document: taken from bots here, or typed.

The same document is played by `engine backtest FILE` and by the job `replay`: one digest.
"""

from __future__ import annotations

import json

import streamlit as st

from engine.domain.backtests import document_of_bots, read_document
from engine.domain.commands import RunJob
from engine.domain.plain import PlainView
from engine.errors import BadInput
from pages.kit import commands, guard, panels
from pages.kit.commands import engine_runs
from pages.kit.data import ask, engine_id
from pages.kit.markdown import literal
from pages.kit.tables import Col, ColKind, TableRow, columns_of, table
from pages.shared import backtest, job
from storage.jobs import recordings
from storage.settings import in_force

SLOT, TEXT = "document_backtest", "document_text"
EXAMPLE = """{"path": "demo-three-days.csv.gz", "cash": 1000,
 "bots": {
  "trend":  {"strategy": "sma_cross",     "capital": 500},
  "revert": {"strategy": "rsi_reversion", "capital": 500}}}"""

BOTS = columns_of(
    Col("bot"),
    Col("pnl", "PnL after fees", ColKind.GAIN),
    Col("unrealised", "Unrealised, at mid", ColKind.GAIN),
    Col("fees", kind=ColKind.MONEY),
)


@guard.part("A backtest of several bots")
def show_new() -> None:
    """Draw the document, what fills it in, and how far the last one is."""
    with st.expander("Several bots at once: a document", key="fold_document"):
        panels.note(
            "The bots share one account, its cash, its limits and the market; each keeps its own "
            "capital, orders and result. The document is what the command line plays, too."
        )
        _take()
        text = st.text_area("Document (JSON)", height=260, key=TEXT, placeholder=EXAMPLE)
        if not engine_runs():
            commands.note_no_engine()
        elif st.button("Play the document", type="primary", key="document_play"):
            _send(text)
        st.code(".venv/bin/python -m engine backtest FILE.json", language=None)
    job.show_progress(SLOT)


def _take() -> None:
    """Fill the document in from bots of this desk."""
    settings = ask(in_force, engine_id()).document
    data = [*(row["name"] for row in ask(recordings, engine_id())), *backtest.files()]
    left, right = st.columns(2)
    chosen = left.multiselect("Bots of this desk", sorted(settings.bots), key="document_bots")
    path = right.selectbox("Over", data, key="document_path", placeholder="nothing is here yet")
    if st.button("Fill in", disabled=not (chosen and path), key="document_fill"):
        filled = document_of_bots(settings, tuple(chosen), str(path))
        st.session_state[TEXT] = json.dumps(filled, indent=1)
        if market := filled.get("instrument"):
            panels.note(f"The market of the file is played under the name {literal(str(market))}.")


def _send(text: str) -> None:
    try:
        document = read_document(text)
    except BadInput as error:
        st.error(f"Not started: {literal(error)}. Nothing was changed.")
        return
    asked = json.dumps(document.model_dump(mode="json", exclude_defaults=True))
    commands.send(RunJob(job="replay", arguments=asked), SLOT)


def several(run: TableRow) -> bool:
    """Say whether a run had a document's bots and not one of a strategy with all of the cash."""
    return bool(json.loads(run["parameters"] or "{}").get("bots"))


def show_bots(result: PlainView, currency: str) -> None:
    """Draw what each bot of a run made, where there were several, and what one lacked."""
    for name, missing in result.get("unlisted", {}).items():
        st.warning(
            f"Bot {literal(name)} names {literal(', '.join(missing))}, which the recording does "
            "not have: it traded nothing there. Name a market of the recording, or none."
        )
    bots = result.get("bots", {})
    if len(bots) < 2:
        return
    st.subheader("By bot")
    rows = [{"bot": name, "currency": currency} | made for name, made in sorted(bots.items())]
    table(rows, BOTS, key="run_bots")
    panels.note("Their sum is the run's PnL. What they hold is valued at its last two-sided mid.")
