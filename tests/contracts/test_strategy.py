"""The check of strategies finds what each bad one does, and nothing in an honest one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from engine.contracts.imports import by_the_back_door
from engine.contracts.strategy import Trial, _gate_words, check_strategy
from engine.domain.catalog import GateWords
from engine.domain.events import Event
from engine.domain.instruments import InstrumentId
from engine.domain.intents import Target
from engine.domain.observed_events import Observed
from engine.strategies.bar_rule import BarParameters, BarRule, Seen, Wish
from engine.strategies.door import Context, Evaluation, Reads
from engine.strategies.registry import ELSEWHERE


class Quick(BarParameters):
    """Short bars."""

    bars: str = "5s"
    """Bars it decides on.

    Short ones: a trial closes many of them."""


class Honest(BarRule):
    """Long after a bar that rose, else flat."""

    name: ClassVar[str] = "honest"
    parameters_type: ClassVar[type[BarParameters]] = Quick

    def reads_of(self, parameters: Quick) -> Reads:
        return Reads(bars={parameters.bars: 2})

    def wish(self, seen: Seen) -> Wish | None:
        bars = seen.last(2)
        return Wish(1.0 if bars[-1].close > bars[0].close else 0.0)


class Greedy(Honest):
    """Asks for ten times what it may."""

    name: ClassVar[str] = "greedy"

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        given = super().evaluate(context, now_ns)
        if not given.intents:
            return given
        target: Any = given.intents[0]
        assert isinstance(target, Target)
        more = msgspec.structs.replace(target, position=10 * target.position)
        decision = msgspec.structs.replace(given.decision, intent=more)
        return msgspec.structs.replace(given, decision=decision, intents=(more,))


class Hoarder(Honest):
    """Keeps every moment it was asked at."""

    name: ClassVar[str] = "hoarder"

    def __init__(self, parameters: Any, bot: Any) -> None:
        super().__init__(parameters, bot)
        self.seen: list[int] = []

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        self.seen += [now_ns] * 8
        return super().evaluate(context, now_ns)

    def state(self) -> bytes:
        return msgspec.json.encode(self.seen)

    def restore(self, state: bytes) -> None:
        self.seen = msgspec.json.decode(state)


class Forgetful(Honest):
    """Keeps words, and nothing of what it wants."""

    name: ClassVar[str] = "forgetful"

    def wish(self, seen: Seen) -> Wish | None:
        del seen
        return Wish(1.0)

    def state(self) -> bytes:
        return b"all is well"

    def restore(self, state: bytes) -> None:
        del state


class Prophet(Honest):
    """Looks at what happens next, through the frames of who asks it."""

    name: ClassVar[str] = "prophet"

    def wish(self, seen: Seen) -> Wish | None:
        try:
            raise LookupError
        except LookupError as error:
            frame = error.__traceback__ and error.__traceback__.tb_frame
        del seen
        market: Any = None
        while frame is not None and not isinstance(market, list):
            market = getattr(frame.f_locals.get("self"), "market", None)
            frame = frame.f_back
        return Wish(1.0 if market[-1][0].price % 200 else 0.0, (("close", market[-1][0].price),))


class Floating(Honest):
    """Gives a number where a wish is asked for."""

    name: ClassVar[str] = "floating"

    def wish(self, seen: Seen) -> Any:
        del seen
        return 0.5


class Negative(Honest):
    """Wishes for less than nothing."""

    name: ClassVar[str] = "negative"

    def wish(self, seen: Seen) -> Wish | None:
        del seen
        return Wish(-1.0)


class Listener(Honest):
    """Long while a number that somebody sends is above zero."""

    name: ClassVar[str] = "listener"
    observes = ("signal:one", "poll:two")

    def receive(self, event: Event, now_ns: int) -> bool:
        return isinstance(event, Observed) or super().receive(event, now_ns)

    def wish(self, seen: Seen) -> Wish | None:
        del seen
        return Wish(1.0 if self.says_up else 0.0)

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        said = context.observed.last("signal:one")
        self.says_up = said is not None and isinstance(said.event.value, float)
        return super().evaluate(context, now_ns)


class Deep(Honest):
    """Reads more bars than it declares: what is kept of them is luck."""

    name = "deep"

    def wish(self, seen: Seen) -> Wish | None:
        return super().wish(seen) if seen.last(10_000) else None


class Nosy(Honest):
    """Looks at bars that it does not declare."""

    name = "nosy"

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        context.readings.bars("15m", 1)
        return super().evaluate(context, now_ns)


class Fuzzy(Honest):
    """Looks at a variant of an indicator that it does not declare."""

    name = "fuzzy"

    def wish(self, seen: Seen) -> Wish | None:
        return super().wish(seen) if seen.indicator("rsi") else None


class Abroad(Honest):
    """Looks at an instrument that is not its bot's."""

    name = "abroad"

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        context.others.readings(InstrumentId("other:BTC"), now_ns)
        return super().evaluate(context, now_ns)


