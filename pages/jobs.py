"""The worker's jobs with progress and results; the schedule.

Long work beside trading: replays, backups, upkeep, exports. The schedule starts some of it by the
clock; the engine makes rounds of its own (health, reconciliation, stale orders, rebalance): each
with last run, duration, result and next run. What history takes on the disk, and how long it lasts.

Changes: new job, start now, cancel, download an export.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from engine.domain.commands import CancelJob, RunJob, SyncMarkets
from engine.domain.commands.rounds import RunRound
from engine.domain.jobs import JOB_KINDS, arguments_of
from engine.domain.plain import PlainDict
from engine.domain.settings import ScheduleEntry
from engine.errors import BadInput
from pages import Page
from pages.frame.bar import mode_shown, modes_of
from pages.kit import commands, drafts, forms, guard, panels
from pages.kit.commands import engine_runs
from pages.kit.data import ask, engine_id
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.panels import panel
from pages.kit.tables import Col, ColKind, TableRow, choice, columns_of, page_behind, table, turn
from pages.kit.words import NOTHING, SECOND_NS, age, moment
from pages.shared import backtest, job, moments
from pages.shared.job import amount
from storage import views
from storage.jobs import JOB_ENDS, JobState, latest_jobs, schedule
from storage.retention import HistoryKept, survey
from storage.rounds import RoundSeen, rounds
from storage.settings import SettingsVersion
from storage.views import Row
from storage.views.frame import snapshot

PAGE = Page("Jobs", ":material/work_history:", "Guard", 3)

REFRESH_S = 2.0


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of jobs")
def show_jobs() -> None:
    """Draw the worker and its jobs, anew every few seconds."""
    show_worker()
    rows = ask(views.jobs, engine_id())
    show_running(rows, alive=engine_runs())
    behind = page_behind("jobs", None)
    rows = rows if behind is None else ask(views.jobs, engine_id(), before=behind)
    show_table(rows)
    turn("jobs", rows, ("id",))


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Jobs", "A few seconds old; refreshed every 2 s")
    drafts.show_version()
    choose_named()
    show_jobs()
    with panel("New job", "fold_job", opened="kind" in st.query_params) as opened:
        if opened:
            show_form(alive=engine_runs())
    show_schedule()
    show_disk()


# -- What the desk keeps on its disk, and for how long there is room ------------------------------

KEPT = columns_of(
    Col("kind", "History"),
    Col("size", kind=ColKind.TEXT),
    Col("part", "Limit"),
    Col("since_ns", "Complete since"),
    Col("rate", "Per day"),
    Col("left", "Until pruning"),
    Col("words", "Pruned so far"),
)


HISTORY = {
    "journal": "every order and fill",
    "state": "what the pages show",
    "decisions": "why a bot quoted or not",
    "tape": "market data, for incidents",
    "ticks": "prices and trades, for charts",
    "runs": "backtests",
    "backups": "copies of the journal and the state",
}
"""What a kind of history is, beside its name as the settings spell it."""


@guard.part("The disk")
def show_disk() -> None:
    """Draw what each kind of history takes of the disk budget."""
    st.subheader("Disk")
    found = survey(config().history, config().share, now_ns())
    table([kept(one) for one in found], KEPT, key="disk")
    space = shutil.disk_usage(config().home)
    per_day = sum(one.per_day or 0 for one in found)
    left = f", {space.free / per_day:,.0f} days at this rate" if per_day else ""
    panels.note(
        f"{amount(sum(one.bytes for one in found), 'bytes')} of "
        f"{amount(config().disk_budget, 'bytes')} (PITBOSS_DISK_BUDGET) · "
        f"{amount(space.free, 'bytes')} free on the disk{left} · the oldest of each kind is pruned "
        "first; fills, cash and positions never are"
    )


def kept(one: HistoryKept) -> dict[str, object]:
    return {
        "kind": f"{one.kind.capitalize()}: {HISTORY[one.kind]}",
        "size": amount(one.bytes, "bytes"),
        "part": amount(one.bytes_max, "bytes"),
        "since_ns": one.since_ns,
        "rate": NOTHING if one.per_day is None else amount(one.per_day, "bytes"),
        "left": NOTHING if one.days_left is None else f"{one.days_left:,.0f} days",
        "words": one.words or NOTHING,
    }


# -- The file a job wrote, offered to the browser: an export is of no use on a machine far away ----

KIND = "export"
FOLDER = "exports"
MIMES = {".csv": "text/csv", ".json": "application/json"}


def file_of(result: Mapping[str, object]) -> Path | None:
    """Return the file an export wrote, None where it is not one of ours or is gone."""
    path = Path(str(result.get("file", "")))
    ours = path.parent == config().home / FOLDER and path.suffix in MIMES
    return path if ours and path.is_file() else None


def offer(number: int, result: Mapping[str, object]) -> None:
    """Draw the download of an export; a warning where it holds no row."""
    if result.get("rows") == 0:
        st.warning("The file is empty: nothing of that kind, mode and period is on record.")
    path = file_of(result)
    if path is None:
        panels.note("Its file is no longer on this machine. Start the export again.")
        return
    st.download_button(
        f"Download {literal(path.name)}",
        path.read_bytes,  # read at the click alone: this part is drawn every 2 s
        file_name=path.name,
        mime=MIMES[path.suffix],
        key=f"export_file_{number}",
        on_click="ignore",
    )


# -- Jobs as they stand: what runs with its bar, rate and time left, the table, one job in full ----

COLUMNS = columns_of(
    Col("id", "Job", ColKind.COUNT),
    Col("kind"),
    Col("state"),
    Col("share", "Progress"),
    Col("who", "Started by"),
    Col("created_ns", "Asked"),
    Col("took"),
    Col("words", "Result"),
)
WORKER_AGE_NS_MAX = 10 * SECOND_NS
SILENT_NS = 30 * SECOND_NS


def worker_age_ns() -> int | None:
    """Return how long the worker has been silent, None where there never was one."""
    lock = config().run_folder / "worker.lock"
    return now_ns() - lock.stat().st_mtime_ns if lock.exists() else None


@guard.part("The worker")
def show_worker() -> None:
    received = worker_age_ns()
    if received is not None and received < WORKER_AGE_NS_MAX:
        panels.note(
            f"The worker was active {age(received)} ago. It runs two jobs at a time: one of "
            "housekeeping, one of the others."
        )
        return
    text = "never ran" if received is None else f"was last active {age(received)} ago"
    st.warning(
        f"NO WORKER IS RUNNING: it {text}. Jobs wait until one runs: `make run` starts it, or "
        "`.venv/bin/python -m engine worker`.",
        icon=":material/power_off:",
    )


def speed(row: TableRow) -> tuple[str, str]:
    """Return a running job's rate and the time it has left; a dash where it is not known."""
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
def show_running(rows: Sequence[TableRow], *, alive: bool) -> None:
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
    commands.show_progress("cancel_job")


