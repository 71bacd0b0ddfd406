"""Jobs as they stand: what runs with its bar, rate and time left, the table, one job in full."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from engine.domain.commands import CancelJob
from pages.kit import commands, guard, panels
from pages.kit.clock import now_ns
from pages.kit.home import config
from pages.kit.tables import choice
from pages.kit.words import NOTHING, SECOND_NS, age, moment
from pages.kit.zone import zone
from pages.shared import moments
from storage.jobs import JOB_ENDS, JobState

# -- The file a job wrote, offered to the browser: an export is of no use on a machine far away ----

KIND = "export"
FOLDER = "exports"
MIMES = {".csv": "text/csv", ".json": "application/json"}


def file_of(result: Mapping[str, Any]) -> Path | None:
    """Return the file an export wrote, None where it is not one of ours or is gone."""
    path = Path(str(result.get("file", "")))
    ours = path.parent == config().home / FOLDER and path.suffix in MIMES
    return path if ours and path.is_file() else None


def offer(number: int, result: Mapping[str, Any]) -> None:
    """Draw the download of an export; a warning where it holds no row."""
    if result.get("rows") == 0:
        st.warning("It holds no row: nothing of that kind, mode and period is on record.")
    path = file_of(result)
    if path is None:
        panels.note("Its file is gone from this machine. Ask for the export again.")
        return
    st.download_button(
        f"Download {path.name}",
        path.read_bytes,  # read at the click alone: this part is drawn every 2 s
        file_name=path.name,
        mime=MIMES[path.suffix],
        key=f"export_file_{number}",
        on_click="ignore",
    )


# -- Jobs as they stand: what runs with its bar, rate and time left, the table, one job in full ----

COLUMNS = {
    "id": ("Job", "count"),
    "kind": ("Kind", "text"),
    "state": ("State", "text"),
    "share": ("Progress", "text"),
    "who": ("Asked by", "text"),
    "created_ns": ("Asked", "time"),
    "took": ("Took", "text"),
    "words": ("What it says", "text"),
}
WORKER_AGE_NS_MAX = 10 * SECOND_NS
SILENT_NS = 30 * SECOND_NS
MB = 1_000_000
FACTS_SHOWN = 4


def worker_age_ns() -> int | None:
    """Return how long nobody has heard of the worker, None where there never was one."""
    lock = config().run_folder / "worker.lock"
    return now_ns() - lock.stat().st_mtime_ns if lock.exists() else None


@guard.part("The worker")
def show_worker() -> None:
    """Say whether somebody would take a job."""
    heard = worker_age_ns()
    if heard is not None and heard < WORKER_AGE_NS_MAX:
        panels.note(f"The worker was heard {age(heard)} ago. It runs one job at a time.")
        return
    told = "was never heard" if heard is None else f"was last heard {age(heard)} ago"
    st.warning(
        f"NO WORKER IS RUNNING: it {told}. Jobs wait until one runs: `make run` starts it, or "
        "`.venv/bin/python -m engine worker`.",
        icon=":material/power_off:",
    )


def amount(value: int, unit: str) -> str:
    """Return a count of something; bytes as megabytes."""
    return f"{value / MB:,.1f} MB" if unit == "bytes" else f"{value:,} {unit}".strip()


def speed(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return a running job's rate and the time it has left; a dash where nobody can say."""
    spent_ns = (row["heard_ns"] or 0) - (row["started_ns"] or 0)
    if row["done"] <= 0 or spent_ns < SECOND_NS // 2:
        return NOTHING, NOTHING
    per_s = row["done"] * SECOND_NS / spent_ns
    rate = f"{amount(round(per_s), row['unit'])}/s"
    if row["total"] <= 0:
        return rate, NOTHING
    left_ns = round((row["total"] - row["done"]) / per_s * SECOND_NS)
    return rate, age(max(0, left_ns))


@guard.part("The list of running jobs")
def show_running(rows: Sequence[Mapping[str, Any]], *, alive: bool) -> None:
    """Draw what runs or waits, each with the button that ends it."""
    for row in rows:
        if row["state"] in JOB_ENDS:
            continue
        left, right = st.columns([6, 1], vertical_alignment="center")
        with left:
            _bar(row)
        asked = bool(row["cancel_by"])
        if right.button(
            "Ending" if asked else "Cancel", key=f"cancel_{row['id']}", disabled=asked or not alive
        ):
            commands.send(CancelJob(job=row["id"]), "cancel_job")
    commands.show_life("cancel_job")


