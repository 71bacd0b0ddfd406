"""Replays of recordings and bars: curve, performance, markets, digest.

The same strategies, risk and executor as in trading; and comparisons of paper with the truth.

Changes: starts one; brings bars; tags.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import streamlit as st

from engine.domain.alerts import described
from engine.domain.backtests import BAR_FILES
from engine.domain.commands import RunJob
from engine.domain.instruments import Instrument
from engine.domain.jobs import arguments_of
from engine.domain.plain import PlainDict, PlainView
from engine.errors import BadInput, PitbossError, StorageError
from pages import Page
from pages.kit import charts, commands, guard, panels
from pages.kit.commands import engine_runs
from pages.kit.data import ask, ask_seldom
from pages.kit.home import config
from pages.kit.markdown import literal
from pages.kit.names import market, size
from pages.kit.panels import Tile, panel
from pages.kit.tables import (
    Col,
    ColKind,
    TableRow,
    choice,
    columns_of,
    page_behind,
    turn,
    unchoose,
)
from pages.kit.words import NOTHING, age, count, moment, money
from pages.runs import beside, filled, notes, playback, played, report
from pages.runs.reports import REPORTS
from pages.shared import backtest, backtest_document, job, losses, why
from storage import views
from storage.files import said_bytes
from storage.own_files import keep
from storage.run_export import as_csv, as_parquet, every_fill, whole_equity
from storage.runs import RETURNS_MIN, Performance, of_run
from storage.significance import significance_of
from storage.views import ROWS_MAX, Row
from storage.views.frame import run_engines

PAGE = Page("Backtests", ":material/science:", "Research", 0)

COLUMNS = columns_of(
    Col("id", "Run", ColKind.COUNT),
    Col("started_ns"),
    Col("mode"),
    Col("strategy"),
    Col("name", "Recording"),
    Col("status"),
    Col("pnl"),
    Col("fees", kind=ColKind.MONEY),
    Col("orders"),
    Col("fills"),
    Col("frames", kind=ColKind.COUNT),
    Col("events_per_s", "Events/s", ColKind.RATE),
    Col("short", "Digest"),
    Col("tags"),
)


def every_run(tag: str = "") -> list[Row]:
    """Return a page of the runs, newest first, of those with a tag where one is named."""
    behind = page_behind("runs", tag)
    found = [
        beside.listed(row, owner)
        for owner in ask(run_engines)
        for row in ask(views.runs, owner, before=behind, tag=tag)
    ]
    return sorted(found, key=lambda row: (row["started_ns"], row["id"]), reverse=True)[:ROWS_MAX]


def show_list(runs: Sequence[Row], tag: str) -> None:
    """Draw all runs, or those with a tag; a selected one opens."""
    panels.head("Backtests", "At most 1 s old · PnL after fees; what is left is marked at mid")
    _show_new(opened=not runs and not tag)
    backtest_document.show_new()
    notes.pick_tag()
    if not runs and tag:
        panels.empty(f"No backtest here has the tag {tag}.", "Choose another tag, or any.")
        return
    if not runs:
        panels.empty(
            "No backtest has been stored yet.",
            "It plays a recording or a file of bars through the same executor, risk and planner "
            "that trade, and is stored here when it ends. A new desk has bars of its demo exchange "
            "to begin with, under their name as the recording. Without a page:",
            ".venv/bin/python -m engine replay PATH --bot market_maker",
        )
        panels.links(panels.link("Record market data now", "recordings"))
        return
    wanted = st.text_input(
        "Filter",
        placeholder="strategy, recording, digest, tag or note, then Enter",
        key="runs_filter",
    ).lower()
    named = ("strategy", "recording", "digest", "mode", "tags", "note")
    shown = [
        row
        for row in notes.noted(runs)
        if wanted in " ".join(str(row[name]) for name in named).lower()
    ]
    if not shown:
        panels.empty("No backtest matches the filter.", "Clear the filter to see all backtests.")
        return
    alone = [row for row in shown if tag or beside.headline(row)]
    if alone:
        panels.note(f"{count(len(alone), 'backtest')} · select a row to open it")
        _table(alone)
    beside.pick(shown)
    beside.show_sweeps(shown)


def _table(runs: Sequence[Row]) -> None:
    """Draw backtests; a selected one opens. Where their currencies differ, each says its own."""
    runs = [{**row, "currency": row["currency"] or "not stated"} for row in runs]
    several = len({row["currency"] for row in runs}) > 1
    columns = COLUMNS | ({"currency": ("Currency", "text")} if several else {})
    chosen = choice(runs, columns, key="runs_table", ids=[row["id"] for row in runs])
    if chosen is not None:
        unchoose("runs_table")
        st.query_params.from_dict({"run": str(chosen)})
        st.rerun()


@guard.part("This page")
def main() -> None:
    """Draw the run named in the address, else the list."""
    tag = notes.chosen_tag()
    runs = every_run(tag)
    replays = [row for row in runs if row["kind"] not in REPORTS]
    named, sweep = (st.query_params.get(name) for name in ("run", "sweep"))
    if named is not None:
        _show_named(named, runs)
    elif len(beside.asked()) > 1:
        beside.show_compared(replays)
    elif sweep is not None:
        beside.show_sweep(sweep)
    else:
        show_list(replays, tag)
        for kind, (section, _) in REPORTS.items():
            found = [row for row in runs if row["kind"] == kind]
            if found or not tag:
                section(found)
        turn("runs", runs, ["started_ns", "id"])


def _show_named(named: str, runs: Sequence[Row]) -> None:
    """Draw the run of this number, also one the list has no room for."""
    run = beside.found(named)
    if run is None:
        panels.head(f"Backtest {named}", "From the state database")
        panels.empty(
            "There is no such backtest.", "It may have been deleted. All backtests are in the list."
        )
        panels.links(panels.link("All backtests", "runs"))
    elif run["kind"] in REPORTS:
        _, show = REPORTS[run["kind"]]
        show(run)
    elif st.query_params.get("show") == filled.FILLS:
        filled.show(run, st.query_params.get("market", ""))
    elif (order := st.query_params.get("order")) is not None:
        filled.show_order(run, order)
    elif st.query_params.get("show") == playback.WATCH:
        playback.show(run, st.query_params.get("market", ""))
    else:
        show_run(run, [row for row in runs if row["digest"] == run["digest"]])


# -- One run: its figures, its curve, its markets, what it could not do, and how to repeat it --

MARKETS = columns_of(
    Col("instrument"),
    Col("total", "PnL after fees", ColKind.GAIN),
    Col("realised"),
    Col("unresolved", "Unrealised, at mid", ColKind.GAIN),
    Col("fees", kind=ColKind.MONEY),
    Col("orders"),
    Col("fills"),
    Col("left", "Position left"),
    Col("ended"),
)
COUNTED: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "residuals": ("Left over: quotes that could not be a legal order", why.left_words),
    "denials": ("Denied by risk", why.rule_words),
    "alerts": ("Alerts", lambda kind: described(kind).title),
}
"""What a run counts: its title, and what a counted name means."""


@guard.part("The run")
def show_run(run: Row, alike: Sequence[TableRow]) -> None:
    engine_id, number, currency = run["engine_id"], run["id"], run["currency"]
    points = ask(views.run_equity, engine_id, number)
    markets = ask(views.run_markets, engine_id, number)
    result = beside.result_of(run)
    alone = panels.link("Make a bot of it", "bots", create=1, run=number)
    panels.links(
        panels.link("← All backtests", "runs"),
        playback.link(number),
        panels.link("Compare it with others", "runs", compare=number),
        *([] if backtest_document.several(run) else [alone]),
    )
    panels.head(
        f"Backtest {number}: {run['strategy']} on {run['name']}",
        f"{run['kind']} · {run['mode']} account {run['account']} · "
        f"{run['status'].upper()} · started {moment(run['started_ns'])}",
    )
    if (sweep := run["sweep"]) and not sweep.band:
        others = panels.link(f"All {sweep.of:,} sets", "runs", sweep=sweep.id)
        panels.links(f"Set {panels.plain(sweep.set)} of a sweep. {beside.TRIED}", others)
    if run["error"]:
        st.error(f"It failed: {literal(run['error'])}")
    settles = resolves(run, markets)
    _figures(run, points, result, settles=settles)
    notes.show(run)
    if sweep and sweep.band:
        beside.show_band(run)
    _curve(points, currency)
    played.show_traded(run)
    backtest_document.show_bots(result, currency)
    show_statistics(run, result, filled.address(run))
    _markets(run, markets, settles=settles)
    if "losses" in result and settles:
        losses.show(result["losses"])
    _counts(result)
    _read(result)
    _made_of(run, alike)
    with panel("Export", "fold_run_export") as opened:
        if opened:
            _export(run, points, markets, result)


def resolves(run: Row, markets: Sequence[Row]) -> bool:
    """Say whether a market of a run has an outcome; of one that is not known it is assumed."""
    listed = _listed(run)
    kinds = {
        listed[row["instrument"]].kind.value if row["instrument"] in listed else row["listed_kind"]
        for row in markets
    }
    return losses.resolves(kinds)


def _listed(run: TableRow) -> Mapping[str, Instrument]:
    """Return the instruments a run's journal lists; none where there is none or it is damaged."""
    path = filled.journal_of(run)
    if path is not None:
        with suppress(PitbossError):  # the parts that read it say what is wrong with it
            return filled.orders_of(path).listed
    return {}


