"""Backtests beside each other: some that a person picked, and all sets of one parameter sweep."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import streamlit as st

from engine.domain.catalog import StrategyEntry
from engine.domain.plain import PlainDict, PlainView
from engine.domain.run_funding import funding_of
from pages.kit import charts, forms, guard, panels
from pages.kit.data import ask, ask_seldom, engine_id, fresh
from pages.kit.panels import Tile
from pages.kit.tables import Col, ColKind, TableRow, choice, columns_of, unchoose
from pages.kit.words import NOTHING, age, count, micro, moment, money
from pages.runs import notes, report
from storage import views
from storage.catalog import strategies
from storage.runs import Sweep, of_run, sweep_of
from storage.significance import Significance, significance_of
from storage.views import Row
from storage.views.frame import run_engines

COMPARED_MAX = len(charts.LINES[True])
PICKED = "runs_compared"

TRIED = (
    "The best of many sets looks better than it is: part of its lead is luck. Choose a set on one "
    "recording and judge it on another."
)


def listed(row: TableRow, owner: str) -> Row:
    """Return a stored run as pages show it: its mode, recording and sweep in words."""
    sweep = guard.tried("The sweep of a run", lambda: sweep_of(row["parameters"]), None)
    return {
        **row,
        "engine_id": owner,
        "mode": row["mode"].upper(),
        "name": row["recording"].rstrip("/").rpartition("/")[2],
        "short": row["digest"][:12],
        "sweep": sweep,
        "set": sweep.set if sweep else "",
    }


def found(number: str | int) -> Row | None:
    """Return one run with its result, whoever stored it; None where there is none."""
    if not str(number).isdecimal():
        return None
    for owner in ask(run_engines):
        row = ask(views.run, owner, int(number))
        if row is not None:
            return listed(row, owner) | {"currency": _currency(row)}
    return None


def _currency(run: Row) -> str:
    """Return what a run's money is in; an old run says it by its markets, or it is not known."""
    if currency := result_of(run).get("currency"):
        return str(currency)
    markets = ask(views.run_markets, run["engine_id"], run["id"])
    named = {row["currency"] for row in markets}
    return str(named.pop() or "") if len(named) == 1 else ""


def result_of(run: Row) -> PlainDict:
    value = json.loads(run["result"] or "{}")
    return value if isinstance(value, dict) else {}


def title(row: Row) -> str:
    """Return a run's name where several are named: its set within a sweep, else its strategy."""
    what = f"set {row['set']}" if row["set"] else row["strategy"]
    pnl = money(row["pnl"], row["currency"] or "", signed=True)
    return f"{row['id']}: {what} on {row['name']}, {row['mode']}, {pnl}"


# -- what a run was asked for ----------------------------------------------------------------------

OPTIONS = {
    "cash_micro": "Starting cash",
    "model": "Fill model",
    "latency_ms": "Latency",
    "trade_size_cap": "Trade size capped at",
    "outcomes": "Outcomes",
    "funding": "Funding rates",
    "instrument": "Instrument",
    "start_ns": "Trades from",
    "until_ns": "Plays until",
    "bar_market.slippage_bps": "Bars: half the spread",
    "bar_market.impact_bps": "Bars: impact of the whole size",
    "bar_market.volume_share": "Bars: share of the volume",
    "bar_market.taker_fee_bps": "Bars: taker's fee",
    "bar_market.maker_fee_bps": "Bars: maker's fee",
}
"""What a replay was asked for besides its strategy."""
IN_BPS = ("slippage_bps", "impact_bps", "taker_fee_bps", "maker_fee_bps")


def stated(run: Row) -> dict[str, str]:
    """Return what must be repeated to repeat a run, by label and a parameter's name behind it."""
    entry = _catalog().get(run["strategy"])
    return {_label(entry, name): value for name, value in _given(run).items()}


