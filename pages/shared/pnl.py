"""Where equity comes from, PnL by bot and period, markouts, and where the money at risk is.

One mode and one currency per sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape
from typing import NamedTuple

import streamlit as st

from engine.domain.instruments import Mode
from pages.frame.health import health_of
from pages.kit import guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.names import market
from pages.kit.tiles import Tile
from pages.kit.words import NOTHING, SECOND_NS, in_column, micro, money, percent
from pages.shared import drill_down, equity_proof, markouts
from storage.views import Row
from storage.views import money as money_views
from storage.views.frame import AccountSeen, snapshot

DAY_NS = 86_400 * SECOND_NS
MINUTE_NS = 60 * SECOND_NS
HINT = "Realised and unrealised at mid, less fees; deposits are never PnL."


class Period(NamedTuple):
    """A period of PnL: its column in a table, its tile, its key in a row of `by_bot`."""

    key: str
    column: str
    tile: str
    days: int
    """Whole days before the present one; -1 = everything."""

    def since_ns(self, now: int) -> int:
        """Return when it begins: at midnight UTC, or so many days ago to the minute."""
        if self.days < 0:
            return 0
        if not self.days:
            return now // DAY_NS * DAY_NS
        return now // MINUTE_NS * MINUTE_NS - self.days * DAY_NS


PERIODS = (
    Period("today", "Today", "PnL today", 0),
    Period("week", "7 d", "7 d", 7),
    Period("month", "30 d", "30 d", 30),
    Period("total", "Total", "All", -1),
)


def by_bot(mode: Mode, now: int) -> list[Row]:
    """Return every bot of one mode with what it made in each period."""
    since = {period.key: period.since_ns(now) for period in PERIODS if period.days >= 0}
    found = ask(money_views.pnl_by_bot, engine_id(), mode=mode, since=since)
    return [
        {**row, "bot": row["bot"] or drill_down.NOBODY}
        for row in found
        if row["bot"] or row["total"] or row["markets"]
    ]


def periods(rows: Sequence[Row], mode: Mode, currency: str, now: int, **only: str) -> list[Tile]:
    """Return a tile per period with what the rows made in it, and their fills behind it."""
    return [
        Tile(
            period.tile,
            money(sum((row[period.key] for row in rows), Decimal(0)), currency, signed=True)
            if rows
            else NOTHING,
            drill_down.fills(mode, since_ns=period.since_ns(now), **only),
            HINT,
        )
        for period in PERIODS
    ]


@guard.part("Where the equity comes from")
def show(rows: Sequence[Row], mode: Mode, now: int) -> None:
    """Draw where the equity comes from, what each bot made, and what the price did afterwards."""
    seen = ask(snapshot)
    alive = health_of(seen.engine, now).alive
    for account in seen.accounts:
        if account.mode == mode:
            equity_proof.show(account, alive=alive, now=now)
    _by_bot(rows, mode, now)
    markouts.show(mode)


@guard.part("PnL by bot")
def _by_bot(rows: Sequence[Row], mode: Mode, now: int) -> None:
    """Draw PnL by bot; each figure leads to the fills it is made of."""
    st.subheader("PnL by bot")
    if not rows:
        panels.empty(
            "No bot has traded in this mode yet.",
            "A bot appears with its first fill; the engine adds a point a minute.",
        )
        return
    panels.note(
        f"{mode.upper()} alone · realised before fees, unrealised at mid, fees apart; rewards: "
        f"{equity_proof.NO_REWARDS} · each figure leads to its fills"
    )
    st.html(table(rows, mode, now))


def table(rows: Sequence[Row], mode: Mode, now: int) -> str:
    """Return PnL by bot, the best first, as a table of links."""
    periods_shown = (PERIODS[-1], *PERIODS[:-1])
    labels = [period.column for period in periods_shown]
    labels += ["Realised", "Unrealised", "Fees", "Held at cost", "Markets held"]
    head = "".join(f'<th class="pb-num">{escape(label)}</th>' for label in labels)
    body = "".join(
        _line(row, mode, [(period.key, period.since_ns(now)) for period in periods_shown])
        for row in sorted(rows, key=lambda row: -row["total"])
    )
    return (
        '<section class="pb-block"><div class="pb-scroll">'
        f'<table class="pb-facts pb-tight pb-wide"><tr><th></th>{head}</tr>{body}</table>'
        "</div></section>"
    )


def _line(row: Row, mode: Mode, since: Sequence[tuple[str, int]]) -> str:
    """Return one bot as a row of the table."""
    only = {"account": row["account"], "bot": row["bot"]}
    fills, held = drill_down.fills(mode, **only), panels.address("positions")
    bot = escape(row["bot"])
    if row["bot"] != drill_down.NOBODY:
        bot = panels.link(row["bot"], "bots", bot=row["bot"])
    cells = [
        figure(row[key], drill_down.fills(mode, since_ns=since_ns, **only))
        for key, since_ns in since
    ]
    cells += [figure(row["realised"], fills), figure(row["unrealised"], held)]
    sums = (
        (in_column(row["fees"]), fills),
        (in_column(row["cost"]), held),
        (f"{row['markets']:,}", held),
    )
    cells += [f'<td class="pb-num">{panels.anchor(text, to)}</td>' for text, to in sums]
    where = f"{escape(row['account'])}, {escape(row['currency'])}"
    return f"<tr><th>{bot}<br><small>{where}</small></th>{''.join(cells)}</tr>"


def figure(value: Decimal | None, where: str) -> str:
    """Return a gain as a cell: signed, coloured, and a link to what it is made of."""
    tone = "" if not value else " pb-gain" if value > 0 else " pb-loss"
    return f'<td class="pb-num{tone}">{panels.anchor(in_column(value, signed=True), where)}</td>'


def allocation(account: AccountSeen) -> str:
    """Return the money at risk by bot and by market as bars against the account's whole."""
    name, mode = account.account, account.mode
    uses = ask(money_views.limit_use, engine_id(), account=name)
    whole = next((use["used"] for use in uses if use["name"] == "exposure_account_max"), 0)
    parts = []
    for title, limit, kind in (
        ("By bot", "exposure_bot_max", "bot"),
        ("By market", "exposure_instrument_max", "instrument"),
    ):
        mine = [use for use in uses if use["name"] == limit and use["used"] > 0]
        rows = "".join(
            _bar(use, whole, drill_down.fills(mode, account=name, **{kind: use["subject"]}))
            for use in mine
        )
        body = (
            f'<table class="pb-facts pb-tight pb-wide">{rows}</table>' if rows else "<p>None.</p>"
        )
        parts.append(f"<h4>{title}</h4>{body}")
    total = panels.anchor(micro(whole, account.currency), panels.address("positions"))
    head = f"<h4>Money at risk, worst case: {total}</h4>"
    return f'<section class="pb-block">{head}{"".join(parts)}</section>'


def _bar(use: Row, whole: int, where: str) -> str:
    share = 100 * use["used"] / whole if whole else 0
    return (
        f"<tr><th>{escape(market(use['subject']))}</th>"
        f'<td class="pb-num">{panels.anchor(micro(use["used"]), where)}</td>'
        f'<td class="pb-num">{escape(percent(use["used"], whole))}</td></tr>'
        f'<tr class="pb-barrow"><td colspan="3"><u><s style="width:{share:.0f}%"></s></u></td></tr>'
    )
