"""The document of a backtest: what it may say, and the sentence for what it may not."""

from __future__ import annotations

import json

import pytest

from engine.domain.backtests import bots_of, document_of_bots, read_document, stated_bot
from engine.domain.settings import BotSettings, SettingsDocument
from engine.errors import BadInput

ONE = {"strategy": "sma_cross", "capital": 600, "parameters": {"fast": 5}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{path: 1}", "it is no JSON"),
        ("[1]", "one JSON object"),
        ("{}", "path"),
        ('{"path": "x", "leverage": 3}', "leverage"),
        ('{"path": "x", "bots": {"a": {"capital": 5}}}', "bot a: strategy"),
        ('{"path": "x", "bots": {"A b": {"strategy": "dca"}}}', "bot A b: name"),
        ('{"path": "x", "bots": {"a": {"strategy": "dca", "capital": NaN}}}', "bot a: capital"),
        ('{"path": "x", "bots": {"a": {"strategy": "dca", "follows": "mine"}}}', "saved filter"),
    ],
)
def test_what_is_no_document_is_refused_by_its_part(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read_document(text)


def test_bots_may_not_be_given_more_than_the_cash() -> None:
    bots = {"a": ONE, "b": ONE}
    with pytest.raises(BadInput, match="given 1,200 together and the backtest has 1,000"):
        read_document(json.dumps({"path": "x", "cash": 1000, "bots": bots}))
    assert len(read_document(json.dumps({"path": "x", "cash": 1200, "bots": bots})).bots) == 2


def test_a_bot_without_a_capital_has_all_of_the_cash() -> None:
    [bot] = bots_of({"a": {"strategy": "dca"}}, 700_000_000)
    assert bot.capital == 700


def test_bots_of_the_settings_are_a_document_and_it_gives_them_back() -> None:
    settings = SettingsDocument.model_validate(
        {
            "accounts": {"demo": {"name": "demo", "venue": "demo", "mode": "demo"}},
            "bots": {
                name: {"name": name, "account": "demo", "instruments": ["demo:a"], **ONE}
                for name in ("a", "b", "c")
            },
        }
    )
    document = document_of_bots(settings, ("a", "c"), "mine.csv")
    assert document["instrument"] == "demo:a"  # a file has one market: the one they trade
    assert "instrument" not in document_of_bots(settings, ("a", "c"), "a_recording")
    other = settings.bots["c"].model_copy(update={"instruments": ("demo:b",)})
    mixed = settings.model_copy(update={"bots": {**settings.bots, "c": other}})
    assert "instrument" not in document_of_bots(mixed, ("a", "c"), "mine.csv")
    asked = read_document(json.dumps(document))
    assert (asked.path, asked.cash) == ("mine.csv", 1_200)
    given = {bot.name: bot for bot in bots_of(asked.bots, 1_200_000_000)}
    for name in ("a", "c"):
        assert given[name] == settings.bots[name].model_copy(update={"account": "replay"})
    assert list(given) == ["a", "c"]


def test_what_a_run_states_of_a_bot_makes_the_same_bot() -> None:
    bot = BotSettings(name="a", strategy="dca", account="replay", capital=5, priority=3)
    assert BotSettings(name="a", account="replay", **stated_bot(bot)) == bot


def test_a_bot_that_follows_a_filter_is_refused_and_does_not_trade_everything_instead() -> None:
    bot = {"name": "a", "account": "demo", "strategy": "dca", "capital": 5, "follows": "mine"}
    demo = {"name": "demo", "venue": "demo", "mode": "demo"}
    settings = SettingsDocument.model_validate(
        {
            "accounts": {"demo": demo},
            "bots": {"a": bot},
            "filters": {"mine": {}},
        }
    )
    with pytest.raises(BadInput, match="bot a: it follows a saved filter"):
        read_document(json.dumps(document_of_bots(settings, ("a",), "mine.csv")))