def _given(run: Row) -> dict[str, str]:
    """Return what a run was asked for; parameters and limits by name, as the CLI takes them."""
    given = {k: v for k, v in json.loads(run["parameters"] or "{}").items() if k != "sweep"}
    words: dict[str, Callable[[Any], str]] = {
        "cash_micro": lambda value: micro(value, run["currency"] or ""),
        "latency_ms": lambda value: f"{value:,} ms",
        "trade_size_cap": lambda cap: "no cap" if cap is None else f"{cap:,} increments",
        "outcomes": lambda path: "as the recording tells" if path is None else str(path),
        "funding": lambda path: "as the recording says" if path is None else str(path),
        "instrument": lambda name: name or "as the recording names it",
        "start_ns": lambda at_ns: "its first event" if at_ns is None else moment(at_ns),
        "until_ns": lambda at_ns: "its last event" if at_ns is None else moment(at_ns),
        "bar_market.volume_share": lambda share: f"{share:.0%}".replace("%", " %"),
        **{f"bar_market.{name}": lambda bps: f"{bps:g} bp" for name in IN_BPS},
    }
    return {
        OPTIONS.get(name, name): words.get(name, str)(value) for name, value in _flat(given).items()
    }


def _label(entry: StrategyEntry | None, name: str) -> str:
    inner = name.removeprefix("parameters.")
    return name if inner == name else forms.parameter_label(entry, inner)


def _catalog() -> dict[str, StrategyEntry]:
    none: dict[str, StrategyEntry] = {}
    return guard.tried("The strategies", lambda: fresh(strategies, engine_id()), none)


def _flat(value: PlainView, path: str = "") -> PlainDict:
    flat: PlainDict = {}
    for name, inner in value.items():
        where = f"{path}.{name}" if path else name
        flat.update(_flat(inner, where) if isinstance(inner, dict) else {where: inner})
    return flat


def differing(runs: Sequence[Row]) -> dict[str, list[str]]:
    """Return what differs between runs: name → its value in each, a default where none is given."""
    catalog = _catalog()
    every = [{"Strategy": run["strategy"]} | _given(run) for run in runs]
    made = {}
    for name in dict.fromkeys(name for one in every for name in one):
        values = []
        for run, one in zip(runs, every, strict=True):
            entry = catalog.get(run["strategy"])
            fields = entry.parameters.get("properties", {}) if entry else {}
            usual = fields.get(name.removeprefix("parameters."), {}).get("default")
            values.append(one.get(name, "default" if usual is None else str(usual)))
        if len(set(map(_plain, values))) > 1:
            known = (catalog.get(run["strategy"]) for run in runs)
            labels = (_label(entry, name) for entry in known)
            made[next((one for one in labels if one != name), name)] = values
    return made


def _plain(value: str) -> str | float:
    """Return a value as it is compared: 3 is 3.0."""
    with suppress(ValueError):
        return float(value)
    return value


# -- picking ---------------------------------------------------------------------------------------


def asked() -> list[int]:
    """Return the runs the address names to be compared."""
    named = st.query_params.get("compare", "").split(",")
    return list(dict.fromkeys(int(one) for one in named if one.isdecimal()))[:COMPARED_MAX]


def _keep() -> None:
    picked = st.session_state[PICKED]
    if picked:
        st.query_params["compare"] = ",".join(map(str, picked))
    else:
        st.query_params.pop("compare", None)


def pick(offered: Iterable[Row]) -> None:
    """Draw the choice of runs to compare; the address keeps it."""
    rows = {row["id"]: row for row in offered}
    st.session_state[PICKED] = [number for number in asked() if number in rows]
    st.multiselect(
        "Compare side by side",
        list(rows),
        format_func=lambda number: title(rows[number]),
        placeholder="pick two or more backtests",
        max_selections=COMPARED_MAX,
        key=PICKED,
        on_change=_keep,
    )
    if len(st.session_state[PICKED]) == 1:
        panels.note("Pick at least one more.")


# -- some runs beside each other -------------------------------------------------------------------