def _bar(row: TableRow) -> None:
    name = f"**Job {row['id']}** · {row['kind']}"
    if row["state"] == JobState.QUEUED:
        said = row["note"] or "waiting for the worker"
        st.markdown(
            f"{literal(name)} · queued {age(now_ns() - row['created_ns'])} ago · {literal(said)}"
        )
        return
    rate, left = speed(row)
    share = row["done"] / row["total"] if row["total"] else 0.0
    figures = f"{job.progress(row)} · {rate} · {left} left" if row["total"] else "no figures yet"
    silent = now_ns() - (row["heard_ns"] or 0)
    if silent > SILENT_NS:
        figures += f" · silent for {age(silent)}"
    st.progress(
        min(1.0, share),
        text=f"{literal(name)} · {literal(figures)}"
        + f" · {literal(row['note'])}" * bool(row["note"]),
    )


def listed(row: TableRow) -> PlainDict:
    ended, done = row["state"] in JOB_ENDS, row["state"] == JobState.DONE
    until = row["finished_ns"] if ended else now_ns()
    share = f"{100 * row['done'] / row['total']:.0f} %" if row["total"] else NOTHING
    result = json.loads(row["result"] or "{}")
    return {
        **row,
        "share": "100 %" if done else share,
        "took": age(until - row["started_ns"]) if row["started_ns"] and until else NOTHING,
        "words": job.brought(result) if done else row["error"] or row["note"],
    }


