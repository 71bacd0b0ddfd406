"""Price alerts: set on a market, listed and removed; edits of the settings the watch goes by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import streamlit as st

from engine.domain.commands.trading import FollowMarket
from engine.domain.instruments import AccountId, Instrument, InstrumentId
from engine.domain.products import Product
from engine.domain.settings import PriceAlert
from engine.errors import BadInput
from pages.kit import commands, drafts, guard, names, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config
from pages.kit.markdown import literal
from pages.kit.panels import panel
from pages.kit.words import moment
from storage.live import listed
from storage.watch import PriceReached, prices_reached, reading_watch

SLOT, FOLLOW_SLOT = "price_alerts", "follow_market"
ABOVE, BELOW, MOVES = "at or above", "at or below", "moves by"
WAYS = {ABOVE: "above", BELOW: "below", MOVES: "moves"}
"""How it is said -> the field of the settings."""


@guard.part("The price alerts")
def show_prices() -> None:
    """Draw every price alert with what removes it; new ones are set on a market's page."""
    prices = drafts.newest().document.alerts.prices
    with panel(f"Price alerts: {len(prices) or 'none'}", "fold_prices", opened=False) as opened:
        if opened and not prices:
            panels.empty("No price alert is set.", "Set one on a market's page.")
        elif opened:
            _rows(prices, with_market=True)


@guard.part("The price alerts of this market")
def show_of_market(name: str, accounts: Sequence[str], instrument: Instrument | None) -> None:
    """Draw the price alerts of one market and the form of a new one.

    `accounts` are those whose book may be meant; the price is the middle of it. `instrument` is
    None where the engine has never had to do with the market.
    """
    known = drafts.newest().document.alerts.prices
    mine = {key: one for key, one in known.items() if one.instrument == name}
    with panel(f"Price alerts: {len(mine) or 'none'}", "fold_price", opened=False) as opened:
        if not opened:
            return
        panels.note(
            "Sent by the rules of Alerts. The price is the middle of the book an account of yours "
            "receives."
        )
        _rows(mine, with_market=False)
        _form(name, accounts, set(known), instrument.product if instrument else None)


def price_words(one: PriceAlert, *, cents: bool = False) -> str:
    """Return what a price alert waits for, its price as the market's page gives prices."""
    given = one.above or one.below or one.moves or 0.0
    price = names.price(given, in_cents=cents)
    if one.above is not None:
        said = f"at or above {price}"
    elif one.below is not None:
        said = f"at or below {price}"
    else:
        said = f"moves by {price} within {one.within_min} min"
    return said + (", each time" if one.repeats else ", once") + (f" · {one.note}" * bool(one.note))


def reached_words(one: PriceAlert, found: PriceReached | None) -> str:
    """Return when an alert came true, and that one which is sent once waits no more.

    Empty where it has not, or where it was edited since.
    """
    if found is None or not found.fired or found.asked != one.model_dump(mode="json"):
        return ""
    when = f" {moment(found.fired_ns)}" if found.fired_ns else ""
    if one.repeats:
        return f"came true {found.fired:,} times, last{when}" if when else ""
    return f"CAME TRUE{when}: sent, and waits no more. Remove it and set it again to wait again"


def _rows(prices: Mapping[str, PriceAlert], *, with_market: bool) -> None:
    with reading_watch(config().home) as log:
        reached = prices_reached(log) if log else {}
    for name, one in sorted(prices.items()):
        with st.container(horizontal=True, vertical_alignment="center"):
            market = f" · {literal(names.market(one.instrument))}" * with_market
            said = literal(price_words(one, cents=_in_cents(one)))
            if came := reached_words(one, reached.get(name)):
                said += f" · {literal(came)}"
            st.markdown(f"**{literal(name)}**{market} · {said}")
            if st.button("Remove", key=f"price_{name}"):
                _keep({name: None})


def _in_cents(one: PriceAlert) -> bool:
    try:
        return ask(listed, engine_id(), one.instrument).product.in_cents
    except BadInput:
        return False  # the engine has never had to do with the market


def _form(name: str, accounts: Sequence[str], taken: set[str], product: Product | None) -> None:
    cents = product is not None and product.in_cents
    unit, end = (", ¢", 100.0) if cents else ("", None)
    with st.form("price_alert", border=True):
        one, two = st.columns(2)
        way = one.selectbox("When the price", list(WAYS))
        price = two.number_input(
            f"Price{unit}", 0.0, end, value=None, step=1.0 if cents else 0.01, format="%g"
        )
        within = one.number_input("Within, minutes (of a move)", 1, 1_440, 60)
        note = two.text_input("Note", max_chars=200, placeholder="stands in the message")
        # One that is named follows the market: of any account's, there may be none that does.
        account = one.selectbox("Whose book", [*accounts, "any account's"])
        repeats = two.toggle("Each time it comes true anew", key="price_repeats")
        asked = st.form_submit_button("Set the alert", type="primary")
    if not asked:
        return
    if not price:
        st.error("Give the price first.")
        return
    given: dict[str, object] = {
        "instrument": name,
        WAYS[way]: round(price / 100, 9) if cents else price,
        "within_min": within,
        "note": note,
        "repeats": repeats,
        "account": account if account in accounts else "",
    }
    if account in accounts and commands.engine_runs():
        followed = FollowMarket(account=AccountId(account), instrument=InstrumentId(name))
        commands.send(followed, FOLLOW_SLOT)
    _keep({_free_name(name, taken): given})


def _free_name(instrument: str, taken: set[str]) -> str:
    """Return a name no price alert has: of the market, with a number."""
    made_of = re.sub(r"[^a-z0-9_.-]", "", instrument.partition(":")[2][:24].lower()) or "price"
    number = next(one for one in range(1, len(taken) + 2) if f"{made_of}-{one}" not in taken)
    return f"{made_of}-{number}"


def _keep(prices: dict[str, object]) -> None:
    drafts.keep_at_once(SLOT, {"alerts": {"prices": prices}})
