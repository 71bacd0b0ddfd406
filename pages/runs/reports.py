"""Reports of runs that are no backtest: paper against truth, and how good the fair value is."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence

import plotly.graph_objects as go
import streamlit as st

from engine.domain.plain import PlainDict, PlainView
from engine.errors import BadInput
from pages.frame import look
from pages.kit import guard, panels
from pages.kit.charts import CONFIG, LINES, dressed
from pages.kit.data import ask
from pages.kit.markdown import literal
from pages.kit.tables import Col, ColKind, TableRow, columns_of, table
from pages.kit.words import NOTHING, moment
from storage import views
from storage.views import Row

# -- Paper against truth in words: the rows of its table, and what each verdict means --------------

SIDES = {
    "truth": "Truth: in the exchange",
    "pessimistic": "Paper, pessimistic",
    "realistic": "Paper, realistic",
    "optimistic": "Paper, optimistic",
}
VERDICTS = {"within": "within tolerance", "off": "out of tolerance", "open": "too few days to tell"}
LABELS = {
    "fill_ratio_same": "fill ratio of the same orders",
    "fill_ratio": "fill ratio",
    "time_to_fill": "time to fill",
    "markout_5s": "5 s markout",
    "pnl_day": "PnL per demo day",
}


def rows(line: PlainView) -> Iterator[Row]:
    """Yield one measure's rows: the truth, then each model."""
    yield {
        "side": SIDES["truth"],
        "value": number(line["truth"]["value"]),
        "span": span(line["truth"]),
        "difference": NOTHING,
        "difference_span": NOTHING,
        "verdict": "the reference for paper",
    }
    for name, model in line["models"].items():
        yield {
            "side": SIDES[name],
            "value": number(model["value"]["value"]),
            "span": span(model["value"]),
            "difference": number(model["difference"]["value"], signed=True),
            "difference_span": span(model["difference"], signed=True),
            "verdict": VERDICTS[model["verdict"]],
        }


def sentence(found: PlainView) -> str:
    named: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
    for line in found["lines"]:
        named[line["models"]["realistic"]["verdict"]].append(LABELS[line["name"]])
    parts = [f"{', '.join(lot)}: {VERDICTS[verdict]}" for verdict, lot in named.items() if lot]
    return f"The realistic model: {'; '.join(parts)}."


def answer(found: PlainView) -> str:
    """Say how much of the fill ratio's difference no fill model can mend."""
    fills = "; ".join(
        f"{name} {number(points['value'], signed=True)} ({span(points, signed=True)})"
        for name, points in found["answers"].items()
    )
    return (
        "The truth's own orders were replayed as paper against the very book they were in: any "
        "difference there is the fill model's error. The rest of the difference is the market's "
        f"reaction to our quote, in points of fill ratio: {fills}. In the exchange our quote holds "
        "the price where it is and takers trade with it there; the same quote on paper is passed "
        "by. No public feed shows that, so it has no tolerance. Where a venue's traders react to a "
        "quote as the demo's do, a live fill ratio differs by about as much."
    )


def share(found: PlainView) -> str:
    """Say which share of cancels the realistic model uses and which the exchange showed."""
    fit = found["fit"]
    return (
        "The public feed shows that a level shrank, not whose order left; the exchange knows. "
        f"Measured there: {number(fit['percent']['value'])} % ({span(fit['percent'])}), from "
        f"{fit['cancels']:,} cancels. The realistic model uses {found['percent']} %. 50 % = orders "
        "ahead and behind cancel equally, in proportion to their size."
    )


def number(value: float | None, *, signed: bool = False) -> str:
    """Return a figure with two decimals; a dash where it cannot be known."""
    if value is None:
        return NOTHING
    return f"{value:+,.2f}" if signed else f"{value:,.2f}"


def span(estimate: PlainView, *, signed: bool = False) -> str:
    low, high = (number(estimate[end], signed=signed) for end in ("low", "high"))
    return f"{low} to {high}"


# -- Charts of paper against truth: each figure with its interval, and the days side by side -------

MICRO = 1_000_000


def _colours() -> dict[str, str]:
    ranked = ("truth", "realistic", "optimistic", "pessimistic")
    return dict(zip(ranked, LINES[look.dark()], strict=False))


def interval(line: PlainView, key: str) -> None:
    """Draw one measure: a point and its interval for each side, the tolerance as a band."""
    st.plotly_chart(interval_figure(line), theme=None, config=CONFIG, key=key, height=210)


