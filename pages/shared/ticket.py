"""A ticket: one order by hand, or the close of a whole position, and what exactly will happen.

Prices as the venue writes them. Nothing is sent before a dialog has said what it costs, what of it
the book as reported last would fill, and what could be lost afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import streamlit as st

from engine.domain.bots import AT_REST
from engine.domain.commands import MANUAL, PlaceManual
from engine.domain.commands.trading import Flatten
from engine.domain.instruments import (
    UNASSIGNED,
    AccountId,
    BotId,
    Instrument,
    Mode,
    Side,
    is_bid,
)
from engine.domain.intents import Urgency
from engine.domain.money import MICRO
from engine.domain.products.backing import worst_after
from engine.domain.telemetry import BookTop
from engine.errors import BadInput
from pages.kit import commands, guard, names, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import this_minute
from pages.kit.markdown import literal
from pages.kit.panels import panel
from pages.kit.words import micro
from storage import views
from storage.live import SUBJECTS_MAX, books, listed, watched_by
from storage.views import Row
from storage.views import money as money_views
from storage.views.drill_down import orders_behind
from storage.views.frame import AccountSeen, open_markets, snapshot
from storage.views.money import held_by_owner, limit_use

SLOT = "by_hand"
FIELD_PX = 170
URGENCIES = {
    Urgency.REST: "Rest (post-only)",
    Urgency.CROSS: "Take what is there",
    Urgency.NOW: "All or nothing",
}
THEN = {
    Urgency.REST: "It rests in the book and never takes (post-only GTC): if it would take, the "
    "venue rejects it. It works until it is filled or cancelled, or the engine stops.",
    Urgency.CROSS: "It fills at once what is available at this price or better; the rest is "
    "dropped (FAK).",
    Urgency.NOW: "It fills the whole size at once at this price or better, or nothing (FOK).",
}
SLIP_CENTS = 2.0
"""The slippage cap a close begins with, in cents of a share."""
SLIP_TICKS = 100
"""The same of a pair, in ticks."""


@guard.part("The manual order")
def show(mode: Mode) -> None:
    """Draw the form for any account and market of a mode, and the life of the last order."""
    with panel("Manual order", "fold_by_hand", icon=":material/add:") as opened:
        if opened:
            _anywhere(mode)
    commands.show_progress(SLOT)


@st.fragment
@guard.part("The order form")
def _anywhere(mode: Mode) -> None:
    if not commands.engine_runs():
        commands.note_no_engine()
        return
    accounts = {one.account: one for one in ask(snapshot).accounts if one.mode is mode}
    left, right = st.columns(2)
    account = accounts[left.selectbox("Account", list(accounts), key="hand_account")]
    markets = _markets(account)
    if not markets:
        panels.empty(f"No market of {account.venue} is open here.", "Sync markets under Settings.")
        panels.links(panels.link("Settings", "settings"))
        return
    market = right.selectbox("Market", markets, format_func=names.market, key="hand_market")
    over = _over(account.account, market, markets)
    order_form(account.account, market, mode, over=over)


def order_form(account: str, market: str, mode: Mode, *, over: str = "") -> None:
    """Draw the form of one order; `over` names a market it was typed for and that has closed."""
    instrument = ask(listed, engine_id(), market)
    key = (account, market)
    book = ask(books, engine_id(), (key,)).get(key)
    panels.note(_grid_and_book(instrument, book))
    _warn(account, market)
    asked = _fields(instrument, account)
    if over:
        hint = "Nothing was sent: check" if asked is not None else "Check"
        st.error(
            f"{literal(over)} has closed; {literal(names.market(market))} is selected instead. "
            f"{hint} again."
        )
    elif asked is not None:
        uses = ask(limit_use, engine_id(), account=account)
        beside = _beside(asked, instrument, mode)
        then = after(asked, instrument, book, uses, beside)
        commands.ask_first(question(asked, instrument, mode, then=then))


def _over(account: str, market: str, markets: list[str]) -> str:
    """Name the market that was chosen before, where it has closed while the form stood open.

    The list then chooses another one by itself: what was typed was typed for the one that is gone.
    """
    of, before = st.session_state.get("hand_seen", (account, market))
    st.session_state["hand_seen"] = (account, market)
    return "" if before in markets or of != account else names.market(before)


def _markets(account: AccountSeen) -> list[str]:
    """Return the open markets of the account's venue; all where none bears its name."""
    everywhere = ask(open_markets, engine_id(), this_minute())
    here = [name for name in everywhere if name.startswith(f"{account.venue}:")]
    return here or everywhere


