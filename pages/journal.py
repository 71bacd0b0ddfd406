"""Records, commands and audit, searched by text.

Everything that was asked and answered, and who changed what.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
import streamlit as st

from engine.domain.instruments import Instrument
from engine.domain.words import Terms, of_record, spaced
from engine.errors import BadInput
from pages import Page
from pages.kit import guard, names, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config
from pages.kit.tables import Col, ColKind, TableRow, choice, columns_of, page_behind, turn
from pages.kit.words import count
from pages.shared import receipt
from storage import views
from storage.commands import KILL_PROOF, SCOPE_PROOF, STOP_PROOF, Receipt
from storage.journal_writer import KINDS
from storage.live import listed
from storage.views import Row
from storage.views.frame import run_engines
from storage.views.journal import ROWS_MAX, listings, search_journal

PAGE = Page("Journal", ":material/history:", "Guard", 2)

RECORDS = columns_of(
    Col("seq", "Record", ColKind.COUNT),
    Col("at_ns"),
    Col("said", "What happened"),
    Col("account"),
)
COMMANDS = columns_of(
    Col("created_ns", "Queued"),
    Col("kind", "Command"),
    Col("who"),
    Col("state"),
    Col("answer"),
    Col("answered_ns"),
    Col("body", "With"),
)
AUDIT = columns_of(
    Col("at_ns"),
    Col("who"),
    Col("what"),
    Col("detail"),
)
RECEIPTS = frozenset({KILL_PROOF, SCOPE_PROOF, STOP_PROOF})
HOUSEKEEPING = frozenset(
    {
        "BalancesListed",
        "BookChanged",
        "BookDistrusted",
        "BookMarked",
        "BookProven",
        "BookReplaced",
        "FeedLost",
        "FeedRestored",
        "FillsListed",
        "InstrumentListed",
        "KeepBudget",
        "KeepStart",
        "OpenOrdersListed",
        "PositionsListed",
        "QueryBalances",
        "QueryFills",
        "QueryOpenOrders",
        "QueryRedemptions",
        "RedemptionsListed",
        "ReferencePriced",
        "SetTimer",
        "TimerFired",
        "TradePrinted",
    }
)
"""Kinds that tell of no order and no money: most of a journal."""
WHOLE = "all"
"""In the address: housekeeping is shown, too."""
ENGINE = "The engine's journal"
WHERE = re.compile(r"(?<= in )[a-z]+:[^ ,]+")
"""The market an order or a fill of a sentence is in."""


def journals() -> dict[str, Path]:
    found = {ENGINE: config().journal_path} if config().journal_path.is_file() else {}
    for owner in ask(run_engines):
        for row in ask(views.runs, owner):
            path = config().home / "runs" / str(row["started_ns"]) / "journal.db"
            if path.is_file():
                found[f"Run {row['id']}: {row['strategy']}"] = path
    return found


@guard.part("The list of records")
def show_records(text: str) -> None:
    """Draw the search over one journal, newest records first."""
    known = journals()
    if not known:
        panels.empty(
            "There is no journal yet.",
            "An engine keeps one, and so does every replay that is not run with --journal digest:",
            ".venv/bin/python -m engine replay PATH --bot market_maker",
        )
        return
    names = list(known)
    run = st.query_params.get("run")
    index = next((n for n, name in enumerate(names) if name.startswith(f"Run {run}:")), 0)
    left, right = st.columns(2)
    name = left.selectbox("Journal", names, index=index)
    kind = right.selectbox(
        "Kind", ["", *sorted(KINDS)], format_func=lambda one: kind_words(one) or "every kind"
    )
    only = st.toggle(
        "Orders and money only",
        value=WHOLE not in st.query_params,
        key="orders_and_money",
        help="Hides timers, what the venue is asked by the clock, its listings, books and feeds.",
        on_change=_keep_choice,
        disabled=bool(kind),
    )
    hidden = HOUSEKEEPING if only and not kind else ()
    found = search_journal(known[name], kind=kind, text=text, without=hidden)
    where = f"{found.scanned:,} searched"
    if hidden:
        where += ", timers, venue queries and listings hidden"
    if len(found.records) == ROWS_MAX:
        where += ", only the latest; narrow the search to see older ones"
    elif not found.complete:
        where += f", no further back than record {found.first_seq:,}"
    panels.note(
        f"{count(len(found.records), 'record')} found · {where} · in a replay, times are the "
        "recording's"
    )
    terms = terms_in(known[name], of_engine=name == ENGINE)
    rows = [{**row, "said": sentence(row, terms)} for row in found.records]
    show(rows, RECORDS, f"records_{name}", "seq")


def _keep_choice() -> None:
    if st.session_state["orders_and_money"]:
        st.query_params.pop(WHOLE, None)
    else:
        st.query_params[WHOLE] = "1"


def kind_words(kind: str) -> str:
    return spaced(kind).capitalize()


def terms_in(path: Path, *, of_engine: bool) -> Terms:
    """Return who knows the terms of instruments: the catalog, of a run its own journal."""

    @cache
    def in_catalog(instrument: str) -> Instrument | None:
        with contextlib.suppress(BadInput):
            return ask(listed, engine_id(), instrument)
        return None

    return in_catalog if of_engine else listings(path).get


def sentence(row: TableRow, terms: Terms) -> str:
    """Return what a record says, as a sentence."""
    said = of_record(row["message"], terms, row["instrument"] or None)
    said = names.spelled(WHERE.sub(lambda found: names.market(found[0]), said))
    return said[:1].upper() + said[1:]


def show(rows: list[Row], columns: dict[str, tuple[str, str]], key: str, name: str) -> None:
    """Draw rows, each known by its column `name`; the selected one in full."""
    if not rows:
        panels.empty("Nothing matches.", "Search for another text, or clear it to see the latest.")
        return
    chosen = choice(rows, columns, key=f"journal_{key}", ids=[row[name] for row in rows])
    row = next((row for row in rows if row[name] == chosen), None)
    if row is not None and "said" in row:
        st.text(f"Record {row['seq']:,}: {row['said']}")
        with st.expander("The record as it is stored", key="fold_record"):
            show_whole(row)
    elif row is not None:
        show_whole(row)


@guard.part("The row")
def show_whole(row: Mapping[str, object]) -> None:
    """Draw one row in full: a receipt as one, and every field as it was kept."""
    text = str(row["body"] if "body" in row else row["detail"])
    if row.get("what") in RECEIPTS:
        st.html(receipt.html(msgspec.json.decode(text, type=Receipt)))
    with contextlib.suppress(msgspec.DecodeError):  # words of an engine, not fields
        text = msgspec.json.format(text)
    # As text: the widget for JSON counts in floats, and a time in ns has more digits than they do.
    st.code(text, language="json", wrap_lines=True)


def fitting(rows: list[Row], text: str) -> list[Row]:
    wanted = text.lower()
    return [row for row in rows if wanted in " ".join(map(str, row.values())).lower()]


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Journal", "From the journals and the state database, read now")
    tabs = {"Records": "records", "Commands": "commands", "Audit": "audit"}
    audit = st.query_params.get("audit")
    what = st.segmented_control(
        "Look at", list(tabs), default="Audit" if audit else "Records", key="what", required=True
    )
    given = st.query_params.get("text", audit or "")
    text = st.text_input("Search", value=given, placeholder="any text, then Enter")
    if what == "Records":
        show_records(text)
    elif what == "Commands":
        rows = ask(views.commands, engine_id(), before=page_behind("commands", None))
        show(fitting(rows, text), COMMANDS, "commands", "id")
        turn("commands", rows, ["created_ns", "id"])
    else:
        owners, behind = sorted({engine_id(), "pitboss"}), page_behind("audit", None)
        rows = [row for owner in owners for row in ask(views.audit, owner, before=behind)]
        rows = sorted(rows, key=lambda row: (row["at_ns"], row["id"]), reverse=True)[:ROWS_MAX]
        show(fitting(rows, text), AUDIT, "audit", "id")
        turn("audit", rows, ["at_ns", "id"])