REPORT_FILLS = 1_000
FILL_NAMES = ("at", "instrument", "side", "leg", "price", "size", "value", "fee", "liquidity")


@guard.part("The run's export")
def _export(run: Row, points: Sequence[Any], markets: Sequence[Row], result: PlainView) -> None:
    """Draw the files in which a run leaves the desk."""
    engine_id, number, path = run["engine_id"], run["id"], filled.journal_of(run)
    fills = every_fill(path) if path is not None else []
    equity = ask(whole_equity, engine_id, number)
    found, proven = ask(of_run, engine_id, number), ask(significance_of, engine_id, number)
    words = {
        "Mode": run["mode"],
        "PnL after fees": money(run["pnl"], run["currency"], signed=True),
        **beside.costs_in_words(run, result),
        "Orders": f"{run['orders']:,}",
        "Fills": f"{run['fills']:,}",
        **beside.performance_in_words(found),
        **beside.significance_in_words(proven),
        **beside.trips_in_words(result, run["currency"]),
        **beside.benchmark_in_words(run, result),
    }
    inputs = {"Recording": run["recording"], "Digest": run["digest"], **beside.stated(run)}
    names = ("instrument", "realised", "unresolved", "fees", "funding", "orders", "fills")
    said = [source(found), SIGNIFICANCE, *beside.share_in_words(run, result)]
    said += beside.funding_in_words(result)
    text = report.document(
        f"Backtest {number}: {run['strategy']} on {run['name']}",
        f"{run['mode']} · {run['status'].upper()} · started {moment(run['started_ns'])}",
        [
            report.facts("Figures", words),
            *([report.facts("Note", left)] if (left := notes.in_words(run)) else []),
            report.curve("Equity at mid", points, run["currency"]),
            report.rows("Markets", names, markets),
            report.facts("Inputs", inputs),
            report.rows(f"Fills, the first {REPORT_FILLS:,}", FILL_NAMES, fills[:REPORT_FILLS]),
            *[f'<p class="note">{panels.plain(one)}</p>' for one in said],
        ],
    )
    files = {"Report as HTML": (text.encode(), "html")}
    for name, rows in (("equity", equity), ("fills", fills)):
        if rows:
            files[f"{name.capitalize()} as CSV"] = as_csv(rows), f"{name}.csv"
            files[f"{name.capitalize()} as Parquet"] = as_parquet(rows), f"{name}.parquet"
    for label, (data, ending) in files.items():
        st.download_button(label, data, f"backtest-{number}.{ending}", key=f"export_{ending}")
    if path is None:
        panels.note("No journal was kept for this run: its fills cannot be exported.")