def _bar(row: Mapping[str, Any]) -> None:
    name = f"**Job {row['id']}** · {row['kind']}"
    if row["state"] == JobState.QUEUED:
        said = row["note"] or "waits for the worker"
        st.markdown(f"{name} · queued {age(now_ns() - row['created_ns'])} ago · {said}")
        return
    rate, left = speed(row)
    share = row["done"] / row["total"] if row["total"] else 0.0
    figures = (
        f"{amount(row['done'], row['unit'])} of {amount(row['total'], row['unit'])} · {rate} · "
        f"{left} left"
        if row["total"]
        else "no figures yet"
    )
    silent = now_ns() - (row["heard_ns"] or 0)
    if silent > SILENT_NS:
        figures += f" · silent for {age(silent)}"
    st.progress(
        min(1.0, share), text=f"{name} · {figures}" + f" · {row['note']}" * bool(row["note"])
    )


def listed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job as a row of the table."""
    ended, done = row["state"] in JOB_ENDS, row["state"] == JobState.DONE
    until = row["finished_ns"] if ended else now_ns()
    share = f"{100 * row['done'] / row['total']:.0f} %" if row["total"] else NOTHING
    return {
        **row,
        "share": "100 %" if done else share,
        "took": age(until - row["started_ns"]) if row["started_ns"] and until else NOTHING,
        "words": brought(row["result"]) if done else row["error"] or row["note"],
    }


def brought(result: str) -> str:
    """Return the first plain facts of a result in a line: run 7, fills 12, pnl −1.5."""
    facts = json.loads(result or "{}")
    if "told" in facts:
        return str(facts["told"])
    plain = [
        f"{name.replace('_', ' ')} {_text(value)}"
        for name, value in facts.items()
        if isinstance(value, int | float | str)
    ]
    return ", ".join(plain[:FACTS_SHOWN])


def choose_named() -> None:
    """Select, once, the job the address names: a link led here."""
    named = st.query_params.get("job", "")
    if named.isdecimal() and st.session_state.get("named:jobs") != named:
        st.session_state["named:jobs"] = named
        st.session_state["chosen:jobs"] = int(named)


@guard.part("The list of jobs")
def show_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw all jobs; the selected one in full."""
    if not rows:
        panels.empty(
            "No job has been asked for yet.",
            "A replay, a backup or an export is asked for below; the schedule asks for some each "
            "night. They run beside trading and survive leaving this page.",
        )
        return
    chosen = choice([listed(r) for r in rows], COLUMNS, key="jobs", ids=[r["id"] for r in rows])
    row = next((row for row in rows if row["id"] == chosen), None)
    if row is None:
        panels.note("Select a row to see what a job was given and what it brought.")
    else:
        show_one(row)


@guard.part("The job")
def show_one(row: Mapping[str, Any]) -> None:
    """Draw one job: its arguments, its result or its error."""
    st.subheader(f"Job {row['id']}: {row['kind']}")
    if row["state"] == JobState.FAILED:
        st.error(f"It failed: {row['error'].rstrip('.')}. Nothing else was changed.")
    elif row["error"]:
        st.info(row["error"])
    result = json.loads(row["result"] or "{}")
    if row["kind"] == moments.KIND and row["state"] == JobState.DONE:
        moments.show_result(row["id"], result)
    if row["kind"] == KIND and row["state"] == JobState.DONE:
        offer(row["id"], result)
    panels.facts(
        {
            "State": f"{row['state'].upper()}, attempt {row['attempts']}",
            "Asked": f"{moment(row['created_ns'], zone())} by {row['who']}",
            "Began": moment(row["started_ns"], zone()),
            "Ended": moment(row["finished_ns"], zone()),
            **{f"Given {name}": _text(v) for name, v in json.loads(row["arguments"]).items()},
            **{name.replace("_", " ").capitalize(): _text(v) for name, v in result.items()},
        }
    )
    if "run" in result:
        panels.links(panels.link(f"Run {result['run']}", "runs", run=result["run"]))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
