"""The drawer of one order: its life, why it was placed, its fills, and cancelling it by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from engine.domain.commands import CancelOrderByHand
from engine.domain.decisions import Planned
from engine.domain.instruments import AccountId, Mode
from engine.domain.orders import OrderId, OrderState
from engine.errors import PitbossError
from pages.kit import commands, guard, names, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config
from pages.kit.tables import table
from pages.kit.words import count, moment, money, utc
from pages.kit.zone import zone
from pages.shared import markouts, moments, order_history, order_why, refusals, why
from storage import views
from storage.decisions import plans_at
from storage.views import Row
from storage.views.order_history import OrderHistory, life_of

FILLS = {
    "at_ns": ("Filled", "time"),
    "state": ("State", "text"),
    "price": ("Price", "price"),
    "size": ("Size", "size"),
    "value": ("Value", "money"),
    "fee": ("Fee", "fee"),
    "liquidity": ("Liquidity", "text"),
    **markouts.COLUMNS,
    "source": ("Size is", "text"),
    "id": ("Fill", "id"),
}
WHY, LIFE, FACTS = "Why", "Life", "Facts"


@guard.part("The order")
def show(account: str, number: int, mode: Mode, *, alive: bool) -> None:
    """Draw one order, whatever has become of it since its row was selected."""
    row = ask(views.order, engine_id(), account, number)
    if row is None:
        panels.empty(
            f"There is no order {number} at {account}.",
            "The journal's projection does not hold it; the journal itself can be searched.",
        )
        panels.links(panels.link("Search the journal", "journal", text=f'"order":{number},'))
        return
    st.subheader(title(row))
    said = refusals.in_words(row["reason"], row)
    panels.note(
        f"{row['state'].upper()}{': ' + said if said else ''} · bot "
        f"{row['bot']} · {account} · {mode.upper()} · from the journal and the decision log"
    )
    if refusals.venue_text(row["reason"]):
        st.html(refusals.folded(row["reason"]))
    slot = f"cancel:{account}:{number}"
    if not OrderState(row["state"]).ended:
        _cancel(account, number, slot, alive=alive)
    # Also when the order has ended: that is what the answer tells of.
    commands.show_life(slot)
    if alive:
        moments.offer(row["created_ns"], account, slot)
    moments.show_life(slot)
    fills = ask(views.fills, engine_id(), mode=mode, account=account, order_id=number)
    what = st.segmented_control(
        "About the order", (WHY, LIFE, FACTS), default=WHY, key="order_about", required=True
    )
    try:
        if what == WHY:
            order_why.show(row)
        elif what == LIFE:
            _life(row, fills)
        else:
            _facts(row)
    except PitbossError as error:
        st.error(f"{error}. Nothing is lost: the order's row above is whole.")
    _fills(fills)


def _fills(fills: Sequence[Row]) -> None:
    if fills:
        table(markouts.beside(fills), FILLS, key="order_fills")
        panels.note(markouts.MEANING)
    else:
        panels.note("No fill yet: a fill appears here as the venue reports it.")


def title(row: Row) -> str:
    """Return an order in one line."""
    price = names.price_raw(row["price_raw"], row)
    return (
        f"Order {row['id']}: {why.way(row['side'], row['leg'])} "
        f"{names.size_raw(row['size_raw'], row)} at {price}, {names.market(row['instrument'])}"
    )


# -- life ------------------------------------------------------------------------------------------


@st.cache_data(max_entries=200, show_spinner=False)
def _life_cached(
    path: Path, *, account: str, number: int, created_ns: int, last_seq: int, fills: tuple[str, ...]
) -> OrderHistory:
    """Read a life anew only when the projection saw another record of it."""
    return life_of(
        path,
        account=account,
        order=number,
        created_ns=created_ns,
        last_seq=last_seq,
        fills=fills,
    )


def _life(row: Row, fills: Sequence[Row]) -> None:
    found = _life_cached(
        config().journal_path,
        account=row["account"],
        number=row["id"],
        created_ns=row["created_ns"],
        last_seq=max([row["seq"], *(fill["seq"] for fill in fills)]),
        fills=tuple(fill["id"] for fill in fills),
    )

    def plans(at_ns: int) -> Sequence[Planned]:
        return plans_at(config().decisions_path, instrument=row["instrument"], at_ns=at_ns)

    st.html(order_history.table(found.moments, row, plans))
    panels.note(
        f"{count(len(found.moments), 'record')} · times in {zone()}, exact UTC when the pointer "
        "rests on one"
    )
    if not found.whole:
        panels.note("Its life is long: only the first 400,000 records of it were searched.")


def _facts(row: Row) -> None:
    ends = moment(row["expires_ns"], zone()) if row["expires_ns"] else "never by itself"
    pairs: dict[str, Any] = {
        "Kind": f"{row['type'].upper()}{', post-only' if row['post_only'] else ''}",
        "Market": row["instrument"],
        "Identity at the venue": row["identity"] or "not named yet",
        "Placed": f"{moment(row['created_ns'], zone())} = {utc(row['created_ns'])}",
        "Last changed": f"{moment(row['updated_ns'], zone())} = {utc(row['updated_ns'])}",
        "Expires": ends,
        "Filled": f"{names.size_raw(row['filled_raw'], row)}, of it void "
        f"{names.size_raw(row['voided_raw'], row)}",
        "Fees": money(row["fee"], row["currency"] or ""),
    }
    panels.facts(pairs)
    panels.links(panels.link("Its records in the journal", "journal", text=f'"order":{row["id"]},'))


def _cancel(account: str, number: int, slot: str, *, alive: bool) -> None:
    if not alive:
        commands.nobody_takes_it()
        return
    with st.popover("Cancel this order…"):
        st.markdown(
            f"Asks the engine to cancel order {number} at {account}, this one only. It may still "
            "fill until the venue has answered. Its bot may place another one."
        )
        if st.button("Cancel the order", type="primary", key=slot):
            command = CancelOrderByHand(account=AccountId(account), order=OrderId(number))
            commands.send(command, slot)