def choose_named() -> None:
    """Select, once, the job the address names: a link led here."""
    named = st.query_params.get("job", "")
    if named.isdecimal() and st.session_state.get("named:jobs") != named:
        st.session_state["named:jobs"] = named
        st.session_state["chosen:jobs"] = int(named)


@guard.part("The list of jobs")
def show_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Draw all jobs; the selected one in full."""
    if not rows:
        panels.empty(
            "There are no jobs yet.",
            "Start a replay, a backup or an export below; the schedule starts some each night. "
            "They run alongside trading and go on when you leave this page.",
        )
        return
    chosen = choice([listed(r) for r in rows], COLUMNS, key="jobs", ids=[r["id"] for r in rows])
    row = next((row for row in rows if row["id"] == chosen), None)
    if row is None:
        panels.note("Select a row to see a job's inputs and results.")
    else:
        show_one(row)


@guard.part("The job")
def show_one(row: TableRow) -> None:
    """Draw one job: its arguments, its result or its error."""
    st.subheader(f"Job {literal(row['id'])}: {literal(row['kind'])}")
    if row["state"] == JobState.FAILED:
        st.error(f"It failed: {literal(row['error'].rstrip('.'))}. Nothing else was changed.")
    elif row["error"]:
        st.info(literal(row["error"]))
    result = json.loads(row["result"] or "{}")
    if row["kind"] == moments.KIND and row["state"] == JobState.DONE:
        moments.show_result(row["id"], result)
    if row["kind"] == KIND and row["state"] == JobState.DONE:
        offer(row["id"], result)
    panels.facts(
        {
            "State": f"{row['state'].upper()}, attempt {row['attempts']}",
            "Asked": f"{moment(row['created_ns'])} by {row['who']}",
            "Began": moment(row["started_ns"]),
            "Ended": moment(row["finished_ns"]),
            **{
                f"Given {name}": job.in_words(value)
                for name, value in json.loads(row["arguments"]).items()
                if value not in ({}, [])
            },
            **{
                job.name_of(name)[:1].upper() + job.name_of(name)[1:]: said
                for name, said in job.facts_of(result).items()
            },
        }
    )
    if "run" in result:
        panels.links(panels.link(f"Backtest {result['run']}", "runs", run=result["run"]))


# -- The form that asks for a job, drawn from the model of its arguments; nothing is guessed --

JOB_SLOT = "run_job"


@guard.part("The job form")
def show_form(*, alive: bool) -> None:
    """Draw the form of the kind that is chosen, and the life of what was asked for last."""
    kinds = list(JOB_KINDS)
    named = st.query_params.get("kind", kinds[0])
    index = kinds.index(named) if named in kinds else 0
    kind = st.selectbox(
        "Kind of job", kinds, index=index, format_func=str.capitalize, key="job_kind"
    )
    panels.note(" ".join((JOB_KINDS[kind].__doc__ or "").split()))
    if alive:
        given = backtest.asked("job", "Start replay") if kind == "replay" else _plain(kind)
        if given is not None:
            _send(kind, given)
    else:
        commands.note_no_engine()
    job.show_progress(JOB_SLOT)


def _plain(kind: str) -> dict[str, object] | None:
    schema = copy.deepcopy(JOB_KINDS[kind].model_json_schema())
    shown = mode_shown(modes_of(ask(snapshot)))
    if "mode" in schema["properties"] and shown is not None:
        # Of what the person looks at, and always given: the job's own default is another one.
        schema["properties"]["mode"]["default"] = shown
        schema["required"] = [*schema.get("required", ()), "mode"]
    with st.form(f"job_{kind}", border=False):
        given = forms.form(schema, f"job_{kind}")
        sent = st.form_submit_button(f"Start {literal(kind)}")
    return given if sent else None


def _send(kind: str, given: dict[str, object]) -> None:
    text = json.dumps(given)
    try:
        arguments_of(kind, text)
    except BadInput as error:
        st.error(f"Not started: {literal(error)}. Nothing was changed.")
        return
    commands.send(RunJob(job=kind, arguments=text), JOB_SLOT)


# -- The schedule: what the clock asks for and when, asked for now, and changed as any settin --

SCHEDULE_COLUMNS = columns_of(
    Col("name", "Entry"),
    Col("what", "Starts"),
    Col("when", "When", ColKind.WORDS),
    Col("last_ns"),
    Col("next_ns"),
    Col("took"),
    Col("words", "Result", ColKind.LONG),
    Col("problem", "Status"),
)
SLOT = "schedule"
LOOKS = {
    "health": "engine: files, feeds, accounts and bots",
    "reconciliation": "engine: each ledger beside its venue",
    "stale-orders": "engine: unknown orders, orders of bots that do not run",
    "rebalance": "engine: bots' capital beside equity, pairs that tie up cash",
}
"""What each round of the engine looks at."""


@guard.part("The schedule")
def show_schedule() -> None:
    """Draw what is asked for by the clock; a selected entry can be asked for now or changed."""
    st.subheader("Schedule")
    base = drafts.newest()
    looked = ask(rounds, engine_id())
    rows = scheduled(ask(schedule, engine_id()), base.document.schedule)
    if not rows and not looked:
        panels.empty(
            "No schedule has been reported.",
            "The engine reports it when it runs: a backup and upkeep each night, unless "
            "the settings differ. What was missed while it was off is started once.",
        )
        return
    rows = [*map(round_row, looked), *rows]
    chosen = choice(rows, SCHEDULE_COLUMNS, key="schedule", ids=[row["name"] for row in rows])
    entry = base.document.schedule.get(str(chosen))
    if any(one.name == chosen for one in looked):
        _one_round(str(chosen))
    elif entry is None:
        panels.note("Select an entry to start it now or change it.")
    else:
        _one(str(chosen), entry, base)
    drafts.review(SLOT)
    job.show_progress(SLOT)


def scheduled(rows: Sequence[TableRow], entries: Mapping[str, ScheduleEntry]) -> list[Row]:
    """Return the entries of the worker's schedule as they are drawn, each with its newest job."""
    latest = ask(latest_jobs, engine_id())
    drawn = []
    for row in rows:
        entry = entries.get(row["name"])
        made = latest.get((entry.job, json.dumps(entry.arguments))) if entry else None
        took, words = NOTHING, NOTHING
        if made is not None and made.started_ns:
            took = age((made.finished_ns or now_ns()) - made.started_ns)
            result = job.brought(json.loads(made.result or "{}"))
            words = result if made.state == JobState.DONE else made.error or str(made.state)
        drawn.append(
            {
                **row,
                "last_ns": made.started_ns or row["last_ns"] if made else row["last_ns"],
                "when": in_words(row["cron"], row["zone"]),
                "took": took,
                "words": words,
                "problem": row["problem"] or "on",
            }
        )
    return drawn


