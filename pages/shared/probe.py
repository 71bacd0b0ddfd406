"""What a probe found over past bars: asked for, and drawn as a chart with its last numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

import msgspec
import streamlit as st

from engine.domain.catalog import StrategyEntry
from engine.domain.commands import RunJob
from engine.domain.instruments import Mode
from engine.domain.jobs import arguments_of
from engine.domain.plain import PlainView
from engine.errors import BadInput
from pages.kit import charts, commands, guard, panels
from pages.kit.commands import engine_runs
from pages.kit.data import ask, engine_id, fresh
from pages.kit.home import this_minute
from pages.kit.markdown import literal
from pages.kit.words import NOTHING, count, moment, money
from pages.shared import backtest, job
from storage import views
from storage.jobs import JobState
from storage.views.frame import engine_of, open_markets

FILE = "a file of bars"
DRAWABLE = frozenset({"bars", "document"})
"""Parameters of strategies that decide on bars: one of them, and a made-up path can be played."""


def ask_probe(slot: str, what: Mapping[str, object], label: str, *, wrong: str = "") -> None:
    """Draw where to look and the button; `what` names the rule or the indicator.

    `wrong` = why it cannot be computed: the button is dead then.
    """
    markets = list(ask(open_markets, engine_id(), this_minute()))
    files = backtest.files()
    left, right, more = st.columns([3, 2, 1])
    over = left.selectbox("Over", [*files, *markets, FILE], key=f"{slot}_over")
    given: dict[str, object] = dict(what)
    if over == FILE:
        given["path"] = right.text_input(
            "File of bars", placeholder="a path, or a name under data", key=f"{slot}_path"
        )
    elif over in files:
        given["path"] = over
    else:
        given["instrument"] = over
        given["hours"] = right.number_input(
            "Hours back", min_value=1, max_value=720, value=24, key=f"{slot}_hours"
        )
    more.space("small")
    if not engine_runs():
        commands.note_no_engine()
    elif more.button(label, key=f"{slot}_go", disabled=bool(wrong), type="primary"):
        text = json.dumps(given)
        try:
            arguments_of("probe", text)
        except BadInput as error:
            st.error(f"Not computed: {literal(error)}.")
        else:
            commands.send(RunJob(job="probe", arguments=text), slot)
    job.show_progress(slot)
    _result(slot)


@st.fragment(run_every=2.0)
def _result(slot: str) -> None:
    """Draw the result of the last probe of a slot, as soon as the worker has it."""
    asked, asked_ns = st.session_state.get(f"sent:{slot}", (None, 0))
    wanted = getattr(asked, "arguments", None)
    if wanted is None:
        return
    for row in fresh(views.jobs, fresh(engine_of)):
        if row["kind"] != "probe" or row["arguments"] != wanted or row["created_ns"] < asked_ns:
            continue
        if row["state"] == JobState.DONE:
            show(json.loads(row["result"]), slot, row["finished_ns"])
        return


@guard.part("The picture of its idea")
def picture(name: str, entry: StrategyEntry) -> None:
    """Draw what a strategy with its defaults does on a made-up path, once the worker has it."""
    with st.expander("Picture of its idea", key="fold_picture"):
        if DRAWABLE & entry.parameters.get("properties", {}).keys():
            _picture(name, entry.digest)
        else:
            panels.note("It does not decide on bars alone: no made-up path shows what it does.")


@st.fragment(run_every=2.0)
def _picture(name: str, digest: str) -> None:
    slot, arguments = f"picture_{name}", json.dumps({"strategy": name})
    found = _pictured(arguments, digest)
    if found is not None:
        panels.note(
            f"Its trades with its defaults, through the engine, on a made-up path of "
            f"{found.bars} bars: when it acts. It says nothing of what it earns."
        )
        if not found.trades:
            panels.note("It did not act there.")
        charts.series(found.close, {}, found.trades, f"{slot}_chart")
    elif not engine_runs():
        commands.note_no_engine()
    else:
        if st.button("Draw it", key=f"{slot}_go"):
            commands.send(RunJob(job="probe", arguments=arguments), slot)
        job.show_progress(slot)


class IdeaPicture(msgspec.Struct, frozen=True):
    """What the worker gives: closes, and trades as (ns UTC, side, price)."""

    bars: str
    close: list[tuple[int, float | None]]
    trades: list[tuple[int, str, float]]
    digest: str = ""


def _pictured(arguments: str, digest: str) -> IdeaPicture | None:
    """Return the newest picture of this code; None = there is none yet."""
    for row in fresh(views.jobs, fresh(engine_of)):
        if (row["kind"], row["arguments"], row["state"]) == ("probe", arguments, JobState.DONE):
            found = msgspec.json.decode(row["result"], type=IdeaPicture)
            if found.digest == digest:
                return found
    return None


def show(found: PlainView, slot: str, at_ns: int | None) -> None:
    """Draw the closes with the trades, each series below, and the last numbers."""
    panels.note(
        f"{Mode.PAPER.upper()}, computed {moment(at_ns) if at_ns else NOTHING} over "
        f"{found['count']:,} bars of {found['bars']} of {found['of']}"
    )
    if "pnl" in found:
        currency = str(found["currency"])
        pnl = money(Decimal(str(found["pnl"])), currency, signed=True)
        fees = money(Decimal(str(found["fees"])), currency)
        panels.note(
            f"{count(found['fills'], 'fill')}, PnL {pnl} after fees of {fees}, with 1,000 of "
            "capital, 150 ms late and a basis point of slippage"
        )
    if short := found.get("short"):
        st.warning("Too few bars: " + literal("; ".join(map(str, short))) + ".")
    series, conditions = found["series"], dict(found.get("conditions", ()))
    if conditions:
        words = st.selectbox("Condition on the chart", list(conditions), key=f"{slot}_shown")
        series = {name: series[name] for name in conditions[words] if name in series}
    last = {name: found["last"].get(name) for name in series}
    panels.facts({name: NOTHING if one is None else f"{one:,.6g}" for name, one in last.items()})
    charts.series(found["close"], series, found.get("trades", ()), f"{slot}_chart")
