"""A market as Gamma lists it and the CLOB confirms it → what must be known to watch and trade it.

Gamma answers from a cache that is up to five minutes old, so tick, minimum, neg-risk and fees are
taken from the CLOB before anything is quoted (trading API, §3.5). Nothing here does I/O.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.domain.instruments import ONE_OF, FeeSchedule, Instrument
from engine.domain.money import MICRO
from engine.domain.plain import PlainView
from engine.domain.readings import STAMP_NS_MAX, STAMP_NS_MIN, decimal_of, shown
from engine.errors import BadInput
from engine.feeds.counts import UNREADABLE, BadFrame
from engine.venues.polymarket.market.hourly import HOUR_S
from engine.venues.polymarket.market.metadata import (
    SECOND_NS,
    binary,
    fee_schedule,
    tick_units,
    yes_first,
)
from engine.venues.polymarket.market.numbers import DIGITS_MAX, PRICE_DECIMALS, SIZE_DECIMALS, units

ITODE_NS = 250_000_000
"""How long a marketable order is held where the CLOB says `itode` (trading API, §5.3)."""

DELAY_S_MAX = 3_600
"""A marketable order is held for seconds; more is no delay anybody would wait for."""

AMOUNT_MAX = 1e9
"""Largest amount of pUSD or shares that metadata is believed: the venue has never had so much."""

REWARDS = ("rewards_size_min", "rewards_spread_max", "rewards_daily_micro")

GammaRow = Mapping[str, Any]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument and what its book's hashes are completed with."""

    instrument: Instrument
    tick: str
    min_order_size: str
    neg_risk: bool
    slug: str
    title: str
    accepting: bool
    """True while the venue takes orders in it."""
    resolution_source: str = ""
    """Where the outcome comes from, as the venue names it; empty = it does not say."""
    payout_yes_micro: int | None = None
    """What one YES pays; None = the venue has not said so yet."""

    @property
    def condition(self) -> str:
        """The venue's own id of the market."""
        return self.instrument.id.partition(":")[2]


def from_gamma(row: object, now_ns: int) -> Listing:
    """Return a row of Gamma's listing. Raises BadFrame for what is no complete binary market."""
    if not isinstance(row, Mapping):
        raise BadFrame("not a market")
    condition = _text(row, "conditionId")
    labels = _strings(row.get("outcomes"))
    protocol = str(row.get("version") or "v1")
    ids = row.get("positionIds") if protocol == "v2" else row.get("clobTokenIds")
    tick, least = _plain(row, "orderPriceMinTickSize"), _plain(row, "orderMinSize")
    slug = str(row.get("slug") or "")
    made = binary(
        condition,
        yes_first(_strings(ids), labels),
        tick=tick,
        fees=_gamma_fees(row),
        slug=slug,
        size_min=units(least, SIZE_DECIMALS, "minimum"),
        protocol=protocol,
        market=_market(row),
    )
    ends_ns = time_ns(row.get("endDate"))
    if made.series and made.closes_ns is None:
        made = _hour(made, time_ns(row.get("eventStartTime")), ends_ns)
    if made.closes_ns is None and ends_ns is not None and ends_ns > now_ns:
        # An end that is past already is not believed: such markets were seen to trade on.
        made = msgspec.structs.replace(made, closes_ns=ends_ns)
    delay_ns = round(min(number(row, "secondsDelay"), DELAY_S_MAX) * SECOND_NS)
    made = msgspec.structs.replace(made, taker_delay_ns=delay_ns)
    if daily := rewards_daily(row, now_ns):
        band_cents = number(row, "rewardsMaxSpread")
        made = msgspec.structs.replace(
            made,
            rewards_size_min=round(number(row, "rewardsMinSize") * 10**SIZE_DECIMALS),
            rewards_spread_max=round(band_cents * 10 ** (PRICE_DECIMALS - 2)),
            rewards_daily_micro=round(daily * MICRO),
        )
    open_ = bool(row.get("active")) and not row.get("closed") and bool(row.get("enableOrderBook"))
    return Listing(
        instrument=made,
        tick=tick,
        min_order_size=least,
        neg_risk=bool(row.get("negRisk")),
        slug=slug,
        title=str(row.get("question") or slug),
        accepting=open_ and bool(row.get("acceptingOrders")),
        resolution_source=str(row.get("resolutionSource") or ""),
        payout_yes_micro=_payout(row, labels),
    )


def rewards_of(made: Instrument) -> dict[str, int]:
    """Return the terms of a market's rewards, by their fields."""
    return {name: getattr(made, name) for name in REWARDS}


def rewards_daily(row: PlainView, now_ns: int) -> float:
    """Return what the market pays a day by the programmes that are running."""
    programmes = row.get("clobRewards")
    total = 0.0
    for one in programmes if isinstance(programmes, list) else []:
        if isinstance(one, Mapping):
            ends_ns = time_ns(one.get("endDate"))
            starts_ns = time_ns(one.get("startDate"))
            if (starts_ns or 0) <= now_ns and (ends_ns is None or ends_ns > now_ns):
                total += number(one, "rewardsDailyRate")
    return min(total, AMOUNT_MAX)


def number(row: PlainView, name: str) -> float:
    """Return an amount that comes as number or text; 0 where the venue says none, or nonsense."""
    try:
        found = decimal_of(row.get(name), name)
    except BadInput:
        return 0.0
    return float(found) if 0 <= found <= AMOUNT_MAX else 0.0


