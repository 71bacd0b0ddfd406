"""Working orders, all orders and fills, each with its why and its life.

Every number leads to the records behind it.

Changes: places or cancels one by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import streamlit as st

from engine.domain.bots import AT_REST
from engine.domain.commands import PlaceManual
from engine.domain.instruments import AccountId, Instrument, Kind, Leg, Mode, Side
from engine.domain.intents import Urgency
from engine.domain.telemetry import BookTop
from engine.errors import BadInput
from pages import Page
from pages.frame.bar import mode_shown, modes_of
from pages.kit import commands, guard, links, names, panels
from pages.kit.data import ask, engine_id, health_of
from pages.kit.home import now_ns
from pages.kit.panels import fold
from pages.kit.tables import choice, choose, chosen_in, unchoose
from pages.kit.words import count, micro, money
from pages.shared import markouts, order, refusals
from storage import views
from storage.live import books, listed, watched_by
from storage.views import ROWS_MAX
from storage.views.drill_down import FillSums, fill_sums, fills_behind, orders_behind
from storage.views.frame import AccountSeen, engine_seen, open_markets, snapshot

PAGE = Page("Orders", ":material/receipt_long:", "Trade", 2)

REFRESH_S = 2.0
LABELS = {links.WORKING: "Working", links.ALL: "All orders", links.FILLS: "Fills"}
NOTHING_YET = {
    links.WORKING: (
        "No order is working.",
        "A running bot places orders; why it does or does not stands under Bots.",
    ),
    links.ALL: ("No order has ever been placed in this mode.", "Start a bot under Bots."),
    links.FILLS: (
        "Nothing has been filled in this mode.",
        "Fills appear as the venue reports them.",
    ),
}


def rows_of(what: str, mode: Mode, only: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what was asked for, newest first."""
    if what == links.FILLS:
        return ask(fills_behind, engine_id(), mode=mode, **only)
    of_orders = {name: value for name, value in only.items() if name != "liquidity"}
    return ask(orders_behind, engine_id(), mode=mode, open_only=what == links.WORKING, **of_orders)


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of orders")
def show_rows(mode: Mode, what: str, only: Mapping[str, Any], wanted: str) -> None:
    """Draw the rows as they stand, anew every few seconds, and the selected order."""
    seen = ask(engine_seen)
    alive = health_of(seen, now_ns()).alive
    if not alive:
        st.warning(
            "NO ENGINE IS RUNNING: states are as of when it stopped.", icon=":material/power_off:"
        )
    rows = rows_of(what, mode, only)
    shown = fitting(rows, wanted)
    say_what(mode, what, only, rows, shown)
    key = f"orders_{what}"
    number = "order_id" if what == links.FILLS else "id"
    ids = [(row["account"], row[number]) for row in shown]
    if what == links.FILLS:
        ids = [(*pair, row["id"]) for pair, row in zip(ids, shown, strict=True)]
    drawer = st.container()
    if shown and what == links.FILLS:
        choice(markouts.beside(shown), FILLS, key=key, ids=ids)
        panels.note(markouts.MEANING)
    elif shown and what == links.WORKING:
        # A book an engine left behind is of no use: what it told last is not the touch of now.
        keys = sorted({(row["account"], row["instrument"]) for row in shown})
        tops = ask(books, engine_id(), tuple(keys)) if alive else {}
        choice(with_touch(shown, tops), WORKING, key=key, ids=ids)
        panels.note(BEHIND)
    elif shown:
        choice(shown, ORDERS, key=key, ids=ids)
    chosen = chosen_in(key)
    if isinstance(chosen, tuple):
        with drawer, st.container(key="drawer"):
            if st.button("Close", key=f"close_{key}", icon=":material/close:"):
                close(what)
            order.show(chosen[0], chosen[1], mode, alive=alive)


def say_what(
    mode: Mode,
    what: str,
    only: Mapping[str, Any],
    rows: list[dict[str, Any]],
    shown: list[dict[str, Any]],
) -> None:
    """Say how many rows there are, what they sum to, and where the older ones are."""
    if not rows and links.narrowed(only):
        panels.empty("Nothing fits these conditions.", "Lift one of them above to see more.")
        return
    if not rows:
        panels.empty(*NOTHING_YET[what])
        return
    latest = f", the latest {ROWS_MAX}" if len(rows) == ROWS_MAX else ""
    panels.note(f"{mode.upper()} · {count(len(shown), 'row')} of {len(rows):,}{latest}")
    if len(rows) == ROWS_MAX:
        last = rows[-1]["at_ns" if what == links.FILLS else "created_ns"]
        older = links.orders(what, mode, **{**only, "until_ns": last})
        panels.links(panels.anchor("Older ones", older))
    if not shown:
        panels.empty("Nothing fits the filter.", "Clear the filter to see all rows.")
    if what == links.FILLS:
        for sums in ask(fill_sums, engine_id(), mode=mode, **only):
            panels.note(sentence(sums))


