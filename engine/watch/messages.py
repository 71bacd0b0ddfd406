"""Messages: what a delivery says, as text and as HTML; the same words for every channel."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from engine.domain.alerts import Severity, described
from engine.domain.alerts.reports import REPORT
from engine.watch.desk import EVENT
from engine.watch.rules import HOUR_NS, AlertsRead, zone_of
from storage.watch import Delivery, Notice, Reason

LINES_MAX = 20
"""Most notices written in full; the others are counted."""

TEXT_CHARACTERS_MAX = 600

READ_BY = {
    "bots": ("bot",),
    "market": ("instrument",),
    "orders": ("account", "instrument"),
}
"""What a page reads of its address; each page goes by the mode."""

JOB_FAILED = "job_failed"
REPORT_NAMED = re.compile(r"Flight report, (\w+): (\d{4}-\d\d-\d\d) ")
"""How the text of a report begins: period and first day are its name (`storage.reports`)."""

SECOND_NS = 1_000_000_000


class NoticeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One notice as a message tells it."""

    key: str
    kind: str
    title: str
    severity: Severity
    text: str
    advice: str
    where: dict[str, str]
    """`mode`, `account`, `bot`, `instrument`, as far as the notice names them."""
    numbers: dict[str, str]
    link: str
    acknowledge: str
    """A signed link that ends; empty = the settings allow none."""
    count: int
    before: int
    """How often it had happened when this channel heard of it last."""
    first: str
    last: str
    over: str
    """When it ended; empty = it lasts, or is an event."""


class AlertMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What leaves by one channel."""

    id: str
    """The same for every attempt: a receiver may know a repetition by it."""
    reason: Reason
    severity: Severity
    title: str
    lines: tuple[NoticeLine, ...]
    more: int = 0
    """How many notices are not written in full."""
    note: str = ""
    page: str = ""
    """The whole as one HTML page, where it tells flight reports and its channel takes HTML."""

    def text(self, characters_max: int = 4_000) -> str:
        """Return the whole as plain text; beyond the maximum the rest is counted."""
        parts = [part for part in (self.note, *map(_text, self.lines)) if part]
        if self.more:
            parts.append(f"… and {self.more:,} more: open Alerts.")
        kept, left = "", len(parts)
        for part in parts:
            joined = f"{kept}\n\n{part}" if kept else part
            if len(joined) > characters_max - 40 and kept:
                return f"{kept}\n\n… and {left:,} more: open Alerts."
            kept, left = joined[:characters_max], left - 1
        return kept

    def html(self) -> str:
        """Return the whole: its page if it has one, otherwise an HTML fragment."""
        if self.page:
            return self.page
        parts = [f"<p>{escape(self.note)}</p>"] if self.note else []
        parts += [_html(line) for line in self.lines]
        if self.more:
            parts.append(f"<p>… and {self.more:,} more: open Alerts.</p>")
        return "".join(parts)


def compose(
    delivery: Delivery,
    covered: Sequence[tuple[Notice, int]],
    alerts: AlertsRead,
    *,
    desk: str,
    ack_key: bytes | None,
    now_ns: int,
) -> AlertMessage:
    """Return the message of a delivery; `covered` is what it tells, the most severe first."""
    lines = tuple(
        _line(one, before, alerts, ack_key, now_ns) for one, before in covered[:LINES_MAX]
    )
    severity = covered[0][0].severity if covered else Severity.INFO
    return AlertMessage(
        id=f"{desk}-{delivery.id}",
        reason=delivery.reason,
        severity=Severity(severity),
        title=_title(delivery, covered),
        lines=lines,
        more=len(covered) - len(lines),
        note=_note(delivery),
    )


def message_of_test(number: str, address: str) -> AlertMessage:
    """Return what *Send a test* sends."""
    return AlertMessage(
        id=number,
        reason=Reason.TEST,
        severity=Severity.INFO,
        title="[Pitboss] This is a test",
        lines=(),
        note=f"This channel works. Alerts of the desk at {address} arrive like this.",
    )


def _title(delivery: Delivery, covered: Sequence[tuple[Notice, int]]) -> str:
    first, many = covered[0][0], len(covered)
    what = described(first.kind).title
    word = first.severity.upper()
    match delivery.reason:
        case Reason.OVER:
            return f"[over] {what}" if many == 1 else f"[over] {many:,} alerts: {what}, …"
        case Reason.ESCALATION:
            what = f"not acknowledged: {what}"
        case Reason.AGAIN:
            what = f"it goes on: {what}"
        case _:
            pass
    return f"[{word}] {what}" if many == 1 else f"[{word}] {many:,} alerts: {what}, …"


def _note(delivery: Delivery) -> str:
    return f"Sent again: {delivery.error}." if delivery.attempts and delivery.error else ""


def _line(
    one: Notice, before: int, alerts: AlertsRead, ack_key: bytes | None, now_ns: int
) -> NoticeLine:
    kind, zone = described(one.kind), alerts.zone
    where = {
        name: value
        for name in ("mode", "account", "bot", "instrument")
        if (value := getattr(one, name))
    }
    return NoticeLine(
        key=one.key,
        kind=one.kind,
        title=kind.title,
        severity=kind.severity,
        text=one.text[:TEXT_CHARACTERS_MAX],
        advice=kind.advice,
        where=where,
        numbers=one.numbers,
        link=link_to(one, alerts.address),
        acknowledge=ack_link(one.key, alerts, ack_key, now_ns) if ack_key else "",
        count=one.count,
        before=before,
        first=moment(one.first_ns, zone),
        last=moment(one.last_ns, zone),
        over=moment(one.ended_ns, zone) if one.ended_ns is not None else "",
    )


def link_to(one: Notice, address: str) -> str:
    """Return the address of the page that shows what a notice is about."""
    page = described(one.kind).page
    given = {name: getattr(one, name) or "" for name in ("mode", *READ_BY.get(page, ()))}
    if one.kind == JOB_FAILED:
        given["job"] = one.subject.removeprefix(EVENT)
    if one.kind == REPORT.name and (named := REPORT_NAMED.match(one.text)):
        given["report"] = "-".join(named.groups())
    asked = {name: value for name, value in given.items() if value}
    if page == "orders" and asked:
        asked = {"show": "all"} | asked
    return f"{address.rstrip('/')}/{page}" + (f"?{urlencode(asked)}" if asked else "")


def moment(at_ns: int, zone: str) -> str:
    """Return a time of the operator's zone, the zone named."""
    local = datetime.fromtimestamp(at_ns // SECOND_NS, UTC).astimezone(zone_of(zone))
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"


def _times(line: NoticeLine) -> str:
    if line.count == 1:
        return line.last
    new = line.count - line.before
    since = f", {new:,} since the last message" if line.before and new else ""
    return f"{line.count:,} times{since}, from {line.first} to {line.last}"


def _facts(line: NoticeLine) -> list[str]:
    words = [f"{name} {value}" for name, value in line.where.items()]
    words += [f"{name}: {value}" for name, value in line.numbers.items()]
    facts = [" · ".join((*words, _times(line)))]
    if line.over:
        facts.append(f"It is over since {line.over}.")
    return facts


def _text(line: NoticeLine) -> str:
    parts = [f"{line.severity.upper()} {line.title}", line.text, *_facts(line)]
    if line.advice and not line.over:
        parts.append(f"What to do: {line.advice}")
    parts.append(line.link)
    if line.acknowledge:
        parts.append(f"Acknowledge: {line.acknowledge}")
    return "\n".join(part for part in parts if part)


def _html(line: NoticeLine) -> str:
    parts = [f"<p><b>{escape(line.severity.upper())} {escape(line.title)}</b><br>"]
    parts.append("<br>".join(map(escape, (line.text, *_facts(line)))))
    if line.advice and not line.over:
        parts.append(f"<br>What to do: {escape(line.advice)}")
    parts.append(f'<br><a href="{escape(line.link)}">Open it on the desk</a>')
    if line.acknowledge:
        parts.append(f' · <a href="{escape(line.acknowledge)}">Acknowledge</a>')
    return "".join((*parts, "</p>"))


# -- Signed links that acknowledge -----------------------------------------------------------------


def ack_link(key: str, alerts: AlertsRead, secret: bytes, now_ns: int) -> str:
    """Return an address that acknowledges one notice until it ends; it opens nothing else."""
    until_s = (now_ns + alerts.ack_hours * HOUR_NS) // SECOND_NS
    signed = _signed(secret, key, str(until_s))
    asked = f"notice={quote(key, safe='')}&until={until_s}&signature={signed}"
    return f"{alerts.address.rstrip('/')}/acknowledge?{asked}"


def key_of_link(query: str, secret: bytes, now_ns: int) -> str:
    """Return the notice a link of ours acknowledges; empty = it is not ours, or has ended."""
    given = dict(parse_qsl(query))
    key, until = given.get("notice", ""), given.get("until", "")
    if not (until.isascii() and until.isdecimal()):
        return ""
    right = hmac.compare_digest(_signed(secret, key, until), given.get("signature", ""))
    return key if right and int(until) * SECOND_NS >= now_ns else ""


def _signed(secret: bytes, key: str, until: str) -> str:
    return hmac.new(secret, f"{key}\0{until}".encode(), hashlib.sha256).hexdigest()