def _market(row: GammaRow) -> str:
    """Return what the market's exposure is summed with: its neg-risk group, else its event.

    Outcomes of one question are listed as markets of their own. Empty = Gamma names neither.
    """
    group = row.get("negRiskMarketID")
    if row.get("negRisk") and group:
        return f"polymarket:{ONE_OF}:{group}"
    events = row.get("events")
    first = events[0] if isinstance(events, list) and events else None
    name = first.get("id") if isinstance(first, Mapping) else None
    return f"polymarket:event:{name}" if name else ""


def _hour(made: Instrument, starts_ns: int | None, ends_ns: int | None) -> Instrument:
    """Return a market of an hourly series with its hour; what is no whole hour has none."""
    hour_ns = HOUR_S * SECOND_NS
    if starts_ns is None or ends_ns != starts_ns + hour_ns or starts_ns % hour_ns:
        return made
    return msgspec.structs.replace(made, starts_ns=starts_ns, closes_ns=ends_ns)


def confirmed(listing: Listing, body: object) -> Listing:
    """Return a listing with the CLOB's own terms (`/clob-markets/{condition}`). Raises BadFrame."""
    if not isinstance(body, Mapping):
        raise BadFrame("the CLOB answered no market")
    if body.get("c") not in (None, listing.condition):
        raise BadFrame("the CLOB answered another market", str(body.get("c")))
    rows = body.get("t")
    named = rows if isinstance(rows, list) else []
    tokens = {str(row.get("t")) for row in named if isinstance(row, Mapping)}
    if tokens != set(listing.instrument.tokens or ()):
        raise BadFrame("the CLOB's tokens are not Gamma's", listing.condition)
    tick, least = _plain(body, "mts"), _plain(body, "mos")
    delay_ns = listing.instrument.taker_delay_ns
    pays, age_s = body.get("r"), 0.0
    if isinstance(pays, Mapping) and pays.get("e") and listing.instrument.rewards_daily_micro:
        age_s = max(number(pays, "moas"), number(body, "oas"))
    instrument = msgspec.structs.replace(
        listing.instrument,
        tick=tick_units(tick),
        size_min=units(least, SIZE_DECIMALS, "minimum"),
        fees=_clob_fees(body, listing.instrument.fees),
        taker_delay_ns=max(delay_ns, ITODE_NS) if body.get("itode") else delay_ns,
        protocol=str(body.get("v") or listing.instrument.protocol),
        rewards_age_s=math.ceil(age_s),
    )
    return msgspec.structs.replace(
        listing,
        instrument=instrument,
        tick=tick,
        min_order_size=least,
        neg_risk=bool(body.get("nr")),
        accepting=bool(body.get("ao")),
    )


def _gamma_fees(row: GammaRow) -> FeeSchedule:
    """Return the fees; a market with fees and no schedule is not guessed at (§5.4)."""
    fees = row.get("feeSchedule")
    if not row.get("feesEnabled"):
        return FeeSchedule(exponent=1)
    if not isinstance(fees, Mapping) or fees.get("takerOnly") is False:
        raise BadFrame("fees without a taker schedule", str(row.get("conditionId")))
    return fee_schedule(
        exponent=fees.get("exponent"), rate=fees.get("rate"), rebate=fees.get("rebateRate") or 0
    )


def _clob_fees(body: GammaRow, known: FeeSchedule) -> FeeSchedule:
    """Return the fees of `fd`; it is left out where nothing is charged, and has no rebate."""
    fees = body.get("fd")
    if not fees:
        if body.get("tbf"):
            raise BadFrame("fees without a taker schedule", str(body.get("c")))
        return FeeSchedule(exponent=1)
    if not isinstance(fees, Mapping) or fees.get("to") is False:
        raise BadFrame("fees without a taker schedule", str(body.get("c")))
    made = fee_schedule(exponent=fees.get("e"), rate=fees.get("r"), rebate=0)
    return msgspec.structs.replace(made, rebate_rate_ppm=known.rebate_rate_ppm)


def _payout(row: GammaRow, labels: list[str]) -> int | None:
    """Return what YES pays by `outcomePrices` of a resolved market: 1/0, 0/1 or a half each.

    Legacy rows say 0/0, which is no outcome.
    """
    said = {str(row.get("umaResolutionStatus")), str(row.get("resolutionStatus"))}
    if not row.get("closed") or not said & {"resolved", "settled"}:
        return None
    prices = yes_first(_strings(row.get("outcomePrices")), labels)
    known = {("1", "0"): 1_000_000, ("0", "1"): 0, ("0.5", "0.5"): 500_000}
    return known.get(prices)


def time_ns(text: object) -> int | None:
    """Return an ISO time in ns UTC; None where there is none, or none that can be read."""
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        found = int(moment.timestamp()) * SECOND_NS
    except OverflowError:  # the first and the last day of the calendar, in another zone
        return None
    return found if STAMP_NS_MIN <= found < STAMP_NS_MAX else None


def _text(row: GammaRow, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise BadFrame(f"listing without {name}")
    return value


def _plain(row: GammaRow, name: str) -> str:
    """Return a number as the venue's books write it: no exponent, no trailing zeros."""
    try:
        number = decimal_of(row.get(name), name)
    except BadInput:
        raise BadFrame(f"listing without {name}") from None
    if number and not -DIGITS_MAX < number.adjusted() < DIGITS_MAX:
        raise BadFrame(f"listing with {name} out of range", shown(row.get(name)))
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _strings(value: object) -> list[str]:
    """Return a list that comes as one, or as JSON inside a string. Raises BadFrame."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except UNREADABLE:
            raise BadFrame("listing with an unreadable list") from None
        except UnicodeEncodeError:  # a half of a surrogate pair
            raise BadFrame("listing with an unreadable list") from None
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise BadFrame("listing without a list of names")
    return value
