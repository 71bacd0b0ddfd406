"""Holdings per owner of an account, pairs to merge, and the transfer from one owner to another.

An owner is a bot, `manual`, or `unassigned` for what no record says whose it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import streamlit as st

from engine.domain.commands import MANUAL
from engine.domain.commands.trading import TransferHolding
from engine.domain.instruments import AccountId, BotId, Instrument, Leg, Mode
from engine.errors import BadInput
from pages.kit import commands, guard, names, panels
from pages.kit.data import ask, engine_id
from pages.kit.markdown import literal
from pages.kit.tables import Col, ColKind, columns_of, say_cut, table
from pages.kit.words import micro
from pages.shared.pnl import ROUNDED
from pages.shared.ticket import price_of, size_of
from storage import views
from storage.live import listed
from storage.views import Row
from storage.views.margins import LONG, SHORT
from storage.views.money import held_by_owner

SLOT = "transfer"
REFRESH_S = 2.0
OWNED = columns_of(
    Col("bot", "Owner"),
    Col("instrument"),
    Col("leg"),
    Col("size"),
    Col("free", "Free to transfer", ColKind.SIZE),
    Col("cost", kind=ColKind.MONEY),
    Col("value"),
    Col("unrealised", kind=ColKind.GAIN),
    Col("account"),
)


def show(mode: Mode) -> None:
    """Draw what each owner holds, and the form that transfers some of it."""
    _held(mode)
    if ask(held_by_owner, engine_id(), mode=mode):
        title = "Transfer to another owner"
        with panels.panel(title, "fold_transfer", icon=":material/swap_horiz:") as opened:
            if opened:
                _transfer(mode)
    commands.show_progress(SLOT)


@st.fragment(run_every=REFRESH_S)
@guard.part("Holdings by owner")
def _held(mode: Mode) -> None:
    found = ask(held_by_owner, engine_id(), mode=mode)
    rows = [_shown(row) for row in found]
    if not rows:
        return
    st.subheader("Held by owner")
    table(rows, OWNED, key="held_by_owner")
    say_cut(rows)
    panels.note(f"{mode.upper()} · by the fills and transfers of each owner. {ROUNDED}")


def _shown(row: Row) -> Row:
    """Return a holding with its leg in words; nothing was paid for what is held long or short."""
    leg = names.leg(row["leg"], row["instrument"])
    if not row["signed"]:
        return {**row, "leg": leg}
    size, side = row["size"], LONG if row["size"] > 0 else SHORT
    return {**row, "leg": f"{side} {leg}", "size": abs(size), "cost": None, "value": None}


# -- The transfer ----------------------------------------------------------------------------------


@guard.part("The transfer")
def _transfer(mode: Mode) -> None:
    """Draw the form of a transfer; it is sent after a dialog."""
    if not commands.engine_runs():
        commands.note_no_engine()
        return
    rows = ask(held_by_owner, engine_id(), mode=mode)
    given = {_words(row): row for row in rows if row["free"]}
    if not given:
        panels.note("Nothing can be transferred: no owner holds settled tokens that are free.")
        return
    row = given[st.selectbox("From", list(given), key="transfer_from")]
    bots = [bot["name"] for bot in ask(views.bots, engine_id()) if bot["account"] == row["account"]]
    takers = [name for name in (MANUAL, *bots) if name != row["bot"]]
    if not takers:
        panels.note(f"{row['account']} has no other owner: create a bot there first.")
        return
    instrument = ask(listed, engine_id(), row["instrument"])
    unit = literal(instrument.product.price_unit)
    with st.form("transfer", border=False):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            taker = st.selectbox("To", takers, width=220)
            size = st.text_input("Size", value=f"{row['free']:f}", width=170)
            price = st.text_input(f"Price, {unit}", width=170)
        if not st.form_submit_button("Show what will happen"):
            return
    try:
        asked = TransferHolding(
            account=AccountId(row["account"]),
            instrument=instrument.id,
            leg=Leg(row["leg"]),
            size=size_of(instrument, size),
            price=price_of(instrument, price),
            from_owner=BotId(row["bot"]),
            to_owner=BotId(taker),
        )
    except BadInput as error:
        st.error(f"{literal(error)}. Nothing was sent.")
        return
    short = bool(row["signed"]) and row["size"] < 0
    commands.ask_first(question(asked, instrument, mode, short=short))


def _words(row: Row) -> str:
    free = f"{names.size(row['free'])} {_shown(row)['leg']}"
    return f"{row['bot']}: {free} of {names.market(row['instrument'])} at {row['account']}"


def question(
    asked: TransferHolding, instrument: Instrument, mode: Mode, *, short: bool = False
) -> commands.Confirmation:
    """Say what exactly a transfer does to both owners, and in which mode."""
    given, taken = ("a purchase", "a sale") if short else ("a sale", "a purchase")
    price = names.price(instrument.price_decimal(asked.price), in_cents=instrument.product.in_cents)
    worth = micro(instrument.proceeds_micro(asked.price, asked.size), instrument.currency)
    words = (
        f"**{literal(instrument.size_text(asked.size))} "
        f"{literal(names.leg(asked.leg, instrument.id))}{' short' * short}** of "
        f"**{literal(names.market(instrument.id))}** ({literal(instrument.id)}) go from "
        f"**{literal(asked.from_owner)}** to **{literal(asked.to_owner)}** at {literal(price)}, "
        f"{literal(worth)} in all, at account **{literal(asked.account)}**. "
        f"{commands.MONEY[mode]}.\n\nNo order is placed and the account's money stays as it is: "
        f"{literal(asked.from_owner)} counts {given} at this price, "
        f"{literal(asked.to_owner)} {taken}."
    )
    return commands.Confirmation(
        command=asked,
        slot=SLOT,
        title=f"Transfer, {mode.upper()}",
        words=words,
        label="Transfer it",
        phrase=asked.account if mode is Mode.LIVE else "",
    )


# -- Pairs -----------------------------------------------------------------------------------------


def pairs(rows: Sequence[Row]) -> list[tuple[Row, Decimal, Decimal]]:
    """Return whose pairs of YES and NO are free to be merged: a row of it, how many, their cost.

    The most first. What working sells may use is not free.
    """
    legs: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in rows:
        if row["free"]:
            key = row["account"], row["instrument"], row["bot"]
            legs.setdefault(key, {})[row["leg"]] = row
    found = []
    for both in legs.values():
        if len(both) == 2:
            number = min(row["free"] for row in both.values())
            cost = sum((row["cost"] * number / row["size"] for row in both.values()), Decimal(0))
            found.append((next(iter(both.values())), number, cost))
    return sorted(found, key=lambda one: -one[1])
