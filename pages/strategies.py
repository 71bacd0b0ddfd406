"""Each strategy: what recorded data shows of it, and which bots run it.

A verdict follows by rule from replays over recorded data; it cannot be typed in. Evidence counts
for the code it was computed with: a changed strategy is proven again. What Pitboss was shipped
with counts until this desk has proven the strategy on data of its own.

Changes: proves one, or all; edits rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

import streamlit as st

from engine.domain.catalog import StrategyEntry
from engine.domain.commands import RunJob
from engine.domain.evidence import MEANS, verdict_of
from engine.domain.instruments import Mode
from engine.domain.strategy_settings import StrategySettings
from pages import Page
from pages.kit import commands, drafts, forms, guard, panels
from pages.kit.commands import engine_runs
from pages.kit.data import ask, ask_seldom, engine_id
from pages.kit.home import now_ns
from pages.kit.markdown import literal
from pages.kit.tables import Col, ColKind, choice, choose, columns_of, table
from pages.kit.words import NOTHING, moment
from pages.shared import by_strategy, job, probe
from pages.shared import evidence as shown
from pages.shared.standing import RUNNING, standing
from storage import views
from storage.settings import strategy_changes
from storage.views import Row
from storage.views.by_strategy import last_activated

PAGE = Page("Strategies", ":material/psychology:", "Research", 3)

COLUMNS = columns_of(
    Col("name", "Strategy"),
    Col("verdict"),
    Col("state"),
    Col("category", kind=ColKind.WORDS),
    Col("direction"),
    Col("bots", "Bots running"),
    Col("active_ns", "Last activated"),
    Col("why", "What the data shows", ColKind.LONG),
    Col("about", "What it does", ColKind.LONG),
    Col("proved_ns", "Proven at"),
    Col("author"),
    Col("version"),
)
EVIDENCE = columns_of(
    Col("data", "Recording"),
    Col("verdict"),
    Col("product"),
    Col("mean", "Mean PnL", ColKind.GAIN),
    Col("low", "Interval from", ColKind.GAIN),
    Col("high", "Interval to", ColKind.GAIN),
    Col("hold", "Holding", ColKind.GAIN),
    Col("excess", "Over holding", ColKind.GAIN),
    Col("excess_low", "Over it from", ColKind.GAIN),
    Col("excess_high", "Over it to", ColKind.GAIN),
    Col("per", "Per"),
    Col("count", "Traded", ColKind.COUNT),
    Col("seen", "Of", ColKind.COUNT),
    Col("first", "First half", ColKind.GAIN),
    Col("second", "Second half", ColKind.GAIN),
    Col("mean_10", "At 10 \N{MULTIPLICATION SIGN} the capital", ColKind.GAIN),
    Col("fees", "Fees", ColKind.MONEY),
    Col("trials", "Sets tried", ColKind.COUNT),
    Col("sizes", "Sizes"),
    Col("settings", "Changed"),
    Col("began_ns", "From"),
    Col("ended_ns", "To"),
    Col("by", "Proven by"),
    Col("proved_ns", "Proven at"),
)
SLOT, ROW = "prove", "strategies"
DIRECTIONS = ("", "long", "short", "both", "neutral")


def rows_of(catalog: Mapping[str, StrategyEntry], *, removed_too: bool = False) -> list[Row]:
    """Return a row for every strategy of the catalog, by name; `removed_too` = also the removed."""
    bots = ask(views.bots, engine_id())
    activated = ask_seldom(last_activated, engine_id=engine_id())
    document = drafts.newest().document
    rows = []
    for name, entry in sorted(catalog.items()):
        kept = document.strategy(name)
        if kept.removed and not removed_too:
            continue
        verdict, why = shown.verdict(name, entry)
        proved = [one.row.proved_ns for one in shown.rows(name, entry) if one.current]
        mine = [bot for bot in bots if bot["strategy"] == name]
        rows.append(
            {
                "name": name,
                "verdict": verdict.upper(),
                "why": why,
                "about": kept.description or entry.about,
                "state": state_of(kept),
                "direction": kept.direction or NOTHING,
                "bots": running(mine),
                "proved_ns": max(proved, default=None),
                "category": kept.category or entry.category or NOTHING,
                "active_ns": activated.get(name),
                "author": entry.author or NOTHING,
                "version": entry.version or NOTHING,
            }
        )
    return rows


def state_of(kept: StrategySettings) -> str:
    """Return in a word whether new bots may run a strategy."""
    return "REMOVED" if kept.removed else "ENABLED" if kept.enabled else "DISABLED"


def running(bots: Sequence[Row]) -> str:
    """Return in words how many of a strategy's bots run, and how many of those rest."""
    if not bots:
        return NOTHING
    names = [str(bot["name"]) for bot in bots if bot["state"].upper() == RUNNING]
    resting = sum(standing(name, now_ns()).said != RUNNING for name in names)
    said = f"{len(names)} of {len(bots)}"
    return f"{said}, {resting} resting" if resting else said


