"""What may be observed, and what is refused at the door with a sentence."""

from __future__ import annotations

import pytest

from engine.domain.events import AnyEvent
from engine.domain.inputs import Received, pack_input, unpack_input
from engine.domain.instruments import AccountId
from engine.domain.observed_events import Observed, ObservedValue, observed
from engine.domain.words import of_market
from engine.errors import BadInput

NOW_NS = 1_790_000_000_000_000_000
SIGNAL: dict[str, float | str] = {"side": "buy", "confidence": 0.8}


def seen(value: ObservedValue = 1.0, **other: object) -> Observed:
    given: dict[str, object] = {
        "key": "signal:eth", "at_ns": NOW_NS, "trust": 0.5, "source": "a script", "now_ns": NOW_NS,
    }  # fmt: skip
    return observed(value=value, **(given | other))  # type: ignore[arg-type]


def test_what_was_observed_is_an_event_of_the_tape() -> None:
    event = seen(SIGNAL)
    assert isinstance(event, AnyEvent)
    taken = Received(AccountId("demo"), (event, seen("up"), seen(2.5)))
    assert unpack_input(pack_input(taken)) == taken
    assert event.text("side") == "buy"
    assert event.number("confidence") == 0.8
    assert (event.number("side"), event.text("target"), seen(1.0).number("x")) == (None, None, None)


def test_it_is_said_in_words_with_who_says_it() -> None:
    said = of_market((seen(SIGNAL), seen(2.5)), lambda _: None)
    assert said == (
        "a script says signal:eth is side buy, confidence 0.8; a script says signal:eth is 2.5"
    )


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"at_ns": NOW_NS + 1_500_000_000}, "at lies 1.500 s in the future"),
        ({"at_ns": 1_790_000_000}, "before the year 2000"),
        ({"key": "Signal ETH"}, "lower-case letters"),
        ({"trust": 1.5}, "trust 1.5 is not from 0 to 1"),
        ({"trust": float("nan")}, "is not from 0 to 1"),
        ({"source": " "}, "say who says it"),
        ({"value": float("inf")}, "a finite number is needed"),
        ({"value": "x" * 2_001}, "at most 2,000"),
        ({"value": {}}, "value has 0 fields"),
        ({"value": {"A": 1.0}}, "'A' is no name"),
    ],
)
def test_what_cannot_be_one_is_refused_in_a_sentence(
    wrong: dict[str, object], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        seen(**wrong)  # type: ignore[arg-type]