def follow_address() -> None:
    """Do what the address asks, once per visit: what to show, and the order to open."""
    address = st.query_params.to_dict()
    # Streamlit forgets a widget whose page was left: who comes back comes by the address again.
    here = "orders_what" in st.session_state
    if here and st.session_state.get("orders_address") == address:
        return
    moved = "orders_address" in st.session_state
    st.session_state["orders_address"] = address
    account, number = address.get("account"), address.get("order", "")
    asked = address.get("show", "")
    what = asked if asked in LABELS else links.ALL if number else links.WORKING
    st.session_state["orders_what"] = what
    st.session_state["orders_text"] = ""
    for one in LABELS if moved else ():
        unchoose(f"orders_{one}")
    if account and number.isdecimal():
        choose(f"orders_{what}", (account, int(number)))


def close(what: str) -> None:
    """Close the drawer; an address that named its order names the rows from now on."""
    unchoose(f"orders_{what}")
    if "order" in st.query_params:
        st.query_params.from_dict({"show": what})
        st.session_state["orders_address"] = st.query_params.to_dict()
    st.rerun()


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Orders", "From the journal, a few seconds old; refreshed every 2 s")
    mode = mode_shown(modes_of(ask(snapshot)))
    if mode is None:
        panels.empty(
            "There is no account, so there are no orders.",
            "Orders of backtests are not listed here: each keeps a journal of its own.",
        )
        panels.links(panels.link("Backtests", "runs"))
        return
    show_manual(mode)
    commands.show_question()
    follow_address()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        what = st.segmented_control(
            "Show", list(LABELS), format_func=LABELS.__getitem__, key="orders_what", required=True
        )
        wanted = st.text_input(
            "Filter",
            placeholder="bot, market, state, side, identity …, then Enter",
            key="orders_text",
        )
    only = links.asked()
    links.chips(what, mode, only)
    show_rows(mode, what, only, wanted.lower())


# -- Rows of orders and fills: their columns, and the filter by text --

ORDERS = {
    "id": ("Order", "count"),
    "state": ("State", "text"),
    "way": ("Side", "text"),
    "price": ("Price", "price"),
    "size": ("Size", "size"),
    "filled": ("Filled", "size"),
    "instrument": ("Market", "market"),
    "bot": ("Bot", "text"),
    "created_ns": ("Placed", "time"),
    "updated_ns": ("Changed", "time"),
    "fee": ("Fees", "fee"),
    "why": ("Reason", "text"),
    "account": ("Account", "text"),
}
_ENDED = frozenset({"fee", "why"})
_FIRST = ("id", "state", "way", "price")
WORKING = {
    **{name: ORDERS[name] for name in _FIRST},
    "away": ("Behind touch", "price"),
    **{name: ORDERS[name] for name in ORDERS if name not in _ENDED.union(_FIRST)},
}
"""Of what works: its fees stand at its fills, and it has no reason to have ended yet."""
BEHIND = (
    "Behind touch: how far the price is behind the best of its side of the book; 0 is at the "
    "touch, below 0 in front of it, a dash where no trusted book is shown."
)
FILLS = {
    "at_ns": ("Filled", "time"),
    "way": ("Side", "text"),
    "price": ("Price", "price"),
    "size": ("Size", "size"),
    "value": ("Value", "money"),
    "state": ("State", "text"),
    "instrument": ("Market", "market"),
    "bot": ("Bot", "text"),
    "liquidity": ("Liquidity", "text"),
    "fee": ("Fee", "fee"),
    **markouts.COLUMNS,
    "order_id": ("Order", "count"),
}


