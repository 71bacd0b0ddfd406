"""What scored news come to, and what is held for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.caches.markets import MarketCache
from engine.caches.views import InventoryView
from engine.config import Config
from engine.domain.decisions import Stance
from engine.domain.events import BookReplaced, InstrumentListed
from engine.domain.evidence import Edge, verdict_of
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Target
from engine.domain.observed_events import Observed, ObservedValue
from engine.errors import BadInput
from engine.lab.evidence import data_here, prove
from engine.strategies.door import Context, Evaluation, Strategy
from engine.strategies.registry import build
from tests.strategies.test_bar_rules import file_of, walk

S = 1_000_000_000
T0 = 1_790_000_000 * S
CAPITAL = 1_000_000_000
SPOT, BINARY = (
    Instrument(
        id=InstrumentId("venue:m"), kind=kind, currency="USD", price_decimals=4, size_decimals=6,
        tick=100, lot=10_000,
    )
    for kind in (Kind.SPOT, Kind.BINARY)
)  # fmt: skip


def said(
    value: ObservedValue, age_s: float = 0.0, trust: float = 1.0, key: str = "news:one"
) -> Observed:
    return Observed(key=key, value=value, at_ns=T0 - int(age_s * S), trust=trust, source="desk")


class Stage:
    """One strategy and one market of 49 to 50 cents."""

    def __init__(self, market: Instrument = SPOT, **parameters: Any) -> None:
        self.strategy: Strategy = build("news_sentiment", parameters, BotId("b"))
        self.market, self.cache = market, MarketCache()
        self.cache.receive(InstrumentListed(instrument=market), T0)
        book = BookReplaced(instrument=market.id, bids=((4_900, 10**12),), asks=((5_000, 10**12),))
        self.cache.receive(book, T0)

    def says(self, *events: Observed) -> None:
        for event in events:
            self.cache.receive(event, T0)

    def ask(self, s: float = 0.0, position: int = 0) -> Evaluation:
        context = Context(
            bot=BotId("b"), decision=1, view=self.cache.views[self.market.id],
            inventory=InventoryView(position=position, cash_free_micro=CAPITAL),
            references=self.cache.references, capital_micro=CAPITAL, observed=self.cache.observed,
        )  # fmt: skip
        return self.strategy.evaluate(context, T0 + int(s * S))

    def wanted(self, s: float = 0.0, position: int = 0) -> int | None:
        """Return the position it states; None = it states none."""
        (intent,) = self.ask(s, position).intents or (None,)
        assert intent is None or isinstance(intent, Target)
        return None if intent is None else intent.position


def failed(evaluation: Evaluation) -> list[str]:
    return [gate.name for gate in evaluation.decision.gates if not gate.passed]


LONG = 250_000_000 * 10_000 // 5_050 // 10_000 * 10_000
"""A quarter of the capital at 50 cents and 1 % of slippage."""
SHORT = -(250_000_000 * 10_000 // (10_000 - 4_851) // 10_000 * 10_000)


def test_good_news_are_bought_and_sold_once_they_are_good_no_more() -> None:
    stage = Stage()
    stage.says(said("positive"), said(0.4), said({"sentiment": 0.5, "instrument": "venue:m"}))
    assert stage.wanted() == LONG
    assert stage.wanted(position=LONG) is None, "what is held is not asked for again"
    stage.says(said(-1.0), said("negative"))
    assert stage.wanted(position=LONG) == 0


def test_a_score_counts_by_trust_confidence_and_age() -> None:
    stage = Stage(half_life_s=100.0, count_min=1)
    stage.says(
        said(1.0), said(-1.0, age_s=100.0),
        said({"sentiment": 0.0, "confidence": 0.5}, trust=0.5),
    )  # fmt: skip
    values = dict(stage.ask().decision.inputs)
    assert values["sentiment"] == pytest.approx((1.0 - 0.5) / (1.0 + 0.5 + 0.25))
    assert values["scores"] == 3


@pytest.mark.parametrize(
    ("events", "gate"),
    [
        ((), "heard"),
        ((said(1.0, age_s=21_601.0),), "heard"),
        ((said("buy"), said(2.0), said({"sentiment": 1.0, "instrument": "venue:n"})), "heard"),
        ((said(1.0), said(1.0)), "enough"),
        ((said(0.2), said(0.2), said(0.2)), "strong"),
        ((said(-1.0), said(-1.0), said(-1.0)), "direction"),
    ],
)
def test_what_lacks_is_said_and_nothing_is_bought(events: tuple[Observed, ...], gate: str) -> None:
    stage = Stage(shorts=True)
    stage.says(*events)
    found = stage.ask()
    assert failed(found) == [gate]
    assert found.decision.stance is Stance.BLOCKED
    assert found.intents == ()


def test_bad_news_are_sold_short_where_that_was_asked_for_and_can_be() -> None:
    for shorts, wanted in ((False, None), (True, SHORT)):
        stage = Stage(BINARY, shorts=shorts)
        stage.says(said(-1.0), said(-0.8), said(-0.9))
        assert stage.wanted() == wanted


def test_several_sources_count_together_and_wrong_keys_are_refused() -> None:
    stage = Stage(keys="news:one news:two")
    stage.says(said(1.0), said(0.5, key="news:two"), said(0.6, key="news:two"))
    assert stage.wanted() == LONG
    for wrong in ("", "News", " ".join(f"n{i}" for i in range(11))):
        with pytest.raises(BadInput, match="keys="):
            build("news_sentiment", {"keys": wrong}, BotId("b"))
    with pytest.raises(BadInput, match=r"leave=0\.5 must be less than"):
        build("news_sentiment", {"leave": 0.5}, BotId("b"))


def test_what_it_wants_survives_a_restart() -> None:
    stage = Stage()
    stage.says(said(1.0), said(1.0), said(1.0))
    assert stage.wanted() == LONG
    state = stage.strategy.state()
    stage.strategy = build("news_sentiment", {}, BotId("b"))
    stage.strategy.restore(state)
    assert stage.strategy.state() == state
    assert stage.wanted(position=LONG) is None
    with pytest.raises(BadInput, match="cannot be read"):
        stage.strategy.restore(b"{")


@pytest.mark.parametrize("name", ["news_sentiment", "confident_rules"])
def test_where_nothing_was_observed_the_evidence_is_no_data(name: str, tmp_path: Path) -> None:
    config = Config(home=tmp_path / "home")
    data, _ = data_here(config, [str(file_of(tmp_path, walk(3)))])
    (row,) = prove(config, [name], data, T0, lambda *_: None)
    verdict, why = verdict_of(row)
    assert verdict is Edge.NO_DATA
    assert "never had all it needs" in why
