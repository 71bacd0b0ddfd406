"""How good the fair value is: one study's report in full, and the section that leads to it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import streamlit as st

from pages.kit import guard, panels
from pages.kit.data import ask
from pages.kit.tables import table
from pages.kit.words import moment, zone
from storage import views

COLUMNS = {
    "before": ("Before the close", "text"),
    "column": ("Forecast", "text"),
    "moments": ("Moments", "count"),
    "markets": ("Markets", "count"),
    "brier": ("Brier", "text"),
    "brier_less": ("Less ours", "text"),
    "log_loss": ("Log loss", "text"),
    "log_loss_less": ("Less ours, log loss", "text"),
}
BLOCKS = {
    "begins": ("Block from, UTC", "text"),
    "moments": ("Moments", "count"),
    "log_loss": ("Log loss of ours", "text"),
    "chosen": ("Told with", "text"),
    "fitted_on": ("Chosen on moments", "count"),
}
TENTHS = {
    "tenth": ("Forecast", "text"),
    "moments": ("Moments", "count"),
    "markets": ("Markets", "count"),
    "forecast": ("Mean forecast", "text"),
    "happened": ("Up happened", "text"),
}
NAMES = {
    "ours": "Ours", "model": "Ours without the market", "mid": "The market's mid",
    "spot": "Spot formula", "half": "0.5, whatever is known",
}  # fmt: skip


@guard.part("The studies")
def section(reports: Sequence[Mapping[str, Any]]) -> None:
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
def show(listed: Mapping[str, Any]) -> None:
    run = ask(views.run, listed["engine_id"], listed["id"])
    found = json.loads(run["result"])
    panels.links(panels.link("← All backtests", "runs"))
    panels.head(
        f"Study {run['id']}: fair value on {', '.join(found['spans'])}",
        f"{found['markets']:,} markets · {found['ticks']:,} ticks · "
        f"started {moment(run['started_ns'], zone())}",
    )
    st.subheader("Scores")
    table(list(_scores(found)), COLUMNS, key="study_scores")
    panels.note(
        "Lower is better. Less ours above 0 = ours is better, and an interval that holds 0 proves "
        f"nothing · 95 % by {found['resamples']:,} draws of whole hours of markets"
    )
    st.subheader("Calibration")
    table(list(_tenths(found)), TENTHS, key="study_tenths")
    st.subheader("Held out")
    table(list(_blocks(found)), BLOCKS, key="study_blocks")
    panels.note(
        "Each block is told with what was best on the others; markets nearer to it than "
        f"{found['purge_s'] // 60} min are not used to choose"
    )
    left = {name: f"{count:,}" for name, count in found["left_out"].items()}
    if found["undecided"]:
        left["no winner"] = f"{len(found['undecided']):,}"
    if left:
        st.subheader("Moments left out, by gate")
        panels.facts(left)


def _scores(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in found["horizons"]:
        for one in row["columns"]:
            yield {
                "before": f"{row['horizon_s']} s" if row["horizon_s"] else "all",
                "column": NAMES.get(one["column"], one["column"]),
                "moments": one["moments"],
                "markets": one["markets"],
                "brier": _text(one["brier"]),
                "brier_less": _text(one["brier_less_ours"], sign="+"),
                "log_loss": _text(one["log_loss"]),
                "log_loss_less": _text(one["log_loss_less_ours"], sign="+"),
            }


def _tenths(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in found["deciles"]:
        yield {
            "tenth": f"{row['low']:.1f} to {row['low'] + 0.1:.1f}",
            "moments": row["moments"],
            "markets": row["markets"],
            "forecast": f"{row['forecast']:.3f}",
            "happened": _text(row["happened"]),
        }


def _blocks(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in found["told"]:
        begins = dt.datetime.fromtimestamp(row["block"] * found["block_s"], dt.UTC)
        yield {
            "begins": f"{begins:%Y-%m-%d %H:%M}",
            "moments": row["moments"],
            "log_loss": f"{row['log_loss']:.4f}",
            "chosen": ", ".join(f"{k} = {v}" for k, v in row["chosen"].items()) or "the defaults",
            "fitted_on": row["fitted_on"],
        }


def _text(estimate: Mapping[str, float], *, sign: str = "") -> str:
    low, high = f"{estimate['low']:{sign}.4f}", f"{estimate['high']:{sign}.4f}"
    return f"{estimate['mean']:{sign}.4f} ({low} to {high})"
