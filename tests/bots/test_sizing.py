"""Sizing of a bot: what its strategy is given, what Kelly leaves of a target, how it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from engine.bots.bot import VOLATILITY, sizer_of
from engine.domain.instruments import InstrumentId
from engine.domain.intents import Intent, Quotes, Target, Urgency
from engine.domain.settings import Sizing, SizingMethod
from engine.strategies.door import NOTHING, Claim, Context, Evaluation

Make = Callable[..., Any]
SHARE = 1_000_000
ONE = InstrumentId("venue:one")
CAPITAL = 1_000_000_000


class Claiming:
    """Says with everything a script wants what it believes."""

    def __init__(self, script: Any, claim: Claim | None) -> None:
        self._script = script
        self._claim = claim

    def __getattr__(self, name: str) -> Any:
        return getattr(self._script, name)

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        made: Evaluation = self._script.evaluate(context, now_ns)
        return msgspec.structs.replace(made, claim=self._claim)


def target(shares: int, limit: int = 5_200) -> Callable[[Context, int], tuple[Intent, ...]]:
    def say(context: Context, now_ns: int) -> tuple[Intent, ...]:
        return (
            Target(
                bot=context.bot, instrument=ONE, position=shares * SHARE, limit_price=limit,
                urgency=Urgency.CROSS, valid_until_ns=now_ns + 10**12, decision=context.decision,
            ),
        )  # fmt: skip

    return say


@pytest.fixture
def run(make_script: Make, make_stage: Make, make_bot: Make) -> Callable[..., Any]:
    """Return a function that runs a sized bot once, and gives stage and script."""

    def make(sizing: dict[str, Any], say: Any, claim: Claim | None = None) -> tuple[Any, Any]:
        script = make_script()
        script.say = say
        bot = make_bot(
            strategy=Claiming(script, claim), capital_micro=CAPITAL, sizing=Sizing(**sizing)
        )
        stage = make_stage(bot)
        stage.list()
        return stage, script

    return make


def wanted(stage: Any) -> int:
    found = [one for one in stage.inputs if type(one) is Target]
    return int(found[-1].position / SHARE)


def told(stage: Any) -> str:
    return " ".join(text for name, text in stage.decisions[-1].notes if name == "sizing")


@pytest.mark.parametrize(
    ("sizing", "given", "words"),
    [
        ({"method": "fixed", "amount": 40}, 40_000_000, "fixed 40.00: 40.00 of"),
        ({"method": "fixed", "amount": 4_000}, CAPITAL, "1,000.00 of the capital of 1,000.00"),
        ({"method": "percent", "percent": 7.5}, 75_000_000, "7.5 % of the capital: 75.00"),
        ({"method": "volatility"}, 0, "realised not known yet: 0.00"),
    ],
)
def test_a_strategy_is_given_what_the_sizing_leaves_it(
    run: Any, sizing: dict[str, Any], given: int, words: str
) -> None:
    stage, script = run(sizing, lambda *_: ())
    assert script.asked[-1][2].capital_micro == given
    assert words in told(stage)


def test_volatility_that_was_seen_divides_the_capital(run: Any) -> None:
    stage, script = run({"method": "volatility", "window_s": 60}, lambda *_: ())
    for step in range(900):
        stage.book(bid=4_800 - 10 * (step // 2 % 2), after_ms=500)
    given = script.asked[-1][2]
    realised = given.readings.indicator(VOLATILITY)
    assert realised is not None
    assert given.capital_micro == int(CAPITAL * 0.2 / realised)


def test_a_bot_that_is_not_sized_is_given_all_and_says_nothing(run: Any) -> None:
    stage, script = run({}, target(50), Claim(fair=0.9))
    assert script.asked[-1][2].capital_micro == CAPITAL
    assert stage.decisions[-1].notes == ()
    assert wanted(stage) == 50
    assert sizer_of(Sizing(method=SizingMethod.CAPITAL)) is None


KELLY = {"method": "kelly", "position_max": 1_000, "risk_percent": 100}


@pytest.mark.parametrize(
    ("sizing", "claim", "shares", "words"),
    [
        # (0.64 - 0.52) / 0.48 = 0.25; a quarter of 1,000 by a quarter is 62.50, at 0.52 a share.
        (KELLY, Claim(fair=0.64), 120, "= 62.50"),
        (KELLY, Claim(fair=0.64, confidence=0.8), 96, "confidence 0.80 = 50.00"),
        (KELLY, Claim(fair=0.64, confidence=0.5), 0, "confidence 0.50 < 0.6: nothing opened"),
        (KELLY, Claim(fair=0.5), 0, "= 0.00"),
        (KELLY | {"position_max": 26}, Claim(fair=0.9), 50, "position limit 26.00"),
        (KELLY | {"risk_percent": 5.2}, Claim(fair=0.9), 100, "at risk = 52.00"),
        (KELLY | {"risk_percent": 5.2}, None, 100, "no edge given by the strategy"),
    ],
)
def test_a_target_is_the_least_of_kelly_limit_and_risk(
    run: Any, sizing: dict[str, Any], claim: Claim | None, shares: int, words: str
) -> None:
    stage, _ = run(sizing, target(10_000), claim)
    assert wanted(stage) == shares
    assert stage.decisions[-1].intent.position // SHARE == shares
    assert words in told(stage)


def test_the_no_side_pays_what_yes_leaves(run: Any) -> None:
    # NO at 1 - 0.48 with a chance of 1 - 0.36: the mirror of the first case above.
    stage, _ = run(KELLY, target(-10_000, limit=4_800), Claim(fair=0.36))
    assert wanted(stage) == -120


def test_what_reduces_is_never_cut(run: Any) -> None:
    stage, _ = run(KELLY, target(0), Claim(fair=0.5, confidence=0.0))
    assert wanted(stage) == 0
    assert "it reduces" in told(stage)


def test_quotes_are_left_to_the_strategy(run: Any) -> None:
    def say(context: Context, now_ns: int) -> tuple[Intent, ...]:
        quotes = Quotes(
            bot=context.bot, instrument=ONE, bids=((4_800, 100 * SHARE),),
            valid_until_ns=now_ns + 10**12,
        )  # fmt: skip
        return (quotes,)

    stage, _ = run(KELLY, say)
    assert [one.bids for one in stage.inputs if type(one) is Quotes][-1] == ((4_800, 100 * SHARE),)


def test_a_strategy_that_reads_nothing_reads_nothing_more(make_script: Make) -> None:
    fixed = sizer_of(Sizing(method=SizingMethod.FIXED))
    assert fixed is not None
    assert fixed.reads(NOTHING) is NOTHING
    del make_script
