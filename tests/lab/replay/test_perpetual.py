"""A recording of a perpetual is played long and short: cash, equity, funding and a digest."""

from __future__ import annotations

import gzip
import json
import math
import tarfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine.bots.bot import Bot
from engine.domain.events import OrderFilled
from engine.domain.instruments import AccountId, BotId, Side
from engine.domain.intents import Target, Urgency
from engine.domain.money import MICRO
from engine.domain.perpetual_events import FundingPaid
from engine.domain.run_funding import RunFunding
from engine.domain.settings import RiskLimits
from engine.lab.formats.importing import ImportRequest, import_files
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.door import MadeRecording
from engine.lab.recordings.funding import with_rates
from engine.lab.recordings.made_bars import BarMarket
from engine.lab.replay.bar_lane import BarLane, TakenBars
from engine.lab.replay.result import ReplayResult
from engine.lab.replay.setup import assemble
from engine.strategies.door import Context, Evaluation
from engine.strategies.sma_cross import SmaCross, SmaCrossParameters
from engine.venues.paper.settings import PaperSettings
from tests.lab.replay.test_rest import ACCOUNT, CASH, DigestRecorder, written

NAME = "binance:BTC/USDT:USDT"
FEE_BPS = 4.0
S = 1_000_000_000


class Flipper(SmaCross):
    """Long, short and flat in turn, ten bars each."""

    period_s, sizes, beyond = 600, (5.0, -7.0, 0.0), 50

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        made = super().evaluate(context, now_ns)
        unit = 10**context.view.instrument.size_decimals
        wanted = round(self.sizes[now_ns // (self.period_s * S) % 3] * unit)
        bid, ask = context.view.best_bid, context.view.best_ask
        if bid is None or ask is None:
            return made
        target = Target(
            bot=made.decision.bot, instrument=context.view.instrument.id, position=wanted,
            limit_price=bid - self.beyond if wanted < context.inventory.position
            else ask + self.beyond,
            urgency=Urgency.CROSS, valid_until_ns=now_ns + 120 * S, decision=context.decision,
        )  # fmt: skip
        return replace(made, intents=(target,))


class Kept(DigestRecorder):
    """A recorder that keeps the fills, too."""

    def __init__(self) -> None:
        super().__init__()
        self.fills: list[OrderFilled] = []
        self.filled_ns: list[int] = []
        self.fundings: list[FundingPaid] = []
        self.sides: dict[int, Side] = {}

    def append(self, account: str, message: Any, at_ns: int) -> int:
        if isinstance(message, OrderFilled):
            self.fills.append(message)
            self.filled_ns.append(at_ns)
        elif isinstance(message, FundingPaid):
            self.fundings.append(message)
        elif hasattr(message, "order") and hasattr(message.order, "side"):
            self.sides[message.order.id] = message.order.side
        return super().append(account, message, at_ns)


def played(path: Path) -> tuple[ReplayResult, Kept, BarRecording]:
    recording = BarRecording(path, market=BarMarket(taker_fee_bps=FEE_BPS), name=NAME)
    return *flipped(recording), recording


def flipped(recording: MadeRecording) -> tuple[ReplayResult, Kept]:
    kept = Kept()
    bot = Bot(
        name=BotId("flip"), account=AccountId(ACCOUNT), everything=True,
        capital_micro=CASH * MICRO,
        strategy=Flipper(SmaCrossParameters(bars="1m", fast=3, slow=8), BotId("flip")),
    )  # fmt: skip
    replay = assemble(
        recording=recording, bots=(bot,), cash_micro=CASH * MICRO, recorder=kept,
        limits=RiskLimits.model_validate({
            "data_age_ms_max": recording.data_age_ms,
            **{name: {"percent": 100} for name in (
                "daily_loss_max", "drawdown_max", "exposure_instrument_max", "exposure_market_max",
                "exposure_bot_max", "exposure_account_max", "exposure_total_max", "order_value_max",
            )},
        }),
        paper=PaperSettings(
            order_latency_ms=150, cancel_latency_ms=150, starting_cash={"USDT": CASH}
        ),
        currency="USDT", tick_ns=recording.tick_ns, decide=lambda _: None,
    )  # fmt: skip
    return replay.run(lambda *_: None), kept


def test_it_is_held_long_and_short_and_what_it_gains_is_what_its_fills_come_to(
    tmp_path: Path,
) -> None:
    result, kept, recording = played(written(tmp_path / "b.csv", 5))
    divisor = recording.instrument.value_divisor
    position = least = most = flow = fees = 0
    for fill in kept.fills:
        sign = 1 if kept.sides[fill.order] is Side.BUY else -1
        position += sign * fill.size
        least, most = min(least, position), max(most, position)
        flow += sign * fill.moved_micro(recording.instrument, kept.sides[fill.order])
        fees += fill.fee_micro
    assert not {"cash_differs", "position_differs", "oversold"} & {*result.alerts}
    assert result.bot_errors == {}
    assert least < 0 < most, "it went short and long"
    assert result.fees_micro == fees > 0
    closes = [line.split(",")[4] for line in (tmp_path / "b.csv").read_text().splitlines()[1:]]
    price = recording.instrument.price_of(closes[-1])
    worth = position * price // divisor
    assert result.equity_end_micro == CASH * MICRO - flow - fees + worth
    assert played(tmp_path / "b.csv")[0].digest == result.digest


# -- The funding of recorded rates -----------------------------------------------------------------

WLD = "binance:WLD/USDT:USDT"
DAYS = 4
STEP_NS = 180 * S


def recorded_market(recordings: Path, folder: Path) -> tuple[Path, list[tuple[int, str]]]:
    """Write four days of recorded bars of a perpetual; return the file and its recorded rates."""
    with gzip.open(recordings / "crypto_klines/binance_perp_WLD-USDT_3m.csv.gz", "rt") as lines:
        rows = [line.strip().split(",") for line in lines][: 1 + DAYS * 480]
    head, *bars = [row[:6] for row in rows]
    path = folder / "wld.csv"
    path.write_text("\n".join(",".join(row) for row in [head, *bars]), encoding="utf-8")
    archive = recordings / "funding_binance_mexc/binance_usdm_funding_826sym.tar.gz"
    with tarfile.open(archive) as packed:
        file = packed.extractfile("funding/WLDUSDT.json")
        assert file is not None
        told = json.loads(file.read(), parse_float=str)
    return path, [(one["t"] * 10**6, str(one["rate"])) for one in told["events"]]


def imported_rates(folder: Path, rates: list[tuple[int, str]]) -> Path:
    path = folder / "rates.csv"
    rows = [f"{at_ns // 10**6},{rate}" for at_ns, rate in rates]
    path.write_text("\n".join(["time,rate", *rows]), encoding="utf-8")
    asked = ImportRequest(files=(path,), instrument=WLD, name="wld-rates")
    import_files(asked, folder / "data", 1, lambda *_: None)
    return folder / "data/wld-rates"


def recomputed(path: Path, rates: list[tuple[int, str]], kept: Kept, unit: int) -> list[int]:
    """Return what the stamps within the bars move, of fills, bars and rates alone."""
    rows = [line.split(",") for line in path.read_text("utf-8").splitlines()[1:]]
    opens = {int(float(row[0])) * 10**6: row[1] for row in rows}
    moved = []
    for at_ns, rate in rates:
        opened = opens.get(at_ns // STEP_NS * STEP_NS)
        if opened is None:
            continue
        position = sum(
            one.size if kept.sides[one.order] is Side.BUY else -one.size
            for one, filled_ns in zip(kept.fills, kept.filled_ns, strict=True)
            if filled_ns <= at_ns
        )
        value = Fraction(position, unit) * Fraction(opened)
        if position and Fraction(rate):
            moved.append(math.floor(-value * Fraction(rate) * MICRO))
    return moved


@pytest.mark.long
def test_recorded_rates_over_recorded_bars_pay_what_fills_bars_and_rates_come_to(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rates = recorded_market(recordings, tmp_path)
    folder = imported_rates(tmp_path, rates)
    market = BarMarket(taker_fee_bps=FEE_BPS)
    bars = BarRecording(path, market=market, name=WLD)
    result, kept = flipped(with_rates(bars, folder))
    amounts = [one.amount_micro for one in kept.fundings]
    unit = 10**bars.instrument.size_decimals
    assert amounts == recomputed(path, rates, kept, unit)
    assert min(amounts) < 0 < max(amounts), "it paid and got, long and short"
    assert (result.funding.stamps, result.funding.paid_micro) == (3 * DAYS, sum(amounts))
    assert result.markets[WLD].funding_micro == sum(amounts)
    gained = sum(one.pnl_micro for one in result.markets.values())
    assert gained == result.equity_end_micro - result.equity_start_micro
    assert not {"cash_differs", "funding_twice", "position_differs"} & {*result.alerts}
    without, _ = flipped(BarRecording(path, market=market, name=WLD))
    assert without.funding.summary() == RunFunding()
    assert RunFunding().sentence == "Funding: not in this data, counted as none."
    monkeypatch.setattr(
        BarLane, "take", lambda _, bars, at, __: TakenBars(1, bars.made(at).events())
    )
    event_by_event, _ = flipped(with_rates(BarRecording(path, market=market, name=WLD), folder))
    assert event_by_event.digest == result.digest
    assert event_by_event.equity == result.equity