def _warn(account: str, market: str) -> None:
    """Name the bots that trade the market at the account, and go on beside an order by hand."""
    at_work = [
        bot["name"]
        for bot in ask(views.bots, engine_id())
        if bot["account"] == account
        and bot["state"].lower() not in AT_REST
        and market in [one.instrument for one in ask(watched_by, engine_id(), bot["name"])]
    ]
    if at_work:
        goes_on = "trades here and goes on" if len(at_work) == 1 else "trade here and go on"
        panels.note(
            f"{literal(', '.join(at_work))} {goes_on}: a manual order stands beside with its own "
            "position and PnL. A resting one that would meet an order of our own is refused; for "
            "a taking one the bots' orders it would meet are cancelled first."
        )


def owners_at_rest(account: str) -> list[str]:
    """Return for whom a person may act at an account: `manual`, and the bots that do not run."""
    bots = ask(views.bots, engine_id())
    mine = [bot for bot in bots if bot["account"] == account]
    return [MANUAL, *(bot["name"] for bot in mine if bot["state"].lower() in AT_REST)]


def _grid_and_book(instrument: Instrument, book: BookTop | None) -> str:
    """Say what the venue's grid is, and where the book stands if it is received."""
    grid = (
        f"{instrument.id} · prices in steps of {_price(instrument, instrument.tick)}, sizes in "
        f"steps of {instrument.size_text(instrument.lot)}, at least "
        f"{instrument.size_text(instrument.smallest)}"
    )
    if book is None:
        return grid
    bid, ask_ = (
        _price(instrument, side[0][0]) if side else "none" for side in (book.bids, book.asks)
    )
    product = instrument.product
    leg = f" of {product.legs[0].upper()}" if product.second else ""
    return f"{grid} · best bid {bid}, best ask {ask_}{leg}"


def _fields(instrument: Instrument, account: str) -> PlaceManual | None:
    """Draw what an order is made of; gives it when it is sent and fits, else None."""
    product = instrument.product
    with st.form("by_hand", border=False):
        # Not in columns: in narrow ones the second of two words was cut, and that word is SELL.
        with st.container(horizontal=True, vertical_alignment="bottom"):
            side = st.segmented_control(
                "Side", list(Side), default=Side.BUY, format_func=str.upper, required=True
            )
            legs = list(product.legs)
            leg = legs[0]
            if product.second:
                leg = st.segmented_control(
                    "Leg", legs, default=leg, format_func=str.upper, required=True
                )
            unit = product.price_unit
            hint = "61.5" if product.in_cents else None
            price = st.text_input(f"Price, {literal(unit)}", placeholder=hint, width=FIELD_PX)
            of = "" if product.second else f", {literal(names.base(instrument.id))}"
            size = st.text_input(f"Size{of}", width=FIELD_PX)
            owner = st.selectbox("For", owners_at_rest(account), width=FIELD_PX)
        urgency = st.segmented_control(
            "Urgency",
            list(URGENCIES),
            default=Urgency.REST,
            format_func=URGENCIES.__getitem__,
            required=True,
        )
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
            urgency=urgency or Urgency.REST,
            owner=BotId(owner),
        )
    except BadInput as error:
        st.error(f"{literal(error)}. Nothing was sent.")
        return None


def price_of(instrument: Instrument, text: str) -> int:
    """Convert a typed price, cents where the thing is a binary. Raises BadInput."""
    product, typed = instrument.product, text.strip().removesuffix("¢").strip()
    try:
        value = Decimal(typed)
    except InvalidOperation:
        raise BadInput(f"{text!r} is not a price") from None
    cents = product.in_cents and value.is_finite()
    price = instrument.price_of(f"{value.scaleb(-2):f}" if cents else typed)
    if not 0 < price < product.end:
        raise BadInput(f"{text!r}: a price must be {product.range_text}")
    return price


def size_of(instrument: Instrument, text: str) -> int:
    """Convert a typed size. Raises BadInput."""
    size = instrument.size_of(text.strip())
    if size <= 0:
        raise BadInput(f"{text!r}: a size must be above 0")
    return size


def _price(instrument: Instrument, price: int) -> str:
    return names.price(instrument.price_decimal(price), in_cents=instrument.product.in_cents)


def _size(instrument: Instrument, size: int) -> str:
    return instrument.size_text(size)


# -- What will happen ------------------------------------------------------------------------------