class Rich(Abroad):
    """Looks at what is held of an instrument that is not its bot's."""

    name = "rich"

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        context.others.inventory(InstrumentId("other:BTC"))
        return super().evaluate(context, now_ns)


class Oracle(Honest):
    """Looks at a reference price that it does not declare."""

    name = "oracle"

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        context.references.get("spot:btc")
        return super().evaluate(context, now_ns)


class Gossip(Listener):
    """Looks at a key that it does not observe."""

    name = "gossip"

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        context.observed.kept("poll:other")
        return super().evaluate(context, now_ns)


FOUND = {
    Honest: "",
    Listener: "",
    Greedy: "its position costs more than its capital",
    Hoarder: "its state grows",
    Forgetful: "restored in the middle of a market it wants something else",
    Prophet: "it looks ahead",
    Floating: "wish gave 0.5: give None, or Wish(part) with a part of 0 to 1",
    Negative: "wish gave Wish(part=-1.0, values=()): give None, or Wish(part)",
    Deep: "10,000 bars 5s are read, 2 are declared: declare as many in `reads`",
    Nosy: "bars 15m are not declared: name them in `reads`",
    Fuzzy: "indicator rsi is not declared: name it in `reads`",
    Abroad: "other:BTC is none of the bot's instruments",
    Rich: "other:BTC is none of the bot's instruments",
    Oracle: "reference spot:btc is not declared: name it in `references`",
    Gossip: "poll:other is not declared: name it in `observes`",
}


@pytest.mark.parametrize("kind", FOUND, ids=lambda kind: kind.name)
def test_what_each_does_is_found(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ELSEWHERE, kind.name, kind)
    said = "\n".join(check_strategy(kind))
    assert FOUND[kind] in said
    assert bool(said) is bool(FOUND[kind]), said


def test_a_trial_says_something_of_declared_keys_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = []
    for kind in (Honest, Listener):
        monkeypatch.setitem(ELSEWHERE, kind.name, kind)
        trials.append([event for move in Trial(kind.name, 1).market for event in move])
    honest, listening = ([one for one in trial if isinstance(one, Observed)] for trial in trials)
    assert honest == []
    assert {one.key for one in listening} == set(Listener.observes)
    assert {type(one.value) for one in listening} == {float, str, dict}


def test_words_of_a_gate_go_on_from_would_trade_if() -> None:
    assert not list(_gate_words("g", GateWords("it is", "it were")))
    (said,) = _gate_words("g", GateWords("it is", "trade if it were"))
    assert "say the condition alone" in said


def test_the_back_doors_to_clock_and_chance_are_found(tmp_path: Path) -> None:
    file = tmp_path / "sly.py"
    file.write_text(
        "import sys\nfrom datetime import datetime\nimport numpy as np\n"
        "at = datetime.now()\nx = np.random.rand()\nopened = __builtins__\n",
        encoding="utf-8",
    )
    said = "\n".join(by_the_back_door(file))
    for word in ("imports sys", "datetime.now()", "np.random", "__builtins__"):
        assert word in said
