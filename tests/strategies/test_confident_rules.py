"""A rule that waits for a model: it enters on both words, and leaves on its own."""

from __future__ import annotations

from typing import Any

import pytest

from engine.caches.markets import MarketCache
from engine.caches.views import InventoryView
from engine.domain.events import BookReplaced, InstrumentListed
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Target
from engine.domain.observed_events import Observed, ObservedValue
from engine.domain.rules import BookNumber, FixedNumber, RuleCondition, RuleDocument, rule_json
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Strategy
from engine.strategies.registry import STRATEGIES, build, entries

S = 1_000_000_000
T0 = 1_790_000_000 * S
CAPITAL = 1_000_000_000
MARKET = Instrument(
    id=InstrumentId("venue:m"), kind=Kind.SPOT, currency="USD", price_decimals=4, size_decimals=6,
    tick=100, lot=10_000,
)  # fmt: skip
RULE = rule_json(
    RuleDocument(
        version=1, name="narrow", title="Narrow", share=0.5,
        entry=RuleCondition(BookNumber("spread"), "<", FixedNumber(0.02)),
        exit=RuleCondition(BookNumber("spread"), ">", FixedNumber(0.03)),
    )
)  # fmt: skip


class Stage:
    """One strategy of a kind and one market, whose spread is a cent at first."""

    def __init__(self, name: str = "confident_rules", **parameters: Any) -> None:
        self.strategy: Strategy = build(name, {"document": RULE, **parameters}, BotId("b"))
        self.cache = MarketCache()
        self.cache.receive(InstrumentListed(instrument=MARKET), T0)
        self.book(5_000)

    def book(self, ask: int) -> None:
        book = BookReplaced(instrument=MARKET.id, bids=((4_900, 10**12),), asks=((ask, 10**12),))
        self.cache.receive(book, T0)

    def says(self, value: ObservedValue, age_s: float = 0.0, trust: float = 1.0) -> None:
        at_ns = T0 - int(age_s * S)
        event = Observed(key="model:one", value=value, at_ns=at_ns, trust=trust, source="m")
        self.cache.receive(event, T0)
        self.strategy.receive(event, T0)

    def ask(self, position: int = 0) -> Evaluation:
        context = Context(
            bot=BotId("b"), decision=1, view=self.cache.views[MARKET.id],
            inventory=InventoryView(position=position, cash_free_micro=CAPITAL),
            references=self.cache.references, capital_micro=CAPITAL, observed=self.cache.observed,
        )  # fmt: skip
        return self.strategy.evaluate(context, T0)


def failed(evaluation: Evaluation) -> list[str]:
    return [gate.name for gate in evaluation.decision.gates if not gate.passed]


@pytest.mark.parametrize(
    ("value", "age_s", "trust", "gate"),
    [
        (0.59, 0.0, 1.0, "confidence"),
        (0.9, 0.0, 0.5, "confidence"),
        (0.9, 3_601.0, 1.0, "fresh"),
        ("high", 0.0, 1.0, "heard"),
        (1.5, 0.0, 1.0, "heard"),
        ({"confidence": 0.9, "instrument": "venue:other"}, 0.0, 1.0, "heard"),
    ],
)
def test_it_rests_with_its_reason_where_the_model_is_not_sure(
    value: ObservedValue, age_s: float, trust: float, gate: str
) -> None:
    stage = Stage()
    stage.says(value, age_s, trust)
    found = stage.ask()
    assert (failed(found), found.intents) == ([gate], ())


def test_it_enters_as_the_rule_does_where_the_model_is_sure_and_leaves_without_it() -> None:
    alone, both = Stage("rules"), Stage()
    assert failed(both.ask()) == ["heard"]
    both.says({"confidence": 0.8})
    (plain,), (sure,) = alone.ask().intents, both.ask().intents
    assert isinstance(plain, Target)
    assert isinstance(sure, Target)
    assert (sure.position, sure.limit_price) == (plain.position, plain.limit_price)
    assert (plain.confidence, sure.confidence) == (1.0, 0.8)
    both.says(0.0)
    both.book(5_300)
    (left,) = both.ask(sure.position).intents
    assert isinstance(left, Target)
    assert left.position == 0


def test_the_rule_must_hold_too() -> None:
    stage = Stage()
    stage.says(1.0)
    stage.book(5_300)
    assert failed(stage.ask()) == ["entry"]


def test_a_confidence_wakes_it_and_its_words_are_in_the_catalog() -> None:
    strategy = build("confident_rules", {"key": "model:two"}, BotId("b"))
    assert getattr(strategy, "observes", ()) == ("model:two",)
    entry = entries()["confident_rules"]
    assert entry.category == "composed"
    assert "outside information" in entry.tags
    assert entry.gates["heard"].needed
    assert STRATEGIES["confident_rules"] is type(strategy)
    with pytest.raises(BadInput, match="key=Model"):
        build("confident_rules", {"key": "Model"}, BotId("b"))