def fitting(rows: Sequence[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    """Return the rows in which a text stands, each with its side as a word."""
    return [
        {
            **row,
            "way": f"{row['side'].upper()} {row['leg'].upper()}",
            "why": refusals.in_words(row.get("reason") or "", row),
        }
        for row in rows
        if wanted in " ".join(str(value) for value in row.values()).lower()
    ]


def with_touch(
    rows: Sequence[dict[str, Any]], books: Mapping[tuple[str, str], BookTop]
) -> list[dict[str, Any]]:
    """Return working orders, each with how far it is behind the touch of its book, if known."""
    return [
        {**row, "away": order.away(books.get((row["account"], row["instrument"])), row)}
        for row in rows
    ]


def sentence(sums: FillSums) -> str:
    flow = sums.sold - sums.bought - sums.fees
    said = [
        count(sums.count, "fill"),
        f"bought {money(sums.bought, sums.currency)}",
        f"sold {money(sums.sold, sums.currency)}",
        f"fees {money(sums.fees, sums.currency)}",
        f"so cash {money(flow, sums.currency, signed=True)}, resolutions apart",
    ]
    if sums.failed:
        said.append(f"{sums.failed:,} failed and void")
    if sums.unvalued:
        said.append(f"{sums.unvalued:,} of no known value, in no sum")
    return " · ".join(said)


# -- One order by hand: a small form, prices as the venue writes them, what exactly will happen ----

SLOT = "by_hand"
MINUTE_NS = 60_000_000_000
URGENCIES = {
    Urgency.REST: "Rest (post-only)",
    Urgency.CROSS: "Take what is there",
    Urgency.NOW: "All at once or nothing",
}
THEN = {
    Urgency.REST: "It rests in the book and never takes (post-only GTC): where it would, the venue "
    "rejects it. It works until it is filled or cancelled, or the engine stops.",
    Urgency.CROSS: "It takes at once what is there at this price or better; the rest is dropped "
    "(FAK).",
    Urgency.NOW: "It takes the whole size at once at this price or better, or nothing (FOK).",
}


@guard.part("The manual order")
def show_manual(mode: Mode) -> None:
    """Draw the form, and below it the life of the last order that was asked for."""
    with fold("Manual order", "fold_by_hand", icon=":material/add:") as opened:
        if opened:
            _form(mode)
    commands.show_life(SLOT)


@st.fragment
@guard.part("The form of an order")
def _form(mode: Mode) -> None:
    seen = ask(snapshot)
    if not health_of(seen.engine, now_ns()).alive:
        commands.nobody_takes_it()
        return
    accounts = {one.account: one for one in seen.accounts if one.mode is mode}
    left, right = st.columns(2)
    account = accounts[left.selectbox("Account", list(accounts), key="hand_account")]
    markets = _markets(account)
    if not markets:
        panels.empty(f"No market of {account.venue} is open here.", "Sync markets under Settings.")
        panels.links(panels.link("Settings", "settings"))
        return
    market = right.selectbox("Market", markets, format_func=names.market, key="hand_market")
    over = _over(account.account, market, markets)
    instrument = ask(listed, engine_id(), market)
    key = (account.account, market)
    panels.note(_told(instrument, ask(books, engine_id(), (key,)).get(key)))
    _warn(account.account, market)
    asked = _fields(instrument, account.account)
    if over:
        told = "Nothing was sent: look" if asked is not None else "Look"
        st.error(f"{over} has closed, {names.market(market)} is chosen in its place. {told} again.")
    elif asked is not None:
        commands.ask_first(question(asked, instrument, mode))


def _over(account: str, market: str, markets: list[str]) -> str:
    """Name the market that was chosen before, where it has closed while the form stood open.

    The list then chooses another one by itself: what was typed was typed for the one that is gone.
    """
    of, before = st.session_state.get("hand_seen", (account, market))
    st.session_state["hand_seen"] = (account, market)
    return "" if before in markets or of != account else names.market(before)


def _markets(account: AccountSeen) -> list[str]:
    everywhere = ask(open_markets, engine_id(), now_ns() // MINUTE_NS * MINUTE_NS)
    here = [name for name in everywhere if name.startswith(f"{account.venue}:")]
    return here or everywhere


def _warn(account: str, market: str) -> None:
    """Name the bots that trade the market at the account: the engine would refuse the order."""
    at_work = [
        bot["name"]
        for bot in ask(views.bots, engine_id())
        if bot["account"] == account
        and bot["state"].lower() not in AT_REST
        and market in [one.instrument for one in ask(watched_by, engine_id(), bot["name"])]
    ]
    if at_work:
        st.warning(
            f"{', '.join(at_work)} trades here: a manual order is refused until it is paused or "
            "stopped.",
            icon=":material/smart_toy:",
        )


def _told(instrument: Instrument, book: BookTop | None) -> str:
    """Say what the venue's grid is, and where the book stands if a bot watches it."""
    told = (
        f"{instrument.id} · prices in steps of {_price(instrument, instrument.tick)}, sizes in "
        f"steps of {instrument.size_decimal(instrument.lot).normalize():f}, at least "
        f"{instrument.size_decimal(instrument.smallest).normalize():f}"
    )
    if book is None:
        return told
    bid, ask_ = (
        _price(instrument, side[0][0]) if side else "none" for side in (book.bids, book.asks)
    )
    leg = " of YES" if instrument.kind is Kind.BINARY else ""
    return f"{told} · best bid {bid}, best ask {ask_}{leg}"


def _fields(instrument: Instrument, account: str) -> PlaceManual | None:
    """Draw what an order is made of; gives it when it is sent and fits, else None."""
    binary = instrument.kind is Kind.BINARY
    with st.form("by_hand", border=False):
        first, second, third, fourth = st.columns(4)
        side = first.segmented_control(
            "Side", list(Side), default=Side.BUY, format_func=str.upper, required=True
        )
        legs = [Leg.YES, Leg.NO] if binary else [Leg.BASE]
        leg = second.segmented_control(
            "Leg", legs, default=legs[0], format_func=str.upper, required=True
        )
        unit = "¢ of this leg, e.g. 61.5" if binary else instrument.currency
        price = third.text_input(f"Price, {unit}")
        size = fourth.text_input("Size")
        urgency = st.segmented_control(
            "Urgency", list(URGENCIES), default=Urgency.REST, format_func=URGENCIES.get,
            required=True,
        )  # fmt: skip
        if not st.form_submit_button("Show what will happen"):
            return None
    try:
        return PlaceManual(
            account=AccountId(account),
            instrument=instrument.id,
            leg=leg,
            side=side,
            price=price_of(instrument, price),
            size=size_of(instrument, size),
            urgency=urgency,
        )
    except BadInput as error:
        st.error(f"{error}. Nothing was sent.")
        return None


def price_of(instrument: Instrument, text: str) -> int:
    """Convert a typed price, cents where the thing is a binary. Raises BadInput."""
    binary, typed = instrument.kind is Kind.BINARY, text.strip().removesuffix("¢").strip()
    try:
        value = Decimal(typed)
    except InvalidOperation:
        raise BadInput(f"{text!r} is no price") from None
    price = instrument.price_of(f"{value.scaleb(-2):f}" if binary and value.is_finite() else typed)
    if price <= 0 or (binary and price >= instrument.one):
        between = "between 0¢ and 100¢" if binary else "above 0"
        raise BadInput(f"{text!r}: a price is {between}")
    return price


def size_of(instrument: Instrument, text: str) -> int:
    """Convert a typed size. Raises BadInput."""
    size = instrument.size_of(text.strip())
    if size <= 0:
        raise BadInput(f"{text!r}: a size is above 0")
    return size


def _price(instrument: Instrument, price: int) -> str:
    return names.price(instrument.price_decimal(price), in_cents=instrument.kind is Kind.BINARY)


def question(asked: PlaceManual, instrument: Instrument, mode: Mode) -> commands.Confirmation:
    """Say what exactly an order by hand will do, and in which mode."""
    size = f"{instrument.size_decimal(asked.size).normalize():f}"
    order = f"{asked.side.upper()} {size} {asked.leg.upper()} at {_price(instrument, asked.price)}"
    exact = f"{instrument.price_decimal(asked.price).normalize():f} {instrument.currency}"
    takes = asked.urgency is not Urgency.REST
    fee = instrument.taker_fee_micro(asked.price, asked.size) if takes else 0
    if asked.side is Side.BUY:
        value = instrument.cost_micro(asked.price, asked.size) + fee
        amount = f"It may cost up to {micro(value, instrument.currency)}"
    else:
        value = instrument.proceeds_micro(asked.price, asked.size) - fee
        amount = f"Filled whole it brings at least {micro(value, instrument.currency)}"
    words = (
        f"**{order}** ({exact}) in **{names.market(instrument.id)}** (`{instrument.id}`), one "
        f"order at account **{asked.account}**. "
        f"{commands.MONEY[mode]}.\n\n{THEN[asked.urgency]}\n\n{amount}"
        f"{', the fee for taking included' if takes else ''}. Risk's rules hold as for a bot: "
        "they may make it smaller or deny it. No other order is touched, and nothing places it "
        "a second time."
    )
    return commands.Confirmation(
        command=asked,
        slot=SLOT,
        title=f"Manual order, {mode.upper()}",
        words=words,
        label="Place the order",
        phrase=asked.account if mode is Mode.LIVE else "",
    )
