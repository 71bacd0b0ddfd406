"""A recording of the demo exchange's perpetual: cash, funding, liquidation and one digest."""

from __future__ import annotations

import asyncio
import math
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from engine.bots.bot import Bot
from engine.domain.events import BookProven, InstrumentListed
from engine.domain.instruments import AccountId, BotId, Instrument, Side
from engine.domain.money import MICRO
from engine.domain.perpetual_events import FundingSettled, MarkPriced
from engine.domain.products.funding import HOUR_NS
from engine.domain.settings import RiskLimits
from engine.lab.recordings.open import instrument_recorded, open_recording
from engine.lab.replay.result import ReplayResult
from engine.lab.replay.setup import assemble
from engine.strategies.sma_cross import SmaCrossParameters
from engine.venues.demo.profiles import PERPETUAL, SPOT, THIN
from engine.venues.demo.spot import perpetual_instrument
from engine.venues.demo.world import open_world
from engine.venues.paper.settings import PaperSettings
from storage.jobs import RecordingState
from tests.lab.recordings.test_taped import Desk, Timed
from tests.lab.replay.test_perpetual import Flipper, Kept
from tests.venues.demo.builders import START, S

TERMS = replace(perpetual_instrument(PERPETUAL), currency="USDT")
UNIT = 10**TERMS.size_decimals
BEGIN = START // HOUR_NS * HOUR_NS + HOUR_NS - 100 * S
SECONDS = 200
CASH = 3_000


class Quick(Flipper):
    """A minute short, a minute flat, and a minute long before each full hour."""

    period_s, sizes, beyond = 60, (-0.3, 0.0, 0.2), 100 * 10**TERMS.price_decimals


def day(terms: Instrument) -> Timed:
    """Return what the exchange says in the minutes about a full hour."""
    profile = replace(THIN, series=(), events=(), spots=(SPOT,), perpetuals=(PERPETUAL,))
    made = open_world(profile, rng=Random(4), now_ns=BEGIN)
    made.take_public()
    found: Timed = [(BEGIN, event) for event in made.opening()]
    for second in range(1, SECONDS + 1):
        made.advance(BEGIN + second * S)
        found += [(at, one) for at, one in made.take_public() if not hasattr(one, "price_e8")]
        found.append((made.now_ns, BookProven(instrument=terms.id)))
    return [
        (at, InstrumentListed(instrument=terms) if isinstance(one, InstrumentListed) else one)
        for at, one in found
        if not isinstance(one, InstrumentListed) or one.instrument.id == terms.id
    ]


def recorded(folder: Path, told: Timed) -> Path:
    desk = Desk(folder, [TERMS.id], BEGIN)
    asyncio.run(desk.record(told))
    assert desk.ends == [(RecordingState.STOPPED, "stopped by ann")]
    return folder


def played(path: Path) -> tuple[ReplayResult, Kept]:
    kept = Kept()
    account, name = AccountId("paper:replay"), BotId("flip")
    parameters = SmaCrossParameters(bars="1s", fast=3, slow=8)
    bot = Bot(name=name, account=account, everything=True, capital_micro=CASH * MICRO * 10,
              strategy=Quick(parameters, name))  # fmt: skip
    replay = assemble(
        recording=open_recording(path), bots=(bot,), cash_micro=CASH * MICRO, recorder=kept,
        limits=RiskLimits.model_validate({
            name: {"absolute": 10**6} for name in (
                "daily_loss_max", "drawdown_max", "exposure_instrument_max", "exposure_market_max",
                "exposure_bot_max", "exposure_account_max", "exposure_total_max", "order_value_max",
            )
        }),
        paper=PaperSettings(starting_cash={"USDT": CASH}), currency="USDT", decide=lambda _: None,
    )  # fmt: skip
    return replay.run(lambda *_: None), kept


def traded(kept: Kept, before_ns: int) -> tuple[int, int, int]:
    """Return position, signed flow in micro-units and fees of the fills up to a time."""
    position = flow = fees = 0
    for fill, at_ns in zip(kept.fills, kept.filled_ns, strict=True):
        if at_ns <= before_ns:
            side = kept.sides[fill.order]
            sign = 1 if side is Side.BUY else -1
            position += sign * fill.size
            flow += sign * fill.moved_micro(TERMS, side)
            fees += fill.fee_micro
    return position, flow, fees


@pytest.mark.long
def test_it_has_cash_funding_and_one_digest(tmp_path: Path) -> None:
    told = day(TERMS)
    path = recorded(tmp_path / "day", told)
    assert instrument_recorded(path) == TERMS
    (settled,) = [one for _, one in told if isinstance(one, FundingSettled)]
    result, kept = played(path)
    (paid,) = kept.fundings
    position, *_ = traded(kept, paid.stamp_ns)
    value = Fraction(position, UNIT) * Fraction(settled.mark_e8, 10**8)
    rate = Fraction(settled.rate_e18, 10**18)
    assert paid.amount_micro == math.floor(-value * rate * MICRO) != 0
    left, flow, fees = traded(kept, 1 << 62)
    assert left == 0 < fees
    assert result.equity_end_micro == CASH * MICRO - flow - fees + paid.amount_micro
    assert (result.currency, result.funding.stamps, result.liquidations) == ("USDT", 1, 0)
    assert not {"cash_differs", "position_differs", "funding_twice"} & {*result.alerts}
    assert played(path)[0].digest == result.digest


@pytest.mark.long
def test_without_a_mark_nothing_is_opened_and_the_limit_says_so(tmp_path: Path) -> None:
    told = [(at, one) for at, one in day(TERMS) if not isinstance(one, MarkPriced)]
    result, _ = played(recorded(tmp_path / "day", told))
    assert (result.fills, [*result.denials]) == (0, ["liquidation_buffer"])


@pytest.mark.long
def test_what_falls_below_its_maintenance_is_liquidated_and_the_books_agree(tmp_path: Path) -> None:
    told = day(TERMS)
    at = next(n for n, (at_ns, _) in enumerate(told) if at_ns >= BEGIN + 150 * S)
    spike = MarkPriced(instrument=TERMS.id, mark_e8=90_000 * 10**8)
    path = recorded(tmp_path / "day", [*told[:at], (told[at][0], spike), *told[at:]])
    result, kept = played(path)
    short, *_ = traded(kept, BEGIN + 150 * S)
    assert short < 0, "it is short when the mark rises"
    assert result.liquidations == 1
    assert result.alerts["position_liquidated"] == 1
    assert not {"cash_differs", "position_differs"} & {*result.alerts}
    assert result.equity_end_micro == 0
    assert played(path)[0].digest == result.digest
