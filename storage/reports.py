"""The flight report: what a day, a week or a month brought, in tables; its HTML, its text.

Times and amounts are words already, so that a report that was kept reads as it did when it was
made. `storage.report_figures` reads its figures; the job `report` makes and keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from html import escape
from pathlib import Path
from sqlite3 import Connection
from zoneinfo import ZoneInfo

import msgspec

from engine.domain.jobs.report import ReportPeriod
from engine.domain.plain import PlainDict
from engine.errors import BadInput, PitbossError
from storage.database import Table, dicts
from storage.watch import NAME, reading_watch

SECOND_NS = 1_000_000_000


class ReportSpan(msgspec.Struct, frozen=True):
    """A stretch of time, ns UTC; `until_ns` is the first moment after it."""

    since_ns: int
    until_ns: int


class ReportSection(msgspec.Struct, frozen=True, kw_only=True):
    """One table of a report."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    """So many columns, from the left, are words; the others are numbers."""
    note: str = ""
    """What a reader must know of the figures, or why there are none."""


class FlightReport(msgspec.Struct, frozen=True, kw_only=True):
    """One report. `name` is its key and its file's name."""

    name: str
    period: ReportPeriod
    span: ReportSpan
    made_ns: int
    zone: str
    headline: tuple[str, ...]
    """The short text: a few sentences."""
    sections: tuple[ReportSection, ...]
    lacks: tuple[str, ...]
    """What is not kept, and so is not in it."""

    @property
    def title(self) -> str:
        since, until = (moment(at, self.zone) for at in (self.span.since_ns, self.span.until_ns))
        return f"Flight report, {self.period}: {since} to {until}"

    def text(self) -> str:
        """Return the short text, for a channel that takes no HTML."""
        return "\n".join((self.title, *self.headline))

    def html(self) -> str:
        """Return the whole as one page: it loads nothing, and prints."""
        return page_of(self.title, [self.body()])

    def body(self) -> str:
        """Return what stands on that page."""
        title, made = escape(self.title), escape(moment(self.made_ns, self.zone))
        head = "".join(f"<li>{escape(one)}</li>" for one in self.headline)
        lacks = "".join(f"<li>{escape(one)}</li>" for one in self.lacks)
        return (
            f"<h1>{title}</h1><p>Made {made} by Pitboss.</p>"
            f"<ul>{head}</ul>{''.join(map(_section, self.sections))}"
            f"<h2>Not kept</h2><ul>{lacks}</ul>"
        )


STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;color:#111;background:#fff;margin:2rem auto;"
    "max-width:60rem;padding:0 1rem}h1{font-size:1.3rem}h2{font-size:1rem;margin:1.5rem 0 .3rem}"
    "div{overflow-x:auto}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #ddd}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}p{color:#555;margin:.3rem 0}"
    "@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}"
)


def page_of(title: str, bodies: Sequence[str]) -> str:
    """Return HTML bodies, one below the other, as a page in the style of reports."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>{'<hr>'.join(bodies)}</body></html>"
    )


def _section(one: ReportSection) -> str:
    note = f"<p>{escape(one.note)}</p>" if one.note else ""
    if not one.rows:
        return f"<h2>{escape(one.title)}</h2><p>Nothing.</p>{note}"
    lines = [_line("th", one.columns, one.words)]
    lines += [_line("td", row, one.words) for row in one.rows]
    table = f"<div><table>{''.join(lines)}</table></div>"
    return f"<h2>{escape(one.title)}</h2>{table}{note}"


def _line(tag: str, cells: tuple[str, ...], words: int) -> str:
    made = (
        f"<{tag}{' class=n' if place >= words else ''}>{escape(cell)}</{tag}>"
        for place, cell in enumerate(cells)
    )
    return f"<tr>{''.join(made)}</tr>"


def moment(at_ns: int, zone: str) -> str:
    """Return a time of a zone, to the minute, the zone named."""
    local = datetime.fromtimestamp(at_ns // SECOND_NS, UTC).astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}"


def span_of(period: ReportPeriod, zone: str, now_ns: int) -> ReportSpan:
    """Return the last whole day, week (from Monday) or month of a zone before `now_ns`, or today.

    A day of a change of the clock has 23 or 25 hours; today ends now.
    """
    here = ZoneInfo(zone)
    today = datetime.fromtimestamp(now_ns // SECOND_NS, UTC).astimezone(here).date()
    first, last = _days(period, today)
    since_ns, until_ns = (
        int(datetime.combine(day, time(), here).timestamp()) * SECOND_NS for day in (first, last)
    )
    return ReportSpan(since_ns, min(until_ns, now_ns))


def _days(period: ReportPeriod, today: date) -> tuple[date, date]:
    """Return the first day and the day after the last one."""
    if period is ReportPeriod.TODAY:
        return today, today + timedelta(days=1)
    if period is ReportPeriod.DAILY:
        return today - timedelta(days=1), today
    if period is ReportPeriod.WEEKLY:
        monday = today - timedelta(days=today.weekday())
        return monday - timedelta(days=7), monday
    first = today.replace(day=1)
    return (first - timedelta(days=1)).replace(day=1), first


def name_of(period: ReportPeriod, zone: str, span: ReportSpan) -> str:
    """Return what a report is called: `daily-2026-03-01`, by its first day."""
    first = datetime.fromtimestamp(span.since_ns // SECOND_NS, UTC).astimezone(ZoneInfo(zone))
    return f"{period}-{first:%Y-%m-%d}"


# -- Reports that are kept -------------------------------------------------------------------------

KEPT = 1_000
"""So many of the newest are kept: two years and more of every period."""


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kept report."""

    name: str
    period: ReportPeriod
    since_ns: int
    until_ns: int
    made_ns: int
    headline: str
    body: FlightReport