@guard.part("The run's figures")
def _figures(run: Row, points: Sequence[Any], result: PlainView, *, settles: bool) -> None:
    currency = run["currency"]
    by_outcome = {
        "In resolved markets": beside.amount(result.get("pnl_resolved"), currency),
        "In unresolved, at mid": beside.amount(result.get("pnl_unresolved"), currency),
    }
    figures = {
        "PnL": money(run["pnl"], currency, signed=True),
        **(by_outcome if settles else {}),
        "Deepest drawdown": money(charts.drawdown(points), currency) if points else NOTHING,
        **beside.benchmark_in_words(run, result),
        **beside.costs_in_words(run, result),
        "Orders": f"{run['orders']:,}",
        "Fills": f"{run['fills']:,}",
    }
    where = filled.address(run)
    panels.tiles([Tile(name, value, where) for name, value in figures.items()])
    for said in (*beside.share_in_words(run, result), *beside.funding_in_words(result)):
        panels.note(said)


@guard.part("The run's equity curve")
def _curve(points: Sequence[tuple[int, Decimal]], currency: str) -> None:
    st.subheader("Equity at mid")
    if not points:
        panels.empty("This run has no equity curve.", "It ended before the first point.")
        return
    charts.equity(points, currency, "run_equity")
    panels.note(
        f"{len(points):,} points, lowest and highest of each interval kept · "
        f"{moment(points[0][0])} to {moment(points[-1][0])}"
    )


