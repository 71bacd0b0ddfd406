"""News sentiment: holds a market while what is written of it is good, flat once it is not.

Idea: the tone of what is published moves prices for a while. Source: Tetlock, 2007, "Giving content
to investor sentiment: the role of media in the stock market", found that pessimism is followed by
lower prices that come back within days; Tetlock, Saar-Tsechansky and Macskassy, 2008, "More than
words", that prices take up negative words with a short delay. It loses where the price has moved
before the news is scored, which is the usual case for what everybody reads, where the tone is that
of the move itself (news explain what happened), and by costs where the tone changes often. Who
scores the news is not part of it: without observations it has no data, and it says so.

A score is an `Observed` of one of its keys: a number from -1 (bad) to 1 (good), the text
`positive`, `neutral` or `negative`, or the field `sentiment` with such a number and, where wanted,
`confidence` (0 to 1) and `instrument` (else it is about all of the bot's). Where nothing can be
sold short, bad news are flat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, NamedTuple, Self

import msgspec
from pydantic import Field, field_validator, model_validator

from engine.caches.views import ObservedView
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, InstrumentId, Kind
from engine.domain.observed_events import KEY, Observed
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Needs, Parameters, decided
from engine.strategies.taking import crossing_target, position_for, worst_price

S = 1_000_000_000
HOUR_NS = 3_600 * S
LOOK_NS = 10 * S
KEYS_MAX = 10
TONES = {"positive": 1.0, "neutral": 0.0, "negative": -1.0}


class NewsSentimentParameters(Parameters):
    """Which news it listens to, how long they count, and how strong they must be."""

    keys: str = "news:one"
    """Keys of the scores it takes, with spaces between them, ten at most.

    An example: each source has a key of its own."""
    half_life_s: Annotated[float, Field(ge=1.0, le=31_536_000.0)] = 3_600.0
    """Seconds in which a score comes to count half.

    An hour: prices take up news within minutes to hours."""
    valid_s: Annotated[float, Field(ge=1.0, le=31_536_000.0)] = 21_600.0
    """Seconds after which a score counts no more.

    Six hours: by then it counts a sixty-fourth."""
    count_min: Annotated[int, Field(ge=1, le=100)] = 3
    """Least number of scores that count.

    Three: a single one is one writer's word."""
    enter: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    """Mean score at which it buys; of the other sign, at which it sells short where it may.

    Three tenths of the way to all good; nothing here was fitted."""
    leave: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.0
    """Mean score, in the direction of what is held, at which it sells; less than `enter`.

    Zero: as much bad as good."""
    shorts: bool = False
    """Whether bad news are sold short, where the market can be.

    No: what falls on news often comes back within days (Tetlock, 2007)."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.25
    """Part of the capital a position takes, 0 to 1.

    A quarter: the tone of news is a weak sign."""
    slippage_bps_max: Annotated[float, Field(ge=0.0, le=1_000.0)] = 100.0
    """Basis points: how much worse than the touch a fill may be.

    One percent: what is dearer is tried again with the next look."""

    @field_validator("keys")
    @classmethod
    def _some_keys(cls, text: str) -> str:
        names = text.split()
        if not 1 <= len(names) <= KEYS_MAX:
            raise ValueError(f"1 to {KEYS_MAX} keys with spaces between them")
        if wrong := next((one for one in names if not KEY.fullmatch(one)), ""):
            raise ValueError(f"{wrong!r}: lower-case letters, digits and _ . : / - alone")
        return " ".join(dict.fromkeys(names))

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.leave >= self.enter:
            raise ValueError(f"leave={self.leave:g} must be less than enter={self.enter:g}")
        return self


class Tone(NamedTuple):
    """What the scores of a market come to."""

    mean: float
    """-1 to 1, each weighted by trust, confidence and age."""
    scores: int
    """How many count."""


class NewsSentiment:
    """Holds a market while the news of it are good, by scores that come from outside."""

    name: ClassVar[str] = "news_sentiment"
    category: ClassVar[str] = "composed"
    tags: ClassVar[tuple[str, ...]] = ("outside information", "news")
    needs: ClassVar[Needs] = Needs(observed=True)
    parameters_type: ClassVar[type[Parameters]] = NewsSentimentParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        "heard": GateWords("a score was received", "a score were received", needed=True),
        "enough": GateWords(
            "enough scores count",
            "more scores came",
            "{value} scores count, at least {limit}",
            sign="≥",
        ),
        "strong": GateWords(
            "the news are clear enough",
            "the news were clearer",
            "mean score {value}, it enters at {limit}",
            sign="≥",
        ),
        "direction": GateWords("it may be sold short here", "it might be sold short here"),
        "touch": GateWords(
            "the book has the side it needs",
            "the book had that side",
            "the side of the book it needs is empty",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        "sentiment": ValueWords("Mean score of the news, -1 to 1"),
        "scores": ValueWords("Scores that count"),
    }
    touch_alone = True
    mid2_moved_min = 0
    references: tuple[str, ...] = ()

    def __init__(self, parameters: NewsSentimentParameters, bot: BotId) -> None:
        self.parameters = parameters
        del bot
        self.observes = tuple(parameters.keys.split())
        self.replan_ns_min = S
        self.timer_ns = LOOK_NS
        self._wanted: dict[InstrumentId, int] = {}

    # -- Strategy ----------------------------------------------------------------------------------

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake on a score."""
        del now_ns
        return type(event) is Observed

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: what is held comes with each evaluation."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Weigh the scores that count; enter on clear news, leave once they are clear no more."""
        tone = self._tone(context, now_ns)
        key, p = context.view.instrument.id, self.parameters
        if self._wanted.get(key, 0):
            side = 1.0 if self._wanted[key] > 0 else -1.0
            if tone is None or tone.mean * side <= p.leave or context.reducing:
                self._wanted[key] = 0
            return self._decided(context, now_ns, tone, ())
        if tone is None:
            return self._decided(context, now_ns, None, (Gate("heard", False, 0.0, 0.0),))
        side = 1.0 if tone.mean > 0.0 else -1.0
        limit = worst_price(context.view, p.slippage_bps_max, buying=side > 0.0)
        short = side < 0.0
        may = not short or (p.shorts and context.view.instrument.kind is not Kind.SPOT)
        gates = (
            Gate("heard", True, 0.0, 0.0),
            Gate("enough", tone.scores >= p.count_min, float(tone.scores), float(p.count_min)),
            Gate("strong", abs(tone.mean) >= p.enter, abs(tone.mean), p.enter),
            Gate("direction", may, 0.0, 0.0),
            Gate("touch", limit is not None, 0.0, 0.0),
        )
        if all(gate.passed for gate in gates) and context.healthy and not context.reducing:
            self._wanted[key] = position_for(context, limit, side, p.share)
        return self._decided(context, now_ns, tone, gates)

    def _tone(self, context: Context, now_ns: int) -> Tone | None:
        """Return what the scores about a market come to; None = none counts."""
        mass = total = 0.0
        count, p = 0, self.parameters
        for name in self.observes:
            for seen in context.observed.kept(name):
                age_s = (now_ns - seen.event.at_ns) / S
                score = score_of(seen, context.view.instrument.id)
                if score is None or not 0.0 <= age_s <= p.valid_s:
                    continue
                weight = score[1] * 0.5 ** (age_s / p.half_life_s)
                if weight > 0.0:
                    mass, total, count = mass + weight, total + weight * score[0], count + 1
        return Tone(total / mass, count) if mass > 0.0 else None

    def _decided(
        self, context: Context, now_ns: int, tone: Tone | None, gates: tuple[Gate, ...]
    ) -> Evaluation:
        key, have = context.view.instrument.id, context.inventory.position
        wanted, intent = self._wanted.get(key, 0), None
        limit = worst_price(context.view, self.parameters.slippage_bps_max, buying=wanted > have)
        if wanted != have and limit is not None:
            intent = crossing_target(context, context.view, wanted, limit, now_ns + HOUR_NS)
        inputs = () if tone is None else (("sentiment", tone.mean), ("scores", float(tone.scores)))
        decision = decided(
            context,
            now_ns,
            regime="long" if wanted > 0 else "short" if wanted < 0 else "flat",
            gates=gates,
            inputs=inputs,
            intent=intent,
            acts="target",
        )
        return Evaluation(
            decision=decision, intents=(intent,) if intent else (), quiet=intent is None
        )

    def forget(self, instrument: InstrumentId) -> None:
        """Drop an instrument."""
        self._wanted.pop(instrument, None)

    def state(self) -> bytes:
        """Return what is wanted where."""
        return msgspec.json.encode(self._wanted)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        kind = dict[InstrumentId, int]
        try:
            self._wanted = msgspec.json.decode(state, type=kind) if state else {}
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"its state cannot be read: {error}") from None


def score_of(seen: ObservedView, instrument: InstrumentId) -> tuple[float, float] | None:
    """Return score (-1 to 1) and weight (0 to 1) of an observation; None = it has none for it."""
    event = seen.event
    if event.text("instrument") not in (None, instrument):
        return None
    said, sure = event.value, None
    if isinstance(said, dict):
        sure = event.number("confidence")
        text = event.text("sentiment")
        score = TONES.get(text) if text is not None else event.number("sentiment")
    else:
        score = TONES.get(said) if isinstance(said, str) else said
    sure = 1.0 if sure is None else sure
    if score is None or not -1.0 <= score <= 1.0 or not 0.0 <= sure <= 1.0:
        return None
    return score, sure * event.trust