_REPORTS = Table(ReportRow, "reports")


def put_report(connection: Connection, engine_id: str, given: FlightReport) -> None:
    """Keep a report inside the caller's transaction, in the place of one of the same name."""
    row = ReportRow(
        name=given.name,
        period=given.period,
        since_ns=given.span.since_ns,
        until_ns=given.span.until_ns,
        made_ns=given.made_ns,
        headline=given.headline[0],
        body=given,
    )
    _REPORTS.put(connection, engine_id, [row])
    connection.execute(
        "DELETE FROM reports WHERE engine_id = ?1 AND name NOT IN (SELECT name FROM reports "
        "WHERE engine_id = ?1 ORDER BY made_ns DESC LIMIT ?2)",
        (engine_id, KEPT),
    )


def reports(connection: Connection, engine_id: str) -> Sequence[ReportRow]:
    """Return the kept reports, the newest first. Raises BadInput for one that is damaged."""
    return _REPORTS.all(connection, "engine_id = ? ORDER BY until_ns DESC, name", (engine_id,))


def report(connection: Connection, engine_id: str, name: str) -> FlightReport:
    """Return one. Raises BadInput where it is not kept."""
    which = (engine_id, name)
    found = _REPORTS.one(connection, "engine_id = ? AND name = ?", which, f"report {name}")
    if found is None:
        raise BadInput(f"there is no report {name!r}: `engine report list` names those that are")
    return found.body


def report_made_at(connection: Connection, made_ns: int) -> FlightReport:
    """Return the report made at a moment. Raises BadInput where it is not kept any more."""
    found = _REPORTS.one(connection, "made_ns = ?", (made_ns,), f"the report made at {made_ns}")
    if found is None:
        raise BadInput("it was made anew since, or is not kept any more")
    return found.body


# -- The alerts of a span: those the engine stored, and what the watch found itself ----------------

_OF_ENGINE = (
    "SELECT kind, severity, count(*) AS alerts, sum(count) AS times, "
    "count(*) FILTER (WHERE acked_ns IS NULL) AS unseen FROM alerts WHERE engine_id = ? "
    "AND last_ns >= ? AND last_ns < ? GROUP BY 1, 2"
)
_OF_WATCH = (
    "SELECT kind, severity, count(*) AS alerts, sum(count) AS times, "
    "count(*) FILTER (WHERE acked_ns IS NULL AND ended_ns IS NULL) AS unseen FROM notices "
    "WHERE source = 'watch' AND max(last_ns, coalesce(ended_ns, 0)) >= ? AND first_ns < ? "
    "GROUP BY 1, 2"
)
"""Trouble belongs to each span in which it lasted."""


class ReportAlerts(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts of a span by their kind, the critical first, then the most frequent."""

    rows: tuple[PlainDict, ...]
    lacks: str
    """Why what the watch found is not among them; empty = it is."""


def alerts_of(connection: Connection, engine_id: str, span: ReportSpan, home: Path) -> ReportAlerts:
    """Return the alerts of a span; those of the watch are read from its own file in `home`."""
    rows = dicts(connection, _OF_ENGINE, (engine_id, span.since_ns, span.until_ns))
    lacks = ""
    try:
        with reading_watch(home) as watched:
            if watched is None:
                lacks = f"What the watch found: there is no {NAME}, so none has run here."
            else:
                rows += dicts(watched, _OF_WATCH, (span.since_ns, span.until_ns))
    except (PitbossError, OSError) as error:
        lacks = f"What the watch found, which cannot be read: {error}."
    rows.sort(key=lambda row: (row["severity"] != "critical", -row["alerts"]))
    return ReportAlerts(rows=tuple(rows), lacks=lacks)
