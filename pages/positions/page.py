"""Positions: what is held per market, what it cost, what it is worth, and the fills behind it."""

from __future__ import annotations

import streamlit as st

from engine.domain.instruments import Mode
from pages.frame.bar import modes_of
from pages.frame.health import health_of
from pages.frame.status_bar import mode_shown
from pages.kit import guard, panels, tiles
from pages.kit.clock import now_ns
from pages.kit.data import ask, engine_id
from pages.kit.names import market
from pages.kit.tables import choice
from pages.kit.tiles import Tile
from pages.kit.words import NOTHING, age, count, money
from pages.positions import settlement
from pages.shared import drill_down, markouts
from storage.views import Row
from storage.views import money as money_views
from storage.views.drill_down import fills_behind
from storage.views.frame import snapshot

POSITIONS = {
    "instrument": ("Market", "market"),
    "pnl": ("PnL", "gain"),
    "unrealised": ("Unrealised", "gain"),
    "yes": ("YES", "size"),
    "no": ("NO", "size"),
    "pending": ("Of it pending", "size"),
    "cost": ("Cost", "money"),
    "value": ("Value", "money"),
    "mark": ("Mark", "price"),
    "held_for": ("Held for", "text"),
    "bot": ("Bot", "text"),
    "realised": ("Realised", "gain"),
    "fees": ("Fees", "fee"),
    "account": ("Account", "text"),
}
FILLS = {
    "at_ns": ("Filled", "time"),
    "way": ("Side", "text"),
    "price": ("Price", "price"),
    "size": ("Size", "size"),
    "value": ("Value", "money"),
    "state": ("State", "text"),
    "liquidity": ("Liquidity", "text"),
    "fee": ("Fee", "fee"),
    "order_id": ("Order", "count"),
    **markouts.COLUMNS,
}
REFRESH_S = 2.0


def sizes(row: Row) -> Row:
    """Return what is held of each leg and how much of both is pending, in shares."""
    return {
        name: None if row[first] is None else row[first] + row[second]
        for name, first, second in (
            ("yes", "yes_settled", "yes_pending"),
            ("no", "no_settled", "no_pending"),
            ("pending", "yes_pending", "no_pending"),
        )
    }


def held(mode: Mode, now: int) -> list[Row]:
    """Return what is held in one mode, each with for how long."""
    return [
        {**row, **sizes(row), "held_for": age(max(0, now - row["opened_ns"]))}
        for row in ask(money_views.held, engine_id(), mode=mode)
    ]


def figures(rows: list[Row], mode: Mode) -> None:
    """Draw the sums over all positions, currency by currency."""
    fills = drill_down.fills(mode)
    for currency in sorted({row["currency"] for row in rows}):
        mine = [row for row in rows if row["currency"] == currency]
        unmarked = sum(row["mark"] is None for row in mine)
        unrealised = money(sum(row["unrealised"] or 0 for row in mine), currency, signed=True)
        tiles.show(
            [
                Tile("Positions", f"{len(mine):,}", fills),
                Tile("Cost", money(sum(row["cost"] for row in mine), currency), fills),
                Tile("Value at mid", money(sum(row["value"] for row in mine), currency), fills),
                Tile("Unrealised", unrealised, fills),
            ]
        )
        if unmarked:
            panels.note(
                f"{count(unmarked, 'position')} without a two-sided book yet: no mark, worth "
                "nothing in these sums."
            )


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of positions")
def show_positions(mode: Mode) -> None:
    """Draw positions as they stand, anew every few seconds, and the selected one's fills."""
    now = now_ns()
    alive = health_of(ask(snapshot).engine, now).alive
    if not alive:
        st.warning(
            "NO ENGINE IS RUNNING: positions are as of when it stopped.",
            icon=":material/power_off:",
        )
    rows = held(mode, now)
    if not rows:
        panels.empty(
            f"Nothing is held in {mode.upper()}.",
            "A position appears with the first fill of a bot. Bots are started under Bots.",
        )
        panels.links(
            panels.link("Bots", "bots"), panels.anchor("All fills", drill_down.fills(mode))
        )
    else:
        show_held(rows, mode, now)
    # Below: what is held is looked at each time, how it settles now and then.
    show_settlement(mode, rows, now)


@guard.part("What is held")
def show_held(rows: list[Row], mode: Mode, now: int) -> None:
    """Draw the sums, the table, and the fills behind the selected position."""
    figures(rows, mode)
    told = max(0, now - max(row["updated_ns"] for row in rows))
    panels.note(
        f"{mode.upper()} · told by the engine's ledger {age(told)} ago · pending = matched and not "
        "yet settled: it may still vanish · select a row for its fills"
    )
    ids = [(row["account"], row["instrument"]) for row in rows]
    chosen = choice(rows, POSITIONS, key="positions", ids=ids)
    row = next((row for row in rows if (row["account"], row["instrument"]) == chosen), None)
    if row is not None:
        show_fills(row, mode)


@guard.part("Settlement")
def show_settlement(mode: Mode, rows: list[Row], now: int) -> None:
    """Draw how far money is on its way to cash, account by account, and what could be merged."""
    for account in ask(snapshot).accounts:
        if account.mode == mode:
            settlement.show(account, now)
    settlement.show_merges(rows)


@guard.part("The list of fills")
def show_fills(row: Row, mode: Mode) -> None:
    """Draw the fills behind one position, with what is settled of them."""
    st.subheader(f"Fills of {market(row['instrument'])}")
    here = {"account": row["account"], "instrument": row["instrument"]}
    fills = [
        {**fill, "way": f"{fill['side']} {fill['leg']}".upper()}
        for fill in ask(fills_behind, engine_id(), mode=mode, **here)
    ]
    states: dict[str, int] = {}
    for fill in fills:
        states[fill["state"]] = states.get(fill["state"], 0) + 1
    ladder = ", ".join(f"{number:,} {state}" for state, number in sorted(states.items()))
    panels.note(f"Settlement: {ladder or NOTHING}")
    panels.links(
        panels.anchor("Its orders and why", drill_down.orders(drill_down.ALL, mode, **here)),
        panels.anchor("These fills with their sums", drill_down.fills(mode, **here)),
        panels.link(f"Bot {row['bot']}", "bots", bot=row["bot"]) if row["bot"] else "no bot",
    )
    if fills:
        ids = [(fill["order_id"], fill["id"]) for fill in fills]
        chosen = choice(markouts.beside(fills), FILLS, key="position_fills", ids=ids)
        panels.note(markouts.MEANING)
        if chosen in ids:
            number = ids[ids.index(chosen)][0]
            why = panels.link(
                f"Why order {number} was placed", "orders", account=row["account"], order=number
            )
            panels.links(why)
        else:
            panels.note("Select a fill for the why of its order.")


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Positions", "From the engine's ledger, at most 1 s old, anew every 2 s")
    mode = mode_shown(modes_of(ask(snapshot)))
    if mode is None:
        panels.empty(
            "There is no account, so nothing can be held.",
            "An account is added under Settings; `make run` brings a demo account.",
        )
        panels.links(panels.link("Settings", "settings"))
        return
    show_positions(mode)


main()
