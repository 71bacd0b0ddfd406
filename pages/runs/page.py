"""Backtests: replays of recordings with curve, performance, markets, denials and digest.

The same strategies, risk and executor as in trading; and comparisons of paper with the truth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import streamlit as st

from engine.domain.alerts import described
from pages import Page
from pages.kit import charts, guard, panels
from pages.kit.data import ask
from pages.kit.home import config
from pages.kit.names import market, size
from pages.kit.panels import Tile
from pages.kit.tables import choice, page_behind, table, turn, unchoose
from pages.kit.words import NOTHING, age, count, micro, moment, money, zone
from pages.orders.page import fitting
from pages.runs.reports import REPORTS
from pages.shared import losses, why
from storage import views
from storage.runs import RETURNS_MIN, Performance, RunFills, of_run, run_fills
from storage.views import ROWS_MAX
from storage.views.frame import run_engines

PAGE = Page("Backtests", ":material/science:", "Research", 0)

COLUMNS = {
    "id": ("Run", "count"),
    "started_ns": ("Started", "time"),
    "kind": ("Kind", "text"),
    "strategy": ("Strategy", "text"),
    "name": ("Recording", "text"),
    "status": ("Status", "text"),
    "pnl": ("PnL", "gain"),
    "fees": ("Fees", "money"),
    "orders": ("Orders", "count"),
    "fills": ("Fills", "count"),
    "frames": ("Frames", "count"),
    "events_per_s": ("Events/s", "rate"),
    "short": ("Digest", "text"),
}


def every_run() -> list[dict[str, object]]:
    behind = page_behind("runs", None)
    found = [
        {
            **row,
            "engine_id": engine_id,
            "name": row["recording"].rstrip("/").rpartition("/")[2],
            "short": row["digest"][:12],
        }
        for engine_id in ask(run_engines)
        for row in ask(views.runs, engine_id, before=behind)
    ]
    return sorted(found, key=lambda row: (row["started_ns"], row["id"]), reverse=True)[:ROWS_MAX]


def show_list(runs: list[dict[str, object]]) -> None:
    """Draw all runs; a selected one opens."""
    panels.head("Backtests", "At most 1 s old · money in the backtest's currency")
    if not runs:
        panels.empty(
            "No backtest has been stored yet.",
            "A replay plays a recording through the same executor, risk and planner that trade, "
            "and is stored here when it ends. PATH is a file or a folder of raw frames:",
            ".venv/bin/python -m engine replay PATH --bot market_maker",
        )
        panels.links(
            panels.link("Record market data now", "recordings"),
            panels.link("Replay a recording as a job: Jobs", "jobs", kind="replay"),
        )
        return
    wanted = st.text_input(
        "Filter", placeholder="strategy, recording or digest, then Enter", key="runs_filter"
    ).lower()
    shown = [
        row
        for row in runs
        if wanted in f"{row['strategy']} {row['recording']} {row['digest']}".lower()
    ]
    panels.note(f"{count(len(shown), 'run')} · select a row to open it")
    if not shown:
        panels.empty("No backtest matches the filter.", "Clear the filter to see all backtests.")
        return
    chosen = choice(shown, COLUMNS, key="runs_table", ids=[row["id"] for row in shown])
    if chosen is not None:
        unchoose("runs_table")
        st.query_params["run"] = str(chosen)
        st.rerun()


@guard.part("This page")
def main() -> None:
    """Draw the run named in the address, else the list."""
    runs = every_run()
    named = st.query_params.get("run")
    if named is None:
        show_list([row for row in runs if row["kind"] not in REPORTS])
        for kind, (section, _) in REPORTS.items():
            section([row for row in runs if row["kind"] == kind])
        turn("runs", runs, ["started_ns", "id"])
        return
    listed = next((row for row in runs if str(row["id"]) == named), None)
    if listed is None:
        panels.head(f"Backtest {named}", "From the state database")
        panels.empty(
            "There is no such backtest.", "It may have been deleted. All backtests are in the list."
        )
        panels.links(panels.link("All backtests", "runs"))
        return
    if listed["kind"] in REPORTS:
        _, show = REPORTS[listed["kind"]]
        show(listed)
        return
    if st.query_params.get("show") == FILLS:
        show_fills(listed, st.query_params.get("market", ""))
        return
    show_run(listed, [row for row in runs if row["digest"] == listed["digest"]])


# -- One run: its figures, its curve, its markets, what it could not do, and how to repeat it --

MARKETS = {
    "instrument": ("Market", "market"),
    "total": ("PnL", "gain"),
    "realised": ("Realised", "gain"),
    "unresolved": ("Unresolved, at mid", "gain"),
    "fees": ("Fees", "money"),
    "orders": ("Orders", "count"),
    "fills": ("Fills", "count"),
    "left": ("Position left", "text"),
    "ended": ("Ended", "text"),
}
COUNTED: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "residuals": ("Left over: quotes that could not be a legal order", why.left_words),
    "denials": ("Denied by risk", why.rule_words),
    "alerts": ("Alerts", lambda kind: described(kind).title),
}
"""What a run counts: its title, and what a counted name means."""


@guard.part("The run")
def show_run(listed: Mapping[str, Any], alike: Sequence[Mapping[str, Any]]) -> None:
    engine_id, number = listed["engine_id"], listed["id"]
    run = ask(views.run, engine_id, number)
    points = ask(views.run_equity, engine_id, number)
    markets = ask(views.run_markets, engine_id, number)
    result = _object(run["result"])
    currency = _currency(result, markets)
    panels.links(panels.link("← All backtests", "runs"))
    panels.head(
        f"Backtest {number}: {run['strategy']} on {listed['name']}",
        f"{run['kind']} · {run['mode'].upper()} account {run['account']} · "
        f"{run['status'].upper()} · started {moment(run['started_ns'], zone())}",
    )
    if run["error"]:
        st.error(f"It failed: {run['error']}")
    _figures(run, points, result, currency)
    _curve(points, currency)
    show_statistics(engine_id, number, address(run))
    _markets(run, markets)
    if "losses" in result:
        losses.show(result["losses"])
    _counts(result)
    _read(result)
    _made_of(run, alike, currency)


def _currency(result: Mapping[str, Any], markets: Sequence[Mapping[str, Any]]) -> str:
    """Return what a run's money is in; an old run says it by its markets, or nobody knows."""
    if result.get("currency"):
        return str(result["currency"])
    named = {row["currency"] for row in markets}
    return str(named.pop() or "") if len(named) == 1 else ""


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text or "{}")
    return value if isinstance(value, dict) else {}


