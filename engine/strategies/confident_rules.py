"""A rule that enters only while a model is sure enough: `rules`, with a gate of confidence.

Idea: a rule says when, and a model that was made elsewhere says how likely such an entry is to pay;
only what both want is taken ("meta-labelling", López de Prado, 2018, "Advances in financial machine
learning", chapter 3). It loses where the rule has no edge, since a filter makes none, and where the
model was fitted on what it is asked about. The model is no part of it: its confidence comes from
outside, and where none came, or an old one, it rests and says so. What is held is closed by the
rule alone: an exit waits for no model.

A confidence is an `Observed` of its key: a number from 0 to 1, or the field `confidence` with such
a number and, where wanted, `instrument` (else it is for all of the bot's). It counts times trust.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import msgspec
from pydantic import Field, field_validator

from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import Event
from engine.domain.instruments import BotId
from engine.domain.intents import Target
from engine.domain.observed_events import KEY, Observed
from engine.strategies.door import Context, Needs
from engine.strategies.rules import RuleRunner, RulesParameters, RuleStanding, S


class ConfidentRulesParameters(RulesParameters):
    """The rule it runs, and how sure the model must be."""

    key: str = "model:one"
    """Key of the model's confidence, as its sender writes it.

    An example: each model has a key of its own."""
    confidence_min: Annotated[float, Field(ge=0.0, le=1.0)] = 0.6
    """Least confidence times trust at which it enters, 0 to 1.

    Six tenths: a little more than a coin's."""
    valid_s: Annotated[float, Field(ge=1.0, le=31_536_000.0)] = 3_600.0
    """Seconds a confidence stands.

    An hour: what a model thought of another market is not asked for."""

    @field_validator("key")
    @classmethod
    def _a_key(cls, text: str) -> str:
        if not KEY.fullmatch(text):
            raise ValueError("lower-case letters, digits and _ . : / - alone, at most 100")
        return text


class ConfidentRules(RuleRunner):
    """Runs one rule document, and enters only while a model's confidence is high enough."""

    name: ClassVar[str] = "confident_rules"
    category: ClassVar[str] = "composed"
    needs: ClassVar[Needs] = Needs(observed=True)
    parameters_type: ClassVar[type[RulesParameters]] = ConfidentRulesParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        **RuleRunner.gates,
        "heard": GateWords(
            "a model's confidence was received", "a model's confidence were received", needed=True
        ),
        "fresh": GateWords(
            "the confidence still stands",
            "a newer confidence came",
            "over for {missing} s",
        ),
        "confidence": GateWords(
            "the model is sure enough",
            "the model were surer",
            "confidence {value} of at least {limit}",
            sign="≥",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {**RuleRunner.values}

    def __init__(self, parameters: ConfidentRulesParameters, bot: BotId) -> None:
        super().__init__(parameters, bot)
        self._p = parameters
        self.observes = (parameters.key,)

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake at the close of a bar it reads, and on a confidence."""
        return type(event) is Observed or super().receive(event, now_ns)

    def _heard(self, context: Context) -> tuple[float, int] | None:
        """Return the newest confidence for a market, and when it was so; None = there is none."""
        key = context.view.instrument.id
        for seen in reversed(context.observed.kept(self._p.key)):
            event = seen.event
            if event.text("instrument") not in (None, key):
                continue
            said = event.number("confidence") if isinstance(event.value, dict) else event.value
            if isinstance(said, float | int) and 0.0 <= said <= 1.0:
                return said * event.trust, event.at_ns
        return None

    def entry_gates(self, context: Context, now_ns: int) -> tuple[Gate, ...]:
        """Return whether a confidence came, whether it is fresh, and whether it is high enough."""
        heard = self._heard(context)
        if heard is None:
            return (Gate("heard", False, 0.0, 0.0),)
        sure, at_ns = heard
        left_s = self._p.valid_s - (now_ns - at_ns) / S
        return (
            Gate("heard", True, 0.0, 0.0),
            Gate("fresh", left_s > 0.0, left_s, 0.0),
            Gate("confidence", sure >= self._p.confidence_min, sure, self._p.confidence_min),
        )

    def _intent(self, context: Context, standing: RuleStanding, now_ns: int) -> Target | None:
        """Return the rule's intent, with the model's confidence where it opens."""
        intent, heard = super()._intent(context, standing, now_ns), self._heard(context)
        if intent is None or heard is None or not intent.position:
            return intent
        return msgspec.structs.replace(intent, confidence=min(1.0, heard[0]))