@guard.part("The run's markets")
def _markets(run: TableRow, markets: Sequence[PlainDict], *, settles: bool) -> None:
    st.subheader("Markets")
    if not markets:
        panels.empty("No market was traded.", "The reasons are in the counts below.")
        return
    listed = _listed(run)
    rows = [
        {
            **row,
            "total": row["realised"] + row["unresolved"] - row["fees"] + row["funding"],
            "currency": run["currency"] or None,
            "left": _left(row, listed.get(row["instrument"])),
            "ended": "resolved" if row["resolved"] else "unresolved",
        }
        for row in markets
    ]
    rows.sort(key=lambda row: (-abs(row["total"]), row["instrument"]))
    key = f"run_markets_{run['id']}"
    (after,) = page_behind(key, None) or (0,)
    rows = [{**row, "number": number} for number, row in enumerate(rows, 1)]
    rows = rows[after : after + ROWS_MAX]
    ids = [row["instrument"] for row in rows]
    columns = {name: one for name, one in MARKETS.items() if settles or name != "ended"}
    chosen = choice(rows, columns, key=key, ids=ids)
    turn(key, rows, ("number",), labels=("Smaller", "Larger"))
    where = filled.address(run, str(chosen)) if chosen in ids else ""
    if where:
        panels.links(panels.anchor(f"Fills of {market(str(chosen))}", where))
    elif filled.address(run):
        panels.note("Select a market for its fills.")
    never = ": a price never tells the winner" * settles
    panels.note(f"Unrealised = what is left, marked at the last mid{never}")


def _left(row: TableRow, terms: Instrument | None) -> str:
    """Return what is left; in increments where neither catalog nor journal lists the instrument."""
    left, raw = row["position_left"], row["position_left_raw"]
    if not raw:
        return "flat"
    if left is None and terms is not None:
        left = Decimal(raw).scaleb(-terms.size_decimals)
    return size(left, raw)


@guard.part("The run's rejections")
def _counts(result: PlainView) -> None:
    st.subheader("Not placed, denied, alerts")
    left, right = st.columns(2)
    for name, (title, words) in COUNTED.items():
        counts = result.get(name)
        with left if name == "residuals" else right:
            st.markdown(f"**{literal(title)}**")
            if counts:
                panels.facts({words(one): f"{value:,}" for one, value in counts.items()})
            else:
                panels.note("none" if counts == {} else "not reported by this run")


def _read(result: PlainView) -> None:
    """Draw how far the recording can be believed; runs of other kinds report none of it."""
    if "anomalies" not in result:
        return
    st.subheader("Input data")
    where, found = result.get("anomaly_lines", {}), result["anomalies"]
    panels.facts(
        {
            "Hashes matched": f"{result['hash_matched']:,} of {result['hash_checked']:,}",
            "Frames repeated": _count(result, "duplicates"),
            "Frames out of order": _count(result, "out_of_order"),
            **{
                f"Anomaly: {kind}": f"{number:,}"
                + (f", first at {where[kind]}" if kind in where else "")
                for kind, number in found.items()
            },
        }
    )
    if not found:
        panels.note("No anomalies: every line was readable and plausible.")


