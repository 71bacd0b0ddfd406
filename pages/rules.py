"""Rules built of conditions, in words, and what each condition reads now.

A rule is a document; the strategy `rules` runs it. A bot keeps the document it was made with.

Changes: edits, tries, saves, removes.
"""

from __future__ import annotations

import json

import msgspec
import streamlit as st

from engine.domain.catalog import IndicatorEntry
from engine.domain.rules import RuleDocument, read_rule, rule_json
from engine.domain.rules.templates import TEMPLATES
from engine.domain.rules.words import condition_words, rule_words
from engine.errors import BadInput, StorageError
from pages import Page
from pages.kit import drafts, guard, panels
from pages.kit.data import ask, engine_id, forget
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.names import market
from pages.kit.tables import Col, ColKind, choice, choose, columns_of, table
from pages.kit.words import NOTHING, count, moment
from pages.shared import probe, rule_draft
from pages.shared import rule_editor as editor
from storage.catalog import indicators
from storage.database import writing
from storage.decisions import latest_decisions
from storage.live import watched_by
from storage.rules import SavedRule, newest_of, rule_versions, save_rule, saved_rules

PAGE = Page("Rules", ":material/rule:", "Research", 4)

COLUMNS = columns_of(
    Col("name", "Rule"),
    Col("title", "What it does", ColKind.LONG),
    Col("kind", "Kind"),
    Col("version", "Version", ColKind.COUNT),
    Col("bots"),
    Col("at_ns", "Saved at"),
    Col("who"),
)
READINGS = columns_of(
    Col("number", "Condition", ColKind.COUNT),
    Col("words", "What", ColKind.LONG),
    Col("left", kind=ColKind.NUMBER),
    Col("right", kind=ColKind.NUMBER),
    Col("bot"),
    Col("market", "Market"),
    Col("at_ns", "At"),
)
VERSIONS = columns_of(
    Col("version", "Version", ColKind.COUNT),
    Col("said", "State"),
    Col("at_ns", "Saved at"),
    Col("who"),
)
RUNNERS = ("rules", "confident_rules")
"""Strategies that run a rule document."""


def bots_of(name: str) -> list[str]:
    """Return the bots whose document has this name."""
    found = []
    for bot in drafts.newest().document.bots.values():
        text = bot.parameters.get("document") if bot.strategy in RUNNERS else None
        if text and json.loads(str(text)).get("name") == name:
            found.append(bot.name)
    return found


def rows_of(saved: list[SavedRule]) -> list[dict[str, object]]:
    """Return the saved rules and the templates."""
    rows: list[dict[str, object]] = [
        {**msgspec.structs.asdict(one), "kind": "saved", "bots": ", ".join(bots_of(one.name))}
        for one in saved
    ]
    names = {one.name for one in saved}
    rows += [
        {
            "name": name,
            "title": one.title,
            "kind": "template",
            "version": None,
            "bots": "",
            "at_ns": None,
            "who": "",
        }
        for name, one in TEMPLATES.items()
        if name not in names
    ]
    return [row | {"bots": row["bots"] or NOTHING} for row in rows]


def keep(document: RuleDocument, *, removed: bool = False) -> SavedRule | None:
    """Save a rule as its newest version; where that fails, say so."""
    try:
        with writing(config().state_path) as connection:
            made = save_rule(
                connection,
                engine_id(),
                name=document.name,
                title=document.title,
                document=rule_json(document),
                who=st.session_state["who"],
                now_ns=now_ns(),
                removed=removed,
            )
    except StorageError as error:
        st.error(f"Not saved: {literal(error)}. Nothing was changed.")
        return None
    forget()
    return made


@guard.part("The chosen rule")
def show_one(name: str, document: RuleDocument, saved: SavedRule | None) -> None:
    """Draw a rule in words, what can be done with it, its versions, and what it reads now."""
    st.subheader(literal(document.title))
    for line in rule_words(document).splitlines():
        panels.note(line)
    with st.container(horizontal=True):
        if st.button("Edit", key="rule_edit", type="primary"):
            rule_draft.begin(msgspec.to_builtins(document))
        if st.button("Duplicate", key="rule_copy"):
            rule_draft.begin(msgspec.to_builtins(document) | {"name": f"{document.name[:43]}_copy"})
        st.download_button("Export", rule_json(document), f"{name}.json", key="rule_export")
        gone = saved is not None and st.button("Remove", key="rule_remove")
        if gone and keep(document, removed=True):
            st.rerun()
    show_readings(document)
    if saved is not None:
        rows = [
            {
                "version": one.version,
                "said": "removed" if one.removed else "kept",
                "at_ns": one.at_ns,
                "who": one.who,
            }
            for one in ask(rule_versions, engine_id(), name)
        ]
        with st.expander(count(len(rows), "version"), key="fold_versions"):
            table(rows, VERSIONS, key="rule_versions")


