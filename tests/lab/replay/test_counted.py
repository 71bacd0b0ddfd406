"""Decisions that repeat themselves while bars pass at once: the file of them is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.domain.instruments import BotId
from engine.domain.money import MICRO
from engine.domain.settings import RiskLimits
from engine.errors import BrokenInvariant
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.made_bars import BarMarket
from engine.lab.replay import bar_lane
from engine.lab.replay.run import ACCOUNT, assemble
from engine.runtime.decisions import DecisionLog
from engine.runtime.journal import DigestRecorder
from engine.strategies.registry import build
from engine.venues.paper.settings import PaperSettings
from storage.decisions import StoredRow, kept
from tests.lab.replay.test_stopped import CASH, LIMITS, RULES, written

WIDE = {"exposure_instrument_max": {"percent": "100"}, "exposure_market_max": {"percent": "100"}}


def logged(
    bars: Path, path: Path, rules: tuple[str, ...], limits: dict[str, object], *, counts: bool
) -> tuple[str, list[StoredRow]]:
    """Return a backtest's digest and every row of its decision log."""
    recording = BarRecording(bars, market=BarMarket(slippage_bps=5.0), name="binance:BTC/USDT")
    log = DecisionLog(path, engine_id="replay", waits_when_full=True)
    bots = tuple(
        Bot(
            name=BotId(rule), account=ACCOUNT, everything=True,
            capital_micro=CASH * MICRO // len(rules),
            strategy=build(rule, RULES[rule] | {"bars": "1m"}, BotId(rule)),
        )
        for rule in rules
    )  # fmt: skip
    replay = assemble(
        recording=recording, bots=bots,
        limits=RiskLimits.model_validate({"data_age_ms_max": recording.data_age_ms, **limits}),
        paper=PaperSettings(
            order_latency_ms=150, cancel_latency_ms=150, starting_cash={"USDT": CASH}
        ),
        cash_micro=CASH * MICRO, recorder=DigestRecorder(), decide=log.append, explain=log.append,
        currency="USDT", tick_ns=recording.tick_ns, repeat=log.repeat if counts else None,
    )  # fmt: skip
    digest = replay.run(lambda *_: None).digest
    log.close()
    rows = [row for part in kept(path, oldest_first=True) for row in part]
    return digest, sorted(rows, key=lambda row: row.row)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("rules", "limits"),
    [
        (tuple(RULES), WIDE),
        (("rsi_reversion",), LIMITS["falls from the peak"]),
        *[((rule,), WIDE) for rule in RULES],
        (tuple(RULES), LIMITS["loses in a day"]),
    ],
)
def test_what_is_counted_is_kept_as_if_each_had_been_given_on(
    rules: tuple[str, ...],
    limits: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bars, counted = written(tmp_path / "b.csv", 3), []
    whole = bar_lane.CountingLane._take_alike

    def watched(lane: bar_lane.CountingLane, *args: object) -> bar_lane.TakenBars | None:
        taken = whole(lane, *args)  # type: ignore[arg-type]
        counted.append(0 if taken is None else taken.bars)
        return taken

    monkeypatch.setattr(bar_lane.CountingLane, "_take_alike", watched)
    lane = logged(bars, tmp_path / "lane.db", rules, limits, counts=True)
    assert max(counted) > 1, "bars passed at once"
    monkeypatch.setattr(AccountCore, "reads_bars_alone", lambda *_: False)
    assert lane == logged(bars, tmp_path / "whole.db", rules, limits, counts=False)


def test_what_was_never_decided_is_not_repeated(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "decisions.db", engine_id="replay")
    with pytest.raises(BrokenInvariant, match="no decision to repeat"):
        log.repeat(BotId("cross"), "binance:BTC/USDT", 3, 1, 2)  # type: ignore[arg-type]
    log.close()