@guard.part("The run's figures")
def _figures(
    run: Mapping[str, Any], points: Sequence[Any], result: Mapping[str, Any], currency: str
) -> None:
    resolved, unresolved = result.get("pnl_resolved"), result.get("pnl_unresolved")
    figures = {
        "PnL": money(run["pnl"], currency, signed=True),
        "Of which resolved": _amount(resolved, currency),
        "Unresolved, at mid": _amount(unresolved, currency),
        "Deepest drawdown": money(charts.drawdown(points), currency) if points else NOTHING,
        "Fees": money(run["fees"], currency),
        "Orders": f"{run['orders']:,}",
        "Fills": f"{run['fills']:,}",
    }
    where = address(run)
    panels.tiles([Tile(name, value, where) for name, value in figures.items()])


def _amount(value: float | None, currency: str) -> str:
    return NOTHING if value is None else money(Decimal(str(value)), currency, signed=True)


@guard.part("The run's equity curve")
def _curve(points: Sequence[tuple[int, Decimal]], currency: str) -> None:
    st.subheader("Equity at mid")
    if not points:
        panels.empty("This run has no equity curve.", "It ended before the first point.")
        return
    charts.equity(points, currency, "run_equity")
    panels.note(
        f"{len(points):,} points, lowest and highest of each interval kept · "
        f"{moment(points[0][0], zone())} to {moment(points[-1][0], zone())}"
    )


