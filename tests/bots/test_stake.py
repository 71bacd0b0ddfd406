"""What limits leave of a bot's capital: a rule of bars wants no more than risk allows."""

from __future__ import annotations

from pathlib import Path

from engine.bots.bot import Bot, Stake
from engine.domain.decisions import Decision
from engine.domain.instruments import BotId, Mode
from engine.domain.intents import Target
from engine.domain.money import MICRO
from engine.domain.settings import RiskLimits
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.replay.result import ReplayResult
from engine.lab.replay.run import ACCOUNT, assemble
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.journal import DigestRecorder
from engine.strategies.registry import build
from engine.strategies.sma_cross import SmaCross, SmaCrossParameters
from engine.venues.paper.settings import PaperSettings
from tests.lab.replay.test_stopped import CASH, written


def played(path: Path, share: str, percent: str) -> tuple[ReplayResult, list[Decision]]:
    """Return a backtest of one bot with all of the cash, and every decision that has an intent."""
    recording = BarRecording(path, name="binance:BTC/USDT")
    decisions: list[Decision] = []
    parameters = {"fast": "3", "slow": "8", "bars": "1m", "share": share}
    bot = Bot(
        name=BotId("cross"), account=ACCOUNT, everything=True, capital_micro=CASH * MICRO,
        strategy=build("sma_cross", parameters, BotId("cross")),
    )  # fmt: skip
    wide = ("order_value_max", "exposure_market_max", "exposure_bot_max")
    limits = {name: {"percent": "100"} for name in wide}
    replay = assemble(
        recording=recording, bots=(bot,), limits=RiskLimits.model_validate(
            {"data_age_ms_max": recording.data_age_ms, **limits,
             "exposure_instrument_max": {"percent": percent}}
        ),
        paper=PaperSettings(
            order_latency_ms=150, cancel_latency_ms=150, starting_cash={"USDT": CASH}
        ),
        cash_micro=CASH * MICRO, recorder=DigestRecorder(), decide=decisions.append,
        currency="USDT", tick_ns=recording.tick_ns, says=True,
    )  # fmt: skip
    result = replay.run(lambda *_: None)
    return result, [one for one in decisions if one.intent is not None]


def test_a_capital_above_a_limit_is_not_wanted_again_at_every_close(tmp_path: Path) -> None:
    result, wanted = played(written(tmp_path / "b.csv", 3), "0.95", "10")
    assert result.orders > 100
    assert not {"risk", "dust"} & result.residuals.keys()
    assert not result.denials
    assert len(wanted) < 1.2 * result.orders
    bought = [one for one in wanted if isinstance(one.intent, Target) and one.intent.position]
    assert bought
    assert all("limits allow" in dict(one.notes)["sizing"] for one in bought)


def test_a_share_of_the_capital_within_the_limits_stays_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path / "b.csv", 3)
    (narrow, wanted), (wide, _) = played(path, "0.05", "10"), played(path, "0.05", "100")
    assert narrow.digest == wide.digest
    assert not any(one.notes for one in wanted)


def gate_at(equity_micro: int, limits: RiskLimits) -> RiskGate:
    breakers = Breakers(limits, Mode.PAPER)
    breakers.day_start_equity_micro = equity_micro
    return RiskGate(limits=limits, breakers=breakers, exposure=ExposureBook())


def stake_at(gate: RiskGate) -> Stake:
    parameters = SmaCrossParameters(share=1.0, slippage_bps_max=100.0)
    found = Stake.of(SmaCross(parameters, BotId("cross")), gate)
    assert found is not None
    return found


def test_a_stake_follows_the_limits_and_the_equity_of_the_day() -> None:
    gate = gate_at(1_000 * MICRO, RiskLimits())
    stake = stake_at(gate)
    assert stake.bound(1_000 * MICRO) == 98 * MICRO  # 10 % less 1 % for prices and 1 % for fees
    assert stake.bound(50 * MICRO) == 50 * MICRO
    gate.breakers.day_start_equity_micro = 500 * MICRO
    assert stake.bound(1_000 * MICRO) == 49 * MICRO
    gate.apply(RiskLimits.model_validate({"exposure_instrument_max": {"absolute": "20"}}))
    assert stake.bound(1_000 * MICRO) == 19_600_000


def test_before_the_days_equity_is_known_risk_alone_allows_nothing() -> None:
    assert stake_at(gate_at(0, RiskLimits())).bound(1_000 * MICRO) == 1_000 * MICRO