@guard.part("The comparison")
def show_compared(offered: Sequence[Row]) -> None:
    """Draw the runs of the address beside each other; `offered` = what else can be picked."""
    runs = [run for run in map(found, asked()) if run is not None]
    panels.links(panels.link("← All backtests", "runs"))
    modes = " and ".join(sorted({run["mode"] for run in runs}))
    panels.head(
        f"Backtests {', '.join(str(run['id']) for run in runs)} side by side",
        f"{modes} · from the state database · PnL after fees; what is left is marked at mid",
    )
    gone = set(asked()) - {run["id"] for run in runs}
    if gone:
        panels.note(f"No such backtest: {', '.join(map(str, sorted(gone)))}. It may be deleted.")
    pick([*runs, *(row for row in offered if row["id"] not in {run["id"] for run in runs})])
    curves = {run["id"]: ask(views.run_equity, run["engine_id"], run["id"]) for run in runs}
    _warn(runs)
    st.html(panels.sheet("".join(_lines(runs, curves)), title="Key figures"))
    _curves(runs, curves)
    title_of = f"Backtests {', '.join(str(run['id']) for run in runs)} side by side"
    columns = {title(run): _figures(run, curves[run["id"]]) for run in runs}
    lines = [
        {"figure": name} | {head: words[name] for head, words in columns.items() if name in words}
        for name in dict.fromkeys(name for words in columns.values() for name in words)
    ]
    table = report.rows("Key figures", ["figure", *columns], lines)
    drawn = [report.curve(title(run), curves[run["id"]], run["currency"] or "") for run in runs]
    st.download_button(
        "Comparison as HTML",
        report.document(title_of, f"{modes} · PnL after fees", [table, *drawn]),
        "backtests.html",
        key="compared_html",
    )


def _warn(runs: Sequence[Row]) -> None:
    """Say what makes runs poor to compare: another recording, or a choice among many."""
    if len({run["recording"] for run in runs}) > 1:
        panels.note("They replay different recordings: a difference may be the market's.")
    for sweep in _sweeps(runs):
        all_of = panels.link(f"all {sweep.of:,} sets", "runs", sweep=sweep.id)
        panels.links(f"Picked from a sweep of {count(sweep.of, 'set')}. {TRIED}", all_of)


def _lines(runs: Sequence[Row], curves: Mapping[int, Sequence[tuple[int, Decimal]]]) -> list[str]:
    """Return the lines of the table: the runs' names, key figures, and what differs in inputs."""
    figures = [_figures(run, curves[run["id"]]) for run in runs]
    names = dict.fromkeys(name for one in figures for name in one)
    made = {name: [panels.plain(one.get(name, NOTHING)) for one in figures] for name in names}
    heads = [panels.link(f"Backtest {run['id']}", "runs", run=run["id"]) for run in runs]
    inputs = {name: list(map(panels.plain, values)) for name, values in differing(runs).items()}
    lines = [_line("", heads), *(_line(name, values) for name, values in made.items())]
    if inputs:
        lines.append(f'<tr><th colspan="{len(runs) + 1}"><b>Inputs that differ</b></th></tr>')
    return lines + [_line(name, values) for name, values in inputs.items()]


def _line(name: str, values: Sequence[str]) -> str:
    cells = "".join(f'<td class="pb-num">{value}</td>' for value in values)
    return f"<tr><th>{panels.plain(name)}</th>{cells}</tr>"


