"""A moment of the past: asked for from an order or an alert, looked at where its job is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from engine.domain.commands import RunJob
from pages.kit import commands, panels
from pages.kit.home import config
from pages.kit.markdown import literal
from pages.kit.words import utc
from pages.shared import job

KIND = "incident"
LABEL = "Show this moment"
FOLDER = "incidents"
AROUND_S = 60
HEIGHT = 900
HELP = (
    "The worker replays this moment from journal and tape, compares every decision with the stored "
    "one, and makes one page of it: book, orders, decisions, settlement, step by step."
)


def offer(at_ns: int, account: str, key: str, *, width: int | str = "content") -> None:
    """Draw the button that asks for a moment; `key` is also where its life is drawn."""
    if st.button(LABEL, key=f"moment_{key}", help=HELP, width=width):  # type: ignore[arg-type]
        given = json.dumps({"at": utc(at_ns), "around_s": AROUND_S, "account": account})
        commands.send(RunJob(job=KIND, arguments=given), f"moment:{key}")


def show_progress(key: str) -> None:
    """Draw what became of the last one asked for under a key, with the way to its page."""
    job.show_progress(f"moment:{key}")


def page_of(result: Mapping[str, object]) -> Path | None:
    """Return the page a job made, None where it is not one of ours or is gone."""
    path = Path(str(result.get("file", "")))
    ours = path.parent == config().home / FOLDER and path.suffix == ".html"
    return path if ours and path.is_file() else None


def show_result(number: int, result: Mapping[str, object]) -> None:
    """Draw what living a moment again gave: the verdict, the page to keep, and the page itself."""
    if result.get("same") is False:
        st.error(f"{literal(result.get('told'))}. Keep the page and the folder PITBOSS_HOME.")
    elif result.get("same"):
        st.success(literal(str(result.get("told"))))
    else:
        st.warning(literal(str(result.get("told"))))
    path = page_of(result)
    if path is None:
        panels.note("Its page was deleted: the newest 200 are kept. Replay the moment again.")
        return
    text = path.read_text(encoding="utf-8")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Download the page",
            text,
            file_name=path.name,
            mime="text/html",
            key=f"moment_file_{number}",
            on_click="ignore",
        )
        here = st.toggle("Show it here", key=f"moment_here_{number}")
    if here:
        st.iframe(text, height=HEIGHT)
