"""Rules: the one check of a document, its words, and what is refused with which sentence."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from engine.domain.rules import RuleDocument, read_rule, rule_json
from engine.domain.rules.templates import RSI_DIP, TEMPLATES
from engine.domain.rules.words import rule_words
from engine.errors import BadInput
from engine.indicators.library import entries

INDICATORS = entries()
RSI = {"of": "indicator", "name": "RSI", "bars": "5m"}
THIRTY = {"of": "number", "value": 30}
LOW = {"of": "condition", "left": RSI, "compare": "<", "right": THIRTY}
PLAIN: dict[str, Any] = {
    "version": 1, "name": "dip", "title": "Dip", "entry": LOW,
    "exit": {**LOW, "compare": ">", "right": {"of": "number", "value": 60}},
}  # fmt: skip


def refusal(**changes: Any) -> str:
    with pytest.raises(BadInput) as caught:
        read_rule(json.dumps({**PLAIN, **changes}), INDICATORS)
    return str(caught.value)


def low(**changes: Any) -> dict[str, Any]:
    return {**LOW, **changes}


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_keep_the_check_and_the_schema_and_come_back_as_they_were(name: str) -> None:
    text = rule_json(TEMPLATES[name])
    assert read_rule(text, INDICATORS) == TEMPLATES[name]
    Draft202012Validator(msgspec.json.schema(RuleDocument)).validate(json.loads(text))


def test_a_rule_is_said_in_plain_words() -> None:
    assert rule_words(RSI_DIP).splitlines() == [
        "Buy with 50 % of the capital, at most 100 bps worse than the touch.",
        "Enter when RSI of 5m crosses above 30 and imbalance >= -0.5.",
        "Exit when RSI of 5m >= 60.",
        "Close the position when the position's profit % >= 3 or the position's profit % <= -2.",
        "After leaving, open nothing for 900 s.",
    ]


def test_groups_within_groups_stand_in_brackets() -> None:
    either = {"of": "any", "parts": [LOW, low(compare="crosses above", right=RSI | {"bars": "1h"})]}
    text = json.dumps({**PLAIN, "entry": {"of": "all", "parts": [low(for_s=5), either]}})
    said = rule_words(read_rule(text, INDICATORS)).splitlines()[1]
    assert said == (
        "Enter when RSI of 5m < 30 for 5 s and "
        "(RSI of 5m < 30 or RSI of 5m crosses above RSI of 1h)."
    )


def test_what_cannot_be_run_is_refused_with_one_sentence() -> None:
    many = {"of": "all", "parts": [LOW] * 21}
    deep: dict[str, Any] = LOW
    for _ in range(5):
        deep = {"of": "all", "parts": [deep]}
    held = {"of": "position", "field": "profit"}
    refused = {
        "never leaves a position": refusal(exit=None),
        "has 22 conditions: 20 are the most": refusal(entry=many),
        "stand 4 deep at most": refusal(entry=deep),
        "entry: a group is empty": refusal(entry={"of": "any", "parts": []}),
        "both sides are numbers": refusal(entry=low(left=THIRTY)),
        "it cannot hold for seconds": refusal(entry=low(compare="crosses above", for_s=3)),
        "before a position is entered": refusal(entry=low(left=held)),
        "there is no indicator 'RSX'": refusal(entry=low(left=RSI | {"name": "RSX"})),
        "say which bars": refusal(entry=low(left=RSI | {"bars": ""})),
        "no setting 'perod'": refusal(entry=low(left=RSI | {"settings": {"perod": 3}})),
        "it takes at least 1": refusal(entry=low(left=RSI | {"settings": {"period": 0}})),
        "it takes a whole number": refusal(entry=low(left=RSI | {"settings": {"period": 2.5}})),
        "never with mids": refusal(entry=low(left=RSI | {"mids": True})),
        "exit: ": refusal(exit=low(left={"of": "bar", "field": "close", "bars": "7q"})),
        "are named 1h": refusal(entry=low(left=RSI | {"bars": "60m"})),
        "`$.version`": refusal(version=2),
        "`$.entry.compare`": refusal(entry=low(compare="=")),
        "unknown field `shares`": refusal(shares=1),
        "`$.share`": refusal(share=1.5),
    }
    for words, sentence in refused.items():
        assert words in sentence, sentence
        assert "\n" not in sentence
    with pytest.raises(BadInput, match="this is no rule"):
        read_rule("[1, 2", INDICATORS)
