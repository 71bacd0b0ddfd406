"""Where an account's equity comes from, and the last proof that it is what it says."""

from __future__ import annotations

from html import escape

import streamlit as st

from pages.kit import guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.words import SECOND_NS, age, count, money
from pages.shared import drill_down
from storage.views import Row
from storage.views.equity_proof import equity_check, sources
from storage.views.frame import AccountSeen

CHECK_AGE_NS_MAX = 180 * SECOND_NS
"""A check is made each minute; one this old says that they have stopped."""

NO_REWARDS = "none received yet"


@guard.part("Where the equity comes from")
def show(account: AccountSeen, *, alive: bool, now: int) -> None:
    """Draw what the equity is made of, each part a link to what is behind it, and its check."""
    made = ask(sources, engine_id(), account.account)
    name, currency = account.account, account.currency
    where = drill_down.fills(account.mode, account=name)
    moves = panels.address("journal", text="CashMoved")
    held = panels.address("positions")
    fills = f"{made.fills:,} fills"
    rows = [
        (
            "Deposited less withdrawn",
            money(made.deposited, currency),
            count(made.moves, "cash move"),
            moves,
        ),
        ("+ Realised, before fees", money(made.realised, currency, signed=True), fills, where),
        ("\N{MINUS SIGN} Fees", money(made.fees, currency), fills, where),
        ("+ Rewards and rebates", NO_REWARDS, "no venue here pays any", ""),
        ("+ Unrealised, at mid", money(made.unrealised, currency, signed=True), "positions", held),
        ("= Equity at mid", money(made.equity, currency), "", where),
    ]
    body = "".join(_row(*row) for row in rows)
    st.html(
        '<section class="pb-block"><h4>Where the equity comes from</h4>'
        f'<table class="pb-facts pb-tight pb-wide">{body}</table>'
        f"<p>{_check(name, alive=alive, now=now)}</p></section>"
    )
    _alarm(name)


def _row(label: str, value: str, behind_it: str, where: str) -> str:
    """Return one part of the equity; figure and words lead to what it is made of."""
    shown, words = (
        panels.anchor(text, where) if where and text else escape(text)
        for text in (value, behind_it)
    )
    return (
        f'<tr><th class="pb-at">{escape(label)}</th><td class="pb-num">{shown}</td>'
        f"<td>{words}</td></tr>"
    )


def _alarm(name: str) -> None:
    """Say loudly that the last check found a difference."""
    row = ask(equity_check, engine_id(), name)
    if row is not None and row["judged"] and row["text"]:
        st.error(
            f"**The identity of equity is broken at {name}.** {row['text']}. Nothing was repaired: "
            "stop the bots of this account, keep the folder of state, and look at its fills.",
            icon=":material/balance:",
        )


def _check(account: str, *, alive: bool, now: int) -> str:
    """Return the last check of the identity in one line of HTML."""
    row = ask(equity_check, engine_id(), account)
    if row is None:
        return escape("not checked yet: the first check follows within a minute of a start")
    text = sentence(row, alive=alive, now=now)
    return f"{escape(text)} · {panels.link('alerts', 'alerts')}"


def sentence(row: Row, *, alive: bool, now: int) -> str:
    """Return what the last check found, when, and over what."""
    when = f"{age(max(0, now - row['at_ns']))} ago, at journal record {row['seq']:,}"
    if not row["judged"]:
        return f"NOT CHECKED: {row['text']} ({when})"
    said = f"difference {row['difference']:.6f} {row['currency']}"
    verdict = f"BROKEN, {said}" if row["text"] else f"checked, {said}"
    late = alive and now - row["at_ns"] > CHECK_AGE_NS_MAX
    told = f"{verdict}: cash {row['cash']:,.2f} + pending {row['pending']:,.2f} + inventory "
    told += f"{row['inventory']:,.2f} against the journal's own sum, {when}; "
    told += f"{count(row['checks'], 'check')}, {row['differed']:,} of them differed"
    return f"{'CHECKS HAVE STOPPED: the last one: ' if late else ''}{told}"
