"""Alerts as rows a person can answer: what happened, how often, where to look, and Seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

import streamlit as st

from engine.domain.alerts import described, numbers_of
from engine.domain.commands import AckAlert
from pages.kit import commands, guard, links, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config, now_ns
from pages.kit.names import market, spelled
from pages.kit.words import age, count, moment, utc
from pages.shared import moments, refusals
from storage import views, watch
from storage.views import Row
from storage.watch import RequestKind

TONES = {"critical": "bad", "warning": "warn", "info": "dim"}
SHOWN_MAX = 25
CODE = re.compile(r"`([^`]+)`")
"""A command in a kind's advice."""


@guard.part("The list of alerts")
def show(rows: Sequence[Row], *, alive: bool, now: int) -> None:
    """Draw alerts, the latest first, each unseen one with its button.

    Without an engine, too: it counts as seen at once, and the next engine writes it down.
    """
    for row in rows[:SHOWN_MAX]:
        # In columns: in a row of their own length, a long text pushed its buttons below itself.
        text, buttons = st.columns([3, 1], vertical_alignment="center")
        text.html(line(row, now, _refused(row)))
        with buttons.container(horizontal=True, horizontal_alignment="right", gap="small"):
            if row["acked_ns"] is None and st.button("Seen", key=f"ack_{row['id']}", width=74):
                commands.send(AckAlert(alert=row["id"]), "ack")
            if alive:
                moments.offer(row["last_ns"], row["account"] or "", f"alert_{row['id']}", width=155)
        moments.show_progress(f"alert_{row['id']}")
    if len(rows) > SHOWN_MAX:
        panels.links(panels.link(f"{len(rows) - SHOWN_MAX:,} more, under Alerts", "alerts"))
    commands.show_progress("ack")


def see(key: str) -> None:
    """Acknowledge a notice; the watch ends its escalation."""
    watch.ask(config().home, RequestKind.ACK, key, st.session_state["who"], now_ns())
    st.rerun(scope="fragment")


def _refused(row: Row) -> Row | None:
    number = refusals.order_of(row["text"])
    if number is None or not row["account"]:
        return None
    return ask(views.order, engine_id(), row["account"], number)


def line(row: Row, now: int, order: Row | None = None) -> str:
    """Return one alert as HTML: severity as a word and a colour, its text, where to look."""
    where, kind = " · ".join(_where(row)), described(row["kind"])
    times = f", {count(row['count'], 'time')}" if row["count"] > 1 else ""
    about = escape(" ".join(filter(None, (f"{kind.title}.", kind.advice))))
    about = CODE.sub(r"<code>\1</code>", about)
    seen = f" · seen by {escape(row['acked_by'])}" if row["acked_ns"] is not None else ""
    return (
        f'<div class="pb-alert pb-{TONES.get(row["severity"], "dim")}">'
        f"<b>{escape(row['severity'].upper())}</b> "
        f'<span title="{utc(row["last_ns"])}">{age(now - row["last_ns"])} ago{times}</span>'
        f"{refusals.alert_text(spelled(row['text']), order)}"
        f"{_figures(row)}"
        f'<p class="pb-source">{about} '
        f"Since {moment(row['first_ns'])}"
        f"{' · ' + where if where else ''}{seen}</p></div>"
    )


def _figures(row: Row) -> str:
    """Return an alert's figures as HTML, each with its name; one that cannot be read is left out.

    A cell of the state file holds them as JSON, a notice of the watch as they are.
    """
    given = row.get("numbers")
    try:
        numbers = given if isinstance(given, dict) else numbers_of(given)
    except ValueError:
        return ""
    said = " · ".join(f"{escape(name)} <b>{escape(figure)}</b>" for name, figure in numbers.items())
    return f'<p class="pb-source">{said}</p>' if said else ""


def _where(row: Row) -> list[str]:
    found = []
    if row["bot"]:
        found.append(panels.link(f"why, bot {row['bot']}", "bots", bot=row["bot"]))
    if row["bot"] and row["instrument"]:
        then = {"bot": row["bot"], "market": row["instrument"], "at": row["last_ns"]}
        found.append(panels.link("its decisions until then", "bots", **then))
    if row["instrument"]:
        where = panels.address("orders", show=links.ALL, instrument=row["instrument"])
        found.append(panels.anchor(market(row["instrument"]), where))
    if row["account"]:
        found.append(panels.link(f"account {row['account']}", "risk"))
    return found
