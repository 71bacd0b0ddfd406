"""A backtest is the same run by whichever way it is started."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import pytest

from bench.bars import written
from engine.__main__ import main
from engine.cli.replay_words import describe
from engine.config import Config
from engine.domain.jobs import arguments_of
from engine.domain.run_funding import funding_of
from engine.jobs.run import JobContext, works
from engine.lab.formats.importing import ImportRequest, import_files
from engine.lab.replay.setup import ENGINE
from storage.database import connect_reader, connect_writer
from storage.jobs import claim, queue
from storage.schema import migrate
from storage.users import ENGINE_ID
from storage.views import run_markets

WORDS = (
    "--bot", "sma_cross", "--param", "bars=1m", "--param", "share=0.5",
    "--limit", "order_value_max=90%", "--limit", "exposure_instrument_max=90%",
    "--slippage-bps", "2", "--fee-bps", "5", "--latency-ms", "200",
    "--from", "2022-01-01T02:00", "--until", "2022-01-01T12:00",
    "--instrument", "file:BTC/USDT:USDT",
)  # fmt: skip
FORM = {
    "strategy": "sma_cross",
    "parameters": {"bars": "1m", "share": 0.5},
    "limits": {"order_value_max": "90%", "exposure_instrument_max": "90%"},
    "slippage_bps": 2.0,
    "fee_bps": 5.0,
    "latency_ms": 200,
    "since": "2022-01-01T02:00",
    "until": "2022-01-01T12:00",
    "instrument": "file:BTC/USDT:USDT",
}
"""The same, as the page *Backtests* sends it to the worker."""


def rates(folder: Path) -> Path:
    """Import a rate for each hour of the day."""
    rows = [f"2022-01-01 {hour:02}:00:00,0.0001" for hour in range(24)]
    path = folder / "rates.csv"
    path.write_text("\n".join(["time,rate", *rows]), encoding="utf-8")
    request = ImportRequest(files=(path,), instrument="file:BTC/USDT:USDT", name="rates")
    import_files(request, folder / "data", 1, lambda *_: None)
    return folder / "data/rates"


@pytest.mark.long
def test_command_line_and_the_job_a_page_asks_for_make_one_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr("engine.log.configure", lambda **_: None)
    path, funding = written(tmp_path / "bars.csv"), str(rates(tmp_path))
    assert main(["replay", str(path), *WORDS, "--funding", funding, "--json"]) == 0
    by_hand = json.loads(capsys.readouterr().out)
    config = Config(home=tmp_path / "other")
    migrate(config.state_path)
    arguments = json.dumps(FORM | {"path": str(path), "funding": funding})
    with closing(connect_writer(config.state_path)) as connection:
        queue(
            connection, engine_id=ENGINE_ID, kind="replay", arguments=arguments, who="ann",
            now_ns=time.time_ns(),
        )  # fmt: skip
        job = claim(connection, ENGINE_ID, time.time_ns())
    assert job is not None
    by_job = works()["replay"](arguments_of("replay", job.arguments), JobContext(config, job))
    assert by_hand["orders"] > 10
    paid = funding_of(by_hand)
    assert paid is not None
    assert (paid.stamps, paid.last, paid.amount < 0) == (12, "2022-01-01T11:00:00+00:00", True)
    assert f"{paid.amount:+.4f}" in describe(by_hand)
    with closing(connect_reader(config.state_path)) as connection:
        (market,) = run_markets(connection, ENGINE, by_job["run"])
    assert float(market["funding"]) == paid.amount
    total = market["realised"] + market["unresolved"] + market["funding"] - market["fees"]
    assert float(total) == pytest.approx(by_hand["pnl"])
    told = ("digest", "orders", "fills", "fees", "pnl", "events")
    assert {name: by_job[name] for name in told} == {name: by_hand[name] for name in told}