def interval_figure(line: PlainView) -> go.Figure:
    colours = _colours()
    figure = go.Figure()
    found = {"truth": line["truth"], **{k: v["value"] for k, v in line["models"].items()}}
    for name, estimate in reversed(found.items()):
        value = estimate["value"]
        if value is None:
            continue
        low, high = (value if estimate[end] is None else estimate[end] for end in ("low", "high"))
        figure.add_scatter(
            x=[value],
            y=[name],
            mode="markers",
            marker={"color": colours[name], "size": 10},
            error_x={
                "array": [high - value],
                "arrayminus": [value - low],
                "color": colours[name],
                "thickness": 1.6,
            },
            hovertemplate=f"{SIDES[name]}: %{{x:,.2f}}, {low:,.2f} to {high:,.2f}<extra></extra>",
        )
    truth, slack = line["truth"]["value"], line["slack"]
    if truth is not None and slack is not None:
        figure.add_vrect(
            truth - slack, truth + slack, fillcolor=colours["truth"], opacity=0.13, line_width=0
        )
    return dressed(figure, line["unit"], height=210)


def days(daily: Mapping[str, Sequence[PlainView]], key: str) -> None:
    st.plotly_chart(days_figure(daily), theme=None, config=CONFIG, key=key, height=300)


def days_figure(daily: Mapping[str, Sequence[PlainView]]) -> go.Figure:
    colours = _colours()
    figure = go.Figure()
    for name, found in daily.items():
        figure.add_scatter(
            x=list(range(1, len(found) + 1)),
            y=[day["pnl_micro"] / MICRO for day in found],
            name=SIDES[name],
            mode="lines+markers",
            line={"color": colours[name], "width": 2.4 if name == "truth" else 1.2},
            hovertemplate=f"{SIDES[name]}, day %{{x}}: %{{y:,.2f}} pUSD<extra></extra>",
        )
    figure.update_layout(legend={"orientation": "h", "y": -0.25})
    return dressed(figure, "demo day", "pUSD", legend=True)


# -- Paper against truth: one report in full, and the section of the Runs page that leads to it ----

TITLE = "Paper against truth"
COMMAND = ".venv/bin/python -m studies.compare --days 20"
COLUMNS = columns_of(
    Col("side"),
    Col("value", "Figure", ColKind.TEXT),
    Col("verdict"),
    Col("span", "95 % interval"),
    Col("difference", "Paper minus truth"),
    Col("difference_span", "95 % interval, difference"),
)
WHAT = (
    "The same maker, with the same parameters, trades the same markets twice: once with its orders "
    "in the demo exchange, where fills are real, and once as paper that sees only the exchange's "
    "public feed. The difference is what paper trading gets wrong."
)


@guard.part("The list of comparisons")
def comparisons(reports: Sequence[TableRow]) -> None:
    """Draw what the newest report says, or that there is none and how one is made."""
    st.subheader(TITLE)
    panels.note(WHAT)
    again = panels.link("Start the comparison as a job", "jobs", kind="compare")
    if not reports:
        panels.empty(
            "Paper has not been compared with truth here yet.",
            "Twenty demo days take a quarter of an hour. Start it as a job, or run:",
            COMMAND,
        )
        panels.links(again)
        return
    newest = reports[0]
    found = _found(newest)
    panels.note(f"{moment(newest['started_ns'])}: {sentence(found)}")
    links = [
        panels.link(f"Report {row['id']}: {row['recording']}", "runs", run=row["id"])
        for row in reports[:5]
    ]
    panels.links(*links, again)


@guard.part("The comparison")
def show_comparison(listed: TableRow) -> None:
    found = _found(listed)
    panels.links(panels.link("← All backtests", "runs"))
    panels.head(
        f"{TITLE}: {found['strategy']} on {found['series']}",
        f"DEMO and PAPER side by side, never added up · {found['days']} demo days of "
        f"{found['hours']:g} simulated hours · seeds {found['seed']} to "
        f"{found['seed'] + found['days'] - 1} · {found['latency_ms']} ms latency on both sides · "
        f"run {listed['id']}, {moment(listed['started_ns'])}",
    )
    st.markdown(f"**{literal(sentence(found))}**")
    panels.note(WHAT)
    for line in found["lines"]:
        _measure(line)
    if "answers" in found:  # reports of earlier versions have none
        st.subheader("The market's reaction to our quote")
        panels.note(answer(found))
    st.subheader("PnL per day")
    days(found["daily"], "compare_days")
    panels.note("Positions still held at the end of a day are valued at the last two-sided mid.")
    st.subheader("Share of cancels ahead of us")
    panels.note(share(found))
    with st.expander("Inputs", key="fold_inputs"):
        made = {name: str(value) for name, value in found["parameters"].items()}
        panels.facts({**made, "digest": found["digest"]})
        hours = f"--days {found['days']} --hours {found['hours']:g} --seed {found['seed']}"
        st.code(f".venv/bin/python -m studies.compare {hours}", language="shell")


def _measure(line: PlainView) -> None:
    name = line["name"]
    label = LABELS[name]
    st.subheader(f"{label[:1].upper()}{label[1:]}, {literal(line['unit'])}")
    interval(line, f"compare_{name}")
    slack = number(line["slack"])
    panels.note(
        f"Band: the truth ± {slack}, the tolerance. A model is within it, or out of it, only if "
        "the whole interval of the difference is."
    )
    table(list(rows(line)), COLUMNS, key=f"compare_{name}_table")