def evidence_rows(name: str, entry: StrategyEntry) -> list[dict[str, object]]:
    """Return what the data shows of a strategy, a row for each set of data."""
    return [_row(one) for one in shown.rows(name, entry)]


def _row(one: shown.Shown) -> dict[str, object]:
    row = one.row
    amounts = (
        *("mean", "low", "high", "first", "second", "mean_10", "fees"),
        *("hold", "excess", "excess_low", "excess_high"),
    )
    given: dict[str, float | None] = {name: getattr(row, name) for name in amounts}
    return {
        **{name: None if one is None else Decimal(str(one)) for name, one in given.items()},
        **{
            name: getattr(row, name)
            for name in (
                "data",
                "product",
                "per",
                "count",
                "seen",
                "trials",
                "began_ns",
                "ended_ns",
                "currency",
            )
        },
        "verdict": verdict_of(row)[0].upper() if one.current else "OTHER CODE",
        "by": "this desk" if one.here else "Pitboss",
        "proved_ns": row.proved_ns,
        "sizes": "quoted" if row.quoted else "assumed",
        "settings": row.settings or NOTHING,
    }


@guard.part("The evidence")
def show_evidence(name: str, entry: StrategyEntry) -> None:
    """Draw what each set of data shows of a strategy."""
    verdict, why = shown.verdict(name, entry)
    st.markdown(f"**{literal(verdict.upper())}** \N{EN DASH} {literal(MEANS[verdict])}")
    panels.note(why)
    found = evidence_rows(name, entry)
    if not found:
        panels.empty("It was never proven here.", "Prove it below, or by `strategies prove`.")
        return
    for currency in dict.fromkeys(row["currency"] for row in found):
        mine = [row for row in found if row["currency"] == currency]
        table(mine, EVIDENCE, key=f"evidence_{name}_{currency}")
    panels.note(
        f"{Mode.PAPER.upper()}: {shown.PLAYED}; 95 % intervals by block bootstrap. "
        "Holding: with the same capital from the first bar on, without costs; binaries have none."
    )


@guard.part("The strategy")
def show_one(name: str, entry: StrategyEntry) -> None:
    """Draw one strategy: evidence, bots, idea and parameters."""
    st.subheader(literal(name))
    panels.note(entry.about)
    kept = drafts.newest().document.strategy(name)
    category = kept.category or entry.category
    others = [tag for tag in dict.fromkeys((*entry.tags, *kept.tags)) if tag != category]
    tags = f": {', '.join(others)}" if others else ""
    made = f" · made from {kept.template}" if kept.template else ""
    panels.note(f"{category}{tags} · by {entry.author} · version {entry.version}{made}")
    if kept.description:
        panels.note(kept.description)
    edit(name, kept)
    by_strategy.show({name: entry}, name)
    show_evidence(name, entry)
    bots = [bot for bot in ask(views.bots, engine_id()) if bot["strategy"] == name]
    panels.links(
        *(
            panels.link(
                f"{bot['name']}: {bot['state'].upper()}, {bot['mode'].upper()}",
                "bots",
                bot=bot["name"],
            )
            for bot in bots
        )
    )
    probe.picture(name, entry)
    with st.expander("Idea, source, when it loses", key="fold_idea"):
        st.text(entry.idea or "Its file says nothing of it.")
    with st.expander("Parameters", key="fold_parameters"):
        fields = entry.parameters.get("properties", {})
        panels.facts(
            {
                f"{forms.parameter_label(entry, one)} = {field.get('default', NOTHING)}": " ".join(
                    str(field.get("description", "")).split()
                )
                for one, field in fields.items()
            }
        )