def _figures(run: Row, points: Sequence[tuple[int, Decimal]]) -> dict[str, str]:
    result, unit = result_of(run), run["currency"]
    performance = ask(of_run, run["engine_id"], run["id"])
    number = {"engine_id": run["engine_id"], "run_id": run["id"]}
    return {
        "Mode": run["mode"],
        "Set": run["set"] or NOTHING,
        "Strategy": run["strategy"],
        "Recording": run["name"],
        "Status": run["status"].upper(),
        "PnL": money(run["pnl"], unit, signed=True),
        "In resolved markets": amount(result.get("pnl_resolved"), unit),
        "In unresolved, at mid": amount(result.get("pnl_unresolved"), unit),
        "Deepest drawdown": money(charts.drawdown(points), unit) if points else NOTHING,
        **benchmark_in_words(run, result),
        **costs_in_words(run, result),
        "Orders": f"{run['orders']:,}",
        "Fills": f"{run['fills']:,}",
        **performance_in_words(performance),
        **significance_in_words(ask_seldom(significance_of, **number)),
        **trips_in_words(result, unit),
        "Digest": run["short"] or NOTHING,
        **_noted(run),
    }


def _noted(run: Row) -> dict[str, str]:
    """Return what was left on a run; an empty line each where nothing was, so that columns hold."""
    return {"Tags": NOTHING, "Note": NOTHING, "Noted by": NOTHING} | notes.in_words(run)


def amount(value: float | None, currency: str) -> str:
    return NOTHING if value is None else money(Decimal(str(value)), currency, signed=True)


def performance_in_words(found: Any) -> dict[str, str]:
    return {
        "Sharpe": _ratio(found.sharpe),
        "Sortino": _ratio(found.sortino),
        "Calmar": _ratio(found.calmar),
        "Volatility, annualised": _percent(found.volatility),
        "Max drawdown": _percent(found.drawdown),
        "Profit factor": _ratio(found.profit_factor),
        "Markets won, lost": f"{found.won:,}, {found.lost:,}",
    }


def significance_in_words(found: Significance) -> dict[str, str]:
    low, high = _ratio(found.sharpe_low), _ratio(found.sharpe_high)
    lasts = ", not over" if found.under_water else ""
    return {
        "Sharpe, 95 % interval": NOTHING if found.sharpe_low is None else f"{low} to {high}",
        "Trials on this recording": f"{found.trials:,}",
        "Deflated Sharpe": _percent(found.deflated),
        "Longest drawdown": NOTHING if found.longest_ns is None else age(found.longest_ns) + lasts,
    }


def costs_in_words(run: Row, result: Mapping[str, object]) -> dict[str, str]:
    """Return fees, and what funding brought where a perpetual was played."""
    words, found = {"Fees": money(run["fees"], run["currency"])}, funding_of(result)
    if found is not None:
        paid = amount(found.amount, run["currency"]) if found.stamps else "not in this data"
        words["Funding"] = paid
    return words


def funding_in_words(result: Mapping[str, object]) -> list[str]:
    """Say which stamps funding was counted at; empty = no perpetual was played."""
    found = funding_of(result)
    return [] if found is None else [found.sentence]


def benchmark_in_words(run: Row, result: PlainView) -> dict[str, str]:
    """Return what holding brought; empty = the run is not over bars, or of before it was kept."""
    found = result.get("benchmark")
    if not found:
        return {}
    more = run["pnl"] - Decimal(str(found["hold"]))
    return {
        "PnL of holding": amount(found["hold"], run["currency"]),
        "More than holding": money(more, run["currency"], signed=True),
        "Max drawdown of holding": _percent(found["hold_drawdown"]),
    }


def share_in_words(run: Row, result: PlainView) -> list[str]:
    """Say which share of the cash the run could use where holding uses all; empty = no benchmark.

    Holding without fees and spread brings the same part of its gain with a part of the cash.
    """
    found = result.get("benchmark")
    if not found:
        return []
    share = found.get("share")
    if share is None:
        return [
            "Holding uses all of the cash. Which share this run's limits allowed was not kept: "
            "run it again to see it."
        ]
    scaled = amount(share * found["hold"], run["currency"])
    return [
        f"Holding uses all of the cash; this run's exposure limits, as they stood at its start, "
        f"let it have at most {_percent(share)} of it in one instrument, and holding with so much "
        f"brings {scaled}."
    ]


