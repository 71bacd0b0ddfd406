"""Closed bets: what each bot, or a hand, did in a market that is over for it, down to its fills."""

from __future__ import annotations

from typing import Any

import streamlit as st

from engine.domain.instruments import Mode
from pages.kit import guard, links, names, panels
from pages.kit.data import ask, engine_id
from pages.kit.panels import Tile
from pages.kit.tables import choice, page_behind, say_cut, table, turn
from pages.kit.words import age, count, money, percent
from storage.views import Row
from storage.views.bets import (
    BOTS,
    BY_HAND,
    BetSums,
    bet_sums,
    bettors,
    closed_bets,
)
from storage.views.bets import KEY as BY
from storage.views.drill_down import fills_behind

KEY = "bets"
REFRESH_S = 10.0
EVERYBODY = "everybody"
COLUMNS = {
    "closed_ns": ("Closed", "time"),
    "instrument": ("Market", "market"),
    "result": ("Result", "text"),
    "net": ("Net", "gain"),
    "entry": ("Entry", "price"),
    "exit": ("Exit", "price"),
    "size": ("Size", "size"),
    "held": ("Held for", "text"),
    "fee": ("Fees", "fee"),
    "reward": ("Rewards", "gain"),
    "fills": ("Fills", "count"),
    "bot": ("Bot", "text"),
    "account": ("Account", "text"),
}
FILLS = {
    "at_ns": ("Filled", "time"),
    "way": ("Side", "text"),
    "price": ("Price", "price"),
    "size": ("Size", "size"),
    "value": ("Value", "money"),
    "realised": ("Realised", "gain"),
    "fee": ("Fee", "fee"),
    "state": ("State", "text"),
    "order_id": ("Order", "count"),
    "transaction_id": ("Transaction", "id"),
}
MEANING = (
    "A bet is all that one bot, or you by hand, did in one market with one account. It is closed "
    "when all its tokens are sold or the market is resolved: won and lost by the tokens held then, "
    "even where both pay alike. Net = received + paid by the outcome, less spent and fees. Rewards "
    "stand beside it where the venue names the market and one bet alone stood there; others are of "
    "the account, on Overview. Entry and exit are averages over all tokens of both legs."
)


@st.fragment(run_every=REFRESH_S)
@guard.part("Closed bets")
def show(mode: Mode) -> None:
    """Draw closed bets, page by page, and the fills of the selected one."""
    st.subheader("Closed bets", help=MEANING)
    whose = _whose(mode)
    behind = page_behind(KEY, (mode, whose))
    found = ask(closed_bets, engine_id(), mode=mode, whose=whose, before=behind)
    if not found and behind is None:
        panels.empty(
            f"No bet is closed in {mode.upper()}" + (f" of {whose}." if whose else "."),
            "A bet closes when its last token is sold or its market is resolved.",
        )
        return
    for sums in ask(bet_sums, engine_id(), mode=mode, whose=whose):
        _figures(sums)
    panels.note(f"{mode.upper()} · from the journal · newest first · select a row for its fills")
    rows = [{**row, "held": age(row["held_ns"])} for row in found]
    ids = [tuple(row[name] for name in BY) for row in rows]
    chosen = choice(rows, COLUMNS, key=KEY, ids=ids)
    turn(KEY, rows, BY)
    bet = next((row for row, key in zip(rows, ids, strict=True) if key == chosen), None)
    if bet is not None:
        _fills(bet, mode)


def _whose(mode: Mode) -> str:
    """Return whose bets are wanted; empty = everybody's."""
    offered = [EVERYBODY, BOTS, BY_HAND, *ask(bettors, engine_id(), mode)]
    left, _ = st.columns([1, 3])
    chosen = left.selectbox("Whose", offered, key=f"whose_{KEY}")
    return "" if chosen == EVERYBODY else str(chosen)


def _figures(sums: BetSums) -> None:
    net = money(sums.net, sums.currency, signed=True)
    panels.tiles(
        [
            Tile("Closed", f"{sums.closed:,}"),
            Tile("Brought a gain", percent(sums.gained, sums.closed)),
            Tile("Net", net),
            Tile("Fees", money(sums.fees, sums.currency)),
            Tile(
                "Still open", f"{sums.open:,}",
                hint="Their cash so far: "
                f"{money(sums.flow, sums.currency, signed=True)}, before what they hold is worth",
            ),
        ]
    )  # fmt: skip


@guard.part("The fills of the bet")
def _fills(bet: Row, mode: Mode) -> None:
    """Draw the fills a bet is made of."""
    here: dict[str, Any] = {name: bet[name] for name in ("account", "instrument", "bot")}
    st.markdown(
        f"**{count(bet['fills'], 'fill')} of the bet in {names.market(bet['instrument'])}**"
    )
    fills = [
        {**fill, "way": f"{fill['side']} {fill['leg']}".upper()}
        for fill in ask(fills_behind, engine_id(), mode=mode, **here)
    ]
    table(fills, FILLS, key="bet_fills")
    say_cut(fills)
    panels.links(panels.anchor("These fills with their sums", links.fills(mode, **here)))