@guard.part("The row of the strategy")
def edit(name: str, kept: StrategySettings) -> None:
    """Draw whether new bots may run it and its words, to be changed, and what was changed."""
    if why := drafts.newest().document.strategy_refusal(name):
        st.warning(f"{literal(why[:1].upper() + why[1:])}.")
    with panels.panel("Edit its row", f"fold_row_{name}") as opened:
        if not opened:
            return
        panels.note("Bots that run it go on as they are; what is kept here is for new ones.")
        given: dict[str, object] = {
            "enabled": st.toggle("New bots may run it", kept.enabled, key=f"row_enabled_{name}"),
            "removed": st.toggle("Removed from the lists", kept.removed, key=f"row_gone_{name}"),
            "description": st.text_area(
                "Description", kept.description, max_chars=500, key=f"row_about_{name}"
            ),
            "direction": st.selectbox(
                "Direction",
                DIRECTIONS,
                index=DIRECTIONS.index(kept.direction),
                format_func=lambda one: one or NOTHING,
                key=f"row_direction_{name}",
            ),
            "category": st.text_input(
                "Category", kept.category, max_chars=40, key=f"row_category_{name}"
            ),
            "template": st.text_input(
                "Made from", kept.template, max_chars=64, key=f"row_template_{name}"
            ),
            "tags": st.text_input(
                "Tags, with commas between", ", ".join(kept.tags), key=f"row_tags_{name}"
            ),
        }
        given["tags"] = [one.strip() for one in str(given["tags"]).split(",") if one.strip()]
        if st.button("Review the row…", key=f"row_review_{name}"):
            drafts.draft(ROW, {"strategies": {name: given}}, drafts.newest())
        drafts.review(ROW)
        drafts.show_version()
        history(name)


def history(name: str) -> None:
    """Draw what was changed of a strategy's row, the newest first."""
    found = ask(strategy_changes, engine_id(), name)
    if not found:
        panels.note("Nothing of it was changed yet.")
        return
    panels.facts(
        {
            f"{moment(one.at_ns)}, version {one.version}, {one.who}": "; ".join(
                f"{part.path}: {_word(part.before)} \N{RIGHTWARDS ARROW} {_word(part.after)}"
                for part in one.changes
            )
            for one in found
        }
    )


def _word(value: object) -> str:
    return NOTHING if value is None or value == "" else str(value)


@guard.part("The proof")
def ask_proof(name: str) -> None:
    """Draw the buttons that prove one strategy, or all."""
    if engine_runs():
        with st.container(horizontal=True):
            if name and st.button(f"Prove {literal(name)}", type="primary", key="prove_one"):
                commands.send(RunJob(job="prove", arguments=json.dumps({"strategy": name})), SLOT)
            if st.button("Prove all", key="prove_all"):
                commands.send(RunJob(job="prove", arguments="{}"), SLOT)
        panels.note(
            "Played over the recordings and files of bars that are here, by the worker beside "
            "trading; minutes for each day of books."
        )
    else:
        commands.note_no_engine()
    job.show_progress(SLOT)


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Strategies", "The catalog of the running engine, and evidence")
    catalog = forms.strategies_known()
    if not catalog:
        return
    rows = rows_of(catalog, removed_too=st.toggle("Show removed strategies", key="removed_too"))
    linked = st.query_params.get("strategy")
    if linked in catalog and st.session_state.get("opened_strategy") != linked:
        st.session_state["opened_strategy"] = linked
        choose("strategies", linked)
    last = max((row["proved_ns"] or 0 for row in rows), default=0)
    panels.note(f"Last proven: {moment(last) if last else 'never'}. {Mode.PAPER.upper()} figures.")
    chosen = choice(rows, COLUMNS, key="strategies", ids=[row["name"] for row in rows])
    name = str(chosen) if chosen in catalog else ""
    ask_proof(name)
    if name:
        show_one(name, catalog[name])
    else:
        by_strategy.show(catalog)
        panels.note("Select a row to see the evidence, the idea and the parameters of a strategy.")