def round_row(one: RoundSeen) -> dict[str, object]:
    """Return a round of the engine as it is drawn."""
    every = f"{one.every_s} s" if one.every_s < 60 else f"{one.every_s // 60} min"
    return {
        "name": one.name,
        "what": LOOKS.get(one.name, "engine"),
        "when": f"every {every}",
        "last_ns": one.last_ns,
        "took": f"{one.took_us / 1_000:.1f} ms",
        "words": one.text,
        "next_ns": one.next_ns,
        "problem": "on" if one.well else "read its result",
    }


def _one_round(name: str) -> None:
    """Draw the button of a round: the engine makes it, at a time of its own otherwise."""
    if not commands.engine_runs():
        commands.note_no_engine()
    elif st.button(f"Start {literal(name)} now", key=f"now_{name}"):
        commands.send(RunRound(round=name), SLOT)


def _one(name: str, entry: ScheduleEntry, base: SettingsVersion) -> None:
    if commands.engine_runs():
        if st.button(f"Start {literal(name)} now", key=f"now_{name}"):
            command = (
                RunJob(job=entry.job, arguments=json.dumps(entry.arguments))
                if entry.job
                else SyncMarkets(venue=entry.sync)
            )
            commands.send(command, SLOT)
    else:
        commands.note_no_engine()
    with st.form(f"schedule_{name}", border=False):
        text = literal(ScheduleEntry.model_fields["cron"].description)
        cron = st.text_input("When", value=entry.cron, help=text, key=f"cron_{name}")
        on = st.checkbox("On", value=entry.on, key=f"on_{name}")
        if entry.by_itself:
            panels.note(
                "It is on by itself once an account's venue lists markets; a change saved here "
                "sets it as the box says."
            )
        sent = st.form_submit_button("Show what changes")
    problem = trouble(cron.strip()) if sent else ""
    if problem:
        st.error(
            f"Nothing was changed: {literal(repr(cron.strip()))} is not a valid schedule: "
            f"{literal(problem)}."
        )
    elif sent:
        changed: Mapping[str, object] = {"cron": cron.strip(), "on": on, "by_itself": False}
        whole = {**entry.model_dump(mode="json"), **changed}
        drafts.draft(SLOT, {"schedule": {name: whole}}, base)