def question(
    asked: PlaceManual, instrument: Instrument, mode: Mode, *, then: Sequence[str] = ()
) -> commands.Confirmation:
    """Say what exactly an order by hand will do, and in which mode; `then` is what follows."""
    size = _size(instrument, asked.size)
    order = f"{asked.side.upper()} {size} {literal(names.leg(asked.leg, instrument.id))} at "
    order += literal(_price(instrument, asked.price))
    exact = literal(f"{instrument.price_text(asked.price)} {instrument.currency}")
    takes = asked.urgency is not Urgency.REST
    fee = instrument.taker_fee_micro(asked.price, asked.size) if takes else 0
    if instrument.product.signed:
        value = instrument.opening_micro(asked.price, asked.size, post_only=not takes)
        amount = "Nothing is paid for it or brought by it: what it closes realises its gain, and "
        higher = takes and asked.side is Side.SELL  # what is taken is at this price or above
        amount += "what it opens takes margin, "
        amount += "more above this price, at this price " if higher else "up to "
        amount += micro(value, instrument.currency)
    elif asked.side is Side.BUY:
        value = instrument.cost_micro(asked.price, asked.size) + fee
        amount = f"It may cost up to {micro(value, instrument.currency)}"
    else:
        value = instrument.proceeds_micro(asked.price, asked.size) - fee
        amount = f"Filled in full it brings at least {micro(value, instrument.currency)}"
    note = ""
    if takes:
        note = ", taker fee included. At a better price that fee may be as much as "
        note += micro(fee_max_micro(asked, instrument), instrument.currency)
    words = (
        f"**{order}** ({exact}) in **{literal(names.market(instrument.id))}** "
        f"({literal(instrument.id)}), one order for **{literal(asked.owner)}** at account "
        f"**{literal(asked.account)}**. "
        f"{commands.MONEY[mode]}.\n\n{THEN[asked.urgency]}\n\n{amount}{note}. Risk rules apply as "
        "for a bot: they may shrink it or deny it. No other order is touched, and it is never "
        f"placed a second time.\n\n{chr(10).join(f'- {literal(line)}' for line in then)}"
    )
    return commands.Confirmation(
        command=asked,
        slot=SLOT,
        title=f"Manual order, {mode.upper()}",
        words=words,
        label="Place the order",
        phrase=asked.account if mode is Mode.LIVE else "",
    )


def fee_max_micro(asked: PlaceManual, instrument: Instrument) -> int:
    """Return the largest fee a fill of the whole order can cost at its price or a better one."""
    price = asked.price
    if instrument.fees.exponent is not None:
        price = instrument.product.fee_peak(price, asked.side)
    return instrument.taker_fee_micro(price, asked.size)


def after(
    asked: PlaceManual,
    instrument: Instrument,
    book: BookTop | None,
    uses: Sequence[Row],
    beside: tuple[int, int] | None = None,
) -> list[str]:
    """Say what of an order the book would fill, what stays over, and what could be lost then.

    `beside` = cost of the position and loss of live orders of its side, in micro-units, of what is
    held long or short; None = not known.
    """
    return [_residual(asked, instrument, book), _exposure(asked, instrument, uses, beside)]


def there(asked: PlaceManual, instrument: Instrument, book: BookTop) -> int:
    """Return the size a book, as far as it is known, offers at an order's price or better."""
    bid = is_bid(asked.side, asked.leg)
    limit = instrument.product.level(asked.leg, asked.price)
    levels = book.asks if bid else book.bids
    return sum(size for price, size in levels if (price <= limit if bid else price >= limit))


def _residual(asked: PlaceManual, instrument: Instrument, book: BookTop | None) -> str:
    if book is None or not book.trusted:
        return "Residual: unknown, as no trusted book of this market is received."
    found = there(asked, instrument, book)
    fits = _size(instrument, min(found, asked.size))
    rest = _size(instrument, max(0, asked.size - found))
    if asked.urgency is Urgency.REST:
        if found:
            return (
                f"Residual: all of it. {fits} are offered at this price now: the venue rejects it."
            )
        return f"Residual: all {rest} rest, behind the orders already at that price."
    if found >= asked.size:
        return "Residual: none, by the latest book."
    if asked.urgency is Urgency.NOW:
        return f"Residual: all of it, only {fits} are available by the latest book: nothing fills."
    return f"Residual: {rest} are dropped, {fits} are available by the latest book."


