"""Recordings, imported data with its trust, and the feeds with their gaps.

A strategy can be replayed over each of them again and again. A gap is a time without data.

Changes: records, replays, imports, deletes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

import streamlit as st

from engine.domain.commands import RunJob, StartRecording, StopRecording
from engine.domain.instruments import InstrumentId
from engine.domain.jobs import arguments_of
from engine.domain.plain import PlainDict
from engine.domain.telemetry import FeedStatus
from engine.errors import BadInput
from pages import Page
from pages.kit import commands, guard, panels
from pages.kit.data import ask, engine_id, fresh, health_of
from pages.kit.forms import several
from pages.kit.home import config, now_ns, this_minute
from pages.kit.markdown import literal
from pages.kit.names import market
from pages.kit.panels import panel
from pages.kit.tables import Col, ColKind, TableRow, choice, columns_of, page_behind, table, turn
from pages.kit.words import NOTHING, age, count, moment
from pages.shared import backtest, job
from storage import datasets, views
from storage.datasets import Dataset
from storage.feeds import GAP_KEY, gaps
from storage.files import said_bytes
from storage.jobs import RECORDING_KEY, JobState, RecordingState, recordable, recordings
from storage.live import engine_status
from storage.own_files import keep
from storage.views.frame import engine_seen

PAGE = Page("Data", ":material/database:", "Research", 1)

COLUMNS = columns_of(
    Col("name", "Recording"),
    Col("state"),
    Col("what", "Of"),
    Col("span"),
    Col("events", kind=ColKind.COUNT),
    Col("size", kind=ColKind.TEXT),
    Col("gaps", kind=ColKind.COUNT),
    Col("started_ns"),
    Col("reason", "Ended because"),
)
REFRESH_S = 2.0
SLOT = "recording"


def listed(row: TableRow) -> PlainDict:
    names = [market(one) for one in json.loads(row["instruments"])]
    first, last = row["first_ns"], row["last_ns"]
    return {
        **row,
        "state": row["state"].upper(),
        "what": ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
        "span": age(last - first) if first is not None and last is not None else NOTHING,
        "size": said_bytes(row["bytes"]),
    }


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of recordings")
def show_list() -> None:
    """Draw the recordings, anew every few seconds, and below what became of the last command."""
    _table()
    # In the fragment: a click on Stop draws nothing outside of it.
    commands.show_progress(SLOT)


def _table() -> None:
    behind = page_behind("recordings", None)
    rows = ask(recordings, engine_id(), before=behind)
    if not rows and behind is None:
        panels.empty(
            "Nothing has been recorded yet.",
            "A recording stores market data, so that strategies can be replayed over it again and "
            "again. Start one below; it runs alongside trading and ends by itself after 24 h or 2 "
            "GB.",
        )
        return
    chosen = choice(
        [listed(row) for row in rows], COLUMNS, key="recordings", ids=[r["name"] for r in rows]
    )
    turn("recordings", rows, RECORDING_KEY)
    row = next((row for row in rows if row["name"] == chosen), None)
    if row is None:
        panels.note("Select a row to stop a recording or to replay it.")
    else:
        show_one(row)


@guard.part("The recording")
def show_one(row: TableRow) -> None:
    name, folder = row["name"], config().recordings_folder / row["name"]
    st.subheader(literal(name))
    panels.facts(
        {
            "Of": ", ".join(market(one) for one in json.loads(row["instruments"])),
            "Received": f"{moment(row['first_ns'])} to {moment(row['last_ns'])}",
            "Gaps": f"{row['gaps'] or 'no'} times without any data; a replay shows them",
            "Started by": row["who"],
            "Folder": str(folder),
        }
    )
    panels.links(panels.link("Replay this", "jobs", kind="replay", path=name))
    if row["state"] == RecordingState.RECORDING:
        if commands.engine_runs():
            if st.button("Stop recording", key=f"stop_{name}"):
                commands.send(StopRecording(name=name), SLOT)
        else:
            panels.note("The engine is not running: it resumes, with a gap, at its next start.")


@guard.part("The recording form")
def begin() -> None:
    if not commands.engine_runs():
        commands.note_no_engine()
        return
    # To the minute: the list is cached by its arguments.
    known = ask(recordable, engine_id(), this_minute())
    if not known:
        panels.empty(
            "No market is known yet.", "The engine lists markets as soon as its feed sends them."
        )
        return
    with st.form("recording", border=False):
        name = st.text_input("Name", placeholder="morning-1: a-z, 0-9, dot, dash, underscore")
        wanted = several("Series and markets", known, key="record", format_func=market)
        sent = st.form_submit_button("Start recording")
    if sent:
        instruments = tuple(InstrumentId(one) for one in wanted)
        commands.send(StartRecording(name=name, instruments=instruments), SLOT)
        st.rerun()


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Data", "A few seconds old; refreshed every 2 s")
    st.subheader("Recordings")
    show_list()
    with panel("New recording", "fold_recording") as opened:
        if opened:
            begin()
    show_datasets()
    with panel("Import a file", "fold_import") as opened:
        if opened:
            bring()
    job.show_progress(IMPORT)
    show_preview()
    show_feeds()


# -- Imported data: what there is, how far it can be trusted, and how more of it is brought --

IMPORT = "import"
ENDINGS = ["csv", "gz", "tgz", "tar", "zip", "json", "jsonl", "ndjson", "parquet", "npz"]
FILES = columns_of(Col("name", "File"), Col("size", kind=ColKind.TEXT))
GAPS_SHOWN = 20
ROWS_MAX = 101

DATASETS = columns_of(
    Col("name", "Data set"),
    Col("venue", "Venue"),
    Col("instrument"),
    Col("kind", "Rows are", ColKind.TEXT),
    Col("rows", "Rows", ColKind.COUNT),
    Col("span"),
    Col("size", kind=ColKind.TEXT),
    Col("gaps", kind=ColKind.COUNT),
    Col("trust", "Trust"),
)


@guard.part("The list of data sets")
def show_datasets() -> None:
    """Draw every imported data set; a selected one can be replayed, proven and deleted."""
    st.subheader("Imported data")
    folder = config().data_folder
    known = datasets.datasets(folder)
    for name in datasets.unfinished(folder):
        panels.note(
            f"The import of {literal(name)} was interrupted: the same import goes on where it was."
        )
    if not known:
        panels.empty(
            "Nothing has been imported yet.",
            "Bars, trades and prices of files (CSV, JSON, Parquet; Binance's zips as they are) "
            "become data sets that are replayed like a recording. Bring one below, or:",
            ".venv/bin/python -m engine data import PATH --instrument binance:BTC/USDT",
        )
        _show_files()
        return
    chosen = choice(
        list(map(dataset_row, known)), DATASETS, key="datasets", ids=[one.name for one in known]
    )
    found = next((one for one in known if one.name == chosen), None)
    if found is None:
        panels.note("Select a row for its gaps and files, to replay, prove or delete it.")
    else:
        show_dataset(found)
    _show_files()


def _show_files() -> None:
    """Draw the files of bars that lie here as they are, each with the way to a backtest on it."""
    folder, rows = config().data_folder, []
    for name in backtest.files():
        with suppress(FileNotFoundError):
            if (folder / name).is_file():
                rows.append({"name": name, "size": said_bytes((folder / name).stat().st_size)})
    if not rows:
        return
    st.markdown("**Files of bars**, played as they are")
    chosen = choice(rows, FILES, key="bar_files", ids=[row["name"] for row in rows])
    if chosen is None:
        panels.note(
            "Select a row for a backtest on it. Gaps and trust are known of what was imported."
        )
    else:
        panels.links(panels.link(f"Backtest on {chosen}", "runs", path=str(chosen)))


def dataset_row(one: Dataset) -> dict[str, object]:
    return {
        "name": one.name,
        "venue": one.venue,
        "instrument": one.instrument,
        "kind": one.kind.value,
        "rows": one.rows,
        "span": age(one.last_ns - one.first_ns),
        "size": said_bytes(one.bytes),
        "gaps": one.gaps,
        "trust": f"{one.judged.trust}: {one.judged.reason}",
    }


@guard.part("The data set")
def show_dataset(one: Dataset) -> None:
    st.subheader(literal(one.name))
    gaps = [f"{moment(since)} to {moment(until)}" for since, until in one.gaps_kept[:GAPS_SHOWN]]
    more = one.gaps - len(gaps)
    files = [f"{file.name} ({file.format}, checksum {file.checksum})" for file in one.files]
    panels.facts(
        {
            "Span": f"{moment(one.first_ns)} to {moment(one.last_ns)}",
            "Gaps": "; ".join(gaps) + (f"; and {more:,} more" if more else "") or "none",
            "Repeated rows, read once": f"{one.duplicates:,}",
            "Trust": "; ".join(f"{j.trust}: {j.reason} ({moment(j.at_ns)})" for j in one.trust),
            "Files": ", ".join(files[:GAPS_SHOWN])
            + (f" and {len(files) - GAPS_SHOWN} more" if len(files) > GAPS_SHOWN else ""),
            "Folder": str(config().data_folder / one.name),
        }
    )
    panels.links(panels.link("Backtest on this", "runs", path=one.name))
    prove, delete = st.columns(2)
    if prove.button("Verify", key=f"verify_{one.name}"):
        wrong = datasets.verify(config().data_folder / one.name)
        if wrong:
            st.error(literal("; ".join(wrong)))
        else:
            st.success(f"Every byte of {count(len(one.files), 'part')} is as it was imported.")
    sure = delete.checkbox(f"Delete {literal(one.name)} for good", key=f"sure_{one.name}")
    if sure and delete.button("Delete", key=f"delete_{one.name}"):
        datasets.delete(config().data_folder, one.name)
        st.rerun()


@guard.part("The import form")
def bring() -> None:
    """Draw the field for a file and the form of its import; a job does both of its buttons."""
    if not commands.engine_runs():
        commands.note_no_engine()
        return
    file = st.file_uploader("Bring a file", type=ENDINGS, key="import_file")
    brought = ""
    if file is not None:
        brought = re.sub(r"[^A-Za-z0-9._-]", "_", file.name).lstrip(".")
        if not (config().data_folder / brought).exists():
            keep(config().data_folder, brought, file.getvalue())
        panels.note(f"{literal(brought)}, {said_bytes(file.size)}, is kept under data.")
    with st.form("import_form", border=False):
        path = st.text_input(
            "File or folder",
            value=brought,
            key=f"import_path_{brought}",
            placeholder="a name under data, or a path on the machine of this desk",
        )
        market_of = st.text_input("Market", placeholder="binance:BTC/USDT", key="import_market")
        name = st.text_input(
            "Name of the data set", placeholder="made of the market", key="import_name"
        )
        kind = st.selectbox("Rows are", ["", *datasets.DataKind], key="import_kind")
        columns = st.text_input(
            "Columns, where no format knows the file",
            placeholder="time=date,price=px,size=4",
            key="import_columns",
        )
        only = st.text_input(
            "Rows of, where the file holds several markets",
            placeholder="symbol=BTCUSDT",
            key="import_only",
        )
        sort = st.checkbox("Sort the rows by time", key="import_sort")
        left, right = st.columns(2)
        look = left.form_submit_button("Preview")
        sent = right.form_submit_button("Import", type="primary")
    if look or sent:
        given = {
            "path": path.strip(),
            "instrument": market_of.strip(),
            "name": name.strip(),
            "rows": kind,
            "columns": columns.strip(),
            "only": only.strip(),
            "sort": sort,
            "look": look,
        }
        _ask_import(given)


def _ask_import(given: Mapping[str, object]) -> None:
    text = json.dumps(given)
    try:
        arguments_of("import", text)
    except BadInput as error:
        st.error(f"Not asked for: {literal(error)}. Nothing was changed.")
        return
    commands.send(RunJob(job="import", arguments=text), IMPORT)


@st.fragment(run_every=REFRESH_S)
@guard.part("The preview")
def show_preview() -> None:
    """Draw the rows of the last preview that was asked for here, once its job is done."""
    asked, asked_ns = st.session_state.get(f"sent:{IMPORT}", (None, 0))
    if asked is None:
        return
    for row in fresh(views.jobs, engine_id()):
        same = (row["kind"], row["arguments"]) == (asked.job, asked.arguments)
        if same and row["created_ns"] >= asked_ns and row["state"] == JobState.DONE:
            result = json.loads(row["result"] or "{}")
            if "preview" in result:
                panels.facts({f"Column of {k}": v for k, v in result["columns"].items()})
                lines = "".join(map(_preview_line, range(1, ROWS_MAX), result["preview"]))
                st.html(panels.sheet(lines, result["names"], title="As it would be read"))
            return


def _preview_line(number: int, cells: Sequence[str]) -> str:
    shown = "".join(f'<td class="pb-num">{panels.plain(cell)}</td>' for cell in cells)
    return f"<tr><th>{number}</th>{shown}</tr>"


# -- What is received: each venue's feed, the prices beside it, and times without trust --

MS_NS = 1_000_000
STALE_MS = 10_000.0
"""As the engine has it: prices come each second, one silent for this long counts as missing."""

NO_QUOTE = "no reference quotes"
PRICES = columns_of(
    Col("source", "Price of"),
    Col("received", "Last price"),
    Col("so", "Status"),
)
GAPS = columns_of(
    Col("since_ns", "Started"),
    Col("until_ns", "Ended"),
    Col("lasted"),
    Col("feed"),
    Col("what", "Of"),
    Col("reason"),
)


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of feeds")
def show_feeds() -> None:
    """Draw every feed of the engine, anew every few seconds, and the gaps of all its starts."""
    st.subheader("Feeds")
    engine, now = ask(engine_seen), now_ns()
    alive = health_of(engine, now).alive
    if engine is not None:
        old = age(now - engine.heartbeat_ns)
        panels.note(
            f"Engine status {old} old"
            + ("" if alive else " · LAST KNOWN, not current: no engine is running")
        )
    status = ask(engine_status, engine_id())
    feeds = status.feeds if status else {}
    if not feeds:
        panels.empty(
            "No public feed is connected.",
            "A venue's feed connects as soon as a bot trades one of its markets. The demo exchange "
            "needs none: its data age is in the bar above, as Oldest feed.",
        )
    for name, feed in feeds.items():
        _venue(name, feed, alive=alive)
    begun_ns = engine.started_ns if engine is not None and alive else None
    _gaps(now, begun_ns)


@guard.part("A feed")
def _venue(name: str, feed: FeedStatus, *, alive: bool) -> None:
    st.markdown(f"**{literal(name.capitalize())}**")
    for text in feed.missing:
        said = f"{text[:1].upper()}{text[1:]}."
        if alive:
            st.warning(literal(said))
        else:
            panels.note(said)
    if feed.missing_more:
        panels.note(f"{feed.missing_more:,} more are missing.")
    panels.facts(facts_of(feed))
    rows = prices_of(feed.prices_age_ms)
    if rows:
        table(rows, PRICES, key=f"prices_{name}")
    else:
        panels.note("No reference price is requested: no bot here quotes from one.")


def facts_of(feed: FeedStatus) -> dict[str, str]:
    checked, unequal, word = feed.hash_checked, feed.hash_mismatched, feed.last_word_ms
    proof = "all equal" if not unequal else f"{unequal:,} UNEQUAL: those books were fetched again"
    return {
        "Connections": f"{count(feed.sockets, 'socket')} for {count(feed.markets, 'market')}",
        "Last message": "none yet" if word is None else f"{age(int(word * MS_NS))} old",
        "Frames": f"{feed.frames:,}",
        "Books proven by the venue's hash": f"{checked:,} checked, {proof}" if checked else "none",
        "Gaps since the engine started": f"{feed.gaps:,}",
        "Trouble": feed.trouble or "none",
    }


def prices_of(ages_ms: Mapping[str, float | None]) -> list[dict[str, str]]:
    """Return a row per reference price: its age, and what follows where it is silent."""
    rows = []
    for key, old_ms in ages_ms.items():
        received = "none yet" if old_ms is None else f"{age(int(old_ms * MS_NS))} old"
        silent = old_ms is None or old_ms >= STALE_MS
        if old_ms is not None and silent:
            received = f"SILENT for {age(int(old_ms * MS_NS))}"
        rows.append({"source": key, "received": received, "so": NO_QUOTE if silent else "used"})
    return rows


@guard.part("The list of gaps")
def _gaps(now: int, begun_ns: int | None) -> None:
    behind = page_behind("gaps", None)
    rows = ask(gaps, engine_id(), before=behind)
    if not rows and behind is None:
        panels.note("No gap on record: no public feed was lost or distrusted.")
        return
    panels.note(
        "Gaps, newest first: times when a feed, or one market's book, could not be trusted. No "
        "order is placed there during a gap."
    )
    table([gap_of(row, now, begun_ns) for row in rows], GAPS, key="feed_gaps")
    turn("gaps", rows, GAP_KEY)


def gap_of(row: TableRow, now: int, begun_ns: int | None) -> dict[str, object]:
    """Return a gap as a row of the table; `begun_ns` = start of the engine that runs, if any."""
    until = row["until_ns"]
    if until is not None:
        lasted = age(until - row["since_ns"])
    elif begun_ns is not None and row["since_ns"] >= begun_ns:
        lasted = f"ongoing, {age(now - row['since_ns'])}"
    else:
        lasted = "until the engine ended"
    what = market(row["instrument"]) if row["instrument"] else "everything"
    return {**row, "what": what, "lasted": lasted}
