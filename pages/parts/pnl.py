"""Where equity comes from, PnL by bot and period, markouts, and where the money at risk is.

One mode and one currency per sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape

import streamlit as st

from engine.domain.instruments import Mode
from pages.parts import markouts, panels, truth
from pages.parts.clock import now_ns
from pages.parts.data import ask, engine_id
from pages.parts.health import health_of
from pages.parts.names import market
from pages.parts.tables import choice
from pages.parts.words import SECOND_NS, micro, money, percent
from storage import money_views
from storage.dashboard_views import snapshot
from storage.views import Row

DAY_NS = 86_400 * SECOND_NS
COLUMNS = {
    "bot": ("Bot", "text"),
    "total": ("Total", "gain"),
    "today": ("Today", "gain"),
    "week": ("7 d", "gain"),
    "month": ("30 d", "gain"),
    "realised": ("Realised", "gain"),
    "unrealised": ("Unrealised", "gain"),
    "fees": ("Fees", "fee"),
    "cost": ("Held at cost", "money"),
    "markets": ("Markets held", "count"),
    "account": ("Account", "text"),
}
PERIODS = {"today": "PnL today", "week": "7 d", "month": "30 d", "total": "All"}


def by_bot(mode: Mode, now: int) -> list[Row]:
    """Return every bot of one mode with what it made in each period."""
    midnight = now // DAY_NS * DAY_NS
    minute = now // (60 * SECOND_NS) * 60 * SECOND_NS
    since = {"today": midnight, "week": minute - 7 * DAY_NS, "month": minute - 30 * DAY_NS}
    found = ask(money_views.pnl_by_bot, engine_id(), mode=mode, since=since)
    return [
        {**row, "bot": row["bot"] or "no bot"}
        for row in found
        if row["bot"] or row["total"] or row["markets"]
    ]


def tiles(rows: Sequence[Row], account: str, currency: str) -> None:
    """Draw an account's PnL by period."""
    mine = [row for row in rows if (row["account"], row["currency"]) == (account, currency)]
    for name, label in PERIODS.items():
        value = sum((row[name] for row in mine), Decimal(0)) if mine else None
        st.metric(
            label,
            money(value, currency, signed=True),
            border=True,
            height="stretch",
            width="stretch",
            help="Realised and unrealised at mid, less fees; deposits are never PnL.",
        )


def show(rows: Sequence[Row], mode: Mode) -> None:
    """Draw where the equity comes from, what each bot made, and what the price did afterwards."""
    now, seen = now_ns(), ask(snapshot)
    alive = health_of(seen.engine, now).alive
    for account in seen.accounts:
        if account.mode == mode:
            truth.show(account, alive=alive, now=now)
    _by_bot(rows, mode)
    markouts.show(mode)


def _by_bot(rows: Sequence[Row], mode: Mode) -> None:
    """Draw PnL by bot; a selected bot's orders and fills are a click away."""
    st.subheader("PnL by bot")
    if not rows:
        panels.empty(
            "No bot has traded in this mode yet.",
            "A bot appears with its first fill; the engine adds a point a minute.",
        )
        return
    panels.note(
        f"{mode.upper()} alone · realised before fees, unrealised at mid, fees apart; rewards: "
        f"{truth.NO_REWARDS} · select a bot for its fills"
    )
    chosen = choice(rows, COLUMNS, key="pnl", ids=[(row["account"], row["bot"]) for row in rows])
    if isinstance(chosen, tuple):
        bot = str(chosen[1])
        panels.links(
            panels.link(f"Fills of {bot}", "orders", fills=bot),
            panels.link(f"Bot {bot}", "bots", bot=bot),
            panels.link("Positions", "positions"),
        )


def allocation(account: str, currency: str) -> str:
    """Return the money at risk by bot and by market as bars against the account's whole."""
    uses = ask(money_views.limit_use, engine_id(), account=account)
    whole = next((use["used"] for use in uses if use["name"] == "exposure_account_max"), 0)
    parts = []
    for title, name in (("By bot", "exposure_bot_max"), ("By market", "exposure_instrument_max")):
        mine = [use for use in uses if use["name"] == name and use["used"] > 0]
        rows = "".join(
            f"<tr><th>{escape(market(use['subject']))}</th>"
            f'<td class="pb-num">{escape(micro(use["used"]))}</td>'
            f'<td class="pb-num">{escape(percent(use["used"], whole))}</td></tr>'
            f'<tr class="pb-barrow"><td colspan="3"><u><s style="width:'
            f'{100 * use["used"] / whole if whole else 0:.0f}%"></s></u></td></tr>'
            for use in mine
        )
        body = (
            f'<table class="pb-facts pb-tight pb-wide">{rows}</table>' if rows else "<p>None.</p>"
        )
        parts.append(f"<h4>{title}</h4>{body}")
    head = f"<h4>Money at risk, worst case: {escape(micro(whole, currency))}</h4>"
    return f'<section class="pb-block">{head}{"".join(parts)}</section>'
