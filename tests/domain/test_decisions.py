"""What a decision comes to follows from its intent and its gates."""

from __future__ import annotations

import pytest

from engine.domain.decisions import Decision, Gate, Stance
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.intents import Basket, Intent, Quotes, Target

BOT, ONE = BotId("bot"), InstrumentId("demo:one")
TARGET = Target(bot=BOT, instrument=ONE, position=0, limit_price=1, valid_until_ns=9)
PASSED, FAILED = Gate("fresh", True, 1.0, 2.0), Gate("fresh", False, 3.0, 2.0)


@pytest.mark.parametrize(
    ("intent", "gates", "stance"),
    [
        (Quotes(bot=BOT, instrument=ONE, bids=((1, 1),), valid_until_ns=9), (), Stance.QUOTE),
        (Quotes(bot=BOT, instrument=ONE, asks=((1, 1),), valid_until_ns=9), (FAILED,),
         Stance.QUOTE),
        (Quotes(bot=BOT, instrument=ONE, valid_until_ns=9), (), Stance.BLOCKED),
        (TARGET, (), Stance.TARGET),
        (TARGET, (FAILED,), Stance.TARGET),
        (Basket(bot=BOT, targets=(TARGET,), valid_until_ns=9), (PASSED,), Stance.TARGET),
        (None, (PASSED,), Stance.HOLD),
        (None, (PASSED, FAILED), Stance.BLOCKED),
    ],
)  # fmt: skip
def test_stance(intent: Intent | None, gates: tuple[Gate, ...], stance: Stance) -> None:
    decision = Decision(
        number=1, bot=BOT, instrument=ONE, at_ns=1, regime="", inputs=(), build_up=(),
        gates=gates, outcome="in its own word", intent=intent,
    )  # fmt: skip
    assert decision.stance is stance
