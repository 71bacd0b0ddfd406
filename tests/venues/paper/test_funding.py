"""Funding at the paper venue: each stamp once, by what is held, exactly as arithmetic says."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import math
import random
import tarfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.domain.effects import QueryRedemptions
from engine.domain.events import BalancesListed, Event, InstrumentListed, RedemptionsListed
from engine.domain.instruments import InstrumentId, Kind, Leg
from engine.domain.perpetual_events import FundingPaid, FundingSettled
from engine.domain.products.funding import HOUR_NS, RateType, rate_e18, typed_rates
from engine.errors import BadInput
from engine.venues.paper.core import PaperVenue
from tests.venues.paper.world import ACCOUNT, BUY, LINEAR, SELL, SPOT, World, events, settings

PERPETUAL = replace(SPOT, id=InstrumentId("okx:BTC/USDT:USDT"), kind=Kind.PERPETUAL)
KEY = PERPETUAL.id
CASH = 1_000_000
E8 = 10**8
MS = 1_000_000

Rate = tuple[int, str]
"""(stamp in ns, rate as it is written)"""


def world(position: float) -> World:
    """Return a venue where so much is held, in units of the base: bought or sold at 40.00."""
    made = World(settings(cash=CASH), PERPETUAL)
    made.book({40: 10_000}, {40: 10_000}, instrument=KEY)
    hold(made, position)
    return made


def hold(made: World, change: float) -> None:
    side = BUY if change > 0 else SELL
    made.take(side, 40, abs(change), leg=Leg.BASE, instrument=KEY)
    made.book({40: 10_000}, {40: 10_000}, instrument=KEY)


def settled(stamp_ns: int, rate: str, mark_e8: int, **more: object) -> FundingSettled:
    fields = {"instrument": KEY, "stamp_ns": stamp_ns, "rate_e18": rate_e18(rate)}
    return FundingSettled(**(fields | {"mark_e8": mark_e8} | more))


def paid(given: list[Event]) -> list[FundingPaid]:
    return [one for one in given if isinstance(one, FundingPaid)]


def cash(made: World) -> int:
    (balances,) = [one for one in made.ask_balances() if isinstance(one, BalancesListed)]
    return balances.cash_micro["USDT"]


# -- the recorded rates ----------------------------------------------------------------------------


def of_binance(recordings: Path, wanted: int | None) -> Iterator[tuple[str, list[Rate]]]:
    path = recordings / "funding_binance_mexc/binance_usdm_funding_826sym.tar.gz"
    with tarfile.open(path) as archive:
        for number, member in enumerate(one for one in archive if one.isfile()):
            if wanted is not None and number % (826 // wanted):
                continue
            file = archive.extractfile(member)
            assert file is not None
            told = json.loads(file.read(), parse_float=str)
            yield member.name, [(one["t"] * MS, str(one["rate"])) for one in told["events"]]


def of_venues(recordings: Path) -> Iterator[tuple[str, list[Rate]]]:
    for path in sorted((recordings / "funding_multi_venue").glob("*.csv.gz")):
        with gzip.open(path, "rt") as lines:
            rows = list(csv.DictReader(lines))
        stamps = (dt.datetime.fromisoformat(row["Date"] + "+00:00") for row in rows)
        rates = [
            (round(at.timestamp()) * 10**9, row["Funding Rate"])
            for at, row in zip(stamps, rows, strict=True)
        ]
        yield path.name, rates


def recomputed(size: Fraction, rates: list[Rate], marks: list[Fraction]) -> list[int]:
    """Return what each stamp pays in micro-units, by the rule alone: −size·mark·rate, down."""
    return [
        math.floor(-size * mark * Fraction(rate) * 10**6)
        for (_, rate), mark in zip(rates, marks, strict=True)
    ]


def assert_as_recomputed(name: str, rates: list[Rate], chance: random.Random) -> int:
    """Pay all of a file to a long and to a short, and compare each payment; return how many."""
    marks, mark = [], Fraction(40)
    for _ in rates:
        mark = max(mark * Fraction(chance.randint(9_700, 10_300), 10_000), Fraction(1, 100))
        mark = Fraction(round(mark * E8), E8)
        marks.append(mark)
    count = 0
    for size in (Fraction("1.234567"), Fraction("-0.707107")):
        made = world(float(size))
        before = cash(made)
        types = [kind for *_, kind in typed_rates((at_ns, rate_e18(rate)) for at_ns, rate in rates)]
        for (at_ns, rate), one, kind in zip(rates, marks, types, strict=True):
            made.receive(settled(at_ns, rate, int(one * E8), rate_type=kind))
        expected = recomputed(size, rates, marks)
        moved = [one for one, (_, rate) in zip(expected, rates, strict=True) if Fraction(rate)]
        assert [one.amount_micro for one in paid(made.events)] == moved, name
        assert cash(made) - before == sum(moved), name
        count += len(moved)
    return count


@pytest.mark.long
def test_recorded_rates_pay_to_the_last_digit(recordings: Path) -> None:
    chance = random.Random(5)
    files = [*of_binance(recordings, 6), *[one for one in of_venues(recordings) if "kuc" in one[0]]]
    assert sum(assert_as_recomputed(*one, chance) for one in files) > 10_000


@pytest.mark.soak
def test_all_recorded_rates_pay_to_the_last_digit(recordings: Path) -> None:
    chance = random.Random(6)
    files = [*of_binance(recordings, None), *of_venues(recordings)]
    assert sum(assert_as_recomputed(*one, chance) for one in files) > 800_000


# -- once, by what is held -------------------------------------------------------------------------


def test_a_long_pays_a_short_gets_and_a_rate_below_zero_turns_it() -> None:
    for size, rate, amount in (
        (2.5, "0.0001", -10_000_000),
        (-2.5, "0.0001", 10_000_000),
        (2.5, "-0.02", 2_000_000_000),
        (-2.5, "-0.02", -2_000_000_000),
    ):
        made = world(size)
        (one,) = paid(events(made.receive(settled(HOUR_NS, rate, 40_000 * E8))))
        assert (one.amount_micro, one.stamp_ns, one.account) == (amount, HOUR_NS, ACCOUNT)
        assert (one.rate_e18, one.mark_e8) == (rate_e18(rate), 40_000 * E8)


def test_a_stamp_is_paid_once_by_the_position_of_its_moment() -> None:
    made = world(1)
    made.receive(settled(8 * HOUR_NS, "0.001", 40 * E8))
    hold(made, 2)
    made.receive(settled(8 * HOUR_NS + 6 * MS, "0.001", 41 * E8))  # told again, milliseconds late
    made.receive(settled(8 * HOUR_NS, "0.002", 40 * E8, rate_type=RateType.SPECIAL))
    hold(made, -5)
    made.receive(settled(16 * HOUR_NS, "0.001", 50 * E8))
    assert [one.amount_micro for one in paid(made.events)] == [-40_000, -240_000, 100_000]


def test_nothing_held_a_pair_and_a_rate_of_zero_move_nothing() -> None:
    made = World(settings(cash=CASH), SPOT, PERPETUAL)
    made.book({40: 100}, {40: 100}, instrument=LINEAR)
    made.take(BUY, 40, 3, leg=Leg.BASE, instrument=LINEAR)
    before = cash(made)
    made.receive(settled(HOUR_NS, "0.001", 40 * E8, instrument=LINEAR))
    made.receive(settled(HOUR_NS, "0.001", 40 * E8))
    made.receive(settled(HOUR_NS, "0.001", 40 * E8, instrument=InstrumentId("x:unknown")))
    assert (paid(made.events), cash(made)) == ([], before)
    made = world(1)
    made.receive(settled(HOUR_NS, "0", 40 * E8))
    assert paid(made.events) == []


def test_it_is_listed_since_a_time_and_a_restart_pays_no_stamp_again() -> None:
    made = world(1)
    for hour in (1, 2):
        made.receive(settled(hour * HOUR_NS, "0.001", 40 * E8))
    asked = QueryRedemptions(account=ACCOUNT, since_ns=2 * HOUR_NS)
    (listed,) = [one for one in events(made.ask(asked)) if isinstance(one, RedemptionsListed)]
    assert listed.fundings == tuple(paid(made.events)[1:])
    made.venue = PaperVenue(ACCOUNT, settings())
    made.venue.resume(
        cash={"USDT": 10**12}, owned=[], open_orders=[], fill_count=9,
        funded=[one.name for one in listed.fundings],
    )  # fmt: skip
    made.receive(InstrumentListed(instrument=PERPETUAL))
    seen = len(made.received)
    made.book({40: 100}, {40: 100}, instrument=KEY)
    hold(made, 1)
    made.receive(settled(2 * HOUR_NS, "0.001", 40 * E8))
    made.receive(settled(3 * HOUR_NS, "0.001", 40 * E8))
    after = events([one for _, one in made.received[seen:]])
    assert [one.stamp_ns for one in paid(after)] == [3 * HOUR_NS]


@pytest.mark.parametrize(("mark", "rate"), [(0, 1), (-1, 1), (1, 10**18), (1, -(10**18))])
def test_a_mark_of_zero_and_a_rate_of_all_are_refused(mark: int, rate: int) -> None:
    with pytest.raises(BadInput, match="okx:BTC/USDT:USDT"):
        FundingSettled(instrument=KEY, stamp_ns=1, rate_e18=rate, mark_e8=mark)