def _beside(asked: PlaceManual, instrument: Instrument, mode: Mode) -> tuple[int, int] | None:
    """Return what `after` takes of an account's position and its live orders of the same side."""
    if not instrument.product.signed:
        return None
    only = {"account": asked.account, "instrument": instrument.id}
    held = ask(money_views.held, engine_id(), mode=mode, **only)
    orders = ask(orders_behind, engine_id(), mode=mode, open_only=True, **only)
    live = sum(
        _loss_micro(
            instrument,
            row["price_raw"],
            row["size_raw"] - row["filled_raw"],
            takes=not row["post_only"],
        )
        for row in orders
        if row["side"] == asked.side
    )
    return sum(int(row["cost"] * MICRO) for row in held), live


def _loss_micro(instrument: Instrument, price: int, size: int, *, takes: bool) -> int:
    """Return what an order can lose once it fills, its fee included."""
    fee = instrument.taker_fee_micro(price, size) if takes else 0
    return instrument.cost_micro(price, size) + fee


def _exposure(
    asked: PlaceManual,
    instrument: Instrument,
    uses: Sequence[Row],
    beside: tuple[int, int] | None,
) -> str:
    """Return the worst-case loss in the market after the order, by what risk reported last.

    A sale is of what is held and adds nothing, but where it may open a short.
    """
    limits = [row for row in uses if row["name"] == "exposure_instrument_max"]
    mine = next((row for row in limits if row["subject"] == instrument.id), None)
    if mine is None and len(limits) >= SUBJECTS_MAX:
        return "Exposure after: unknown, as risk reports only its largest markets."
    now = mine["used"] if mine else 0
    worst = now
    if asked.side is Side.BUY or instrument.product.signed:
        takes = asked.urgency is not Urgency.REST
        worst += _loss_micro(instrument, asked.price, asked.size, takes=takes)
    if beside is not None:
        worst = worst_after(now, *beside, worst - now, asked.side)
    words = f"Exposure after: worst-case loss here {micro(worst, instrument.currency)} at most, "
    words += f"now {micro(now)}"
    limit = mine or next(iter(limits), None)
    return words + (f", limit {micro(limit['limit_value'])}." if limit else ".")


# -- Flatten: out of a position at once, within a cap ----------------------------------------------


def _holders_at_rest(account: str, market: str, mode: Mode) -> list[str]:
    """Return whose position may be closed now; say who else holds one, and trades."""
    only = {"account": account, "instrument": market}
    holding = {row["bot"] for row in ask(held_by_owner, engine_id(), mode=mode, **only)}
    owners = [name for name in owners_at_rest(account) if name in holding]
    if running := sorted(holding - {*owners, UNASSIGNED}):
        panels.note(
            f"Held here by what trades: {literal(', '.join(running))}. Pause or stop a bot to "
            "flatten what it holds."
        )
    return owners


def flatten(account: str, instrument: Instrument, mode: Mode) -> None:
    """Draw the button that closes what an owner holds in a market, with its slippage cap."""
    owners = _holders_at_rest(account, instrument.id, mode)
    if not owners:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        binary = instrument.product.in_cents
        ticks = instrument.price_decimal(SLIP_TICKS * instrument.tick)
        cap = st.number_input(
            f"Slippage cap, {'¢' if binary else instrument.currency}",
            min_value=0.0,
            value=SLIP_CENTS if binary else float(ticks),
            step=0.5,
            key="flatten_cap",
            width=160,
        )
        owner = st.selectbox("Of", owners, key="flatten_owner", width=160)
        if not st.button("Flatten…", key="flatten", icon=":material/logout:"):
            return
    units = Decimal(str(cap)).scaleb(instrument.price_decimals - 2 * binary)
    slip = int(units)
    words = (
        f"Closes everything **{literal(owner)}** holds at account **{literal(account)}** in "
        f"**{literal(names.market(instrument.id))}** ({literal(instrument.id)}) now. "
        f"{commands.MONEY[mode]}.\n\nIts orders there are cancelled; other owners go on. "
        "Orders take at once (FAK), through risk like a bot's, at most "
        f"**{literal(_price(instrument, slip))}** worse than the best price when it begins, "
        "repeated each second until flat or 15 s have passed; what is left then stays and is "
        "reported."
    )
    if binary:
        words += (
            " Unsettled tokens cannot be sold: the other token is bought instead, as a pair pays "
            "exactly 1."
        )
    commands.ask_first(
        commands.Confirmation(
            command=Flatten(
                account=AccountId(account),
                instrument=instrument.id,
                slippage_max=slip,
                owner=BotId(owner),
            ),
            slot=SLOT,
            title=f"Flatten, {mode.upper()}",
            words=words,
            label="Flatten the position",
            phrase=account if mode is Mode.LIVE else "",
        )
    )
