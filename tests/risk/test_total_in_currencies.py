"""The limit over all accounts of a mode, where they count in several currencies."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.assets import Asset
from engine.domain.events import BookMarked
from engine.domain.instruments import InstrumentId
from engine.domain.rates import RATE_AGE_NS_MAX
from engine.domain.settings import Limit
from engine.executor.fills import LegHolding
from engine.risk.exposure import NO_BOUND, ExposureBook, share_total
from engine.risk.gate import Allowed, Breakers, Denied, RiskGate
from engine.risk.reasons import DenyReason
from tests.executor.conftest import LIMITS, SHARE, Build

BUILD = Build()
USD = 1_000_000
NOW = 1_000 * 10**9


class Desk:
    """Accounts of one mode, by currency, and the marks their books have."""

    def __init__(self, *currencies: str, **limits: Any) -> None:
        self.marks: dict[InstrumentId, BookMarked] = {}
        self.books = [ExposureBook() for _ in currencies]
        for book, currency in zip(self.books, currencies, strict=True):
            book.rates.read(currency, self.marks.get)
            book.listed(BUILD.binary(currency=currency))
        share_total(self.books)
        limits = {"exposure_total_max": Limit(absolute=100), **limits}
        made = LIMITS.model_copy(update=limits)
        self.gate = RiskGate(limits=made, breakers=Breakers(made), exposure=self.books[0])

    def mark(self, base: str, quote: str, bid: int | None, ask: int | None, **changes: Any) -> None:
        """Let the first account's books show a pair; prices in hundredths."""
        pair = BUILD.spot(f"venue:{base}/{quote}", currency=quote, base=Asset(base, 8))
        self.books[0].listed(pair)
        fields: dict[str, Any] = {
            "instrument": pair.id, "best_bid": bid, "best_ask": ask, "mid2": None,
            "two_sided_ns": NOW, "proof_ns": NOW, "trusted": True,
        }  # fmt: skip
        self.marks[pair.id] = BookMarked(**(fields | changes))

    def risks(self, number: int, micro: int) -> None:
        self.books[number].account.micro = micro

    def asks(self, shares: int, *, reduces: int = 0) -> Allowed | Denied:
        """Ask for a BUY of YES at 50 cents."""
        order = BUILD.order(1, price=5_000, size=shares * SHARE, created_ns=NOW)
        return self.gate.check(order, reduces=lambda _: reduces, mark_age_ns=0, open_orders=0)


def test_exposure_in_another_currency_counts_at_its_rate() -> None:
    desk = Desk("USDC", "EUR")
    desk.risks(1, 50 * USD)
    desk.mark("EUR", "USDC", 110, 111)
    assert desk.books[0].total_micro(NOW) == 55 * USD
    assert desk.asks(90) == Allowed(90 * SHARE)
    assert desk.asks(200) == Allowed(90 * SHARE)
    assert desk.books[0].unknown_rates(NOW) == ""


@pytest.mark.parametrize("quote", ["pUSD", "USDC"])
def test_a_pair_that_sells_dollars_gives_a_rate_by_its_ask(quote: str) -> None:
    desk = Desk("pUSD", "USDT")
    desk.risks(1, 50 * USD)
    desk.mark(quote, "USDT", 99, 200)
    assert desk.books[0].total_micro(NOW) == 25 * USD


def test_an_account_in_another_currency_counts_dollars_at_its_own_rate() -> None:
    desk = Desk("EUR", "pUSD")
    desk.risks(1, 55 * USD)
    desk.mark("EUR", "USDC", 110, 111)
    assert desk.books[0].total_micro(NOW) == 50 * USD
    rate = desk.books[0].rate(NOW)
    assert rate is not None
    assert (rate.micro, rate.source) == (1_100_000, "best bid of venue:EUR/USDC")
    assert desk.books[0].rate(NOW + RATE_AGE_NS_MAX + 1) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"best_bid": None}, "no book gives a rate of EUR to USDC"),
        ({"trusted": False}, "no book gives a rate of EUR to USDC"),
        ({"proof_ns": None}, "no book gives a rate of EUR to USDC"),
        (
            {"proof_ns": NOW - RATE_AGE_NS_MAX - 1},
            "the rate of EUR is stale (best bid of venue:EUR/USDC)",
        ),
    ],
)
def test_without_a_fresh_rate_what_adds_risk_is_denied_and_the_total_is_unknown(
    changes: dict[str, Any], why: str
) -> None:
    desk = Desk("USDC", "EUR")
    desk.risks(1, 1)
    desk.mark("EUR", "USDC", 110, 111, **changes)
    denied = desk.asks(10)
    assert isinstance(denied, Denied)
    assert denied.reason is DenyReason.RATE_UNKNOWN
    assert not [value for _, value in denied.numbers if abs(value) >= NO_BOUND // 2]
    assert desk.books[0].total_micro(NOW) is None
    assert desk.books[0].unknown_rates(NOW) == why


def test_without_a_rate_what_reduces_passes_and_what_has_no_exposure_needs_none() -> None:
    desk = Desk("USDC", "EUR")
    assert desk.asks(10) == Allowed(10 * SHARE)
    desk.risks(1, 1)
    assert isinstance(desk.asks(10), Denied)
    key = BUILD.binary().id
    tokens = LegHolding(settled=20 * SHARE, cost_settled_micro=10 * USD)
    desk.books[0].holding(key, LegHolding(), tokens)
    assert desk.asks(10, reduces=10 * SHARE) == Allowed(10 * SHARE)


def test_pairs_of_rates_are_asked_for_where_accounts_differ_alone() -> None:
    for currencies, needed in ((("pUSD", "USDC"), set()), (("pUSD", "EUR"), {"venue:EUR/USDC"})):
        desk = Desk(*currencies)
        desk.mark("EUR", "USDC", 110, 111)
        desk.mark("BTC", "USDC", 110, 111)
        assert desk.books[0].rates.pairs == needed
    desk.books[0].forget(InstrumentId("venue:EUR/USDC"))
    assert desk.books[0].rates.pairs == set()
