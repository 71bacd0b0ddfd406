"""Closed round trips of pairs and perpetuals: each way of an owner from flat back to flat."""

from __future__ import annotations

import streamlit as st

from engine.domain.instruments import Mode
from pages.kit import guard, links, panels
from pages.kit.data import ask, engine_id
from pages.kit.markdown import literal
from pages.kit.names import market
from pages.kit.panels import Tile
from pages.kit.tables import (
    Col,
    ColKind,
    Columns,
    choice,
    columns_of,
    page_behind,
    say_cut,
    table,
    turn,
)
from pages.kit.words import age, count, money, percent
from pages.shared import markouts, why
from storage.views import Row
from storage.views.bets import BetSums
from storage.views.drill_down import fills_behind
from storage.views.round_trips import KEY as BY
from storage.views.round_trips import closed_round_trips, round_trip_sums

KEY = "round_trips"
COLUMNS = columns_of(
    Col("closed_ns"),
    Col("instrument"),
    Col("side_words", "Side"),
    Col("result", "Ended"),
    Col("net", "Net", ColKind.GAIN),
    Col("entry", kind=ColKind.PRICE),
    Col("exit", kind=ColKind.PRICE),
    Col("size"),
    Col("held", "Held for"),
    Col("funding", kind=ColKind.GAIN),
    Col("fee", "Fees"),
    Col("fills"),
    Col("bot"),
    Col("account"),
)
FILLS: Columns = {
    name: one
    for name, one in markouts.fill_columns("instrument", "bot", "source", "id").items()
    if name not in markouts.COLUMNS
}
MEANING = (
    "A round trip is one way of one bot, or of you by hand, from flat through a long or a short "
    "back to flat; a trade through flat ends one and begins the next. Less than a lot of a pair "
    "counts as flat: what is left goes into the next one at what it cost. Ended: closed by a trade "
    "or a transfer, or liquidated by the venue. Net = exit against entry, less fees, with "
    "funding. Entry and exit are averages over everything that opened and closed it."
)


def show(mode: Mode, whose: str) -> bool:
    """Draw closed round trips and the fills of the selected one; False = there is none yet."""
    sums = ask(round_trip_sums, engine_id(), mode=mode, whose=whose)
    if not sums:
        return False
    st.markdown("**Round trips** of pairs and perpetuals", help=MEANING)
    for one in sums:
        show_sums(one)
    behind = page_behind(KEY, (mode, whose))
    found = ask(closed_round_trips, engine_id(), mode=mode, whose=whose, before=behind)
    if not found:
        panels.note("None is closed yet: one ends when its owner is flat again.")
        return True
    panels.note(f"{mode.upper()} · from the journal · newest first · select a row for its fills")
    rows = [
        {**row, "held": age(row["held_ns"]), "side_words": row["side"].upper()} for row in found
    ]
    ids = [tuple(row[name] for name in BY) for row in rows]
    chosen = choice(rows, COLUMNS, key=KEY, ids=ids)
    turn(KEY, rows, BY)
    trip = next((row for row, key in zip(rows, ids, strict=True) if key == chosen), None)
    if trip is not None:
        show_trip(trip, mode)
    return True


def show_sums(sums: BetSums) -> None:
    """Draw what is closed and open in one currency as tiles."""
    panels.tiles(
        [
            Tile("Closed", f"{sums.closed:,}"),
            Tile("Profitable", percent(sums.gained, sums.closed)),
            Tile("Net", money(sums.net, sums.currency, signed=True)),
            Tile("Fees", money(sums.fees, sums.currency)),
            Tile(
                "Still open",
                f"{sums.open:,}",
                hint=f"Their cash flow so far: {money(sums.flow, sums.currency, signed=True)}, not "
                "counting what they hold",
            ),
        ]
    )


@guard.part("The fills of the round trip")
def show_trip(trip: Row, mode: Mode) -> None:
    """Draw the fills within a round trip: one that ended or began it may be of two."""
    place = {name: trip[name] for name in ("account", "instrument", "bot")}
    span = {"since_ns": trip["opened_ns"], "until_ns": trip["closed_ns"] + 1}
    st.markdown(
        f"**{count(trip['fills'], 'fill')} of the {literal(trip['side'])} in "
        f"{literal(market(trip['instrument']))}**"
    )
    fills = [
        {**fill, "way": why.way(fill["side"], fill["leg"])}
        for fill in ask(fills_behind, engine_id(), mode=mode, **span, **place)
    ]
    table(fills, FILLS, key="trip_fills")
    say_cut(fills)
    panels.links(panels.anchor("All fills there", links.fills(mode, **place)))
