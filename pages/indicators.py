"""Indicators: formula, source, unit and settings of each, and its numbers over past bars.

They are computed in the engine for the bots that read them; here one is computed by the worker over
a file of bars or a market's received mids, through the same code.

Changes: nothing.
"""

from __future__ import annotations

import streamlit as st

from engine.domain.catalog import IndicatorEntry
from engine.domain.plain import PlainDict
from pages import Page
from pages.kit import guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.markdown import literal
from pages.kit.tables import Col, ColKind, choice, columns_of, table
from pages.kit.words import NOTHING
from pages.shared import probe, rule_editor
from storage.catalog import indicators

PAGE = Page("Indicators", ":material/show_chart:", "Research", 5)

COLUMNS = columns_of(
    Col("name", "Indicator"),
    Col("about", "What it does", ColKind.LONG),
    Col("feed", "Fed with"),
    Col("unit", "Unit"),
    Col("title", "Full name"),
)
SETTINGS = columns_of(
    Col("name", "Setting"),
    Col("default", "Default"),
    Col("takes", "Takes"),
    Col("description", "What", ColKind.LONG),
)
MADE = {
    "books": "A file of bars has no books: these are made of its closes.",
    "trades": "A file of bars has no trades: these are made of its highs and lows.",
    "prices": "A file of bars has no trades: prices are those of its highs and lows.",
}
"""What is to be said of an indicator that is fed with more than bars."""


def takes(entry: IndicatorEntry, name: str) -> str:
    """Return what a setting takes, in words: `1 to 5,000`."""
    setting = entry.settings[name]
    if setting.pattern:
        return "one of the words beside it"
    words = [
        f"{sign}{bound:,g}"
        for sign, bound in (
            ("from ", setting.low),
            ("above ", setting.above),
            ("to ", setting.high),
            ("below ", setting.below),
        )
        if bound is not None
    ]
    return " ".join(words) or "any number"


@guard.part("The indicator")
def show_one(name: str, entry: IndicatorEntry, known: dict[str, IndicatorEntry]) -> None:
    """Draw what an indicator is, its settings, and its numbers over past bars."""
    st.subheader(f"{literal(name)}: {literal(entry.title)}")
    panels.facts(
        {
            "What it does": entry.about,
            "Formula": entry.formula,
            "Source": entry.source,
            "Unit": entry.unit,
            "Fed with": entry.feed,
        }
    )
    if entry.settings:
        rows = [
            {
                "name": one,
                "default": str(setting.default),
                "takes": takes(entry, one),
                "description": setting.description or NOTHING,
            }
            for one, setting in entry.settings.items()
        ]
        table(rows, SETTINGS, key=f"settings_{name}")
    if entry.feed == "pairs":
        panels.note("It compares two markets: one file of bars has one. A bot's rule may read it.")
        return
    st.markdown("**Compute it over past bars**")
    part: PlainDict = {"of": "indicator", "name": name}
    with st.container(border=True):
        asked = rule_editor.settings_asked(part, known, f"indicator_{name}")
    if said := MADE.get(entry.feed):
        panels.note(said)
    given = {
        "indicator": name,
        "settings": asked["settings"],
        "bars": asked.get("bars", ""),
        "mids": asked.get("mids", False),
    }
    probe.ask_probe(f"probe_{name}", given, "Compute")


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Indicators", "The library of the running engine; numbers are computed on demand")
    known = ask(indicators, engine_id())
    if not known:
        panels.empty("The indicators are not known yet.", "The engine lists them when it starts.")
        return
    rows = [
        {"name": name, "about": one.about, "feed": one.feed, "unit": one.unit, "title": one.title}
        for name, one in sorted(known.items(), key=lambda pair: pair[0].lower())
    ]
    chosen = str(choice(rows, COLUMNS, key="indicators", ids=[row["name"] for row in rows]) or "")
    if chosen in known:
        show_one(chosen, known[chosen], known)
    else:
        panels.note("Select an indicator for its formula, its settings and its numbers.")