def trips_in_words(result: PlainView, currency: str) -> dict[str, str]:
    """Return what closed round trips were; empty = the run was stored before they were counted."""
    found = result.get("round_trips")
    if not found:
        return {}
    held, start = found["held_s_median"], result.get("equity_start")
    return {
        "Closed round trips": f"{found['count']:,}",
        "Win rate": _percent(found["win_rate"]),
        "Expectancy": amount(found["expectancy"], currency),
        "Profit factor of round trips": _ratio(found["profit_factor"]),
        "Held, median": NOTHING if held is None else age(int(held * 1e9)),
        "Turnover": _ratio(found["traded"] / start) if start else NOTHING,
    }


def _ratio(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.2f}".replace("-", "\N{MINUS SIGN}")


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:,.2f} %".replace("-", "\N{MINUS SIGN}")


def _curves(runs: Sequence[Row], curves: Mapping[int, Sequence[tuple[int, Decimal]]]) -> None:
    st.subheader("PnL at mid since the start")
    drawn = {title(run): curves[run["id"]] for run in runs if curves[run["id"]]}
    if not drawn:
        panels.empty("None of them has an equity curve.", "They ended before the first point.")
        return
    units = {run["currency"] for run in runs}
    charts.compared(drawn, units.pop() if len(units) == 1 else None, "runs_compared_chart")


# -- a band: one backtest, three ways in which its orders may have filled --------------------------

BAND = (
    "One backtest, its orders filled in three ways where the recording does not tell: pessimistic, "
    "cancels come from behind us first and trades of unknown size do not count; optimistic, they "
    "come from ahead of us first and such a trade fills us. A gain in one of them alone is none."
)
MIDDLE = "realistic"


def headline(row: Row) -> bool:
    """Say whether a run stands in the list for itself: alone, or the middle of its band."""
    sweep = row["sweep"]
    return sweep is None or (sweep.band and sweep.set == MIDDLE)


@guard.part("The band")
def show_band(run: Row) -> None:
    """Draw the PnL and the curves of a backtest under each way to fill."""
    rows = of_sweep(run["sweep"].id)
    unit = run["currency"]
    st.subheader("Band: pessimistic, realistic, optimistic fills")
    low, high = (money(end(row["pnl"] for row in rows), unit, signed=True) for end in (min, max))
    panels.tiles(
        [
            Tile("Band of PnL", low if low == high else f"{low} to {high}"),
            *(Tile(row["set"].capitalize(), money(row["pnl"], unit, signed=True)) for row in rows),
            *(Tile(f"Fills, {row['set']}", f"{row['fills']:,}") for row in rows),
        ]
    )
    curves = {row["set"]: ask(views.run_equity, row["engine_id"], row["id"]) for row in rows}
    drawn = {name: points for name, points in curves.items() if points}
    if drawn:
        charts.compared(drawn, unit or None, "run_band")
    panels.note(BAND)


# -- parameter sweeps ------------------------------------------------------------------------------

SWEEPS = columns_of(
    Col("started_ns"),
    Col("mode"),
    Col("strategy"),
    Col("name", "Recording"),
    Col("tried", "Sets tried", ColKind.COUNT),
    Col("stored", kind=ColKind.COUNT),
    Col("gained", "With a gain"),
    Col("median", "Median PnL", ColKind.GAIN),
    Col("best", "Best PnL", ColKind.GAIN),
)
RESULTS = columns_of(
    Col("pnl"),
    Col("fees", kind=ColKind.MONEY),
    Col("orders"),
    Col("fills"),
    Col("status"),
    Col("id", "Backtest", ColKind.COUNT),
)


def _sweeps(runs: Iterable[Row]) -> list[Sweep]:
    """Return the sweeps that some of these runs belong to, each once; a band is none."""
    sweeps = (row["sweep"] for row in runs if row["sweep"] and not row["sweep"].band)
    return list({sweep.id: sweep for sweep in sweeps}.values())


