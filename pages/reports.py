"""Flight reports: what a day, a week or a month brought, to read and print.

Made each morning by the schedule, in the zone of the alerts; a rule for the kind `report` sends
them away.

Changes: makes one now.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape

import streamlit as st

from engine.domain.commands import RunJob
from engine.domain.jobs.report import ReportPeriod
from pages import Page
from pages.kit import commands, guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.markdown import literal
from pages.kit.tables import Col, ColKind, choice, columns_of, table
from pages.shared import job
from storage.pnl_days import PnlDay, pnl_days
from storage.reports import FlightReport, ReportSection, report, reports

PAGE = Page("Reports", ":material/description:", "Guard", 2)

SLOT = "make_report"
COLUMNS = columns_of(
    Col("name", "Report"),
    Col("period", "Period"),
    Col("since_ns", "From"),
    Col("until_ns", "Ended"),
    Col("made_ns", "Reported"),
    Col("headline", "What it says", ColKind.LONG),
)
DAYS = columns_of(
    Col("day", "Day of"),
    Col("mode"),
    Col("account"),
    Col("bot"),
    Col("realised", "Realised", ColKind.GAIN),
    Col("unrealised", "Unrealised", ColKind.GAIN),
    Col("fees", "Fees", ColKind.FEE),
    Col("funding", "Funding", ColKind.GAIN),
    Col("pnl", "PnL", ColKind.GAIN),
    Col("currency"),
)


@guard.part("The form of a report")
def show_making() -> None:
    """Draw what makes a report now, and the life of that job."""
    if not commands.engine_runs():
        commands.note_no_engine()
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        period = st.segmented_control(
            "Period",
            list(ReportPeriod),
            default=ReportPeriod.TODAY,
            key="report_period",
            format_func=lambda one: "Today so far" if one == "today" else one.capitalize(),
            required=True,
        )
        if st.button("Make it now", key="report_make"):
            asked = f'{{"period": "{ReportPeriod(period)}"}}'
            commands.send(RunJob(job="report", arguments=asked), SLOT)
    job.show_progress(SLOT)


@guard.part("The list of reports")
def show_reports() -> None:
    """Draw the kept reports; the selected one whole."""
    rows = ask(reports, engine_id())
    if not rows:
        panels.empty(
            "No report was made yet.",
            "The schedule makes one each morning, each Monday and each first of the month; it "
            "covers the last whole day, week or month. The button makes one now, of today, too.",
        )
        return
    shown = [{name: getattr(row, name) for name in COLUMNS} for row in rows]
    named = st.query_params.get("report", rows[0].name)
    names = [row.name for row in rows]
    chosen = choice(shown, COLUMNS, key="reports", ids=names)
    show_one(ask(report, engine_id(), str(chosen) if chosen in names else named))


@guard.part("PnL by day")
def show_days() -> None:
    """Draw what each owner made on each day that was kept."""
    days = ask(pnl_days, engine_id())
    if not days:
        return
    st.subheader("PnL by day, UTC")
    table([day_row(one) for one in days], DAYS, key="pnl_days")


def day_row(one: PnlDay) -> dict[str, object]:
    """Return an owner's day as it is drawn, amounts in its currency."""
    amounts = ("realised", "unrealised", "fees", "funding", "pnl")
    return {
        **{name: getattr(one, name) for name in ("day", "mode", "account", "bot", "currency")},
        **{name: Decimal(getattr(one, f"{name}_micro")).scaleb(-6) for name in amounts},
    }


@guard.part("The report")
def show_one(found: FlightReport) -> None:
    """Draw one report, and what downloads it as one page that needs no network."""
    st.subheader(literal(found.title))
    st.markdown("\n".join(f"- {literal(one)}" for one in found.headline))
    st.download_button(
        "Download to print",
        found.html,
        file_name=f"{found.name}.html",
        mime="text/html",
        key=f"report_{found.name}",
        on_click="ignore",
    )
    st.html("".join(map(section, found.sections)))
    panels.note("Not kept: " + " ".join(found.lacks))


def section(one: ReportSection) -> str:
    """Return one table of a report as HTML."""
    note = escape(one.note)
    if not one.rows:
        said = f"<h4>{escape(one.title)}</h4><p>Nothing. {note}</p>"
        return f'<section class="pb-block">{said}</section>'
    lines = _line("th", one.columns, one.words)
    lines += "".join(_line("td", row, one.words) for row in one.rows)
    return panels.sheet(lines, title=one.title, below=note)


def _line(tag: str, cells: Sequence[str], words: int) -> str:
    first, *others = map(escape, cells)
    made = "".join(
        f"<{tag}{' class=pb-num' if place >= words else ''}>{cell}</{tag}>"
        for place, cell in enumerate(others, 1)
    )
    return f"<tr><th>{first}</th>{made}</tr>"


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Reports", "As they were made; kept in the state database")
    show_making()
    show_reports()
    show_days()
