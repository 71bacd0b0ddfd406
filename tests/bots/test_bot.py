from collections.abc import Callable
from typing import Any

import pytest

from engine.bots.bot import Bot
from engine.bots.failing import fail
from engine.bots.signals import Signals
from engine.domain.bots import BotState
from engine.domain.effects import Severity
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind

Make = Callable[..., Bot]


def instrument(name: str, series: str = "") -> Instrument:
    return Instrument(
        id=InstrumentId(name), kind=Kind.BINARY, currency="USD", price_decimals=4, size_decimals=6,
        tick=100, lot=10_000, series=series,
    )  # fmt: skip


def test_named_instrument_is_wanted_and_no_other(make_bot: Make) -> None:
    bot = make_bot(instruments=frozenset({InstrumentId("v:a")}))
    assert bot.wants(instrument("v:a"))
    assert not bot.wants(instrument("v:b"))
    assert bot.take(instrument("v:b")) is None
    assert bot.turned_away == 0


def test_instrument_of_a_named_series_is_wanted_whatever_its_id(make_bot: Make) -> None:
    bot = make_bot(series=frozenset({"btc-5m"}))
    assert bot.wants(instrument("v:a", "btc-5m"))
    assert not bot.wants(instrument("v:b", "eth-5m"))
    assert not bot.wants(instrument("v:c"))


def test_more_than_the_maximum_are_turned_away_and_counted(make_bot: Make) -> None:
    bot = make_bot(instruments_max=2)
    taken = [bot.take(instrument(f"v:{name}")) for name in "abc"]
    assert [cell is not None for cell in taken] == [True, True, False]
    assert bot.turned_away == 1
    bot.drop(InstrumentId("v:a"), Signals())
    assert bot.take(instrument("v:c")) is not None


def test_instrument_taken_twice_keeps_its_cell(make_bot: Make) -> None:
    bot = make_bot(instruments_max=1)
    cell = bot.take(instrument("v:a"))
    assert bot.take(instrument("v:a")) is cell
    assert (len(bot.cells), bot.turned_away) == (1, 0)


def test_dropped_instrument_is_forgotten_by_the_strategy_once(
    make_bot: Make, make_script: Any
) -> None:
    script = make_script()
    bot = make_bot(strategy=script)
    bot.take(instrument("v:a"))
    bot.drop(InstrumentId("v:a"), Signals())
    bot.drop(InstrumentId("v:a"), Signals())
    assert script.forgotten == ["v:a"]


def test_bot_that_failed_says_what_and_where(make_bot: Make) -> None:
    bot = make_bot("maker")
    with pytest.raises(ZeroDivisionError) as caught:
        bot.capital_micro // 0
    alert = fail(bot, caught.value, None, None, 0)
    assert bot.state is BotState.ERROR
    assert bot.error.startswith("ZeroDivisionError in test_bot_that_failed_says_what_and_where, ")
    assert (alert.severity, alert.bot, alert.kind) == (Severity.CRITICAL, "maker", "bot_error")
    assert bot.error in alert.text


def test_failure_without_a_traceback_is_told_as_well(make_bot: Make) -> None:
    bot = make_bot("maker")
    assert fail(bot, ValueError("odd"), None, None, 0).bot == BotId("maker")
    assert bot.error == "ValueError: odd"