def of_sweep(number: int) -> list[Row]:
    """Return the stored runs of a sweep, the most PnL first."""
    rows = [
        listed(row, owner)
        for owner in ask(run_engines)
        for row in ask(views.runs, owner, sweep=number)
    ]
    return sorted(rows, key=lambda row: (-row["pnl"], row["id"]))


@guard.part("The list of sweeps")
def show_sweeps(runs: Sequence[Row]) -> None:
    """Draw every sweep that some of these runs belong to, each as one row."""
    sweeps = _sweeps(runs)
    if not sweeps:
        return
    st.subheader("Parameter sweeps")
    rows = [_group(sweep, of_sweep(sweep.id)) for sweep in sweeps]
    chosen = choice(rows, SWEEPS, key="sweeps", ids=[sweep.id for sweep in sweeps])
    panels.note(f"Select a row for its sets. {TRIED}")
    if chosen is not None:
        unchoose("sweeps")
        st.query_params.from_dict({"sweep": str(chosen)})
        st.rerun()


def _group(sweep: Sweep, rows: Sequence[Row]) -> Row:
    pnl = [row["pnl"] for row in rows]
    return rows[0] | {
        "started_ns": sweep.id,
        "tried": sweep.of,
        "stored": len(rows),
        "gained": f"{sum(one > 0 for one in pnl):,} of {len(pnl):,}",
        "median": statistics.median(pnl),
        "best": pnl[0],
    }


@guard.part("The sweep")
def show_sweep(named: str) -> None:
    """Draw all sets of one sweep: what differs between them and what each brought."""
    panels.links(panels.link("← All backtests", "runs"))
    rows = of_sweep(int(named)) if named.isdecimal() and len(named) < 20 else []
    if not rows:
        panels.head(f"Sweep {named}", "From the state database")
        panels.empty("There is no such sweep.", "It may have been deleted with its backtests.")
        return
    first = rows[0]
    group = _group(first["sweep"], rows)
    units = {row["currency"] or "" for row in rows}
    unit = units.pop() if len(units) == 1 else ""
    panels.head(
        f"Sweep of {count(group['tried'], 'set')} on {first['name']}",
        f"{first['mode']} · {first['strategy']} · started {moment(group['started_ns'])} · "
        "PnL after fees; what is left is marked at mid",
    )
    st.info(f"**{count(group['tried'], 'set')} tried** on this recording. {TRIED}")
    if len(rows) < group["tried"]:
        panels.note(f"{len(rows):,} of them are stored; the others failed or were deleted.")
    panels.tiles(
        [
            Tile("Best PnL", money(group["best"], unit, signed=True)),
            Tile("Median PnL", money(group["median"], unit, signed=True)),
            Tile("Worst PnL", money(rows[-1]["pnl"], unit, signed=True)),
            Tile("Sets with a gain", group["gained"]),
        ]
    )
    places = {"best": 0, "median": len(rows) // 2, "worst": len(rows) - 1}
    if len(rows) > 2:
        some = ",".join(str(rows[place]["id"]) for place in places.values())
        panels.links(
            panels.link("Compare the best, a middle and the worst set", "runs", compare=some)
        )
    pick(rows)
    _sets(rows)


def _sets(rows: Sequence[Row]) -> None:
    differ: dict[str, Sequence[Any]] = dict(differing(rows))
    columns = {"set": ("Set", "text")}
    for name, values in differ.items():
        with suppress(ValueError):  # as numbers they sort
            differ[name] = [float(value) for value in values]
        columns[f"in {name}"] = name, "text" if differ[name] is values else "number"
    drawn = [
        row | {f"in {name}": values[place] for name, values in differ.items()}
        for place, row in enumerate(rows)
    ]
    columns |= RESULTS
    chosen = choice(drawn, columns, key="sweep_sets", ids=[row["id"] for row in rows])
    if not differ:
        panels.note("Their inputs do not differ: every set should bring the same.")
    if chosen is not None:
        unchoose("sweep_sets")
        st.query_params.from_dict({"run": str(chosen)})
        st.rerun()