def _count(result: PlainView, name: str) -> str:
    return f"{result[name]:,}" if name in result else "not reported by this run"


@guard.part("The run's inputs")
def _made_of(run: Row, alike: Sequence[TableRow]) -> None:
    st.subheader("Inputs")
    ended = run["finished_ns"]
    panels.facts(
        {
            "Recording": run["recording"],
            "Frames": f"{run['frames']:,}",
            "Took": age(ended - run["started_ns"]) if ended else "still running",
            "Speed": f"{run['events_per_s']:,.0f} events/s, {run['peak_rss_mb']:.0f} MB",
            "Digest": run["digest"] or "none",
            **beside.stated(run),
        }
    )
    band = run["sweep"].id if run["sweep"] and run["sweep"].band else None
    others = [
        row
        for row in alike
        if row["id"] != run["id"] and (band is None or not row["sweep"] or row["sweep"].id != band)
    ]
    if run["digest"] and others:
        same = [panels.link(f"run {row['id']}", "runs", run=row["id"]) for row in others[:10]]
        panels.links("Same digest, so identical decisions:", *same)
    if filled.journal_of(run) is not None:
        panels.links(panels.link("Its journal: every order and fill", "journal", run=run["id"]))
    else:
        panels.note("No journal was kept for this run (--journal digest), or it was removed.")


# -- Performance statistics of a run, each with what it is of; too few returns are said, not  --


@guard.part("The run's statistics")
def show_statistics(run: Row, result: PlainView, fills: str) -> None:
    engine_id, number = run["engine_id"], run["id"]
    found = ask(of_run, engine_id, number)
    st.subheader("Performance")
    panels.tiles(
        [Tile(name, value, fills) for name, value in beside.performance_in_words(found).items()]
    )
    panels.note(source(found))
    significance = ask_seldom(significance_of, engine_id=engine_id, run_id=number)
    words = beside.significance_in_words(significance) | beside.trips_in_words(
        result, run["currency"]
    )
    panels.tiles([Tile(name, value, fills) for name, value in words.items()])
    panels.note(SIGNIFICANCE)


SIGNIFICANCE = (
    "Interval: stationary bootstrap of the returns · trials: stored runs over this recording that "
    "decided differently; the best of many is partly luck · deflated Sharpe: the probability that "
    "it is more than the luck of so many trials (Bailey and López de Prado 2014) · a round trip "
    "goes from flat to flat in one market, fees included · turnover: value traded over the equity "
    "at the start · cash, the benchmark of doing nothing, earns 0"
)


def source(found: Performance) -> str:
    markets = (
        "max drawdown uses every point of the curve, as a share of its peak; profit factor is the "
        "profit of winning markets over the loss of losing ones, after fees"
    )
    if not found.enough:
        return (
            f"No ratios: they need {RETURNS_MIN} {found.step} returns on positive equity, this run "
            f"has {found.returns:,}. {markets.capitalize()}"
        )
    return (
        f"Ratios from {found.returns:,} {found.step} returns, annualised over 365 days, no "
        f"risk-free rate; a step without a point counts as zero return; {markets}"
    )


# -- a new backtest --------------------------------------------------------------------------------

NEW_SLOT = "new_backtest"


@guard.part("A new backtest")
def _show_new(*, opened: bool) -> None:
    """Draw the form under a heading that opens; and how far the one asked for last is."""
    with st.expander("New backtest", expanded=opened, icon=":material/add:", key="fold_new"):
        panels.note(
            "The same strategies, risk, planner and executor as in trading, at a paper account. "
            "Bars are filled by stated laws: an order meets the next bar's open, never the close "
            "that decided it."
        )
        _bring()
        if engine_runs():
            given = backtest.asked(NEW_SLOT, "Start backtest")
            if given is not None:
                _send(given)
        else:
            commands.note_no_engine()
    job.show_progress(NEW_SLOT)


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
    if not name.endswith(BAR_FILES):
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
    commands.send(RunJob(job="replay", arguments=text), NEW_SLOT)
