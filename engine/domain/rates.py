"""Rates: what one unit of an asset is worth in USDC or a currency, from where, and how old it is.

A rate that is missing or stale makes a worth unknown (None). Nothing is guessed in its place.
Currencies are counted one to one by `PAR`, or at the rate that a book of a pair gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
from msgspec import UNSET

from engine.domain.assets import DECIMALS_MAX
from engine.domain.events import BookMarked
from engine.domain.instruments import Instrument, InstrumentId, Kind
from engine.domain.money import MICRO, ceil_div

DOLLAR = "USDC"
"""What a desk's total is in."""

RATE_AGE_NS_MAX = 60 * 1_000_000_000
"""A rate of a feed that is older than this is stale."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """What one unit of `asset` brings in `currency`, in micro-units of it."""

    asset: str
    currency: str
    micro: int
    source: str
    """The book or rule it comes from, for people."""
    at_ns: int | None = None
    """When its source proved it; None = it is a rule, and does not age."""

    def stale(self, now_ns: int) -> bool:
        """Say whether it is too old to be used."""
        return self.at_ns is not None and now_ns - self.at_ns > RATE_AGE_NS_MAX

    def worth_micro(self, amount: int, now_ns: int) -> int | None:
        """Return the worth of an amount in 10^-18, rounded down; None = the rate is stale."""
        return None if self.stale(now_ns) else amount * self.micro // 10**DECIMALS_MAX


PAR: Mapping[str, str] = {
    "USDC": "it is USDC",
    "USDC.e": "bridged USDC, counted one to one",
    "pUSD": "Polymarket's collateral, issued for USDC, counted one to one",
}
"""Currencies that are counted as USDC, and why. Every other one needs a rate of a feed."""


def par(currency: str) -> Rate | None:
    """Return the rate of a currency that is counted one to one as USDC; None = unknown."""
    why = PAR.get(currency)
    if why is None:
        return None
    return Rate(asset=currency, currency=DOLLAR, micro=MICRO, source=why)


def counted_as(currency: str) -> str:
    """Return in what a currency counts beside others: USDC where it is one to one, else itself.

    Amounts of two currencies are added without a rate only where this gives the same for both.
    """
    return DOLLAR if currency in PAR else currency


# -- What books say of currencies, for limits over accounts of several -----------------------------
# The best price at which a trusted book gives USDC, or what counts as it, for a currency: the
# newest one is used, and none that is stale. Without one an amount is unknown, and what adds risk
# is denied: a total that is guessed is no limit.

Marks = Callable[[InstrumentId], BookMarked | None]


class RateBook:
    """What one account's books say of currencies. Given by the executor: `listed`, then `read`."""

    def __init__(self) -> None:
        self.currency = ""
        """What the account counts in; empty = its executor was not made yet."""
        self.needed: frozenset[str] = frozenset()
        """Currencies whose rate accounts of its mode need."""
        self.pairs: frozenset[InstrumentId] = frozenset()
        """The pairs whose marks are needed for that."""
        self._pairs: dict[InstrumentId, Instrument] = {}
        self._marks: Marks = lambda _: None

    def read(self, currency: str, marks: Marks) -> None:
        """Read these marks, for an account that counts in a currency."""
        self.currency, self._marks = currency, marks

    def need(self, currencies: Iterable[str]) -> None:
        """Take which currencies' rates accounts of the mode need."""
        self.needed = frozenset(currencies)
        self._choose()

    def _choose(self) -> None:
        needed, pairs = self.needed, self._pairs.items()
        self.pairs = frozenset(key for key, pair in pairs if _priced(pair) in needed)

    def listed(self, instrument: Instrument) -> None:
        """Learn an instrument: a pair of which one side counts as USDC gives a rate."""
        if instrument.kind is Kind.SPOT and _priced(instrument):
            self._pairs[instrument.id] = instrument
            self._choose()

    def forget(self, key: InstrumentId) -> None:
        """Drop an instrument that is over."""
        if self._pairs.pop(key, None) is not None:
            self._choose()

    def of(self, currency: str) -> Iterator[Rate]:
        """Give every rate of a currency that its books prove, in micro-USDC, however old."""
        for key, pair in self._pairs.items():
            mark = self._marks(key) if _priced(pair) == currency else None
            if mark is None or not mark.trusted or mark.proof_ns is None:
                continue
            if pair.currency == currency:  # what is sold is dollars: one of it buys 1 / ask
                price, side = mark.best_ask, "best ask"
                micro = None if not price else pair.price_unit * MICRO // price
            else:
                price, side = mark.best_bid, "best bid"
                micro = None if not price else price * MICRO // pair.price_unit
            if micro:
                said = f"{side} of {key}"
                yield Rate(
                    asset=currency, currency=DOLLAR, micro=micro, source=said, at_ns=mark.proof_ns
                )


def _priced(pair: Instrument) -> str:
    """Return which currency a pair gives in USDC or for it; empty = none."""
    base = "" if pair.base is UNSET else pair.base.id
    if counted_as(pair.currency) == DOLLAR:
        return "" if counted_as(base) == DOLLAR else base
    return pair.currency if counted_as(base) == DOLLAR else ""


def newest_rate(currency: str, books: Iterable[RateBook]) -> Rate | None:
    """Return what a currency is worth in USDC: by rule, or the newest that books say; None = none.

    It may be stale: see `Rate.stale`.
    """
    found = [rate for book in books for rate in book.of(currency)]
    return par(currency) or max(found, key=lambda rate: rate.at_ns or 0, default=None)


def converted(
    micro: int, *, of: str, into: str, books: Iterable[RateBook], now_ns: int
) -> int | None:
    """Return an amount in another currency, rounded up; None = a rate is missing or stale."""
    books = tuple(books)
    sold, bought = newest_rate(of, books), newest_rate(into, books)
    if sold is None or bought is None or sold.stale(now_ns) or bought.stale(now_ns):
        return None
    return ceil_div(micro * sold.micro, bought.micro)
