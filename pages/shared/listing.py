"""A market as its venue lists it: where it stands in its life, its terms, whose lists it is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import streamlit as st

from engine.domain.instruments import Instrument
from engine.domain.listings import KINDS, PERPETUALS, ListingState
from engine.domain.products.binary import PAIR, pays_micro
from engine.errors import PitbossError
from pages.kit import guard, names
from pages.kit.data import ask, engine_id, forget
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.tables import TableRow
from pages.kit.words import NOTHING, moment
from storage.database import reading, writing
from storage.markets import unwatch, watch, watch_lists

P = ParamSpec("P")
T = TypeVar("T")

STATES = tuple(one for one in ListingState if one is not ListingState.UNLISTED)
REDEEMED = "redeemed"


def asked(view: Callable[Concatenate[Any, P], T], *given: P.args, **named: P.kwargs) -> T:
    """Return what a view of the listing gives. Raises StorageError."""
    with reading(config().markets_path) as connection:
        return view(connection, *given, **named)


def terms(row: TableRow) -> dict[str, str]:
    """Return what a trader must know before trading a market, in words."""
    fee = row["taker_fee_ppm"] / 10_000
    pays = (
        f"{row['rewards_daily']:,.2f} per day, for orders of {row['rewards_size_min']:g} shares or "
        f"more within {row['rewards_spread_max']:g}¢ of the mid"
        if row["rewards_daily"]
        else "none"
    )
    if row["category"] in KINDS:
        found = {
            "State": row["state"].upper(),
            "Tick": f"{row['tick']:g}",
            "Smallest order": f"{row['size_min']:g} {names.base(row['id'])}",
            "Taker fee": f"{fee:g} % of the order's value" if fee else "none",
            "Name for a bot or a recording": row["id"],
        }
        if row["category"] == PERPETUALS:
            found["Held"] = "long or short against margin; funding moves cash at its stamps"
        return found
    return {
        "State": row["state"].upper(),
        "Ends": moment(row["ends_ns"]),
        "Tick, smallest order": f"{100 * row['tick']:g}¢, {row['size_min']:g} shares",
        "Taker fee": f"{fee:g} % of price times (1 minus price)" if fee else "none",
        "Rewards": pays,
        "Volume": f"{row['volume_24h']:,.0f} in 24 h, {row['volume']:,.0f} in total",
        "Last trade": NOTHING if row["last"] is None else f"{100 * row['last']:g}¢",
        "Event": row["event"] or NOTHING,
        "Exactly one outcome wins": "yes: a neg-risk event" if row["neg_risk"] else "no",
        "Outcome comes from": row["source"] or "the venue's oracle, by the rules below",
        "Name for a bot or a recording": row["id"],
    }


def confirmed_terms(instrument: Instrument) -> dict[str, str]:
    """Return the terms the engine trades by, which the venue has confirmed."""
    fees = instrument.fees
    rate = f"{fees.taker_rate_ppm / 10_000:g} %"
    linear = not instrument.product.in_cents
    shape = "the order's value" if fees.exponent is None else "price times (1 minus price)"
    if fees.of_received is True:
        shape = "what a fill brings: a buy's is in the thing bought"
    if fees.exponent not in (None, 1):
        shape = f"({shape}) to the power of {fees.exponent}"
    maker = f"{fees.maker_rate_ppm / 10_000:g} % of the order's value"
    found = {
        "Trading ends": moment(instrument.closes_ns)
        if instrument.closes_ns
        else "no end is announced",
        "Tick": f"{instrument.price_text(instrument.tick)} {instrument.currency}",
        "Smallest order": instrument.size_text(instrument.smallest),
        "Taker fee": f"{rate} of {shape}" if fees.taker_rate_ppm else "none",
        "Maker fee": maker if fees.maker_rate_ppm else "none",
        "Marketable orders are held": f"{instrument.taker_delay_ns / 1e9:g} s by the venue"
        if instrument.taker_delay_ns
        else "not at all",
        "Exactly one outcome wins": "yes" if instrument.one_wins else "unknown",
        "Exposure is summed under": instrument.exposure_key,
    }
    if linear:
        del found["Exactly one outcome wins"]
    return found


def lifecycle(state: ListingState | None, payout_micro: int | None, *, paid: bool) -> str:
    """Return where a market stands in its life, the step it is at in capitals.

    `payout_micro` is what one YES pays as the venue told the engine: a price says nothing about
    it. `paid` = the account was paid for its tokens.
    """
    if payout_micro is not None:
        state = ListingState.RESOLVED
    if state is None:
        return "Its state is not known: neither the listing nor the engine has it"
    if state is ListingState.UNLISTED:
        return "Its venue no longer lists it as open and has not reported how it ended"
    at = REDEEMED if paid else state.value
    steps = [one.upper() if one == at else one for one in (*STATES, REDEEMED)]
    pays = ""
    if payout_micro is not None:
        first, second = (pays_micro(leg, payout_micro) / 1e6 for leg in PAIR)
        pays = f" · one {PAIR[0].upper()} pays {first:g}, one {PAIR[1].upper()} {second:g}"
    return " → ".join(steps) + pays


# -- Watch lists: a person's own, by name ----------------------------------------------------------


def my_lists() -> dict[str, tuple[str, ...]]:
    """Return the watch lists of whoever is signed in."""
    return ask(watch_lists, engine_id(), st.session_state["who"])


@guard.part("The watch lists")
def show_watch(identifier: str) -> None:
    """Draw on which lists a market is; put it on one, or take it off."""
    lists = my_lists()
    on = [name for name, ids in lists.items() if identifier in ids]
    label = f"On {literal(', '.join(on))}" if on else "Watch…"
    with st.popover(label, icon=":material/star:", key=f"fold_watch_{identifier}"):
        chosen = st.multiselect(
            "Watch lists",
            list(lists),
            default=on,
            accept_new_options=True,
            placeholder="choose one, or type a new name",
            key=f"watch_{identifier}",
        )
        if not st.button("Save", key=f"watch_keep_{identifier}"):
            return
    owner, who = engine_id(), st.session_state["who"]
    try:
        with writing(config().state_path) as connection:
            for name in {*on} - {*chosen}:
                unwatch(connection, owner, who, name, identifier)
            for name in (name for name in chosen if name not in on):
                watch(connection, owner, who, name, instrument=identifier, now_ns=now_ns())
    except PitbossError as error:
        st.error(f"Not saved: {literal(error)}.")
        return
    forget()
    st.rerun()
