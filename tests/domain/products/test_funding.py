"""Funding against recorded rates of seven venues, recomputed in fractions to the last digit."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import tarfile
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import InstrumentId
from engine.domain.products.funding import (
    HOUR_NS,
    RateType,
    funding_cash,
    funding_name,
    funding_shares,
    nominal_stamp,
    rate_e18,
    typed_rates,
)
from engine.domain.products.margin import ContractValue
from engine.errors import BadInput

MS = 1_000_000
E8 = 10**8
LINEAR = ContractValue.of(3, 6)
COIN = ContractValue.of(0, 8, each=Decimal(100), inverse=True)
MYX = InstrumentId("binance:MYXUSDT")


@pytest.mark.parametrize(
    ("contract", "size", "mark", "rate", "cash"),
    [
        (LINEAR, 2_500, "40000", "0.0001", -10 * 10**6),  # a long of 2.5 BTC pays 10 USDT
        (COIN, -100, "40000", "0.0001", 2_500),  # a short of 100 contracts gets 0.000025 BTC
        (LINEAR, -4_000_000, "0.1", "-0.02", -8 * 10**6),  # a short pays a rate below 0
        (LINEAR, 0, "40000", "0.0001", 0),
        (LINEAR, 1, "0.1", "0.0001", -1),  # 0.00000001 USDT: a payment is rounded up
        (LINEAR, -1, "0.1", "0.0001", 0),  # and what is got is rounded down
    ],
)
def test_longs_pay_shorts_at_a_rate_above_0(
    contract: ContractValue, size: int, mark: str, rate: str, cash: int
) -> None:
    assert funding_cash(contract, size, int(Decimal(mark) * E8), rate_e18(rate)) == cash


@pytest.mark.parametrize("text", ["", "1", "-1.5", "NaN", "Infinity", "0.0000000000000000001"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        rate_e18(text)


def test_a_mark_of_0_pays_nothing_and_is_refused() -> None:
    with pytest.raises(BadInput, match="a price of 0"):
        funding_cash(LINEAR, 1, 0, 1)


# -- Names -----------------------------------------------------------------------------------------


def test_a_stamp_that_comes_late_has_the_name_of_its_hour() -> None:
    stamp = 1_751_500_800_000 * MS
    assert nominal_stamp(stamp + 6 * MS) == stamp
    late, early = (funding_name(MYX, stamp + off * MS, RateType.REGULAR) for off in (6, -2))
    assert late == early == f"funding:{MYX}:{stamp}:regular"
    assert funding_name(MYX, stamp, RateType.SPECIAL) != late
    assert funding_name(MYX, stamp + HOUR_NS, RateType.REGULAR) != late
    assert funding_name(InstrumentId("okx:MYX"), stamp, RateType.REGULAR) != late


def test_the_later_of_two_rates_at_a_stamp_is_the_special_one_and_a_third_is_refused() -> None:
    stamp = 1_783_296_000_001 * MS  # Binance, CSCOUSDT: a second row 1,000 ms behind the first
    rows = [(stamp, 0), (stamp + 1_000 * MS, -5), (stamp + HOUR_NS, 7)]
    kinds = [kind for *_, kind in typed_rates(rows)]
    assert kinds == [RateType.REGULAR, RateType.SPECIAL, RateType.REGULAR]
    with pytest.raises(BadInput, match="more than two rates"):
        list(typed_rates([*rows[:2], (stamp + 2_000 * MS, 1)]))


# -- Shares ----------------------------------------------------------------------------------------

SIZES = st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=12)


@given(
    SIZES, st.integers(1, 10**13), st.integers(-(10**17), 10**17), st.sampled_from([LINEAR, COIN])
)
def test_the_shares_of_owners_sum_to_what_the_account_paid(
    sizes: list[int], mark: int, rate: int, contract: ContractValue
) -> None:
    cash = funding_cash(contract, sum(sizes), mark, rate)
    parts = funding_shares(sizes, (contract, mark, rate), cash)
    assert sum(parts) == cash
    for size, part in zip(sizes, parts, strict=True):
        assert 0 <= part - funding_cash(contract, size, mark, rate) <= 1
    # A venue that rounds otherwise differs by more; nothing of it is lost.
    assert sum(funding_shares(sizes, (contract, mark, rate), cash - 7)) == cash - 7


def test_funding_of_no_position_is_refused() -> None:
    assert funding_shares([], (LINEAR, E8, 1), 0) == []
    with pytest.raises(BadInput, match="no owner holds"):
        funding_shares([], (LINEAR, E8, 1), 5)


# -- The recorded fundings -------------------------------------------------------------------------


def by_hand(size: int, mark: int, rate: str, *, inverse: bool) -> int:
    """Recompute a payment from the text of a rate, in fractions of whole coins."""
    price = Fraction(mark, E8)
    if inverse:
        return math.floor(-Fraction(size * 100) / price * Fraction(rate) * E8)
    return math.floor(-Fraction(size, 1_000) * price * Fraction(rate) * 10**6)


def multi_venue(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted((folder / "funding_multi_venue").glob("*.csv.gz")):
        with gzip.open(file, "rt") as text:
            for row in csv.DictReader(text):
                yield file.name, row["Funding Rate"]


def position(at: int) -> tuple[int, int]:
    """Return a size and a mark that differ at each funding, of both sides."""
    return (at % 977 - 488) * 37, 100 + at * 2_718_281_828 % (70_000 * E8)


def test_recorded_fundings_are_paid_to_the_last_digit(recordings: Path) -> None:
    seen = 0
    for at, (name, text) in enumerate(multi_venue(recordings)):
        size, mark = position(at)
        rate = rate_e18(text)
        for contract in (LINEAR, COIN):
            paid = funding_cash(contract, size, mark, rate)
            assert paid == by_hand(size, mark, text, inverse=contract.inverse), (name, at)
        seen += 1
    assert seen > 60_000


def test_each_recorded_stamp_of_a_contract_is_paid_once(recordings: Path) -> None:
    archive = recordings / "funding_binance_mexc" / "binance_usdm_funding_826sym.tar.gz"
    with tarfile.open(archive) as tar:
        member = tar.extractfile("funding/MYXUSDT.json")
        assert member is not None
        events = json.load(io.TextIOWrapper(member), parse_float=str)["events"]
    booked: dict[str, int] = {}
    for one in [*events, *events]:  # the venue's history is read twice
        name = funding_name(MYX, one["t"] * MS, RateType.REGULAR)
        booked.setdefault(name, funding_cash(LINEAR, -4_000_000, E8 // 10, rate_e18(one["rate"])))
    assert len(booked) == len(events) == 500
    assert sum(booked.values()) == sum(
        by_hand(-4_000_000, E8 // 10, one["rate"], inverse=False) for one in events
    )
