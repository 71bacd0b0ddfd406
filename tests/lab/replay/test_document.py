"""Several bots at one account, from one document: their results are the account's, in parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.cli import backtest
from engine.cli.replay_words import describe
from engine.config import Config
from engine.domain.backtests import read_document
from engine.errors import BadInput, ConfigError
from engine.lab.replay.document import options_of_document
from engine.lab.replay.setup import ReplayOptions, prepare
from storage import views
from storage.database import connect_reader
from tests.strategies.test_bar_rules import LIMITS, file_of, walk

BARS = {"bars": "1m"}
BOTS = {
    "trend": {
        "strategy": "sma_cross", "capital": 4_000, "parameters": BARS | {"fast": 5, "slow": 20},
    },
    "turns": {"strategy": "rsi_reversion", "capital": 3_000, "parameters": BARS, "priority": 1},
    "steps": {"strategy": "grid", "capital": 3_000, "parameters": BARS | {"distance": 0.002}},
}  # fmt: skip


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    return {
        "path": str(file_of(tmp_path, walk(3))), "instrument": "binance:BTC/USDT",
        "cash": 10_000, "limits": LIMITS, "bots": BOTS,
    }  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    return Config(home=tmp_path / "home")


def played(document: dict[str, Any], config: Config) -> dict[str, Any]:
    asked = options_of_document(read_document(json.dumps(document)), config.recording)
    return stored(asked, config)


def stored(asked: ReplayOptions, config: Config) -> dict[str, Any]:
    with prepare(asked, config) as prepared:
        return prepared.store(prepared.run(lambda *_: None))


def test_what_the_bots_made_sums_up_to_the_run_to_the_micro_unit(
    document: dict[str, Any], config: Config
) -> None:
    summary = played(document, config)
    made = summary["bots"]
    assert sorted(made) == ["steps", "trend", "turns"]
    assert all(one["fees"] > 0 for one in made.values()), "each of them traded"
    for name in ("pnl", "fees"):
        assert round(sum(one[name] for one in made.values()), 6) == round(summary[name], 6)
    assert any(one["unrealised"] for one in made.values())


def test_one_document_is_one_digest_from_the_command_line_and_as_a_stored_run(
    document: dict[str, Any], config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = played(document, config)
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    parser = backtest.argparse.ArgumentParser()
    backtest.add_arguments(parser)
    assert backtest.run(parser.parse_args([str(file), "--json"]), config) == 0
    again = json.loads(capsys.readouterr().out)
    connection = connect_reader(config.state_path)
    row = next(one for one in views.runs(connection, "replay") if one["id"] == first["run"])
    connection.close()
    assert row["strategy"] == "sma_cross + rsi_reversion + grid"
    of_run = stored(ReplayOptions.of_run(row), config)
    assert first["digest"] == again["digest"] == of_run["digest"]
    assert again["bots"] == first["bots"]


def test_a_bot_alone_trades_as_the_strategy_does_with_the_same_cash(
    document: dict[str, Any], config: Config
) -> None:
    bot = BOTS["trend"]
    alone = played(document | {"bots": {"only": bot | {"capital": 10_000}}}, config)
    plain = played(
        document | {"bots": {}, "strategy": bot["strategy"], "parameters": bot["parameters"]},
        config,
    )
    names = ("orders", "fills", "pnl", "fees")
    assert [alone[name] for name in names] == [plain[name] for name in names]
    assert alone["orders"] > 20


def test_a_bot_trades_only_the_market_it_names(document: dict[str, Any], config: Config) -> None:
    elsewhere = BOTS["turns"] | {"instruments": ["binance:ETH/USDT"]}
    summary = played(document | {"bots": BOTS | {"turns": elsewhere}}, config)
    assert set(summary["bots"]) == {"steps", "trend"}, "it owns nothing and made nothing"
    assert summary["unlisted"] == {"turns": ["binance:ETH/USDT"]}
    said = describe({**summary, "run": 1})
    assert "bot turns names binance:ETH/USDT, which the recording does not have" in said


def test_a_recording_that_is_not_there_is_refused_with_the_folders(config: Config) -> None:
    document = read_document('{"path": "nowhere.csv"}')
    with pytest.raises(BadInput, match=r"no recording 'nowhere.csv': not as a path"):
        options_of_document(document, config.recording)


@pytest.mark.parametrize(
    ("bot", "said"),
    [
        ({"strategy": "moon"}, "bot a: there is no strategy 'moon'"),
        ({"strategy": "sma_cross", "parameters": {"fast": -1}}, "bot a: .*fast"),
    ],
)
def test_a_bot_that_cannot_be_made_is_refused_by_name(
    bot: dict[str, Any], said: str, document: dict[str, Any], config: Config
) -> None:
    with pytest.raises(ConfigError, match=said):
        played(document | {"bots": {"a": bot}}, config)
    assert not list((config.home / "runs").glob("*")), "nothing is left on the disk"
