"""A recording of a perpetual is played long and short: cash, equity and a digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from engine.bots.bot import Bot
from engine.domain.events import OrderFilled
from engine.domain.instruments import AccountId, BotId, Side
from engine.domain.intents import Target, Urgency
from engine.domain.money import MICRO
from engine.domain.settings import RiskLimits
from engine.lab.recordings.bar_files import BarMarket, BarRecording
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

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        made = super().evaluate(context, now_ns)
        wanted = (5, -7, 0)[now_ns // (600 * S) % 3] * 10**context.view.instrument.size_decimals
        bid, ask = context.view.best_bid, context.view.best_ask
        if bid is None or ask is None:
            return made
        target = Target(
            bot=made.decision.bot, instrument=context.view.instrument.id, position=wanted,
            limit_price=bid - 50 if wanted < context.inventory.position else ask + 50,
            urgency=Urgency.CROSS, valid_until_ns=now_ns + 120 * S, decision=context.decision,
        )  # fmt: skip
        return replace(made, intents=(target,))


class Kept(DigestRecorder):
    """A recorder that keeps the fills, too."""

    def __init__(self) -> None:
        super().__init__()
        self.fills: list[OrderFilled] = []
        self.sides: dict[int, Side] = {}

    def append(self, account: str, message: Any, at_ns: int) -> int:
        if isinstance(message, OrderFilled):
            self.fills.append(message)
        elif hasattr(message, "order") and hasattr(message.order, "side"):
            self.sides[message.order.id] = message.order.side
        return super().append(account, message, at_ns)


def played(path: Path) -> tuple[ReplayResult, Kept, BarRecording]:
    market = BarMarket(taker_fee_bps=FEE_BPS)
    recording = BarRecording(path, market=market, name=NAME)
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
    return replay.run(lambda *_: None), kept, recording


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