def _found(listed: TableRow) -> PlainDict:
    run = ask(views.run, listed["engine_id"], listed["id"])
    if run is None:
        raise BadInput(f"run {listed['id']} is not kept any more")
    found: PlainDict = json.loads(run["result"])
    return found


# -- How good the fair value is: one study in full, and the section that leads to it ---------------

SCORES = columns_of(
    Col("before", "Before the close"),
    Col("column", "Forecast"),
    Col("moments"),
    Col("markets", kind=ColKind.COUNT),
    Col("brier"),
    Col("brier_less", "Minus ours"),
    Col("log_loss"),
    Col("log_loss_less", "Minus ours, log loss"),
)
BLOCKS = columns_of(
    Col("begins", "Block from, UTC"),
    Col("moments"),
    Col("log_loss", "Our log loss"),
    Col("chosen", "Forecast with"),
    Col("fitted_on", "Fitted on moments", ColKind.COUNT),
)
TENTHS = columns_of(
    Col("tenth", "Forecast"),
    Col("moments"),
    Col("markets", kind=ColKind.COUNT),
    Col("forecast", "Mean forecast"),
    Col("happened", "Up happened"),
)
NAMES = {
    "ours": "Ours",
    "model": "Ours without market prices",
    "mid": "The market's mid",
    "spot": "Spot formula",
    "half": "Always 0.5",
}


@guard.part("The studies")
def studies(reports: Sequence[TableRow]) -> None:
    if not reports:
        return
    st.subheader("Fair value studies")
    panels.links(
        *(
            panels.link(f"Study {row['id']}: {row['name']}", "runs", run=row["id"])
            for row in reports
        )
    )


@guard.part("The study")
def show_study(listed: TableRow) -> None:
    found = _found(listed)
    panels.links(panels.link("← All backtests", "runs"))
    panels.head(
        f"Study {listed['id']}: fair value on {', '.join(found['spans'])}",
        f"{found['markets']:,} markets · {found['ticks']:,} ticks · "
        f"started {moment(listed['started_ns'])}",
    )
    st.subheader("Scores")
    table(list(_scores(found)), SCORES, key="study_scores")
    panels.note(
        "Lower is better. Minus ours above 0 = ours is better; an interval that includes 0 proves "
        f"nothing · 95 % by {found['resamples']:,} draws of whole hours of markets"
    )
    st.subheader("Calibration")
    table(list(_tenths(found)), TENTHS, key="study_tenths")
    st.subheader("Held out")
    table(list(_blocks(found)), BLOCKS, key="study_blocks")
    panels.note(
        "Each block is forecast with the parameters that were best on the others; markets within "
        f"{found['purge_s'] // 60} min of it are not used to fit"
    )
    left = {name: f"{count:,}" for name, count in found["left_out"].items()}
    if found["undecided"]:
        left["no winner"] = f"{len(found['undecided']):,}"
    if left:
        st.subheader("Moments left out, by gate")
        panels.facts(left)


def _scores(found: PlainView) -> Iterator[Row]:
    for row in found["horizons"]:
        for one in row["columns"]:
            yield {
                "before": f"{row['horizon_s']} s" if row["horizon_s"] else "all",
                "column": NAMES.get(one["column"], one["column"]),
                "moments": one["moments"],
                "markets": one["markets"],
                "brier": _estimate(one["brier"]),
                "brier_less": _estimate(one["brier_less_ours"], sign="+"),
                "log_loss": _estimate(one["log_loss"]),
                "log_loss_less": _estimate(one["log_loss_less_ours"], sign="+"),
            }


def _tenths(found: PlainView) -> Iterator[Row]:
    for row in found["deciles"]:
        yield {
            "tenth": f"{row['low']:.1f} to {row['low'] + 0.1:.1f}",
            "moments": row["moments"],
            "markets": row["markets"],
            "forecast": f"{row['forecast']:.3f}",
            "happened": _estimate(row["happened"]),
        }


def _blocks(found: PlainView) -> Iterator[Row]:
    for row in found["told"]:
        begins = dt.datetime.fromtimestamp(row["block"] * found["block_s"], dt.UTC)
        yield {
            "begins": f"{begins:%Y-%m-%d %H:%M}",
            "moments": row["moments"],
            "log_loss": f"{row['log_loss']:.4f}",
            "chosen": ", ".join(f"{k} = {v}" for k, v in row["chosen"].items()) or "the defaults",
            "fitted_on": row["fitted_on"],
        }


def _estimate(estimate: Mapping[str, float], *, sign: str = "") -> str:
    low, high = f"{estimate['low']:{sign}.4f}", f"{estimate['high']:{sign}.4f}"
    return f"{estimate['mean']:{sign}.4f} ({low} to {high})"


REPORTS = {"compare": (comparisons, show_comparison), "study": (studies, show_study)}
"""By kind of run: the section of the list of all runs, and one report in full."""
