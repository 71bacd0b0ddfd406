"""A venue's own listing of a market, in words: where it stands in its life, and its terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

from engine.domain.instruments import Instrument
from engine.domain.listings import ListingState
from pages.kit.home import config
from pages.kit.words import NOTHING, moment, zone
from storage.database import reading

P = ParamSpec("P")
T = TypeVar("T")

STATES = tuple(one for one in ListingState if one is not ListingState.UNLISTED)
REDEEMED = "redeemed"


def asked(view: Callable[Concatenate[Any, P], T], *given: P.args, **named: P.kwargs) -> T:
    """Return what a view of the listing gives. Raises StorageError."""
    with reading(config().markets_path) as connection:
        return view(connection, *given, **named)


def terms(row: Mapping[str, Any]) -> dict[str, str]:
    """Return what a trader must know before trading a market, in words."""
    fee = row["taker_fee_ppm"] / 10_000
    pays = (
        f"{row['rewards_daily']:,.2f} a day, for orders of {row['rewards_size_min']:g} shares or "
        f"more within {row['rewards_spread_max']:g}¢ of the mid"
        if row["rewards_daily"]
        else "none"
    )
    return {
        "State": row["state"].upper(),
        "Ends": moment(row["ends_ns"], zone()),
        "Tick, smallest order": f"{100 * row['tick']:g}¢, {row['size_min']:g} shares",
        "Taker fee": f"{fee:g} % of price times (1 less price)" if fee else "none",
        "Rewards": pays,
        "Volume": f"{row['volume_24h']:,.0f} in 24 h, {row['volume']:,.0f} in all",
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
    shape = "the order's value" if fees.exponent is None else "price times (1 less price)"
    if fees.exponent not in (None, 1):
        shape = f"({shape}) to the power of {fees.exponent}"
    return {
        "Trading ends": moment(instrument.closes_ns, zone())
        if instrument.closes_ns
        else "no end is announced",
        "Tick": f"{instrument.price_decimal(instrument.tick).normalize():f} {instrument.currency}",
        "Smallest order": f"{instrument.size_decimal(instrument.smallest).normalize():f}",
        "Taker fee": f"{rate} of {shape}" if fees.taker_rate_ppm else "none",
        "Marketable orders are held": f"{instrument.taker_delay_ns / 1e9:g} s by the venue"
        if instrument.taker_delay_ns
        else "not at all",
        "Exactly one outcome wins": "yes" if instrument.one_wins else "not known to",
        "Exposure is summed over": instrument.exposure_key,
    }


def life(said: ListingState | None, payout_micro: int | None, *, paid: bool) -> str:
    """Return where a market stands in its life, the step it is at in capitals.

    `payout_micro` is what one YES pays as the venue told the engine: a price says nothing about
    it. `paid` = the account was paid for its tokens.
    """
    if payout_micro is not None:
        said = ListingState.RESOLVED
    if said is None:
        return "Where it stands in its life is not known: neither listing nor engine names it"
    if said is ListingState.UNLISTED:
        return "Its venue lists it no more among the open markets, and has not said how it ended"
    at = REDEEMED if paid else said.value
    steps = [one.upper() if one == at else one for one in (*STATES, REDEEMED)]
    pays = ""
    if payout_micro is not None:
        pays = f" · one YES pays {payout_micro / 1e6:g}, one NO {1 - payout_micro / 1e6:g}"
    return " → ".join(steps) + pays
