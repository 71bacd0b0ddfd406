"""The markets of the venue: what Gamma and the CLOB know about each, and how ids are made."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256

import msgspec

from engine.domain.instruments import FeeSchedule, Instrument, InstrumentId, Kind, Leg
from engine.venues.polymarket.market.hourly import hourly_slug

PRICE_DECIMALS = 4
SIZE_DECIMALS = 6
LOT = 10_000
"""0.01 share: the finest size an order may have."""
ONE = 10**PRICE_DECIMALS
SHARE = 10**SIZE_DECIMALS
ITODE_NS = 250_000_000
"""How long a marketable order is held where taker order delay is enabled."""
S = 1_000_000_000

TICKS = {"0.1": 3, "0.01": 4, "0.005": 5, "0.0025": 6, "0.001": 5, "0.0001": 6}
"""Tick size → decimals of an order's pUSD amount (polymarket.md §1.5)."""


class Listed(msgspec.Struct, kw_only=True):
    """One market. Prices as texts, shares as whole numbers, rates as the venue writes them."""

    slug: str
    question: str = ""
    outcomes: tuple[str, str] = ("Yes", "No")
    version: str = "v1"
    neg_risk: bool = False
    tick: str = "0.01"
    size_min: int = 5
    fee_rate: str = "0.07"
    fee_exponent: int = 1
    rebate_rate: str = "0.2"
    fee_type: str = "crypto"
    itode: bool = False
    seconds_delay: int = 0
    clear_book_on_start: bool = False
    game_start_ns: int | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    rewards: tuple[int, float] | None = (50, 4.5)
    """Least size and widest spread in cents for rewards; None = no rewards."""
    rewards_daily: float = 0.0
    """What it pays a day; 0 = it has a band and no programme that pays."""
    hydrates_ns: int = 0
    """Until then the CLOB does not know what Gamma already lists."""
    tags: tuple[str, ...] = ("crypto",)
    series: str = ""
    gamma_id: str = ""
    condition: str = ""
    tokens: tuple[str, str] = ("", "")
    last: str = ""
    """Last trade price in three decimals, in the resting order's token; empty = never traded."""
    last_side: str = ""
    volume_micro: int = 0
    winner: int | None = None
    """Index of the winning outcome; None = not resolved or split."""
    resolved: bool = False
    closed_ns: int | None = None

    @property
    def instrument(self) -> InstrumentId:
        """Return the exchange's name of it."""
        return InstrumentId(f"polymarket:{self.condition}")

    def leg(self, token: str) -> Leg:
        """Return which leg a token is."""
        return Leg.YES if token == self.tokens[0] else Leg.NO

    def token(self, leg: Leg) -> str:
        """Return a leg's token."""
        return self.tokens[0 if leg is Leg.YES else 1]

    def outcome(self, leg: Leg) -> str:
        """Return a leg's outcome."""
        return self.outcomes[0 if leg is Leg.YES else 1]


def identify(market: Listed, seed: int, number: int) -> Listed:
    """Give a market its ids; the same seed and number give the same ids."""
    root = sha256(f"{seed}/{number}/{market.slug}".encode()).digest()
    market.gamma_id = market.gamma_id or str(1_031_000 + number)
    market.question = market.question or market.slug.replace("-", " ")
    if market.version == "v2":
        # module, base hash, arity, eight zero bytes, resolution chain, condition, outcome (§2.8)
        module = b"\x02" if market.neg_risk else b"\x01"
        base = module + root[:16] + b"\x00\x02" + bytes(8) + b"\x00\x89" + b"\x00\x00"
        market.condition = f"0x{base.hex()}00"
        market.tokens = _pair(base)
    else:
        market.condition = f"0x{root.hex()}"
        market.tokens = (_token(root + b"0"), _token(root + b"1"))
    return market


def _pair(base: bytes) -> tuple[str, str]:
    yes, no = (str(int.from_bytes(base + bytes([outcome]), "big")) for outcome in (0, 1))
    return yes, no


def _token(root: bytes) -> str:
    """Return a CTF token id of 77 digits; its middle bits are not zero, as a V2 id's would be."""
    number = int.from_bytes(sha256(root).digest(), "big")
    return str(10**76 + number % (10**77 - 10**76))


def instrument_of(market: Listed) -> Instrument:
    """Return a market as the exchange trades it."""
    return Instrument(
        id=market.instrument,
        kind=Kind.BINARY,
        currency="pUSD",
        price_decimals=PRICE_DECIMALS,
        size_decimals=SIZE_DECIMALS,
        tick=ticks(market.tick),
        lot=LOT,
        notional_min_micro=1_000_000,
        fees=FeeSchedule(
            taker_rate_ppm=int(Decimal(market.fee_rate) * 1_000_000),
            exponent=market.fee_exponent,
            rebate_rate_ppm=int(Decimal(market.rebate_rate) * 1_000_000),
        ),
        market=market.condition,
        tokens=market.tokens,
        closes_ns=market.end_ns,
        protocol=market.version,
        taker_delay_ns=ITODE_NS if market.itode else market.seconds_delay * S,
    )


def ticks(text: str) -> int:
    """Return a price in the exchange's increments."""
    return int(Decimal(text).scaleb(PRICE_DECIMALS))


def defaults(now_ns: int) -> list[Listed]:
    """Return the markets that trade from the start: both protocols, every rule of §5."""
    day = 86_400 * S
    end_ns = (now_ns // day + 30) * day
    return [
        Listed(slug="will-it-rain-in-lisbon", fee_rate="0.05", fee_type="weather", end_ns=end_ns),
        Listed(slug="who-wins-the-cup-spain", neg_risk=True, fee_rate="0.05", end_ns=end_ns),
        Listed(slug="will-the-bridge-open", version="v2", fee_rate="0.04", end_ns=end_ns),
        Listed(slug="fine-grid-price", tick="0.001", end_ns=end_ns),
        Listed(slug="free-geopolitics", fee_rate="0", fee_type="geopolitics", end_ns=end_ns),
        Listed(slug="btc-delayed-takers", outcomes=("Up", "Down"), itode=True, end_ns=end_ns),
        Listed(
            slug="lions-vs-bears",
            outcomes=("Lions", "Bears"),
            fee_rate="0.05",
            fee_type="sports",
            seconds_delay=3,
            clear_book_on_start=True,
            end_ns=end_ns,
            tags=("sports",),
        ),
    ]


def window(asset: str, minutes: int, start_ns: int) -> Listed:
    """Return one window of an up/down series."""
    start_s = start_ns // S
    length = "1h" if minutes == 60 else f"{minutes}m"
    series = f"{asset}-updown-{length}"
    return Listed(
        slug=hourly_slug(series, start_s) or f"{series}-{start_s}",
        question=f"{asset.upper()} up or down, {minutes} minutes",
        outcomes=("Up", "Down"),
        start_ns=start_ns,
        end_ns=start_ns + minutes * 60 * S,
        series=series,
        tags=("crypto", "up-or-down"),
    )
