"""One order: its life in facts, the fills behind it, and cancelling it by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.domain.commands import CancelOrderByHand
from engine.domain.instruments import AccountId, Mode
from engine.domain.orders import OrderId, OrderState
from pages.parts import commanding, panels
from pages.parts.data import ask, engine_id
from pages.parts.tables import table
from pages.parts.words import moment, money, utc
from pages.parts.zone import zone
from storage import views

FILLS = {
    "at_ns": ("Filled", "time"),
    "state": ("State", "text"),
    "price": ("Price", "price"),
    "size": ("Size", "size"),
    "value": ("Value", "money"),
    "fee": ("Fee", "money"),
    "liquidity": ("Liquidity", "text"),
    "source": ("Size is", "text"),
    "id": ("Fill", "id"),
}


def show(account: str, number: int, mode: Mode, *, alive: bool) -> None:
    """Draw one order, whatever has become of it since its row was selected."""
    st.subheader(f"Order {number} at {account}")
    rows = ask(views.orders, engine_id(), mode=mode)
    order = next((row for row in rows if (row["account"], row["id"]) == (account, number)), None)
    if order is None:
        panels.note(f"It is older than the latest {views.ROWS_MAX} orders; its fills are below.")
    else:
        _facts(order)
    fills = ask(views.fills, engine_id(), mode=mode, account=account, order_id=number)
    if fills:
        table(fills, FILLS, key="order_fills")
    else:
        panels.note("No fill.")
    panels.links(panels.link("Its records in the journal", "journal", text=_named(number)))
    if order is not None and not OrderState(order["state"]).ended:
        _cancel(account, number, alive=alive)


def _named(number: int) -> str:
    return f'"order":{number},'


def _facts(order: Mapping[str, Any]) -> None:
    ends = moment(order["expires_ns"], zone()) if order["expires_ns"] else "never by itself"
    raw = "" if order["price"] is not None else " (increments: the catalog lacks the market)"
    panels.facts(
        {
            "State": " · ".join(part for part in (order["state"].upper(), order["reason"]) if part),
            "Wish": f"{order['side'].upper()} {order['leg'].upper()} "
            f"{_or_raw(order, 'size')} at {_or_raw(order, 'price')}{raw}",
            "Kind": f"{order['type'].upper()}{', post-only' if order['post_only'] else ''}",
            "Market": order["instrument"],
            "Identity at the venue": order["identity"] or "not named yet",
            "Placed": f"{moment(order['created_ns'], zone())} = {utc(order['created_ns'])}",
            "Last changed": f"{moment(order['updated_ns'], zone())} = {utc(order['updated_ns'])}",
            "Expires": ends,
            "Filled": f"{_or_raw(order, 'filled')}, of it void {_or_raw(order, 'voided')}",
            "Fees": money(order["fee"]),
            "Doubts": f"the venue did not know it {order['doubts']} times in a row",
        }
    )


def _or_raw(order: Mapping[str, Any], name: str) -> str:
    value = order[name]
    return f"{value:f}" if value is not None else f"{order[name + '_raw']:,}"


def _cancel(account: str, number: int, *, alive: bool) -> None:
    slot = f"cancel:{account}:{number}"
    if not alive:
        commanding.nobody_takes_it()
        return
    with st.popover("Cancel this order…"):
        st.markdown(
            f"Asks the engine to cancel order {number} at {account}, this one only. It may still "
            "fill until the venue has answered. Its bot may place another one."
        )
        if st.button("Cancel the order", type="primary", key=slot):
            command = CancelOrderByHand(account=AccountId(account), order=OrderId(number))
            commanding.send(command, slot)
    commanding.show_life(slot)
