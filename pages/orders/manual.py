"""One order by hand: a small form, prices as the venue writes them, what exactly will happen."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import streamlit as st

from engine.domain.bots import AT_REST
from engine.domain.commands import PlaceManual
from engine.domain.instruments import AccountId, Instrument, Kind, Leg, Mode, Side
from engine.domain.intents import Urgency
from engine.domain.telemetry import BookTop
from engine.errors import BadInput
from pages.kit import commands, guard, names, panels
from pages.kit.data import ask, engine_id, health_of
from pages.kit.home import now_ns
from pages.kit.panels import fold
from pages.kit.words import micro
from storage import views
from storage.live import books, listed, watched_by
from storage.views.frame import AccountSeen, open_markets, snapshot

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
def show(mode: Mode) -> None:
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
    """Return the open markets of the account's venue; all where none bears its name."""
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