@guard.part("The run's markets")
def _markets(run: Mapping[str, Any], markets: Sequence[dict[str, Any]]) -> None:
    st.subheader("Markets")
    if not markets:
        panels.empty("No market was traded.", "The reasons are in the counts below.")
        return
    rows = [
        {
            **row,
            "total": row["realised"] + row["unresolved"],
            "left": _left(row),
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
    chosen = choice(rows, MARKETS, key=key, ids=ids)
    turn(key, rows, ("number",), labels=("Smaller", "Larger"))
    where = address(run, str(chosen)) if chosen in ids else ""
    if where:
        panels.links(panels.anchor(f"Fills of {market(str(chosen))}", where))
    elif address(run):
        panels.note("Select a market for its fills.")
    panels.note("Unresolved = marked at the last mid; a winner is never inferred from a price")


def _left(row: Mapping[str, Any]) -> str:
    """Return what is left in shares; in increments where the catalog lacks the instrument."""
    if not row["position_left_raw"]:
        return "flat"
    shares = row["position_left"]
    return size(shares, row["position_left_raw"])


@guard.part("The run's rejections")
def _counts(result: Mapping[str, Any]) -> None:
    st.subheader("Not placed, denied, alerts")
    columns = st.columns(2)
    for number, (name, (title, words)) in enumerate(COUNTED.items()):
        counts = result.get(name)
        with columns[number % 2]:
            st.markdown(f"**{title}**")
            if counts:
                panels.facts({words(one): f"{value:,}" for one, value in counts.items()})
            else:
                panels.note("none" if counts == {} else "not reported by this run")


def _read(result: Mapping[str, Any]) -> None:
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


def _count(result: Mapping[str, Any], name: str) -> str:
    return f"{result[name]:,}" if name in result else "not reported by this run"


@guard.part("The run's inputs")
def _made_of(run: Mapping[str, Any], alike: Sequence[Mapping[str, Any]], currency: str) -> None:
    st.subheader("Inputs")
    ended = run["finished_ns"]
    panels.facts(
        {
            "Recording": run["recording"],
            "Frames": f"{run['frames']:,}",
            "Took": age(ended - run["started_ns"]) if ended else "still running",
            "Speed": f"{run['events_per_s']:,.0f} events/s, {run['peak_rss_mb']:.0f} MB",
            "Digest": run["digest"] or "none",
            **_stated(_object(run["parameters"]), currency),
        }
    )
    others = [row for row in alike if row["id"] != run["id"]]
    if run["digest"] and others:
        same = [panels.link(f"run {row['id']}", "runs", run=row["id"]) for row in others[:10]]
        panels.links("Same digest, so identical decisions:", *same)
    if journal_of(run) is not None:
        panels.links(panels.link("Its journal: every order and fill", "journal", run=run["id"]))
    else:
        panels.note("No journal was kept for this run (--journal digest), or it was removed.")


OPTIONS: Mapping[str, tuple[str, Callable[[Any, str], str]]] = {
    "cash_micro": ("Starting cash", micro),
    "model": ("Fill model", lambda model, _: str(model)),
    "latency_ms": ("Latency", lambda latency_ms, _: f"{latency_ms:,} ms"),
    "trade_size_cap": (
        "Trade size capped at", lambda cap, _: "no cap" if cap is None else f"{cap:,} increments"
    ),
    "outcomes": (
        "Outcomes", lambda path, _: "as the recording tells" if path is None else str(path)
    ),
}  # fmt: skip
"""What a replay was asked for besides its strategy: its name, and its value in words."""


def _stated(parameters: Mapping[str, Any], currency: str) -> dict[str, str]:
    """Return what must be repeated to repeat a run; parameters and limits as the CLI takes them."""
    found = {}
    for name, value in _flat(parameters).items():
        label, words = OPTIONS.get(name, (name, lambda value, _: str(value)))
        found[label] = words(value, currency)
    return found


def _flat(value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in value.items():
        where = f"{path}.{name}" if path else name
        found.update(_flat(inner, where) if isinstance(inner, dict) else {where: inner})
    return found


# -- Performance statistics of a run, each with what it is of; too few returns are said, not  --


@guard.part("The run's statistics")
def show_statistics(engine_id: str, run: int, fills: str) -> None:
    found = ask(of_run, engine_id, run)
    st.subheader("Performance")
    panels.tiles([Tile(name, value, fills) for name, value in figures(found).items()])
    panels.note(source(found))


def figures(found: Performance) -> dict[str, str]:
    return {
        "Sharpe": _ratio(found.sharpe),
        "Sortino": _ratio(found.sortino),
        "Calmar": _ratio(found.calmar),
        "Volatility, annualised": _percent(found.volatility),
        "Max drawdown": _percent(found.drawdown),
        "Profit factor": _ratio(found.profit_factor),
        "Markets won, lost": f"{found.won:,}, {found.lost:,}",
    }


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


def _ratio(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.2f}".replace("-", "\N{MINUS SIGN}")


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:,.2f} %".replace("-", "\N{MINUS SIGN}")


# -- The fills of one run, from the journal it kept: what its figures are made of --

FILL_COLUMNS = {
    "at_ns": ("Filled", "time"),
    "way": ("Side", "text"),
    "price": ("Price", "price"),
    "size": ("Size", "size"),
    "value": ("Value", "money"),
    "fee": ("Fee", "fee"),
    "state": ("State", "text"),
    "liquidity": ("Liquidity", "text"),
    "instrument": ("Market", "market"),
    "bot": ("Bot", "text"),
    "order_id": ("Order", "count"),
}
FILLS = "fills"


def journal_of(run: Mapping[str, Any]) -> Path | None:
    """Return the journal a run kept, None where it kept none or where it was removed."""
    path = config().home / "runs" / str(run["started_ns"]) / "journal.db"
    return path if path.is_file() else None


def address(run: Mapping[str, Any], instrument: str = "") -> str:
    """Return where the fills of a run are, or of one of its markets; empty = no journal is kept."""
    if journal_of(run) is None:
        return ""
    only = {"market": instrument} if instrument else {}
    return panels.address("runs", run=run["id"], show=FILLS, **only)


@st.cache_data(max_entries=8, show_spinner="Reading the run's journal")
def _read_fills(path: Path, changed_ns: int, instrument: str, after: int) -> RunFills:  # noqa: ARG001 part of the key
    return run_fills(path, instrument=instrument, after=after)


@guard.part("The run's fills")
def show_fills(run: Mapping[str, Any], instrument: str) -> None:
    number, where = run["id"], panels.address("runs", run=run["id"])
    panels.links(panels.anchor(f"← Run {number}", where), panels.link("All backtests", "runs"))
    of = f" in {market(instrument)}" if instrument else ""
    panels.head(
        f"Fills of run {number}{of}", "From the run's own journal · times are the recording's"
    )
    path = journal_of(run)
    if path is None:
        panels.empty(
            "No journal was kept for this run.",
            "It ran with --journal digest, or its folder was removed; run it again to get one.",
        )
        return
    key = f"run_fills_{number}"
    (after,) = page_behind(key, instrument) or (0,)
    found = _read_fills(path, path.stat().st_mtime_ns, instrument, after)
    if instrument:
        panels.links(panels.anchor("Fills of all its markets", address(run)))
    if not found.count:
        panels.empty("Nothing was filled.", "Its journal shows what it wanted, and why not.")
        return
    panels.note(sentence(found))
    table(fitting(found.rows, ""), FILL_COLUMNS, key=key)
    turn(key, found.rows, ("number",))
    panels.links(panels.link("Its journal: every order and fill", "journal", run=number))


def sentence(found: RunFills) -> str:
    flow = found.sold_micro - found.bought_micro - found.fees_micro
    said = [
        count(found.count, "fill"),
        f"bought {micro(found.bought_micro)}",
        f"sold {micro(found.sold_micro)}",
        f"fees {micro(found.fees_micro)}",
        f"net cash {micro(flow, signed=True)}, resolutions not included",
    ]
    if found.failed:
        said.append(f"{found.failed:,} failed and void")
    if not found.whole:
        said.append("its journal is longer than the part read: totals and rows are incomplete")
    return " · ".join(said)
