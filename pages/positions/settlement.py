"""The settlement ladder, and pairs of YES and NO that a merge would turn into cash."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape

import streamlit as st

from pages.kit import guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.names import market, size
from pages.kit.words import NOTHING, SECOND_NS, age, count, money
from pages.shared import drill_down
from storage.views import Row
from storage.views.frame import AccountSeen
from storage.views.settlement import DECIDED_NS, Rung, SettlementStep, ladder

MEANS = {
    Rung.RESERVED: "working orders may still take it",
    Rung.MATCHED: "the venue promised it; it may still vanish",
    Rung.MINED: "on its way, not final",
    Rung.RETRYING: "the venue tries again",
    Rung.CONFIRMED: "settled in the last 24 h",
    Rung.FAILED: "void in the last 24 h, reversed once",
    Rung.REDEEMABLE: "resolved in our favour, its fills not settled yet: pending cash",
    Rung.PAID: "resolved and paid so far: the venue redeems by itself, at once",
    Rung.CASH: "settled cash, working orders included",
}
MERGING = (
    "A pair pays exactly 1 at resolution, whoever wins: waiting brings nothing, a merge frees the "
    "cash now, less what working sells have reserved. Merging is done at the venue: this engine "
    "has no command for it, and neither the demo exchange's door nor a paper venue takes one. "
    "Here the cash comes back at resolution, or by selling one leg."
)
FILLS = frozenset({Rung.MATCHED, Rung.MINED, Rung.RETRYING, Rung.CONFIRMED, Rung.FAILED})
"""Rungs that count fills in a state of the same name."""

MINUTE_NS = 60 * SECOND_NS


@guard.part("Settlement")
def show(account: AccountSeen, now: int) -> None:
    """Draw how far an account's money is on its way, and how long the oldest has waited."""
    steps = ask(ladder, engine_id(), account=account.account, now_ns=now // 10**9 * 10**9)
    body = "".join(_row(step, account, now) for step in steps)
    head = "".join(f'<th class="pb-num">{name}</th>' for name in ("Count", "Amount", "Oldest"))
    st.html(
        f'<section class="pb-block"><h4>Settlement of {escape(account.account)}, '
        f'{escape(account.mode.upper())}</h4><div class="pb-scroll">'
        f'<table class="pb-facts pb-tight pb-wide"><tr><th></th>{head}</tr>{body}</table></div>'
        "</section>"
    )


def _row(step: SettlementStep, account: AccountSeen, now: int) -> str:
    old = NOTHING if step.oldest_ns is None else age(max(0, now - step.oldest_ns))
    if step.rung in (Rung.CONFIRMED, Rung.FAILED):
        old = NOTHING  # it is over: it waits for nothing
    amount = money(step.amount, account.currency)
    if step.amount is None and step.count:
        amount = "not known: never listed"
    counted = "" if step.rung is Rung.CASH else f"{step.count:,}"
    if step.tokens:
        counted += f", of it {count(step.tokens, 'sell')}"
    name = step.rung.value.capitalize()
    where = address(step, account, now) if step.count else ""
    name, counted, amount = (
        panels.anchor(text, where) if where and text else escape(text)
        for text in (name, counted, amount)
    )
    return (
        f"<tr><th>{name}<br><small>{escape(MEANS[step.rung])}</small></th>"
        f'<td class="pb-num">{counted}</td><td class="pb-num">{amount}</td>'
        f'<td class="pb-num">{escape(old)}</td></tr>'
    )


def address(step: SettlementStep, account: AccountSeen, now: int) -> str:
    """Return where the orders or fills of a rung are; empty = it is not made of them."""
    if step.rung is Rung.RESERVED:
        return drill_down.orders(drill_down.WORKING, account.mode, account=account.account)
    if step.rung is Rung.CASH:
        return drill_down.fills(account.mode, account=account.account)
    if step.rung not in FILLS:
        return ""
    decided = step.rung in (Rung.CONFIRMED, Rung.FAILED)
    since = (now - DECIDED_NS) // MINUTE_NS * MINUTE_NS if decided else 0
    return drill_down.fills(
        account.mode, account=account.account, state=step.rung.value, since_ns=since
    )


def pairs(row: Row) -> Decimal:
    """Return how many settled pairs of YES and NO a position holds."""
    if row["yes_settled"] is None or row["no_settled"] is None:
        return Decimal(0)
    return max(Decimal(0), min(row["yes_settled"], row["no_settled"]))


@guard.part("What could be merged")
def show_merges(held: Sequence[Row]) -> None:
    """Say which pairs could be merged into cash; nothing is said where there are none."""
    found = [(row, pairs(row)) for row in held if pairs(row)]
    if not found:
        return
    told = [
        f"- **{market(row['instrument'])}** at {row['account']}: {size(number)} "
        f"{'pair' if number == 1 else 'pairs'} of YES and NO can be merged into "
        f"**{money(number, row['currency'])}**, "
        f"{money(number - _cost(row, number), row['currency'], signed=True)} against their cost"
        for row, number in sorted(found, key=lambda one: -one[1])
    ]
    st.info("\n".join([*told, "", MERGING]), icon=":material/merge:")


def _cost(row: Row, number: Decimal) -> Decimal:
    """Return what so many pairs cost, by each leg's average."""
    total = Decimal(0)
    for leg in ("yes", "no"):
        tokens = row[f"{leg}_settled"] + row[f"{leg}_pending"]
        total += row[f"{leg}_cost"] * number / tokens
    return total