# -- Times in cron's words, refused at the form where they can never be: hour 25, day 0, no n --

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("weekday", 0, 6, WEEKDAYS),
)
_STEPS = re.compile(r"^(?P<what>[^/]+)(?:/(?P<step>\d+))?$")


def in_words(cron: str, zone: str = "UTC") -> str:
    """Return when a cron line is due: `daily 02:10 UTC`, `every 5 min`; another stays as it is."""
    match cron.split():
        case [minute, "*", "*", "*", "*"] if minute[:2] == "*/" and minute[2:].isdecimal():
            return f"every {minute[2:]} min"
        case [minute, hour, "*", "*", day] if minute.isdecimal() and hour.isdecimal():
            return f"{'daily' if day == '*' else _each(day)} {int(hour):02}:{int(minute):02} {zone}"
        case [minute, hour, day, "*", "*"] if all(map(str.isdecimal, (minute, hour, day))):
            return f"day {int(day)} of each month {int(hour):02}:{int(minute):02} {zone}"
    return f"{cron} {zone}"


def _each(day: str) -> str:
    """Return the days a weekday of cron names: `sun` is each Sunday; a list stays as it is."""
    return f"each {DAYS[WEEKDAYS.index(day.lower())]}" if day.lower() in WEEKDAYS else day


def trouble(cron: str) -> str:
    """Return why a cron line names no time, in words; empty = it can be saved.

    What it takes the engine's schedule takes: `*`, numbers, ranges, lists, steps, and names of
    months and weekdays. Odder things the schedule would know are refused here.
    """
    words = cron.split()
    if len(words) != len(FIELDS):
        return f"five fields are needed (minute hour day month weekday), not {len(words)}"
    for word, (name, least, most, names) in zip(words, FIELDS, strict=True):
        for part in word.lower().split(","):
            text = _part(part, least, most, names)
            if text:
                return f"{name} {word!r}: {text}"
    return ""


def _part(part: str, least: int, most: int, names: tuple[str, ...]) -> str:
    match = _STEPS.match(part)
    if match is None or match["step"] == "0":
        return f"{part!r} cannot be read"
    if match["what"] == "*":
        return "" if int(match["step"] or 1) <= most - least else "its step is too long"
    ends = [_number(end, least, names) for end in match["what"].split("-")]
    named = [end in names for end in match["what"].split("-")]
    odd = len(set(named)) > 1 or (named[0] and match["step"])
    if len(ends) > 2 or None in ends or odd:
        return f"{part!r} cannot be read"
    known = [end for end in ends if end is not None]
    if any(not least <= end <= most for end in known):
        return f"it must be from {least} to {most}"
    if known != sorted(known):
        return "the start must not come after the end"
    if match["step"] and len(known) == 1:
        return "a step needs a range or *"
    if match["step"] and int(match["step"]) > known[-1] - known[0]:
        return "its step is longer than its range"
    return ""


def _number(text: str, least: int, names: tuple[str, ...]) -> int | None:
    if text in names:
        return names.index(text) + least
    return int(text) if text.isdecimal() and text.isascii() else None
