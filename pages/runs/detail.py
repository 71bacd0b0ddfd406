"""One run: its figures, its curve, its markets, what it could not do, and how to repeat it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import streamlit as st

from pages.kit import charts, guard, panels, tiles
from pages.kit.data import ask
from pages.kit.names import market
from pages.kit.tables import choice
from pages.kit.tiles import Tile
from pages.kit.words import NOTHING, age, moment, money
from pages.kit.zone import zone
from pages.runs import fills, stats
from storage import views

MARKETS = {
    "instrument": ("Market", "id"),
    "total": ("PnL", "gain"),
    "realised": ("Realised", "gain"),
    "unresolved": ("Unresolved, at mid", "gain"),
    "fees": ("Fees", "money"),
    "orders": ("Orders", "count"),
    "fills": ("Fills", "count"),
    "left": ("Position left", "text"),
    "ended": ("Ended", "text"),
}
COUNTED = {
    "residuals": "Residuals: wishes that no legal order could express",
    "denials": "Denials: what risk refused",
    "alerts": "Alerts",
}


@guard.part("The run")
def show(listed: Mapping[str, Any], alike: Sequence[Mapping[str, Any]]) -> None:
    """Draw a run; `alike` are the runs with its digest, itself among them."""
    engine_id, number = listed["engine_id"], listed["id"]
    run = ask(views.run, engine_id, number)
    points = ask(views.run_equity, engine_id, number)
    markets = ask(views.run_markets, engine_id, number)
    result = _object(run["result"])
    currency = _currency(result, markets)
    panels.links(panels.link("← All runs", "runs"))
    panels.head(
        f"Run {number}: {run['strategy']} on {listed['name']}",
        f"{run['kind']} · {run['mode'].upper()} account {run['account']} · "
        f"{run['status'].upper()} · started {moment(run['started_ns'], zone())}",
    )
    if run["error"]:
        st.error(f"It did not end well: {run['error']}")
    _figures(run, points, result, currency)
    _curve(points, currency)
    stats.show(engine_id, number, fills.address(run))
    _markets(run, markets)
    _counts(result)
    _read(result)
    _made_of(run, alike)


def _currency(result: Mapping[str, Any], markets: Sequence[Mapping[str, Any]]) -> str:
    """Return what a run's money is in; an old run says it by its markets, or nobody knows."""
    if result.get("currency"):
        return str(result["currency"])
    named = {row["currency"] for row in markets}
    return str(named.pop() or "") if len(named) == 1 else ""


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text or "{}")
    return value if isinstance(value, dict) else {}


@guard.part("The figures of the run")
def _figures(
    run: Mapping[str, Any], points: Sequence[Any], result: Mapping[str, Any], currency: str
) -> None:
    resolved, unresolved = result.get("pnl_resolved"), result.get("pnl_unresolved")
    figures = {
        "PnL": money(run["pnl"], currency, signed=True),
        "Of it resolved": _amount(resolved, currency),
        "Unresolved, at mid": _amount(unresolved, currency),
        "Deepest drawdown": money(charts.drawdown(points), currency) if points else NOTHING,
        "Fees": money(run["fees"], currency),
        "Orders": f"{run['orders']:,}",
        "Fills": f"{run['fills']:,}",
    }
    where = fills.address(run)
    tiles.show([Tile(name, value, where) for name, value in figures.items()])


def _amount(value: float | None, currency: str) -> str:
    return NOTHING if value is None else money(Decimal(str(value)), currency, signed=True)


@guard.part("The curve of the run")
def _curve(points: Sequence[tuple[int, Decimal]], currency: str) -> None:
    st.subheader("Equity at mid")
    if not points:
        panels.empty("This run kept no equity curve.", "It ended before the first point.")
        return
    charts.equity(points, currency, "run_equity")
    panels.note(
        f"{len(points):,} points, the lowest and highest of each stretch kept · "
        f"{moment(points[0][0], zone())} to {moment(points[-1][0], zone())}"
    )


@guard.part("The markets of the run")
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
    ids = [row["instrument"] for row in rows]
    chosen = choice(rows, MARKETS, key=f"run_markets_{run['id']}", ids=ids)
    where = fills.address(run, str(chosen)) if chosen in ids else ""
    if where:
        panels.links(panels.anchor(f"Fills of {market(str(chosen))}", where))
    elif fills.address(run):
        panels.note("Select a market for its fills.")
    panels.note("Unresolved = marked at the last mid; a winner is never inferred from a price")


def _left(row: Mapping[str, Any]) -> str:
    """Return what is left in shares; in increments where the catalog lacks the instrument."""
    if not row["position_left_raw"]:
        return "flat"
    shares = row["position_left"]
    return f"{shares:,f}" if shares is not None else f"{row['position_left_raw']:,} increments"


@guard.part("What the run could not do")
def _counts(result: Mapping[str, Any]) -> None:
    st.subheader("What it could not do")
    told = {title: result.get(name) for name, title in COUNTED.items()}
    columns = st.columns(2)
    for number, (title, counts) in enumerate(told.items()):
        with columns[number % 2]:
            st.markdown(f"**{title}**")
            if counts:
                panels.facts({name: f"{value:,}" for name, value in counts.items()})
            else:
                panels.note("none" if counts == {} else "this run did not report it")


def _read(result: Mapping[str, Any]) -> None:
    """Draw how far the recording can be believed; runs of other kinds report none of it."""
    if "anomalies" not in result:
        return
    st.subheader("What it read")
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
        panels.note("No anomalies: every line could be read and believed.")


def _count(result: Mapping[str, Any], name: str) -> str:
    return f"{result[name]:,}" if name in result else "this run did not report it"


@guard.part("What the run was made of")
def _made_of(run: Mapping[str, Any], alike: Sequence[Mapping[str, Any]]) -> None:
    st.subheader("What it was made of")
    ended = run["finished_ns"]
    panels.facts(
        {
            "Recording": run["recording"],
            "Frames": f"{run['frames']:,}",
            "Took": age(ended - run["started_ns"]) if ended else "still runs",
            "Speed": f"{run['events_per_s']:,.0f} events/s, {run['peak_rss_mb']:.0f} MB",
            "Digest": run["digest"] or "none",
            **{name: str(value) for name, value in _flat(_object(run["parameters"])).items()},
        }
    )
    others = [row for row in alike if row["id"] != run["id"]]
    if run["digest"] and others:
        same = [panels.link(f"run {row['id']}", "runs", run=row["id"]) for row in others[:10]]
        panels.links("The same digest, so the same decisions byte for byte:", *same)
    if fills.journal_of(run) is not None:
        panels.links(panels.link("Its journal: every order and fill", "journal", run=run["id"]))
    else:
        panels.note("No journal was kept for this run (--journal digest), or it was removed.")


def _flat(value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in value.items():
        where = f"{path}.{name}" if path else name
        found.update(_flat(inner, where) if isinstance(inner, dict) else {where: inner})
    return found