@guard.part("What it reads now")
def show_readings(document: RuleDocument) -> None:
    """Draw the numbers each condition compared last, in every market of the bots that run it."""
    rows = []
    settings = drafts.newest().document
    for bot in bots_of(document.name):
        account = settings.accounts.get(settings.bots[bot].account)
        said = f"{bot}, {account.mode.upper()}" if account else bot
        watched = [one.instrument for one in ask(watched_by, engine_id(), bot)]
        found = latest_decisions(config().decisions_path, bot=bot, instruments=watched)
        for instrument, stored in found.items():
            latest = stored.latest
            inputs = dict(latest.inputs)
            rows += [
                {
                    "number": place,
                    "words": condition_words(one),
                    "left": _rounded(inputs.get(f"c{place}")),
                    "right": _rounded(inputs.get(f"c{place}_right")),
                    "bot": said,
                    "market": market(instrument),
                    "at_ns": latest.at_ns,
                }
                for place, one in enumerate(document.conditions, 1)
            ]
    if rows:
        table(rows, READINGS, key="rule_readings")
    else:
        panels.note("No bot runs it: create one under Bots with the strategy `rules`, or try it.")


def _rounded(value: float | None) -> float | None:
    """Return a number as a column has room for it: six digits that count."""
    return None if value is None else float(f"{value:.6g}")


@guard.part("The editor")
def show_editor(known: dict[str, IndicatorEntry]) -> None:
    """Draw the draft, what it says or what is wrong with it, and the buttons."""
    try:
        draft = rule_draft.opened()
    except BadInput as error:
        st.error(literal(f"{error}."))
        if st.button("Throw the draft away", key="rule_throw"):
            rule_draft.close()
            st.rerun()
        return
    if draft is None:
        return
    st.subheader("Edit")
    panels.note("A draft, kept as it is typed; no bot runs it before it is saved and chosen.")
    made = editor.edit(draft.document, known, f"rule_{draft.turn}")
    rule_draft.keep(draft, made)
    if st.session_state.pop("rule_changed", False):
        rule_draft.begin(made)
        st.rerun()
    text, wrong, document = json.dumps(made), "", None
    try:
        document = read_rule(text, known)
    except BadInput as error:
        wrong = str(error)
        st.error(literal(f"{wrong}."))
    else:
        st.success("  \n".join(literal(line) for line in rule_words(document).splitlines()))
    with st.container(horizontal=True):
        asked = st.button("Save", key="rule_save", disabled=bool(wrong))
        kept = keep(document) if asked and document is not None else None
        if kept is not None:
            st.session_state["rule_said"] = f"{kept.name} was saved as version {kept.version}."
            rule_draft.close()
            choose("rules", kept.name)
            st.rerun()
        if st.button("Close the editor", key="rule_close"):
            rule_draft.close()
            st.rerun()
    st.markdown("**Try it over past bars**")
    probe.ask_probe("rule_probe", {"rule": text}, "Try it", wrong=wrong)


@guard.part("A new rule")
def show_new(removed: list[SavedRule], known: dict[str, IndicatorEntry]) -> None:
    """Draw the ways to begin: an imported file, or one that was removed."""
    with st.expander("Import a file, or restore a removed rule", key="fold_rule_import"):
        file = st.file_uploader("A rule as JSON", type=["json"], key="rule_import")
        if file is not None and st.button("Open in the editor", key="rule_open"):
            try:
                rule_draft.begin(msgspec.to_builtins(read_rule(file.getvalue(), known)))
            except BadInput as error:
                st.error(f"Not imported: {literal(error)}. Nothing was changed.")
        for one in removed:
            asked = st.button(f"Restore {literal(one.name)}", key=f"rule_restore_{one.name}")
            if asked and keep(read_rule(one.document, known)):
                st.rerun()


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Rules", "Saved in this home; the numbers are those its bots compared last")
    known = ask(indicators, engine_id())
    if not known:
        panels.empty("The indicators are not known yet.", "The engine lists them when it starts.")
        return
    saved = ask(saved_rules, engine_id())
    rows = rows_of(saved)
    if said := st.session_state.pop("rule_said", ""):
        st.success(literal(said))
    chosen = str(choice(rows, COLUMNS, key="rules", ids=[row["name"] for row in rows]) or "")
    mine = newest_of(saved, chosen)
    document = TEMPLATES.get(chosen) if mine is None else read_rule(mine.document, known)
    if document is None:
        panels.note("Select a rule or a template: it is shown in words, and can be edited.")
    else:
        show_one(chosen, document, mine)
    show_editor(known)
    show_new(ask(saved_rules, engine_id(), removed=True), known)
    if mine is not None:
        panels.note(f"Saved {moment(mine.at_ns)} by {mine.who}.")
