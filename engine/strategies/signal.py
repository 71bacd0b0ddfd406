"""Signal: holds what somebody outside says, from one signal to the next or to its end.

Idea: whoever decides elsewhere, a person, a script, a chart's alert, sends what should be held, how
sure it is and how long that stands; this carries it out within a size and a price. What it gains is
its sender's: the rule has no edge of its own, and following others makes people take more risk
(Apesteguia, Oechssler and Weidenholzer, 2020, "Copy trading"). It loses where the sender does, by
costs where the sender changes its mind often, and by the time a signal takes to arrive. Without a
signal it has nothing to decide.

A signal is an `Observed` of its key: the text `buy`, `sell` or `flat`; a number from -1 (all of it
short) to 1; or fields `side` or `target`, and where wanted `confidence` (0 to 1), `expires_in_s`
and `instrument` (else it is for all of the bot's). Where nothing can be sold short, `sell` is flat.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec
from pydantic import Field, field_validator

from engine.caches.views import ObservedView
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.observed_events import KEY, Observed
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Needs, Parameters, decided
from engine.strategies.taking import crossing_target, position_for, worst_price

S = 1_000_000_000
HOUR_NS = 3_600 * S
LOOK_NS = 10 * S
"""How often it looks whether a signal is over."""
SIDES = {"buy": 1.0, "long": 1.0, "sell": -1.0, "short": -1.0, "flat": 0.0}


class AtExpiry(StrEnum):
    """What happens when a signal is over and no other has come."""

    CLOSE = "close"
    HOLD = "hold"


class SignalParameters(Parameters):
    """Whom it listens to, and how far it follows."""

    key: str = "signal:one"
    """Key of the signals it follows, as their sender writes it.

    An example: each sender has a key of its own."""
    confidence_min: Annotated[float, Field(ge=0.0, le=1.0)] = 0.6
    """Least confidence times trust of a signal that is followed, 0 to 1.

    Six tenths: a little more than a coin's."""
    valid_s: Annotated[float, Field(ge=1.0, le=31_536_000.0)] = 3_600.0
    """Seconds a signal stands that does not say how long.

    An hour: what was thought longer ago is thought over."""
    at_expiry: AtExpiry = AtExpiry.CLOSE
    """When a signal is over: close what is held, or hold it.

    Close: nothing confirms any more what is held."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    """Part of the capital a whole position takes, 0 to 1.

    A little is left for fees and for a price that moves on the way."""
    slippage_bps_max: Annotated[float, Field(ge=0.0, le=1_000.0)] = 100.0
    """Basis points: how much worse than the touch a fill may be.

    One percent: what is dearer is tried again with the next look."""

    @field_validator("key")
    @classmethod
    def _a_key(cls, text: str) -> str:
        if not KEY.fullmatch(text):
            raise ValueError("lower-case letters, digits and _ . : / - alone, at most 100")
        return text


class TakenSignal(msgspec.Struct, frozen=True):
    """A signal as it was read; kept where it is followed."""

    received_ns: int
    expires_ns: int
    part: float
    """-1, all of it short, to 1."""
    confidence: float
    """Times trust."""
    source: str
    position: int = 0
    """What it comes to, signed, at the touch it was taken at."""


class FollowedSignal:
    """Holds what a signal from outside says, until it is over or another one comes."""

    name: ClassVar[str] = "signal"
    needs: ClassVar[Needs] = Needs(observed=True)
    parameters_type: ClassVar[type[Parameters]] = SignalParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        "heard": GateWords("a signal was received", "a signal were received", needed=True),
        "readable": GateWords(
            "the newest signal can be read",
            "it said side or target",
            "the newest signal says neither a side nor a target from -1 to 1",
        ),
        "fresh": GateWords(
            "the signal still stands",
            "a newer signal came",
            "over for {missing} s",
        ),
        "confidence": GateWords(
            "the signal is sure enough",
            "the signal were surer",
            "confidence {value} of at least {limit}",
            sign="≥",
        ),
        "touch": GateWords(
            "the book has the side it needs",
            "the book had that side",
            "the side of the book it needs is empty",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        "part": ValueWords("Part of a whole position, below zero short"),
        "left_s": ValueWords("Seconds the signal still stands"),
    }
    touch_alone = True
    mid2_moved_min = 0
    references: tuple[str, ...] = ()

    def __init__(self, parameters: SignalParameters, bot: BotId) -> None:
        self.parameters = parameters
        del bot
        self.observes = (parameters.key,)
        self.replan_ns_min = S // 10
        self.timer_ns = LOOK_NS
        self._followed: dict[InstrumentId, TakenSignal] = {}

    # -- Strategy ----------------------------------------------------------------------------------

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake on a signal."""
        del now_ns
        return type(event) is Observed

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: what is held comes with each evaluation."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Take the newest signal if it passes; want what the one that is followed says."""
        key = context.view.instrument.id
        newest, readable = self._newest(context)
        followed = self._followed.get(key)
        looked = newest or followed
        if looked is None:
            gate = Gate("heard", False, 0.0, 0.0) if readable else Gate("readable", False, 0.0, 0.0)
            return self._decided(context, now_ns, None, (gate,))
        gates = self._gates(context, looked, now_ns, readable=readable)
        newer = newest and (followed is None or newest.received_ns > followed.received_ns)
        if newest and newer and all(gate.passed for gate in gates):
            limit = self._limit(context, buying=newest.part > 0)
            position = position_for(context, limit, newest.part, self.parameters.share)
            followed = msgspec.structs.replace(newest, position=position)
            self._followed[key] = followed
        wanted = self._wanted(context, followed, now_ns)
        return self._decided(context, now_ns, looked, gates, wanted)

    def _newest(self, context: Context) -> tuple[TakenSignal | None, bool]:
        """Return the newest signal for an instrument, and whether the very last could be read."""
        key, readable = context.view.instrument.id, True
        for seen in reversed(context.observed.kept(self.parameters.key)):
            if seen.event.text("instrument") not in (None, key):
                continue
            signal = self._read(seen)
            if signal is not None:
                return signal, readable
            readable = False
        return None, readable

    def _read(self, seen: ObservedView) -> TakenSignal | None:
        """Return what an observation says as a signal; None = it is none."""
        event = seen.event
        said = event.value
        if isinstance(said, dict):
            side, target = event.text("side"), event.number("target")
            part = SIDES.get(side) if side is not None else target
            confidence, valid_s = event.number("confidence"), event.number("expires_in_s")
        else:
            part = SIDES.get(said) if isinstance(said, str) else said
            confidence = valid_s = None
        sure = 1.0 if confidence is None else confidence
        lasts_s = self.parameters.valid_s if valid_s is None else valid_s
        if part is None or not -1.0 <= part <= 1.0 or not 0.0 <= sure <= 1.0:
            return None
        if not 0.0 <= lasts_s <= 31_536_000.0:
            return None
        return TakenSignal(
            received_ns=seen.received_ns,
            expires_ns=event.at_ns + int(lasts_s * S),
            part=part,
            confidence=sure * event.trust,
            source=event.source,
        )

    def _gates(
        self, context: Context, signal: TakenSignal, now_ns: int, *, readable: bool
    ) -> tuple[Gate, ...]:
        least = self.parameters.confidence_min
        left_s = (signal.expires_ns - now_ns) / S
        touch = not signal.part or self._limit(context, buying=signal.part > 0) is not None
        return (
            Gate("heard", True, 0.0, 0.0),
            Gate("readable", readable, 0.0, 0.0),
            Gate("fresh", left_s > 0.0, left_s, 0.0),
            Gate("confidence", signal.confidence >= least, signal.confidence, least),
            Gate("touch", touch, 0.0, 0.0),
        )

    def _limit(self, context: Context, *, buying: bool) -> int | None:
        """Return the worst price; None = the book has no such side."""
        return worst_price(context.view, self.parameters.slippage_bps_max, buying=buying)

    def _wanted(
        self, context: Context, followed: TakenSignal | None, now_ns: int
    ) -> tuple[int, int] | None:
        """Return the position to hold and its worst price; None = as it is."""
        if followed is None:
            return None
        have, wanted = context.inventory.position, followed.position
        if followed.expires_ns <= now_ns:
            if self.parameters.at_expiry is AtExpiry.HOLD:
                return None
            wanted = 0
        grows = abs(wanted) > abs(have) or wanted * have < 0
        limit = self._limit(context, buying=wanted > have)
        if wanted == have or limit is None or (context.reducing and grows):
            return None
        return wanted, limit

    def _decided(
        self,
        context: Context,
        now_ns: int,
        signal: TakenSignal | None,
        gates: tuple[Gate, ...],
        wanted: tuple[int, int] | None = None,
    ) -> Evaluation:
        intent = None
        if wanted is not None and signal is not None:
            until_ns, sure = now_ns + HOUR_NS, min(1.0, signal.confidence)
            intent = crossing_target(context, context.view, *wanted, until_ns, confidence=sure)
        have = context.inventory.position
        decision = decided(
            context,
            now_ns,
            regime="long" if have > 0 else "short" if have < 0 else "flat",
            gates=gates,
            inputs=()
            if signal is None
            else (("part", signal.part), ("left_s", (signal.expires_ns - now_ns) / S)),
            intent=intent,
            acts="target",
            notes=() if signal is None else (("source", signal.source),),
        )
        return Evaluation(
            decision=decision, intents=(intent,) if intent else (), quiet=intent is None
        )

    def forget(self, instrument: InstrumentId) -> None:
        """Drop an instrument."""
        self._followed.pop(instrument, None)

    def state(self) -> bytes:
        """Return which signal is followed where."""
        return msgspec.json.encode(self._followed)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        kind = dict[InstrumentId, TakenSignal]
        try:
            self._followed = msgspec.json.decode(state, type=kind) if state else {}
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"its state cannot be read: {error}") from None
